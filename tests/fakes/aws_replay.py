"""A fast AWS API that replays pages made in advance: `python -m tests.fakes.aws_replay -h`.

Moto spends most of such a test's CPU; this spends almost none. Pages look like EC2's own, about
3.9 kB of XML per instance.
"""

import argparse
import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs

ACCOUNT = "111122223333"
REGIONS = ("us-east-1", "eu-west-1", "ap-south-1", "us-west-2")
GROUPS, IMAGES = 20, 10
SPACE = "http://ec2.amazonaws.com/doc/2016-11-15/"
HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'

INSTANCE = (
    "<item><reservationId>r-{n:017x}</reservationId><ownerId>111122223333</ownerId><groupSet/>"
    "<instancesSet><item><instanceId>i-{n:017x}</instanceId>"
    "<imageId>ami-{image:017x}</imageId>"
    "<instanceState><code>16</code><name>running</name></instanceState>"
    "<privateDnsName>ip-10-1-2-3.ec2.internal</privateDnsName><dnsName/><reason/>"
    "<keyName>ops</keyName><amiLaunchIndex>0</amiLaunchIndex><productCodes/>"
    "<instanceType>m5.large</instanceType><launchTime>2026-10-01T12:34:56.000Z</launchTime>"
    "<placement><availabilityZone>us-east-1a</availabilityZone><groupName/>"
    "<tenancy>default</tenancy></placement><monitoring><state>disabled</state></monitoring>"
    "<subnetId>subnet-0123456789abcdef0</subnetId><vpcId>vpc-0123456789abcdef0</vpcId>"
    "<privateIpAddress>10.1.2.3</privateIpAddress><sourceDestCheck>true</sourceDestCheck>"
    "<groupSet><item><groupId>sg-{group:017x}</groupId><groupName>web</groupName></item>"
    "</groupSet><architecture>x86_64</architecture><rootDeviceType>ebs</rootDeviceType>"
    "<rootDeviceName>/dev/xvda</rootDeviceName><blockDeviceMapping>"
    "<item><deviceName>/dev/xvda</deviceName><ebs><volumeId>vol-a{n:016x}</volumeId>"
    "<status>attached</status><attachTime>2026-10-01T12:34:57.000Z</attachTime>"
    "<deleteOnTermination>true</deleteOnTermination></ebs></item>"
    "<item><deviceName>/dev/xvdb</deviceName><ebs><volumeId>vol-b{n:016x}</volumeId>"
    "<status>attached</status><attachTime>2026-10-01T12:34:57.000Z</attachTime>"
    "<deleteOnTermination>true</deleteOnTermination></ebs></item></blockDeviceMapping>"
    "<virtualizationType>hvm</virtualizationType><clientToken/><tagSet>"
    "<item><key>Name</key><value>web-{n}</value></item>"
    "<item><key>Environment</key><value>prod</value></item>"
    "<item><key>Team</key><value>payments</value></item>"
    "<item><key>CostCenter</key><value>4711</value></item></tagSet><hypervisor>xen</hypervisor>"
    "<networkInterfaceSet><item><networkInterfaceId>eni-{n:017x}</networkInterfaceId>"
    "<subnetId>subnet-0123456789abcdef0</subnetId><vpcId>vpc-0123456789abcdef0</vpcId>"
    "<description/><ownerId>111122223333</ownerId><status>in-use</status>"
    "<macAddress>02:00:00:00:00:01</macAddress><privateIpAddress>10.1.2.3</privateIpAddress>"
    "<privateDnsName>ip-10-1-2-3.ec2.internal</privateDnsName>"
    "<sourceDestCheck>true</sourceDestCheck><groupSet><item><groupId>sg-{group:017x}</groupId>"
    "<groupName>web</groupName></item></groupSet><attachment>"
    "<attachmentId>eni-attach-{n:017x}</attachmentId><deviceIndex>0</deviceIndex>"
    "<networkCardIndex>0</networkCardIndex><status>attached</status>"
    "<attachTime>2026-10-01T12:34:56.000Z</attachTime>"
    "<deleteOnTermination>true</deleteOnTermination></attachment><privateIpAddressesSet><item>"
    "<privateIpAddress>10.1.2.3</privateIpAddress>"
    "<privateDnsName>ip-10-1-2-3.ec2.internal</privateDnsName><primary>true</primary></item>"
    "</privateIpAddressesSet><ipv6AddressesSet/><interfaceType>interface</interfaceType></item>"
    "</networkInterfaceSet><iamInstanceProfile>"
    "<arn>arn:aws:iam::111122223333:instance-profile/web</arn><id>AIPA0123456789EXAMPLE</id>"
    "</iamInstanceProfile><ebsOptimized>true</ebsOptimized><enaSupport>true</enaSupport>"
    "<cpuOptions><coreCount>1</coreCount><threadsPerCore>2</threadsPerCore></cpuOptions>"
    "<capacityReservationSpecification>"
    "<capacityReservationPreference>open</capacityReservationPreference>"
    "</capacityReservationSpecification><hibernationOptions><configured>false</configured>"
    "</hibernationOptions><enclaveOptions><enabled>false</enabled></enclaveOptions>"
    "<metadataOptions><state>applied</state><httpTokens>required</httpTokens>"
    "<httpPutResponseHopLimit>2</httpPutResponseHopLimit><httpEndpoint>enabled</httpEndpoint>"
    "<httpProtocolIpv6>disabled</httpProtocolIpv6>"
    "<instanceMetadataTags>disabled</instanceMetadataTags></metadataOptions>"
    "<usageOperation>RunInstances</usageOperation>"
    "<usageOperationUpdateTime>2026-10-01T12:34:56.000Z</usageOperationUpdateTime>"
    "</item></instancesSet></item>"
)
VOLUME = (
    "<item><volumeId>vol-{disk}{n:016x}</volumeId><size>50</size><snapshotId/>"
    "<availabilityZone>us-east-1a</availabilityZone><status>in-use</status>"
    "<createTime>2026-10-01T12:34:56.000Z</createTime><attachmentSet><item>"
    "<volumeId>vol-{disk}{n:016x}</volumeId><instanceId>i-{n:017x}</instanceId>"
    "<device>/dev/xvda</device><status>attached</status>"
    "<attachTime>2026-10-01T12:34:57.000Z</attachTime>"
    "<deleteOnTermination>true</deleteOnTermination></item></attachmentSet>"
    "<volumeType>gp3</volumeType><encrypted>true</encrypted><iops>3000</iops>"
    "<multiAttachEnabled>false</multiAttachEnabled></item>"
)
GROUP = (
    "<item><ownerId>111122223333</ownerId><groupId>sg-{n:017x}</groupId>"
    "<groupName>web-{n}</groupName><groupDescription>web</groupDescription>"
    "<vpcId>vpc-0123456789abcdef0</vpcId><ipPermissions><item><ipProtocol>tcp</ipProtocol>"
    "<fromPort>443</fromPort><toPort>443</toPort><groups/><ipRanges><item>"
    "<cidrIp>0.0.0.0/0</cidrIp></item></ipRanges><ipv6Ranges/><prefixListIds/></item>"
    "</ipPermissions><ipPermissionsEgress/><tagSet/></item>"
)
IMAGE = (
    "<item><imageId>ami-{n:017x}</imageId><imageLocation>qlrf/base</imageLocation>"
    "<imageState>available</imageState><imageOwnerId>111122223333</imageOwnerId>"
    "<isPublic>false</isPublic><architecture>x86_64</architecture><imageType>machine</imageType>"
    "<name>base-1.0.{n}</name><tagSet><item><key>qlrf:family</key>"
    "<value>ql-base-linux</value></item><item><key>qlrf:version</key><value>1.0.{n}</value>"
    "</item></tagSet><creationDate>2026-09-01T00:00:00.000Z</creationDate></item>"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenery:
    """How much there is, and how it is cut into pages."""

    instances: int = 6000
    regions: tuple[str, ...] = REGIONS
    instances_page: int = 1000
    volumes_page: int = 500
    groups_page: int = 1000
    patches_page: int = 50


class ReplayAws:
    """Serves a scenery on 127.0.0.1, each reply `delay` seconds late."""

    def __init__(self, scenery: Scenery, *, delay: float = 0) -> None:
        self.delay = delay
        self.scenery = scenery
        per_region = scenery.instances // len(scenery.regions)
        self._pages: dict[tuple[str, str], list[bytes]] = {}
        for number, region in enumerate(scenery.regions):
            self._fill(region, range(number * per_region, (number + 1) * per_region))
        replay = self

        class Handler(_Handler):
            owner = replay

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def serve(self) -> None:
        """Answer until stopped."""
        self._server.serve_forever(0.01)

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _fill(self, region: str, numbers: range) -> None:
        made = {
            "DescribeInstances": (
                "reservationSet",
                self.scenery.instances_page,
                [INSTANCE.format(n=n, image=n % IMAGES, group=n % GROUPS) for n in numbers],
            ),
            "DescribeVolumes": (
                "volumeSet",
                self.scenery.volumes_page,
                [VOLUME.format(n=n, disk=disk) for n in numbers for disk in "ab"],
            ),
            "DescribeSecurityGroups": (
                "securityGroupInfo",
                self.scenery.groups_page,
                [GROUP.format(n=n) for n in range(GROUPS)],
            ),
        }
        for action, (element, size, items) in made.items():
            cuts = [items[at : at + size] for at in range(0, len(items), size)] or [[]]
            self._pages[action, region] = [
                _answer(action, element, some, more=index + 1 if index + 1 < len(cuts) else None)
                for index, some in enumerate(cuts)
            ]

    def reply(self, action: str, region: str, body: dict[str, list[str]]) -> bytes:
        """The answer to a query; an unknown region is empty."""
        if action == "DescribeImages":
            return _images(body)
        if action == "DescribeRegions":
            return _regions(self.scenery.regions)
        if action == "GetCallerIdentity":
            return _identity()
        pages = self._pages[action, region]
        return pages[int(body.get("NextToken", ["0"])[0])]

    def patches(self, body: dict[str, object]) -> bytes:
        """SSM's answer: what it knows of the instances asked for."""
        asked = body["InstanceIds"]
        assert isinstance(asked, list)
        start, size = int(str(body.get("NextToken", 0))), self.scenery.patches_page
        answer: dict[str, object] = {
            "InstancePatchStates": [
                {
                    "InstanceId": instance_id,
                    "PatchGroup": "",
                    "BaselineId": "pb-0123456789abcdef0",
                    "MissingCount": 2,
                    "FailedCount": 0,
                    "InstalledPendingRebootCount": 1,
                    "CriticalNonCompliantCount": 0,
                    "SecurityNonCompliantCount": 1,
                    "OperationStartTime": 1790000000.0,
                    "OperationEndTime": 1790000060.0,
                    "Operation": "Scan",
                }
                for instance_id in asked[start : start + size]
            ]
        }
        if start + size < len(asked):
            answer["NextToken"] = str(start + size)
        return json.dumps(answer).encode()


class _Handler(BaseHTTPRequestHandler):
    owner: ReplayAws
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        target = self.headers.get("X-Amz-Target")
        region = self.headers.get("Authorization", "//").partition("Credential=")[2].split("/")[2]
        if target:
            answer, kind = self.owner.patches(json.loads(body)), "application/x-amz-json-1.1"
        else:
            query = parse_qs(body.decode())
            answer, kind = self.owner.reply(query["Action"][0], region, query), "text/xml"
        if self.owner.delay:
            time.sleep(self.owner.delay)
        self.send_response_only(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        pass


def _answer(action: str, element: str, items: Sequence[str], *, more: int | None) -> bytes:
    token = "" if more is None else f"<nextToken>{more}</nextToken>"
    inside = f"<requestId>replay</requestId><{element}>{''.join(items)}</{element}>{token}"
    return f'{HEAD}<{action}Response xmlns="{SPACE}">{inside}</{action}Response>'.encode()


def _images(body: dict[str, list[str]]) -> bytes:
    asked = {v[0] for k, v in body.items() if k.startswith(("Filter.1.Value.", "ImageId."))}
    every = {f"ami-{n:017x}": IMAGE.format(n=n) for n in range(IMAGES)}
    items = [text for ref, text in every.items() if not asked or ref in asked]
    return _answer("DescribeImages", "imagesSet", items, more=None)


def _regions(regions: Sequence[str]) -> bytes:
    items = [
        f"<item><regionName>{r}</regionName><regionEndpoint>ec2.{r}.amazonaws.com</regionEndpoint>"
        "<optInStatus>opt-in-not-required</optInStatus></item>"
        for r in regions
    ]
    return _answer("DescribeRegions", "regionInfo", items, more=None)


def _identity() -> bytes:
    return (
        f'{HEAD}<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
        f"<GetCallerIdentityResult><Arn>arn:aws:iam::{ACCOUNT}:user/replay</Arn>"
        f"<UserId>AIDA</UserId><Account>{ACCOUNT}</Account></GetCallerIdentityResult>"
        "</GetCallerIdentityResponse>"
    ).encode()


def main() -> None:
    """Serve until killed; the first line on stdout is the address."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instances", type=int, default=6000)
    parser.add_argument("--regions", default=",".join(REGIONS))
    parser.add_argument("--delay", type=float, default=0, help="seconds before each reply")
    options = parser.parse_args()
    scenery = Scenery(instances=options.instances, regions=tuple(options.regions.split(",")))
    replay = ReplayAws(scenery, delay=options.delay)
    print(replay.url, flush=True)  # noqa: T201
    replay.serve()


if __name__ == "__main__":
    main()
