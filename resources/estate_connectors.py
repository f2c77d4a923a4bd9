"""Ways into clouds: what the schema cannot say, because it depends on the platform."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from qlrf_pipelines.domain.problems import Problem
from resources.estate_contracts import Contract
from resources.estate_yaml import Place

# platform -> the fields it takes beside name, platform, regions and endpointUrl, the credentials,
# and what it cannot do without
_FIELDS = {"aws": ("assumeRoles",), "kubernetes": ("cluster", "caFile")}
_CREDENTIALS = {
    "aws": ("accessKeyId", "secretAccessKey", "sessionToken"),
    "kubernetes": ("token",),
}
_NEEDED = {
    "kubernetes": {
        "cluster": "add it: the name its workloads and images go by",
        "endpointUrl": "add it: https://host:port of the API server",
        "credentials": "add it: credentials: {token: 'file:/path'}",
    }
}
_AWS_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]+")


def find_connector_problems(contract: Contract) -> Iterator[Problem]:
    """Everything wrong in a tenant's connectors that its schema allows."""
    servers: dict[str, tuple[str, int]] = {}
    for index in range(contract.count("spec", "connectors")):
        place: Place = ("spec", "connectors", index)
        value = contract.get(*place)
        platform = contract.get(*place, "platform")
        if not isinstance(value, dict) or platform not in _FIELDS:
            continue
        yield from _foreign(contract, place, platform)
        yield from _missing(contract, place, value, platform)
        if platform == "aws":
            yield from _regions(contract, place)
        else:
            yield from _server(contract, place, servers)


def _foreign(contract: Contract, place: Place, platform: str) -> Iterator[Problem]:
    for part, table in (((), _FIELDS), (("credentials",), _CREDENTIALS)):
        known = {name for names in table.values() for name in names}
        given = contract.get(*place, *part)
        for name in given if isinstance(given, dict) else ():
            if name in known and name not in table[platform]:
                yield contract.document.problem(
                    (*place, *part, name),
                    f"is no field of {platform}",
                    remedy=f"remove it; {platform} takes {', '.join(table[platform])}",
                )


def _missing(
    contract: Contract, place: Place, value: Mapping[str, Any], platform: str
) -> Iterator[Problem]:
    for name, remedy in _NEEDED.get(platform, {}).items():
        if name not in value:
            yield contract.document.problem(
                (*place, name), f"is missing, and {platform} needs it", remedy=remedy
            )
    credentials = contract.get(*place, "credentials")
    if isinstance(credentials, dict):
        for name in _CREDENTIALS[platform]:
            if name not in credentials and name != "sessionToken":
                yield contract.document.problem(
                    (*place, "credentials", name),
                    "is missing",
                    remedy="add it as a reference, env:NAME or file:/path",
                )


def _regions(contract: Contract, place: Place) -> Iterator[Problem]:
    for index in range(contract.count(*place, "regions")):
        region = contract.get(*place, "regions", index)
        if isinstance(region, str) and not _AWS_REGION.fullmatch(region):
            yield contract.document.problem(
                (*place, "regions", index),
                f'is "{region}", which is no region',
                remedy="use the cloud's name of the region, such as eu-west-1",
            )


def _server(
    contract: Contract, place: Place, servers: dict[str, tuple[str, int]]
) -> Iterator[Problem]:
    server, cluster = contract.get(*place, "endpointUrl"), contract.get(*place, "cluster")
    if not isinstance(server, str):
        return
    if not server.startswith("https://"):
        yield contract.document.problem(
            (*place, "endpointUrl"), "is not https", remedy="write https://host:port"
        )
    if not isinstance(cluster, str):
        return
    # Under one name, what the one cluster does not show would be gone from the other.
    first, line = servers.setdefault(
        cluster, (server, contract.document.line_of((*place, "cluster")))
    )
    if first != server:
        yield contract.document.problem(
            (*place, "cluster"),
            f'is "{cluster}", as on line {line}, with another endpointUrl',
            remedy="give every cluster its own name, or the same address",
        )
