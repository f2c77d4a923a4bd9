"""The risk rule for a whole fleet, as SQL over lake views.

Read `domain/risk.py` first: it is the same rule for one asset. Inputs: the views inventory, drift,
control_results and vulnerabilities, and the tables rules and controls that the service registers.
"""

from qlrf_pipelines.domain.risk import (
    CRITICAL_FROM,
    ENVIRONMENT_FACTORS,
    EXPOSURE,
    HIGH_FROM,
    MEDIUM_FROM,
    MOST,
    PER_CRITICAL,
    PER_OPEN,
    SENSITIVE_PORTS,
    UNKNOWN_ENVIRONMENT_FACTOR,
    WEIGHTS,
)

_ENVIRONMENTS = " ".join(
    f"WHEN '{environment}' THEN {factor}e0" for environment, factor in ENVIRONMENT_FACTORS.items()
)
_PORTS = " OR ".join(
    f"(coalesce(p.from_port, 0) <= {port} AND (p.to_port IS NULL OR p.to_port < 0"
    f" OR p.to_port >= {port}))"
    for port in SENSITIVE_PORTS
)
_SENSITIVE = f"""len(list_filter(open_ports, lambda p:
  p.protocol IS NULL OR p.protocol = '-1' OR {_PORTS})) > 0"""


def _exposed(opened: str) -> str:
    hidden, public = EXPOSURE[opened, False], EXPOSURE[opened, True]
    return f"CASE WHEN public_ip = '' THEN {hidden}e0 ELSE {public}e0 END"


_EXPOSURE = f"""CASE WHEN public_ip IS NULL OR open_ports IS NULL THEN {MOST}e0
  WHEN len(open_ports) = 0 THEN {_exposed("none")}
  WHEN {_SENSITIVE} THEN {_exposed("sensitive")}
  ELSE {_exposed("some")} END"""

CONNECTED = "SELECT DISTINCT tenant FROM vulnerabilities"

# What each tenant's assets are asked. A control judged for the tenant as a whole (asset_key '')
# is not asked of an asset; a result that is missing counts as never proven, so losing the row of
# a failed control cannot lower the share.
EXPECTED = """
CREATE OR REPLACE TEMP TABLE expected AS
SELECT r.tenant, c.control_id, c.weight
FROM rules r CROSS JOIN controls c
ANTI JOIN (SELECT DISTINCT tenant, control_id FROM control_results WHERE asset_key = '') whole
  ON whole.tenant = r.tenant AND whole.control_id = c.control_id
"""

_FINDINGS = """
SELECT s.tenant, s.asset_key,
       coalesce(sum(e.weight) FILTER (s.verdict = 'pass'), 0) AS passed,
       coalesce(sum(e.weight) FILTER (s.verdict IN ('not_applicable', 'manual')), 0) AS set_aside
FROM control_results s JOIN expected e USING (tenant, control_id)
WHERE s.verdict IN ('pass', 'not_applicable', 'manual')
GROUP BY s.tenant, s.asset_key
"""

_FACTORS = f"""
SELECT i.tenant, i.asset_key, r.as_of, r.not_assessed, r.weight,
       coalesce(d.drift_score, {MOST}e0) AS drift_factor,
       CASE WHEN r.connected THEN
         least({MOST}e0, coalesce({PER_CRITICAL}e0 * v.critical, {MOST}e0)) END
         AS critical_vulnerabilities_factor,
       CASE WHEN r.connected THEN
         least({MOST}e0, coalesce({PER_OPEN}e0 * v.open, {MOST}e0)) END
         AS open_vulnerabilities_factor,
       CASE WHEN NOT r.controlled THEN NULL
            WHEN coalesce(f.set_aside, 0) >= r.asked THEN {MOST}e0
            ELSE {MOST}e0 * (r.asked - coalesce(f.set_aside, 0) - coalesce(f.passed, 0))
                 / (r.asked - coalesce(f.set_aside, 0)) END AS noncompliance_factor,
       {_EXPOSURE} AS exposure_factor,
       CASE i.environment {_ENVIRONMENTS} ELSE {UNKNOWN_ENVIRONMENT_FACTOR}e0 END
         AS environment_factor
FROM inventory i
JOIN (SELECT rules.*, coalesce(e.asked, 0) AS asked FROM rules
      LEFT JOIN (SELECT tenant, sum(weight) AS asked FROM expected GROUP BY tenant) e
      USING (tenant)) r ON r.tenant = i.tenant
LEFT JOIN drift d ON d.tenant = i.tenant AND d.asset_key = i.asset_key
LEFT JOIN ({_FINDINGS}) f ON f.tenant = i.tenant AND f.asset_key = i.asset_key
LEFT JOIN vulnerabilities v ON v.tenant = i.tenant AND v.asset_key = i.asset_key
WHERE i.tombstoned_at IS NULL
"""  # noqa: S608  numbers and words of our own

_WEIGHTED = " + ".join(f"coalesce({weight} * {name}_factor, 0)" for name, weight in WEIGHTS.items())

ROWS = f"""
SELECT tenant, asset_key, risk_score,
       CASE WHEN risk_score < {MEDIUM_FROM} THEN 'low' WHEN risk_score < {HIGH_FROM} THEN 'medium'
            WHEN risk_score < {CRITICAL_FROM} THEN 'high' ELSE 'critical' END AS risk_level,
       drift_factor, critical_vulnerabilities_factor, open_vulnerabilities_factor,
       noncompliance_factor, exposure_factor, environment_factor, not_assessed, as_of
FROM (SELECT *, least({MOST}e0, ({_WEIGHTED}) / weight * environment_factor) AS risk_score
      FROM ({_FACTORS}))
"""  # noqa: S608  numbers and words of our own

FACTS = """
SELECT r.tenant, count(k.asset_key), avg(k.risk_score), max(k.risk_score),
       count(*) FILTER (k.risk_level = 'low'), count(*) FILTER (k.risk_level = 'medium'),
       count(*) FILTER (k.risk_level = 'high'), count(*) FILTER (k.risk_level = 'critical'),
       max(k.risk_score, 5)[-1]
FROM rules r LEFT JOIN risk k ON k.tenant = r.tenant
GROUP BY r.tenant ORDER BY r.tenant
"""

# `floors` has each tenant's fifth highest score: only the few rows above it are sorted.
WORST = """
SELECT k.tenant, k.asset_key, k.risk_level, k.risk_score, k.drift_factor,
       k.critical_vulnerabilities_factor, k.open_vulnerabilities_factor, k.noncompliance_factor,
       k.exposure_factor, k.environment_factor
FROM risk k JOIN floors USING (tenant)
WHERE k.risk_score >= floors.score
QUALIFY row_number() OVER (PARTITION BY k.tenant ORDER BY k.risk_score DESC, k.asset_key) <= 5
ORDER BY k.tenant, k.risk_score DESC, k.asset_key
"""
