"""The service address of a database: a libpq service file, which every client reads to connect.

It is the switch of a failover: written whole or not at all, and read again at every connection. No
process has to live for it.
"""

import configparser
import os
from dataclasses import dataclass
from pathlib import Path

from qlrf_pipelines.domain.errors import Unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceFile:
    """One section of one libpq service file (PGSERVICEFILE)."""

    file: Path
    name: str

    def leads_to(self) -> tuple[str, int]:
        """Host and port that clients connect to.

        Raises:
            Unavailable: the file cannot be read, or says nothing of this service.
        """
        found = self._read()
        try:
            return found.get(self.name, "host"), found.getint(self.name, "port")
        except (configparser.Error, ValueError) as error:
            raise Unavailable(
                f"{self.file} does not say where service {self.name} is: {error}."
            ) from error

    def switch(self, host: str, port: int, *, database: str) -> None:
        """Lead every new connection there; what else the file says stays.

        Raises:
            Unavailable: the file cannot be written.
        """
        found = self._read() if self.file.exists() else _parser()
        if not found.has_section(self.name):
            found.add_section(self.name)
        for key, value in (("host", host), ("port", str(port)), ("dbname", database)):
            found.set(self.name, key, value)
        fresh = self.file.with_name(self.file.name + ".qlrf-tmp")
        try:
            with fresh.open("w", encoding="utf-8") as file:
                found.write(file, space_around_delimiters=False)
                file.flush()
                os.fsync(file.fileno())
            fresh.chmod(0o644)
            fresh.rename(self.file)
        except OSError as error:
            raise Unavailable(f"{self.file} cannot be written: {error.strerror}.") from error

    def _read(self) -> configparser.ConfigParser:
        found = _parser()
        try:
            found.read_string(self.file.read_text(encoding="utf-8"))
        except (OSError, configparser.Error, UnicodeDecodeError) as error:
            raise Unavailable(f"{self.file} cannot be read: {error}.") from error
        return found


def _parser() -> configparser.ConfigParser:
    return configparser.ConfigParser(interpolation=None)
