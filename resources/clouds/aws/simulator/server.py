"""The simulator's process: `python -m resources.clouds.aws.simulator.server`.

It serves the AWS API on a free port of 127.0.0.1, prints the port as its first line, and ends
when its standard input closes: no parent, no simulator.
"""

import json
import sys
import threading
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.ec2.models import ec2_backends
from moto.ec2.models.amis import Ami
from moto.ec2.models.instances import Instance
from moto.moto_api._internal import mock_random
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.ssm.responses import SimpleSystemManagerResponse
from werkzeug.serving import WSGIRequestHandler, make_server

from resources.clouds.aws.simulator.fleet import (
    FAILING_REGION,
    FLEET,
    GLOBEX,
    IMAGE_TAGS,
    LINUX,
    REGIONS,
    REPLACED,
    VANISHED,
    WEB,
    Machines,
)

_RUNNING = 16  # the code EC2 gives this state
_COUNTS = (
    "InstalledCount",
    "InstalledOtherCount",
    "InstalledPendingRebootCount",
    "InstalledRejectedCount",
    "MissingCount",
    "FailedCount",
    "NotApplicableCount",
    "CriticalNonCompliantCount",
    "SecurityNonCompliantCount",
    "OtherNonCompliantCount",
)


class Simulation:
    """The two accounts, and which region answers nobody."""

    def __init__(self) -> None:
        self.patches: dict[str, dict[str, int]] = {}
        self.failing: set[str] = set()
        self.healthy: set[str] | None = None  # once sickened: the machines there were before

    def seed(self) -> None:
        """Fill both accounts; the same ids every time."""
        mock_random.seed(20261101)
        for account in sorted({m.account for m in FLEET}):
            for region in REGIONS:
                self._register_images(account, region)
        for machines in FLEET:
            self.launch(machines)

    def launch(self, machines: Machines) -> None:
        """Start a group of machines, as old as it says."""
        backend = ec2_backends[machines.account][machines.region]
        reservation = backend.run_instances(
            machines.image,
            machines.count,
            None,
            [],
            region_name=machines.region,
            instance_type="t3.medium",
            is_instance_type_default=False,
            subnet_id=next(iter(backend.get_default_subnets().values())).id,
            security_group_ids=[_group(backend, machines.open_to_world)],
            associate_public_ip=machines.public,
            monitoring_state="enabled" if machines.monitoring else "disabled",
            metadata_options={"HttpTokens": "required" if machines.imds_v2 else "optional"},
            block_device_mappings=[
                {
                    "DeviceName": "/dev/sda1",
                    "Ebs": {"VolumeSize": 20, "Encrypted": machines.encrypted},
                }
            ],
        )
        for number, instance in enumerate(reservation.instances, 1):
            instance.add_tags(
                {
                    "Name": f"{machines.name}-{number}",
                    "Environment": machines.environment,
                    **machines.tags,
                }
            )
            instance.launch_time = utcnow() - timedelta(days=machines.age_days, hours=30)
            if machines.patches is not None:
                self.patches[instance.id] = dict(machines.patches)
            if machines.stopped:
                backend.stop_instances([instance.id])

    def move(self) -> None:
        """The second day: machines replaced, one gone without a word, one region failing."""
        mock_random.seed(20261102)  # whatever was asked before, the new ids are the same
        for old, new in REPLACED:
            backend = ec2_backends[new.account][new.region]
            ids = [i.id for i in _named(backend, old)][: new.count]
            backend.terminate_instances(ids)
            self.launch(new)
        account, region, name = VANISHED
        backend = ec2_backends[account][region]
        gone = _named(backend, name)[0]
        for reservation in backend.reservations.values():
            reservation.instances = [i for i in reservation.instances if i.id != gone.id]
        self.failing.add(FAILING_REGION)

    def heal(self) -> None:
        """Every region answers again."""
        self.failing.clear()

    def sicken(self) -> None:
        """Machines of globex that are started from now on fail their status checks."""
        self.healthy = set(self.existing())

    def is_sick(self, instance_id: str, account: str) -> bool:
        """Whether a machine fails its status checks."""
        return self.healthy is not None and account == GLOBEX and instance_id not in self.healthy

    def existing(self) -> list[str]:
        """Every machine there really is, in both accounts."""
        return sorted(
            instance.id
            for account in {m.account for m in FLEET}
            for region in REGIONS
            for reservation in ec2_backends[account][region].reservations.values()
            for instance in reservation.instances
            if instance.state != "terminated"
        )

    def patch_states(self, ids: Iterable[str]) -> list[dict[str, Any]]:
        """What Systems Manager would say of these machines; moto does not know the call."""
        scanned = (utcnow() - timedelta(hours=30)).timestamp()
        return [
            {
                "InstanceId": asset,
                "PatchGroup": "",
                "BaselineId": "pb-0123456789abcdef0",
                "Operation": "Scan",
                "OperationStartTime": scanned,
                "OperationEndTime": scanned,
                **dict.fromkeys(_COUNTS, 0),
                **self.patches[asset],
            }
            for asset in ids
            if asset in self.patches
        ]

    def _register_images(self, account: str, region: str) -> None:
        backend = ec2_backends[account][region]
        here = {at[region] for family in (LINUX, WEB) for at in family.values()}
        for image, tags in IMAGE_TAGS.items():
            ours = any(image in at.values() for family in (LINUX, WEB) for at in family.values())
            if image in here or not ours:
                backend.amis[image] = Ami(
                    backend,
                    ami_id=image,
                    name=tags.get("Name", image),
                    tags=dict(tags),
                    region_name=f"{region}a",
                )


