"""Two regions of moto: two machines with images, a record, and networks to come back in."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from moto.ec2.models import ec2_backends

from qlrf_pipelines.domain.recovery import Member, Side
from qlrf_pipelines.ports.recovery import RecoverySession
from resources.clouds.aws.recovery import AwsRecovery
from resources.secrets import Secrets
from tests.fakes.clock import FakeClock
from tests.fakes.dying import Dying
from tests.fakes.moto_aws import ENV, OWN, REFERENCES, moto_aws
from tests.fakes.recovery_sites import Sites

if TYPE_CHECKING:
    from resources.clouds.aws.recovery_calls import AwsCalls

HOME, AWAY = "eu-central-1", "eu-west-1"
NAME = "app.example.com."
VOLATILE = ("LaunchTime", "ReservationId")


class AwsSites(Sites):
    """`copied` machines have an image in the recovery region, the others only at home."""

    def __init__(self, *, machines: int = 2, copied: int = 1, weighted: bool = False) -> None:
        self.expected = machines
        self._ways: dict[Any, AwsCalls] = {}
        self.aws = moto_aws()
        self.aws.reset()
        self.home, self.away = self.aws.client("ec2", HOME), self.aws.client("ec2", AWAY)
        self.dns = self.aws.client("route53")
        self.clock = FakeClock(datetime.fromisoformat("2026-11-25T12:00:00+00:00"))
        self.instances = self.aws.run(machines, region=HOME, InstanceType="t3.medium")
        self.bystander = self.aws.run(1, region=AWAY)[0]
        for number, instance in enumerate(self.instances):
            region, client = (AWAY, self.away) if number < copied else (HOME, self.home)
            self.image(instance, region=region, client=client)
        self.zone = self._zone(weighted)
        self.member = Member(name="web", adapter="aws", settings=self.settings(weighted))

    def image(self, instance: str, *, region: str, client: Any, **tags: str) -> str:
        """A backup of a machine, made an hour ago."""
        ref: str = client.register_image(Name=f"backup-{instance}-{len(tags)}")["ImageId"]
        marks = {"instance-id": instance, "timestamp": "2026-11-25T11:00:00+00:00"} | tags
        client.create_tags(Resources=[ref], Tags=[{"Key": k, "Value": v} for k, v in marks.items()])
        return ref

    def settings(self, weighted: bool = False) -> dict[str, Any]:
        """The member's settings."""
        record: dict[str, Any] = {"zone": self.zone, "name": NAME, "type": "A", "ttl": 30}
        if weighted:
            record["weighted"] = {"primary": "home", "recovery": "away"}
        return {
            "primaryRegion": HOME,
            "recoveryRegion": AWAY,
            "instances": [{"id": i, "type": "t3.medium"} for i in self.instances],
            "network": self._network("10.1.0.0/16"),
            "isolated": self._network("10.2.0.0/16"),
            "failBack": "restart-primary",
            "record": record,
            "copyFromPrimary": True,
            "credentials": REFERENCES,
            "endpointUrl": self.aws.url,
        }

    def adapter(self, *, die_at: int | None = None) -> AwsRecovery:
        """The adapter, impatient."""
        plain = AwsRecovery(secrets=Secrets(ENV), clock=self.clock, attempts=1, timeout=10)

        def reach(member: Member, keys: Mapping[str, str]) -> Any:
            # Making the SDK's clients costs more than all they are asked here.
            way = member.settings["endpointUrl"], member.settings.get("assumeRole")
            if way not in self._ways:
                self._ways[way] = plain.calls(member, keys)
            return Dying(self._ways[way], at=die_at, changes=changes)

        return AwsRecovery(secrets=Secrets(ENV), clock=self.clock, reach=reach)

    def unreachable(self) -> RecoverySession:
        settings = {**self.member.settings, "endpointUrl": "http://127.0.0.1:9"}
        return self.adapter().open(Member(name="web", adapter="aws", settings=settings))

    def without_credentials(self) -> dict[str, Any]:
        keys = {"accessKeyId": "env:NOWHERE", "secretAccessKey": "env:SECRET"}
        return {**self.member.settings, "credentials": keys}

    def world(self) -> Any:
        there: dict[str, Any] = {}
        for region, client in ((HOME, self.home), (AWAY, self.away)):
            for r in client.describe_instances()["Reservations"]:
                for i in r["Instances"]:
                    if i["State"]["Name"] != "terminated":
                        there[i["InstanceId"]] = (region, i["State"]["Name"], i.get("Tags"))
            images = client.describe_images(Owners=["self"])["Images"]
            there |= {i["ImageId"]: i.get("Tags") for i in images}
            # Asked of moto itself: its API spells out a snapshot of Amazon's own image as well.
            snapshots = ec2_backends[OWN][region].snapshots
            there |= {ref: snapshots[ref].get_tags() for ref in list(snapshots)}
            there |= {v["VolumeId"]: v["State"] for v in client.describe_volumes()["Volumes"]}
        return there | {"records": self.records()}

    def records(self) -> list[dict[str, Any]]:
        """All records of the zone."""
        found = self.dns.list_resource_record_sets(HostedZoneId=self.zone)
        rows: list[dict[str, Any]] = found["ResourceRecordSets"]
        return rows

    def led_to(self) -> list[str]:
        """The addresses clients are given."""
        rows = [r for r in self.records() if r["Name"] == NAME and r.get("Weight") != 0]
        return [value["Value"] for row in rows for value in row["ResourceRecords"]]

    def served_by(self) -> Side | None:
        if self.led_to() == ["192.0.2.10"]:
            return Side.PRIMARY if self.primary_works() else None
        addresses = sorted(i["PrivateIpAddress"] for i in self.launched())
        return Side.RECOVERY if addresses and sorted(self.led_to()) == addresses else None

    def primary_works(self) -> bool:
        found = self.home.describe_instances(InstanceIds=self.instances)["Reservations"]
        return {i["State"]["Name"] for r in found for i in r["Instances"]} == {"running"}

    def launched(self) -> list[dict[str, Any]]:
        """Instances in the recovery region that were not there before."""
        asked = [{"Name": "instance-state-name", "Values": ["pending", "running", "stopped"]}]
        found = self.away.describe_instances(Filters=asked)["Reservations"]
        rows = [i for r in found for i in r["Instances"]]
        return [i for i in rows if i["InstanceId"] != self.bystander]

    def made(self) -> int:
        return len(self.launched())

    def _network(self, block: str) -> dict[str, Any]:
        vpc = self.away.create_vpc(CidrBlock=block)["Vpc"]["VpcId"]
        subnet = self.away.create_subnet(VpcId=vpc, CidrBlock=block)["Subnet"]["SubnetId"]
        group = self.away.create_security_group(GroupName=block, Description="x", VpcId=vpc)
        return {"subnet": subnet, "securityGroups": [group["GroupId"]]}

    def _zone(self, weighted: bool) -> str:
        zone = self.dns.create_hosted_zone(Name="example.com.", CallerReference="1")
        ref: str = zone["HostedZone"]["Id"].rpartition("/")[2]
        record: dict[str, Any] = {"Name": NAME, "Type": "A", "TTL": 300}
        record["ResourceRecords"] = [{"Value": "192.0.2.10"}]
        if weighted:
            record |= {"SetIdentifier": "home", "Weight": 10}
        changes = [{"Action": "CREATE", "ResourceRecordSet": record}]
        self.dns.change_resource_record_sets(HostedZoneId=ref, ChangeBatch={"Changes": changes})
        return ref


def changes(name: str, args: tuple[Any, ...]) -> bool:
    """Whether a call of AwsCalls changes something."""
    return name == "call" and not str(args[1]).startswith(("describe_", "list_", "get_"))
