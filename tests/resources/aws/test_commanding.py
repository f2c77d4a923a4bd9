"""What must happen once on an asset: patches, documents, scripts, functions and reboots."""

import threading
from dataclasses import replace

import pytest

from qlrf_pipelines.domain.errors import Denied, NotFound, Rejected, Unavailable
from qlrf_pipelines.domain.operations import Health, OperationKind, Status, Target
from qlrf_pipelines.ports.executors import Operator
from resources.clouds.aws.checking import check_instance
from resources.clouds.aws.hands import Hands
from tests.fakes.aws_killer import Death, DyingConnection, dying_operator
from tests.fakes.faulty_http import Fault, FaultyProxy
from tests.fakes.moto_aws import OWN, MotoAws, aws_connector, aws_executor, moto_aws, role
from tests.resources.aws.machines import REGION, carry_out, operation, tags, target, token

OTHER = "222222222222"
ONCE = {
    OperationKind.PATCH_IN_PLACE: "send_command",
    OperationKind.REBOOT: "reboot_instances",
    OperationKind.HOOK: "invoke",
}
LAMBDA = {"type": "lambda", "target": "warm-up"}


@pytest.fixture
def moto() -> MotoAws:
    server = moto_aws()
    server.reset()
    server.execution.functions["warm-up"] = "ok"
    return server


@pytest.fixture
def machine(moto: MotoAws) -> Target:
    (made,) = moto.run(ImageId=moto.image())
    return target(made)


def test_patching_runs_the_patch_baseline_with_the_token_as_its_comment(
    moto: MotoAws, operator: Operator, machine: Target
) -> None:
    wanted = operation(OperationKind.PATCH_IN_PLACE, machine, parameters={"reboot": "NoReboot"})

    progress = carry_out(operator, wanted)

    assert progress.status is Status.SUCCEEDED
    (sent,) = moto.execution.commands
    assert sent == {
        "DocumentName": "AWS-RunPatchBaseline",
        "InstanceIds": [machine.id],
        "Parameters": {"Operation": ["Install"], "RebootOption": ["NoReboot"]},
        "Comment": token(),
    }


def test_a_wrong_reboot_option_is_rejected_before_anything_is_sent(
    moto: MotoAws, operator: Operator, machine: Target
) -> None:
    wanted = operation(OperationKind.PATCH_IN_PLACE, machine, parameters={"reboot": "maybe"})

    with pytest.raises(Rejected, match="RebootIfNeeded"):
        operator.advance(wanted)

    assert moto.execution.commands == []


@pytest.mark.parametrize("status", ["Failed", "TimedOut", "Cancelled", "DeliveryTimedOut"])
def test_a_command_that_did_not_succeed_is_a_failed_operation(
    moto: MotoAws, operator: Operator, machine: Target, status: str
) -> None:
    moto.execution.command_status = status

    progress = carry_out(operator, operation(OperationKind.PATCH_IN_PLACE, machine))

    assert progress.status is Status.FAILED
    assert status in progress.detail


def test_a_command_under_way_is_polled_and_never_sent_again(
    moto: MotoAws, operator: Operator, machine: Target
) -> None:
    moto.execution.command_status = "InProgress"
    wanted = operation(OperationKind.PATCH_IN_PLACE, machine)
    for _ in range(4):
        progress = operator.advance(wanted)
        wanted = replace(wanted, begun=True, checkpoint=progress.checkpoint)
    moto.execution.command_status = "Success"

    assert operator.advance(wanted).status is Status.SUCCEEDED
    assert moto.execution.effects["send_command"] == 1


@pytest.mark.parametrize("kind", list(ONCE))
@pytest.mark.parametrize("death", list(Death))
@pytest.mark.parametrize("call", range(6))
def test_killed_at_any_call_it_is_done_once_or_not_at_all_and_then_said_to_be_unknown(
    moto: MotoAws, machine: Target, kind: OperationKind, death: Death, call: int
) -> None:
    operator, connection = dying_operator(moto)
    parameters = LAMBDA if kind is OperationKind.HOOK else {}
    wanted = operation(kind, machine, parameters=parameters)
    connection.dies(call, death)

    progress = carry_out(operator, wanted)

    done = moto.execution.effects[ONCE[kind]]
    assert progress.status in (Status.SUCCEEDED, Status.UNKNOWN), progress.detail
    assert done == 1 if progress.status is Status.SUCCEEDED else done <= 1


