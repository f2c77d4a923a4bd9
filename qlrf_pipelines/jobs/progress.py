"""Progress of runs nobody watches: one log line per scope that could not be read."""

import logging

from qlrf_pipelines.domain.inventory import Certificate, Scope
from qlrf_pipelines.domain.vocabulary import ListingStatus
from qlrf_pipelines.ports.progress import Progress

_log = logging.getLogger("qlrf.refresh")


class LogProgress(Progress):
    """Writes to the standard log; what went well is not worth a line there."""

    def planned(self, scope: Scope) -> None:
        """Nothing to say yet."""

    def paged(self, scope: Scope, *, listed: int) -> None:
        """Nothing to say yet."""

    def listed(self, certificate: Certificate) -> None:
        """Say what could not be read, and why."""
        if certificate.status is not ListingStatus.COMPLETE:
            scope = certificate.scope
            _log.warning(
                "%s %s: %s %s", scope.tenant, scope.id, certificate.status, certificate.error or ""
            )

    def said(self, message: str) -> None:
        """Pass it on."""
        _log.info("%s", message)
