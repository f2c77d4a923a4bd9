"""Webhooks over HTTP, signed if the hook names a secret."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

from qlrf_pipelines.domain.operations import Health, HealthReport
from qlrf_pipelines.ports.hooks import Hooks
from resources.secrets import Secrets

SIGNATURE = "X-QLRF-Signature"
TOKEN = "Idempotency-Key"  # noqa: S105  a header's name
EVENT = "X-QLRF-Event"
DEFAULT_SECONDS = 30.0


class HttpHooks(Hooks):
    """POSTs JSON once, follows no redirect, reads no more than the status.

    The token goes along, so that the receiver knows a repetition.
    """

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    def call(
        self, hook: Mapping[str, Any], *, token: str, payload: Mapping[str, Any]
    ) -> HealthReport:
        """One POST; see the port.

        Raises:
            Rejected: the reference of the hook's secret leads nowhere; nothing was sent.
        """
        import urllib3

        url = str(hook.get("target") or "")
        if not _can_be_asked(url):
            return _report(Health.UNKNOWN, f"{url!r} is no http or https URL; correct the hook.")
        body = json.dumps(dict(payload), sort_keys=True).encode()
        headers = self._headers(hook, body, token)
        seconds = float(hook.get("timeout_seconds") or DEFAULT_SECONDS)
        try:
            with urllib3.PoolManager(retries=False) as pool:
                answer = pool.request(
                    "POST",
                    url,
                    body=body,
                    headers=headers,
                    timeout=urllib3.Timeout(total=seconds),
                    redirect=False,
                    preload_content=False,
                )
                answer.close()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            return _report(Health.UNHEALTHY, f"{url} did not answer: {str(error)[:200]}.")
        good = 200 <= answer.status < 300
        said = f"{url} answered {answer.status}."
        return _report(Health.HEALTHY if good else Health.UNHEALTHY, said)

    def _headers(self, hook: Mapping[str, Any], body: bytes, token: str) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json",
            "Connection": "close",
            TOKEN: token,
            EVENT: str(hook.get("when", "")),
        }
        if hook.get("secret"):
            reference = {"secret": str(hook["secret"])}
            found = self._secrets.resolved(reference, owner=f"Hook {hook.get('target')}")
            signed = hmac.new(found["secret"].encode(), body, hashlib.sha256).hexdigest()
            headers[SIGNATURE] = f"sha256={signed}"
        return headers


def _can_be_asked(url: str) -> bool:
    import urllib3

    try:
        address = urllib3.util.parse_url(url)
    except urllib3.exceptions.LocationParseError:
        return False
    return address.scheme in ("http", "https") and bool(address.host)


def _report(health: Health, why: str) -> HealthReport:
    return HealthReport(health=health, why=why)
