"""The drift rule for a whole fleet, as SQL over lake views.

Read `domain/drift.py` first: it is the same rule for one asset. Assets that agree on tenant,
place, environment and image agree on everything but freshness and exemptions, so the rule is
worked out once per such group (`judged`) and joined back to the assets by hash.

Inputs: the views inventory, golden_images and previous (the last drift), and the tables rules,
graces, tag_keys, containers and exemptions that the service registers.
"""

from qlrf_pipelines.domain.drift import (
    BEHIND_BASE,
    BEHIND_MOST,
    BEHIND_PER_DAY,
    BEHIND_PER_VERSION,
    EXEMPT_SUFFIX,
    EXEMPTABLE,
    FIXED_SCORES,
    HEALTHY_FROM,
    REASONS,
    WARNING_FROM,
)
from qlrf_pipelines.domain.vocabulary import (
    ACTIVE_STATES,
    COVERED_VERDICTS,
    DriftVerdict,
    Platform,
)

DAY_US = 86_400_000_000


def quoted(*values: str) -> str:
    """Our own words as a list of SQL strings."""
    return ", ".join("'" + value.replace("'", "''") + "'" for value in values)


_SCORES = " ".join(f"WHEN '{verdict}' THEN {score}" for verdict, score in FIXED_SCORES.items())
_REASONS = " ".join(
    f"WHEN '{cause}' THEN format({quoted(text)}, coalesce(image_ref, '(none)'),"
    " coalesce(family, '(none)'), coalesce(version, '(none)'),"
    " coalesce(environment, '(none)'), coalesce(approved_version, '(none)'))"
    for cause, text in REASONS.items()
    if "{" in text
)
_SPECIAL = " ".join(
    f"WHEN '{cause}' THEN {quoted(text)}" for cause, text in REASONS.items() if "{" not in text
)

# The rank of a version is how many of its family's versions are not above it; two ranks
# subtracted are the versions between.
VERSIONS = """
CREATE OR REPLACE TEMP TABLE versions AS
SELECT tenant, family, version, version_key, status, promoted_at, environments,
       count(*) OVER (PARTITION BY tenant, family ORDER BY version_key) AS rank
FROM golden_images WHERE version_key IS NOT NULL
"""

APPROVED = f"""
CREATE OR REPLACE TEMP TABLE approved AS
SELECT v.tenant, v.family, v.environment, v.version, v.version_key, v.rank,
       CASE WHEN v.promoted_at IS NOT NULL THEN greatest(
         0, (epoch_us(r.as_of) - epoch_us(v.promoted_at)) // {DAY_US})::INTEGER END AS days,
       coalesce(epoch_us(r.as_of) < epoch_us(v.promoted_at) + g.grace_us, false) AS in_grace
FROM (SELECT * EXCLUDE (environments), unnest(environments) AS environment
      FROM versions WHERE status = 'production') v
JOIN rules r USING (tenant)
JOIN graces g USING (tenant, environment)
QUALIFY row_number() OVER (
  PARTITION BY v.tenant, v.family, v.environment ORDER BY v.version_key DESC, v.version DESC) = 1
"""  # noqa: S608  numbers and words of our own

PLACES = """
CREATE OR REPLACE TEMP TABLE places AS
SELECT tenant, place.platform AS platform, place.region AS region, place.image_ref AS image_ref,
       family, version, version_key, status
FROM (SELECT tenant, family, version, version_key, status, unnest(coordinates) AS place
      FROM golden_images)
QUALIFY row_number() OVER (
  PARTITION BY tenant, platform, region, image_ref
  ORDER BY family, coalesce(version_key, ''), version) = 1
"""

# Where contracts declare an asset's image; `domain/container_images.py` says why.
_PLACE = f"CASE WHEN platform = '{Platform.KUBERNETES}' THEN account ELSE region END"
_PLACE_OF_I = f"CASE WHEN i.platform = '{Platform.KUBERNETES}' THEN i.account ELSE i.region END"

