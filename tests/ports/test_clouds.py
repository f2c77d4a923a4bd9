"""What every cloud promises: the fake one, AWS over moto, Kubernetes over a real API server."""

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
from tests.fakes.kube_cluster import KubeCluster, kubernetes_cloud
from tests.fakes.moto_aws import OWN, aws_cloud, aws_connector, moto_aws, role

OTHER = "222222222222"


class CloudWorld(ABC):
    """A cloud, and a way to put something into it."""

    cloud: Cloud
    account = OWN
    who = OWN  # part of our identity there
    regions = ("us-east-1", "eu-west-1")  # everything is in the first, nothing in the second

    @abstractmethod
    def run(
        self, count: int, *, account: str = OWN, tags: dict[str, str] | None = None
    ) -> list[str]:
        """Start instances in the first region; a machine has one unencrypted volume."""

    @abstractmethod
    def lost(self) -> Connector:
        """A connector into an account that does not answer."""


class MachineWorld(CloudWorld):
    """One with machines: images with tags, volumes, patch states, several accounts."""

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


class FakeWorld(MachineWorld):
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

    def lost(self) -> Connector:
        self.fake.fail(OWN, "", Kind.ACCOUNT)
        return self.connector()

    def scan(self, instance_id: str, missing: int) -> None:
        states = self.fake.region(OWN, "us-east-1").patch_states
        states.append(patch_state(instance_id, missing=missing))


class MotoWorld(MachineWorld):
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

    def lost(self) -> Connector:
        return aws_connector("http://127.0.0.1:9")

    def scan(self, instance_id: str, missing: int) -> None:
        self.moto.patches[instance_id] = {"MissingCount": missing}


class KubeWorld(CloudWorld):
    account = "prod-eu"
    who = "admin"

    def __init__(self) -> None:
        self.cluster = KubeCluster()
        self.cloud = kubernetes_cloud()
        self.regions = (self.cluster.home, self.cluster.namespace("away"))

    def connector(self, account: str = OWN) -> Connector:
        return self.cluster.connector(*self.regions)

    def run(
        self, count: int, *, account: str = OWN, tags: dict[str, str] | None = None
    ) -> list[str]:
        return [self.cluster.workload(f"web-{n}", labels=tags) for n in range(count)]

    def lost(self) -> Connector:
        return self.cluster.connector(endpoint_url="https://127.0.0.1:9")


MACHINES = [FakeWorld, MotoWorld]


@pytest.fixture(params=[*MACHINES, pytest.param(KubeWorld, marks=pytest.mark.real)])
def world(request: pytest.FixtureRequest) -> CloudWorld:
    made: CloudWorld = request.param()
    return made


@pytest.fixture(params=MACHINES)
def machines(request: pytest.FixtureRequest) -> MachineWorld:
    made: MachineWorld = request.param()
    return made


def session_of(world: CloudWorld, account: str = OWN) -> CloudSession:
    (session,) = world.cloud.sessions(world.connector(account))
    assert isinstance(session, CloudSession), getattr(session, "error", None)
    return session


def scope_of(session: CloudSession, kind: Kind, region: str) -> Scope:
    return Scope(
        tenant=TenantId("acme"),
        connector="main",
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

    assert session.account == world.account
    assert world.who in session.identity


def test_the_regions_are_those_the_connector_names(world: CloudWorld) -> None:
    assert list(session_of(world).regions(known=["us-west-2"])) == list(world.regions)


def test_every_instance_is_listed_once_with_what_the_cloud_says_of_it(world: CloudWorld) -> None:
    made = world.run(5, tags={"Zone": "z", "Name": "web"})

    rows = listed(session_of(world), Kind.INSTANCE, region=world.regions[0])

    assert sorted(str(row["asset_id"]) for row in rows) == sorted(made)
    assert {row["state"] for row in rows} == {"running"}
    tags = rows[0]["tags"]
    assert isinstance(tags, list)
    assert tags == sorted(tags)
    assert {("Name", "web"), ("Zone", "z")} <= set(tags)


def test_an_instance_leads_to_its_image(world: CloudWorld) -> None:
    world.run(1)
    session = session_of(world)

    (row,) = listed(session, Kind.INSTANCE, region=world.regions[0])

    assert isinstance(row["image_ref"], str)
    assert row["image_ref"]


def test_nothing_there_is_no_row_and_a_last_page(world: CloudWorld) -> None:
    session = session_of(world)

    for kind in session.kinds:
        pages = list(session.list_scope(scope_of(session, kind, world.regions[1])))

        assert [page.last for page in pages] == [False] * (len(pages) - 1) + [True]
        # An account has a security group from the first.
        assert kind is Kind.SECURITY_GROUP or sum(page.rows.num_rows for page in pages) == 0


def test_an_account_that_does_not_answer_is_a_value(world: CloudWorld) -> None:
    (lost,) = world.cloud.sessions(world.lost())

    assert not isinstance(lost, CloudSession)
    assert isinstance(lost.error, QlrfError)


def test_a_machine_says_how_its_metadata_and_its_monitoring_are(machines: MachineWorld) -> None:
    machines.run(1)

    (row,) = listed(session_of(machines), Kind.INSTANCE)

    assert (row["imds_v2"], row["monitoring"]) == (False, False)


def test_a_machine_leads_to_its_volumes(machines: MachineWorld) -> None:
    machines.run(1)
    session = session_of(machines)

    (row,) = listed(session, Kind.INSTANCE)
    volumes = {v["volume_id"]: v["encrypted"] for v in listed(session, Kind.VOLUME)}

    assert isinstance(row["volume_ids"], list)
    assert [volumes[volume_id] for volume_id in row["volume_ids"]] == [False]


def test_images_are_read_by_id_and_a_lost_one_is_left_out(machines: MachineWorld) -> None:
    ref = machines.image(**{"qlrf:family": "base", "qlrf:version": "1.2.3"})

    rows = listed(session_of(machines), Kind.IMAGE, ids=["ami-00000000", ref])

    assert [(r["image_ref"], r["image_family"], r["image_version"]) for r in rows] == [
        (ref, "base", "1.2.3")
    ]


def test_family_and_version_may_stand_in_plain_tags(machines: MachineWorld) -> None:
    ref = machines.image(Family="base", Version="1.2.3")

    (row,) = listed(session_of(machines), Kind.IMAGE, ids=[ref])

    assert (row["image_family"], row["image_version"]) == ("base", "1.2.3")


def test_patch_states_cover_what_is_managed_and_nothing_else(machines: MachineWorld) -> None:
    managed, unmanaged = machines.run(2)
    machines.scan(managed, missing=3)

    rows = listed(session_of(machines), Kind.PATCH_STATE, ids=[managed, unmanaged])

    assert [(row["asset_id"], row["patches_missing"]) for row in rows] == [(managed, 3)]


def test_two_accounts_are_two_worlds(machines: MachineWorld) -> None:
    mine, theirs = machines.run(1), machines.run(1, account=OTHER)

    assert [r["asset_id"] for r in listed(session_of(machines), Kind.INSTANCE)] == mine
    assert [r["asset_id"] for r in listed(session_of(machines, OTHER), Kind.INSTANCE)] == theirs
