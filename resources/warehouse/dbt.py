"""dbt inside our own process: its profile, its manifest and one build of a batch."""

import contextlib
import hashlib
import importlib.metadata
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qlrf_pipelines.domain.errors import Rejected, Unavailable
from qlrf_pipelines.ports.warehouse import BuildReport, NodeResult

PROJECT = Path(__file__).resolve().parents[2] / "dbt_project"

# dbt keeps its flags, its adapters and its event streams in globals: one invocation at a time.
_TURN = threading.Lock()
_BUILD = ("build", "--exclude-resource-type", "unit_test", "--no-write-json")
_PARSED: dict[str, Any] = {}  # digest -> dbt's Manifest, for later builds of this process


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where dbt builds: `output` is the profile's entry; `secrets` are variables it refers to."""

    name: str
    output: Mapping[str, object]
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


def duckdb_target(home: Path) -> Target:
    """The embedded target: a build file of its own, which nobody but a builder ever opens."""
    return Target(
        name="duckdb",
        output={
            "type": "duckdb",
            "path": str(build_file(home)),
            "schema": "main",
            "threads": 2,
            "settings": {"TimeZone": "UTC"},
        },
    )


def build_file(home: Path) -> Path:
    """The file a DuckDB build is made in; its name is the catalog's, `marts`."""
    return home / "dbt" / "build" / "marts.duckdb"


def ensure_manifest(project_dir: Path, home: Path, target: Target) -> Path:
    """The path of dbt's manifest for a target, parsed again only when the project changed.

    dbt is not imported while the manifest is current.

    Raises:
        Rejected: the project cannot be parsed.
    """
    folder = home / "dbt" / target.name
    digest = _digest(project_dir, target)
    stamp, manifest = folder / "parsed.sha256", folder / "manifest.json"
    if manifest.exists() and stamp.exists() and stamp.read_text() == digest:
        return manifest
    with _TURN:
        outcome = _invoke(["parse"], project_dir, home, target, None)
    if not outcome.success:
        raise Rejected(f"The dbt project in {project_dir} cannot be parsed: {outcome.exception}")
    _PARSED[digest] = outcome.result
    stamp.write_text(digest)
    return manifest


def run_build(project_dir: Path, home: Path, target: Target) -> BuildReport:
    """Build every model and run every data test of the project on a target.

    Raises:
        Rejected: the project cannot be parsed.
        Unavailable: dbt could not run at all (its message is passed on).
    """
    key = _digest(project_dir, target)
    if key not in _PARSED:
        ensure_manifest(project_dir, home, target)
    with _TURN:
        if key not in _PARSED:
            parsed = _invoke(["parse", "--no-write-json"], project_dir, home, target, None)
            _PARSED[key] = parsed.result
        outcome = _invoke(_BUILD, project_dir, home, target, _PARSED[key])
    results = getattr(outcome.result, "results", None)
    if results is None:
        raise Unavailable(f"dbt could not build the marts: {outcome.exception}")
    return BuildReport(nodes=tuple(_node(result) for result in results))


def run_unit_tests(project_dir: Path, home: Path, target: Target) -> Sequence[NodeResult]:
    """Run the project's unit tests, each over its own given rows."""
    ensure_manifest(project_dir, home, target)
    with _TURN:
        outcome = _invoke(
            ["test", "--resource-type", "unit_test", "--no-write-json"],
            project_dir,
            home,
            target,
            None,
        )
    return tuple(_node(result) for result in getattr(outcome.result, "results", ()))


def _invoke(
    args: Sequence[str],
    project_dir: Path,
    home: Path,
    target: Target,
    manifest: Any,  # noqa: ANN401  dbt's Manifest, which has no public type
) -> Any:  # noqa: ANN401  dbt's result
    from dbt.cli.main import dbtRunner

    place = home / "dbt"
    _write_profile(place, target)
    common = [
        *("--project-dir", str(project_dir), "--profiles-dir", str(place)),
        *("--target", target.name, "--target-path", str(place / target.name)),
        *("--log-path", str(place / "logs"), "--log-level-file", "none", "--log-level", "none"),
        *("--no-send-anonymous-usage-stats", "--no-version-check", "--no-use-colors", "--quiet"),
        *("--no-print", "--no-populate-cache"),
    ]
    with _variables(target.secrets):
        try:
            return dbtRunner(manifest=manifest).invoke([*args, *common])
        finally:
            _close(target)


def _close(target: Target) -> None:
    if target.output["type"] == "duckdb":
        from dbt.adapters.duckdb.connections import DuckDBConnectionManager

        # dbt keeps the file open for its next run; ours is gone by then.
        connections: Any = DuckDBConnectionManager
        if connections._ENV is not None:
            connections._ENV.close()
        connections.close_all_connections()


@contextlib.contextmanager
def _variables(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}  # noqa: TID251  dbt reads secrets there only
    os.environ.update(values)  # noqa: TID251
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)  # noqa: TID251
            else:
                os.environ[name] = value  # noqa: TID251


def _write_profile(place: Path, target: Target) -> None:
    import yaml

    place.mkdir(parents=True, exist_ok=True)
    path = place / "profiles.yml"
    known = yaml.safe_load(path.read_text()) if path.exists() else None
    outputs = dict((known or {}).get("qlrf", {}).get("outputs", {}))
    if outputs.get(target.name) == dict(target.output):
        return
    outputs[target.name] = dict(target.output)
    text = yaml.safe_dump({"qlrf": {"target": target.name, "outputs": outputs}})
    scratch = path.with_suffix(f".{os.getpid()}")
    scratch.write_text(text)
    scratch.replace(path)


def _digest(project_dir: Path, target: Target) -> str:
    # Where the build file lies changes nothing that dbt reads from the project.
    known = sorted(item for item in target.output.items() if item[0] != "path")
    found = hashlib.sha256(repr(known).encode())
    for package in ("dbt-core", f"dbt-{target.output['type']}"):
        found.update(importlib.metadata.version(package).encode())
    files = [project_dir / "dbt_project.yml"]
    for room in ("models", "macros"):
        files += sorted(path for path in (project_dir / room).rglob("*") if path.is_file())
    for path in files:
        found.update(str(path.relative_to(project_dir)).encode() + b"\0" + path.read_bytes())
    return found.hexdigest()


def _node(result: Any) -> NodeResult:  # noqa: ANN401  dbt's RunResult
    return NodeResult(
        unique_id=str(result.node.unique_id),
        status=str(result.status),
        seconds=float(result.execution_time or 0.0),
        failures=int(result.failures or 0),
        message=str(result.message or ""),
    )
