"""Whatever happens to a page, the listing says so: it never ends short and calls itself whole."""

import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qlrf_pipelines.domain.errors import Denied, QlrfError, Rejected, Truncated, Unavailable
from qlrf_pipelines.domain.estate import Connector, Tenant, TenantId
from qlrf_pipelines.domain.inventory import Kind, Scope
from qlrf_pipelines.domain.vocabulary import Platform
from qlrf_pipelines.ports.clouds import CloudSession, LostAccount
from qlrf_pipelines.services.inventory import refresh_inventory
from tests.fakes.clock import FakeClock
from tests.fakes.faulty_kube import TOKEN, Fault, FaultyKube, workload
from tests.fakes.kube_cluster import kubernetes_cloud
from tests.fakes.lake import FakeLake
from tests.fakes.mail import certified
from tests.fakes.world import fake_world

HOME = "shop"
KINDS = ("deployments", "statefulsets", "daemonsets")
PAGES = 3
MEANINGS: dict[Fault, type[QlrfError]] = {
    Fault.ERROR_500: Unavailable,
    Fault.ERROR_503: Unavailable,
    Fault.THROTTLED: Unavailable,
    Fault.UNKNOWN: Unavailable,
    Fault.NO_PATH: Unavailable,
    Fault.RESET: Unavailable,
    Fault.STALLED: Unavailable,
    Fault.DENIED: Denied,
    Fault.UNAUTHENTICATED: Denied,
    Fault.EXPIRED: Truncated,
    Fault.CUT: Truncated,
    Fault.CUT_CLEAN: Truncated,
    Fault.PORTAL: Truncated,
    Fault.ELSEWHERE: Truncated,
    Fault.NO_LIST: Truncated,
    Fault.NO_ITEMS: Truncated,
    Fault.NO_OBJECTS: Truncated,
    Fault.OTHERS: Truncated,
}
PASSING = [Fault.ERROR_500, Fault.ERROR_503, Fault.THROTTLED, Fault.RESET, Fault.CUT]


def desired(name: str) -> dict[str, Any]:
    status = {
        "observedGeneration": 1,
        "desiredNumberScheduled": 2,
        "currentNumberScheduled": 2,
        "numberReady": 2,
    }
    return workload(name, status=status)


CONTENT = {
    HOME: {
        "deployments": [workload(f"d-{n}") for n in range(5)],
        "statefulsets": [workload(f"s-{n}") for n in range(5)],
        "daemonsets": [desired(f"n-{n}") for n in range(5)],
    }
}
ALL = {f"{kind.removesuffix('s')}/{kind[0]}-{n}" for kind in KINDS[:2] for n in range(5)} | {
    f"daemonset/n-{n}" for n in range(5)
}


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    folder = tmp_path_factory.mktemp("certificates")
    server, _ = certified(folder)
    return server, folder / "server.pem"


@pytest.fixture
def kube(shown: tuple[ssl.SSLContext, Path]) -> Iterator[FaultyKube]:
    with FaultyKube(shown[0], CONTENT) as running:
        yield running


@pytest.fixture
def connector(kube: FaultyKube, shown: tuple[ssl.SSLContext, Path]) -> Connector:
    return Connector(
        tenant=TenantId("acme"),
        name="kubernetes-prod",
        platform=Platform.KUBERNETES,
        endpoint_url=kube.url,
        ca_file=str(shown[1]),
        credentials={"token": "env:TOKEN"},
        cluster="prod-eu",
    )


def session_into(connector: Connector, **patience: float) -> CloudSession:
    (session,) = kubernetes_cloud({"TOKEN": TOKEN}, **({"read_timeout": 1} | patience)).sessions(
        connector
    )
    assert isinstance(session, CloudSession), getattr(session, "error", None)
    return session


def scope(kind: Kind = Kind.INSTANCE) -> Scope:
    return Scope(
        tenant=TenantId("acme"),
        connector="kubernetes-prod",
        platform=Platform.KUBERNETES,
        account="prod-eu",
        region=HOME,
        kind=kind,
    )


