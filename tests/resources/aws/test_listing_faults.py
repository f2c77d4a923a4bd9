"""Whatever happens to a page, the listing says so: it never ends short and calls itself whole."""

from collections.abc import Iterator

import pytest

from qlrf_pipelines.domain.errors import Denied, QlrfError, Truncated, Unavailable
from qlrf_pipelines.domain.inventory import Kind, Scope
from qlrf_pipelines.domain.vocabulary import Platform
from qlrf_pipelines.ports.clouds import CloudSession, LostAccount
from tests.fakes.aws_replay import ReplayAws, Scenery
from tests.fakes.faulty_http import Fault, FaultyProxy
from tests.fakes.moto_aws import aws_cloud, aws_connector

REGION = "us-east-1"
# Three pages of every kind: 6 instances, 12 volumes, 20 groups, 401 images asked for, 6 states.
SCENERY = Scenery(
    instances=6,
    regions=(REGION,),
    instances_page=2,
    volumes_page=4,
    groups_page=7,
    patches_page=2,
)
PAGES = 3
INSTANCES = [f"i-{n:017x}" for n in range(6)]
IMAGES = [f"ami-{n:017x}" for n in range(401)]
ACTIONS = {
    Kind.INSTANCE: "DescribeInstances",
    Kind.VOLUME: "DescribeVolumes",
    Kind.SECURITY_GROUP: "DescribeSecurityGroups",
    Kind.IMAGE: "DescribeImages",
    Kind.PATCH_STATE: "DescribeInstancePatchStates",
}
IDS = {Kind.IMAGE: IMAGES, Kind.PATCH_STATE: INSTANCES}
COUNTS = {
    Kind.INSTANCE: 6,
    Kind.VOLUME: 12,
    Kind.SECURITY_GROUP: 20,
    Kind.IMAGE: 10,
    Kind.PATCH_STATE: 6,
}
MEANINGS: dict[Fault, type[QlrfError]] = {
    Fault.ERROR_500: Unavailable,
    Fault.ERROR_503: Unavailable,
    Fault.THROTTLED: Unavailable,
    Fault.RESET: Unavailable,
    Fault.STALLED: Unavailable,
    Fault.DENIED: Denied,
    Fault.CUT: Truncated,
    Fault.CUT_CLEAN: Truncated,
    Fault.PORTAL: Truncated,
}


@pytest.fixture(scope="module")
def replay() -> Iterator[ReplayAws]:
    with ReplayAws(SCENERY) as running:
        yield running


@pytest.fixture
def proxy(replay: ReplayAws) -> Iterator[FaultyProxy]:
    with FaultyProxy(replay.url) as running:
        yield running


def session_through(proxy: FaultyProxy, **patience: float) -> CloudSession:
    (session,) = aws_cloud(**({"read_timeout": 0.3} | patience)).sessions(
        aws_connector(proxy.url, regions=(REGION,))
    )
    assert isinstance(session, CloudSession), getattr(session, "error", None)
    return session


def scope_of(session: CloudSession, kind: Kind) -> Scope:
    connector = aws_connector("http://127.0.0.1:1")
    return Scope(
        tenant=connector.tenant,
        connector=connector.name,
        platform=Platform.AWS,
        account=session.account,
        region=REGION,
        kind=kind,
    )


@pytest.mark.parametrize("kind", ACTIONS)
def test_three_whole_pages_are_a_whole_listing(proxy: FaultyProxy, kind: Kind) -> None:
    session = session_through(proxy, read_timeout=5)

    pages = list(session.list_scope(scope_of(session, kind), ids=IDS.get(kind, ())))

    assert [page.last for page in pages] == [False, False, True]
    assert sum(page.rows.num_rows for page in pages) == COUNTS[kind]


@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("number", range(PAGES))
@pytest.mark.parametrize("kind", ACTIONS)
def test_a_spoiled_page_ends_the_listing_with_the_right_error(
    proxy: FaultyProxy, kind: Kind, number: int, fault: Fault
) -> None:
    session = session_through(proxy)
    proxy.spoil(ACTIONS[kind], fault, nth=number)
    seen: list[bool] = []
    pages = session.list_scope(scope_of(session, kind), ids=IDS.get(kind, ()))

    with pytest.raises(QlrfError) as caught:
        seen.extend(page.last for page in pages)

    assert type(caught.value) is MEANINGS[fault]
    assert seen == [False] * number
    assert "us-east-1" in str(caught.value)


@pytest.mark.parametrize(
    "fault", [Fault.ERROR_500, Fault.THROTTLED, Fault.RESET, Fault.CUT, Fault.CUT_CLEAN]
)
@pytest.mark.parametrize("kind", [Kind.INSTANCE, Kind.IMAGE, Kind.PATCH_STATE])
def test_a_fault_that_passes_is_mended_by_asking_again(
    proxy: FaultyProxy, kind: Kind, fault: Fault
) -> None:
    session = session_through(proxy, max_attempts=4, read_timeout=5)
    proxy.spoil(ACTIONS[kind], fault, nth=1, times=1)

    pages = list(session.list_scope(scope_of(session, kind), ids=IDS.get(kind, ())))

    assert [page.last for page in pages] == [False, False, True]
    assert sum(page.rows.num_rows for page in pages) == COUNTS[kind]


def test_a_page_that_leads_back_is_an_error_and_not_an_endless_listing() -> None:
    with ReplayAws(SCENERY) as replay, FaultyProxy(replay.url) as proxy:
        session = session_through(proxy, read_timeout=5)
        pages = replay._pages["DescribeInstances", REGION]
        pages[2] = pages[0]  # page 2 now promises page 1 again

        with pytest.raises(Truncated, match="earlier"):
            list(session.list_scope(scope_of(session, Kind.INSTANCE)))


@pytest.mark.parametrize("fault", Fault)
def test_an_account_that_cannot_be_entered_is_lost_for_the_right_reason(
    proxy: FaultyProxy, fault: Fault
) -> None:
    proxy.spoil("GetCallerIdentity", fault)

    (lost,) = aws_cloud(read_timeout=0.3).sessions(aws_connector(proxy.url, regions=(REGION,)))

    assert isinstance(lost, LostAccount)
    assert type(lost.error) is MEANINGS[fault]


@pytest.mark.parametrize("fault", Fault)
def test_regions_that_cannot_be_read_are_an_error(proxy: FaultyProxy, fault: Fault) -> None:
    (session,) = aws_cloud(read_timeout=0.3).sessions(aws_connector(proxy.url))
    proxy.spoil("DescribeRegions", fault)

    assert isinstance(session, CloudSession)
    with pytest.raises(MEANINGS[fault]):
        session.regions()


def test_a_region_of_ten_thousand_instances_is_listed_whole() -> None:
    scenery = Scenery(instances=10_000, regions=(REGION,))
    with ReplayAws(scenery) as replay:
        (session,) = aws_cloud(read_timeout=30).sessions(aws_connector(replay.url))
        assert isinstance(session, CloudSession)

        ids: set[str] = set()
        last = []
        for page in session.list_scope(scope_of(session, Kind.INSTANCE)):
            ids.update(page.rows.column("asset_id").to_pylist())
            last.append(page.last)

    assert len(ids) == 10_000
    assert last == [False] * 9 + [True]
