"""Listing: every scope of a batch of tenants, through one bounded pool, page by page to disk."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from qlrf_pipelines.domain.errors import Denied, QlrfError, Unavailable
from qlrf_pipelines.domain.inventory import PAGE_SCHEMAS, Certificate, Kind, Page, Scope
from qlrf_pipelines.domain.vocabulary import AssetState, ListingStatus
from qlrf_pipelines.ports.clouds import CloudSession
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.inventory_plan import Planned

# Asked for once the instances of the region are known.
_DEPENDENT = (Kind.IMAGE, Kind.PATCH_STATE)
_INDEPENDENT = (Kind.VOLUME, Kind.SECURITY_GROUP)

# A typed scalar: pyarrow would import pandas to find out what a bare str is.
_RUNNING = pa.scalar(AssetState.RUNNING.value, pa.string())


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One scope, listed: its certificate and, if that is complete, the file of its rows."""

    number: int
    certificate: Certificate
    file: Path | None
    images: tuple[str, ...] = ()
    running: pa.ChunkedArray | None = None

    @property
    def complete(self) -> bool:
        """Whether the listing proves what is absent."""
        return self.certificate.status is ListingStatus.COMPLETE

    def ids(self, kind: Kind) -> Sequence[str]:
        """What to ask for of a kind that depends on the instances listed here."""
        if kind is Kind.IMAGE:
            return self.images
        return [] if self.running is None else self.running.to_pylist()


def list_regions(
    world: World, pool: ThreadPoolExecutor, planned: Sequence[Planned], *, folder: Path
) -> list[Listed]:
    """List every kind of every planned region; what fails becomes its certificate.

    A region's images and patch states are asked for as soon as its instances are known, for
    exactly those; where the instances could not be listed they are not asked for at all. Nobody
    is asked for a kind that the platform does not have.
    """

    def submit(region: Planned, kind: Kind, ids: Sequence[str] = ()) -> Future[Listed]:
        return pool.submit(_list_scope, world, region, kind, ids=ids, folder=folder)

    for region in planned:
        for kind in region.session.kinds:
            world.progress.planned(region.scope(kind))
    first = {submit(region, Kind.INSTANCE): region for region in planned}
    rest = [submit(region, kind) for region in planned for kind in _had(region, _INDEPENDENT)]
    done: list[Listed] = []
    for future in as_completed(first):
        region, instances = first[future], future.result()
        # The ids were for the follow-up alone; keeping them would cost a string per asset.
        done.append(
            Listed(number=instances.number, certificate=instances.certificate, file=instances.file)
        )
        for kind in _had(region, _DEPENDENT):
            if instances.complete:
                rest.append(submit(region, kind, instances.ids(kind)))
            else:
                done.append(_not_asked(world, region, kind))
        del first[future]
    while rest:
        done.append(rest.pop().result())
    return done


def _had(region: Planned, kinds: Sequence[Kind]) -> list[Kind]:
    return [kind for kind in kinds if kind in region.session.kinds]


def _not_asked(world: World, region: Planned, kind: Kind) -> Listed:
    now = world.clock.now()
    certificate = Certificate(
        scope=region.scope(kind),
        identity=region.session.identity,
        started_at=now,
        finished_at=now,
        status=ListingStatus.INCOMPLETE,
        pages=0,
        end_marker=False,
        listed=0,
        error="Not asked: the instances of this region could not be listed.",
    )
    world.progress.listed(certificate)
    return Listed(number=region.number, certificate=certificate, file=None)


def _list_scope(
    world: World, region: Planned, kind: Kind, *, ids: Sequence[str], folder: Path
) -> Listed:
    scope = region.scope(kind)
    started = world.clock.now()
    tally = _Tally()
    file = folder / f"{kind}-{region.number}.parquet"
    if kind in _DEPENDENT and not ids:
        tally.ended = True  # nothing to ask about: proven, without a call
    else:
        _read_pages(
            world, region.session, scope, ids=ids, tally=tally, rows=_Rows(file, region, kind)
        )
    certificate = tally.certificate(scope, region.session.identity, started, world.clock.now())
    world.progress.listed(certificate)
    if certificate.status is not ListingStatus.COMPLETE:
        file.unlink(missing_ok=True)  # half a listing is none
    return Listed(
        number=region.number,
        certificate=certificate,
        file=file if file.exists() else None,
        images=tuple(sorted(tally.images)),
        running=pa.chunked_array(tally.running, pa.string()),
    )


