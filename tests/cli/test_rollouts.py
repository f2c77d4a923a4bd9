"""`qlrf rollouts`: what is being changed can be seen and steered from a terminal, or a script."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result

from qlrf_pipelines.cli.rollout_text import fitted
from qlrf_pipelines.cli.rollouts import group
from qlrf_pipelines.cli.tasks import group as task_group
from qlrf_pipelines.domain.errors import NotFound, Refused, Rejected
from qlrf_pipelines.domain.operations import Progress, Status
from tests.services.rollout_house import Hands, House, goes_alone, phase, plan

Qlrf = Callable[..., Result]
ANN = ("--as", "ann", "--role", "engineer")
WHY = ("--reason", "users complain")


@pytest.fixture
def qlrf(postgres: Any) -> Qlrf:
    """The commands in this process, over a real database."""

    def run(*arguments: str) -> Result:
        result = CliRunner().invoke(group, arguments, obj=postgres.settings, standalone_mode=False)
        if isinstance(result.exception, Refused | Rejected | NotFound):
            raise result.exception
        assert result.exception is None, result.exception
        return result

    return run


@pytest.fixture
def house(postgres: Any) -> House:
    return canary_out(postgres)


def canary_out(postgres: Any) -> House:
    """A rollout of three machines whose canary is changed and watched."""
    made = claimed(postgres)
    made.begin()
    made.drive(hold_seconds=0)
    return made


def claimed(postgres: Any) -> House:
    """A plan for three machines that a run has claimed, and not begun."""
    from resources.database.ledger import SqlLedger
    from resources.database.rollouts import SqlRollouts
    from resources.database.sessions import Sessions
    from resources.database.tasks import SqlTasks

    sessions = Sessions(postgres.settings)
    canary = phase("canary", [["i-1"]], wait=900)
    return House(
        plan(canary, phase("wave-1", [["i-2"], ["i-3"]], wait=0)),
        Hands(["i-1", "i-2", "i-3"]),
        tasks=SqlTasks(sessions),
        ledger=SqlLedger(sessions),
        rollouts=SqlRollouts(sessions),
    )


def facts(result: Result) -> Any:
    return json.loads(result.stdout)


def test_a_list_says_how_every_rollout_stands(qlrf: Qlrf, house: House) -> None:
    [one] = facts(qlrf("list", "--json"))

    assert one["rollout"] == house.id
    assert one["state"] == "watching"
    assert one["assets"] == {"done": 1, "waiting": 2}
    assert one["wakes_at"] is not None
    assert "1 done, 2 waiting" in qlrf("list").stdout
    assert facts(qlrf("list", "--tenant", "beta", "--json")) == []
    assert facts(qlrf("list", "--state", "held", "--json")) == []
    assert len(facts(qlrf("list", "--state", "watching", "--json"))) == 1


def test_what_has_ended_is_listed_only_if_asked_for(qlrf: Qlrf, house: House) -> None:
    qlrf("cancel", house.id, *WHY, *ANN)

    assert facts(qlrf("list", "--json")) == []
    assert "Nothing is being changed" in qlrf("list").stderr
    assert [one["state"] for one in facts(qlrf("list", "--all", "--json"))] == ["cancelled"]


def test_a_list_that_was_cut_says_so_and_is_never_cut_to_nothing(qlrf: Qlrf, house: House) -> None:
    assert "acme may have more: --tenant acme" in qlrf("list", "--limit", "1").stderr
    assert "may have more" not in qlrf("list", "--limit", "2").stderr
    for none in ("0", "-1"):
        refused = CliRunner().invoke(group, ("list", "--limit", none))
        assert refused.exit_code == 2
        assert "x>=1" in refused.stderr


def test_show_tells_phases_assets_and_what_can_be_said_next(qlrf: Qlrf, house: House) -> None:
    shown = qlrf("show", house.id[:12]).stdout
    told = facts(qlrf("show", house.id, "--json"))

    assert "canary" in shown
    assert "wave-1" in shown
    assert "1/3 changed" in shown
    assert [row["state"] for row in told["rows"]] == ["done", "waiting", "waiting"]
    assert told["rows"][0]["before"] == {"image": "ami-old"}


def test_show_names_what_nobody_knows(qlrf: Qlrf, house: House) -> None:
    lost = Progress(status=Status.UNKNOWN, detail="no answer to what was sent")
    house.hands.script = lambda o: lost if o.target.id == "i-2" else None
    qlrf("promote", house.id, "--reason", "looks good", *ANN)
    house.drive(hold_seconds=0)

    shown = qlrf("show", house.id).stdout

    assert "HELD" in shown
    assert "i-2: no answer to what was sent" in shown
    assert f"qlrf rollouts retry {house.id}" in shown
    with pytest.raises(Refused, match="Nobody knows"):
        qlrf("promote", house.id, "--reason", "on with it", *ANN)


def test_pause_resume_and_promote_lead_to_the_end(qlrf: Qlrf, house: House) -> None:
    assert facts(qlrf("pause", house.id, *ANN, "--json"))["state"] == "paused"
    assert house.drive(hold_seconds=0).state == "paused"
    assert house.task_state() == "paused"
    assert facts(qlrf("resume", house.id, *ANN, "--json"))["state"] == "running"
    house.drive(hold_seconds=0)
    told = qlrf("promote", house.id, "--reason", "looks good", *ANN)
    assert "RUNNING (ann: looks good)" in told.stderr

    assert house.drive(hold_seconds=0).state == "completed"

    watched = qlrf("watch", house.id, "--json")
    assert facts(watched)["state"] == "completed"
    assert watched.return_value == 0


def test_a_rollback_from_the_terminal_brings_everything_back(qlrf: Qlrf, house: House) -> None:
    assert facts(qlrf("rollback", house.id, *WHY, *ANN, "--json"))["state"] == "rolling_back"
    house.drive(hold_seconds=0)

    assert house.hands.changed() == set()
    assert qlrf("watch", house.id).return_value == 1  # it is over, and not as planned
    assert [
        e.content["by"] for e in house.world.ledger.entries("acme") if "rollback" in e.kind
    ] == [  # type: ignore[arg-type]
        "ann"
    ]


def test_what_failed_is_tried_again(qlrf: Qlrf, house: House) -> None:
    no = Progress(status=Status.FAILED, detail="the old image is gone")
    house.hands.script = lambda o: no if o.kind == "restore" else None
    qlrf("rollback", house.id, *WHY, *ANN)
    assert house.drive(hold_seconds=0).state == "stuck"
    house.hands.script = lambda o: None

    assert facts(qlrf("retry", house.id, *ANN, "--json"))["state"] == "rolling_back"

    assert house.drive(hold_seconds=0).state == "rolled_back"
    with pytest.raises(Refused, match="rolled_back"):
        qlrf("retry", house.id, *ANN)


def test_watch_can_stop_where_a_human_is_asked(qlrf: Qlrf, house: House) -> None:
    qlrf("pause", house.id, *ANN)

    watched = qlrf("watch", house.id, "--until-human")

    assert watched.return_value == 1
    assert "PAUSED" in watched.stderr


@pytest.mark.parametrize("verb", ["pause", "promote", "rollback", "cancel"])
def test_only_engineers_steer(qlrf: Qlrf, house: House, verb: str) -> None:
    with pytest.raises(Refused, match="engineers and admins"):
        qlrf(verb, house.id, "--reason", "why not", "--as", "vic", "--role", "viewer")
    assert house.now.state == "watching"


@pytest.mark.parametrize("verb", ["show", "watch"])
def test_an_id_nobody_knows_is_not_found(qlrf: Qlrf, house: House, verb: str) -> None:
    with pytest.raises(NotFound, match="qlrf rollouts list"):
        qlrf(verb, "nobody")
    with pytest.raises(NotFound):
        qlrf(verb, house.id, "--tenant", "beta")


@pytest.mark.parametrize("verb", ["show", "watch", "pause"])
def test_what_has_not_begun_is_said_to_be_a_task(qlrf: Qlrf, postgres: Any, verb: str) -> None:
    house = claimed(postgres)
    closing = ("close", house.id, "--outcome", "failed", "--reason", "it could not begin", *ANN)
    CliRunner().invoke(task_group, closing, obj=postgres.settings, catch_exceptions=False)

    with pytest.raises(NotFound, match=f"failed and has no rollout; see `qlrf tasks.* {house.id}"):
        qlrf(verb, house.id, *(ANN if verb == "pause" else ()))


def test_what_takes_something_away_wants_a_reason(postgres: Any, house: House) -> None:
    for verb in ("promote", "rollback", "cancel"):
        result = CliRunner().invoke(group, (verb, house.id, *ANN), obj=postgres.settings)
        assert result.exit_code == 2
        assert "--reason" in result.stderr
    assert house.now.state == "watching"


@pytest.mark.parametrize("blank", ["", "  "])
@pytest.mark.parametrize("verb", ["promote", "rollback", "cancel"])
def test_an_empty_reason_is_none(qlrf: Qlrf, house: House, verb: str, blank: str) -> None:
    with pytest.raises(Rejected, match="--reason is empty"):
        qlrf(verb, house.id, "--reason", blank, *ANN)
    assert house.now.state == "watching"


def test_an_empty_name_is_nobody_and_not_the_machines_user(qlrf: Qlrf, house: House) -> None:
    with pytest.raises(Rejected, match="--as is empty"):
        qlrf("pause", house.id, "--as", "", "--role", "engineer")
    assert house.now.state == "watching"


def test_what_show_says_to_type_can_be_typed(qlrf: Qlrf, house: House) -> None:
    qlrf("pause", house.id, *ANN)

    shown = qlrf("show", house.id).stdout

    hints = [line.split()[2:] for line in shown.splitlines() if "qlrf rollouts" in line]
    assert [verb for verb, *_ in hints] == ["resume", "rollback", "cancel"]
    for hint in hints[:2]:
        qlrf(*hint, *ANN)
    assert house.now.state == "rolling_back"


def test_show_says_until_when_a_phase_is_watched(qlrf: Qlrf, house: House) -> None:
    since = house.now.watch_since
    assert since is not None

    assert f"watched since {since:%H:%M:%S} until" in qlrf("show", house.id).stdout


def test_watch_says_each_thing_once_and_how_it_ended_on_stdout(
    qlrf: Qlrf, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    from resources.database.rollouts import SqlRollouts

    steps = iter(
        [
            lambda: qlrf("pause", house.id, *ANN),
            lambda: house.drive(hold_seconds=0),  # a step that nobody who watches can see
            lambda: qlrf("cancel", house.id, *WHY, *ANN),
        ]
    )
    monkeypatch.setattr(SqlRollouts, "wait", lambda *_, **__: bool(next(steps)()))

    watched = qlrf("watch", house.id)

    told = [line.split(": ", 1)[1] for line in watched.stderr.splitlines()]
    assert told == [
        "WATCHING (canary is watched): 1 done, 2 waiting",
        "PAUSED (paused by ann): 1 done, 2 waiting",
        "CANCELLED (ann: users complain): 1 done, 2 waiting",
    ]
    assert watched.stdout == qlrf("show", house.id).stdout


def test_what_a_terminal_might_obey_is_written_out(qlrf: Qlrf, house: House) -> None:
    qlrf("pause", house.id, "--reason", "wait\x1b[2J\nfor it", *ANN)

    said = qlrf("show", house.id).stdout + qlrf("watch", house.id, "--until-human").stderr

    assert "\x1b" not in said
    assert said.count("wait\\x1b[2J\\nfor it") == 2


def test_a_view_is_cut_to_the_terminal_it_is_shown_on() -> None:
    view = "\n".join(f"{n} " + "x" * 60 for n in range(30))

    cut = fitted(view, columns=40, lines=12).splitlines()

    assert len(cut) == 11
    assert all(len(line) <= 39 for line in cut)
    assert cut[0].endswith("x…")
    assert cut[-1] == "… 20 more lines: qlrf rollouts show"
    assert fitted("short\nenough", columns=40, lines=12) == "short\nenough"


@pytest.fixture
def alone(postgres: Any) -> House:
    """A rollout whose canary went by itself, and waits for people."""
    from resources.database.ledger import SqlLedger
    from resources.database.rollouts import SqlRollouts
    from resources.database.sessions import Sessions
    from resources.database.tasks import SqlTasks

    sessions = Sessions(postgres.settings)
    made = House(
        goes_alone(phase("canary", [["i-1"]], wait=60), phase("wave-1", [["i-2"]], wait=0)),
        Hands(["i-1", "i-2"]),
        alone=True,
        tasks=SqlTasks(sessions),
        ledger=SqlLedger(sessions),
        rollouts=SqlRollouts(sessions),
    )
    made.begin()
    made.drive(hold_seconds=0)
    made.clock.advance(minutes=2)
    made.drive(hold_seconds=0)
    return made


def test_a_canary_that_went_by_itself_says_how_its_rest_is_approved(
    qlrf: Qlrf, alone: House
) -> None:
    named = f"{alone.id} --tenant acme --digest {alone.record.task.digest[:12]}"

    shown = qlrf("show", alone.id).stdout

    assert "AWAITING_APPROVAL" in shown
    assert f"qlrf tasks approve {named}" in shown
    assert f"qlrf tasks reject {named}" in shown
    assert facts(qlrf("list", "--json"))[0]["extent"] == "canary"
    for verb in ("promote", "resume"):
        with pytest.raises(Refused, match="qlrf tasks approve"):
            qlrf(verb, alone.id, *WHY, *ANN)


def test_the_task_of_such_a_canary_says_what_went_and_what_is_asked(
    postgres: Any, alone: House
) -> None:
    def tasks(*arguments: str) -> str:
        result = CliRunner().invoke(task_group, arguments, obj=postgres.settings)
        assert result.exception is None, result.exception
        return result.stdout + result.stderr

    assert "canary by itself, rest 0 of 1" in tasks("list")
    shown = tasks("show", alone.id)
    assert "nobody for its canary, which goes by itself; for the rest 1 of role engineer" in shown
    assert "its canary goes by itself, approved by autonomy:canary_only" in shown
    assert f"qlrf tasks approve {alone.id}" in shown
    assert "Its canary is carried out by run run-1" in shown

    said = ("--digest", alone.record.task.digest[:12], *WHY, *ANN)
    assert "Its canary is brought back" in tasks("reject", alone.id, *said)

    assert alone.now.state.value == "rolling_back"
