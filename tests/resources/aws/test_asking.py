"""A probe's command on the machines of a recovery side: what its answers prove, and what not."""

import shutil
import subprocess
from dataclasses import replace
from typing import Any

import pytest

from qlrf_pipelines.domain.operations import Health, HealthReport
from qlrf_pipelines.domain.recovery import MoveKind, Side
from resources.clouds.aws.asking import text_of
from tests.fakes.aws_sites import AWAY, HOME, AwsSites
from tests.fakes.faulty_http import Fault, FaultyProxy
from tests.fakes.recovery_sites import DRILL, OTHER, a_move, finish

CHECK: dict[str, Any] = {"type": "command", "command": ["check", "--deep", "a b"], "expect": None}


@pytest.fixture
def sites() -> AwsSites:
    found = AwsSites(copied=2)
    found.aws.execution.said = {"StandardOutputContent": "ready\n", "ResponseCode": 0}
    return found


def brought_up(sites: AwsSites, *, test: bool = False) -> None:
    finish(sites, a_move(MoveKind.FAIL_OVER, test=test))
    if not test:
        finish(sites, a_move(MoveKind.SWITCH))


def ask(sites: AwsSites, *, seconds: float = 5, drill: str = DRILL, **parts: Any) -> HealthReport:
    return sites.session().ask(Side.RECOVERY, CHECK | parts, drill=drill, timeout_seconds=seconds)


@pytest.mark.parametrize("test", [False, True])
def test_every_machine_of_the_recovery_side_is_asked_and_no_other(
    sites: AwsSites, test: bool
) -> None:
    brought_up(sites, test=test)

    answer = ask(sites)

    assert answer.health is Health.HEALTHY, answer.why
    sent = sites.aws.execution.commands
    launched = sorted(row["InstanceId"] for row in sites.launched())
    assert sorted(one["InstanceIds"][0] for one in sent) == launched
    assert {one["DocumentName"] for one in sent} == {"AWS-RunShellScript"}
    assert sent[0]["Parameters"] == {"commands": ["check --deep 'a b'"], "executionTimeout": ["5"]}


def test_the_primary_side_can_be_asked_as_well(sites: AwsSites) -> None:
    answer = sites.session().ask(Side.PRIMARY, CHECK, drill=DRILL, timeout_seconds=5)

    assert answer.health is Health.HEALTHY, answer.why
    asked = sorted(one["InstanceIds"][0] for one in sites.aws.execution.commands)
    assert asked == sorted(sites.instances)


@pytest.mark.parametrize(
    ("expect", "health"),
    [("ready", Health.HEALTHY), ("read", Health.UNHEALTHY), ("", Health.UNHEALTHY)],
)
def test_an_expected_answer_must_be_exactly_that(
    sites: AwsSites, expect: str, health: Health
) -> None:
    brought_up(sites)

    answer = ask(sites, expect=expect)

    assert answer.health is health
    assert "ready" in answer.why


def test_a_code_other_than_zero_is_a_bad_answer_and_says_what_was_complained_of(
    sites: AwsSites,
) -> None:
    brought_up(sites)
    sites.aws.execution.command_status = "Failed"
    sites.aws.execution.said = {"ResponseCode": 3, "StandardErrorContent": "disk is full"}

    answer = ask(sites)

    assert answer.health is Health.UNHEALTHY
    assert "ended with 3: disk is full" in answer.why


def test_no_answer_in_time_is_a_bad_one(sites: AwsSites) -> None:
    brought_up(sites)
    sites.aws.execution.command_status = "InProgress"

    answer = ask(sites, seconds=0.05)

    assert answer.health is Health.UNHEALTHY
    assert "no answer within 0.05 s" in answer.why


def test_a_command_that_was_stopped_for_its_time_is_a_bad_answer(sites: AwsSites) -> None:
    brought_up(sites)
    sites.aws.execution.command_status = "TimedOut"

    assert ask(sites).health is Health.UNHEALTHY


