"""A real kube-apiserver on a real etcd, on loopback, with no controllers and no nodes behind it."""

import atexit
import ctypes
import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import urllib3

PEERS = Path(os.environ.get("QLRF_PEERS") or Path.home() / ".cache/qlrf/peers")
MISSING = "kube-apiserver and etcd are not here; `.ci/peers` builds them"
ADMIN, READER = "admin-token", "reader-token"
_PR_SET_PDEATHSIG = 1
_START_SECONDS = 120


class KubeApiserver:
    """The two processes, and a door of the test's own."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="qlrf-kube-")
        self.home = Path(self._folder.name)
        self._processes: list[subprocess.Popen[bytes]] = []
        etcd, peer, port = _free_ports(3)
        self._serve(
            "etcd",
            f"--data-dir={self.home / 'etcd'}",
            f"--listen-client-urls=http://127.0.0.1:{etcd}",
            f"--advertise-client-urls=http://127.0.0.1:{etcd}",
            f"--listen-peer-urls=http://127.0.0.1:{peer}",
            "--unsafe-no-fsync",
        )
        _write_key(self.home / "sa.key")
        (self.home / "tokens.csv").write_text(
            f'{ADMIN},admin,1,"system:masters"\n{READER},reader,2,"readers"\n'
        )
        self._serve(
            "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{etcd}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={port}",
            f"--cert-dir={self.home / 'certs'}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={self.home / 'sa.key'}",
            f"--service-account-signing-key-file={self.home / 'sa.key'}",
            "--service-cluster-ip-range=10.0.0.0/16",
            "--authorization-mode=RBAC",
            f"--token-auth-file={self.home / 'tokens.csv'}",
            "--disable-admission-plugins=ServiceAccount",
        )
        self.url = f"https://127.0.0.1:{port}"
        self.trust = self.home / "certs" / "apiserver.crt"
        self._wait()

    def ask(self, method: str, path: str, body: Any = None, kind: str = "json") -> Any:
        """An answer to the administrator, whatever its status."""
        answer = self._pool().request(
            method,
            f"{self.url}/{path}",
            body=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {ADMIN}",
                "Content-Type": f"application/{kind}",
            },
        )
        return json.loads(answer.data)

    def merge(self, path: str, change: Mapping[str, Any]) -> Any:
        """Change an object as a controller would."""
        return self.ask("PATCH", path, change, "merge-patch+json")

    def stop(self) -> None:
        """End both; nothing of theirs is kept."""
        for process in reversed(self._processes):
            process.kill()  # an API server that loses its etcd takes minutes to end by itself
            process.wait(timeout=60)
        self._folder.cleanup()

    @functools.cache  # noqa: B019  one server per test run
    def _pool(self) -> urllib3.PoolManager:
        return urllib3.PoolManager(ca_certs=str(self.trust), retries=False, maxsize=4)

    def _serve(self, name: str, *options: str) -> None:
        program = shutil.which(name) or str(PEERS / name)
        library, us = ctypes.CDLL(None), os.getpid()

        def tie() -> None:
            library.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != us:
                os._exit(1)

        with (self.home / f"{name}.log").open("wb") as log:
            self._processes.append(
                subprocess.Popen([program, *options], stdout=log, stderr=log, preexec_fn=tie)
            )

    def _wait(self) -> None:
        # The first lists answer before the namespaces are there, and making things then fails.
        end = time.monotonic() + _START_SECONDS
        while time.monotonic() < end:
            for process in self._processes:
                assert process.poll() is None, self._said()
            try:
                if self.ask("GET", "api/v1/namespaces/default").get("kind") == "Namespace":
                    return
            except (OSError, ValueError, urllib3.exceptions.HTTPError):
                self._pool.cache_clear()
            time.sleep(0.1)
        raise AssertionError(f"the API server did not start: {self._said()}")

    def _said(self) -> str:
        logs = sorted(self.home.glob("*.log"))
        return "\n".join(log.read_text(errors="replace")[-2000:] for log in logs)


def need_programs(*names: str, missing: str = MISSING) -> None:
    """Without its programs a test is skipped, or failed where peers are required."""
    if not all(shutil.which(name) or (PEERS / name).is_file() for name in names):
        if os.environ.get("QLRF_REQUIRE_PEERS"):
            pytest.fail(missing)
        pytest.skip(missing)


@functools.cache
def kube_apiserver() -> KubeApiserver:
    """The one API server of this test run; without its programs the test is skipped, or failed."""
    need_programs("etcd", "kube-apiserver")
    made = KubeApiserver()
    atexit.register(made.stop)
    return made


def _free_ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in held]
    for one in held:
        one.close()
    return ports


def _write_key(path: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