def _group(backend: Any, ports: tuple[tuple[int, int], ...]) -> str:  # noqa: ANN401  moto is untyped
    name = "open-" + "-".join(f"{low}to{high}" for low, high in ports) if ports else "closed"
    found = backend.get_security_group_from_name(name)
    if found is None:
        found = backend.create_security_group(
            name, "simulated", vpc_id=backend.get_default_vpc().id
        )
        for low, high in ports:
            backend.authorize_security_group_ingress(
                found.id, "tcp", str(low), str(high), [{"CidrIp": "0.0.0.0/0"}]
            )
    group_id: str = found.id
    return group_id


def _named(backend: Any, name: str) -> list[Any]:  # noqa: ANN401
    return [
        instance
        for reservation in backend.reservations.values()
        for instance in reservation.instances
        if any(
            t["key"] == "Name" and t["value"].startswith(f"{name}-") for t in instance.get_tags()
        )
        and instance.state == "running"
    ]


def application(simulation: Simulation) -> Callable[[dict[str, Any], Any], Iterable[bytes]]:
    """The AWS API as moto serves it, behind doors of our own under /simulator."""
    aws = DomainDispatcherApplication(create_backend_app)
    doors: dict[str, Callable[[], Any]] = {
        "/simulator/move": simulation.move,
        "/simulator/heal": simulation.heal,
        "/simulator/sicken": simulation.sicken,
        "/simulator/existing": simulation.existing,
    }
    usual: Any = Instance.instance_status  # moto's own property

    def instance_status(self: Instance) -> dict[str, Any]:
        if simulation.is_sick(self.id, self.owner_id) and self.state_code == _RUNNING:
            return {"Details": [{"Name": "reachability", "Status": "failed"}], "Status": "impaired"}
        found: dict[str, Any] = usual.fget(self)
        return found

    setattr(Instance, "instance_status", property(instance_status))  # noqa: B010  as below

    def describe_instance_patch_states(self: SimpleSystemManagerResponse) -> Any:  # noqa: ANN401
        return ActionResult(
            {"InstancePatchStates": simulation.patch_states(self._get_param("InstanceIds"))}
        )

    setattr(  # noqa: B010  moto finds actions by name; its class does not declare this one
        SimpleSystemManagerResponse,
        "describe_instance_patch_states",
        describe_instance_patch_states,
    )

    def answer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:  # noqa: ANN401
        path = environ.get("PATH_INFO", "")
        if path in doors:
            body = json.dumps(doors[path]()).encode()
            start_response("200 OK", [("Content-Type", "application/json")])
            return [body]
        scope = environ.get("HTTP_AUTHORIZATION", "").partition("Credential=")[2].split("/")
        if len(scope) > 3 and scope[2] in simulation.failing and scope[3] == "ec2":
            start_response("503 Service Unavailable", [("Content-Type", "text/xml")])
            return [
                b"<Response><Errors><Error><Code>Unavailable</Code><Message>The service is "
                b"unavailable.</Message></Error></Errors><RequestID>0</RequestID></Response>"
            ]
        return aws(environ, start_response)  # type: ignore[no-any-return]

    return answer


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: ANN401
        """Say nothing: the demonstration's own lines are the ones to read."""


def main() -> None:
    """Seed, serve, and stop when standard input ends."""
    simulation = Simulation()
    simulation.seed()
    server = make_server(
        "127.0.0.1", 0, application(simulation), threaded=True, request_handler=_Quiet
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(json.dumps({"port": server.server_port}) + "\n")
    sys.stdout.flush()
    sys.stdin.read()
    server.shutdown()


if __name__ == "__main__":
    main()
