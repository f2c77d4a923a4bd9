"""Moto with what executing needs and it lacks, and a count of everything that really happened.

RunInstances knows its client token, an address leads to one interface of several, load balancers
take their time, groups can be refreshed, agents answer, commands and functions end as a test says.
"""

import itertools
import json
from collections import Counter
from typing import Any

from moto.autoscaling.models import InstanceState, autoscaling_backends
from moto.autoscaling.responses import AutoScalingResponse
from moto.awslambda.responses import LambdaResponse
from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.amis import Ami
from moto.ec2.responses import EC2Response
from moto.ssm.responses import SimpleSystemManagerResponse

from tests.fakes.moto_balancing import Balancers, extend_moto_for_balancing
from tests.fakes.moto_snapshots import Disks, extend_moto_for_snapshots

_CALLS = (
    "run_instances",
    "reboot_instances",
    "associate_address",
    "attach_network_interface",
    "detach_network_interface",
)
_EC2 = {name: getattr(EC2Response, name) for name in _CALLS}
_ROOT = Ami.block_device_mappings.fget
_SSM = {
    name: getattr(SimpleSystemManagerResponse, name)
    for name in ("send_command", "get_command_invocation")
}
GOING = ("Pending", "InProgress", "Cancelling")


class Execution:
    """What happened, and what shall happen; one for the whole server."""

    def __init__(self) -> None:
        self.effects: Counter[str] = Counter()
        self.disks = Disks()
        self.balancers = Balancers()
        self.clear()

    def clear(self) -> None:
        """A new world."""
        self.effects.clear()
        self.disks.clear()
        self.balancers.clear()
        self.commands: list[dict[str, Any]] = []
        self.launched: dict[str, Any] = {}
        self.refreshes: dict[str, list[dict[str, Any]]] = {}
        self.command_status = "Success"
        self.said: dict[str, Any] = {}
        self.unseen = 0
        self.brought: tuple[str, ...] = ()
        self.unmanaged: set[str] = set()
        self.refresh_status = "Successful"
        self.refresh_polls = 1
        self.left_out = 0
        self.agents: dict[str, str] = {}
        self.functions: dict[str, str] = {}
        self.numbers = itertools.count(1)


def extend_moto_for_execution() -> Execution:
    """Let moto's own server know the calls, in this process."""
    world = Execution()
    _extend_ec2(world)
    _extend_images(world)
    _extend_addresses()
    _extend_interfaces()
    extend_moto_for_snapshots(world.disks, world.effects)
    extend_moto_for_balancing(world.balancers, world.effects)
    _extend_ssm(world)
    _extend_refreshes(world)
    _extend_lambda(world)
    return world


def _extend_ec2(world: Execution) -> None:
    def run_instances(self: Any) -> Any:
        token = self._get_param("ClientToken")
        if token and token in world.launched:
            return ActionResult(world.launched[token])
        result = _EC2["run_instances"](self)
        world.effects["run_instances"] += 1
        if token:
            world.launched[token] = result.result
        return result

    def reboot_instances(self: Any) -> Any:
        world.effects["reboot_instances"] += 1
        return _EC2["reboot_instances"](self)

    EC2Response.run_instances = run_instances
    EC2Response.reboot_instances = reboot_instances


def _extend_images(world: Execution) -> None:
    def block_device_mappings(self: Any) -> list[dict[str, Any]]:
        # Moto's images bring nothing but their root.
        more = [{"DeviceName": device, "Ebs": {"VolumeSize": 8}} for device in world.brought]
        return [*_ROOT(self), *more]

    Ami.block_device_mappings = property(block_device_mappings)


def _extend_addresses() -> None:
    def associate_address(self: Any) -> Any:
        name, interface = self._get_param("InstanceId"), self._get_param("NetworkInterfaceId")
        if name and len(self.ec2_backend.get_instance(name).nics) > 1:
            raise EC2ClientError("InvalidInstanceID", f"There are multiple interfaces at {name}")
        answer = _EC2["associate_address"](self)
        if interface:
            # Moto forgets whose interface it is.
            (led,) = self.ec2_backend.address_by_allocation([self._get_param("AllocationId")])
            led.instance = led.eni.instance
        return answer

    EC2Response.associate_address = associate_address


def _extend_interfaces() -> None:
    def attach_network_interface(self: Any) -> Any:
        interface = self.ec2_backend.get_network_interface(self._get_param("NetworkInterfaceId"))
        if interface.instance:
            raise EC2ClientError("InvalidNetworkInterface.InUse", f"{interface.id} is in use")
        return _EC2["attach_network_interface"](self)

    def detach_network_interface(self: Any) -> Any:
        wanted = self._get_param("AttachmentId")
        if all(item.attachment_id != wanted for item in self.ec2_backend.enis.values()):
            raise EC2ClientError("InvalidAttachmentID.NotFound", f"There is no {wanted}")
        return _EC2["detach_network_interface"](self)

    EC2Response.attach_network_interface = attach_network_interface
    EC2Response.detach_network_interface = detach_network_interface


