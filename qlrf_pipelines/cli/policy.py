"""`qlrf policy`: the rules plans, tools, images, procedures and modules must pass."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TextIO

import click

from qlrf_pipelines.cli.output import emit_json, emit_rows, json_option, say
from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.settings import Settings

if TYPE_CHECKING:
    from qlrf_pipelines.domain.policy import Decision


@click.group("policy")
def group() -> None:
    """List, try and test the policies.

    A policy denies what is missing or unknown; so does an engine that cannot be asked.
    """


@group.command("list")
@click.argument("package", required=False)
@json_option
def show(*, package: str | None, as_json: bool) -> int:
    """List the packages, or the rules of PACKAGE and why each exists."""
    from qlrf_pipelines import wiring
    from qlrf_pipelines.services.policies import find_package

    if package is not None:
        found = find_package(wiring.policies(), package)
        rows: list[dict[str, Any]] = [
            {
                "rule": rule.id,
                "effect": "deny" if rule.denies else "warn",
                "severity": rule.severity,
                "reason": rule.reason,
            }
            for rule in found.rules
        ]
    else:
        rows = [
            {
                "package": item.id,
                "title": item.title,
                "rules": len(item.rules),
                "judges": item.judges,
            }
            for item in wiring.policies().load()
        ]
    emit_rows(rows, as_json=as_json)
    return 0


@group.command("check")
@click.argument("package")
@click.argument("file", metavar="INPUT.json", type=click.File("r", encoding="utf-8"))
@json_option
@click.pass_obj
def check(settings: Settings, *, package: str, file: TextIO, as_json: bool) -> int:
    """Ask PACKAGE about the document INPUT.json (- for stdin).

    Exit codes: 0 allowed, 1 denied, 2 the package or the document is not one.
    """
    from qlrf_pipelines import wiring
    from qlrf_pipelines.domain.policy import PACKAGES
    from qlrf_pipelines.services import policies

    if package not in PACKAGES:
        raise Rejected(f"There is no policy package {package}; use one of {', '.join(PACKAGES)}.")
    found = policies.check(wiring.policy(settings), package, _document(file))
    if as_json:
        emit_json(asdict(found))
    else:
        _print(found)
    return 0 if found.allowed else 1


@group.command("sample")
@click.argument("package")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Accepted; a sample is JSON anyway.")
def sample(*, package: str, name: str | None, as_json: bool) -> int:
    """Print a sample of PACKAGE: an input for `check`. Without NAME, one that is allowed."""
    from qlrf_pipelines import wiring
    from qlrf_pipelines.services.policies import find_package, find_sample

    del as_json
    emit_json(find_sample(find_package(wiring.policies(), package), name).input)
    return 0


@group.command("test")
@json_option
@click.pass_obj
def test(settings: Settings, *, as_json: bool) -> int:
    """Run every policy's own tests, and judge every sample by the engine in use."""
    from qlrf_pipelines import wiring
    from qlrf_pipelines.services.policies import run_tests

    packages = wiring.policies().load()
    report = run_tests(packages, wiring.policy(settings), wiring.policy_tests())
    if as_json:
        emit_json([asdict(result) for result in report.results])
    else:
        emit_rows([asdict(r) for r in report.failed], as_json=False, empty="Every one holds.")
    say(f"{len(report.results)} tests and samples, {len(report.failed)} failed.")
    return 1 if report.failed else 0


def _document(file: TextIO) -> dict[str, Any]:
    try:
        found = json.load(file)
    except (ValueError, RecursionError) as error:
        raise Rejected(f"{file.name} is not JSON ({error}); give one document.") from error
    if not isinstance(found, dict):
        raise Rejected(f"{file.name} must hold one JSON object, the policy's input.")
    return found


def _print(found: "Decision") -> None:
    click.echo(f"{'allowed' if found.allowed else 'denied'} by {found.package} ({found.engine})")
    for word, findings in (("deny", found.denials), ("warn", found.warnings)):
        for finding in findings:
            click.echo(f"  {word}  {finding.rule}  {finding.resource}: {finding.message}")


COMMANDS = {"policy": group}
