"""Webhooks over HTTP, signed so that the receiver can tell who calls."""

import hashlib
import hmac
import json

import urllib3

from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.operations import Status
from qlrf_pipelines.ports.hooks import HookReport, Hooks, Webhook
from resources.secrets import Secrets

SIGNATURE = "X-QLRF-Signature"
TOKEN = "X-QLRF-Token"  # noqa: S105  a header's name
NEVER_SENT = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
    urllib3.exceptions.SSLError,
)


class HttpHooks(Hooks):
    """Posts JSON; follows no redirect and repeats nothing."""

    def __init__(self, *, secrets: Secrets) -> None:
        self._secrets = secrets
        self._pool = urllib3.PoolManager(retries=False)

    def call(self, hook: Webhook, *, timeout_seconds: float) -> HookReport:
        """One POST; see the port."""
        address = urllib3.util.parse_url(hook.url) if hook.url else None
        if address is None or address.scheme not in ("http", "https") or not address.host:
            raise Rejected(f"Hook {hook.url!r} is no http or https URL; correct it.")
        body = json.dumps(dict(hook.body), sort_keys=True).encode()
        try:
            answer = self._pool.request(
                "POST",
                hook.url,
                body=body,
                headers=self._headers(hook, body),
                timeout=urllib3.Timeout(total=timeout_seconds),
                redirect=False,
                preload_content=False,
            )
        except NEVER_SENT as error:
            return HookReport(status=Status.FAILED, why=f"{address.host}: {error}; nothing sent.")
        except (urllib3.exceptions.HTTPError, OSError) as error:
            return HookReport(
                status=Status.UNKNOWN,
                why=f"{address.host}: no answer ({type(error).__name__}); it may have arrived.",
            )
        answer.close()
        done = 200 <= answer.status < 300
        return HookReport(
            status=Status.SUCCEEDED if done else Status.FAILED,
            why=f"{address.host} answered {answer.status}.",
        )

    def _headers(self, hook: Webhook, body: bytes) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "Connection": "close", TOKEN: hook.token}
        if hook.secret:
            found = self._secrets.resolved({"secret": hook.secret}, owner=f"Hook {hook.url}")
            signed = hmac.new(found["secret"].encode(), body, hashlib.sha256).hexdigest()
            headers[SIGNATURE] = f"sha256={signed}"
        return headers
