"""Readiness as SQL over the tables plans, sites, pairs and tenants, and the view drills.

`now` is a parameter. Every rule is written so that a null can only lead to a worse word.
"""

from qlrf_pipelines.domain.resilience import DUE_SHARE, NO_DATA, RANKS, Readiness

_R = Readiness
_RANK = " ".join(f"WHEN '{word}' THEN {rank}" for word, rank in RANKS.items())
_WORD = " ".join(f"WHEN {rank} THEN '{word}'" for word, rank in RANKS.items())
_REPLICATION = ("in_sync", "lagging", "failed", "unknown")
_LAG_RANK = " ".join(f"WHEN '{word}' THEN {rank}" for rank, word in enumerate(_REPLICATION))
_LAG_WORD = " ".join(f"WHEN {rank} THEN '{word}'" for rank, word in enumerate(_REPLICATION))


def _verdict(name: str) -> str:
    """The newest drill's verdict held against the plan's target of today.

    A target that was missed stays missed until a drill meets it, whatever the plan says now.
    """
    return f"""CASE
      WHEN p.{name}_target IS NULL THEN 'not_proven'
      WHEN d.{name}_verdict = 'missed' THEN 'missed'
      WHEN d.{name}_verdict = 'met' AND d.{name}_seconds > p.{name}_target THEN 'missed'
      WHEN d.{name}_verdict = 'met' AND d.{name}_seconds <= p.{name}_target THEN 'met'
      ELSE 'not_proven' END"""


# Drills of an application that no contract plans any more are told under the plan ''.
TOLD = """
CREATE OR REPLACE TEMP VIEW told AS
SELECT d.* REPLACE (CASE WHEN p.application IS NULL THEN '' ELSE d.plan END AS plan)
FROM drills d LEFT JOIN (SELECT DISTINCT tenant, application FROM plans) p
  ON p.tenant = d.tenant AND p.application = d.application
"""

# An application without a plan is known by its drills alone; it stands in every count, as worst.
PLANS = """
CREATE OR REPLACE TEMP TABLE every_plan AS
SELECT *, FALSE AS unplanned FROM plans
UNION ALL BY NAME
SELECT d.tenant, d.application, '' AS plan, arg_max(d.pair, d.drill_id) AS pair,
       arg_max(d.primary_site, d.drill_id) AS primary_site,
       arg_max(d.recovery_site, d.drill_id) AS recovery_site, 0 AS members, TRUE AS unplanned
FROM told d WHERE d.plan = '' GROUP BY d.tenant, d.application
"""

# A drill somebody forgot to name a type or phase of may have moved something.
_MOVED = "d.drill_type IS DISTINCT FROM 'tabletop'"
_CLOSED = f"(d.phase IS NULL OR d.phase = 'closed') AND {_MOVED}"

# A drill without a date cannot be put behind a newer one, so it counts beside the newest.
NEWEST = f"""
CREATE OR REPLACE TEMP TABLE newest AS
SELECT * FROM told d WHERE {_CLOSED}
QUALIFY d.requested_at IS NULL OR row_number() OVER (
  PARTITION BY d.tenant, d.application, d.plan
  ORDER BY d.requested_at DESC NULLS LAST, d.drill_id DESC) = 1
"""  # noqa: S608  words of our own

_JUDGED = f"""
SELECT p.tenant, p.application, p.plan, p.members,
       d.drill_id, d.ended_at, d.outcome, d.members_proven, d.replication_status,
       d.replication_lag_seconds, p.rto_target, p.rpo_target, d.rto_seconds, d.rpo_seconds,
       d.rto_reason, d.rpo_reason, p.unplanned, d.phase, d.drill_type, d.left_over,
       {_verdict("rto")} AS rto_verdict, {_verdict("rpo")} AS rpo_verdict,
       CASE WHEN d.ended_at IS NOT NULL AND p.fresh_days IS NOT NULL
            THEN d.ended_at + to_days(p.fresh_days) END AS due_at,
       CASE WHEN d.ended_at IS NOT NULL AND p.fresh_days IS NOT NULL
            THEN d.ended_at + to_seconds({1 - DUE_SHARE}e0 * 86400 * p.fresh_days) END AS ready_by,
       p.fresh_days
FROM every_plan p
LEFT JOIN newest d ON d.tenant = p.tenant AND d.application = p.application AND d.plan = p.plan
"""  # noqa: S608

