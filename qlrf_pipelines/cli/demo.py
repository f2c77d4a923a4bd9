"""`qlrf demo`: the demonstration."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from qlrf_pipelines.cli.output import emit_json, emit_rows, json_option, say
from qlrf_pipelines.settings import Settings

if TYPE_CHECKING:
    from qlrf_pipelines.demo.change import Change
    from qlrf_pipelines.demo.story import Story

_ROW = ("tenant", "assets", "active", "coverage", "managed", "status", "compliance", "max_risk",
        "changes", "gaps")  # fmt: skip
QUERIES = (
    "select name, region, drift_verdict, versions_behind, days_behind, risk_score "
    "from fct_assets order by risk_score desc limit 5",
    "select tenant, scope_value as environment, total, coverage, status "
    "from agg_drift_scope where scope_type = 'environment' order by 1, 2",
    "select framework, requirements_met, requirements_unmet, passed, failed, never_proven "
    "from agg_compliance_framework where tenant = 'acme' order by framework",
)


@click.command("demo")
@click.option("--approve", is_flag=True, help="Go on: approve what waits, and carry it out.")
@click.option("--drill", is_flag=True, help="Fail a real PostgreSQL over and back, measured.")
@json_option
@click.pass_obj
def command(settings: Settings, *, approve: bool, drill: bool, as_json: bool) -> int:
    """Run the demonstration on a local AWS API, or with --drill a disaster-recovery drill.

    Two tenants over two accounts and three regions are discovered, scored and published; then
    the world moves and it happens again. Exit code 3 is part of the story: one region fails.
    The command itself ends with 0 when the story went as it must.

    It ends with a plan that waits for approval. --approve goes on from there: somebody else
    approves it, machines are replaced behind a canary, and then a bad canary is brought back.

    With --drill, two PostgreSQL servers play two sites, a shop writes orders, and one site is cut
    off: the job fails over, measures RTO and RPO, fails back, and leaves the evidence as a PDF.
    """
    if approve:
        return _approve(settings, as_json=as_json)
    if drill:
        return _drill(settings, as_json=as_json)
    from qlrf_pipelines.demo.story import tell
    from qlrf_pipelines.operate.progress import ConsoleProgress

    with ConsoleProgress() as progress:
        story = tell(settings, progress)
    if as_json:
        emit_json(story.as_json())
    else:
        _show(story, settings)
    return 1 if story.false_deletions else 0


def _drill(settings: Settings, *, as_json: bool) -> int:
    from qlrf_pipelines.cli.drill_text import shown
    from qlrf_pipelines.demo.drill import tell_drill
    from qlrf_pipelines.operate.progress import ConsoleProgress

    with ConsoleProgress() as progress:
        story = tell_drill(settings, progress)
    if as_json:
        emit_json(story.as_json())
    else:
        click.echo(shown(story.record))
        click.echo(
            f"\nThe shop's own books: {story.shop.promised} orders promised, {story.shop.lost} of "
            f"them lost, closed for {story.shop.closed_seconds:.2f} s at the longest."
        )
        click.echo(f"Evidence: {story.entries} entries in the ledger, chain verified.")
        click.echo(f"For an auditor: {_short(story.pdf)}")
    return 0 if story.record.drill.outcome == "passed" else 1


def _approve(settings: Settings, *, as_json: bool) -> int:
    from dataclasses import asdict

    from qlrf_pipelines.demo.change import carry_out
    from qlrf_pipelines.operate.progress import ConsoleProgress

    with ConsoleProgress() as progress:
        change = carry_out(settings, progress)
    if as_json:
        emit_json(asdict(change))
    else:
        _show_change(change, settings)
    return 0 if change.as_it_must else 1


def _show_change(change: "Change", settings: Settings) -> None:
    titles = (
        ("What was approved, carried out behind a canary", change.good),
        ("The bad canary, brought back", change.bad),
    )
    for title, one in titles:
        emit_rows(one.machines, as_json=False, title=f"{title}: {one.tenant} {one.state}")
        click.echo(f"{one.tenant} {one.state}: {one.reason}\n")
    emit_rows(change.coverage, as_json=False, title="Coverage, refreshed since")
    emit_rows(change.evidence, as_json=False, title="Evidence")
    home = _short(settings.home)
    prefix = "" if home == ".qlrf" else f"QLRF_HOME={home} "
    click.echo("\nEvery step of both, and who said yes to what:")
    for one in (change.good, change.bad):
        click.echo(f"  {prefix}.venv/bin/qlrf rollouts show {one.task} --tenant {one.tenant}")
        click.echo(f"  {prefix}.venv/bin/qlrf tasks show {one.task} --tenant {one.tenant}")


def _show(story: "Story", settings: Settings) -> None:
    from qlrf_pipelines.operate.summary import as_rows

    for title, outcome in (("Yesterday", story.first), ("Today", story.second)):
        rows = as_rows(outcome.rows)
        emit_rows(rows, as_json=False, columns=_ROW, title=f"{title}, in {outcome.seconds:.1f} s")
    emit_rows(story.changes, as_json=False, title="What changed between the two")
    for gap in story.second.gaps:
        say(f"Not seen today: {gap.tenant} {gap.scope}: {gap.status}, {gap.reason}")
    emit_rows(story.stale, as_json=False, title="Kept, and called stale")
    emit_rows(story.verdicts, as_json=False, title="Every live asset, by drift verdict")
    emit_rows(story.evidence, as_json=False, title="Evidence")
    wrong = len(story.false_deletions)
    click.echo(f"\nMachines declared gone that still exist: {wrong}" + (" !" if wrong else ""))
    _what_next(settings, story)


def _what_next(settings: Settings, story: "Story") -> None:
    home = _short(settings.home)
    prefix = "" if home == ".qlrf" else f"QLRF_HOME={home} "
    marts = f"{home}/marts.duckdb" if settings.marts == "duckdb" else "PostgreSQL, schema marts"
    prefix += "" if settings.marts == "duckdb" else f"QLRF_MARTS={settings.marts} "
    click.echo(f"\nThe marts are in {marts}. Ask them:")
    for sql in QUERIES:
        click.echo(f'  {prefix}.venv/bin/qlrf query "{sql}"')
    click.echo("See until when machines were promised their golden image, the soonest first:")
    click.echo(f"  {prefix}.venv/bin/qlrf patches")
    click.echo("See runs, lineage, partitions and checks in the Dagster UI:")
    click.echo(f"  {prefix}QLRF_ESTATE={home}/demo/estate .venv/bin/qlrf up")
    click.echo("A plan of rita's waits for somebody else to approve exactly this digest:")
    click.echo(f"  {prefix}.venv/bin/qlrf tasks show {story.task} --tenant acme")
    click.echo(
        f"  {prefix}.venv/bin/qlrf tasks approve {story.task} --tenant acme "
        f"--digest {story.digest[:12]} --as ann --role engineer"
    )
    click.echo("Then let it be carried out, and watch a bad canary being brought back:")
    click.echo(f"  {prefix}.venv/bin/qlrf demo --approve")
    click.echo("Take the proof with you, and check it without any of this:")
    click.echo(f"  {prefix}.venv/bin/qlrf evidence export --tenant acme --out acme.zip")
    click.echo("  .venv/bin/qlrf evidence verify --pack acme.zip")


def _short(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


COMMANDS: Mapping[str, click.Command] = {"demo": command}
