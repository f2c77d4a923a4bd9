"""The datasets of disaster recovery: drills, their phases, and how ready each scope is."""

import pyarrow as pa

from qlrf_pipelines.domain.dataset_shape import TIME, Dataset, columns

_TENANT = (pa.string(), "The tenant the row belongs to.")


def _target(name: str, what: str) -> dict[str, tuple[pa.DataType, str]]:
    """The columns of one measurement against its target."""
    return {
        f"{name}_target": (pa.float64(), f"Seconds of {what} the plan allows; null if not set."),
        f"{name}_seconds": (pa.float64(), f"Seconds of {what} measured; null if not proven."),
        f"{name}_verdict": (pa.string(), "met, missed or not_proven."),
        f"{name}_reason": (pa.string(), "What was measured, or why it is not proven."),
    }


def _spread(name: str, what: str) -> dict[str, tuple[pa.DataType, str]]:
    """The columns of what several drills say together."""
    return {
        f"{name}_measured": (pa.int64(), f"Drills that measured {what}."),
        f"{name}_highest": (pa.float64(), "The most seconds any of them measured; null if none."),
        f"{name}_median_upper": (
            pa.float64(),
            "95 % upper bound of the median, from order statistics; null below five drills.",
        ),
        f"{name}_covered": (
            pa.float64(),
            "Share of all such drills that, with 95 % confidence, is not above the highest.",
        ),
        f"{name}_trend": (
            pa.float64(),
            "Seconds more per drill (Theil-Sen); null below three drills.",
        ),
    }


DRILLS = Dataset(
    name="drills",
    grain="one row per drill ever seen; a drill the database lost keeps its row",
    key=("drill_id",),
    schema=columns(
        tenant=_TENANT,
        drill_id=(pa.string(), "The drill."),
        application=(pa.string(), "What was recovered."),
        plan=(pa.string(), "The recovery plan, as approved."),
        plan_digest=(pa.string(), "SHA-256 of the plan's canonical JSON."),
        pair=(pa.string(), "The pair of sites."),
        primary_site=(pa.string(), "The site it runs on."),
        recovery_site=(pa.string(), "The site it fails over to."),
        environment=(pa.string(), "What it is for."),
        tier=(pa.int32(), "How much it matters, 1 the most."),
        drill_type=(pa.string(), "full, partial, tabletop or test_failover."),
        phase=(pa.string(), "Where it stands; closed once it is over."),
        outcome=(pa.string(), "passed, failed or aborted; null while nothing is decided."),
        requested_by=(pa.string(), "Who asked for it."),
        requested_at=(TIME, "When it was asked for."),
        declared_at=(TIME, "When the incident was declared; null if it never was."),
        ended_at=(TIME, "When it was closed; null before that."),
        members=(pa.int32(), "Members of the plan."),
        members_proven=(pa.int32(), "Members that came over and back."),
        **_target("rto", "interruption"),
        **_target("rpo", "lost writes"),
        writes=(pa.int64(), "Numbered writes attempted before the incident was over."),
        writes_acknowledged=(pa.int64(), "Numbered writes acknowledged."),
        writes_lost=(pa.int64(), "Acknowledged writes not recovered; null if not known."),
        failback_seconds=(pa.float64(), "Seconds the failback took; null if not measured."),
        replication_status=(
            pa.string(),
            "The worst member's before the incident: in_sync, lagging, failed or unknown.",
        ),
        replication_lag_seconds=(
            pa.float64(),
            "The largest lag of any member before the incident; null if any is not known.",
        ),
        left_over=(pa.int32(), "Things left behind; null if that was not proven."),
        answers=(pa.int64(), "Answers of probes."),
        answers_bad=(pa.int64(), "Answers of probes that were not healthy."),
        ledger_seq=(pa.int64(), "Number of its newest entry in the evidence ledger."),
        as_of=(TIME, "When the row was written."),
    ),
)

