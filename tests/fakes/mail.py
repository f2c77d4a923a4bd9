"""A mail server on loopback that keeps what it was given and answers as told."""

import datetime
import ipaddress
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from tests.fakes.metrics import unused_port


@dataclass(kw_only=True)
class MailServer:
    """Where it listens, what it answers to a recipient and to a letter, what it was given."""

    port: int
    to_recipient: str = "250 OK"
    to_letter: str = "250 OK"
    letters: list[EmailMessage] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if self.to_recipient.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.to_recipient

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        found = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(found, EmailMessage)
        self.letters.append(found)
        self.recipients.append(list(envelope.rcpt_tos))
        return self.to_letter

    def authenticate(self, _server: Any, _s: Any, _e: Any, _m: str, given: Any) -> AuthResult:
        assert isinstance(given, LoginPassword)
        login = (given.login.decode(), given.password.decode())
        self.logins.append(login)
        return AuthResult(success=login == ("qlrf", "a password"), handled=False)


@contextmanager
def mail_server(
    tls: ssl.SSLContext | None = None, *, implicit: bool = False
) -> Iterator[MailServer]:
    """A server while the block lasts; with `tls` it offers STARTTLS, or speaks TLS alone."""
    told = MailServer(port=unused_port())
    starttls: dict[str, Any] = {
        "tls_context": tls,
        "require_starttls": True,
        "authenticator": told.authenticate,
        "auth_required": False,
    }
    parts: dict[str, Any] = {}
    if tls is not None:
        parts = {"ssl_context": tls} if implicit else starttls
    controller = Controller(told, hostname="127.0.0.1", port=told.port, **parts)
    controller.start()
    try:
        yield told
    finally:
        controller.stop()


def certified(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """What a server called 127.0.0.1 shows, and what a client trusts it by."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (folder / "server.pem").write_bytes(secret + pem)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "server.pem")
    return server, ssl.create_default_context(cadata=pem.decode())
