"""From the ledger to the outbox: who hears of which entry, each message queued once.

Whoever writes an entry knows nothing of this: what is read from there can be slow, fail or be
killed without a rollout, a drill or a decision noticing.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import islice
from typing import Any

from qlrf_pipelines.domain import approval_news, drill_news, rollout_news
from qlrf_pipelines.domain.channels import Channel
from qlrf_pipelines.domain.drills import Drill
from qlrf_pipelines.domain.errors import NotFound
from qlrf_pipelines.domain.estate import Estate, TenantId
from qlrf_pipelines.domain.evidence import Entry
from qlrf_pipelines.domain.messages import (
    OF_PLANS,
    OF_RECOVERY_PLANS,
    About,
    Event,
    Message,
    OnlyWhile,
)
from qlrf_pipelines.domain.news import News, heard, listeners, wanted
from qlrf_pipelines.domain.notifications import GIVES_UP_AFTER, Note
from qlrf_pipelines.domain.patching import Notification
from qlrf_pipelines.domain.tasks import Document, Record
from qlrf_pipelines.ports.world import World

# As many as the ledger reads at once.
ENTRIES = 1000
# The estate as it is now; asked for only when something depends on it.
Estates = Callable[[], Estate]


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """How far a tenant's ledger was read, and whether there is more."""

    seq: int
    more: bool


def queue_news(
    world: World, tenant: TenantId, estate: Estates, *, after: int, limit: int = ENTRIES
) -> Read:
    """Queue a message for every listener of what the next entries of the ledger tell.

    Read again after a crash, the same entries queue nothing twice.

    Raises:
        Rejected: there is something a tenant may hear of, and the estate cannot be read.
    """
    entries = list(islice(world.ledger.entries(tenant, after=after), limit))
    reader = _Reader(world, tenant, estate)
    notes = [note for entry in entries for note in reader.notes(entry)]
    world.outbox.add(tenant, notes)
    return Read(seq=entries[-1].seq if entries else after, more=len(entries) == limit)


def written_to(world: World, estate: Estate) -> Mapping[TenantId, int]:
    """Every tenant of whom something can be told, with a number that grows when something is.

    Tasks have theirs in one place. Drills and alarms are looked for where they can be: in the
    ledgers of tenants that had a drill, or subscribe to alarms about a recovery plan.
    """
    found = dict(world.tasks.tenants())
    planned = {plan.tenant for plan in estate.recovery}
    alarmed = [
        one.name
        for one in estate.tenants
        if one.name in planned and wanted(one.subscriptions, OF_RECOVERY_PLANS)
    ]
    for tenant in sorted({*world.drills.tenants(), *alarmed}):
        head = world.ledger.head(tenant)
        if head is not None:
            found[tenant] = max(found.get(tenant, 0), head.seq)
    return found