DRILL_PHASES = Dataset(
    name="drill_phases",
    grain="one row per drill and phase entered, in order",
    key=("drill_id", "number"),
    schema=columns(
        tenant=_TENANT,
        drill_id=(pa.string(), "The drill."),
        number=(pa.int32(), "Which phase of the drill, from 1; a phase entered twice has two."),
        phase=(
            pa.string(),
            "validation, isolation, failover, service_validation, workload, failback, reporting "
            "or held.",
        ),
        started_at=(TIME, "When it began, on the wall clock."),
        ended_at=(TIME, "When it ended, on the wall clock; null if it did not."),
        seconds=(
            pa.float64(),
            "How long it took on a clock that never steps; null if no such clock saw both ends.",
        ),
        event=(pa.string(), "passed, failed, aborted, unknown, resumed or released; null if open."),
        reason=(pa.string(), "Why it ended so; '' if nobody had to say."),
        attempts=(pa.int32(), "Processes that worked on it."),
        as_of=(TIME, "When the row was written."),
    ),
)

RESILIENCE = Dataset(
    name="resilience",
    grain="one row per tenant, scope_type and scope_value; a scope with no application is no_data",
    key=("scope_type", "scope_value"),
    schema=columns(
        tenant=_TENANT,
        scope_type=(pa.string(), "tenant, site, pair, application or plan."),
        scope_value=(pa.string(), "Which one."),
        applications=(pa.int64(), "Applications with a plan, or with drills though none names it."),
        ready=(pa.int64(), "Applications that proved within their days that they recover."),
        coverage=(pa.float64(), "ready / applications, 0 to 1; null without any."),
        status=(pa.string(), "healthy, warning, critical or no_data."),
        readiness=(
            pa.string(),
            "The worst plan's: ready, partial, not_proven, overdue, missed, failed, never_drilled, "
            "unplanned; no_data without any.",
        ),
        reason=(pa.string(), "Why that plan stands so."),
        plans=(pa.int64(), "Recovery plans."),
        plans_ready=(pa.int64(), "Plans that are ready."),
        plans_never_drilled=(pa.int64(), "Plans no drill that moved anything was closed for."),
        plans_due=(pa.int64(), "Plans to be drilled within the last fifth of their days."),
        plans_overdue=(pa.int64(), "Plans past their days, or with no days set."),
        due_at=(TIME, "When the next drill is due; null if some plan cannot say."),
        drills=(pa.int64(), "Closed drills that moved something."),
        drills_failed=(pa.int64(), "Those of them that did not pass."),
        failure_upper=(
            pa.float64(),
            "95 % upper bound of the share of drills that fail (Clopper-Pearson); null with none.",
        ),
        open_drills=(pa.int64(), "Drills that are not closed."),
        held_drills=(pa.int64(), "Open drills held for a human: something may be live astray."),
        last_drill_id=(pa.string(), "The newest closed drill that moved something."),
        last_drill_at=(TIME, "When that drill ended."),
        last_outcome=(pa.string(), "How that drill ended."),
        members=(pa.int64(), "Members of the plans."),
        members_proven=(pa.int64(), "Members that came over and back in the newest drill."),
        targets=(pa.int64(), "Targets there could be: two per plan."),
        targets_met=(pa.int64(), "Targets the newest drills met."),
        targets_missed=(pa.int64(), "Targets the newest drills missed."),
        targets_not_proven=(pa.int64(), "Targets nobody proved, or nobody set."),
        **_target("rto", "interruption"),
        **_spread("rto", "the interruption"),
        **_target("rpo", "lost writes"),
        **_spread("rpo", "lost writes"),
        replication_status=(
            pa.string(),
            "The worst in the newest drills: in_sync, lagging, failed or unknown.",
        ),
        replication_lag_seconds=(
            pa.float64(),
            "The largest lag in the newest drills; null if any is not known.",
        ),
        paired=(pa.bool_(), "Whether the site has another that stands in; null for other scopes."),
        as_of=(TIME, "When it was judged."),
    ),
)
