"""Webhooks: the message as JSON, signed if the tenant has a secret for it."""

import hashlib
import hmac
import json

from qlrf_pipelines.domain.messages import Message
from resources.hooks import EVENT, SIGNATURE
from resources.notify.http import TOKEN, post


def send(message: Message, *, url: str, secret: str | None, what: str, seconds: float) -> str:
    """POST it with its event, its token and, with a secret, HMAC-SHA256 over the body."""
    body = json.dumps(message.document(), sort_keys=True).encode()
    headers = {TOKEN: message.token, EVENT: message.event.value}
    if secret is not None:
        signed = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        headers[SIGNATURE] = f"sha256={signed}"
    return post(url, body, headers=headers, what=what, seconds=seconds)
