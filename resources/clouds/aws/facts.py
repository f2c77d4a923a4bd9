"""Facts out of EC2's own XML: one pass over a page, straight into columns.

botocore's parser walks its model for every element (0.8 ms CPU per instance, under the GIL); these
readers take the dozen fields inventory needs. They read what botocore reads: a property test
compares the two. An element that is absent is unknown (null); one that is there and empty is none.
"""

import io
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from lxml import etree

from qlrf_pipelines.domain.datasets import TIME
from qlrf_pipelines.domain.inventory import PAGE_SCHEMAS, Kind
from qlrf_pipelines.domain.vocabulary import AssetState

# shutting-down cannot be undone, so it is the end already; stopping is on its way to a state that
# can last. A word we do not know is unknown.
STATES = {
    "pending": AssetState.PENDING.value,
    "running": AssetState.RUNNING.value,
    "stopping": AssetState.STOPPED.value,
    "stopped": AssetState.STOPPED.value,
    "shutting-down": AssetState.TERMINATED.value,
    "terminated": AssetState.TERMINATED.value,
}
# Protocols without ports. A range of theirs (ICMP's are types and codes) is not an open port.
PORTLESS = {"icmp", "1", "icmpv6", "58"}
PROTOCOLS = {"-1": "all", "6": "tcp", "17": "udp"}
LAST_PORT = 65535


class Unreadable(ValueError):
    """The answer is well-formed but not an answer to what was asked."""


def read(operation: str, body: bytes) -> tuple[pa.RecordBatch, str | None]:
    """The rows of one answer, and the token that leads to the next page.

    Raises:
        Unreadable: it is no whole answer to this operation, or lists something without an id.
    """
    kind, columns = READERS[operation]
    schema = PAGE_SCHEMAS[kind]
    try:
        found, root = columns(body)
        if local(root) != f"{operation}Response":
            raise Unreadable(f"the answer to {operation} is a {root.tag}")
        arrays = [
            times(values) if field.type == TIME else pa.array(values, type=field.type)
            for values, field in zip(found, schema, strict=True)
        ]
    except (etree.XMLSyntaxError, ValueError, pa.ArrowException) as error:
        raise Unreadable(str(error)) from error
    token = root.findtext(_Names(space(root))["nextToken"])
    return pa.RecordBatch.from_arrays(arrays, schema=schema), token


def check(operation: str, body: bytes) -> None:
    """Pass over a whole answer to this operation.

    Raises:
        Unreadable: it is something else, or broke off.
    """
    try:
        name = local(_root(body))
    except etree.XMLSyntaxError as error:
        raise Unreadable(str(error)) from error
    if name != f"{operation}Response":
        raise Unreadable(f"the answer to {operation} is a {name}")


def space(element: etree._Element) -> str:
    """The namespace an element's name begins with, in its braces."""
    return element.tag[: element.tag.rfind("}") + 1]


def local(element: etree._Element) -> str:
    """An element's name without its namespace."""
    return element.tag.rpartition("}")[2]


class _Names(dict[str, str]):
    """Element names within the answer's namespace, each spelled out once."""

    def __init__(self, space: str) -> None:
        super().__init__()
        self._space = space

    def __missing__(self, name: str) -> str:
        full = self[name] = self._space + name
        return full


Found = tuple[list[list[Any]], etree._Element]
SAFE: dict[str, Any] = {"resolve_entities": False, "no_network": True, "collect_ids": False}


def _root(body: bytes) -> etree._Element:
    return etree.fromstring(body, etree.XMLParser(**SAFE))


def _instances(body: bytes) -> Found:
    # Read while it is parsed: a whole tree of 1000 instances takes ten times its 4 MB of text.
    columns: list[list[Any]] = [[] for _ in PAGE_SCHEMAS[Kind.INSTANCE]]
    walk = etree.iterparse(io.BytesIO(body), tag="{*}instancesSet", **SAFE)
    names: _Names | None = None
    for _, element in walk:
        if names is None:
            names = _Names(space(element))
        _add_instances(columns, element, names)
        element.clear()
    here = space(walk.root)
    for reservation in _items(walk.root, here + "reservationSet"):
        _items(reservation, here + "instancesSet")
    return columns, walk.root


def _add_instances(columns: list[list[Any]], items: etree._Element, names: _Names) -> None:
    add = [column.append for column in columns]
    for item in items:
        part = {child.tag: child for child in item}
        interfaces = part.get(names["networkInterfaceSet"])
        add[0](_id(part.get(names["instanceId"])))
        add[1](_text(part.get(names["imageId"])))
        add[2](_text(part.get(names["instanceType"])))
        add[3](_state(part.get(names["instanceState"]), names))
        add[4](_text(part.get(names["launchTime"])))
        add[5](_tags(part.get(names["tagSet"]), names))
        add[6](_volume_ids(part.get(names["blockDeviceMapping"]), names))
        add[7](_group_ids(part.get(names["groupSet"]), interfaces, names))
        add[8](_imds_v2(part.get(names["metadataOptions"]), names))
        add[9](_public_ip(part.get(names["ipAddress"]), interfaces, names))
        add[10](_monitored(part.get(names["monitoring"]), names))