def test_three_whole_pages_of_three_kinds_are_a_whole_listing(connector: Connector) -> None:
    pages = list(session_into(connector).list_scope(scope()))

    assert [page.last for page in pages] == [False] * 8 + [True]
    assert {i for page in pages for i in page.rows.column("asset_id").to_pylist()} == ALL


@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("number", range(PAGES))
@pytest.mark.parametrize("kind", KINDS)
def test_a_spoiled_page_ends_the_listing_with_the_right_error(
    kube: FaultyKube, connector: Connector, kind: str, number: int, fault: Fault
) -> None:
    session = session_into(connector, read_timeout=0.3)
    kube.spoil(kind, fault, nth=number)
    seen: list[bool] = []

    with pytest.raises(QlrfError) as caught:
        seen.extend(page.last for page in session.list_scope(scope()))

    assert type(caught.value) is MEANINGS[fault], caught.value
    assert seen == [False] * (KINDS.index(kind) * PAGES + number)
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("fault", Fault)
def test_workloads_whose_namespace_cannot_be_read_are_not_listed_without_its_labels(
    kube: FaultyKube, connector: Connector, fault: Fault
) -> None:
    session = session_into(connector, read_timeout=0.3)
    kube.spoil(HOME, fault)

    with pytest.raises(MEANINGS[fault]):
        list(session.list_scope(scope()))


@pytest.mark.parametrize("fault", PASSING)
def test_a_fault_that_passes_is_mended_by_asking_again(
    kube: FaultyKube, connector: Connector, fault: Fault
) -> None:
    session = session_into(connector, max_attempts=2)
    kube.spoil("statefulsets", fault, nth=1, times=1)

    pages = list(session.list_scope(scope()))

    assert [page.last for page in pages] == [False] * 8 + [True]
    assert sum(page.rows.num_rows for page in pages) == 15


def test_a_page_is_asked_for_once_the_one_before_was_taken(
    kube: FaultyKube, connector: Connector
) -> None:
    pages = session_into(connector).list_scope(scope())
    before = len(kube.asked)

    next(pages)
    asked = [path.partition("?")[0].rpartition("/")[2] for _, path in kube.asked[before:]]

    assert asked == [HOME, "deployments"]
    assert "limit=200" in kube.asked[-1][1]


def test_a_page_that_leads_back_is_an_error_and_not_an_endless_listing(
    kube: FaultyKube, connector: Connector
) -> None:
    session = session_into(connector)
    kube.leads_back = True

    with pytest.raises(Truncated, match="earlier"):
        list(session.list_scope(scope()))


@pytest.mark.parametrize("fault", Fault)
def test_a_cluster_that_cannot_be_entered_is_lost_for_the_right_reason(
    kube: FaultyKube, connector: Connector, fault: Fault
) -> None:
    kube.spoil("selfsubjectreviews", fault)

    (lost,) = kubernetes_cloud({"TOKEN": TOKEN}, read_timeout=0.3).sessions(connector)

    assert isinstance(lost, LostAccount)
    assert type(lost.error) is MEANINGS[fault]
    assert lost.account == "prod-eu"


@pytest.mark.parametrize("fault", Fault)
def test_namespaces_that_cannot_be_read_are_an_error(
    kube: FaultyKube, connector: Connector, fault: Fault
) -> None:
    session = session_into(connector, read_timeout=0.3)
    kube.spoil("namespaces", fault)

    with pytest.raises(MEANINGS[fault]):
        session.regions()


def test_a_server_whose_certificate_nobody_vouches_for_is_not_told_the_token(
    kube: FaultyKube, connector: Connector, shown: tuple[ssl.SSLContext, Path]
) -> None:
    (lost,) = kubernetes_cloud({"TOKEN": TOKEN}).sessions(replace(connector, ca_file=None))

    assert isinstance(lost, LostAccount)
    assert "certificate" in str(lost.error).lower()
    assert kube.asked == []


