"""The doctor: looks at everything the platform needs, and says what to do about what is wrong."""

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from qlrf_pipelines import wiring
from qlrf_pipelines.domain.errors import NotFound, QlrfError
from qlrf_pipelines.domain.estate import Connector, Estate
from qlrf_pipelines.operate import state
from qlrf_pipelines.operate.platform import port_is_free
from qlrf_pipelines.ports.clouds import Clouds, LostAccount
from qlrf_pipelines.settings import Settings

PACKAGES = (
    "dagster",
    "dagster_webserver",
    "dagster_postgres",
    "dagster_dbt",
    "dbt",
    "duckdb",
    "deltalake",
    "pyarrow",
    "pandas",
    "great_expectations",
    "sqlalchemy",
    "alembic",
    "psycopg2",
    "boto3",
    "jsonschema",
    "yaml",
    "rfc8785",
)
_GIB = 1 << 30
_NEEDED, _COMFORTABLE = _GIB // 4, 2 * _GIB
_ASKED_AT_ONCE = 8


class Verdict(StrEnum):
    """How one thing stands."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing looked at; `remedy` says what to do if it is not ok."""

    check: str
    verdict: Verdict
    found: str
    remedy: str = ""


Look = Callable[[Settings], Iterator[Finding]]


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at everything, cheapest first."""
    for name, look in _LOOKS:
        try:
            yield from look(settings)
        except QlrfError as error:
            yield Finding(check=name, verdict=Verdict.FAIL, found=str(error), remedy=_REMEDY[name])


def _python(settings: Settings) -> Iterator[Finding]:
    del settings
    version = ".".join(map(str, sys.version_info[:3]))
    good = sys.version_info >= (3, 11)
    yield Finding(
        check="python",
        verdict=Verdict.OK if good else Verdict.FAIL,
        found=f"Python {version}",
        remedy="" if good else "Install Python 3.11 or newer.",
    )


def _packages(settings: Settings) -> Iterator[Finding]:
    del settings
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    yield Finding(
        check="packages",
        verdict=Verdict.FAIL if missing else Verdict.OK,
        found=f"Missing: {', '.join(missing)}." if missing else f"{len(PACKAGES)} are installed.",
        remedy="Install again: delete .venv, then run `make test`." if missing else "",
    )


def _home(settings: Settings) -> Iterator[Finding]:
    nearest = next(folder for folder in (settings.home, *settings.home.parents) if folder.exists())
    writable = os.access(nearest, os.W_OK | os.X_OK)
    yield Finding(
        check="home",
        verdict=Verdict.OK if writable else Verdict.FAIL,
        found=f"{settings.home} {'can' if writable else 'cannot'} be written.",
        remedy="" if writable else "Set QLRF_HOME to a folder you may write to.",
    )
    yield _disk(nearest)


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    verdict = Verdict.OK if free >= _COMFORTABLE else Verdict.WARN
    return Finding(
        check="disk",
        verdict=verdict if free >= _NEEDED else Verdict.FAIL,
        found=f"{free / _GIB:.1f} GiB free.",
        remedy="" if verdict is Verdict.OK else "Free some space; a full lake refuses to write.",
    )


def _estate(settings: Settings) -> Iterator[Finding]:
    estate = wiring.estate(settings).load()
    found = f"{len(estate.tenants)} tenants, {len(estate.images)} images in {settings.estate}."
    yield Finding(
        check="estate",
        verdict=Verdict.OK if estate.tenants else Verdict.WARN,
        found=found,
        remedy="" if estate.tenants else "Declare a tenant in tenants/*.yaml.",
    )


def _database(settings: Settings) -> Iterator[Finding]:
    # Opening it migrates it, and refuses roles that could look past row-level security.
    with wiring.database(settings) as database:
        kind = "embedded" if database.embedded else "external"
        yield Finding(
            check="database",
            verdict=Verdict.OK,
            found=f"PostgreSQL ({kind}) answers; roles are safe, the schema is the newest.",
        )


def _lake(settings: Settings) -> Iterator[Finding]:
    tenants = wiring.lake(settings).tenants()
    yield Finding(
        check="lake",
        verdict=Verdict.OK,
        found=f"{settings.lake_uri} can be read; {len(tenants)} tenants have rows.",
    )


def _marts(settings: Settings) -> Iterator[Finding]:
    try:
        rows = wiring.warehouse(settings).query("SELECT count(*) AS n FROM dim_tenant").to_pylist()
    except NotFound:
        yield Finding(
            check="marts",
            verdict=Verdict.WARN,
            found="Nothing has been published yet.",
            remedy="Run `qlrf refresh --all`.",
        )
        return
    yield Finding(check="marts", verdict=Verdict.OK, found=f"Published for {rows[0]['n']} tenants.")


def _manifest(settings: Settings) -> Iterator[Finding]:
    path = wiring.manifest(settings)
    yield Finding(check="manifest", verdict=Verdict.OK, found=f"{path} is current.")


def _platform(settings: Settings) -> Iterator[Finding]:
    if state.is_up(settings):
        yield _running(settings)
        return
    free = port_is_free(settings.ui_port)
    yield Finding(
        check="port",
        verdict=Verdict.OK if free else Verdict.WARN,
        found=f"Port {settings.ui_port} is {'free' if free else 'taken by another program'}.",
        remedy="" if free else "Set QLRF_UI_PORT to a free port before `qlrf up`.",
    )
    yield Finding(
        check="platform",
        verdict=Verdict.WARN,
        found="Not running, so nothing is refreshed by schedule.",
        remedy="Run `qlrf up`.",
    )


def _running(settings: Settings) -> Finding:
    """The platform that is up: whole, or with processes that just died."""
    found = state.read(settings)
    if found is None or not found.ready:
        return Finding(
            check="platform",
            verdict=Verdict.WARN,
            found=f"Up since {found.since}, {found.url}." if found else "Starting.",
            remedy="Wait, and look at `qlrf status`.",
        )
    dead = [name for name, child in found.children.items() if not child.lives]
    again = [f"{name} {count}" for name, count in found.restarts.items() if count]
    told = f" Died and started again: {', '.join(again)}." if again else ""
    logs = state.log_folder(settings)
    return Finding(
        check="platform",
        verdict=Verdict.WARN if dead else Verdict.OK,
        found=f"Up since {found.since}, {found.url}."
        + (f" Not running right now: {', '.join(dead)}." if dead else "")
        + told,
        remedy=f"It is started again within seconds; {logs} says why it died." if dead else "",
    )


def _daemon(settings: Settings) -> Iterator[Finding]:
    if not state.is_up(settings):
        return
    from qlrf_pipelines.operate.instance import opened

    with (
        wiring.database(settings) as database,
        opened(settings, dagster_url=database.dagster_url) as instance,
    ):
        heard = instance.get_daemon_statuses().values()
        silent = [one.daemon_type.lower() for one in heard if one.required and not one.healthy]
    yield Finding(
        check="daemon",
        verdict=Verdict.WARN if silent else Verdict.OK,
        found=f"Not heard of lately: {', '.join(silent)}." if silent else "Every part is heard of.",
        remedy=_REMEDY["daemon"] if silent else "",
    )


def _clouds(settings: Settings) -> Iterator[Finding]:
    yield from connectors(wiring.estate(settings).load(), wiring.clouds(settings))


def connectors(estate: Estate, clouds: Clouds) -> Iterator[Finding]:
    """Ask every connector's cloud who we are; one line for all that answer, one for each other."""
    asked = [connector for tenant in estate.tenants for connector in tenant.connectors]
    with ThreadPoolExecutor(max_workers=_ASKED_AT_ONCE) as pool:
        troubles = [
            trouble for found in pool.map(lambda c: _trouble(c, clouds), asked) for trouble in found
        ]
    if not troubles:
        yield Finding(
            check="clouds",
            verdict=Verdict.OK if asked else Verdict.WARN,
            found=f"All {len(asked)} connectors answer." if asked else "There is no connector.",
            remedy="" if asked else "Give a tenant a connector.",
        )
    for where, why in troubles:
        yield Finding(
            check=f"clouds: {where}", verdict=Verdict.FAIL, found=why, remedy=_REMEDY["clouds"]
        )


