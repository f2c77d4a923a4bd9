"""A command that is turned away at the door: whether it can have begun."""

from pathlib import Path

import pytest

from qlrf_pipelines.domain.errors import Denied, QlrfError, Refused, Unavailable
from resources.clouds.kubernetes.pod_exec import NotBegun, run_in
from resources.clouds.kubernetes.recovery_settings import Place
from tests.fakes.faulty_kube import TOKEN, Fault, FaultyKube
from tests.fakes.mail import certified


@pytest.mark.parametrize(
    ("fault", "becomes"),
    [
        (Fault.NO_PATH, NotBegun),
        (Fault.THROTTLED, NotBegun),
        (Fault.UNKNOWN, Refused),
        (Fault.DENIED, Denied),
        (Fault.ERROR_500, Unavailable),
        (Fault.ERROR_503, Unavailable),
        (Fault.RESET, Unavailable),
    ],
    ids=str,
)
def test_only_what_the_server_itself_turned_away_is_known_not_to_have_begun(
    tmp_path: Path, fault: Fault, becomes: type[QlrfError]
) -> None:
    context, _ = certified(tmp_path)

    with FaultyKube(context, {}) as kube:
        place = Place(server=kube.url, namespace="shop", trust=str(tmp_path / "server.pem"))
        kube.spoil("exec", fault)
        with pytest.raises(QlrfError) as raised:
            run_in(place, TOKEN, "web-0", "web", ("true",), seconds=5)

    assert type(raised.value) is becomes
