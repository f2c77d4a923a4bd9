"""Probes over HTTP and TCP."""

import socket
from collections.abc import Mapping
from typing import Any

from qlrf_pipelines.domain.operations import Health, HealthReport
from qlrf_pipelines.ports.probes import Probes


class NetworkProbes(Probes):
    """Asks over a connection of its own, and reads no more than the status.

    TLS certificates are verified unless the check says `"verify": false`. Redirects are answers:
    they are not followed, so a probe never ends up asking somebody else.
    """

    def probe(self, check: Mapping[str, Any], *, timeout_seconds: float) -> HealthReport:
        """One answer; see the port."""
        target = str(check.get("target") or "")
        if check.get("type") == "http":
            return _http(target, timeout_seconds, verify=check.get("verify", True) is not False)
        if check.get("type") == "tcp":
            return _tcp(target, timeout_seconds)
        return _report(Health.UNKNOWN, f"There is no probe {check.get('type')!r}; use http or tcp.")


def _http(url: str, seconds: float, *, verify: bool) -> HealthReport:
    import urllib3

    try:
        address = urllib3.util.parse_url(url)
    except urllib3.exceptions.LocationParseError:
        address = urllib3.util.Url()
    if address.scheme not in ("http", "https") or not address.host:
        return _report(Health.UNKNOWN, f"{url!r} is no http or https URL; correct the check.")
    requirement = "CERT_REQUIRED" if verify else "CERT_NONE"
    try:
        with urllib3.PoolManager(retries=False, cert_reqs=requirement) as pool:
            answer = pool.request(
                "GET",
                url,
                redirect=False,
                preload_content=False,
                timeout=urllib3.Timeout(total=seconds),
                headers={"User-Agent": "qlrf-probe", "Connection": "close"},
            )
            answer.close()
    except (urllib3.exceptions.HTTPError, OSError) as error:
        return _report(Health.UNHEALTHY, f"{url}: no answer ({_short(error)}).")
    healthy = 200 <= answer.status < 400
    said = f"{url} answered {answer.status}."
    return _report(Health.HEALTHY if healthy else Health.UNHEALTHY, said)


def _tcp(target: str, seconds: float) -> HealthReport:
    host, _, port = target.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        return _report(Health.UNKNOWN, f"{target!r} is no `host:port`; correct the check.")
    try:
        with socket.create_connection((host, int(port)), timeout=seconds):
            return _report(Health.HEALTHY, f"{target} accepts connections.")
    except OSError as error:
        return _report(Health.UNHEALTHY, f"{target}: no connection ({_short(error)}).")


def _report(health: Health, why: str) -> HealthReport:
    return HealthReport(health=health, why=why)


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]
