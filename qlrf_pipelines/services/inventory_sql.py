"""The rules of the inventory as SQL: what a listing means for what was known before.

Tables and views it reads: `prev` (inventory before), `raw_<kind>` (rows of complete listings),
`place` (one row per region: how its listings ended, the brake's limits, an acceptance),
`rule` and `environment_value` (each tenant's rules, and this refresh's number, id and moment).

What becomes of an asset is decided for whole regions, over keys alone (`FATES`); the wide rows are
made part by part, so that a region of any size takes the memory of a part.
"""

from qlrf_pipelines.domain.datasets import INVENTORY

# What an asset is, as opposed to how and when we learnt it. `patch_scanned_at` is not among them:
# it moves with every scan, as last_seen does with every refresh.
CONTENT = (
    "connector",
    "name",
    "environment",
    "site",
    "image_ref",
    "image_family",
    "image_version",
    "image_readable",
    "instance_type",
    "state",
    "launched_at",
    "tags",
    "imds_v2",
    "volume_count",
    "ebs_encrypted",
    "public_ip",
    "open_ports",
    "monitoring",
    "patch_managed",
    "patches_missing",
    "patches_failed",
    "patches_pending_reboot",
    "patches_critical_missing",
    "patches_security_missing",
)
_IMAGE = ("image_family", "image_version", "image_readable")
_BEFORE = (*CONTENT, "missed", "tombstone_reason", "first_seen")
_CHANGE = ("change_seq", "change", "changed_at", "change_before", "change_after")
FORGET_DAYS = 30

_KEY = "concat_ws(':', l.platform, l.account, l.region, o.asset_id)"

# One row per listed asset, even if two pages showed it: the later one counts.
LISTED = """
CREATE OR REPLACE TEMP TABLE twice AS
    SELECT region_no, asset_id, max(row_no) AS last_row
    FROM raw_instance GROUP BY ALL HAVING count(*) > 1;
CREATE OR REPLACE TEMP VIEW listed AS
    SELECT o.* FROM raw_instance o LEFT JOIN twice t USING (region_no, asset_id)
    WHERE t.last_row IS NULL OR o.row_no = t.last_row;
"""

# The part of the assets whose rows are made at once: those of one remainder of their id's hash.
PART = """
CREATE OR REPLACE TEMP VIEW part AS SELECT * FROM listed WHERE {share};
CREATE OR REPLACE TEMP VIEW prev_part AS SELECT * FROM prev WHERE {share};
"""
SHARE = "hash(asset_id) % {parts} = {part}"

VOLUMES = """
CREATE OR REPLACE TEMP TABLE volume_fact AS
WITH attached AS (
    SELECT region_no, asset_id, unnest(volume_ids) AS volume_id FROM part
)
SELECT a.region_no, a.asset_id,
    CASE WHEN bool_or(v.encrypted = false) THEN false
         WHEN count(v.encrypted) < count(*) THEN NULL
         ELSE true END AS ebs_encrypted
FROM attached a LEFT JOIN raw_volume v USING (region_no, volume_id)
GROUP BY ALL;
"""

GROUPS = """
CREATE OR REPLACE TEMP TABLE group_fact AS
WITH joined AS (
    SELECT region_no, asset_id, unnest(group_ids) AS group_id FROM part
)
SELECT j.region_no, j.asset_id,
    CASE WHEN count(g.open_ports) < count(*) THEN NULL
         ELSE list_sort(list_distinct(flatten(list(g.open_ports)))) END AS open_ports
FROM joined j LEFT JOIN raw_security_group g USING (region_no, group_id)
GROUP BY ALL;
"""

IMAGES = """
CREATE OR REPLACE TEMP TABLE image_fact AS
SELECT region_no, image_ref, max(image_family) AS image_family, max(image_version) AS image_version
FROM raw_image GROUP BY ALL;
"""

PATCHES = """
CREATE OR REPLACE TEMP TABLE patch_fact AS
SELECT region_no, asset_id, max(patches_missing) AS patches_missing,
    max(patches_failed) AS patches_failed, max(patches_pending_reboot) AS patches_pending_reboot,
    max(patches_critical_missing) AS patches_critical_missing,
    max(patches_security_missing) AS patches_security_missing,
    max(patch_scanned_at) AS patch_scanned_at
FROM raw_patch_state WHERE {share} GROUP BY ALL;
"""

