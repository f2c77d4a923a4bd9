"""Processes that may be killed: each is new, what a refresh imports is loaded once for all."""

import multiprocessing
from collections.abc import Callable
from typing import Any


def forked(work: Callable[..., None], *arguments: Any) -> int | None:
    """The exit code of a function in a process of its own."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["tests.faults.killed_process"])
    process = server.Process(target=work, args=arguments)
    process.start()
    process.join()
    return process.exitcode
