"""Dagster's launcher, which can also say whether a run's process is still there.

Runs are processes of the code server. If one dies, the code server says so; if the code server dies
with all of them, nobody would, and each would be running for ever, in one of the few places for
runs. With this, Dagster's own run monitoring asks. Named by dagster.yaml.
"""

import json

import dagster as dg
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG

from qlrf_pipelines.operate.orphans import PROCESS_TAG, known_runs, lives

_NOBODY_KNOWS = CheckRunHealthResult(WorkerStatus.RUNNING, "Nobody can tell; it is left alone.")


class WatchedRunLauncher(DefaultRunLauncher):
    """Launches runs on the code server, and knows those whose process is gone."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Run monitoring may ask."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """What became of a started run; where nobody can tell, it is taken for running."""
        process, server = run.tags.get(PROCESS_TAG), run.tags.get(GRPC_INFO_TAG)
        if process:
            return _health(there=lives(process), of=f"process {process}")
        return _asked(run.run_id, server) if server else _NOBODY_KNOWS


def _asked(run_id: str, server: str) -> CheckRunHealthResult:
    """What the code server says: a run is its child, or it is nobody's any more."""
    known = known_runs(json.loads(server))
    if known is None:
        return _NOBODY_KNOWS
    return _health(there=run_id in known, of="process in the code server")


def _health(*, there: bool, of: str) -> CheckRunHealthResult:
    if there:
        return CheckRunHealthResult(WorkerStatus.RUNNING)
    return CheckRunHealthResult(WorkerStatus.NOT_FOUND, f"Its {of} ended without a word.")