_WORDED = f"""
SELECT *, CASE
    WHEN unplanned THEN '{_R.UNPLANNED}'
    WHEN drill_id IS NULL OR phase IS NULL OR drill_type IS NULL THEN '{_R.NEVER_DRILLED}'
    WHEN outcome IS DISTINCT FROM 'passed' THEN '{_R.FAILED}'
    WHEN rto_verdict = 'not_proven' OR rpo_verdict = 'not_proven' THEN '{_R.NOT_PROVEN}'
    WHEN left_over IS DISTINCT FROM 0 THEN '{_R.NOT_PROVEN}'
    WHEN rto_verdict = 'missed' OR rpo_verdict = 'missed' THEN '{_R.MISSED}'
    WHEN due_at IS NULL OR due_at < $now THEN '{_R.OVERDUE}'
    WHEN members_proven IS NULL OR members_proven < members THEN '{_R.PARTIAL}'
    ELSE '{_R.READY}' END AS readiness
FROM ({_JUDGED})
"""  # noqa: S608

_REASONED = f"""
SELECT *, CASE readiness {_RANK} END AS rank, CASE
    WHEN readiness = '{_R.UNPLANNED}' THEN 'no contract plans its recovery any more'
    WHEN drill_id IS NULL THEN 'no drill that moved anything was ever closed'
    WHEN readiness = '{_R.NEVER_DRILLED}' THEN 'nobody knows what drill ' || drill_id || ' did'
    WHEN readiness = '{_R.FAILED}' THEN 'drill ' || drill_id || ' ' ||
         coalesce(outcome, 'has no outcome')
    WHEN readiness = '{_R.NOT_PROVEN}' AND rto_verdict = 'not_proven' THEN 'RTO not proven: ' ||
         CASE WHEN rto_target IS NULL THEN 'no target is set'
              ELSE coalesce(rto_reason, 'not measured') END
    WHEN readiness = '{_R.NOT_PROVEN}' AND rpo_verdict = 'not_proven' THEN 'RPO not proven: ' ||
         CASE WHEN rpo_target IS NULL THEN 'no target is set'
              ELSE coalesce(rpo_reason, 'not measured') END
    WHEN readiness = '{_R.NOT_PROVEN}' THEN 'it is not proven that nothing was left behind'
    WHEN readiness = '{_R.MISSED}' AND rto_verdict = 'missed' THEN 'RTO missed'
    WHEN readiness = '{_R.MISSED}' THEN 'RPO missed'
    WHEN readiness = '{_R.OVERDUE}' AND fresh_days IS NULL THEN
         'no contract says how often it must be drilled'
    WHEN readiness = '{_R.OVERDUE}' AND ended_at IS NULL THEN 'nobody knows when it was drilled'
    WHEN readiness = '{_R.OVERDUE}' THEN
         'the last drill is more than ' || fresh_days || ' days old'
    WHEN readiness = '{_R.PARTIAL}' THEN 'only ' || coalesce(members_proven, 0) || ' of ' ||
         members || ' members came over and back'
    ELSE '' END AS reason
FROM ({_WORDED})
"""  # noqa: S608

# A drill that is held leaves something where it may not be: its plan is not ready.
_HELD = """
SELECT tenant, application, plan,
       count(*) FILTER (d.phase <> 'closed') AS open_drills,
       count(*) FILTER (d.phase = 'held') AS held_drills,
       min(d.drill_id) FILTER (d.phase = 'held') AS held_id
FROM told d GROUP BY ALL
"""

_HISTORY = f"""
SELECT tenant, application, plan, count(*) AS drills,
       count(*) FILTER (d.outcome IS DISTINCT FROM 'passed') AS drills_failed
FROM told d WHERE {_CLOSED} GROUP BY ALL
"""  # noqa: S608