def _volumes(body: bytes) -> Found:
    root = _root(body)
    names = _Names(space(root))
    ids: list[Any] = []
    encrypted: list[Any] = []
    for item in _items(root, names["volumeSet"]):
        ids.append(_id(item.find(names["volumeId"])))
        flag = _text(item.find(names["encrypted"]))
        encrypted.append(None if flag is None else flag == "true")
    return [ids, encrypted], root


def _groups(body: bytes) -> Found:
    root = _root(body)
    names = _Names(space(root))
    ids: list[Any] = []
    ports: list[Any] = []
    for item in _items(root, names["securityGroupInfo"]):
        ids.append(_id(item.find(names["groupId"])))
        rules = item.find(names["ipPermissions"])
        ports.append(None if rules is None else _open_ports(rules, names))
    return [ids, ports], root


READERS: dict[str, tuple[Kind, Callable[[bytes], Found]]] = {
    "DescribeInstances": (Kind.INSTANCE, _instances),
    "DescribeVolumes": (Kind.VOLUME, _volumes),
    "DescribeSecurityGroups": (Kind.SECURITY_GROUP, _groups),
}


def _items(parent: etree._Element, name: str) -> Iterator[etree._Element]:
    found = parent.find(name)
    if found is None:
        raise Unreadable(f"the answer has no {name.rpartition('}')[2]}")
    return iter(found)


def _id(element: etree._Element | None) -> str:
    text = _text(element)
    if text is None:
        raise Unreadable("the answer lists something without an id")
    return text


def _text(element: etree._Element | None) -> str | None:
    return None if element is None else element.text or None


def _state(element: etree._Element | None, names: _Names) -> str:
    word = None if element is None else element.findtext(names["name"])
    return STATES.get(word or "", AssetState.UNKNOWN.value)


def _tags(element: etree._Element | None, names: _Names) -> list[tuple[str, str]]:
    # EC2 leaves tagSet out of an instance that has no tags: here absence is its way to say none.
    if element is None:
        return []
    key, value = names["key"], names["value"]
    return sorted((item.findtext(key) or "", item.findtext(value) or "") for item in element)


def _volume_ids(mapping: etree._Element | None, names: _Names) -> list[str] | None:
    if mapping is None:
        return None
    path = f"{names['ebs']}/{names['volumeId']}"
    found = (item.findtext(path) for item in mapping)
    return [volume_id for volume_id in found if volume_id]


def _group_ids(
    own: etree._Element | None, interfaces: etree._Element | None, names: _Names
) -> list[str] | None:
    if own is None and interfaces is None:
        return None
    ids = set() if own is None else {item.findtext(names["groupId"]) for item in own}
    for interface in () if interfaces is None else interfaces:
        groups = interface.find(names["groupSet"])
        ids.update(() if groups is None else (i.findtext(names["groupId"]) for i in groups))
    return sorted(group_id for group_id in ids if group_id)


def _imds_v2(options: etree._Element | None, names: _Names) -> bool | None:
    if options is None:
        return None
    tokens = _text(options.find(names["httpTokens"]))
    if tokens == "required" or options.findtext(names["httpEndpoint"]) == "disabled":
        return True
    return None if tokens is None else False


def _public_ip(
    own: etree._Element | None, interfaces: etree._Element | None, names: _Names
) -> str | None:
    address = _text(own)
    if address or interfaces is None:
        return address
    path = f"{names['association']}/{names['publicIp']}"
    addresses = (interface.findtext(path) for interface in interfaces)
    return next((found for found in addresses if found), "")


def _monitored(element: etree._Element | None, names: _Names) -> bool | None:
    state = None if element is None else element.findtext(names["state"])
    return state == "enabled" if state else None


def _open_ports(rules: etree._Element, names: _Names) -> list[dict[str, Any]]:
    found: set[tuple[str, int, int]] = set()
    for rule in rules:
        protocol = rule.findtext(names["ipProtocol"]) or "-1"
        if protocol not in PORTLESS and _open_to_the_world(rule, names):
            found.add((PROTOCOLS.get(protocol, protocol), *_range(rule, protocol, names)))
    return [{"protocol": p, "from_port": low, "to_port": high} for p, low, high in sorted(found)]


def _range(rule: etree._Element, protocol: str, names: _Names) -> tuple[int, int]:
    low, high = rule.findtext(names["fromPort"]), rule.findtext(names["toPort"])
    if protocol == "-1" or not low or not high or "-1" in (low, high):
        return 0, LAST_PORT  # a rule that names no ports is a rule about all of them
    return int(low), int(high)


def _open_to_the_world(rule: etree._Element, names: _Names) -> bool:
    for ranges, address in (("ipRanges", "cidrIp"), ("ipv6Ranges", "cidrIpv6")):
        items = rule.find(names[ranges])
        for item in () if items is None else items:
            # Whatever stands before it, a prefix of no bits is every address there is.
            if (item.findtext(names[address]) or "").endswith("/0"):
                return True
    return False


def times(texts: list[str | None]) -> pa.Array:
    """ISO 8601 texts as UTC times; one that cannot be read is unknown.

    Not by Arrow's own cast: importing its compute functions costs more than a thousand pages.
    """
    return pa.array([_moment(text) for text in texts], type=TIME)


def _moment(text: str | None) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
