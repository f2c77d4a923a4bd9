"""Traffic handed over from one running machine to another: target groups and an elastic address.

The taker joins every target group and must be healthy there before the givers leave one: so there
is always somebody who answers, and for a while both do. What somebody else changed in between is
not fought over.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qlrf_pipelines.domain.errors import NotFound
from qlrf_pipelines.domain.operations import Operation, Progress
from resources.clouds.aws.captured import LEAST_PATIENCE, Captured, memberships, target_health
from resources.clouds.aws.hands import Hands, Instance
from resources.clouds.aws.moving import change_target, lead_address, target_in
from resources.clouds.aws.said import failed, under_way

LOOK_SECONDS = 10
Group = Mapping[str, Any]
Said = Mapping[str, Any]
Target = tuple[str, int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """All the captured machine's traffic, on its way from `givers` to `taker`.

    `seen` is what each target group said now of its targets; None for a group that is gone. `back`
    is whether the captured machine is the taker. `book` is the operation's checkpoint.
    """

    hands: Hands
    before: Captured
    taker: Instance
    givers: Sequence[Instance]
    seen: Mapping[str, Mapping[Target, Said] | None]
    book: Mapping[str, Any]
    back: bool

    @property
    def taker_id(self) -> str:
        """The instance that gets the traffic."""
        return str(self.taker["InstanceId"])

    @property
    def groups(self) -> Sequence[Group]:
        """The captured memberships in groups that are still there."""
        return [g for g in self.before["target_groups"] if self.seen[g["arn"]] is not None]

    @property
    def lost(self) -> Sequence[str]:
        """The captured groups that are gone."""
        return sorted(arn for arn, found in self.seen.items() if found is None)

    def said_of(self, group: Group, instance: Instance) -> Said | None:
        """What a group says of an instance; None if it does not know it."""
        return (self.seen[group["arn"]] or {}).get(target_in(group, instance))


Step = Callable[[Handover], Progress | None]


def handover(
    hands: Hands,
    operation: Operation,
    *,
    taker: Instance,
    givers: Sequence[Instance],
    back: bool = False,
) -> Handover:
    """A handover as it stands now.

    Raises:
        Unavailable: a target group could not be read.
    """
    before = operation.before
    return Handover(
        hands=hands,
        before=before,
        taker=taker,
        givers=givers,
        seen={group["arn"]: _seen(hands, group["arn"]) for group in before["target_groups"]},
        book=operation.checkpoint,
        back=back,
    )


def walk(move: Handover, steps: Sequence[Step]) -> Progress | None:
    """The first step that is not done yet, taken; None if all are done."""
    taken = (step(move) for step in steps)
    return next((progress for progress in taken if progress is not None), None)


def joined(move: Handover) -> Progress | None:
    """The taker is registered in every target group the captured machine was in."""
    for group in move.groups:
        if is_in(move.said_of(group, move.taker)):
            continue
        known, now = move.book.get("joined", ()), _noted(group, move.taker)
        if now in known:
            return failed(f"{move.taker_id} was taken out of {group['arn']} by somebody else.")
        change_target(move.hands, "register_targets", group, target_in(group, move.taker))
        return under_way(
            f"{move.taker_id} joins {group['arn']}.", checkpoint={"joined": [*known, now]}
        )
    return None


def healthy(move: Handover) -> Progress | None:
    """Every target group says that the taker is healthy; one that never does is a failure."""
    for group in move.groups:
        said = move.said_of(group, move.taker) or {}
        if _is_good(group, said, back=move.back):
            continue
        waited = move.book.get("waited", {}).get(group["arn"], 0)
        why = f"{move.taker_id} is {_words(said)} in {group['arn']}"
        if waited >= group.get("patience", LEAST_PATIENCE):
            return failed(f"{why}, still after {waited} s.")
        book = {**move.book.get("waited", {}), group["arn"]: waited + LOOK_SECONDS}
        return under_way(f"{why}.", seconds=LOOK_SECONDS, checkpoint={"waited": book})
    return None


def address_leads(move: Handover) -> Progress | None:
    """The elastic address leads to the taker."""
    wanted = move.before["elastic_address"]
    if wanted is None:
        return None
    found, holder = address_holder(move.hands, wanted)
    if holder == move.taker_id:
        return None
    if not found or not may_take_address(move, holder):
        return failed(address_lost(wanted, found=found, holder=holder))
    lead_address(move.hands, wanted, move.taker)
    return under_way(f"{wanted} leads to {move.taker_id}.", seconds=1)


def may_take_address(move: Handover, holder: str | None) -> bool:
    """Whether the address hangs where it may be taken from; on the way back also if it hangs free.

    A giver that was terminated lets go of it.
    """
    givers = {giver["InstanceId"] for giver in move.givers}
    return holder in givers or (holder is None and move.back)


def address_holder(hands: Hands, allocation: str) -> tuple[bool, str | None]:
    """Whether an elastic address is there, and the instance it leads to."""
    wanted = [{"Name": "allocation-id", "Values": [allocation]}]
    found = hands.call("ec2", "describe_addresses", Filters=wanted)["Addresses"]
    return bool(found), (found[0].get("InstanceId") or None) if found else None


def address_lost(allocation: str, *, found: bool, holder: str | None) -> str:
    """What somebody else did to an address, in words."""
    if not found:
        return f"{allocation} is gone: somebody released it."
    if holder is None:
        return f"{allocation} was taken off by somebody else; it leads nowhere."
    return f"{allocation} was associated with {holder} by somebody else."


def left(move: Handover) -> Progress | None:
    """No giver is registered in any target group."""
    for giver in move.givers:
        for group in move.groups:
            if not is_in(move.said_of(group, giver)):
                continue
            name, known = giver["InstanceId"], move.book.get("left", ())
            now = _noted(group, giver)
            if now in known:
                return failed(f"{name} was put back into {group['arn']} by somebody else.")
            change_target(move.hands, "deregister_targets", group, target_in(group, giver))
            return under_way(
                f"{name} leaves {group['arn']}.",
                seconds=1,
                checkpoint={"left": [*known, now]},
            )
    return None


def drained(move: Handover) -> Progress | None:
    """No giver still ends what it had begun: the groups' deregistration delays are over."""
    for giver in move.givers:
        for group in move.groups:
            if move.said_of(group, giver) is not None:
                return under_way(
                    f"{giver['InstanceId']} ends its connections from {group['arn']}.",
                    seconds=LOOK_SECONDS,
                )
    return None


