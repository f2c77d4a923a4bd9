"""A refresh in a process that may not write files beyond a size: a full disk without root.

python -m tests.faults.full_disk FOLDER BYTES
"""

import resource
import signal
import sys
from pathlib import Path

import pyarrow as pa

from qlrf_pipelines.domain.datasets import INVENTORY
from qlrf_pipelines.domain.errors import Unavailable
from resources.lake import DeltaLake


def rows(count: int) -> pa.RecordBatchReader:
    """Rows that compress badly enough to need room."""
    found = [
        {"tenant": "acme", "asset_key": f"{number * 2654435761 % 2**32:x}"}
        for number in range(count)
    ]
    return pa.Table.from_pylist(found, schema=INVENTORY.schema).to_reader()


if __name__ == "__main__":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limit = int(sys.argv[2])
    lake = DeltaLake(str(Path(sys.argv[1])))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        lake.replace(INVENTORY, rows(50_000), tenants=["acme"])
    except Unavailable as error:
        sys.stdout.write(str(error))
        sys.exit(7)
