"""Metric sources: Prometheus, CloudWatch and Datadog, over their own interfaces."""
