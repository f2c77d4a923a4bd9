"""Mail over SMTP: plain text, one recipient, a message id that is the same if it is sent again."""

import smtplib
import ssl
from collections.abc import Mapping
from contextlib import closing, suppress
from email.errors import MessageError
from email.message import EmailMessage
from email.policy import SMTP

from qlrf_pipelines.domain.channels import Smtp, Tls
from qlrf_pipelines.domain.errors import Denied, QlrfError, Rejected, Unavailable
from qlrf_pipelines.domain.messages import Message


def letter(message: Message, *, smtp: Smtp, to: str) -> EmailMessage:
    """The mail itself.

    Raises:
        Rejected: an address is none.
    """
    found = EmailMessage(policy=SMTP)
    try:
        found["From"] = smtp.sender
        found["To"] = to
        found["Subject"] = f"[QL-RF] {message.title}"
    except (ValueError, MessageError) as error:
        raise Rejected(f"{to!r} or {smtp.sender!r} is no mail address; correct it.") from error
    found["Date"] = message.at
    found["Message-ID"] = f"<{message.token}@qlrf.invalid>"
    found["Auto-Submitted"] = "auto-generated"
    found["X-QLRF-Event"] = message.event.value
    lines = "\n".join(f"{name}: {value}" for name, value in message.lines)
    found.set_content(f"{message.title}\n\n{lines}\n")
    return found


def send(
    message: Message,
    *,
    smtp: Smtp,
    login: Mapping[str, str],
    to: str,
    what: str,
    seconds: float,
    trust: ssl.SSLContext | None = None,
) -> str:
    """Hand it to the server, certificates verified; `login` holds user and password, or nothing.

    Raises:
        Unavailable: nobody took it (Denied: the login is refused).
        Rejected: an address is none, or the server will never take it.
    """
    mail = letter(message, smtp=smtp, to=to)
    if login and smtp.tls is Tls.NONE:
        raise Rejected(f"{what}: a password is not sent unprotected; use starttls or implicit.")
    try:
        with closing(_connected(smtp, seconds, trust)) as server:
            if login:
                server.login(login["user"], login["password"])
            server.send_message(mail, from_addr=smtp.sender, to_addrs=[to])
            with suppress(smtplib.SMTPException, OSError):  # it is taken already
                server.quit()
    except (smtplib.SMTPException, OSError) as error:
        raise _refusal(what, error) from error
    except UnicodeError as error:
        raise Rejected(f"{what}: {smtp.host!r} is no name of a server; correct it.") from error
    return f"{smtp.host} took it for {to}"


def _connected(smtp: Smtp, seconds: float, trust: ssl.SSLContext | None) -> smtplib.SMTP:
    if smtp.tls is Tls.IMPLICIT:
        context = trust or ssl.create_default_context()
        return smtplib.SMTP_SSL(smtp.host, smtp.port, timeout=seconds, context=context)
    server = smtplib.SMTP(smtp.host, smtp.port, timeout=seconds)
    if smtp.tls is Tls.STARTTLS:
        try:
            server.starttls(context=trust or ssl.create_default_context())
        except (smtplib.SMTPException, OSError):
            server.close()
            raise
    return server


def _refusal(what: str, error: smtplib.SMTPException | OSError) -> QlrfError:
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return Denied(f"{what}: the server refuses the login; correct user and password.")
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return Rejected(f"{what}: the server offers no {_feature(error)}; correct smtp.tls.")
    if isinstance(error, ssl.SSLCertVerificationError):
        return Denied(f"{what}: the server's certificate is not trusted: {error.verify_message}.")
    code, said = _answer(error)
    if code >= 500:
        return Rejected(f"{what}: the server answered {code} {said}; correct the address.")
    return Unavailable(f"{what}: {f'{code} {said}' if code else type(error).__name__}.")


def _feature(error: smtplib.SMTPNotSupportedError) -> str:
    return "STARTTLS" if "STARTTLS" in str(error) else "login or UTF-8 addresses"


def _answer(error: smtplib.SMTPException | OSError) -> tuple[int, str]:
    """What the server said, if it said something."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code, said = next(iter(error.recipients.values()))
        return code, _text(said)
    if isinstance(error, smtplib.SMTPResponseException):
        return error.smtp_code, _text(error.smtp_error)
    return 0, ""


def _text(said: bytes | str) -> str:
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else said
