"""Probes over HTTP and TCP, asked from this machine."""

import socket
from collections.abc import Mapping
from typing import Any

from qlrf_pipelines.domain.operations import Health, HealthReport
from qlrf_pipelines.ports.probes import Probes


class NetworkProbes(Probes):
    """Asks once; certificates are verified, and a redirect is an answer, not a way to go."""

    def probe(self, check: Mapping[str, Any], *, timeout_seconds: float) -> HealthReport:
        """One answer to one check."""
        kind, target = str(check.get("type")), str(check.get("target", ""))
        if kind == "http":
            return _http(target, timeout_seconds)
        if kind == "tcp":
            return _tcp(target, timeout_seconds)
        return HealthReport(health=Health.UNKNOWN, why=f"{kind!r} cannot be asked from here")


def _http(url: str, seconds: float) -> HealthReport:
    import urllib3

    if not url.startswith(("http://", "https://")):
        return HealthReport(health=Health.UNKNOWN, why=f"{url!r} is no http or https address")
    try:
        with urllib3.PoolManager(retries=False, timeout=seconds) as pool:
            answer = pool.request("GET", url, redirect=False, preload_content=False)
            answer.release_conn()
    except urllib3.exceptions.HTTPError as error:
        return HealthReport(health=Health.UNHEALTHY, why=f"{url} did not answer: {error}")
    good = 200 <= answer.status < 400
    health = Health.HEALTHY if good else Health.UNHEALTHY
    return HealthReport(health=health, why=f"{url} answered {answer.status}")


def _tcp(target: str, seconds: float) -> HealthReport:
    host, _, port = target.rpartition(":")
    if not host or not port.isdecimal():
        return HealthReport(health=Health.UNKNOWN, why=f"{target!r} is not host:port")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=seconds):
            return HealthReport(health=Health.HEALTHY, why=f"{target} accepts connections")
    except OSError as error:
        return HealthReport(health=Health.UNHEALTHY, why=f"{target}: {error}")
