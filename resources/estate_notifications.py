"""Where messages go and who hears of what: what schemas cannot say, and both as values."""

from collections.abc import Iterator, Mapping
from typing import Any

from qlrf_pipelines.domain.channels import Channel, Place, Smtp, Tls, find_place, is_web
from qlrf_pipelines.domain.patching import Notification
from qlrf_pipelines.domain.problems import Problem
from resources.estate_contracts import Contract

# channel -> the fields it takes, and the credentials
_FIELDS = {"slack": (), "email": ("smtp",), "webhook": ("url",), "pagerduty": ("url",)}
_CREDENTIALS = {
    "slack": ("url",),
    "email": ("user", "password"),
    "webhook": ("secret",),
    "pagerduty": ("routingKey",),
}
_NEEDED = {"slack": "url", "pagerduty": "routingKey"}


def build_place(value: Mapping[str, Any]) -> Place:
    """One place of a valid tenant."""
    smtp = value.get("smtp")
    return Place(
        channel=Channel(value["channel"]),
        target=value.get("target", ""),
        url=value.get("url", ""),
        smtp=None
        if smtp is None
        else Smtp(
            host=smtp["host"],
            sender=smtp["from"],
            port=int(smtp.get("port", 587)),
            tls=Tls(smtp.get("tls", Tls.STARTTLS)),
        ),
        credentials=dict(value.get("credentials", {})),
    )


def build_subscription(value: Mapping[str, Any]) -> Notification:
    """One listener of a valid tenant."""
    return Notification(
        channel=value["channel"], target=value["target"], events=tuple(value["events"])
    )


def find_place_problems(contract: Contract) -> Iterator[Problem]:
    """Everything wrong in a tenant's places that its schema allows."""
    seen: dict[tuple[str, str], int] = {}
    for index in range(contract.count("spec", "notifications")):
        place = ("spec", "notifications", index)
        value = contract.get(*place)
        channel = value.get("channel") if isinstance(value, dict) else None
        if not isinstance(channel, str) or channel not in _FIELDS:
            continue
        target = value.get("target", "")
        line = contract.document.line_of(place)
        if (channel, target) in seen:
            yield contract.document.problem(
                place,
                f'is for {channel} "{target or "every other target"}", as line '
                f"{seen[channel, target]} is",
                remedy="keep one of the two",
            )
        seen.setdefault((channel, target), line)
        yield from _foreign(contract, index, channel)
        yield from _missing(contract, index, channel)


def _foreign(contract: Contract, index: int, channel: str) -> Iterator[Problem]:
    for part, table in (((), _FIELDS), (("credentials",), _CREDENTIALS)):
        known = {name for names in table.values() for name in names}
        place = ("spec", "notifications", index, *part)
        given = contract.get(*place)
        for name in given if isinstance(given, dict) else ():
            if name in known and name not in table[channel]:
                yield contract.document.problem(
                    (*place, name),
                    f"is no field of {channel}",
                    remedy=f"remove it; {channel} takes {', '.join(table[channel]) or 'none'}",
                )


def _missing(contract: Contract, index: int, channel: str) -> Iterator[Problem]:
    place = ("spec", "notifications", index)
    value = contract.get(*place)
    credentials = value.get("credentials") or {}
    needed = _NEEDED.get(channel)
    if needed is not None and needed not in credentials:
        yield contract.document.problem(
            (*place, "credentials", needed),
            f"is missing, and {channel} needs it",
            remedy=f"add it as a reference: credentials: {{{needed}: 'env:NAME'}}",
        )
    if channel == "email":
        yield from _mail(contract, index, value, credentials)
    target = value.get("target", "")
    if channel == "webhook" and target and "url" not in value and not is_web(target):
        yield contract.document.problem(
            (*place, "url"), f'is missing, and "{target}" is no URL', remedy="add it"
        )


def _mail(
    contract: Contract, index: int, value: Mapping[str, Any], credentials: Mapping[str, Any]
) -> Iterator[Problem]:
    place = ("spec", "notifications", index)
    smtp = value.get("smtp")
    if smtp is None:
        yield contract.document.problem(
            (*place, "smtp"),
            "is missing, and email needs it",
            remedy="add it: smtp: {host: mail.example.com, from: qlrf@example.com}",
        )
    if ("user" in credentials) is not ("password" in credentials):
        yield contract.document.problem(
            (*place, "credentials"), "has one of user and password", remedy="give both, or none"
        )
    if credentials and isinstance(smtp, dict) and smtp.get("tls") == Tls.NONE:
        yield contract.document.problem(
            (*place, "smtp", "tls"),
            "is none, so that the password could be read on its way",
            remedy="use starttls or implicit, or send without credentials",
        )


def find_listener_problems(contract: Contract, listed: str = "notifications") -> Iterator[Problem]:
    """Everything wrong in whom a policy or a tenant tells that its schema allows."""
    for index in range(contract.count("spec", listed)):
        place = ("spec", listed, index, "target")
        channel, target = contract.get(*place[:-1], "channel"), contract.get(*place)
        if not isinstance(target, str):
            continue
        if target.startswith(("env:", "file:")):
            whose = "policy" if listed == "notifications" else "subscription"
            yield contract.document.problem(
                place,
                f"is a reference, and a {whose} holds none",
                remedy="name it here, and put the reference into the tenant's notifications",
            )
        elif channel == Channel.EMAIL and not is_mail(target):
            yield contract.document.problem(
                place, f'is "{target}", which is no address', remedy="write one, as ops@example.com"
            )
        elif listed == "subscriptions" and isinstance(channel, str):
            yield from _unreached(contract, place, Channel(channel), target)


def find_subscription_problems(contract: Contract) -> Iterator[Problem]:
    """Everything wrong in whom a tenant tells that its schema allows; each has to be reached."""
    yield from find_listener_problems(contract, "subscriptions")
    seen: dict[tuple[object, object], int] = {}
    for index in range(contract.count("spec", "subscriptions")):
        place = ("spec", "subscriptions", index)
        named = contract.get(*place, "channel"), contract.get(*place, "target")
        line = contract.document.line_of(place)
        if None not in named and named in seen:
            yield contract.document.problem(
                place,
                f'is {named[0]} "{named[1]}", as line {seen[named]} is',
                remedy="name all of its events in one of the two",
            )
        seen.setdefault(named, line)


def _unreached(
    contract: Contract, place: tuple[str | int, ...], channel: Channel, target: str
) -> Iterator[Problem]:
    at = [("spec", "notifications", i) for i in range(contract.count("spec", "notifications"))]
    given = [(contract.get(*one, "channel"), contract.get(*one, "target")) for one in at]
    if any(of not in _FIELDS for of, _ in given):
        return  # what is wrong with a place is said there
    places = [Place(channel=Channel(of), target=str(named or "")) for of, named in given]
    if find_place(places, channel, target) is None:
        yield contract.document.problem(
            place,
            f'is {channel} "{target}", and no place of this tenant is for it',
            remedy=f"add one to spec.notifications: {{channel: {channel}, target: '{target}', …}}",
        )


def is_mail(text: str) -> bool:
    """Whether a text is one plain address, such as ops@example.com."""
    name, at, host = text.partition("@")
    return bool(name and at and host) and text.isascii() and not set(text) & set(' \t\r\n<>,;:"()')