def has_all(move: Handover) -> str:
    """What the taker lacks of the traffic, or a giver still has, in words; nothing if all is there.

    Givers whose connections are only being drained have no traffic any more.
    """
    for group in move.groups:
        said = move.said_of(group, move.taker)
        if not is_in(said) or not _is_good(group, said or {}, back=move.back):
            return f"{move.taker_id} is {_words(said or {})} in {group['arn']}"
        for giver in move.givers:
            if is_in(move.said_of(group, giver)):
                return f"{giver['InstanceId']} is in {group['arn']} again"
    if move.lost:
        return f"{move.lost[0]} is gone"
    wanted = move.before["elastic_address"]
    if wanted is not None and address_holder(move.hands, wanted)[1] != move.taker_id:
        return f"{wanted} does not lead to {move.taker_id}"
    return ""


def elsewhere(move: Handover, instance: Instance) -> str:
    """Where an instance is a target that was none when it was captured; nothing if nowhere."""
    known = {(group["arn"], group["port"]) for group in move.before["target_groups"]}
    for found in memberships(move.hands, instance):
        if (found["arn"], found["port"]) not in known:
            name = instance["InstanceId"]
            return f"{name} was put into {found['arn']} by somebody else since it was captured"
    return ""


def _seen(hands: Hands, arn: str) -> Mapping[Target, Said] | None:
    try:
        found = target_health(hands, arn)
    except NotFound:
        return None
    return {
        (item["Target"]["Id"], item["Target"].get("Port")): item.get("TargetHealth", {})
        for item in found
    }


def _noted(group: Group, instance: Instance) -> str:
    # With the port: a machine may be in a group with several.
    return f"{instance['InstanceId']} {group['port']} {group['arn']}"


def is_in(said: Said | None) -> bool:
    """Whether a target is registered, and not about to leave."""
    return said is not None and said.get("State") != "draining"


def _is_good(group: Group, said: Said, *, back: bool) -> bool:
    """Whether a target is as it should be: healthy, or no worse than the captured one was.

    A group that no listener uses says `unused` of all its targets, and sends them nothing.
    """
    state, was = said.get("State"), group.get("health", "healthy")
    if state == "healthy":
        return True
    return bool(was != "healthy" if back else state == was == "unused")


def _words(said: Said) -> str:
    state = said.get("State", "not registered")
    reasons = [str(said[name]) for name in ("Reason", "Description") if said.get(name)]
    return f"{state} ({': '.join(reasons)})" if reasons else str(state)
