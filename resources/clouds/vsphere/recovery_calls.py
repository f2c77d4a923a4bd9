"""The vCenter calls of a recovery: machines with the properties we need, tasks begun, faults ours.

Properties are asked for by name: one round trip for all machines, and no answer is built out of
properties that a vCenter leaves unset.
"""

import http.client
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pyVim import connect
from pyVmomi import vim, vmodl

from qlrf_pipelines.domain.errors import Denied, Refused, Unavailable
from resources.clouds.vsphere.recovery_settings import Destination, Vcenter

_PORT = 443
_PROPERTIES = (
    "name",
    "runtime.powerState",
    "runtime.connectionState",
    "config.extraConfig",
    "config.hardware.device",
    "guest.toolsRunningStatus",
    "snapshot",
)
_Collector = vmodl.query.PropertyCollector
# What a second request is told while the first is carried out, or was: the next look tells.
_UNDER_WAY = (
    vim.fault.ConcurrentAccess,
    vim.fault.DuplicateName,
    vim.fault.InvalidPowerState,
    vim.fault.TaskInProgress,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One virtual machine as it is now; `marks` are the values of its qlrf.* keys."""

    ref: Any
    name: str
    power: str
    connected: bool
    marks: Mapping[str, str] = field(default_factory=dict)
    cards: Sequence[Any] = ()
    tools: bool = False
    snapshot: Any = None
    taken: datetime | None = None


class VsphereCalls:
    """One vCenter as one user sees it. Safe to use from many threads.

    What changes something begins a task and gives its id: nobody waits for it here.
    """

    def __init__(self, place: Vcenter, keys: Mapping[str, str], *, timeout: float) -> None:
        self._place = place
        self._keys = keys
        self._timeout = timeout
        self._lock = threading.Lock()
        self._open: Any = None

    def named(self, path: str) -> Machine | None:
        """The machine at a path below the datacenter's machine folder; None if there is none."""
        with self._spoken(f"machine {path}"):
            content = self._content()
            found = content.searchIndex.FindByInventoryPath(f"{self._place.datacenter}/vm/{path}")
            if not isinstance(found, vim.VirtualMachine):
                return None
            return next(iter(self._read([found])), None)

    def beginning(self, prefix: str) -> list[Machine]:
        """The machines of the datacenter whose names begin like this."""
        with self._spoken(f"machines of {self._place.datacenter}"):
            content = self._content()
            datacenter = self._below("", vim.Datacenter)
            view = content.viewManager.CreateContainerView(
                datacenter.vmFolder, [vim.VirtualMachine], True
            )
            try:
                refs = [ref for ref, found in self._all(view) if found.startswith(prefix)]
            finally:
                view.Destroy()
            return self._read(refs) if refs else []

    def mark(self, machine: Machine, key: str, value: str) -> str | None:
        """Set one of a machine's qlrf.* keys; an empty value removes it."""
        spec = vim.vm.ConfigSpec(extraConfig=[vim.option.OptionValue(key=key, value=value)])
        return self._begin(f"marking {machine.name}", lambda: machine.ref.ReconfigVM_Task(spec))

    def power_on(self, machine: Machine) -> str | None:
        """Begin to power a machine on."""
        return self._begin(f"starting {machine.name}", lambda: machine.ref.PowerOnVM_Task(None))

    def power_off(self, machine: Machine) -> str | None:
        """Begin to power a machine off."""
        return self._begin(f"stopping {machine.name}", lambda: machine.ref.PowerOffVM_Task())

    def destroy(self, machine: Machine) -> str | None:
        """Begin to remove a machine and its disks."""
        return self._begin(f"removing {machine.name}", lambda: machine.ref.Destroy_Task())

    def plug(self, machine: Machine, network: str) -> str | None:
        """Begin to put a machine's network cards into a port group."""
        with self._spoken(f"network {network}"):
            spec = vim.vm.ConfigSpec(deviceChange=self._plugged(machine.cards, network))
        return self._begin(f"moving {machine.name}", lambda: machine.ref.ReconfigVM_Task(spec))

    def in_network(self, machine: Machine, network: str) -> bool:
        """Whether every network card of a machine is in a port group."""
        with self._spoken(f"network {network}"):
            wanted = _where(_backing(self._network(network)))
        return bool(machine.cards) and all(_where(c.backing) == wanted for c in machine.cards)

    def clone(
        self, source: Machine, name: str, *, to: Destination, marks: Mapping[str, str], note: str
    ) -> str | None:
        """Begin to clone a machine's newest snapshot into the isolated port group."""
        with self._spoken(f"cloning {source.name}"):
            location = vim.vm.RelocateSpec(pool=self._below(f"host/{to.pool}", vim.ResourcePool))
            if to.datastore:
                location.datastore = self._below(f"datastore/{to.datastore}", vim.Datastore)
            folder = self._below(f"vm/{to.folder}".rstrip("/"), vim.Folder)
            config = vim.vm.ConfigSpec(
                annotation=note,
                extraConfig=[vim.option.OptionValue(key=k, value=v) for k, v in marks.items()],
                deviceChange=self._plugged(source.cards, to.isolated),
            )
            spec = vim.vm.CloneSpec(
                location=location,
                config=config,
                snapshot=source.snapshot,
                powerOn=False,
                template=False,
            )
        return self._begin(
            f"cloning {source.name}", lambda: source.ref.CloneVM_Task(folder, name, spec)
        )

    def failure(self, task: str) -> str | None:
        """Why a task failed; None if it has not, or nobody remembers it."""
        with self._spoken(f"task {task}"):
            self._content()
            try:
                info = vim.Task(task, self._open._stub).info
            except vmodl.fault.ManagedObjectNotFound:
                return None
            if info.state != vim.TaskInfo.State.error or isinstance(info.error, _UNDER_WAY):
                return None
            return _said(info.error)

    def _begin(self, what: str, begin: Callable[[], Any]) -> str | None:
        """Begin a task; its id, or None if the same is under way or done already."""
        with self._spoken(what):
            try:
                return str(begin()._moId)
            except _UNDER_WAY:
                return None

    def _content(self) -> Any:  # noqa: ANN401  made at run time
        with self._lock:
            if self._open is None:
                host, _, port = self._place.server.partition(":")
                self._open = connect.SmartConnect(
                    host=host,
                    port=int(port or _PORT),
                    user=self._keys.get("username", ""),
                    pwd=self._keys.get("password", ""),
                    httpConnectionTimeout=self._timeout,
                    # Never a thumbprint: pyVmomi compares one on its first connection only.
                    sslContext=ssl.create_default_context(cafile=self._place.trust),
                )
        return self._open.content

    def _below(self, path: str, kind: Any) -> Any:  # noqa: ANN401
        whole = f"{self._place.datacenter}/{path}".rstrip("/")
        found = self._content().searchIndex.FindByInventoryPath(whole)
        if not isinstance(found, kind):
            raise Refused(f"{self._place.server} has no {kind.__name__} {whole}; correct the path.")
        return found

    def _network(self, name: str) -> Any:  # noqa: ANN401
        return self._below(f"network/{name}", vim.Network)

    def _plugged(self, cards: Sequence[Any], network: str) -> list[Any]:
        backing = _backing(self._network(network))
        changes = []
        for card in cards:
            card.backing = backing
            card.connectable = vim.vm.device.VirtualDevice.ConnectInfo(
                startConnected=True, connected=True, allowGuestControl=True
            )
            changes.append(vim.vm.device.VirtualDeviceSpec(operation="edit", device=card))
        return changes

    def _all(self, view: Any) -> Iterator[tuple[Any, str]]:  # noqa: ANN401
        step = _Collector.TraversalSpec(name="all", type=vim.view.ContainerView, path="view")
        start = _Collector.ObjectSpec(obj=view, skip=True, selectSet=[step])
        for row in self._retrieved([start], ["name"]):
            yield row.obj, str({p.name: p.val for p in row.propSet}["name"])

    def _read(self, refs: Sequence[Any]) -> list[Machine]:
        rows = self._retrieved([_Collector.ObjectSpec(obj=ref) for ref in refs], _PROPERTIES)
        return [_machine(row.obj, {p.name: p.val for p in row.propSet}) for row in rows]

    def _retrieved(self, starts: Sequence[Any], names: Sequence[str]) -> list[Any]:
        collector = self._content().propertyCollector
        wanted = [_Collector.PropertySpec(type=vim.VirtualMachine, pathSet=list(names))]
        spec = _Collector.FilterSpec(objectSet=list(starts), propSet=wanted)
        page = collector.RetrievePropertiesEx([spec], _Collector.RetrieveOptions())
        found: list[Any] = []
        while page is not None:
            found += page.objects
            page = collector.ContinueRetrievePropertiesEx(page.token) if page.token else None
        return found

    @contextmanager
    def _spoken(self, what: str) -> Iterator[None]:
        at = f"vCenter {self._place.server}, {what}"
        try:
            yield
        except (vim.fault.InvalidLogin, vim.fault.NoPermission) as error:
            raise Denied(f"{at}: {_said(error)}; correct the credentials or grant it.") from error
        except vim.fault.NotAuthenticated as error:
            self._forget()
            raise Unavailable(f"{at}: the session has ended; it is asked again.") from error
        except vmodl.RuntimeFault as error:
            raise Unavailable(f"{at}: {_said(error)}; it is asked again.") from error
        except vmodl.MethodFault as error:
            raise Refused(f"{at}: {_said(error)}") from error
        except (OSError, http.client.HTTPException) as error:
            self._forget()
            raise Unavailable(f"{at}: {error}; it is asked again.") from error

    def _forget(self) -> None:
        with self._lock:
            self._open = None


def _machine(ref: Any, found: Mapping[str, Any]) -> Machine:  # noqa: ANN401
    options = found.get("config.extraConfig") or ()
    devices = found.get("config.hardware.device") or ()
    snapshot, taken = _newest(found.get("snapshot"))
    return Machine(
        ref=ref,
        name=str(found["name"]),
        power=str(found.get("runtime.powerState", "unknown")),
        connected=str(found.get("runtime.connectionState")) == "connected",
        marks={o.key: str(o.value) for o in options if o.key.startswith("qlrf.") and o.value},
        cards=[d for d in devices if isinstance(d, vim.vm.device.VirtualEthernetCard)],
        tools=found.get("guest.toolsRunningStatus") == "guestToolsRunning",
        snapshot=snapshot,
        taken=taken,
    )


def _newest(tree: Any) -> tuple[Any, datetime | None]:  # noqa: ANN401
    waiting = list(tree.rootSnapshotList) if tree is not None else []
    found: list[Any] = []
    while waiting:
        node = waiting.pop()
        found.append(node)
        waiting += node.childSnapshotList or ()
    newest = max(found, key=lambda node: node.createTime, default=None)
    return (newest.snapshot, newest.createTime) if newest is not None else (None, None)


def _backing(network: Any) -> Any:  # noqa: ANN401
    card = vim.vm.device.VirtualEthernetCard
    if isinstance(network, vim.dvs.DistributedVirtualPortgroup):
        switch: Any = network.config.distributedVirtualSwitch
        port = vim.dvs.PortConnection(portgroupKey=network.key, switchUuid=switch.uuid)
        return card.DistributedVirtualPortBackingInfo(port=port)
    return card.NetworkBackingInfo(deviceName=network.name, network=network)


def _where(backing: Any) -> tuple[str, str]:  # noqa: ANN401
    port = getattr(backing, "port", None)
    if port is not None:
        return "port group", str(port.portgroupKey)
    return "network", str(getattr(backing, "deviceName", ""))


def _said(error: Any) -> str:  # noqa: ANN401
    name = type(error).__name__.rpartition(".")[2]
    return f"{name}: {str(getattr(error, 'msg', '') or '')[:300]}".rstrip(": ")
