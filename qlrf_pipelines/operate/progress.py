"""Progress for people: a bar on a terminal, one line per scope elsewhere; both on stderr."""

import sys
import threading
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from qlrf_pipelines.domain.inventory import Certificate, Kind, Scope
from qlrf_pipelines.domain.vocabulary import ListingStatus
from qlrf_pipelines.ports.progress import Progress

_BROKEN = (ListingStatus.INCOMPLETE, ListingStatus.DENIED, ListingStatus.HELD)


class ConsoleProgress(Progress):
    """Use it as a context manager; it is safe to call from many threads."""

    def __init__(self, *, stream: TextIO | None = None) -> None:
        self._console = Console(file=stream or sys.stderr, soft_wrap=True, highlight=False)
        self._lock = threading.Lock()
        self._planned = 0
        self._done = 0
        self._things = 0
        self._bar: Bar | None = None
        if self._console.is_terminal:
            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("scopes, {task.fields[things]} assets"),
                TimeElapsedColumn(),
                console=self._console,
                transient=True,
            )
            self._task = self._bar.add_task("listing", total=None, things=0, visible=False)

    def __enter__(self) -> Self:
        """Show the bar."""
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the bar away, leave the lines."""
        del kind, error, trace
        if self._bar:
            self._bar.stop()

    def planned(self, scope: Scope) -> None:
        """One more to list."""
        del scope
        with self._lock:
            self._planned += 1
            self._show()

    def paged(self, scope: Scope, *, listed: int) -> None:
        """The bar lives from whole scopes; a page moves nothing."""
        del scope, listed

    def listed(self, certificate: Certificate) -> None:
        """One less to list; a broken one always gets its line."""
        broken = certificate.status in _BROKEN
        with self._lock:
            self._done += 1
            if certificate.scope.kind is Kind.INSTANCE:
                self._things += certificate.listed
            self._show()
        if broken or not self._bar:
            self._print(_line(certificate), style="yellow" if broken else None)

    def said(self, message: str) -> None:
        """A line."""
        self._print(message)

    def _show(self) -> None:
        if self._bar:
            self._bar.update(
                self._task,
                total=max(self._planned, self._done),
                completed=self._done,
                things=self._things,
                visible=True,
            )

    def _print(self, line: str, *, style: str | None = None) -> None:
        self._console.print(line, style=style, markup=False)


def _line(certificate: Certificate) -> str:
    scope = certificate.scope
    seconds = (certificate.finished_at - certificate.started_at).total_seconds()
    said = f"{scope.tenant} {scope.id}: {certificate.status}, {certificate.listed} listed"
    reason = f" ({certificate.error})" if certificate.error else ""
    return f"{said} in {seconds:.1f} s{reason}"