KINDS = f"""
CREATE OR REPLACE TEMP TABLE kinds AS
SELECT DISTINCT tenant, platform, {_PLACE} AS place, region, environment, image_ref, image_family,
                image_version, image_readable
FROM inventory WHERE tombstoned_at IS NULL
"""  # noqa: S608  words of our own

# What runs in clusters, and what golden images say is there: the service brings them together in
# the table `containers`, once per reference and not per workload.
REFERENCES = f"""
SELECT DISTINCT tenant, place, image_ref FROM kinds
WHERE platform = '{Platform.KUBERNETES}' AND place IS NOT NULL AND region IS NOT NULL
  AND image_ref IS NOT NULL ORDER BY ALL
"""  # noqa: S608  words of our own
CLAIMS = f"""
SELECT tenant, place.region, family, version, place.image_ref
FROM (SELECT tenant, family, version, unnest(coordinates) AS place FROM golden_images)
WHERE place.platform = '{Platform.KUBERNETES}' ORDER BY ALL
"""  # noqa: S608  words of our own

TAGGED_VERSIONS = """
SELECT DISTINCT image_version FROM kinds WHERE image_version IS NOT NULL ORDER BY 1
"""

RESOLVED = f"""
CREATE OR REPLACE TEMP TABLE resolved AS
SELECT k.*,
       coalesce(c.family, p.family, f.family) AS family,
       CASE WHEN c.family IS NOT NULL THEN c.version WHEN p.family IS NOT NULL THEN p.version
            WHEN f.family IS NOT NULL THEN k.image_version END AS version,
       CASE WHEN c.family IS NOT NULL THEN c.resolution WHEN p.family IS NOT NULL THEN 'coordinate'
            WHEN f.family IS NOT NULL THEN 'tag' ELSE 'none' END AS resolution,
       CASE WHEN c.family IS NOT NULL THEN c.version_key
            WHEN p.family IS NOT NULL THEN p.version_key
            WHEN f.family IS NOT NULL THEN t.version_key END AS version_key,
       CASE WHEN c.family IS NOT NULL THEN s.status WHEN p.family IS NOT NULL THEN p.status
            WHEN f.family IS NOT NULL THEN r.status END AS status
FROM kinds k
LEFT JOIN containers c
  ON k.platform = '{Platform.KUBERNETES}' AND k.region IS NOT NULL
 AND c.tenant = k.tenant AND c.place = k.place AND c.image_ref = k.image_ref
LEFT JOIN golden_images s
  ON s.tenant = c.tenant AND s.family = c.family AND s.version = c.version
LEFT JOIN places p
  ON k.platform <> '{Platform.KUBERNETES}' AND p.tenant = k.tenant AND p.platform = k.platform
 AND p.region = k.region AND p.image_ref = k.image_ref
LEFT JOIN (SELECT DISTINCT tenant, family FROM golden_images) f
  ON k.image_readable AND k.image_ref IS NOT NULL
 AND k.platform <> '{Platform.KUBERNETES}' AND k.region IS NOT NULL
 AND f.tenant = k.tenant AND f.family = k.image_family
LEFT JOIN tag_keys t ON t.version = k.image_version
LEFT JOIN golden_images r
  ON r.tenant = k.tenant AND r.family = k.image_family AND r.version = k.image_version
"""  # noqa: S608  words of our own