@dataclass(slots=True)
class _Tally:
    """What is counted while a scope is listed."""

    pages: int = 0
    listed: int = 0
    ended: bool = False
    error: QlrfError | None = None
    images: set[str] = field(default_factory=set)
    running: list[pa.Array] = field(default_factory=list)

    def count(self, page: Page, kind: Kind) -> None:
        """Count one page, and note what the follow-up listings must ask for."""
        self.pages += 1
        self.listed += page.rows.num_rows
        self.ended = page.last
        if kind is Kind.INSTANCE:
            images = pc.unique(page.rows.column("image_ref")).to_pylist()
            self.images.update(image for image in images if image)
            is_running = pc.equal(page.rows.column("state"), _RUNNING)
            self.running.append(page.rows.column("asset_id").filter(is_running))

    def certificate(
        self, scope: Scope, identity: str, started: datetime, finished: datetime
    ) -> Certificate:
        """What the attempt proves."""
        error = str(self.error) if self.error else None
        if isinstance(self.error, Denied):
            status = ListingStatus.DENIED
        elif self.error is not None:
            status = ListingStatus.INCOMPLETE
        elif not self.ended:
            status = ListingStatus.INCOMPLETE
            error = f"The listing stopped after {self.pages} pages without its end marker."
        else:
            status = ListingStatus.COMPLETE
        return Certificate(
            scope=scope,
            identity=identity,
            started_at=started,
            finished_at=finished,
            status=status,
            pages=self.pages,
            end_marker=self.ended and self.error is None,
            listed=self.listed,
            error=error,
        )


class _Rows:
    """A scope's rows on their way to disk, one row group per page, each row with its place."""

    def __init__(self, file: Path, region: Planned, kind: Kind) -> None:
        self._file = file
        self._number = region.number
        self._schema = PAGE_SCHEMAS[kind]
        self._writer: pq.ParquetWriter | None = None
        self._written = 0

    def __enter__(self) -> "_Rows":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            with _disk(self._file):
                self._writer.close()

    def write(self, rows: pa.RecordBatch) -> None:
        """Add one page."""
        if not rows.num_rows:
            return
        placed = pa.table(
            [
                *rows.cast(self._schema).columns,
                pa.repeat(pa.scalar(self._number, pa.int32()), rows.num_rows),
                pa.array(range(self._written, self._written + rows.num_rows), pa.int64()),
            ],
            schema=placed_schema(self._schema),
        )
        with _disk(self._file):
            if self._writer is None:
                self._writer = pq.ParquetWriter(self._file, placed.schema)
            self._writer.write_table(placed)
        self._written += rows.num_rows


def placed_schema(schema: pa.Schema) -> pa.Schema:
    """A page's columns, the number of its region and the row's place in the listing."""
    return schema.append(pa.field("region_no", pa.int32())).append(pa.field("row_no", pa.int64()))


def _read_pages(
    world: World,
    session: CloudSession,
    scope: Scope,
    *,
    ids: Sequence[str],
    tally: _Tally,
    rows: _Rows,
) -> None:
    with rows:
        pages = iter(session.list_scope(scope, ids=ids))
        while (page := _next(pages, tally)) is not None:
            rows.write(page.rows)
            tally.count(page, scope.kind)
            world.progress.paged(scope, listed=tally.listed)


def _next(pages: Iterator[Page], tally: _Tally) -> Page | None:
    """The next page; a cloud's failure is noted, and only a cloud's: a broken disk is not."""
    try:
        return next(pages, None)
    except QlrfError as error:
        tally.error = error
        return None


@contextmanager
def _disk(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(
            f"Listed rows could not be kept in {file.parent}: {error}; free space there and run "
            "the refresh again. Nothing was changed."
        ) from error
