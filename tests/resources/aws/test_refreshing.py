"""Auto Scaling groups: one refresh for a group, found again, taken back."""

from dataclasses import replace
from typing import Any

import pytest

from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.operations import Operation, OperationKind, Status
from qlrf_pipelines.ports.executors import Operator
from tests.fakes.aws_killer import Death, dying_operator
from tests.fakes.moto_aws import MotoAws
from tests.resources.aws.machines import carry_out, described, operation, target

SIZE = 3


def a_group(moto: MotoAws, *, version: str = "1") -> list[str]:
    """Start a group of three; its instances."""
    template = moto.client("ec2").create_launch_template(
        LaunchTemplateName="web",
        LaunchTemplateData={"ImageId": "ami-12c6146b", "InstanceType": "t3.micro"},
    )["LaunchTemplate"]["LaunchTemplateId"]
    moto.client("autoscaling").create_auto_scaling_group(
        AutoScalingGroupName="web",
        MinSize=SIZE,
        MaxSize=SIZE,
        LaunchTemplate={"LaunchTemplateId": template, "Version": version},
        AvailabilityZones=["us-east-1a"],
    )
    return members(moto)


def group_of(moto: MotoAws) -> Any:
    answer = moto.client("autoscaling").describe_auto_scaling_groups()
    return answer["AutoScalingGroups"][0]


def members(moto: MotoAws) -> list[str]:
    return sorted(item["InstanceId"] for item in group_of(moto)["Instances"])


def replacements(moto: MotoAws, operator: Operator, ids: list[str]) -> list[Operation]:
    """One operation for each instance, all to the same image."""
    image = moto.image()
    return [
        operation(
            OperationKind.REPLACE_WITH_IMAGE,
            target(name),
            number=number,
            image=image,
            before=operator.capture(target(name)),
        )
        for number, name in enumerate(ids, 1)
    ]


def template_image(moto: MotoAws, version: str) -> str:
    answer = moto.client("ec2").describe_launch_template_versions(
        LaunchTemplateName="web", Versions=[version]
    )
    return str(answer["LaunchTemplateVersions"][0]["LaunchTemplateData"]["ImageId"])


def test_all_assets_of_a_group_are_one_refresh(moto: MotoAws, operator: Operator) -> None:
    old = a_group(moto)
    wanted = replacements(moto, operator, old)

    done = [carry_out(operator, item) for item in wanted]

    assert [progress.status for progress in done] == [Status.SUCCEEDED] * SIZE
    assert moto.execution.effects["start_instance_refresh"] == 1
    assert template_image(moto, group_of(moto)["LaunchTemplate"]["Version"]) == wanted[0].image


@pytest.mark.parametrize(
    ("given", "bounds"),
    [
        ({}, {"MinHealthyPercentage": 90}),
        ({"max_unavailable_percent": "25"}, {"MinHealthyPercentage": 75}),
        (
            {"max_unavailable_percent": "25", "max_surge_percent": "50"},
            {"MinHealthyPercentage": 75, "MaxHealthyPercentage": 150},
        ),
        # AWS refuses bounds more than 100 % apart.
        (
            {"max_unavailable_percent": "100", "max_surge_percent": "40"},
            {"MinHealthyPercentage": 40, "MaxHealthyPercentage": 140},
        ),
    ],
)
def test_as_many_are_away_and_more_as_the_policy_says(
    moto: MotoAws, operator: Operator, given: dict[str, str], bounds: dict[str, int]
) -> None:
    (wanted, *_) = replacements(moto, operator, a_group(moto))

    carry_out(operator, replace(wanted, parameters=given))

    (refresh,) = moto.execution.refreshes["web"]
    asked = {name: int(value) for name, value in refresh["Preferences"].items() if "Perc" in name}
    assert asked == bounds


def test_each_old_instance_is_stood_for_by_another_new_one(
    moto: MotoAws, operator: Operator
) -> None:
    old = a_group(moto)

    done = [carry_out(operator, item) for item in replacements(moto, operator, old)]

    assert sorted(str(progress.asset_id) for progress in done) == members(moto)
    assert not set(old) & set(members(moto))


