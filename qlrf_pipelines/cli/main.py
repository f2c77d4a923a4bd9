"""The command group. A command's module is imported only when that command runs."""

import importlib
import os
import sys
from collections.abc import Mapping
from typing import NoReturn

import click

from qlrf_pipelines.domain.errors import QlrfError
from qlrf_pipelines.settings import Settings

# name -> (module, one line for `qlrf --help`); the function in the module is `command`.
COMMANDS: Mapping[str, tuple[str, str]] = {
    "validate": ("qlrf_pipelines.cli.validate", "Check every contract of the estate."),
    "refresh": ("qlrf_pipelines.cli.refresh", "Discover, score and publish tenants, now."),
    "assets": ("qlrf_pipelines.cli.marts", "List live assets with their verdicts and risk."),
    "drift": ("qlrf_pipelines.cli.marts", "Show coverage per scope, or drifted assets."),
    "compliance": ("qlrf_pipelines.cli.marts", "Show frameworks, or results per control."),
    "risk": ("qlrf_pipelines.cli.marts", "Show the riskiest assets and why."),
    "patches": ("qlrf_pipelines.cli.patches", "Show what patch policies promised and is due."),
    "resilience": ("qlrf_pipelines.cli.resilience", "Show what is proven to survive a lost site."),
    "scopes": (
        "qlrf_pipelines.cli.scopes",
        "Show what was listed and what could not be; accept losses.",
    ),
    "changes": ("qlrf_pipelines.cli.changes", "Show what changed between refreshes."),
    "query": ("qlrf_pipelines.cli.query", "Ask the marts anything, read-only, in SQL."),
    "tasks": ("qlrf_pipelines.cli.tasks", "Ask for changes, and decide about those of others."),
    "rollouts": ("qlrf_pipelines.cli.rollouts", "Look at rollouts and steer them."),
    "drills": ("qlrf_pipelines.cli.drills", "Drill recovery, with measured RTO and RPO."),
    "notifications": (
        "qlrf_pipelines.cli.notifications",
        "Show who was told of rollouts, and try a channel.",
    ),
    "evidence": ("qlrf_pipelines.cli.evidence", "Export and verify the evidence ledger."),
    "plan": ("qlrf_pipelines.cli.plan", "Plan a change and show what the gates say of it."),
    "policy": ("qlrf_pipelines.cli.policy", "List, try and test the policies plans must pass."),
    "canary": ("qlrf_pipelines.cli.canary", "Compare a canary with its baseline."),
    "tenants": ("qlrf_pipelines.cli.tenants", "List tenants, or remove one with its data."),
    "up": ("qlrf_pipelines.cli.platform", "Start database, daemon and Dagster UI."),
    "down": ("qlrf_pipelines.cli.platform", "Stop what `up` started."),
    "status": ("qlrf_pipelines.cli.platform", "Show what runs and what was refreshed last."),
    "doctor": ("qlrf_pipelines.cli.platform", "Check everything and say what to do."),
    "demo": ("qlrf_pipelines.cli.demo", "Run the demonstration on a local AWS API."),
}


class LazyGroup(click.Group):
    """Finds commands by name in COMMANDS; `--help` imports none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, in the order of COMMANDS."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the one command that was asked for."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(COMMANDS[cmd_name][0])
        found: click.Command = module.COMMANDS[cmd_name]
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list from COMMANDS alone."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="qlrf", prog_name="qlrf")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """QuantumLayer Resilience Fabric: what runs, what should run, and the proof.

    Exit codes: 0 done, 1 refused or failed, 2 bad usage or contract, 3 done in part.
    """
    ctx.obj = Settings.from_env(dict(os.environ))  # noqa: TID251  the one place that hands it over


def run() -> NoReturn:
    """The `qlrf` program: our own errors become one message and an exit code."""
    try:
        code = cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except click.Abort:
        click.echo("Interrupted.", err=True)
        sys.exit(1)
    except QlrfError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    run()
