"""The lean readers say what botocore's own parser says, for moto's answers and for odd ones."""

from datetime import UTC, datetime
from typing import Any
from xml.sax.saxutils import escape

import pytest
from botocore.parsers import EC2QueryParser
from botocore.session import Session
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.clouds.aws.answers import AnswerParsers
from resources.clouds.aws.facts import read
from tests.fakes.aws_replay import ReplayAws, Scenery
from tests.fakes.moto_aws import moto_aws

SPACE = "http://ec2.amazonaws.com/doc/2016-11-15/"
MODEL = Session().get_service_model("ec2")
STATES = {
    "pending": "pending",
    "running": "running",
    "stopping": "stopped",
    "stopped": "stopped",
    "shutting-down": "terminated",
    "terminated": "terminated",
}


def botocore_rows(operation: str, body: bytes) -> list[dict[str, Any]]:
    """The rows made the slow way, from botocore's dictionaries."""
    response = {"status_code": 200, "headers": {}, "body": body}
    parsed = EC2QueryParser().parse(response, MODEL.operation_model(operation).output_shape)
    match operation:
        case "DescribeInstances":
            return [instance_row(i) for r in parsed["Reservations"] for i in r["Instances"]]
        case "DescribeVolumes":
            return [
                {"volume_id": v["VolumeId"], "encrypted": v.get("Encrypted")}
                for v in parsed["Volumes"]
            ]
    return [
        {"group_id": g["GroupId"], "open_ports": open_ports(g.get("IpPermissions"))}
        for g in parsed["SecurityGroups"]
    ]


def instance_row(i: dict[str, Any]) -> dict[str, Any]:
    nics = i.get("NetworkInterfaces")
    addresses = [n.get("Association", {}).get("PublicIp") for n in nics or ()]
    groups = [g.get("GroupId") for g in i.get("SecurityGroups", ())]
    groups += [g.get("GroupId") for n in nics or () for g in n.get("Groups", ())]
    disks = i.get("BlockDeviceMappings")
    options = i.get("MetadataOptions", {})
    tokens = options.get("HttpTokens") or None
    closed = tokens == "required" or options.get("HttpEndpoint") == "disabled"
    watched = i.get("Monitoring", {}).get("State")
    return {
        "asset_id": i["InstanceId"],
        "image_ref": i.get("ImageId") or None,
        "instance_type": i.get("InstanceType") or None,
        "state": STATES.get(i.get("State", {}).get("Name"), "unknown"),
        "launched_at": i.get("LaunchTime"),
        "tags": sorted((t.get("Key", ""), t.get("Value", "")) for t in i.get("Tags", ())),
        "volume_ids": None
        if disks is None
        else [d["Ebs"]["VolumeId"] for d in disks if d.get("Ebs", {}).get("VolumeId")],
        "group_ids": None
        if nics is None and "SecurityGroups" not in i
        else sorted({g for g in groups if g}),
        "imds_v2": True if closed else (None if tokens is None else False),
        "public_ip": i.get("PublicIpAddress")
        or (None if nics is None else next((a for a in addresses if a), "")),
        "monitoring": watched == "enabled" if watched else None,
    }


def open_ports(permissions: list[dict[str, Any]] | None) -> list[dict[str, Any]] | None:
    if permissions is None:
        return None
    found = set()
    for rule in permissions:
        protocol = rule.get("IpProtocol") or "-1"
        ranges = [r.get("CidrIp", "") for r in rule.get("IpRanges", ())]
        ranges += [r.get("CidrIpv6", "") for r in rule.get("Ipv6Ranges", ())]
        if protocol in ("icmp", "icmpv6", "1", "58") or not any(r.endswith("/0") for r in ranges):
            continue
        low, high = rule.get("FromPort", -1), rule.get("ToPort", -1)
        if protocol == "-1" or -1 in (low, high):
            low, high = 0, 65535
        found.add(({"-1": "all", "6": "tcp", "17": "udp"}.get(protocol, protocol), low, high))
    return [{"protocol": p, "from_port": low, "to_port": high} for p, low, high in sorted(found)]