@pytest.mark.parametrize("call", range(9))
@pytest.mark.parametrize("death", [Death.BEFORE, Death.AFTER, Death.NO_ANSWER])
def test_killed_at_any_call_a_group_is_refreshed_once(
    moto: MotoAws, call: int, death: Death
) -> None:
    names = a_group(moto)
    operator, connection = dying_operator(moto)
    (wanted,) = replacements(moto, operator, names[:1])
    connection.dies(call, Death.AFTER if death is Death.NO_ANSWER else death)

    progress = carry_out(operator, wanted)

    assert progress.status is Status.SUCCEEDED, progress.detail
    assert moto.execution.effects["start_instance_refresh"] == 1


def test_a_refresh_that_fails_is_a_failed_operation(moto: MotoAws, operator: Operator) -> None:
    (wanted, *_) = replacements(moto, operator, a_group(moto))
    moto.execution.refresh_status = "Failed"

    progress = carry_out(operator, wanted)

    assert progress.status is Status.FAILED
    assert "did not become healthy" in progress.detail
    assert moto.execution.effects["start_instance_refresh"] == 1


def test_a_refresh_that_leaves_instances_out_is_said_and_not_started_again(
    moto: MotoAws, operator: Operator
) -> None:
    (wanted, *_) = replacements(moto, operator, a_group(moto))
    moto.execution.left_out = 1

    progress = carry_out(operator, wanted)

    assert progress.status is Status.FAILED
    assert "was left out" in progress.detail
    assert moto.execution.effects["start_instance_refresh"] == 1


def test_restoring_cancels_a_refresh_under_way_and_goes_back_to_the_old_version(
    moto: MotoAws, operator: Operator
) -> None:
    old = a_group(moto)
    (wanted, *_) = replacements(moto, operator, old)
    moto.execution.refresh_polls = 5
    for _ in range(3):
        operator.advance(wanted)
    assert moto.execution.effects["start_instance_refresh"] == 1

    back = operation(OperationKind.RESTORE, target(old[0]), number=9, before=wanted.before)
    progress = carry_out(operator, back)

    assert progress.status is Status.SUCCEEDED, progress.detail
    assert moto.execution.effects["cancel_instance_refresh"] == 1
    assert group_of(moto)["LaunchTemplate"]["Version"] == "1"


def test_restoring_a_refreshed_group_refreshes_it_back_once_for_all_its_assets(
    moto: MotoAws, operator: Operator
) -> None:
    wanted = replacements(moto, operator, a_group(moto))
    for item in wanted:
        carry_out(operator, item)

    done = [
        carry_out(
            operator,
            operation(OperationKind.RESTORE, item.target, number=10 + n, before=item.before),
        )
        for n, item in enumerate(wanted)
    ]

    assert [progress.status for progress in done] == [Status.SUCCEEDED] * SIZE
    assert moto.execution.effects["start_instance_refresh"] == 2
    assert group_of(moto)["LaunchTemplate"]["Version"] == "1"
    assert {described(moto, name)["ImageId"] for name in members(moto)} == {"ami-12c6146b"}


def test_a_group_that_follows_latest_is_restored_to_the_number_that_was_latest(
    moto: MotoAws, operator: Operator
) -> None:
    old = a_group(moto, version="$Latest")
    (wanted, *_) = replacements(moto, operator, old)
    carry_out(operator, wanted)

    back = operation(OperationKind.RESTORE, target(old[0]), number=9, before=wanted.before)
    carry_out(operator, back)

    assert group_of(moto)["LaunchTemplate"]["Version"] == "1"


def test_a_group_without_a_launch_template_is_rejected(moto: MotoAws, operator: Operator) -> None:
    scaling = moto.client("autoscaling")
    scaling.create_launch_configuration(
        LaunchConfigurationName="old", ImageId="ami-12c6146b", InstanceType="t2.micro"
    )
    scaling.create_auto_scaling_group(
        AutoScalingGroupName="old",
        MinSize=1,
        MaxSize=1,
        LaunchConfigurationName="old",
        AvailabilityZones=["us-east-1a"],
    )
    (wanted,) = replacements(moto, operator, members(moto))

    with pytest.raises(Rejected, match="launch template"):
        operator.advance(wanted)


def test_finalising_a_group_has_nothing_to_end(moto: MotoAws, operator: Operator) -> None:
    (first, *_) = a_group(moto)
    before = operator.capture(target(first))

    last = operation(OperationKind.FINALISE, target(first), before=before)

    assert operator.advance(last).status is Status.SUCCEEDED
    assert described(moto, first)["State"]["Name"] == "running"
