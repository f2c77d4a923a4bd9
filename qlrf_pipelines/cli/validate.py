"""`qlrf validate`: every contract of the estate, and everything wrong with them."""

from dataclasses import asdict, replace
from pathlib import Path

import click

from qlrf_pipelines.cli.output import emit_json, emit_rows, json_option, say
from qlrf_pipelines.domain.problems import InvalidEstate
from qlrf_pipelines.settings import Settings

_COLUMNS = ("tenants", "connectors", "images", "versions", "exemptions", "expired", "patches",
            "sites", "recovery_plans")  # fmt: skip


@click.command("validate")
@click.argument("path", required=False, type=click.Path(path_type=Path))
@json_option
@click.pass_obj
def command(settings: Settings, *, path: Path | None, as_json: bool) -> int:
    """Check every contract of the estate, or of the folder PATH.

    All errors of all files are reported at once, with file, line, field and remedy (exit code 2).
    Warnings, such as an exemption that has expired, go to stderr.
    """
    from qlrf_pipelines import wiring
    from qlrf_pipelines.services.validation import validate

    where = settings if path is None else replace(settings, estate=path)
    try:
        found = validate(wiring.estate(where), wiring.clock())
    except InvalidEstate as error:
        if not as_json:
            raise
        emit_json([asdict(problem) for problem in error.problems])
        return error.exit_code
    for warning in found.warnings:
        say(f"Warning: {warning}")
    if as_json:
        emit_json(asdict(found))
    else:
        emit_rows([asdict(found)], as_json=False, columns=_COLUMNS)
        say(f"The estate {where.estate} is valid.")
    return 0


COMMANDS = {"validate": command}