_COMPARED = """
SELECT r.*, a.version AS approved_version,
       CASE WHEN r.version_key < a.version_key THEN a.days
            WHEN r.version_key >= a.version_key THEN 0 END AS days_behind,
       CASE WHEN r.version_key IS NOT NULL AND a.version IS NOT NULL
            THEN greatest(0, a.rank - coalesce(v.rank, 0))::INTEGER END AS versions_behind,
       CASE WHEN r.image_ref IS NULL THEN 'no_image'
            WHEN r.platform IS NULL OR r.region IS NULL OR r.place IS NULL THEN 'no_place'
            WHEN r.family IS NULL AND r.image_readable THEN 'unmanaged'
            WHEN r.family IS NULL THEN 'unreadable'
            WHEN r.version_key IS NULL THEN 'no_semver'
            WHEN r.status = 'retired' THEN 'retired'
            WHEN r.environment IS NULL THEN 'no_environment'
            WHEN a.version IS NULL THEN 'none_approved'
            WHEN r.version_key = a.version_key THEN 'current'
            WHEN r.version_key > a.version_key THEN 'ahead'
            WHEN a.in_grace THEN 'behind_in_grace'
            ELSE 'behind' END AS cause
FROM resolved r
ASOF LEFT JOIN versions v
  ON v.tenant = r.tenant AND v.family = r.family AND r.version_key >= v.version_key
LEFT JOIN approved a
  ON a.tenant = r.tenant AND a.family = r.family AND a.environment = r.environment
"""

JUDGED = f"""
CREATE OR REPLACE TEMP TABLE judged AS
SELECT row_number() OVER ()::INTEGER AS kind, c.*, r.stale_before, r.as_of,
       CASE WHEN cause IN ({quoted(*DriftVerdict)}) THEN cause ELSE 'unknown' END AS verdict,
       CASE cause {_REASONS} {_SPECIAL} END AS reason,
       least({BEHIND_MOST}, coalesce({BEHIND_BASE} + {BEHIND_PER_VERSION} * versions_behind
             + {BEHIND_PER_DAY} * days_behind, {BEHIND_MOST}))::DOUBLE AS behind_score
FROM ({_COMPARED}) c JOIN rules r USING (tenant)
"""  # noqa: S608  numbers and words of our own


def score_of(verdict: str, behind: str) -> str:
    """The score of a verdict column, as an expression."""
    return f"(CASE {verdict} WHEN 'behind' THEN {behind} {_SCORES} END)::DOUBLE"


# One slim row per live asset. What is the same for all assets of a kind stays in `judged`; the
# join on eight nullable words is made once, later ones are on a small whole number.
def standing(*, ids: bool, tags: bool) -> str:
    """Every live asset's kind and freshness, with its id and tags only if exemptions ask."""
    columns = ("i.asset_id, " if ids else "") + ("i.tags, " if tags else "")
    return f"""
CREATE OR REPLACE TEMP TABLE standing AS
SELECT j.kind, i.asset_key, i.site, {columns}
       i.state IS NULL OR i.state IN ({quoted(*ACTIVE_STATES)}) AS active,
       CASE WHEN i.state IS NULL THEN 'no_state'
            WHEN j.verdict <> 'unknown' AND (i.last_seen IS NULL OR i.last_seen < j.stale_before)
            THEN 'stale' END AS doubt
FROM inventory i JOIN judged j
  ON j.tenant = i.tenant
 AND j.platform IS NOT DISTINCT FROM i.platform
 AND j.region IS NOT DISTINCT FROM i.region
 AND j.place IS NOT DISTINCT FROM {_PLACE_OF_I}
 AND j.environment IS NOT DISTINCT FROM i.environment
 AND j.image_ref IS NOT DISTINCT FROM i.image_ref
 AND j.image_family IS NOT DISTINCT FROM i.image_family
 AND j.image_version IS NOT DISTINCT FROM i.image_version
 AND j.image_readable IS NOT DISTINCT FROM i.image_readable
WHERE i.tombstoned_at IS NULL
"""  # noqa: S608  words of our own


_JUDGED_VERDICT = """CASE s.doubt WHEN 'no_state' THEN 'unknown' WHEN 'stale' THEN 'stale'
       ELSE j.verdict END"""


