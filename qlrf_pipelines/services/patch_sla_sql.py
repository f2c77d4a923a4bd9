"""The patch SLA rule for a whole fleet, as SQL over lake views.

Read `domain/patch_sla.py` first: it is the same rule for one asset. Inputs: the views inventory,
drift and previous (the last patch_sla), and the tables rules, policies and promises that the
service registers.
"""

from qlrf_pipelines.domain.patch_sla import (
    BREACHING_PART,
    LACKING_CAUSES,
    LACKING_VERDICTS,
    MET_CAUSES,
    REASONS,
    SCAN_LASTS,
    Measure,
    SlaStatus,
)
from qlrf_pipelines.domain.vocabulary import ACTIVE_STATES, COVERED_VERDICTS
from qlrf_pipelines.services.drift_sql import quoted

_REASONS = " ".join(
    f"WHEN '{cause}' THEN {quoted(text)}"
    if "{0}" not in text
    else f"WHEN '{cause}' THEN replace({quoted(text)}, '{{0}}', told)"
    for cause, text in REASONS.items()
)
_SCAN_US = int(SCAN_LASTS.total_seconds()) * 1_000_000
_MOST = "greatest(i.patches_missing, i.patches_failed)"


def _may_be(column: str, allowed: str) -> str:
    """That a column is one of a list, or may be: an empty list allows all, a null may be any."""
    return f"(len({allowed}) = 0 OR coalesce(list_contains({allowed}, {column}), true))"


_BY_TAGS = """
   AND len(list_filter(map_entries(p.exclude_tags),
                       lambda e: coalesce(i.tags[e.key] = e.value, false))) = 0
   AND (i.tags IS NULL OR len(list_filter(map_entries(p.tags),
                       lambda e: coalesce(i.tags[e.key] = e.value, false))) = cardinality(p.tags))
"""


def _asked(*, tags: bool) -> str:
    """Every promise on every live asset it may be about, with what measures it."""
    return f"""
SELECT i.tenant, i.asset_key, p.policy, q.severity, q.measured_by, q.within_us, r.as_of,
       i.state IS NULL OR i.state IN ({quoted(*ACTIVE_STATES)}) AS active,
       i.state IS NULL AS stateless,
       i.last_seen IS NULL OR i.last_seen < r.stale_before AS unseen,
       i.patch_scanned_at IS NULL OR i.patch_scanned_at > r.as_of AS unscanned,
       epoch_us(i.patch_scanned_at) < epoch_us(r.as_of) - {_SCAN_US} AS scan_old,
       d.drift_verdict AS verdict,
       CASE q.measured_by
         WHEN '{Measure.CRITICAL_PATCHES}' THEN i.patches_critical_missing
         WHEN '{Measure.SECURITY_PATCHES}' THEN i.patches_security_missing
         WHEN '{Measure.PATCHES}' THEN
           CASE WHEN {_MOST} > 0 THEN {_MOST}
                WHEN i.patches_missing IS NOT NULL AND i.patches_failed IS NOT NULL THEN 0 END
         END AS counted,
       least(b.since, CASE q.measured_by WHEN '{Measure.DRIFT}' THEN d.drifted_since END) AS begun
FROM inventory i
JOIN rules r ON r.tenant = i.tenant
LEFT JOIN drift d ON d.tenant = i.tenant AND d.asset_key = i.asset_key
JOIN policies p ON p.tenant = i.tenant
   AND {_may_be("i.platform", "p.platforms")}
   AND {_may_be("i.environment", "p.environments")}
   AND {_may_be("i.region", "p.regions")}
   AND {_may_be("d.family", "p.families")}
   AND (p.source_family IS NULL OR d.family IS NULL OR d.family = p.source_family)
   AND NOT list_contains(p.exclude_assets, i.asset_key)
   AND NOT coalesce(list_contains(p.exclude_assets, i.asset_id), false)
   {_BY_TAGS if tags else ""}
JOIN promises q ON q.tenant = p.tenant AND q.policy = p.policy
LEFT JOIN before b
  ON b.tenant = i.tenant AND b.asset_key = i.asset_key AND b.measured_by = q.measured_by
WHERE i.tombstoned_at IS NULL
"""  # noqa: S608  words of our own


