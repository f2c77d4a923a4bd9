"""Auto Scaling groups: a new version of the launch template, and an instance refresh to it.

A group is one thing: one refresh replaces all its instances, whichever of them was asked for.
Which version belongs to which image is written in the version's description, so that every
asset of the group, and everybody who asks again, finds the same version and the same refresh.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from qlrf_pipelines.domain.errors import NotFound, Rejected, Unavailable
from qlrf_pipelines.domain.operations import Operation, Progress
from qlrf_pipelines.domain.plans import MAX_SURGE, MAX_UNAVAILABLE
from resources.clouds.aws.hands import Hands
from resources.clouds.aws.said import failed, succeeded, under_way

_AWAY = "10"
GOING = ("Pending", "InProgress", "Baking")
ENDING = ("Cancelling", "RollbackInProgress")
Group = Mapping[str, Any]


def group_of(hands: Hands, instance_id: str) -> dict[str, Any] | None:
    """The Auto Scaling group an instance belongs to, as JSON; None for a stand-alone one."""
    answer = hands.call("autoscaling", "describe_auto_scaling_instances", InstanceIds=[instance_id])
    if not answer["AutoScalingInstances"]:
        return None
    found = _group(hands, answer["AutoScalingInstances"][0]["AutoScalingGroupName"])
    template = found.get("LaunchTemplate")
    return {
        "name": found["AutoScalingGroupName"],
        "template": template["LaunchTemplateId"] if template else None,
        "version": _number(hands, template) if template else None,
        "instances": sorted(item["InstanceId"] for item in found["Instances"]),
    }


def refresh_group(hands: Hands, operation: Operation) -> Progress:
    """One step of bringing the target's group to the operation's image."""
    before = _supported(operation)
    version = _version(hands, operation, before)
    if version is None:
        return _new_version(hands, operation, before)
    return _towards(hands, operation, before, version)


def restore_group(hands: Hands, operation: Operation) -> Progress:
    """One step of bringing a group back to the version of its template that was captured."""
    before = _supported(operation)
    version = str(before["version"])
    going = next((r for r in _refreshes(hands, before) if r["Status"] in GOING + ENDING), None)
    if going is not None and _desired(going) != version:
        if going["Status"] in GOING:
            hands.call(
                "autoscaling", "cancel_instance_refresh", AutoScalingGroupName=before["name"]
            )
        return under_way(f"Refresh {going['InstanceRefreshId']} is cancelled.", seconds=15)
    return _towards(hands, operation, before, version)


def _towards(hands: Hands, operation: Operation, before: Group, version: str) -> Progress:
    group = _group(hands, before["name"])
    latest = next(iter(_refreshes(hands, before)), None)
    status = latest["Status"] if latest and _desired(latest) == version else None
    if status in GOING + ENDING:
        return _going(latest or {})
    if _arrived(group, version):
        return _done(operation, before, group)
    if latest is not None and status is not None and _is_ours(operation, latest):
        return _ended(group, latest, version)
    return _start(hands, before, version, operation)


def _ended(group: Group, refresh: Mapping[str, Any], version: str) -> Progress:
    name, status = refresh["InstanceRefreshId"], refresh["Status"]
    if status != "Successful":
        why = refresh.get("StatusReason", "no reason given")
        return failed(f"Refresh {name} is {status}: {why}")
    # It is not started again: whatever it left out (standby, protected), it would leave out again.
    left = [
        item["InstanceId"]
        for item in _lasting(group)
        if (item.get("LaunchTemplate") or {}).get("Version") != version
    ]
    return failed(f"Refresh {name} is over, yet {', '.join(left) or 'the group'} was left out.")


def _is_ours(operation: Operation, refresh: Mapping[str, Any]) -> bool:
    known = operation.checkpoint.get("refresh")
    return operation.begun if known is None else bool(known == refresh["InstanceRefreshId"])


def _start(hands: Hands, before: Group, version: str, operation: Operation) -> Progress:
    wanted = {"LaunchTemplateId": before["template"], "Version": version}
    # Not repeated by the SDK, yet safe to repeat: a second one is refused while one goes on.
    answer = hands.once(
        "autoscaling",
        "start_instance_refresh",
        AutoScalingGroupName=before["name"],
        DesiredConfiguration={"LaunchTemplate": wanted},
        Preferences=_preferences(operation),
    )
    name = answer["InstanceRefreshId"]
    return under_way(
        f"Refresh {name} of {before['name']} to version {version} is started.",
        seconds=30,
        checkpoint={"refresh": name},
    )


def _preferences(operation: Operation) -> dict[str, Any]:
    """How many instances may be away at a time, and how many more may run meanwhile."""
    away = int(operation.parameters.get(MAX_UNAVAILABLE, _AWAY))
    more = int(operation.parameters.get(MAX_SURGE, "0"))
    # AWS takes bounds that lie at most 100 % apart: then fewer may be away.
    bounds = {"MinHealthyPercentage": max(100 - away, more)}
    if more:
        bounds["MaxHealthyPercentage"] = 100 + more
    return {**bounds, "SkipMatching": True}


def _going(refresh: Mapping[str, Any]) -> Progress:
    name, done = refresh["InstanceRefreshId"], refresh.get("PercentageComplete", 0)
    return under_way(
        f"Refresh {name} is {refresh['Status']}, {done} % done.",
        seconds=30,
        checkpoint={"refresh": name},
    )


def _arrived(group: Group, version: str) -> bool:
    versions = [(item.get("LaunchTemplate") or {}).get("Version") for item in _lasting(group)]
    return group["LaunchTemplate"].get("Version") == version and all(
        item == version for item in versions
    )


def _lasting(group: Group) -> list[Mapping[str, Any]]:
    return [i for i in group["Instances"] if not i["LifecycleState"].startswith("Terminat")]


def _done(operation: Operation, before: Group, group: Group) -> Progress:
    there = sorted(item["InstanceId"] for item in _lasting(group))
    if not there:
        return failed(f"{before['name']} has no instance any more.")
    target = operation.target.id
    if target in there:
        return succeeded(f"{target} is of the wanted version.", asset_id=target)
    # One of the new ones stands for each of the old ones, the same one every time.
    members = before["instances"]
    place = members.index(operation.before["id"]) if operation.before["id"] in members else 0
    stands_for = there[place % len(there)]
    return succeeded(
        f"{before['name']} is refreshed; {stands_for} stands for {target}.", asset_id=stands_for
    )


def _version(hands: Hands, operation: Operation, before: Group) -> str | None:
    for item in _versions(hands, before["template"]):
        if item.get("VersionDescription") == _description(operation, before):
            return str(item["VersionNumber"])
    return None


def _new_version(hands: Hands, operation: Operation, before: Group) -> Progress:
    if not operation.image:
        raise Rejected(f"{operation.target.key}: name the image to replace it with.")
    described = _description(operation, before)
    answer = hands.call(
        "ec2",
        "create_launch_template_version",
        LaunchTemplateId=before["template"],
        SourceVersion=str(before["version"]),
        VersionDescription=described,
        LaunchTemplateData={"ImageId": operation.image},
        ClientToken=hashlib.sha256(f"{before['name']} {described}".encode()).hexdigest(),
    )
    number = answer["LaunchTemplateVersion"]["VersionNumber"]
    return under_way(f"Version {number} of {before['template']} is made.", seconds=1)


def _description(operation: Operation, before: Group) -> str:
    return f"qlrf: {operation.image} instead of version {before['version']}"


def _versions(hands: Hands, template: str) -> Sequence[Mapping[str, Any]]:
    rows = "LaunchTemplateVersions"
    method = "describe_launch_template_versions"
    return list(hands.every("ec2", method, rows, LaunchTemplateId=template))


def _number(hands: Hands, template: Mapping[str, Any]) -> str:
    version = template.get("Version") or "$Default"
    if not version.startswith("$"):
        return str(version)
    answer = hands.call(
        "ec2",
        "describe_launch_template_versions",
        LaunchTemplateId=template["LaunchTemplateId"],
        Versions=[version],
    )
    return str(answer["LaunchTemplateVersions"][0]["VersionNumber"])


def _supported(operation: Operation) -> Group:
    group: Group = operation.before["group"]
    if not group["template"]:
        raise Rejected(
            f"{group['name']} has no launch template of its own (a launch configuration or a mixed "
            "instances policy); give it one."
        )
    return group


def _group(hands: Hands, name: str) -> Group:
    answer = hands.call("autoscaling", "describe_auto_scaling_groups", AutoScalingGroupNames=[name])
    if not answer["AutoScalingGroups"]:
        raise NotFound(f"There is no Auto Scaling group {name} in {hands.region}.")
    found: Group = answer["AutoScalingGroups"][0]
    return found


def _refreshes(hands: Hands, before: Group) -> Sequence[Mapping[str, Any]]:
    answer = hands.call(
        "autoscaling", "describe_instance_refreshes", AutoScalingGroupName=before["name"]
    )
    if "InstanceRefreshes" not in answer:
        raise Unavailable(f"{before['name']}: its refreshes cannot be read; asked again later.")
    found: Sequence[Mapping[str, Any]] = answer["InstanceRefreshes"]
    return found


def _desired(refresh: Mapping[str, Any]) -> str | None:
    version = refresh.get("DesiredConfiguration", {}).get("LaunchTemplate", {}).get("Version")
    return None if version is None else str(version)