def _extend_ssm(world: Execution) -> None:
    def send_command(self: Any) -> Any:
        if world.unmanaged & set(self._get_param("InstanceIds")):
            raise _unmanaged()
        world.effects["send_command"] += 1
        world.commands.append(
            {
                name: self._get_param(name)
                for name in ("DocumentName", "InstanceIds", "Parameters", "Comment")
            }
        )
        for name in self._get_param("InstanceIds"):
            if self._get_param("DocumentName") == "AWS-RunPatchBaseline":
                world.disks.write(self.current_account, self.region, name, "patched")
        return _SSM["send_command"](self)

    def get_command_invocation(self: Any) -> Any:
        if world.unseen > 0:
            world.unseen -= 1
            raise _unseen()
        found = _SSM["get_command_invocation"](self).result
        return ActionResult(
            {
                **found,
                "Status": world.command_status,
                "StatusDetails": world.command_status,
                **world.said,
            }
        )

    def describe_instance_information(self: Any) -> str:
        (wanted,) = self._get_param("Filters")
        found = [
            {"InstanceId": i, "PingStatus": world.agents[i]}
            for i in wanted["Values"]
            if i in world.agents
        ]
        return json.dumps({"InstanceInformationList": found})

    SimpleSystemManagerResponse.send_command = send_command
    SimpleSystemManagerResponse.get_command_invocation = get_command_invocation
    SimpleSystemManagerResponse.describe_instance_information = describe_instance_information


def _unmanaged() -> Exception:
    from moto.core.exceptions import ServiceException

    class InvalidInstanceId(ServiceException):
        code = "InvalidInstanceId"
        message = "Instances not in a valid state for account."

    return InvalidInstanceId()


def _unseen() -> Exception:
    from moto.core.exceptions import ServiceException

    class InvocationDoesNotExist(ServiceException):
        code = "InvocationDoesNotExist"
        message = ""

    return InvocationDoesNotExist()


def _extend_refreshes(world: Execution) -> None:
    def start_instance_refresh(self: Any) -> ActionResult:
        name = self._get_param("AutoScalingGroupName")
        known = world.refreshes.setdefault(name, [])
        if any(item["Status"] in GOING for item in known):
            raise _in_progress()
        world.effects["start_instance_refresh"] += 1
        made = {
            "InstanceRefreshId": f"refresh-{next(world.numbers)}",
            "AutoScalingGroupName": name,
            "Status": "Pending",
            "PercentageComplete": 0,
            "DesiredConfiguration": self._get_param("DesiredConfiguration"),
            "Preferences": self._get_param("Preferences"),
            "left": world.refresh_polls,
        }
        known.insert(0, made)
        return ActionResult({"InstanceRefreshId": made["InstanceRefreshId"]})

    def describe_instance_refreshes(self: Any) -> ActionResult:
        name = self._get_param("AutoScalingGroupName")
        known = world.refreshes.get(name, [])
        answer = [{k: v for k, v in item.items() if k != "left"} for item in known]
        for item in known:
            _progress(world, autoscaling_backends[self.current_account][self.region], item)
        return ActionResult({"InstanceRefreshes": answer})

    def cancel_instance_refresh(self: Any) -> ActionResult:
        name = self._get_param("AutoScalingGroupName")
        (going,) = (i for i in world.refreshes[name] if i["Status"] in GOING)
        world.effects["cancel_instance_refresh"] += 1
        going["Status"] = "Cancelling"
        return ActionResult({"InstanceRefreshId": going["InstanceRefreshId"]})

    AutoScalingResponse.start_instance_refresh = start_instance_refresh
    AutoScalingResponse.describe_instance_refreshes = describe_instance_refreshes
    AutoScalingResponse.cancel_instance_refresh = cancel_instance_refresh


def _launch_template(state: Any) -> dict[str, Any] | None:
    # Moto names the template's default version; AWS names the one the instance was started from.
    group = state.auto_scaling_group
    if group.ec2_launch_template is None:
        return None
    if not hasattr(state.instance, "started_from"):
        asked = group.launch_template_version
        numbers = {
            "$Default": group.ec2_launch_template.default_version_number,
            "$Latest": group.ec2_launch_template.latest_version_number,
        }
        state.instance.started_from = str(numbers.get(asked, asked))
    return {
        "LaunchTemplateId": group.ec2_launch_template.id,
        "LaunchTemplateName": group.ec2_launch_template.name,
        "Version": state.instance.started_from,
    }


InstanceState.launch_template = property(_launch_template)


def _in_progress() -> Exception:
    from moto.core.exceptions import ServiceException

    class InstanceRefreshInProgress(ServiceException):
        code = "InstanceRefreshInProgress"
        message = "An instance refresh is already in progress."

    return InstanceRefreshInProgress()


def _progress(world: Execution, backend: Any, item: dict[str, Any]) -> None:
    if item["Status"] == "Cancelling":
        item["Status"] = "Cancelled"
    if item["Status"] not in ("Pending", "InProgress"):
        return
    item["left"] -= 1
    item["Status"] = "InProgress"
    if item["left"] > 0:
        return
    item["Status"] = world.refresh_status
    if world.refresh_status != "Successful":
        item["StatusReason"] = "The instances did not become healthy."
        return
    item["PercentageComplete"] = 100
    group = backend.autoscaling_groups[item["AutoScalingGroupName"]]
    version = item["DesiredConfiguration"]["LaunchTemplate"]["Version"]
    group.launch_template_version = group.provided_launch_template_version = version
    kept = group.instance_states[: world.left_out]
    old = [state.instance.id for state in group.instance_states[world.left_out :]]
    group.ec2_backend.terminate_instances(old)
    group.instance_states = kept
    group.replace_autoscaling_group_instances(len(old), group.get_propagated_tags())


def _extend_lambda(world: Execution) -> None:
    def invoke(self: Any) -> Any:
        name = self.path.rsplit("/", 2)[-2]
        if name not in world.functions:
            return 404, {"x-amzn-errortype": "ResourceNotFoundException"}, "{}"
        world.effects["invoke"] += 1
        failed = {"x-amz-function-error": "Unhandled"} if world.functions[name] != "ok" else {}
        return 200, {"content-type": "application/json", **failed}, "{}"

    LambdaResponse.invoke = invoke