@pytest.mark.parametrize("kind", [OperationKind.REBOOT, OperationKind.HOOK])
def test_a_call_whose_answer_was_lost_is_unknown_for_ever(
    moto: MotoAws, machine: Target, kind: OperationKind
) -> None:
    operator, connection = dying_operator(moto)
    parameters = LAMBDA if kind is OperationKind.HOOK else {}
    wanted = operation(kind, machine, parameters=parameters)
    connection.dies(ONCE[kind], Death.NO_ANSWER)
    with pytest.raises(Unavailable):
        operator.advance(wanted)

    for _ in range(3):
        assert carry_out(operator, replace(wanted, begun=True)).status is Status.UNKNOWN
    assert moto.execution.effects[ONCE[kind]] == 1


def test_a_command_whose_answer_was_lost_is_found_by_its_comment(
    moto: MotoAws, machine: Target
) -> None:
    operator, connection = dying_operator(moto)
    wanted = operation(OperationKind.PATCH_IN_PLACE, machine)
    connection.dies("send_command", Death.NO_ANSWER)
    with pytest.raises(Unavailable):
        operator.advance(wanted)

    progress = carry_out(operator, replace(wanted, begun=True))

    assert progress.status is Status.SUCCEEDED
    assert moto.execution.effects["send_command"] == 1


def test_a_command_that_may_have_been_sent_and_is_nowhere_is_unknown(
    moto: MotoAws, machine: Target
) -> None:
    operator, connection = dying_operator(moto)
    wanted = operation(OperationKind.PATCH_IN_PLACE, machine)
    connection.dies("send_command", Death.BEFORE)

    progress = carry_out(operator, wanted)

    assert progress.status is Status.UNKNOWN
    assert machine.id in progress.detail
    assert moto.execution.effects["send_command"] == 0


@pytest.mark.parametrize("fault", [Fault.DENIED, Fault.THROTTLED])
def test_a_refused_command_takes_its_claim_back_and_can_be_asked_for_again(
    moto: MotoAws, machine: Target, fault: Fault
) -> None:
    wanted = operation(OperationKind.PATCH_IN_PLACE, machine)
    with FaultyProxy(moto.url) as proxy:
        operator = aws_executor().operator(aws_connector(proxy.url), OWN)
        proxy.spoil("SendCommand", fault, nth=0, times=1)
        with pytest.raises(Unavailable) as refused:
            operator.advance(wanted)

        assert isinstance(refused.value, Denied) is (fault is Fault.DENIED)
        assert "qlrf:claim" not in tags(moto, machine.id)
        progress = carry_out(operator, replace(wanted, begun=True))

    assert progress.status is Status.SUCCEEDED
    assert moto.execution.effects["send_command"] == 1


def test_patches_are_not_claimed_to_be_taken_back(
    moto: MotoAws, operator: Operator, machine: Target
) -> None:
    before = operator.capture(machine)
    carry_out(operator, operation(OperationKind.PATCH_IN_PLACE, machine, before=before))

    back = operation(OperationKind.RESTORE, machine, number=2, before=before)
    progress = carry_out(operator, back)

    assert progress.status is Status.FAILED
    assert "cannot be taken back" in progress.detail


def test_a_script_runs_on_the_asset(moto: MotoAws, operator: Operator, machine: Target) -> None:
    parameters = {"type": "script", "target": "systemctl stop app\nsync", "timeout_seconds": "60"}

    progress = carry_out(operator, operation(OperationKind.HOOK, machine, parameters=parameters))

    assert progress.status is Status.SUCCEEDED
    (sent,) = moto.execution.commands
    assert sent["DocumentName"] == "AWS-RunShellScript"
    assert sent["Parameters"] == {
        "commands": ["systemctl stop app", "sync"],
        "executionTimeout": ["60"],
    }


def test_a_document_runs_with_its_parameters(
    moto: MotoAws, operator: Operator, machine: Target
) -> None:
    parameters = {"type": "ssm-document", "target": "acme-drain", "Seconds": "30"}

    carry_out(operator, operation(OperationKind.HOOK, machine, parameters=parameters))

    (sent,) = moto.execution.commands
    assert (sent["DocumentName"], sent["Parameters"]) == ("acme-drain", {"Seconds": ["30"]})


def test_a_function_is_called_and_its_failure_is_one(
    moto: MotoAws, operator: Operator, machine: Target
) -> None:
    moto.execution.functions["broken"] = "fails"
    good = operation(OperationKind.HOOK, machine, parameters=LAMBDA)
    bad = operation(
        OperationKind.HOOK, machine, number=2, parameters={"type": "lambda", "target": "broken"}
    )

    assert carry_out(operator, good).status is Status.SUCCEEDED
    assert carry_out(operator, bad).status is Status.FAILED
    assert moto.execution.effects["invoke"] == 2


