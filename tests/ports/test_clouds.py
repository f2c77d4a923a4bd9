"""What every cloud promises, on the fake one and on AWS's adapter over moto."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import pyarrow as pa
import pytest

from qlrf_pipelines.domain.errors import QlrfError
from qlrf_pipelines.domain.estate import Connector, TenantId
from qlrf_pipelines.domain.inventory import PAGE_SCHEMAS, Kind, Scope
from qlrf_pipelines.domain.vocabulary import Platform
from qlrf_pipelines.ports.clouds import Cloud, CloudSession
from tests.fakes.cloud import FakeCloud, image, instance, patch_state, volume
from tests.fakes.moto_aws import OWN, aws_cloud, aws_connector, moto_aws, role

OTHER = "222222222222"
LISTED = [Kind.INSTANCE, Kind.VOLUME, Kind.SECURITY_GROUP, Kind.IMAGE, Kind.PATCH_STATE]


class CloudWorld(ABC):
    """A cloud, and a way to put something into it."""

    cloud: Cloud

    @abstractmethod
    def run(
        self, count: int, *, account: str = OWN, tags: dict[str, str] | None = None
    ) -> list[str]:
        """Start instances in us-east-1, each with one unencrypted volume."""

    @abstractmethod
    def image(self, **tags: str) -> str:
        """Register an image in us-east-1."""

    @abstractmethod
    def scan(self, instance_id: str, missing: int) -> None:
        """Let the patch manager find missing patches."""

    def connector(self, account: str = OWN) -> Connector:
        """A connector that sees one account."""
        return aws_connector(
            self.endpoint(),
            name=f"into-{account}",
            regions=("us-east-1", "eu-west-1"),
            assume_roles=(role(account),) if account != OWN else (),
        )

    def endpoint(self) -> str:
        """Where the cloud answers."""
        return "http://127.0.0.1:1"


class FakeWorld(CloudWorld):
    def __init__(self) -> None:
        seen = {(TenantId("acme"), f"into-{account}"): (account,) for account in (OWN, OTHER)}
        self.fake = FakeCloud({OWN: {}, OTHER: {}}, connectors=seen)
        self.cloud = self.fake

    def run(
        self, count: int, *, account: str = OWN, tags: dict[str, str] | None = None
    ) -> list[str]:
        region = self.fake.region(account, "us-east-1")
        made = [f"i-{account}-{len(region.instances) + n}" for n in range(count)]
        region.instances += [
            instance(i, tags=tags or {}, volume_ids=[f"vol-{i}"], imds_v2=False, monitoring=False)
            for i in made
        ]
        region.volumes += [volume(f"vol-{i}", encrypted=False) for i in made]
        return made

    def image(self, **tags: str) -> str:
        region = self.fake.region(OWN, "us-east-1")
        ref = f"ami-{len(region.images)}"
        found = {key.rpartition(":")[2].lower(): value for key, value in tags.items()}
        region.images.append(image(ref, **found))
        return ref

    def scan(self, instance_id: str, missing: int) -> None:
        states = self.fake.region(OWN, "us-east-1").patch_states
        states.append(patch_state(instance_id, missing=missing))


class MotoWorld(CloudWorld):
    def __init__(self) -> None:
        self.moto = moto_aws()
        self.moto.reset()
        self.cloud = aws_cloud()

    def endpoint(self) -> str:
        return self.moto.url

    def run(
        self, count: int, *, account: str = OWN, tags: dict[str, str] | None = None
    ) -> list[str]:
        given = [{"Key": k, "Value": v} for k, v in (tags or {}).items()]
        options = {"TagSpecifications": [{"ResourceType": "instance", "Tags": given}]}
        return self.moto.run(count, account=account, **(options if given else {}))

    def image(self, **tags: str) -> str:
        return self.moto.image(**tags)

    def scan(self, instance_id: str, missing: int) -> None:
        self.moto.patches[instance_id] = {"MissingCount": missing}


@pytest.fixture(params=[FakeWorld, MotoWorld])
def world(request: pytest.FixtureRequest) -> CloudWorld:
    made: CloudWorld = request.param()
    return made


def session_of(world: CloudWorld, account: str = OWN) -> CloudSession:
    (session,) = world.cloud.sessions(world.connector(account))
    assert isinstance(session, CloudSession), getattr(session, "error", None)
    return session


def scope_of(session: CloudSession, kind: Kind, region: str = "us-east-1") -> Scope:
    return Scope(
        tenant=TenantId("acme"),
        connector="aws-main",
        platform=Platform.AWS,
        account=session.account,
        region=region,
        kind=kind,
    )


def listed(
    session: CloudSession, kind: Kind, ids: Sequence[str] = (), region: str = "us-east-1"
) -> list[dict[str, object]]:
    pages = list(session.list_scope(scope_of(session, kind, region), ids=ids))
    assert [page.last for page in pages] == [False] * (len(pages) - 1) + [True]
    assert all(page.rows.schema.equals(PAGE_SCHEMAS[kind]) for page in pages)
    rows: list[dict[str, object]] = pa.Table.from_batches([p.rows for p in pages]).to_pylist()
    return rows


def test_a_session_says_whose_account_it_is_and_as_whom(world: CloudWorld) -> None:
    session = session_of(world)

    assert session.account == OWN
    assert OWN in session.identity


def test_the_regions_are_those_the_connector_names(world: CloudWorld) -> None:
    assert list(session_of(world).regions()) == ["us-east-1", "eu-west-1"]


def test_every_instance_is_listed_once_with_what_the_cloud_says_of_it(world: CloudWorld) -> None:
    made = world.run(5, tags={"Zone": "z", "Name": "web"})

    rows = listed(session_of(world), Kind.INSTANCE)

    assert sorted(str(row["asset_id"]) for row in rows) == sorted(made)
    assert {row["state"] for row in rows} == {"running"}
    assert rows[0]["tags"] == [("Name", "web"), ("Zone", "z")]
    assert rows[0]["imds_v2"] is False
    assert rows[0]["monitoring"] is False


def test_an_instance_leads_to_its_volumes(world: CloudWorld) -> None:
    world.run(1)
    session = session_of(world)

    (row,) = listed(session, Kind.INSTANCE)
    volumes = {v["volume_id"]: v["encrypted"] for v in listed(session, Kind.VOLUME)}

    assert isinstance(row["volume_ids"], list)
    assert [volumes[volume_id] for volume_id in row["volume_ids"]] == [False]


def test_images_are_read_by_id_and_a_lost_one_is_left_out(world: CloudWorld) -> None:
    ref = world.image(**{"qlrf:family": "base", "qlrf:version": "1.2.3"})

    rows = listed(session_of(world), Kind.IMAGE, ids=["ami-00000000", ref])

    assert [(r["image_ref"], r["image_family"], r["image_version"]) for r in rows] == [
        (ref, "base", "1.2.3")
    ]


def test_family_and_version_may_stand_in_plain_tags(world: CloudWorld) -> None:
    ref = world.image(Family="base", Version="1.2.3")

    (row,) = listed(session_of(world), Kind.IMAGE, ids=[ref])

    assert (row["image_family"], row["image_version"]) == ("base", "1.2.3")


def test_patch_states_cover_what_is_managed_and_nothing_else(world: CloudWorld) -> None:
    managed, unmanaged = world.run(2)
    world.scan(managed, missing=3)

    rows = listed(session_of(world), Kind.PATCH_STATE, ids=[managed, unmanaged])

    assert [(row["asset_id"], row["patches_missing"]) for row in rows] == [(managed, 3)]


@pytest.mark.parametrize("kind", LISTED)
def test_nothing_there_is_one_empty_page_that_says_it_is_the_last(
    world: CloudWorld, kind: Kind
) -> None:
    session = session_of(world)

    pages = list(session.list_scope(scope_of(session, kind, "eu-west-1")))

    assert pages[-1].last
    assert kind is Kind.SECURITY_GROUP or sum(page.rows.num_rows for page in pages) == 0


def test_two_accounts_are_two_worlds(world: CloudWorld) -> None:
    mine, theirs = world.run(1), world.run(1, account=OTHER)

    assert [r["asset_id"] for r in listed(session_of(world), Kind.INSTANCE)] == mine
    assert [r["asset_id"] for r in listed(session_of(world, OTHER), Kind.INSTANCE)] == theirs


def test_an_account_that_does_not_answer_is_a_value(world: CloudWorld) -> None:
    if isinstance(world, FakeWorld):
        world.fake.fail(OWN, "", Kind.ACCOUNT)
        connector = world.connector()
    else:
        connector = aws_connector("http://127.0.0.1:9")

    (lost,) = world.cloud.sessions(connector)

    assert not isinstance(lost, CloudSession)
    assert isinstance(lost.error, QlrfError)
