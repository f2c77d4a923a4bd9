"""The one code location, and the socket its server is reached by."""

import hashlib
import os
import tempfile
from pathlib import Path

from qlrf_pipelines.operate.dagster_home import folder
from qlrf_pipelines.settings import Settings

LOCATION = "qlrf"
REPOSITORY = "__repository__"
MODULE = "qlrf_pipelines.definitions"
_LONGEST = 100  # the kernel's limit is 107 bytes, and Dagster appends nothing


def socket_path(settings: Settings) -> Path:
    """Inside the home, where only its owner may reach; a long home gets a private short folder.

    It stays the same from start to start: Dagster remembers schedules by their server's address.
    """
    path = folder(settings) / "code.sock"
    if len(os.fsencode(path)) <= _LONGEST:
        return path
    name = hashlib.sha256(os.fsencode(settings.home)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"qlrf-{os.getuid()}-{name}" / "code.sock"