def test_a_token_is_read_anew_at_each_use(
    kube: FaultyKube, connector: Connector, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    session = session_into(replace(connector, credentials={"token": f"file:{file}"}))
    kube.token = "renewed"

    with pytest.raises(Denied):
        list(session.regions())
    file.write_text("renewed")

    assert list(session.regions()) == [HOME]


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "tökén"])
def test_what_cannot_be_a_token_is_refused_without_being_shown(
    connector: Connector, token: str
) -> None:
    with pytest.raises(Rejected, match="kubernetes-prod") as caught:
        kubernetes_cloud({"TOKEN": token}).sessions(connector)

    assert token not in str(caught.value)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"cluster": None}, "names no cluster"),
        ({"endpoint_url": None}, "must be reached by TLS"),
        ({"endpoint_url": "http://127.0.0.1:1"}, "must be reached by TLS"),
        ({"ca_file": "/nowhere.pem"}, "caFile /nowhere.pem cannot be read"),
        ({"credentials": {}}, "credentials not found: token"),
        ({"credentials": {"token": "env:NOWHERE"}}, "env:NOWHERE"),
    ],
)
def test_a_connector_that_leads_nowhere_is_refused_by_name(
    connector: Connector, parts: dict[str, Any], words: str
) -> None:
    with pytest.raises(Rejected, match=words):
        kubernetes_cloud({"TOKEN": TOKEN}).sessions(replace(connector, **parts))


class Inventory:
    """A tenant with this one cluster, an hour apart from refresh to refresh."""

    def __init__(self, connector: Connector) -> None:
        self.clock, self.lake = FakeClock(), FakeLake()
        cloud = kubernetes_cloud({"TOKEN": TOKEN}, read_timeout=0.3)
        self.world = fake_world(
            clouds={Platform.KUBERNETES: cloud}, clock=self.clock, lake=self.lake
        )
        self.tenant = Tenant(name=TenantId("acme"), display_name="Acme", connectors=(connector,))

    def refresh(self) -> None:
        self.clock.advance(hours=1)
        refresh_inventory(self.world, [self.tenant], workers=4, lock_wait=1)

    def live(self) -> set[str]:
        rows = self.lake.rows("inventory", "acme")
        return {str(r["asset_id"]) for r in rows if r["tombstoned_at"] is None}

    def status(self, scope_id: str = f"kubernetes-prod/prod-eu/{HOME}/instance") -> str | None:
        rows = {r["scope_id"]: r["status"] for r in self.lake.rows("scopes", "acme")}
        return rows.get(scope_id)


@pytest.mark.parametrize("last", ["selfsubjectreviews", "namespaces", HOME, "daemonsets"])
def test_no_fault_of_any_answer_deletes_anything_however_long_it_lasts(
    kube: FaultyKube, connector: Connector, last: str
) -> None:
    house = Inventory(connector)
    house.refresh()

    for fault in Fault:
        kube.spoil(last, fault)
        house.refresh()
        denied = MEANINGS[fault] is Denied and last in (HOME, "daemonsets")
        assert house.live() == ALL, fault
        assert house.status() == ("denied" if denied else "incomplete"), fault

    kube.heal()
    house.refresh()
    assert (house.live(), house.status()) == (ALL, "complete")


def test_a_namespace_that_is_gone_is_listed_until_nothing_of_it_is_left(
    kube: FaultyKube, connector: Connector
) -> None:
    kube.namespaces["preview"] = {"deployments": [workload("d-9")]}
    house = Inventory(connector)
    house.refresh()
    preview = "kubernetes-prod/prod-eu/preview/instance"
    assert house.live() == ALL | {"deployment/d-9"}

    del kube.namespaces["preview"]
    house.refresh()
    first = (house.live(), house.status(preview))
    house.refresh()
    second = (house.live(), house.status(preview))
    house.refresh()

    assert first == (ALL | {"deployment/d-9"}, "complete")
    assert second == (ALL, "complete")
    assert house.status(preview) is None
