"""The lake behind s3://, on a local S3 API in a process of its own."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import boto3
import duckdb
import pyarrow as pa
import pytest

from qlrf_pipelines.domain.datasets import INVENTORY
from resources.lake import DeltaLake


@pytest.fixture
def options() -> Iterator[dict[str, str]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # Not a thread of ours: delta-rs keeps the interpreter's lock while it waits for an answer.
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(port)
        keys = {"aws_access_key_id": "x", "aws_secret_access_key": "y"}
        client = boto3.client("s3", endpoint_url=url, region_name="us-east-1", **keys)
        client.create_bucket(Bucket="lake")
        yield {
            "AWS_ENDPOINT_URL": url,
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            **{name.upper(): value for name, value in keys.items()},
        }
    finally:
        server.kill()
        server.wait()


def _wait(port: int) -> None:
    for _ in range(600):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("The local S3 API did not start.")


@pytest.mark.slow
def test_a_bucket_is_written_read_and_erased(options: dict[str, str]) -> None:
    lake = DeltaLake("s3://lake/root", storage_options=options)
    table = pa.Table.from_pylist(
        [
            {"tenant": "acme", "asset_key": "a", "tags": [("a", "b")]},
            {"tenant": "zen", "asset_key": "z"},
        ],
        schema=INVENTORY.schema,
    )

    lake.replace(INVENTORY, table.to_reader(), tenants=["acme", "zen"])
    lake.append(INVENTORY, table.to_reader(), tenants=["acme", "zen"])
    lake.replace(INVENTORY, table.slice(0, 1).to_reader(), tenants=["acme"])

    with duckdb.connect(":memory:") as connection:
        lake.view(connection, INVENTORY, tenants=["acme"])
        assert connection.execute("SELECT asset_key, tags FROM inventory").fetchall() == [
            ("a", {"a": "b"})
        ]
        lake.view(connection, INVENTORY, tenants=["acme", "zen"], name="everyone")
        assert connection.execute("SELECT count(*) FROM everyone").fetchall() == [(3,)]
    lake.erase("acme")
    lake.upkeep(keep_hours=1)
    assert lake.tenants() == ["zen"]
