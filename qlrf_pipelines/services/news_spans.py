"""What is told again and again while it lasts: how far a rollout is, a glass nobody reviewed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from qlrf_pipelines.domain import approval_news, rollout_news
from qlrf_pipelines.domain.approval import DAY
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.glass import review_due
from qlrf_pipelines.domain.messages import Event
from qlrf_pipelines.domain.news import key, listeners, wanted
from qlrf_pipelines.domain.notifications import GIVES_UP_AFTER
from qlrf_pipelines.domain.patching import Notification
from qlrf_pipelines.domain.rollout import DRIVEN, Rollout
from qlrf_pipelines.domain.rollout_rules import tally
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.news import Estates, note_to, record_of, subscribers

_ROLLOUTS = 50
_REVIEWS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class _Span:
    """A stretch of time that is told of once, to whom, and when it ends."""

    listener: Notification
    until: datetime


def queue_progress(world: World, tenant: TenantId) -> None:
    """Queue how far each running rollout is, once in every span its listeners asked for.

    A span that passed while nobody looked is left out, and one that could not be told within its
    span is given up: the next one says more.
    """
    for rollout in world.rollouts.list(tenant, states=DRIVEN, limit=_ROLLOUTS):
        record = record_of(world, tenant, rollout.id)
        document = {} if record is None else record.document.content
        now = world.clock.now()
        new = _not_told(world, tenant, _spans(rollout, document, now))
        if not new:
            continue
        assets = tally(world.rollouts.rows(tenant, rollout.id))
        so_far = rollout_news.progress_of
        told = {name: so_far(rollout, document, key=name, assets=assets, now=now) for name in new}
        world.outbox.add(
            tenant,
            [
                note_to(span.listener, told[name], until=span.until, now=now)
                for name, span in new.items()
            ],
        )


def _spans(rollout: Rollout, document: Mapping[str, Any], now: datetime) -> dict[str, _Span]:
    """The span each listener of progress is in, by its key, with the moment it ends."""
    found = {}
    for listener in wanted(listeners(document), [Event.PROGRESS]):
        every = listener.progress_every
        number = (now - rollout.started_at) // every
        if number >= 1:
            ends = rollout.started_at + (number + 1) * every
            name = key(rollout.tenant, f"{rollout.id}.{number}", listener)
            found[name] = _Span(listener=listener, until=min(ends, now + GIVES_UP_AFTER))
    return found


def queue_reviews(world: World, tenant: TenantId, estate: Estates) -> None:
    """Queue that a broken glass waits for its review, once on every day nobody reviews it.

    Raises:
        Rejected: a review is due, and the estate cannot be read.
    """
    for task in world.tasks.list(tenant, review_due=True, limit=_REVIEWS):
        record, now = world.tasks.get(tenant, task.id), world.clock.now()
        broken = review_due(
            record.decisions, requester=task.requested_by, author=record.document.made_by
        )
        days = 0 if broken is None else (now - broken.at) // DAY
        if broken is None or days < 1:
            continue
        until = broken.at + (days + 1) * DAY
        spans = {
            key(tenant, f"{task.id}.review.{broken.number}.{days}", listener): _Span(
                listener=listener, until=until
            )
            for listener in wanted(subscribers(estate(), tenant), [Event.GLASS_BROKEN])
        }
        reminder = approval_news.review_reminder
        world.outbox.add(
            tenant,
            [
                note_to(
                    span.listener,
                    reminder(record, broken, key=name, now=now),
                    until=span.until,
                    now=now,
                )
                for name, span in _not_told(world, tenant, spans).items()
            ],
        )


def _not_told(world: World, tenant: TenantId, spans: Mapping[str, _Span]) -> dict[str, _Span]:
    known = world.outbox.known(tenant, spans)
    return {name: span for name, span in spans.items() if name not in known}