def _trouble(connector: Connector, clouds: Clouds) -> Sequence[tuple[str, str]]:
    where = f"{connector.tenant}/{connector.name}"
    if connector.platform not in clouds:
        return [(where, f"There is no adapter for {connector.platform} yet.")]
    try:
        sessions = clouds[connector.platform].sessions(connector)
    except QlrfError as error:
        return [(where, str(error))]
    return [
        (f"{where} account {session.account}", str(session.error))
        for session in sessions
        if isinstance(session, LostAccount)
    ]


_LOOKS: Sequence[tuple[str, Look]] = (
    ("python", _python),
    ("packages", _packages),
    ("home", _home),
    ("estate", _estate),
    ("platform", _platform),
    ("database", _database),
    ("daemon", _daemon),
    ("lake", _lake),
    ("marts", _marts),
    ("manifest", _manifest),
    ("clouds", _clouds),
)
_REMEDY = {
    "python": "Install Python 3.11 or newer.",
    "packages": "Install again: delete .venv and run `make test`.",
    "home": "Set QLRF_HOME to a folder you may write to.",
    "estate": "Run `qlrf validate`; set QLRF_ESTATE if the folder is elsewhere.",
    "platform": "Run `qlrf down`, then `qlrf up`.",
    "database": "Look at postgres/log in QLRF_HOME, or check QLRF_DATABASE_URL.",
    "daemon": "Wait a minute; if it stays so, `qlrf down`, then `qlrf up`. See logs/daemon.log.",
    "lake": "Check QLRF_LAKE and its credentials.",
    "marts": "Run `qlrf refresh --all`.",
    "manifest": "Delete dbt_project/target and try again.",
    "clouds": "Check the connector's credentials, role and endpoint.",
}
