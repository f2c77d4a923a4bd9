"""What a drill measures beside what is true: writes lost to the write, recovery to one interval.

Thirty randomised drills in memory, whose truth is known, and a few of two real PostgreSQL servers
whose standby is cut off after a number of writes.
"""

import itertools
import random
import statistics
import time
from dataclasses import replace

from qlrf_pipelines.domain.estate import Estate
from qlrf_pipelines.domain.recovery import MoveKind, Side
from qlrf_pipelines.domain.recovery_plans import (
    CanaryWrites,
    ProbePace,
    ProbeRule,
    ProbeType,
)
from qlrf_pipelines.domain.roles import Role
from qlrf_pipelines.services import drills
from tests.fakes.approvals import ACME
from tests.fakes.drill_house import DrillHouse
from tests.fakes.drilled import plan
from tests.fakes.estate import FakeEstate
from tests.fakes.postgres_pair import database_member, deafen, session_of, shared_pair, streaming

DRILLS, REAL = 30, 3


def measure() -> list[dict[str, object]]:
    """The rows."""
    known = [in_memory(seed) for seed in range(DRILLS)]
    real = [on_postgres(seed) for seed in range(REAL)]
    return [
        _row("RPO against truth, 30 randomised drills", [k[0] for k in known], 0, "writes wrong"),
        _row("RTO against truth, the same", [k[1] for k in known], 1, "probe intervals wrong"),
        _row("RPO against truth, PostgreSQL", [float(one) for one in real], 0, "writes wrong"),
    ]


def _row(what: str, errors: list[float], must: float, unit: str) -> dict[str, object]:
    worst = max(errors)
    return {
        "what": what,
        "ours": worst,
        "floor": None,
        "ratio": None,
        "must": f"<= {must:g}",
        "unit": unit,
        "ok": worst <= must,
        "detail": f"{len(errors)} drills, worst {worst:g} {unit}, median "
        f"{statistics.median(errors):g}",
    }


def in_memory(seed: int) -> tuple[float, float]:
    """Errors of RPO in writes and of RTO in probe intervals."""
    chance = random.Random(seed)
    interval = chance.choice((0.5, 1.0, 2.0, 5.0))
    house = DrillHouse(
        plan=plan(
            pace=ProbePace(interval_seconds=interval, timeout_seconds=1, within_seconds=900),
            canary=CanaryWrites(
                members=("database",),
                interval_seconds=chance.choice((0.05, 0.1, 0.5)),
                before_seconds=chance.uniform(2, 10),
            ),
            rto_seconds=9000.0,
            rpo_seconds=9000.0,
        )
    )
    database = house.database
    database.lag = chance.randrange(0, 15)
    database.warm_up = chance.uniform(0, 60)
    database.polls = {kind: chance.randrange(0, 4) for kind in MoveKind}
    flaps = chance.randrange(0, 4)
    database.flaps = list(
        itertools.chain.from_iterable(
            [True] * chance.randrange(0, 3) + [False] for _ in range(flaps)
        )
    )
    bad = len(database.flaps)
    drill = house.run()
    assert drill.result is not None
    numbers = [n for _, n in database.written if n < 10**9]
    kept = numbers[: max(0, len(numbers) - database.lag)]
    lost = drill.result["rpo"]["writes"]
    entries = house.record(drill.id)
    declared = entries.declared
    assert declared is not None
    live = (database.ready_ticks - declared.ticks) / 1e9
    # Each answer before the last bad one was asked for an interval after the one before it.
    truth = max(0.0, live) + bad * interval
    return abs(lost - (len(numbers) - len(kept))), abs(drill.result["rto"]["seconds"] - truth) / (
        interval
    )


def on_postgres(seed: int) -> int:
    """The error in writes on two real servers, one of which stops hearing at a random number."""
    from tests.fakes.postgres import shared_server
    from tests.faults.killed_drill import real_world

    chance, pair = random.Random(seed), shared_pair()
    streaming(pair)
    heard = chance.randrange(3, 15)
    asked = ProbeRule(
        name="query", type=ProbeType.SQL, member="database", statement="SELECT 1", expect="1"
    )
    made = plan(
        groups=((database_member(pair),),),
        probes=(asked,),
        pace=ProbePace(interval_seconds=0.1, timeout_seconds=2, within_seconds=60),
        canary=CanaryWrites(members=("database",), interval_seconds=0.03, before_seconds=1.5),
    )
    server = shared_server()
    database = server.database()
    world = replace(real_world(database.settings), estate=FakeEstate(Estate(recovery=(made,))))
    adapter = world.recovery["postgres"]

    class Deaf(type(adapter)):  # type: ignore[misc]
        def open(self, member):  # type: ignore[no-untyped-def]
            session = adapter.open(member)
            give = session.canary

            def canary(side, *, drill):  # type: ignore[no-untyped-def]
                found = give(side, drill=drill)
                write = found.write

                def written(own, number):  # type: ignore[no-untyped-def]
                    write(own, number)
                    if number == heard and side is Side.PRIMARY:
                        while session_of(pair).replication().lag_bytes:
                            time.sleep(0.01)
                        deafen(pair)

                found.write = written
                return found

            session.canary = canary
            return session

    world = replace(world, recovery={"postgres": Deaf(secrets=None)})
    own = drills.start_drill(world, ACME, made.name, by="rita", role=Role.OPERATOR).id
    drill = drills.drive(world, ACME, own, holder="bench")
    assert drill.result is not None
    writes = world.drills.writes(ACME, own)
    acknowledged = sum(w.acknowledged is not None for w in writes if w.number < 10**9)
    return abs(drill.result["rpo"]["members"][0]["lost"] - (acknowledged - heard))
