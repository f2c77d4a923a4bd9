"""`qlrf up | down | status | doctor`: the platform as a whole."""

from collections.abc import Mapping
from dataclasses import asdict

import click

from qlrf_pipelines.cli.output import emit_json, emit_rows, json_option, say
from qlrf_pipelines.settings import Settings


@click.command("up")
@click.option("--foreground", is_flag=True, help="Stay, and stop everything on Ctrl-C.")
@json_option
@click.pass_obj
def up(settings: Settings, *, foreground: bool, as_json: bool) -> int:
    """Start database, code server, daemon and Dagster UI, and wait until they answer."""
    from qlrf_pipelines.operate import platform

    if foreground:
        platform.foreground(settings, say=say)
        return 0
    say("Starting the platform; the first time takes half a minute.")
    started = platform.up(settings)
    if as_json:
        emit_json({"started": started, "url": platform.url(settings)})
    else:
        click.echo(f"Dagster UI: {platform.url(settings)}" + ("" if started else " (was up)"))
    return 0


@click.command("down")
@json_option
@click.pass_obj
def down(settings: Settings, *, as_json: bool) -> int:
    """Stop everything that `up` started."""
    from qlrf_pipelines.operate import platform

    stopped = platform.down(settings)
    if as_json:
        emit_json({"stopped": stopped})
    else:
        click.echo("Stopped." if stopped else "Nothing was running.")
    return 0


@click.command("status")
@json_option
@click.pass_obj
def status(settings: Settings, *, as_json: bool) -> int:
    """Show what runs, since when, how much memory it takes, and each tenant's last refresh."""
    from qlrf_pipelines.operate.status import status as look

    found = look(settings)
    if as_json:
        emit_json(asdict(found))
        return 0
    click.echo(
        f"Up since {found.since}: {found.url}{'' if found.ready else ' (starting)'}"
        if found.up
        else "Not running; start it with `qlrf up`."
    )
    emit_rows([asdict(part) for part in found.parts], as_json=False, title="Processes")
    if found.memory_mib is not None:
        click.echo(f"Memory in all: {found.memory_mib:.0f} MiB")
    if found.pending_runs is not None:
        click.echo(f"Runs waiting or running: {found.pending_runs}")
    rows = [asdict(tenant) for tenant in found.tenants]
    emit_rows(rows, as_json=False, title="Last refresh", empty="No tenant was refreshed yet.")
    return 0


@click.command("doctor")
@json_option
@click.pass_obj
def doctor(settings: Settings, *, as_json: bool) -> int:
    """Check everything the platform needs, and say what to do about what is wrong."""
    from qlrf_pipelines.operate.doctor import Verdict, examine

    findings = []
    for finding in examine(settings):
        findings.append(finding)
        if not as_json:
            click.echo(f"{finding.verdict:<5} {finding.check}: {finding.found}")
            if finding.remedy:
                click.echo(f"      -> {finding.remedy}")
    if as_json:
        emit_json([asdict(finding) for finding in findings])
    return 1 if any(finding.verdict is Verdict.FAIL for finding in findings) else 0


COMMANDS: Mapping[str, click.Command] = {"up": up, "down": down, "status": status, "doctor": doctor}
