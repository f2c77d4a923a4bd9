"""Which adapter speaks to which kind of provider."""

from qlrf_pipelines.domain.canary import Provider
from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.ports.metrics import MetricSource
from resources.secrets import Secrets


def metric_source(provider: Provider, *, secrets: Secrets) -> MetricSource:
    """The source a provider describes.

    Raises:
        Rejected: its credentials lead nowhere, or it cannot be asked as described.
    """
    found = secrets.resolved(provider.credentials, owner=f"Metrics provider {provider.kind}")
    if provider.kind == "prometheus":
        from resources.metrics.prometheus import PrometheusMetrics

        if not provider.url:
            raise Rejected("Metrics provider prometheus has no url; add it.")
        return PrometheusMetrics(provider.url, secrets=found)
    if provider.kind == "datadog":
        from resources.metrics.datadog import DatadogMetrics

        return DatadogMetrics(provider.url, secrets=found)
    if provider.kind == "cloudwatch":
        from resources.metrics.cloudwatch import CloudWatchMetrics

        return CloudWatchMetrics(region=provider.region, url=provider.url, secrets=found)
    if provider.kind == "custom":
        from resources.metrics.custom import CustomMetrics

        return CustomMetrics(provider.url, secrets=found)
    raise Rejected(
        f"There is no metrics provider {provider.kind}; "
        "use prometheus, cloudwatch, datadog or custom."
    )
