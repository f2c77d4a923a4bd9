"""Probes over HTTP and TCP: one question, one answer, within a time that really ends."""

import http.client
import socket
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from qlrf_pipelines.domain.operations import Health, HealthReport
from qlrf_pipelines.ports.probes import Probes


class NetworkProbes(Probes):
    """Follows no redirect: that something else answers well is no proof of this service."""

    def probe(self, check: Mapping[str, Any], *, timeout_seconds: float) -> HealthReport:
        """One answer to one check."""
        kind, target = check.get("type"), str(check.get("target", ""))
        ask = {"http": _http, "tcp": _tcp}.get(str(kind))
        if ask is None:
            return _unknown(f"a check of type {kind} cannot be asked from here")
        try:
            return ask(target, time.monotonic() + timeout_seconds)
        except ValueError as error:
            return _unknown(f"{target!r} cannot be asked: {error}")
        except (OSError, http.client.HTTPException) as error:
            return HealthReport(health=Health.UNHEALTHY, why=f"{target}: {_said(error)}")


def _http(target: str, deadline: float) -> HealthReport:
    url = urlsplit(target)
    kinds = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
    if url.scheme not in kinds or not url.hostname:
        return _unknown(f"{target!r} is no URL of http or https")
    connection = kinds[url.scheme](url.hostname, url.port, timeout=_left(deadline))
    try:
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        connection.request("GET", path, headers={"User-Agent": "qlrf-probe"})
        if connection.sock is not None:
            connection.sock.settimeout(_left(deadline))
        status = connection.getresponse().status
    finally:
        connection.close()
    health = Health.HEALTHY if 200 <= status <= 399 else Health.UNHEALTHY
    return HealthReport(health=health, why=f"{target} answers {status}")


def _tcp(target: str, deadline: float) -> HealthReport:
    host, _, port = target.rpartition(":")
    if not host:
        return _unknown(f"{target!r} is not host:port")
    with socket.create_connection((host.strip("[]"), int(port)), timeout=_left(deadline)):
        return HealthReport(health=Health.HEALTHY, why=f"{target} accepts connections")


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("no answer in time")
    return left


def _said(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__


def _unknown(why: str) -> HealthReport:
    return HealthReport(health=Health.UNKNOWN, why=why)