# One row per plan: the worst of what counts.
STANDING = f"""
CREATE OR REPLACE TEMP TABLE standing AS
SELECT w.* EXCLUDE (rank, readiness, reason, unplanned, phase, drill_type, left_over),
       greatest(w.rank, CASE WHEN h.held_drills > 0 THEN {RANKS[_R.FAILED]} ELSE 0 END) AS rank,
       CASE WHEN h.held_drills > 0 AND w.rank <= {RANKS[_R.FAILED]}
            THEN 'drill ' || h.held_id || ' is held: something may be live where it should not'
            ELSE w.reason END AS reason,
       coalesce(h.open_drills, 0) AS open_drills, coalesce(h.held_drills, 0) AS held_drills,
       coalesce(y.drills, 0) AS drills, coalesce(y.drills_failed, 0) AS drills_failed,
       p.pair, p.primary_site
FROM (SELECT * FROM ({_REASONED})
      QUALIFY row_number() OVER (
        PARTITION BY tenant, application, plan ORDER BY rank DESC, drill_id DESC) = 1) w
JOIN every_plan p ON p.tenant = w.tenant AND p.application = w.application AND p.plan = w.plan
LEFT JOIN ({_HELD}) h
  ON h.tenant = w.tenant AND h.application = w.application AND h.plan = w.plan
LEFT JOIN ({_HISTORY}) y
  ON y.tenant = w.tenant AND y.application = w.application AND y.plan = w.plan
"""  # noqa: S608

_SCOPES = """
SELECT tenant, 'tenant' AS scope_type, tenant AS scope_value, NULL::BOOLEAN AS paired FROM tenants
UNION ALL
SELECT s.tenant, 'site', s.site, EXISTS (
  FROM pairs x WHERE x.tenant = s.tenant AND s.site IN (x.primary_site, x.recovery_site))
FROM (SELECT tenant, site FROM sites UNION SELECT tenant, primary_site FROM every_plan
      WHERE primary_site IS NOT NULL) s
UNION ALL
SELECT tenant, 'pair', pair, NULL FROM (
  SELECT tenant, pair FROM pairs UNION SELECT tenant, pair FROM every_plan WHERE pair IS NOT NULL)
UNION ALL
SELECT DISTINCT tenant, 'application', application, NULL FROM every_plan
UNION ALL
SELECT tenant, 'plan', plan, NULL FROM every_plan WHERE plan <> ''
"""

_PLACED = """
SELECT *, 'tenant' AS scope_type, tenant AS scope_value FROM standing
UNION ALL BY NAME
SELECT *, 'site' AS scope_type, primary_site AS scope_value FROM standing
UNION ALL BY NAME
SELECT *, 'pair' AS scope_type, pair AS scope_value FROM standing
UNION ALL BY NAME
SELECT *, 'application' AS scope_type, application AS scope_value FROM standing
UNION ALL BY NAME
SELECT *, 'plan' AS scope_type, plan AS scope_value FROM standing WHERE plan <> ''
"""

_APPLICATIONS = """
SELECT tenant, scope_type, scope_value, count(*) AS applications,
       count(*) FILTER (worst = 0) AS ready
FROM (SELECT tenant, scope_type, scope_value, application, max(rank) AS worst
      FROM placed GROUP BY ALL)
GROUP BY ALL
"""


def _measured(name: str) -> str:
    """The worst of the plans' measurements, unknown if any is; only where it means something."""
    alone = "s.scope_type IN ('application', 'plan') AND count(m.plan) > 0"
    return f"""
       CASE WHEN {alone} THEN min(m.{name}_target) END AS {name}_target,
       CASE WHEN {alone} AND bool_and(m.{name}_seconds IS NOT NULL)
            THEN max(m.{name}_seconds) END AS {name}_seconds,
       CASE WHEN NOT ({alone}) THEN NULL
            WHEN bool_or(m.{name}_verdict = 'not_proven') THEN 'not_proven'
            WHEN bool_or(m.{name}_verdict = 'missed') THEN 'missed' ELSE 'met' END
            AS {name}_verdict,
       CASE WHEN {alone} THEN arg_max(m.{name}_reason, m.rank) END AS {name}_reason"""


def _share(count: str, total: str) -> str:
    return f"CASE WHEN {total} > 0 THEN {count}::DOUBLE / {total} END"