@pytest.mark.parametrize("status", ["Cancelled", "DeliveryTimedOut", "Undeliverable"])
def test_a_command_that_never_ran_proves_nothing(sites: AwsSites, status: str) -> None:
    brought_up(sites)
    sites.aws.execution.command_status = status

    answer = ask(sites)

    assert answer.health is Health.UNKNOWN
    assert status in answer.why


@pytest.mark.parametrize(
    ("ping", "health"),
    [("Online", Health.UNHEALTHY), ("ConnectionLost", Health.UNKNOWN), ("", Health.UNKNOWN)],
)
def test_a_command_nobody_took_is_the_workloads_fault_only_if_an_agent_is_there(
    sites: AwsSites, ping: str, health: Health
) -> None:
    brought_up(sites)
    execution = sites.aws.execution
    execution.command_status = "Pending"
    if ping:
        execution.agents = {row["InstanceId"]: ping for row in sites.launched()}

    assert ask(sites, seconds=0.05).health is health


def test_a_machine_without_an_agent_proves_nothing_and_one_bad_answer_outweighs_it(
    sites: AwsSites,
) -> None:
    brought_up(sites)
    sites.aws.execution.unmanaged = {sites.launched()[0]["InstanceId"]}

    without = ask(sites)
    bad = ask(sites, expect="something else")

    assert without.health is Health.UNKNOWN
    assert "InvalidInstanceId" in without.why
    assert bad.health is Health.UNHEALTHY


@pytest.mark.parametrize("call", ["SendCommand", "GetCommandInvocation"])
def test_what_is_not_permitted_proves_nothing_and_says_which_call(
    sites: AwsSites, call: str
) -> None:
    brought_up(sites, test=True)
    with FaultyProxy(sites.aws.url) as proxy:
        settings = {**sites.member.settings, "endpointUrl": proxy.url}
        sites.member = replace(sites.member, settings=settings)
        proxy.spoil(call, Fault.DENIED)

        answer = ask(sites)

    assert answer.health is Health.UNKNOWN
    assert "AccessDenied" in answer.why


def test_before_the_record_leads_there_no_answer_is_a_good_one(sites: AwsSites) -> None:
    absent = ask(sites)
    finish(sites, a_move(MoveKind.FAIL_OVER))
    early = ask(sites)
    finish(sites, a_move(MoveKind.SWITCH))

    assert [absent.health, early.health, ask(sites).health] == [
        Health.UNHEALTHY,
        Health.UNHEALTHY,
        Health.HEALTHY,
    ]
    assert "does not lead" in early.why


def test_another_drills_machines_answer_for_nobody(sites: AwsSites) -> None:
    brought_up(sites)

    assert ask(sites, drill=OTHER).health is Health.UNHEALTHY
    assert sites.aws.execution.commands == []


def test_a_platform_that_does_not_answer_proves_nothing(sites: AwsSites) -> None:
    answer = sites.unreachable().ask(Side.RECOVERY, CHECK, drill=DRILL, timeout_seconds=1)

    assert answer.health is Health.UNKNOWN


WORDS = ("printf", "%s|", "a b", "it's", "$HOME", "`x`", "; exit 7", "-n", "two\nlines", "")


def test_no_shell_reads_a_word_of_the_command() -> None:
    shell = shutil.which("sh")
    assert shell is not None

    said = subprocess.run(
        [shell, "-c", text_of(WORDS, windows=False)], capture_output=True, text=True, check=True
    )

    assert said.stdout == "".join(f"{word}|" for word in WORDS[2:])


def test_windows_is_asked_by_powershell_whose_quotes_are_doubled_and_whose_code_is_kept() -> None:
    text = text_of(("C:\\it's\\check.exe", "$x"), windows=True)

    assert text.splitlines() == [
        "$ErrorActionPreference = 'Stop'",
        "& 'C:\\it''s\\check.exe' '$x'",
        "exit $LASTEXITCODE",
    ]


def test_the_regions_are_the_sides(sites: AwsSites) -> None:
    brought_up(sites)
    ask(sites)

    here = sites.aws.client("ssm", HOME).list_commands()["Commands"]
    there = sites.aws.client("ssm", AWAY).list_commands()["Commands"]

    assert (len(here), len(there)) == (0, 2)