def exempted(*, ids: bool, tags: bool) -> str:
    """The assets an exemption covers."""
    by_id = (
        "AND (len(e.assets) = 0 OR list_contains(e.assets, s.asset_id)"
        " OR list_contains(e.assets, s.asset_key))"
    )
    by_tag = (
        "AND (cardinality(e.tags) = 0"
        " OR coalesce(list_has_all(map_entries(s.tags), map_entries(e.tags)), false))"
    )
    return f"""
CREATE OR REPLACE TEMP TABLE exempted AS
WITH covered AS (
  SELECT j.kind, j.verdict, e.*
  FROM judged j JOIN exemptions e ON e.tenant = j.tenant
   AND j.verdict IN ({quoted(*EXEMPTABLE)}) AND list_contains(e.verdicts, j.verdict)
   AND (len(e.families) = 0 OR coalesce(list_contains(e.families, j.family), false))
   AND (len(e.environments) = 0 OR coalesce(list_contains(e.environments, j.environment), false))
)
SELECT s.kind, s.asset_key, arg_max(e.name, (e.expires_at, e.name)) AS exemption
FROM standing s JOIN covered e USING (kind)
WHERE s.doubt IS NULL {by_id if ids else ""} {by_tag if tags else ""}
GROUP BY s.kind, s.asset_key
"""  # noqa: S608  words of our own


def _scored(*, exemptions: bool) -> tuple[str, str, str]:
    """The verdict, the exemption, and where both come from."""
    if not exemptions:
        return _JUDGED_VERDICT, "NULL::VARCHAR", "standing s JOIN judged j USING (kind)"
    verdict = f"CASE WHEN x.exemption IS NOT NULL THEN 'exempt' ELSE {_JUDGED_VERDICT} END"
    source = "standing s JOIN judged j USING (kind) LEFT JOIN exempted x USING (kind, asset_key)"
    return verdict, "x.exemption", source


def rows(*, exemptions: bool) -> str:
    """The rows of the drift dataset, in its order of columns."""
    verdict, exemption, source = _scored(exemptions=exemptions)
    sentence = f"CASE s.doubt WHEN 'stale' THEN {quoted(REASONS['stale'])}"
    sentence += f" WHEN 'no_state' THEN {quoted(REASONS['no_state'])} ELSE j.reason END"
    if exemptions:
        sentence += f" || coalesce({quoted(EXEMPT_SUFFIX)} || {exemption} || '.', '')"
    return f"""
SELECT s.tenant, s.asset_key, s.active, s.family, s.version, s.resolution, s.drift_verdict,
       s.judged_verdict, s.exemption,
       {score_of("s.drift_verdict", "s.behind_score")} AS drift_score,
       s.versions_behind, s.days_behind, s.approved_version, s.reason,
       CASE WHEN s.drift_verdict NOT IN ({quoted(*COVERED_VERDICTS)})
            THEN coalesce(p.drifted_since, s.as_of) END AS drifted_since,
       s.as_of
FROM (SELECT j.tenant, s.asset_key, s.active, j.family, j.version, j.resolution,
             {verdict} AS drift_verdict, {_JUDGED_VERDICT} AS judged_verdict,
             {exemption} AS exemption, j.behind_score, j.versions_behind, j.days_behind,
             j.approved_version, {sentence} AS reason, j.as_of
      FROM {source}) s
LEFT JOIN (SELECT tenant, asset_key, drifted_since FROM previous
           WHERE drifted_since IS NOT NULL) p
  ON p.asset_key = s.asset_key AND p.tenant = s.tenant
"""  # noqa: S608  words of our own


