"""A vCenter simulator with two machines, their snapshots, and two port groups to come back in."""

import atexit
import functools
import os
import shutil
import ssl
import subprocess
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest

from qlrf_pipelines.domain.recovery import Member, Side
from qlrf_pipelines.ports.recovery import RecoverySession
from resources.clouds.vsphere.recovery import VsphereRecovery
from resources.secrets import Secrets
from tests.fakes.clock import FakeClock
from tests.fakes.dying import Dying
from tests.fakes.recovery_sites import Sites

PEERS = Path(os.environ.get("QLRF_PEERS") or Path.home() / ".cache/qlrf/peers")
MISSING = "the vCenter simulator is not here; `.ci/peers` builds it"
ENV = {"USER": "user", "PASSWORD": "pass"}
REFERENCES = {"username": "env:USER", "password": "env:PASSWORD"}
PRODUCTION, ISOLATED = "VM Network", "DC0_DVPG1"
_POWER = "runtime.powerState"
CHANGES = frozenset({"mark", "power_on", "power_off", "destroy", "plug", "clone"})


class Vcsim:
    """The simulator's process and a session of the test's own in it."""

    def __init__(self) -> None:
        from pyVim.connect import SmartConnect

        found = shutil.which("vcsim") or str(PEERS / "vcsim")
        if not Path(found).is_file():
            if os.environ.get("QLRF_REQUIRE_PEERS"):
                pytest.fail(MISSING)
            pytest.skip(MISSING)
        self.process = subprocess.Popen(
            [found, "-vm", "2", "-pg", "2"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.server = self.process.stdout.readline().strip()
        host, _, port = self.server.partition(":")
        self.folder = tempfile.TemporaryDirectory(prefix="qlrf-vcsim-")
        self.trust = Path(self.folder.name) / "vcenter.pem"
        self.trust.write_text(ssl.get_server_certificate((host, int(port))))
        self.content = SmartConnect(
            host=host, port=int(port), user="user", pwd="pass", disableSslCertValidation=True
        ).content

    def stop(self) -> None:
        """End it, as closing its standard input does."""
        self.process.communicate()
        self.folder.cleanup()

    def machine(self, name: str) -> Any:
        """A machine of the datacenter by its name."""
        return self.content.searchIndex.FindByInventoryPath(f"DC0/vm/{name}")

    def done(self, task: Any) -> Any:
        """What a task ends with."""
        end = time.monotonic() + 30
        while time.monotonic() < end:
            info = task.info
            if info.state == "success":
                return info.result
            assert info.state != "error", info.error
        raise AssertionError("the simulator does not end a task")


@functools.cache
def vcsim() -> Vcsim:
    """The one simulator of this test run."""
    made = Vcsim()
    atexit.register(made.stop)
    return made


class VcsimSites(Sites):
    """Each of these is two machines of their own in the one simulator."""

    expected = 2
    _number: ClassVar[list[int]] = []

    def __init__(self) -> None:
        from pyVmomi import vim

        self.vim = vim
        self.vcsim = vcsim()
        self._ways: dict[tuple[str, str | None], Any] = {}
        self._number.append(1)
        self.names = [f"app{len(self._number)}-{n}" for n in (1, 2)]
        for name in self.names:
            self._make(name)
        self.clock = FakeClock(datetime.now(UTC) + timedelta(hours=1))
        self.member = Member(
            name=f"web-{len(self._number)}", adapter="vsphere", settings=self.settings()
        )

    def settings(self) -> dict[str, Any]:
        """The member's settings."""
        reach = {
            "server": self.vcsim.server,
            "datacenter": "DC0",
            "credentials": REFERENCES,
            "caFile": str(self.vcsim.trust),
        }
        there = {"pool": "DC0_C0/Resources", "network": PRODUCTION, "isolated": ISOLATED}
        return {
            "primary": reach,
            "recovery": reach | there,
            "machines": [{"name": name} for name in self.names],
            "failBack": "restart-primary",
        }

    def adapter(self, *, die_at: int | None = None, shared: bool = True) -> VsphereRecovery:
        plain = VsphereRecovery(secrets=Secrets(ENV), clock=self.clock, timeout=10)
        if not shared:
            return plain
        dying: list[Dying] = []

        def reach(place: Any, keys: Mapping[str, str]) -> Any:
            # Both sides are one process: it dies once.
            if not dying:
                if (place.server, place.trust) not in self._ways:
                    self._ways[place.server, place.trust] = plain.calls(place, keys)
                way = self._ways[place.server, place.trust]
                dying.append(Dying(way, at=die_at, changes=lambda n, _: n in CHANGES))
            return dying[0]

        return VsphereRecovery(secrets=Secrets(ENV), clock=self.clock, reach=reach)

    def unreachable(self) -> RecoverySession:
        settings = self.settings()
        for side in ("primary", "recovery"):
            settings[side] = {**settings[side], "server": "127.0.0.1:9"}
        return self.adapter().open(Member(name="web", adapter="vsphere", settings=settings))

    def without_credentials(self) -> dict[str, Any]:
        keys = {"username": "env:NOWHERE", "password": "env:PASSWORD"}
        settings = self.settings()
        return settings | {"recovery": settings["recovery"] | {"credentials": keys}}

    def world(self) -> Any:
        return {name: self._seen(machine) for name, machine in self._all().items()}

    def served_by(self) -> Side | None:
        if self.primary_works() and not self._in_production():
            return Side.PRIMARY
        if not self.primary_works() and len(self._in_production()) == self.expected:
            return Side.RECOVERY
        return None

    def primary_works(self) -> bool:
        return all(self._power(self.vcsim.machine(name)) == "poweredOn" for name in self.names)

    def made(self) -> int:
        return len(self._clones())

    def settle(self) -> None:
        """Let the guests of running clones start, as their tools would report."""
        for clone in self._clones().values():
            option = self.vim.option.OptionValue(
                key="SET.guest.toolsRunningStatus", value="guestToolsRunning"
            )
            spec = self.vim.vm.ConfigSpec(extraConfig=[option])
            self.vcsim.done(clone.ReconfigVM_Task(spec))

    def a_failed_task(self) -> str:
        """The id of a task that has failed: there is no such guest."""
        spec = self.vim.vm.ConfigSpec(guestId="nobody")
        task = self.vcsim.machine("DC0_H0_VM0").ReconfigVM_Task(spec)
        end = time.monotonic() + 30
        while task.info.state != "error":
            assert time.monotonic() < end, task.info.state
        return str(task._moId)

    def _make(self, name: str) -> None:
        template = self.vcsim.machine("DC0_H0_VM0")
        pool = self.vcsim.content.searchIndex.FindByInventoryPath("DC0/host/DC0_C0/Resources")
        datacenter = self.vcsim.content.rootFolder.childEntity[0]
        spec = self.vim.vm.CloneSpec(
            location=self.vim.vm.RelocateSpec(pool=pool), powerOn=False, template=False
        )
        machine = self.vcsim.done(template.CloneVM_Task(datacenter.vmFolder, name, spec))
        self.vcsim.done(machine.PowerOnVM_Task(None))
        self.vcsim.done(machine.CreateSnapshot_Task("replica", "", False, False))

    def _all(self) -> dict[str, Any]:
        datacenter = self.vcsim.content.rootFolder.childEntity[0]
        return {m.name: m for m in datacenter.vmFolder.childEntity if not m.name.startswith("DC0")}

    def _clones(self) -> dict[str, Any]:
        return {
            name: machine
            for name, machine in self._all().items()
            if self._options(machine).get("qlrf.source") in self.names
        }

    def _in_production(self) -> list[str]:
        return [
            name
            for name, machine in self._clones().items()
            if self._power(machine) == "poweredOn"
            and [network.name for network in machine.network] == [PRODUCTION]
        ]

    def _power(self, machine: Any) -> str:
        if machine is None:
            return ""
        # Asked for by name: the simulator leaves a word of the whole `runtime` empty.
        from pyVmomi import vmodl

        kind = vmodl.query.PropertyCollector
        spec = kind.FilterSpec(
            objectSet=[kind.ObjectSpec(obj=machine)],
            propSet=[kind.PropertySpec(type=self.vim.VirtualMachine, pathSet=[_POWER])],
        )
        answer = self.vcsim.content.propertyCollector.RetrievePropertiesEx(
            [spec], kind.RetrieveOptions()
        )
        return str(answer.objects[0].propSet[0].val)

    def _options(self, machine: Any) -> dict[str, str]:
        return {o.key: o.value for o in machine.config.extraConfig if o.key.startswith("qlrf")}

    def _seen(self, machine: Any) -> Any:
        networks = [network.name for network in machine.network]
        return self._power(machine), networks, self._options(machine)
