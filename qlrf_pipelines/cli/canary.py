"""`qlrf canary`: is the canary worse than its baseline, from files or from a metrics server."""

import math
import time
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qlrf_pipelines.cli.output import emit_json, json_option, say
from qlrf_pipelines.cli.texts import plain_table
from qlrf_pipelines.domain.errors import NotFound, Rejected

if TYPE_CHECKING:
    from qlrf_pipelines.domain.canary import Analysis, Finding, Judgement

_COLUMNS = (
    "metric",
    "verdict",
    "baseline",
    "canary",
    "shift %",
    "p",
    "alpha",
    "n",
    "needed",
    "why",
)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group("canary")
def canary() -> None:
    """Compare a canary with its baseline.

    Exit codes: 0 the canary passes, 1 it fails, 3 it is marginal or cannot be told yet.
    """


@canary.command("judge")
@click.option(
    "--baseline", required=True, type=_FILE, help="CSV: metric,value or metric,time,value."
)
@click.option("--canary", "canary_file", required=True, type=_FILE, help="CSV of the same form.")
@click.option(
    "--template",
    help="basic, standard, comprehensive or a .yaml file (default: all metrics of the files).",
)
@click.option(
    "--samples",
    type=click.IntRange(min=0),
    default=0,
    help="How many samples each side should have; those missing are taken at their worst.",
)
@json_option
def judge_command(
    *, baseline: Path, canary_file: Path, template: str | None, samples: int, as_json: bool
) -> int:
    """Judge samples from two CSV files, once.

    A rate is two metrics: error-rate:events and error-rate:total.
    """
    from qlrf_pipelines.domain.canary_judge import judge
    from qlrf_pipelines.services.canary_samples import (
        infer_analysis,
        read_samples,
        seen_in,
        unused,
    )

    tables = [read_samples(_lines(file), file=str(file)) for file in (baseline, canary_file)]
    analysis = _named(template) if template else infer_analysis(*tables)
    for name in unused(analysis, *tables):
        say(f"Warning: {name} is not a metric of {analysis.name}; it is not judged.")
    found = judge(analysis, seen_in(analysis, *tables, expected=samples), look=1, looks=1)
    _show(found, as_json=as_json)
    return _exit_code(found)


@canary.command("watch")
@click.option("--analysis", "file", required=True, help="A .yaml file with provider and scopes.")
@click.option("--start", help="When the canary began, in ISO 8601 with a zone (default: now).")
@click.option(
    "--settle",
    type=click.IntRange(min=0),
    default=0,
    help="Seconds until the provider can show what just happened.",
)
@json_option
def watch_command(*, file: str, start: str | None, settle: int, as_json: bool) -> int:
    """Look at a live canary until it fails, or until the last planned look.

    With --json every look is one JSON document; otherwise a table.
    """
    from qlrf_pipelines import wiring
    from qlrf_pipelines.services.canary import watch

    analysis = _named(file)
    if analysis.provider is None:
        raise Rejected(f"{file} has no provider; add spec.provider.")
    clock = wiring.clock()
    found = watch(
        wiring.metrics(analysis.provider),
        analysis,
        start=_moment(start, now=clock.now()) if start else clock.now(),
        clock=clock,
        wait=time.sleep,
        on_look=lambda judgement: _show(judgement, as_json=as_json),
        settle=timedelta(seconds=settle),
    )
    return _exit_code(found)


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Rejected(f"{file} cannot be read: {error}; give a CSV file in UTF-8.") from error


def _named(name: str) -> "Analysis":
    """The analysis of this name or file; none is bad usage: exit code 1 would be a bad canary."""
    from qlrf_pipelines import wiring

    try:
        return wiring.analyses().named(name)
    except NotFound as error:
        raise Rejected(str(error)) from error


def _moment(text: str, *, now: datetime) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise Rejected(f"--start {text} is no moment; write it in ISO 8601.") from error
    if found.tzinfo is None:
        raise Rejected(f"--start {text} has no zone; end it with Z or an offset.")
    if found > now:
        raise Rejected(f"--start {text} has not come yet; say when the canary began.")
    return found


def _exit_code(found: "Judgement") -> int:
    from qlrf_pipelines.domain.canary import Verdict

    return {Verdict.PASS: 0, Verdict.FAIL: 1}.get(found.verdict, 3)


def _show(found: "Judgement", *, as_json: bool) -> None:
    if as_json:
        emit_json(_plain(asdict(found)))
        return
    click.echo(plain_table(_COLUMNS, [_row(finding) for finding in found.findings]))
    for finding in found.findings:
        for problem in finding.problems:
            say(f"{finding.metric}: {problem}")
    counted = f"look {found.look} of {found.looks}: " if found.looks > 1 else ""
    click.echo(f"{counted}{found.verdict}, score {found.score:g} ({found.reason})")


def _row(finding: "Finding") -> tuple[object, ...]:
    return (
        finding.metric,
        str(finding.verdict),
        _short(finding.baseline),
        _short(finding.canary),
        _short(finding.shift_percent),
        _short(finding.p),
        _short(finding.alpha),
        f"{finding.baseline_count}/{finding.canary_count}",
        finding.needed,
        finding.reason,
    )


def _short(value: float | None) -> str | None:
    return None if value is None else f"{value:.4g}"


def _plain(value: Any) -> Any:  # noqa: ANN401  any JSON value
    """JSON has no infinity: an unbounded bound is null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value


COMMANDS = {"canary": canary}