def tally(*, exemptions: bool) -> str:
    """How many assets of each kind stand how, with one asset as the example."""
    _, exemption, source = _scored(exemptions=exemptions)
    verdict, _, _ = _scored(exemptions=False)
    return f"""
CREATE OR REPLACE TEMP TABLE tally AS
SELECT *, {score_of("drift_verdict", "behind_score")} AS drift_score FROM (
  SELECT j.tenant, j.environment, j.platform, j.region, s.site, j.family, s.active, j.behind_score,
         CASE WHEN s.exemption IS NOT NULL THEN 'exempt' ELSE {verdict} END AS drift_verdict,
         s.exemption, s.assets, s.example
  FROM (SELECT s.kind, s.site, s.active, s.doubt, {exemption} AS exemption, count(*) AS assets,
               min(s.asset_key) AS example
        FROM {source.replace(" JOIN judged j USING (kind)", "")} GROUP BY ALL) s
  JOIN judged j USING (kind))
"""  # noqa: S608  words of our own


_STATUS = f"""CASE WHEN coverage IS NULL THEN 'no_data'
     WHEN coverage >= {HEALTHY_FROM} THEN 'healthy'
     WHEN coverage >= {WARNING_FROM} THEN 'warning' ELSE 'critical' END"""

DAILY = f"""
CREATE OR REPLACE TEMP TABLE daily AS
WITH active AS (SELECT * FROM tally WHERE active),
scoped AS (
  SELECT tenant, 'tenant' AS scope_type, tenant AS scope_value,
         family, drift_verdict, drift_score, assets FROM active
  UNION ALL
  SELECT a.tenant, v.scope_type, coalesce(v.scope_value, '(none)'),
         a.family, a.drift_verdict, a.drift_score, a.assets
  FROM active a, LATERAL (VALUES ('environment', a.environment), ('platform', a.platform),
    ('region', a.region), ('site', a.site), ('family', a.family)) v(scope_type, scope_value)
),
counted AS (
  SELECT tenant, scope_type, scope_value, sum(assets)::BIGINT AS total,
         coalesce(sum(assets) FILTER (drift_verdict IN ({quoted(*COVERED_VERDICTS)})), 0)::BIGINT
           AS current,
         coalesce(sum(assets) FILTER (family IS NOT NULL), 0)::BIGINT AS resolved,
         sum(assets * drift_score) AS scores
  FROM scoped GROUP BY ALL
  UNION ALL
  SELECT tenant, 'tenant', tenant, 0, 0, 0, 0 FROM rules ANTI JOIN active USING (tenant)
),
shared AS (
  SELECT *, current::DOUBLE / nullif(total, 0) AS coverage FROM counted
)
SELECT tenant, r.day, scope_type, scope_value, total, current,
       total - current AS drifted, resolved::DOUBLE / nullif(total, 0) AS managed, coverage,
       {_STATUS} AS status, scores::DOUBLE / nullif(total, 0) AS mean_score, r.as_of
FROM shared JOIN rules r USING (tenant)
"""  # noqa: S608  numbers and words of our own

FACTS = """
SELECT d.tenant, coalesce(t.assets, 0), d.total, d.coverage, d.managed, d.status, t.verdicts
FROM daily d LEFT JOIN (
  SELECT tenant, sum(assets)::BIGINT AS assets,
         map_from_entries(list((drift_verdict, active_assets))) AS verdicts
  FROM (SELECT tenant, drift_verdict, sum(assets)::BIGINT AS assets,
               coalesce(sum(assets) FILTER (active), 0)::BIGINT AS active_assets
        FROM tally GROUP BY ALL) GROUP BY tenant) t USING (tenant)
WHERE d.scope_type = 'tenant' ORDER BY d.tenant
"""

APPLIED = """
SELECT tenant, sum(assets)::BIGINT FROM tally WHERE exemption IS NOT NULL GROUP BY tenant
"""

WORST = """
SELECT tenant, example, environment, family, drift_verdict, drift_score, assets
FROM tally WHERE drift_score > 0
QUALIFY row_number() OVER (PARTITION BY tenant ORDER BY drift_score DESC, active DESC, example) <= 5
ORDER BY tenant, drift_score DESC, active DESC, example
"""