# What is known of every asset, then of every scope, then what becomes of every asset.
FATES = f"""
CREATE OR REPLACE TEMP TABLE meeting AS
WITH found AS (
    SELECT l.tenant, {_KEY} AS asset_key, o.state, l.region_no, l.started_at
    FROM listed o JOIN place l USING (region_no)
), held_before AS (
    SELECT p.tenant, p.asset_key, p.missed, p.missed_since, p.tombstoned_at, l.region_no,
        l.status, l.started_at, l.accepted_at
    FROM prev p LEFT JOIN place l USING (tenant, connector, platform, account, region)
)
SELECT tenant, asset_key,
    p.region_no, coalesce(f.started_at, p.started_at) AS started_at,
    f.asset_key IS NOT NULL AS is_listed, f.state = 'terminated' AS is_terminated,
    p.asset_key IS NOT NULL AS is_known, p.tombstoned_at, p.missed,
    p.asset_key IS NOT NULL AND p.tombstoned_at IS NULL AS is_live,
    coalesce(p.status, 'incomplete') AS status,
    p.missed_since <= p.accepted_at AS is_accepted
FROM held_before p FULL JOIN found f USING (tenant, asset_key);

CREATE OR REPLACE TEMP TABLE loss AS
SELECT region_no,
    count(*) FILTER (NOT is_listed AND is_accepted IS NOT TRUE) AS vanished,
    count(*) FILTER (is_listed OR is_accepted IS NOT TRUE) AS live
FROM meeting WHERE is_live GROUP BY ALL;

CREATE OR REPLACE TEMP TABLE brake AS
SELECT l.region_no, l.status = 'complete' AND vanished > 0
    AND vanished >= greatest(l.vanish_min, ceil(l.vanish_share * live - 1e-9)) AS is_held,
    CASE WHEN l.status = 'complete' THEN vanished END AS vanished, live
FROM loss JOIN place l USING (region_no);

CREATE OR REPLACE TEMP TABLE fate AS
SELECT m.tenant, m.asset_key, m.started_at, CASE
    WHEN is_known AND NOT is_live AND tombstoned_at < r.now - INTERVAL {FORGET_DAYS} DAY
        AND (NOT is_listed OR is_terminated) THEN 'forgotten'
    WHEN is_listed AND is_terminated THEN
        CASE WHEN NOT is_known THEN 'never' WHEN is_live THEN 'terminated' ELSE 'buried' END
    WHEN is_listed THEN
        CASE WHEN NOT is_known THEN 'discovered' WHEN NOT is_live OR missed > 0 THEN 'returned'
             ELSE 'seen' END
    WHEN NOT is_live THEN 'buried'
    WHEN status IN ('complete', 'abandoned') AND is_accepted THEN 'accepted'
    WHEN status = 'abandoned' THEN 'abandoned'
    WHEN status <> 'complete' THEN 'kept'
    WHEN b.is_held THEN 'held'
    WHEN missed >= 1 THEN 'missed_twice'
    ELSE 'missed' END AS outcome
FROM meeting m JOIN rule r USING (tenant) LEFT JOIN brake b USING (region_no);
"""  # noqa: S608  our own names

_SEEN = f"""
    SELECT l.tenant, l.connector, l.platform, l.account, l.region, 'instance' AS kind,
        {_KEY} AS asset_key, o.asset_id,
        coalesce(nullif(o.tags['Name'], ''), o.asset_id) AS name,
        coalesce(e.environment, r.environment_default) AS environment,
        coalesce(nullif(o.tags['Site'], ''), nullif(o.tags['site'], ''), l.region) AS site,
        o.image_ref, i.image_family, i.image_version, i.image_ref IS NOT NULL AS image_readable,
        NOT l.image_complete AND l.image_carried AS image_carried,
        o.instance_type, o.state, o.launched_at, l.started_at, o.tags, o.imds_v2,
        len(list_distinct(o.volume_ids))::INTEGER AS volume_count,
        CASE WHEN l.volume_complete THEN v.ebs_encrypted END AS ebs_encrypted,
        o.public_ip,
        CASE WHEN l.group_complete THEN
            CASE WHEN len(o.group_ids) = 0 THEN [] ELSE g.open_ports END END AS open_ports,
        o.monitoring,
        CASE WHEN l.patch_complete AND o.state = 'running' THEN s.asset_id IS NOT NULL END
            AS patch_managed,
        s.patches_missing, s.patches_failed, s.patches_pending_reboot,
        s.patches_critical_missing, s.patches_security_missing, s.patch_scanned_at
    FROM part o
    JOIN place l USING (region_no)
    JOIN rule r ON r.tenant = l.tenant
    LEFT JOIN environment_value e
        ON e.tenant = l.tenant AND e.value = lower(o.tags[r.environment_tag])
    LEFT JOIN image_fact i ON i.region_no = o.region_no AND i.image_ref = o.image_ref
    LEFT JOIN volume_fact v ON v.region_no = o.region_no AND v.asset_id = o.asset_id
    LEFT JOIN group_fact g ON g.region_no = o.region_no AND g.asset_id = o.asset_id
    LEFT JOIN patch_fact s ON s.region_no = o.region_no AND s.asset_id = o.asset_id
"""  # noqa: S608  our own names


