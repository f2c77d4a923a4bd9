"""Webhooks over HTTP, signed if the hook names a secret."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

from qlrf_pipelines.domain.operations import Health, HealthReport
from qlrf_pipelines.ports.hooks import Hooks
from resources.secrets import Secrets


class HttpHooks(Hooks):
    """POSTs JSON; the token goes along, so that the receiver knows a repetition."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    def call(
        self, hook: Mapping[str, Any], *, token: str, payload: Mapping[str, Any]
    ) -> HealthReport:
        """Call a hook's target once."""
        import urllib3

        url = str(hook.get("target", ""))
        if not url.startswith(("http://", "https://")):
            return HealthReport(health=Health.UNKNOWN, why=f"{url!r} is no http or https address")
        body = json.dumps(payload, sort_keys=True).encode()
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": token,
            "X-QLRF-Event": str(hook.get("when", "")),
        }
        if hook.get("secret"):
            named = {"secret": str(hook["secret"])}
            key = self._secrets.resolved(named, owner=f"hook {url}")["secret"].encode()
            signed = hmac.new(key, body, hashlib.sha256).hexdigest()
            headers["X-QLRF-Signature"] = f"sha256={signed}"
        seconds = float(hook.get("timeout_seconds", 30))
        try:
            with urllib3.PoolManager(retries=False, timeout=seconds) as pool:
                answer = pool.request("POST", url, body=body, headers=headers, redirect=False)
        except urllib3.exceptions.HTTPError as error:
            return HealthReport(health=Health.UNHEALTHY, why=f"{url} did not answer: {error}")
        good = 200 <= answer.status < 300
        health = Health.HEALTHY if good else Health.UNHEALTHY
        return HealthReport(health=health, why=f"{url} answered {answer.status}")
