"""Secrets: references that are resolved where they are used, and kept nowhere."""

from collections.abc import Mapping
from pathlib import Path

from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.estate import Connector


class Secrets:
    """Resolves `env:NAME` and `file:/path` against the environment it was given."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env

    def __repr__(self) -> str:
        return "Secrets(…)"

    def of(self, connector: Connector) -> dict[str, str]:
        """The connector's credentials, resolved now; the caller uses them and lets them go.

        Raises:
            Rejected: a reference leads nowhere; the message names the connector and all of them.
        """
        return self.resolved(
            connector.credentials, owner=f"Connector {connector.name} of tenant {connector.tenant}"
        )

    def resolved(self, references: Mapping[str, str], *, owner: str) -> dict[str, str]:
        """The secrets behind these references, resolved now.

        Raises:
            Rejected: a reference leads nowhere; the message names the owner and all of them.
        """
        found: dict[str, str] = {}
        missing: list[str] = []
        for name, reference in references.items():
            value = self._resolve(reference)
            if value:
                found[name] = value
            else:
                missing.append(f"{name} ({_shown(reference)})")
        if missing:
            raise Rejected(
                f"{owner}: credentials not found: "
                f"{', '.join(sorted(missing))}; set the variable or write the file."
            )
        return found

    def _resolve(self, reference: str) -> str | None:
        scheme, _, rest = reference.partition(":")
        if scheme == "env":
            return self._env.get(rest)
        if scheme == "file":
            try:
                return Path(rest).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError):
                return None
        return None


def _shown(reference: str) -> str:
    # What is no reference may be the secret itself, written in the wrong place.
    return reference if reference.startswith(("env:", "file:")) else "neither env: nor file:"
