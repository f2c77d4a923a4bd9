"""A child that dies is started again, more and more patiently, and not for ever."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from qlrf_pipelines.operate import guard
from qlrf_pipelines.operate.processes import descendants, identify, memory_mib
from qlrf_pipelines.operate.supervisor import MAX_DEATHS, WITHIN_SECONDS, Deaths, GaveUp


def test_each_death_makes_the_next_start_wait_longer():
    deaths = Deaths()

    assert [deaths.record("daemon", now=float(n)) for n in range(4)] == [1, 2, 4, 8]
    assert deaths.record("webserver", now=5.0) == 1
    assert deaths.counts() == {"daemon": 4, "webserver": 1}


def test_a_child_that_dies_again_and_again_is_given_up_loudly():
    deaths = Deaths()
    for moment in range(MAX_DEATHS - 1):
        deaths.record("code", now=float(moment))

    with pytest.raises(GaveUp, match="code"):
        deaths.record("code", now=float(MAX_DEATHS))


def test_deaths_of_long_ago_are_forgiven():
    deaths = Deaths()

    waits = [deaths.record("code", now=n * WITHIN_SECONDS) for n in range(10)]

    assert waits == [1.0] * 10


def test_the_guard_knows_which_groups_are_left():
    assert guard.watch(["+11\n", "+12\n", "-11\n"]) == {12}
    assert guard.watch(["+11\n", "done\n"]) == set()


@pytest.mark.slow
def test_the_guard_ends_what_a_killed_supervisor_left_running():
    read, write = os.pipe()
    victim = subprocess.Popen(
        [sys.executable, "-c", "import os; os.read(0, 1)"],
        stdin=read,
        start_new_session=True,
    )
    watcher = subprocess.Popen([sys.executable, "-I", "-S", guard.__file__], stdin=subprocess.PIPE)

    watcher.communicate(f"+{victim.pid}\n".encode())  # and the pipe ends without a word

    assert victim.wait(timeout=20) == -signal.SIGTERM
    assert watcher.returncode == 0
    os.close(read)
    os.close(write)


def test_a_process_is_known_by_number_and_start():
    own = identify(os.getpid())

    assert own is not None
    assert own.lives
    assert identify(2**22 + 1) is None


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux")
def test_memory_counts_descendants():
    assert os.getpid() in descendants([os.getpid()])
    assert memory_mib([os.getpid()]) > 1
