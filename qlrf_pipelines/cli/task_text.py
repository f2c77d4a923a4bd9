"""A task as people and programs read it."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import yaml

from qlrf_pipelines.cli.plan_text import document_lines
from qlrf_pipelines.cli.texts import plain_cell, plain_table
from qlrf_pipelines.domain.approval import (
    NO_CONDITIONS,
    Approved,
    Conditions,
    Expired,
    Extent,
    Pending,
    Standing,
    by_itself,
)
from qlrf_pipelines.domain.moments import iso
from qlrf_pipelines.domain.roles import person
from qlrf_pipelines.domain.task_facts import facts_of
from qlrf_pipelines.domain.task_steps import REST
from qlrf_pipelines.domain.tasks import (
    NOT_STARTED,
    Claim,
    Document,
    Record,
    Task,
    TaskState,
)

_COLUMNS = ("tenant", "id", "state", "title", "requested_by", "digest", "due", "note")
PREFIX = 8
_TITLE = 60


def task_facts(task: Task, *, rest: Standing | None = None) -> dict[str, Any]:
    """A task as one row; `rest` is what people said of what follows its canary."""
    notes = ["review due"] if task.review_due else []
    if rest is not None:
        notes.insert(0, f"canary by itself, rest {_rest(rest)}")
    asked = task.state in _WAITING or rest is not None
    return {
        "tenant": task.tenant,
        "id": task.id,
        "kind": task.kind,
        "state": task.state.value,
        "title": task.title,
        "requested_by": task.requested_by,
        "requested_at": task.requested_at,
        "digest": task.digest,
        "revision": task.revision,
        "quorum": task.requirement.quorum,
        "unattended": task.requirement.unattended,
        "due": task.requirement.expires_at if asked else None,
        "reminded": task.reminded,
        "review_due": task.review_due,
        "job": task.launch.job if task.launch else None,
        "note": "; ".join(notes),
    }


def _rest(rest: Standing) -> str:
    if isinstance(rest, Pending):
        return f"{rest.have} of {rest.need}"
    return type(rest).__name__.lower()


_WAITING = (TaskState.AWAITING_APPROVAL, TaskState.PLANNED)


def listed(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of tasks as a table, a line each; rich would take longer than everything else."""
    cells = [[_cut(name, row[name]) for name in _COLUMNS] for row in rows]
    return plain_table(_COLUMNS, cells)


def _cut(name: str, value: object) -> object:
    """A digest to its first digits; a title that is too long says that it goes on."""
    text = str(value)
    if name == "digest":
        return text[:PREFIX]
    if name == "title" and len(text) > _TITLE:
        return text[: _TITLE - 1] + "…"
    return value


def record_facts(
    record: Record, standing: Standing, *, rest: Standing | None = None, outcome: str = ""
) -> dict[str, Any]:
    """Everything about a task, for a program; `outcome` is how it came to stand where it does."""
    asked = None if rest is None else {"is": type(rest).__name__.lower(), **asdict(rest)}
    return {
        **task_facts(record.task, rest=rest),
        "rest": asked,
        "outcome": outcome,
        "standing": {"is": type(standing).__name__.lower(), **asdict(standing)},
        "document": dict(record.document.content),
        "context": dict(record.document.context),
        "decisions": [
            {"kind": one.kind.value, "at": one.at, "digest": one.digest, **facts_of(one)}
            for one in record.decisions
        ],
        "claims": [asdict(one) for one in record.claims],
    }


def shown(
    record: Record,
    standing: Standing,
    *,
    earlier: Sequence[Document],
    rest: Standing | None = None,
    outcome: str = "",
    whole: bool = False,
) -> str:
    """Everything about a task, for somebody who has to decide; `whole` writes a plan out."""
    lines = _lines(record, standing, earlier, rest=rest, outcome=outcome, whole=whole)
    return "\n".join(lines)


def _lines(
    record: Record,
    standing: Standing,
    earlier: Sequence[Document],
    *,
    rest: Standing | None,
    outcome: str,
    whole: bool,
) -> Iterator[str]:
    task, need = record.task, record.task.requirement
    yield f"Task       {task.id}  (tenant {plain_cell(task.tenant)}, {plain_cell(task.kind)})"
    yield f"Title      {plain_cell(task.title)}"
    yield f"State      {task.state}: {said(standing, begun=task.state not in NOT_STARTED)}"
    if outcome:
        yield f"Outcome    {plain_cell(outcome)}"
    yield from _by_whom(record)
    yield from _needs(record, rest)
    if need.limits != NO_CONDITIONS:
        yield f"Window     {_limits(need.limits)}"
    yield f"Runs       {f'job {plain_cell(task.launch.job)}' if task.launch else 'no job'}"
    yield f"Revision   {task.revision}"
    yield f"Digest     {task.digest}"
    if task.review_due:
        yield "REVIEW DUE the glass was broken; somebody else must look at it"
    yield "\nWhat would be done:\n"
    yield from (f"  {line}".rstrip() for line in _document(record.document, whole=whole))
    if record.document.context:
        yield "\nDecided upon:\n"
        yield from (f"  {line}" for line in _yaml(record.document.context))
    if changed := list(_changes(earlier)):
        yield "\nChanged since the last revision:\n"
        yield from (f"  {line}" for line in changed)
    if record.decisions:
        yield "\nDecisions:\n"
        yield from (f"  {_decision(record, at)}" for at in range(len(record.decisions)))
    for claim in record.claims:
        when = iso(claim.claimed_at, digits=False)
        yield f"\n{_part(claim)}arried out by run {claim.holder} since {when}"