def lean_rows(operation: str, body: bytes) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = read(operation, body)[0].to_pylist()
    return rows


def answer(operation: str, element: str, items: list[str], *, space: str = SPACE) -> bytes:
    inside = f"<requestId>r</requestId><{element}>{''.join(items)}</{element}>"
    return f'<{operation}Response xmlns="{space}">{inside}</{operation}Response>'.encode()


def tree(name: str, *inside: str) -> str:
    return f"<{name}>{''.join(inside)}</{name}>"


def leaf(name: str, values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """An element with a value, an empty one, or none at all."""
    full = values.map(lambda value: tree(name, escape(value)))
    return st.one_of(full, st.just(f"<{name}/>"), st.just(""))


def some(name: str, *parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """A list element with items, an empty one, or none at all."""
    items = st.lists(st.tuples(*parts).map(lambda p: tree("item", *p)), max_size=3)
    return st.one_of(items.map(lambda found: tree(name, *found)), st.just(""))


def group_of(name: str, *parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(st.tuples(*parts).map(lambda p: tree(name, *p)), st.just(""))


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1)
IDS = st.sampled_from(["a-1", "a-2", "a-3"])
GROUPS = some("groupSet", leaf("groupId", IDS))
INSTANCES = st.tuples(
    IDS.map(lambda i: tree("instanceId", i)),
    leaf("imageId", IDS),
    leaf("instanceType", TEXT),
    group_of("instanceState", leaf("name", st.sampled_from([*STATES, "lost"]))),
    st.one_of(
        st.integers(946_684_800, 4_102_444_800).map(
            lambda s: tree("launchTime", datetime.fromtimestamp(s, UTC).isoformat())
        ),
        st.just("<launchTime>2026-10-01T12:34:56.000Z</launchTime>"),
        st.just(""),
    ),
    some("tagSet", leaf("key", TEXT), leaf("value", TEXT)),
    some("blockDeviceMapping", group_of("ebs", leaf("volumeId", IDS)), leaf("deviceName", TEXT)),
    GROUPS,
    some("networkInterfaceSet", GROUPS, group_of("association", leaf("publicIp", IDS))),
    group_of(
        "metadataOptions",
        leaf("httpTokens", st.sampled_from(["required", "optional"])),
        leaf("httpEndpoint", st.sampled_from(["enabled", "disabled"])),
    ),
    leaf("ipAddress", IDS),
    group_of("monitoring", leaf("state", st.sampled_from(["enabled", "disabled", "pending"]))),
    leaf("somethingNew", TEXT),
).map(lambda parts: tree("item", *parts))
CIDRS = st.sampled_from(["0.0.0.0/0", "10.0.0.0/8", "::/0", "fd00::/8"])
NUMBERS = st.sampled_from(["-1", "0", "22", "443", "65535"])
PERMISSIONS = some(
    "ipPermissions",
    leaf("ipProtocol", st.sampled_from(["tcp", "udp", "6", "17", "icmp", "icmpv6", "58", "-1"])),
    st.one_of(NUMBERS.map(lambda n: tree("fromPort", n)), st.just("")),
    st.one_of(NUMBERS.map(lambda n: tree("toPort", n)), st.just("")),
    some("ipRanges", leaf("cidrIp", CIDRS)),
    some("ipv6Ranges", leaf("cidrIpv6", CIDRS)),
)


@settings(max_examples=150, deadline=None)
@given(instances=st.lists(INSTANCES, max_size=3))
def test_any_instance_reads_as_botocore_reads_it(instances: list[str]) -> None:
    reservations = [
        tree("item", "<ownerId>1</ownerId>", tree("instancesSet", item), "<requesterId/>")
        for item in instances
    ]
    body = answer("DescribeInstances", "reservationSet", reservations)

    assert lean_rows("DescribeInstances", body) == botocore_rows("DescribeInstances", body)


@settings(max_examples=100, deadline=None)
@given(groups=st.lists(PERMISSIONS, max_size=3))
def test_any_security_group_reads_as_botocore_reads_it(groups: list[str]) -> None:
    items = [tree("item", tree("groupId", f"sg-{n}"), rules) for n, rules in enumerate(groups)]
    body = answer("DescribeSecurityGroups", "securityGroupInfo", items)

    read = lean_rows("DescribeSecurityGroups", body)

    assert read == botocore_rows("DescribeSecurityGroups", body)


@settings(max_examples=50, deadline=None)
@given(flags=st.lists(leaf("encrypted", st.sampled_from(["true", "false"])), max_size=3))
def test_any_volume_reads_as_botocore_reads_it(flags: list[str]) -> None:
    # An empty flag is no flag: botocore reads <encrypted/> as false, which nobody said.
    known = [flag for flag in flags if flag != "<encrypted/>"]
    items = [tree("item", tree("volumeId", f"vol-{n}"), flag) for n, flag in enumerate(known)]
    body = answer("DescribeVolumes", "volumeSet", items)

    assert lean_rows("DescribeVolumes", body) == botocore_rows("DescribeVolumes", body)


@pytest.mark.parametrize(
    ("operation", "method"),
    [
        ("DescribeInstances", "describe_instances"),
        ("DescribeVolumes", "describe_volumes"),
        ("DescribeSecurityGroups", "describe_security_groups"),
    ],
)
def test_moto_s_and_recorded_answers_read_as_botocore_reads_them(
    operation: str, method: str
) -> None:
    moto = moto_aws()
    moto.reset()
    moto.run(3)
    ec2 = moto.client("ec2")
    bodies: list[bytes] = []
    ec2.meta.events.register(
        f"before-parse.ec2.{operation}",
        lambda response_dict, **_: bodies.append(response_dict["body"]),
    )
    getattr(ec2, method)()
    replayed = ReplayAws(Scenery(instances=8, regions=("us-east-1",)))
    bodies.append(replayed.reply(operation, "us-east-1", {}))

    for body in bodies:
        assert lean_rows(operation, body)
        assert lean_rows(operation, body) == botocore_rows(operation, body)


def test_ports_open_to_the_world_are_ranges_icmp_is_none_of_them() -> None:
    rules = tree(
        "ipPermissions",
        rule("tcp", "22", "22", "0.0.0.0/0"),
        rule("tcp", "443", "443", "10.0.0.0/8"),
        rule("icmp", "-1", "-1", "0.0.0.0/0"),
        rule("-1", "", "", "::/0"),
    )
    body = answer(
        "DescribeSecurityGroups",
        "securityGroupInfo",
        [tree("item", tree("groupId", "sg-1"), rules)],
    )

    (row,) = lean_rows("DescribeSecurityGroups", body)

    assert row["open_ports"] == [
        {"protocol": "all", "from_port": 0, "to_port": 65535},
        {"protocol": "tcp", "from_port": 22, "to_port": 22},
    ]


def rule(protocol: str, low: str, high: str, cidr: str) -> str:
    ranges, address = ("ipv6Ranges", "cidrIpv6") if ":" in cidr else ("ipRanges", "cidrIp")
    ports = (tree("fromPort", low) if low else "") + (tree("toPort", high) if high else "")
    where = tree(ranges, tree("item", tree(address, cidr)))
    return tree("item", tree("ipProtocol", protocol), ports, where)


NAMELESS = "<item><instancesSet><item/></instancesSet></item>"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><body>Please log in</body></html>",
        f'<DescribeInstancesResponse xmlns="{SPACE}"/>'.encode(),
        answer("DescribeInstances", "reservationSet", [])[:-10],
        answer("DescribeVolumes", "volumeSet", []),
        answer("DescribeInstances", "reservationSet", [NAMELESS]),
        b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hostname">]><x>&e;</x>',
    ],
)
def test_what_is_no_whole_answer_is_an_error_the_sdk_retries(body: bytes) -> None:
    response = {
        "status_code": 200,
        "headers": {},
        "body": body,
        "context": {"operation_name": "DescribeInstances"},
    }
    shape = MODEL.operation_model("DescribeInstances").output_shape

    parsed = AnswerParsers().create_parser("ec2").parse(response, shape)

    assert parsed["Error"]["Code"] == "RequestTimeout"
    assert "Rows" not in parsed
