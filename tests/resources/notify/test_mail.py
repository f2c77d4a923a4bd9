"""Mail over real connections: protected, logged in, and refused for what it is."""

from pathlib import Path

import pytest

from qlrf_pipelines.domain.channels import Smtp, Tls
from qlrf_pipelines.domain.errors import Denied, Rejected
from resources.notify import mail
from tests.fakes.mail import MailServer, certified, mail_server
from tests.fakes.messages import message

LOGIN = {"user": "qlrf", "password": "a password"}
TO = "ops@example.com"


def smtp(server: MailServer, tls: Tls) -> Smtp:
    return Smtp(host="127.0.0.1", port=server.port, sender="qlrf@example.com", tls=tls)


def test_over_starttls_it_logs_in_and_delivers(tmp_path: Path) -> None:
    offered, trust = certified(tmp_path)
    with mail_server(offered) as server:
        place = smtp(server, Tls.STARTTLS)
        said = mail.send(
            message(), smtp=place, login=LOGIN, to=TO, what="it", seconds=5, trust=trust
        )

    assert server.logins == [("qlrf", "a password")]
    assert server.recipients == [[TO]]
    assert server.letters[0]["To"] == TO
    assert TO in said


def test_over_implicit_tls_it_delivers(tmp_path: Path) -> None:
    offered, trust = certified(tmp_path)
    with mail_server(offered, implicit=True) as server:
        place = smtp(server, Tls.IMPLICIT)
        mail.send(message(), smtp=place, login={}, to=TO, what="it", seconds=5, trust=trust)

    assert len(server.letters) == 1


@pytest.mark.parametrize("tls", [Tls.STARTTLS, Tls.IMPLICIT])
def test_a_certificate_nobody_vouches_for_is_told_nothing(tmp_path: Path, tls: Tls) -> None:
    offered, _ = certified(tmp_path)
    with (
        mail_server(offered, implicit=tls is Tls.IMPLICIT) as server,
        pytest.raises(Denied, match="not trusted"),
    ):
        mail.send(message(), smtp=smtp(server, tls), login=LOGIN, to=TO, what="it", seconds=5)

    assert server.logins == []
    assert server.letters == []


def test_a_login_that_is_refused_is_denied_and_not_named(tmp_path: Path) -> None:
    offered, trust = certified(tmp_path)
    wrong = {"user": "qlrf", "password": "hunter2"}
    with mail_server(offered) as server:
        place = smtp(server, Tls.STARTTLS)
        with pytest.raises(Denied, match="login") as raised:
            mail.send(message(), smtp=place, login=wrong, to=TO, what="it", seconds=5, trust=trust)

    assert "hunter2" not in str(raised.value)
    assert server.letters == []


def test_a_server_that_offers_no_protection_gets_nothing() -> None:
    with mail_server() as server:
        place = smtp(server, Tls.STARTTLS)
        with pytest.raises(Rejected, match="STARTTLS"):
            mail.send(message(), smtp=place, login={}, to=TO, what="it", seconds=5)

    assert server.letters == []


def test_a_password_is_never_sent_unprotected() -> None:
    with mail_server() as server, pytest.raises(Rejected, match="unprotected"):
        mail.send(message(), smtp=smtp(server, Tls.NONE), login=LOGIN, to=TO, what="it", seconds=5)

    assert server.logins == []
