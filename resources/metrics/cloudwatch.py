"""CloudWatch, by GetMetricData over boto3; loaded only where it is asked."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from qlrf_pipelines.domain.errors import Rejected, Truncated
from qlrf_pipelines.ports.metrics import MetricSource, NoSeries, Point, Series

_FIELDS = {"Namespace", "MetricName", "Dimensions", "Stat", "Unit"}
_WRONG = {
    "ValidationError",
    "ValidationException",
    "InvalidFormat",
    "InvalidParameterCombination",
    "InvalidParameterValue",
    "MissingParameter",
    "MissingRequiredParameter",
}
_NEEDED = ("Namespace", "MetricName", "Stat")


class CloudWatchMetrics(MetricSource):
    """One query is one metric as a JSON object, or a math or Metrics Insights expression."""

    # Basic monitoring has one value every five minutes, and it comes minutes later.
    lag = timedelta(minutes=10)

    def __init__(
        self, *, region: str, url: str, secrets: Mapping[str, str], timeout: float = 30
    ) -> None:
        import boto3
        from botocore.config import Config

        from resources.clouds.aws.faults import translated

        with translated("CloudWatch"):
            self._client = boto3.session.Session().client(
                "cloudwatch",
                region_name=region or None,
                endpoint_url=url or None,
                aws_access_key_id=secrets.get("accessKeyId"),
                aws_secret_access_key=secrets.get("secretAccessKey"),
                aws_session_token=secrets.get("sessionToken"),
                config=Config(
                    connect_timeout=min(10, timeout),
                    read_timeout=timeout,
                    retries={"mode": "adaptive", "total_max_attempts": 3},
                ),
            )

    def series(
        self, query: str, *, start: datetime, end: datetime, step: timedelta
    ) -> Series | NoSeries:
        """One sample for each step from `start` on and before `end`, where there is one.

        Raises:
            Unavailable: no answer, or half of one.
            Rejected: the query is none, or answers with more than one series.
        """
        asked = {"Id": "q", "ReturnData": True, **_asked(query, step)}
        what = f"CloudWatch, query {query}"
        points: list[Point] = []
        labels: set[str] = set()
        token: dict[str, str] = {}
        while True:
            answer = self._page(what, asked, start=start, end=end, token=token)
            for result in answer.get("MetricDataResults", ()):
                points += _points(result, what)
                labels.add(str(result.get("Label")))
            if not answer.get("NextToken"):
                break
            token = {"NextToken": answer["NextToken"]}
        if len(labels) > 1:
            raise Rejected(f"{what}: answers with {len(labels)} series; aggregate it, with SUM().")
        if not points:
            return NoSeries(why="CloudWatch has no such metric")
        return Series(points=tuple(sorted(points, key=lambda point: point.at)))

    def _page(
        self,
        what: str,
        asked: Mapping[str, Any],
        *,
        start: datetime,
        end: datetime,
        token: Mapping[str, str],
    ) -> dict[str, Any]:
        from botocore.exceptions import ClientError

        from resources.clouds.aws.faults import translated

        with translated(what):
            try:
                found: dict[str, Any] = self._client.get_metric_data(
                    MetricDataQueries=[asked],
                    StartTime=start,
                    EndTime=end,
                    ScanBy="TimestampAscending",
                    **token,
                )
            except ClientError as error:
                said = error.response.get("Error", {})
                if said.get("Code") in _WRONG:
                    message = f"{what}: {said.get('Message')}; correct the query."
                    raise Rejected(message) from error
                raise
        return found


def _asked(query: str, step: timedelta) -> dict[str, Any]:
    period = round(step.total_seconds())
    if not query.lstrip().startswith("{"):
        return {"Expression": query, "Period": period}
    try:
        metric = json.loads(query)
    except ValueError as error:
        raise Rejected(f"CloudWatch query {query} is no JSON: {error}; correct it.") from error
    dimensions = metric.get("Dimensions", {})
    texts = {name: value for name, value in metric.items() if name != "Dimensions"}
    known = set(_NEEDED) <= set(metric) <= _FIELDS and isinstance(dimensions, dict)
    if not known or not all(isinstance(v, str) for v in (*texts.values(), *dimensions.values())):
        raise Rejected(
            f"CloudWatch query {query}: give Namespace, MetricName and Stat, and as you need them "
            "Dimensions (a mapping of name to value) and Unit, all of them texts, and nothing else."
        )
    stat: dict[str, Any] = {
        "Metric": {
            "Namespace": metric["Namespace"],
            "MetricName": metric["MetricName"],
            "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
        },
        "Period": period,
        "Stat": metric["Stat"],
    }
    if "Unit" in metric:
        stat["Unit"] = metric["Unit"]
    return {"MetricStat": stat}


def _points(result: Mapping[str, Any], what: str) -> list[Point]:
    if result.get("StatusCode") in ("InternalError", "Forbidden"):
        said = "; ".join(str(m.get("Value")) for m in result.get("Messages", ()))
        raise Truncated(f"{what}: {result['StatusCode']} {said}; it is asked again later.")
    return [
        Point(at=at.astimezone(UTC), value=float(value))
        for at, value in zip(result["Timestamps"], result["Values"], strict=True)
    ]