# The clock is the asset's, not the policy's: a policy that is renamed or added takes it over.
BEFORE = """
CREATE OR REPLACE TEMP VIEW before AS
SELECT tenant, asset_key, measured_by, min(since) AS since FROM previous
WHERE since IS NOT NULL GROUP BY tenant, asset_key, measured_by
"""

_CAUSE = f"""CASE WHEN stateless THEN 'no_state' WHEN unseen THEN 'unseen'
       WHEN measured_by = '{Measure.DRIFT}' THEN
         CASE WHEN verdict IN ({quoted(*LACKING_VERDICTS)}) THEN 'behind'
              WHEN verdict IN ({quoted(*COVERED_VERDICTS)}) THEN 'covered' ELSE 'unjudged' END
       WHEN counted IS NULL THEN 'uncounted'
       WHEN unscanned THEN 'unscanned' WHEN scan_old THEN 'scan_old'
       WHEN counted > 0 THEN 'lacking' ELSE 'complete' END"""
_MET = f"cause IN ({quoted(*MET_CAUSES)})"
_LACKING = f"cause IN ({quoted(*LACKING_CAUSES)})"


def status_at(due_at: str, within_us: str, moment: str) -> str:
    """How what is missing stands at a moment, as an expression."""
    left = f"(epoch_us({due_at}) - epoch_us({moment}))"
    return f"""CASE WHEN {left} <= 0 THEN '{SlaStatus.BREACHED}'
       WHEN {BREACHING_PART} * {left} < {within_us} THEN '{SlaStatus.BREACHING}'
       ELSE '{SlaStatus.DUE}' END"""


def rows(*, tags: bool) -> str:
    """The rows of the patch_sla dataset, in its order of columns; `tags` if a policy asks them."""
    return f"""
SELECT tenant, asset_key, policy, severity, measured_by, active,
       CASE WHEN {_MET} THEN '{SlaStatus.MET}' WHEN NOT {_LACKING} THEN '{SlaStatus.UNKNOWN}'
            ELSE {status_at("due_at", "within_us", "as_of")} END AS status,
       CASE WHEN {_MET} OR {_LACKING} THEN counted END AS missing,
       since, within_us // 1000000 AS within_seconds, due_at,
       CASE cause {_REASONS} END AS reason, as_of
FROM (SELECT *, since + to_microseconds(within_us) AS due_at,
             CASE WHEN measured_by = '{Measure.DRIFT}' THEN coalesce(verdict, 'not judged')
                  ELSE counted::VARCHAR END AS told
      FROM (SELECT *, CASE WHEN NOT {_MET} THEN coalesce(begun, as_of) END AS since
            FROM (SELECT *, {_CAUSE} AS cause FROM ({_asked(tags=tags)}))))
"""  # noqa: S608  words of our own


# Only active assets count; a tenant without a promise has its row of zeros.
FACTS = f"""
SELECT r.tenant, r.policies, count(DISTINCT hash(s.asset_key)), count(s.asset_key),
       {", ".join(f"count(*) FILTER (s.status = '{status}')" for status in SlaStatus)},
       min(s.due_at)
FROM rules r LEFT JOIN patch_sla s ON s.tenant = r.tenant AND s.active
GROUP BY r.tenant, r.policies ORDER BY r.tenant
"""  # noqa: S608  words of our own

# The few that are due the soonest, without sorting the rest.
SOONEST = f"""
SELECT tenant, unnest(min({{'due_at': due_at, 'asset': asset_key, 'policy': policy,
  'severity': severity, 'status': status, 'missing': missing}}, 5))
FROM patch_sla WHERE active AND since IS NOT NULL AND status <> '{SlaStatus.UNKNOWN}'
GROUP BY tenant ORDER BY tenant
"""  # noqa: S608  words of our own