class _Reader:
    """One look at one tenant's ledger; what several entries are about is read once."""

    def __init__(self, world: World, tenant: TenantId, estate: Estates) -> None:
        self._world, self._tenant, self._estate = world, tenant, estate
        self._record = cache(lambda task: record_of(world, tenant, task))
        self._documents = cache(lambda task: world.tasks.documents(tenant, task))
        self._drill = cache(lambda drill: _drill_of(world, tenant, drill))
        self._subscribed = cache(lambda: subscribers(estate(), tenant))
        self._of_policies = cache(lambda: _of_any_policy(estate(), tenant))

    def notes(self, entry: Entry) -> Iterator[Note]:
        """A message to everybody who wants to hear of an entry."""
        if self._is_of_a_rollout(entry):
            yield from self._of_rollout(entry)
        elif entry.kind in approval_news.KINDS:
            yield from self._of_approval(entry)
        elif (event := drill_news.event_of(entry)) is not None:
            yield from self._of_recovery(entry, event)

    def _is_of_a_rollout(self, entry: Entry) -> bool:
        if entry.kind != rollout_news.NOT_BEGUN:
            return entry.kind in rollout_news.STEPS
        try:
            self._world.rollouts.get(entry.tenant, entry.subject)
        except NotFound:
            return True
        return False  # the rollout itself has said how it failed

    def _of_rollout(self, entry: Entry) -> Iterator[Note]:
        record = self._record(entry.subject)
        document = {} if record is None else record.document.content
        yield from self._each(rollout_news.news_of(entry, document), listeners(document), entry)

    def _of_approval(self, entry: Entry) -> Iterator[Note]:
        events = approval_news.events_of(entry.kind)
        mine = wanted(self._subscribed(), events)
        somebody = mine or wanted(self._of_policies(), events)
        record = self._record(entry.subject) if somebody else None
        if record is None:
            return
        document = self._revision(record, entry)
        news = approval_news.news_of(entry, record, document)
        if news is None or not approval_news.holds(
            news.message, record, now=self._world.clock.now()
        ):
            return
        named = of_policy(self._estate(), self._tenant, document.content)
        yield from self._each(news, [*mine, *named], entry)

    def _revision(self, record: Record, entry: Entry) -> Document:
        """The document an entry is about."""
        number = entry.content.get("revision")
        if record.document.revision == number:
            return record.document
        made = self._documents(entry.subject)
        return next((one for one in made if one.revision == number), record.document)

    def _of_recovery(self, entry: Entry, event: Event) -> Iterator[Note]:
        mine = wanted(self._subscribed(), [event])
        if not mine:
            return
        if event in OF_RECOVERY_PLANS:
            plans = self._estate().recovery_of(self._tenant)
            plan = next((one for one in plans if one.name == entry.subject), None)
            yield from self._each(drill_news.news_of_alarm(entry, event, plan), mine, entry)
            return
        drill = self._drill(entry.subject)
        if drill is None:
            return
        news = drill_news.news_of(entry, event, drill)
        if drill_news.holds(news.message, drill):
            yield from self._each(news, mine, entry)

    def _each(self, news: News, to: Iterable[Notification], entry: Entry) -> Iterator[Note]:
        for listener in to:
            for message in heard(news, listener, step=entry.seq):
                until = entry.recorded_at + GIVES_UP_AFTER
                yield note_to(listener, message, until=until, now=self._world.clock.now())


def subscribers(estate: Estate, tenant: TenantId) -> tuple[Notification, ...]:
    """Who hears of a tenant's approvals and drills; nobody, if nobody declares it any more."""
    declared = next((one for one in estate.tenants if one.name == tenant), None)
    return () if declared is None else declared.subscriptions


def of_policy(
    estate: Estate, tenant: TenantId, document: Mapping[str, Any]
) -> tuple[Notification, ...]:
    """Whom a plan names, as far as its policy names them too.

    A document that nobody has approved yet must not choose by itself who is written to.
    """
    named = {(one.channel, one.target) for one in listeners(document)}
    return tuple(
        one
        for policy in estate.patches_of(tenant)
        if policy.name == document.get("policy")
        for one in policy.notifications
        if (one.channel, one.target) in named
    )


def _of_any_policy(estate: Estate, tenant: TenantId) -> list[Notification]:
    heard = (one for policy in estate.patches_of(tenant) for one in policy.notifications)
    return wanted(heard, OF_PLANS)


def record_of(world: World, tenant: TenantId, task: str) -> Record | None:
    """A task; None if there is none, as of a rollout that was put there by hand."""
    try:
        return world.tasks.get(tenant, task)
    except NotFound:
        return None


def _drill_of(world: World, tenant: TenantId, drill: str) -> Drill | None:
    try:
        return world.drills.get(tenant, drill).drill
    except NotFound:
        return None


def note_to(listener: Notification, message: Message, *, until: datetime, now: datetime) -> Note:
    """A message on its way to a listener, tried from now on."""
    return Note(
        channel=Channel(listener.channel),
        target=listener.target,
        message=message,
        queued_at=now,
        due_at=now,
        give_up_at=until,
    )


def still_true(world: World, message: Message) -> bool:
    """Whether a message is worth sending: what it asks for was not done or decided meanwhile."""
    if message.only_while is OnlyWhile.ALWAYS:
        return True
    if message.about is About.DRILL:
        drill = _drill_of(world, message.tenant, message.subject)
        return drill is not None and drill_news.holds(message, drill)
    record = record_of(world, message.tenant, message.subject)
    now = world.clock.now()
    return record is not None and approval_news.holds(message, record, now=now)
