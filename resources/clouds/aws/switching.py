"""The switch: all traffic from the old side of an instance to the new one, and back.

The old side runs on, without traffic, until `finalise`: it is the way back. Every call looks at
what is there, also at what somebody else did, which is said and not fought over.
"""

from collections.abc import Sequence
from dataclasses import replace

from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.operations import NEW_SIDE, Operation, OperationKind, Progress
from resources.clouds.aws.beside import side_runs, sides_of
from resources.clouds.aws.hands import (
    BESIDE,
    IDLE,
    REPLACED_BY,
    REPLACES,
    RETAINED,
    Hands,
    Instance,
    found_instance,
    is_gone,
    state_of,
    tags_of,
)
from resources.clouds.aws.moving import Move, goal_runs
from resources.clouds.aws.said import failed, succeeded, under_way
from resources.clouds.aws.traffic import (
    Handover,
    address_holder,
    address_leads,
    address_lost,
    drained,
    elsewhere,
    handover,
    has_all,
    healthy,
    is_in,
    joined,
    left,
    may_take_address,
    walk,
)

LOOKS = 2
TWO_SIDED = (OperationKind.START_BESIDE, OperationKind.SWITCH)


def switch_sides(hands: Hands, operation: Operation) -> Progress:
    """One step of giving the new side all the traffic; the old one runs on without."""
    name, new_id = operation.before["id"], operation.parameters.get(NEW_SIDE)
    if not new_id:
        raise Rejected(f"{operation.target.key}: name the new side to switch to.")
    old, new = found_instance(hands, name), found_instance(hands, new_id)
    if new is None or tags_of(new).get(BESIDE) != name:
        return failed(f"{new_id} was not started beside {name}, or is gone; nothing was switched.")
    if old is None or state_of(old) != "running":
        state = "gone" if old is None else state_of(old)
        return failed(f"{name} is {state}: there would be no way back; nothing more is switched.")
    taken = side_runs(hands, new) or _switch(hands, operation, old, new)
    if taken is not None:
        return _noted(operation, replace(taken, asset_id=new_id))
    return succeeded(
        f"{new_id} has all the traffic of {name}, which runs on without any until it is finalised.",
        asset_id=new_id,
    )


def restore_side(hands: Hands, operation: Operation) -> Progress:
    """One step of giving the old side its traffic back, and ending the new one."""
    before, name = operation.before, operation.before["id"]
    old = found_instance(hands, name)
    if old is None or is_gone(old):
        return failed(f"{name} is gone; there is nothing to bring back.")
    sides = sides_of(hands, name)
    again = _looks_again(operation, sides)
    if again is not None:
        return again
    if before["state"] != "running":
        return succeeded(f"{name} is as it was: nothing is started beside what does not run.")
    taken = goal_runs(Move(hands=hands, before=before, source=None, goal=old))
    if taken is None:
        move = handover(hands, operation, taker=old, givers=sides, back=True)
        taken = walk(move, (joined, healthy, address_leads, _busy_again, left, drained))
        taken = taken or _ended(move, retain=operation.parameters.get("retain") == "true")
        taken = taken or _without_lost(move)
    return _noted(operation, taken or succeeded(f"{name} has all its traffic.", asset_id=name))


def finalise_side(hands: Hands, operation: Operation) -> Progress:
    """End the old side, if the new one has all its traffic; from then on there is no way back."""
    name = operation.before["id"]
    old = found_instance(hands, name)
    if old is None or is_gone(old):
        return succeeded(f"{name} is gone.")
    new_id = tags_of(old).get(REPLACED_BY)
    if new_id is None:
        beside = [side["InstanceId"] for side in sides_of(hands, name) if not is_gone(side)]
        if beside:
            return failed(f"{beside[0]} does not have the traffic of {name}; both are kept.")
        return succeeded(f"Nothing stands beside {name}; it stays.")
    new = found_instance(hands, new_id)
    if new is None or state_of(new) != "running":
        return failed(f"{new_id}, the new side of {name}, does not run; {name} is kept.")
    move = handover(hands, operation, taker=new, givers=(old,))
    lacks = has_all(move) or elsewhere(move, old)
    if lacks:
        return failed(f"{lacks}: {new_id} does not have all the traffic; {name} is kept.")
    taken = drained(move)
    if taken is not None:
        return taken
    hands.call("ec2", "terminate_instances", InstanceIds=[name])
    return under_way(f"{name} is being terminated.")