_SUMS = f"""
SELECT s.tenant, s.scope_type, s.scope_value, any_value(s.paired) AS paired,
       count(m.plan) FILTER (m.plan <> '') AS plans,
       count(m.plan) FILTER (m.rank = 0) AS plans_ready,
       count(m.plan) FILTER (m.drill_id IS NULL) AS plans_never_drilled,
       count(m.plan) FILTER (m.due_at >= $now AND m.ready_by < $now) AS plans_due,
       count(m.plan) FILTER (m.drill_id IS NOT NULL AND (m.due_at IS NULL OR m.due_at < $now))
         AS plans_overdue,
       CASE WHEN bool_and(m.due_at IS NOT NULL) THEN min(m.due_at) END AS due_at,
       max(m.rank) AS rank, arg_max(m.reason, m.rank) AS reason,
       coalesce(sum(m.drills), 0)::BIGINT AS drills,
       coalesce(sum(m.drills_failed), 0)::BIGINT AS drills_failed,
       coalesce(sum(m.open_drills), 0)::BIGINT AS open_drills,
       coalesce(sum(m.held_drills), 0)::BIGINT AS held_drills,
       arg_max(m.drill_id, m.ended_at) AS last_drill_id, max(m.ended_at) AS last_drill_at,
       arg_max(m.outcome, m.ended_at) AS last_outcome,
       coalesce(sum(m.members), 0)::BIGINT AS members,
       coalesce(sum(least(m.members, coalesce(m.members_proven, 0))), 0)::BIGINT AS members_proven,
       2 * count(m.plan) AS targets,
       (count(*) FILTER (m.rto_verdict = 'met') + count(*) FILTER (m.rpo_verdict = 'met'))
         AS targets_met,
       (count(*) FILTER (m.rto_verdict = 'missed') + count(*) FILTER (m.rpo_verdict = 'missed'))
         AS targets_missed,
       {_measured("rto")}, {_measured("rpo")},
       CASE max(CASE m.replication_status {_LAG_RANK} ELSE 3 END) FILTER (m.plan IS NOT NULL)
         {_LAG_WORD} END AS replication_status,
       CASE WHEN bool_and(m.replication_lag_seconds IS NOT NULL)
            THEN max(m.replication_lag_seconds) END AS replication_lag_seconds
FROM ({_SCOPES}) s
LEFT JOIN placed m
  ON m.tenant = s.tenant AND m.scope_type = s.scope_type AND m.scope_value = s.scope_value
GROUP BY s.tenant, s.scope_type, s.scope_value
"""  # noqa: S608

PLACED = f"CREATE OR REPLACE TEMP VIEW placed AS {_PLACED}"

SCORED = f"""
CREATE OR REPLACE TEMP TABLE scored AS
SELECT u.* EXCLUDE (rank), u.targets - u.targets_met - u.targets_missed AS targets_not_proven,
       coalesce(a.applications, 0) AS applications, coalesce(a.ready, 0) AS ready,
       {_share("a.ready", "a.applications")} AS coverage,
       CASE WHEN coalesce(a.applications, 0) = 0 THEN '{NO_DATA}'
            WHEN a.ready::DOUBLE / a.applications >= 0.9e0 THEN 'healthy'
            WHEN a.ready::DOUBLE / a.applications >= 0.7e0 THEN 'warning'
            ELSE 'critical' END AS status,
       CASE WHEN u.rank IS NULL THEN '{NO_DATA}' ELSE CASE u.rank {_WORD} END END AS readiness,
       $now AS as_of
FROM ({_SUMS}) u
LEFT JOIN ({_APPLICATIONS}) a
  ON a.tenant = u.tenant AND a.scope_type = u.scope_type AND a.scope_value = u.scope_value
"""  # noqa: S608

# What several drills of one plan, or of one application, say together: oldest first.
SERIES = f"""
SELECT tenant, scope_type, scope_value,
       list(rto_seconds ORDER BY requested_at, drill_id) AS rto,
       list(rpo_seconds ORDER BY requested_at, drill_id) AS rpo
FROM (SELECT *, 'plan' AS scope_type, plan AS scope_value FROM told d WHERE {_CLOSED}
      UNION ALL BY NAME
      SELECT *, 'application' AS scope_type, application AS scope_value
      FROM told d WHERE {_CLOSED})
GROUP BY ALL
"""  # noqa: S608

COUNTS = "SELECT tenant, scope_type, scope_value, drills, drills_failed FROM scored"
ROWS = "SELECT {columns} FROM scored s LEFT JOIN spreads USING (tenant, scope_type, scope_value)"
FACTS = """
SELECT tenant, applications, ready, coverage, status, readiness, plans, plans_overdue, plans_due,
       plans_never_drilled, held_drills
FROM resilience WHERE scope_type = 'tenant'
"""
WORST = """
SELECT tenant, scope_value AS application, readiness, reason, last_drill_id, rto_seconds,
       rto_target, rpo_seconds, rpo_target
FROM resilience WHERE scope_type = 'application' AND readiness <> 'ready'
ORDER BY tenant, scope_value
"""
