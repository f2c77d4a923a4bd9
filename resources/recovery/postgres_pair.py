"""A primary and a standby made on this machine, for demonstrations and tests."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resources.database import cluster, server
from resources.recovery.postgres_server import Login, PgSide
from resources.recovery.postgres_service import ServiceFile

# For two servers that share a machine with everything else.
_SETTINGS = {
    "wal_level": "replica",
    "hot_standby": "on",
    "wal_log_hints": "on",
    "wal_keep_size": "128MB",
    "max_wal_senders": "8",
    "max_connections": "40",
    "shared_buffers": "32MB",
    "max_wal_size": "128MB",
    "wal_receiver_timeout": "5s",
    "wal_retrieve_retry_interval": "200ms",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresPair:
    """Two servers, one following the other, and the service file that leads to the first."""

    primary: PgSide
    recovery: PgSide
    service: ServiceFile

    @property
    def settings(self) -> Mapping[str, Any]:
        """The settings of a member that is this pair, as a contract gives them."""
        return {
            "primary": {"data": str(self.primary.data), "port": self.primary.port},
            "recovery": {"data": str(self.recovery.data), "port": self.recovery.port},
            "service": {"file": str(self.service.file), "name": self.service.name},
            "database": self.primary.login.database,
            "user": self.primary.login.user,
        }

    def stop(self) -> None:
        """Stop both servers, whatever they are by now."""
        for side in (self.primary, self.recovery):
            side.stop("immediate")


def make_pair(
    folder: Path, *, postgres_bin: str = "", settings: Mapping[str, str] | None = None
) -> PostgresPair:
    """Make and start both servers below a folder; whoever may log in on this machine may enter.

    Raises:
        Unavailable: they cannot be made or started.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o711)
    binaries, launch = cluster.find_binaries(postgres_bin), cluster.launch_as()
    login = Login(user=cluster.SUPERUSER, database="postgres")

    def side(name: str) -> PgSide:
        return PgSide(
            data=folder / name / "data",
            port=server.free_port(),
            binaries=binaries,
            login=login,
            launch=launch,
        )

    primary = side("primary")
    _made(primary, {**_SETTINGS, **(settings or {})})
    primary.start()
    recovery = side("recovery")
    _home(recovery)
    recovery.reseed(primary)
    recovery.follow(primary)
    recovery.start()
    service = ServiceFile(file=folder / "pg_service.conf", name="orders")
    service.switch(primary.host, primary.port, database=login.database)
    return PostgresPair(primary=primary, recovery=recovery, service=service)


def _made(side: PgSide, settings: Mapping[str, str]) -> None:
    _home(side)
    cluster.create(
        side.data,
        binaries=side.binaries,
        password="unused",  # noqa: S106  nobody is asked for one
        launch=side.launch,
        options=("--auth=trust",),
    )
    with (side.data / "postgresql.conf").open("a", encoding="utf-8") as file:
        file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())


def _home(side: PgSide) -> None:
    side.data.parent.mkdir(parents=True, exist_ok=True)
    side.data.parent.chmod(0o711)
    side.own(side.data.parent)