def _pair(field: str, value: str) -> str:
    """One member of a JSON object, NULL if the value is."""
    return f"""'"{field}":' || {value}"""


def _object(members: list[str]) -> str:
    """A JSON object of the members that are not NULL."""
    return "'{' || concat_ws(',', " + ", ".join(members) + ") || '}'"


def _json(column: str, prefix: str = "") -> str:
    value = f"{prefix}{column}"
    if column == "launched_at":
        value = f"strftime({value} AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%S.%fZ')"
    return f"to_json({value})::VARCHAR"


def _difference(prefix: str) -> str:
    """The changed fields of one side; '{}' if nothing changed."""
    members = []
    for column in (*CONTENT, "missed", "tombstone_reason"):
        pair = _pair(column, f"coalesce({_json(column, prefix)}, 'null')")
        members.append(f"CASE WHEN p_{column} IS DISTINCT FROM {column} THEN {pair} END")
    return _object(members)


def _everything() -> str:
    return _object([_pair(column, _json(column)) for column in CONTENT])


def _carried(column: str) -> str:
    """An image's facts, carried over from before while its own listing could not be read."""
    carried = "image_carried AND p_image_readable AND p_image_ref = image_ref"
    return f"CASE WHEN {carried} THEN p_{column} ELSE {column} END AS {column}"


def _columns(values: dict[str, str], *, alias: str) -> str:
    return ",\n        ".join(
        f"{values[name]} AS {name}" if name in values else f"{alias}.{name}"
        for name in INVENTORY.schema.names
    )


def _seen_rows() -> str:
    before = ", ".join(f"p.{column} AS p_{column}" for column in (*_BEFORE, *_CHANGE))
    carried = ", ".join(_carried(column) for column in _IMAGE)
    values = {
        "first_seen": "coalesce(d.p_first_seen, d.started_at)",
        "last_seen": "d.started_at",
        "fresh": "true",
        "missed_since": "NULL",
        "tombstoned_at": "NULL",
        "change_seq": "CASE WHEN is_changed THEN d.new_seq ELSE d.p_change_seq END",
        "change": "CASE outcome WHEN 'seen' THEN CASE WHEN is_changed THEN 'updated' "
        "ELSE p_change END ELSE outcome END",
        "changed_at": "CASE WHEN is_changed THEN d.now ELSE d.p_changed_at END",
        "change_before": "CASE WHEN NOT is_changed THEN p_change_before "
        "WHEN outcome <> 'discovered' THEN before END",
        "change_after": "CASE WHEN NOT is_changed THEN p_change_after "
        f"WHEN outcome = 'discovered' THEN {_everything()} ELSE after END",
    }
    return f"""
    WITH seen AS ({_SEEN}), joined AS (
        SELECT s.*, 0::INTEGER AS missed, NULL::VARCHAR AS tombstone_reason,
            f.outcome, r.new_seq, r.now, r.refresh_id, {before}
        FROM seen s
        JOIN fate f USING (tenant, asset_key)
        JOIN rule r USING (tenant)
        LEFT JOIN prev_part p USING (tenant, asset_key)
        WHERE f.outcome IN ('discovered', 'seen', 'returned')
    ), resolved AS (
        SELECT * REPLACE ({carried}) FROM joined
    ), compared AS (
        SELECT *, {_difference("p_")} AS before, {_difference("")} AS after FROM resolved
    ), d AS (
        SELECT *, outcome <> 'seen' OR after <> '{{}}' AS is_changed FROM compared
    )
    SELECT {_columns(values, alias="d")} FROM d
    """  # noqa: S608  our own names