def _switch(hands: Hands, operation: Operation, old: Instance, new: Instance) -> Progress | None:
    move = handover(hands, operation, taker=new, givers=(old,))
    return walk(move, (_as_left, _busy, joined, healthy, address_leads, _idle, left, drained))


def _as_left(move: Handover) -> Progress | None:
    """Everything is as it was, or as an earlier call left it: nobody else had a hand in it."""
    if move.lost:
        return failed(f"{move.lost[0]} is gone: somebody deleted it; nothing more is switched.")
    old = move.givers[0]
    switched = tags_of(old).get(REPLACED_BY)
    if switched not in (None, move.taker_id):
        return failed(f"{switched} has the traffic of {old['InstanceId']} already.")
    holder = move.taker if _is_switched(move) else old
    for group in move.groups:
        if not is_in(move.said_of(group, holder)):
            name = holder["InstanceId"]
            return failed(f"{name} was taken out of {group['arn']} by somebody else.")
    wanted = move.before["elastic_address"]
    if wanted is None:
        return None
    found, leads_to = address_holder(move.hands, wanted)
    if found and (leads_to == move.taker_id or may_take_address(move, leads_to)):
        return None
    return failed(address_lost(wanted, found=found, holder=leads_to))


def _busy(move: Handover) -> Progress | None:
    """The new side is no longer said to be idle: whoever selects by tags may lead to it."""
    if IDLE not in tags_of(move.taker):
        return None
    move.hands.untag(move.taker_id, IDLE)
    return under_way(f"{move.taker_id} is about to get traffic.", seconds=1)


def _idle(move: Handover) -> Progress | None:
    """The old side says that it is idle, and who replaced it, before it leaves anything."""
    if _is_switched(move):
        return None
    old = move.givers[0]
    also = elsewhere(move, old)
    if also:
        return failed(f"{also}: that traffic would stay; take it out, or plan the change anew.")
    name = str(old["InstanceId"])
    move.hands.tag(name, {REPLACED_BY: move.taker_id, IDLE: "true"})
    return under_way(f"{move.taker_id} answers everywhere; {name} is about to leave.", seconds=1)


def _is_switched(move: Handover) -> bool:
    # What was noted counts as well: a tag may be read late, and nothing leaves before it was seen.
    return bool(move.book.get("left")) or tags_of(move.givers[0]).get(REPLACED_BY) == move.taker_id


def _busy_again(move: Handover) -> Progress | None:
    """The old side is no longer said to be idle, nor to be replaced."""
    if not {REPLACED_BY, IDLE} & set(tags_of(move.taker)):
        return None
    move.hands.untag(move.taker_id, REPLACED_BY, IDLE)
    return under_way(f"{move.taker_id} answers everywhere again.", seconds=1)


def _ended(move: Handover, *, retain: bool) -> Progress | None:
    """No new side stands beside the old one: it is terminated, or kept stopped for a look at it."""
    for side in move.givers:
        if is_gone(side):
            continue
        name = str(side["InstanceId"])
        if not retain:
            move.hands.call("ec2", "terminate_instances", InstanceIds=[name])
            return under_way(f"{name} is being terminated.")
        if state_of(side) not in ("stopping", "stopped"):
            move.hands.call("ec2", "stop_instances", InstanceIds=[name])
        if state_of(side) != "stopped":
            return under_way(f"{name} is being stopped, and kept.")
        move.hands.tag(name, {RETAINED: move.taker_id})
        move.hands.untag(name, BESIDE, REPLACES, IDLE)
        return under_way(f"{name} is kept, stopped.", seconds=1)
    return None


def _without_lost(move: Handover) -> Progress | None:
    if not move.lost:
        return None
    gone = ", ".join(move.lost)
    return failed(f"{move.taker_id} has its traffic, but not from {gone}: somebody deleted it.")


def _looks_again(operation: Operation, sides: Sequence[Instance]) -> Progress | None:
    """That nothing was started is believed only when it was seen more than once: tags lag."""
    looked = int(operation.checkpoint.get("looked", 0))
    if sides or looked >= LOOKS:
        return None
    return _noted(
        operation,
        under_way(
            f"Nothing stands beside {operation.before['id']}; it is looked for again.",
            seconds=10,
            checkpoint={"looked": looked + 1},
        ),
    )


def _noted(operation: Operation, progress: Progress) -> Progress:
    """What earlier calls noted is kept with what this one notes."""
    return replace(progress, checkpoint={**operation.checkpoint, **progress.checkpoint})