@pytest.mark.parametrize("parameters", [{"type": "webhook", "target": "x"}, {"type": "script"}])
def test_a_hook_that_no_asset_can_run_is_rejected(
    operator: Operator, machine: Target, parameters: dict[str, str]
) -> None:
    with pytest.raises(Rejected):
        operator.advance(operation(OperationKind.HOOK, machine, parameters=parameters))


def test_a_rolling_update_is_rejected(operator: Operator, machine: Target) -> None:
    with pytest.raises(Rejected, match="rolling_update"):
        operator.advance(operation(OperationKind.ROLLING_UPDATE, machine))


def test_an_asset_of_another_account_is_rejected(operator: Operator, machine: Target) -> None:
    elsewhere = replace(machine, account=OTHER)

    with pytest.raises(Rejected, match=OTHER):
        operator.advance(operation(OperationKind.REBOOT, elsewhere))


def test_an_operator_enters_the_account_its_role_leads_into(moto: MotoAws) -> None:
    (made,) = moto.run(account=OTHER)
    connector = aws_connector(moto.url, assume_roles=(role(OTHER),))
    where = replace(target(made), account=OTHER)

    found = aws_executor().operator(connector, OTHER).capture(where)

    assert found["id"] == made


@pytest.mark.parametrize("roles", [(), (role(OTHER),)])
def test_an_account_the_connector_does_not_lead_to_is_not_found(
    moto: MotoAws, roles: tuple[str, ...]
) -> None:
    connector = aws_connector(moto.url, assume_roles=roles)

    with pytest.raises(NotFound, match="333333333333"):
        aws_executor().operator(connector, "333333333333")


@pytest.mark.parametrize(
    ("ping", "health"),
    [
        ("Online", Health.HEALTHY),
        ("ConnectionLost", Health.UNHEALTHY),
        (None, Health.UNKNOWN),
    ],
)
def test_the_agent_of_an_instance_is_asked_for(
    moto: MotoAws, operator: Operator, machine: Target, ping: str | None, health: Health
) -> None:
    if ping:
        moto.execution.agents[machine.id] = ping

    assert operator.check(machine, {"type": "ssm-ping"}).health is health


@pytest.mark.parametrize(
    ("status", "health"),
    [
        ("Success", Health.HEALTHY),
        ("Failed", Health.UNHEALTHY),
        ("Undeliverable", Health.UNKNOWN),
        ("InProgress", Health.UNKNOWN),
    ],
)
def test_a_command_on_the_instance_is_a_check(
    moto: MotoAws, operator: Operator, machine: Target, status: str, health: Health
) -> None:
    moto.execution.command_status = status
    check = {"type": "exec", "target": "curl -sf localhost", "timeout_seconds": 0}

    assert operator.check(machine, check).health is health


def test_a_check_waits_for_a_command_that_systems_manager_does_not_know_everywhere_yet(
    moto: MotoAws, machine: Target
) -> None:
    hands = Hands(
        connection=DyingConnection(moto),  # type: ignore[arg-type]
        region=REGION,
        turn=threading.BoundedSemaphore(1),
    )
    moto.execution.unseen = 2
    pauses: list[float] = []

    check = {"type": "exec", "target": "curl -sf localhost"}
    said = check_instance(hands, machine, check, pause=pauses.append)

    assert said.health is Health.HEALTHY
    assert len(pauses) == 2


def test_a_patch_is_followed_though_its_command_is_not_known_everywhere_yet(
    moto: MotoAws, operator: Operator, machine: Target
) -> None:
    moto.execution.unseen = 2

    progress = carry_out(operator, operation(OperationKind.PATCH_IN_PLACE, machine))

    assert progress.status is Status.SUCCEEDED
    assert moto.execution.effects["send_command"] == 1
    assert moto.execution.unseen == 0


def test_a_stopped_instance_is_unhealthy(
    moto: MotoAws, operator: Operator, machine: Target
) -> None:
    moto.client("ec2").stop_instances(InstanceIds=[machine.id])

    assert operator.check(machine, {"type": "cloud-status"}).health is Health.UNHEALTHY


@pytest.mark.parametrize("check", [{"type": "http"}, {}, {"type": "exec"}])
def test_a_check_nobody_can_ask_is_unknown(
    operator: Operator, machine: Target, check: dict[str, str]
) -> None:
    assert operator.check(machine, check).health is Health.UNKNOWN