_GONE = "f.outcome IN ('terminated', 'missed_twice', 'accepted')"
_MISSED = "f.outcome IN ('missed', 'missed_twice')"


def _if_changed(new: str, column: str) -> str:
    return f"CASE WHEN {_GONE} OR f.outcome = 'missed' THEN {new} ELSE a.{column} END"


def _only(outcomes: str, value: str) -> str:
    return f"CASE WHEN {outcomes} THEN {value} END"


def _unseen_rows() -> str:
    terminated = "f.outcome = 'terminated'"
    no_reason = _only(_GONE, _pair("tombstone_reason", "'null'"))
    reason = _only(_GONE, _pair("tombstone_reason", "to_json(f.outcome)::VARCHAR"))
    values = {
        "state": f"CASE WHEN {terminated} THEN 'terminated' ELSE a.state END",
        "last_seen": f"CASE WHEN {terminated} THEN f.started_at ELSE a.last_seen END",
        "fresh": f"CASE WHEN f.outcome = 'buried' THEN a.fresh ELSE {terminated} END",
        "missed": f"CASE WHEN {_MISSED} THEN a.missed + 1 ELSE a.missed END::INTEGER",
        "missed_since": f"CASE WHEN {_MISSED} OR f.outcome IN ('held', 'abandoned', 'accepted') "
        "THEN coalesce(a.missed_since, f.started_at) ELSE a.missed_since END",
        "tombstoned_at": f"CASE WHEN {_GONE} THEN r.now ELSE a.tombstoned_at END",
        "tombstone_reason": f"CASE WHEN {_GONE} THEN f.outcome ELSE a.tombstone_reason END",
        "change_seq": _if_changed("r.new_seq", "change_seq"),
        "change": f"CASE WHEN {_GONE} THEN 'tombstoned' WHEN f.outcome = 'missed' THEN 'missed' "
        "ELSE a.change END",
        "changed_at": _if_changed("r.now", "changed_at"),
        "change_before": _if_changed(
            _object(
                [
                    _only(terminated, _pair("state", _json("state", "a."))),
                    _only(_MISSED, _pair("missed", "a.missed")),
                    no_reason,
                ]
            ),
            "change_before",
        ),
        "change_after": _if_changed(
            _object(
                [
                    _only(terminated, _pair("state", "'\"terminated\"'")),
                    _only(_MISSED, _pair("missed", "(a.missed + 1)")),
                    reason,
                ]
            ),
            "change_after",
        ),
        "refresh_id": _if_changed("r.refresh_id", "refresh_id"),
    }
    return f"""
    SELECT {_columns(values, alias="a")}
    FROM prev_part a JOIN fate f USING (tenant, asset_key) JOIN rule r USING (tenant)
    WHERE f.outcome NOT IN ('discovered', 'seen', 'returned', 'forgotten', 'never')
    """  # noqa: S608  our own names


JUDGED = LISTED + IMAGES + FATES


def part_facts(part: int, *, parts: int) -> str:
    """Everything listed about one part of the assets."""
    share = SHARE.format(parts=parts, part=part) if parts > 1 else "true"
    return (PART + VOLUMES + GROUPS + PATCHES).format(share=share)


# Assets a complete listing shows alive, then those it does not show, or shows terminated.
INVENTORY_NOW = _seen_rows() + "UNION ALL BY NAME" + _unseen_rows()

# The last change of every asset that the history does not hold yet.
PENDING_CHANGES = """
WITH newest AS (
    SELECT tenant, max(change_seq) AS change_seq FROM inventory_changes GROUP BY ALL
)
SELECT i.tenant, i.connector, i.platform, i.account, i.region, i.change_seq, i.changed_at,
    i.refresh_id, i.asset_key, i.asset_id, i.name, i.change,
    i.tombstone_reason AS reason, i.change_before AS before, i.change_after AS after
FROM inventory i LEFT JOIN newest n USING (tenant)
WHERE n.change_seq IS NULL OR i.change_seq > n.change_seq
"""
