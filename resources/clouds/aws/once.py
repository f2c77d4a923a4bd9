"""Doing once what AWS cannot recognise as a repetition: the asset itself carries the claim.

The tag `qlrf:claim` is written before the call and completed after it. A claim without its
completion means that the call may or may not have been made: that is unknown, and it stays so.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum

from qlrf_pipelines.domain.errors import QlrfError
from qlrf_pipelines.domain.operations import Operation, Progress
from resources.clouds.aws.hands import CLAIM, Hands, tags_of
from resources.clouds.aws.said import under_way

LOOKS = 2


class Claim(StrEnum):
    """What an asset says of an operation."""

    NONE = "none"
    ASKED = "asked"
    DONE = "done"


def claim_on(hands: Hands, operation: Operation) -> tuple[Claim, str]:
    """What the asset says of this operation, and what was noted when it was done."""
    text = tags_of(hands.instance(operation.target.id)).get(CLAIM, "")
    token, _, rest = text.partition(" ")
    if token != operation.token:
        return Claim.NONE, ""
    state, _, note = rest.partition(" ")
    return Claim(state), note


def looks_again(operation: Operation) -> Progress | None:
    """After a possible crash, absence is believed only when it was seen twice: tags lag behind."""
    looked = int(operation.checkpoint.get("looked", 0))
    if not operation.begun or looked >= LOOKS:
        return None
    return under_way(
        "Nothing of it is there; it is looked for again before it is begun.",
        seconds=10,
        checkpoint={"looked": looked + 1},
    )


def do_once(
    hands: Hands,
    operation: Operation,
    call: Callable[[], str],
    *,
    tags: Mapping[str, str] | None = None,
) -> str:
    """Claim, call, complete the claim with what the call returned; other tags go with the claim.

    Raises:
        Unanswered: nobody knows whether it was done; the claim stays, so it is never done again.
        Unavailable: nothing was done, and the claim is taken back.
        Rejected: nothing will be done, and the claim is taken back.
    """
    from resources.clouds.aws.faults import Unanswered

    name = operation.target.id
    ours = {CLAIM, *(tags or {})}
    earlier = {k: v for k, v in tags_of(hands.instance(name)).items() if k in ours}
    hands.tag(name, {CLAIM: f"{operation.token} {Claim.ASKED}", **(tags or {})})
    try:
        note = call()
    except Unanswered:
        raise
    except QlrfError:
        if earlier:
            hands.tag(name, earlier)
        written = [{"Key": key} for key in sorted(ours - set(earlier))]
        if written:
            hands.call("ec2", "delete_tags", Resources=[name], Tags=written)
        raise
    hands.tag(name, {CLAIM: f"{operation.token} {Claim.DONE} {note}"[:256].strip()})
    return note
