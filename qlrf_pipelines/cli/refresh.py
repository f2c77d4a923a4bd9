"""`qlrf refresh`: discover, score and publish tenants, now."""

from collections.abc import Mapping

import click

from qlrf_pipelines.cli.output import emit_json, emit_rows, json_option, say, tenant_option
from qlrf_pipelines.settings import Settings

_COLUMNS = (
    "tenant",
    "assets",
    "active",
    "coverage",
    "managed",
    "status",
    "compliance",
    "mean_risk",
    "max_risk",
    "changes",
    "gaps",
    "seconds",
)


@click.command("refresh")
@tenant_option
@click.option("--all", "everything", is_flag=True, help="Every tenant of the estate.")
@json_option
@click.pass_obj
def command(settings: Settings, *, tenant: tuple[str, ...], everything: bool, as_json: bool) -> int:
    """Discover, score and publish tenants, now.

    The run is recorded in Dagster. Exit code 3 means that some scope could not be read: its
    assets are kept and marked as not fresh.
    """
    if bool(tenant) == everything:
        raise click.UsageError("Name tenants with --tenant, or take --all of them.")
    from dataclasses import asdict

    from qlrf_pipelines.operate.progress import ConsoleProgress
    from qlrf_pipelines.operate.refresh import refresh
    from qlrf_pipelines.operate.summary import as_rows

    with ConsoleProgress() as progress:
        outcome = refresh(settings, tenant or None, progress)
    if as_json:
        emit_json({**asdict(outcome), "exit_code": outcome.exit_code})
    else:
        title = f"Refreshed in {outcome.seconds:.1f} s"
        emit_rows(as_rows(outcome.rows), as_json=False, columns=_COLUMNS, title=title)
    for gap in outcome.gaps:
        say(f"Not seen: {gap.tenant} {gap.scope}: {gap.status} ({gap.reason})")
    for line in outcome.checks_failed:
        say(f"Check failed: {line}")
    for line in outcome.failures:
        say(f"Failed: {line}")
    return outcome.exit_code


COMMANDS: Mapping[str, click.Command] = {"refresh": command}