def _by_whom(record: Record) -> Iterator[str]:
    task, last = record.task, record.document
    yield f"Asked by   {plain_cell(task.requested_by)} at {iso(task.requested_at, digits=False)}"
    if person(last.made_by) != person(task.requested_by):
        when = iso(last.made_at, digits=False)
        yield f"Written by {plain_cell(last.made_by)} at {when}, as it is now"


def _needs(record: Record, rest: Standing | None) -> Iterator[str]:
    """Whom it asks, and for what of it; how to say it where its canary goes by itself."""
    task, need = record.task, record.task.requirement
    revised = person(record.document.made_by) != person(task.requested_by)
    asked = "who asked or wrote it" if revised else "who asked"
    eyes = f", never {asked}" if need.four_eyes else ""
    people = f"{need.quorum} of role {need.role} or higher{eyes}"
    if need.unattended is Extent.WHOLE:
        yield "Needs      nobody: no gate asks for people; they may say no until it starts"
    elif need.unattended is Extent.CANARY:
        yield f"Needs      nobody for its canary, which goes by itself; for the rest {people}"
    else:
        yield f"Needs      {people}"
    if rest is not None:
        yield f"Rest       {said(rest)}"
    if isinstance(rest, Pending):
        name = f"{task.id} --tenant {task.tenant} --digest {task.digest[:12]}"
        yield f"           qlrf tasks approve {name}"


def _part(claim: Claim) -> str:
    if claim.extent is Extent.CANARY:
        return "Its canary is c"
    return "The rest is c" if claim.stage == REST else "C"


def _document(document: Document, *, whole: bool) -> list[str]:
    """A plan in tables; anything else, and a plan `whole`, to the last word."""
    content = document.content
    if whole or content.get("kind") != "Plan":
        return _yaml(content)
    try:
        lines = list(document_lines(content, document.context))
    except (KeyError, TypeError, ValueError):
        return _yaml(content)  # it calls itself a plan and is none: every word of it counts
    told = "\n".join([plain_cell(content["summary"]), *lines]).splitlines()
    return [*told, "qlrf tasks show --whole writes every word out that the digest covers."]


def _limits(limits: Conditions) -> str:
    opens, closes = limits.not_before, limits.not_after
    parts = [
        f"from {iso(opens, digits=False)}" if opens else "",
        f"until {iso(closes, digits=False)}" if closes else "",
        f"at most {limits.max_batch} at once" if limits.max_batch else "",
    ]
    return " ".join(part for part in parts if part)


def said(standing: Standing, *, begun: bool = False) -> str:
    """A standing in words; once it has `begun`, there is no time left to start in."""
    if isinstance(standing, Pending):
        until = iso(standing.until, digits=False)
        return f"{standing.have} of {standing.need} approvals, until {until}"
    if isinstance(standing, Approved):
        if standing.extent is Extent.CANARY:
            return f"its canary goes by itself, approved by {plain_cell(standing.by[0])}"
        how = ", with the glass broken" if standing.broke_glass else ""
        limits = _besides_the_end(standing)
        by = ", ".join(plain_cell(name) for name in standing.by)
        start = "" if begun else f", to start before {iso(standing.until, digits=False)}"
        return f"approved by {by}{how}{start}{limits}"
    if isinstance(standing, Expired):
        return f"time ran out at {iso(standing.at, digits=False)}"
    return f"{plain_cell(standing.by)}: {plain_cell(standing.reason)}"


def _besides_the_end(standing: Approved) -> str:
    limits, parts = standing.conditions, []
    if limits.not_before:
        parts.append(f"not before {iso(limits.not_before, digits=False)}")
    if limits.max_batch:
        parts.append(f"at most {limits.max_batch} at once")
    return "".join(f", {part}" for part in parts)


def _decision(record: Record, at: int) -> str:
    one = record.decisions[at]
    of = "" if one.revision == record.task.revision else f" of revision {one.revision}"
    to = f" to {plain_cell(one.delegate)}" if one.delegate else ""
    on = "" if one.conditions == NO_CONDITIONS else f" to start {_limits(one.conditions)}"
    why = f": {plain_cell(one.reason)}" if one.reason else ""
    when = iso(one.at, digits=False)
    role = "" if by_itself(one.by) else f" ({one.role})"
    return f"{when} {plain_cell(one.by)}{role} {one.kind}{to}{of}{on}{why}"


def _yaml(value: Mapping[str, Any]) -> list[str]:
    # YAML writes out whatever a terminal might obey.
    text: str = yaml.safe_dump(dict(value), sort_keys=True, allow_unicode=True, width=100)
    return text.splitlines()


def _changes(revisions: Sequence[Document]) -> Iterator[str]:
    if len(revisions) < 2:
        return
    old, new = (
        _yaml({**one.content, **({"(decided upon)": one.context} if one.context else {})})
        for one in revisions[-2:]
    )
    yield from list(difflib.unified_diff(old, new, lineterm="", n=2))[2:]
