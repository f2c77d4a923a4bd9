-- What is gone promises nothing any more; what nobody judged has no row, and no good one either.
select
    s.tenant,
    s.asset_key,
    s.policy,
    s.severity,
    s.measured_by,
    i.name,
    i.platform,
    i.environment,
    i.region,
    s.active,
    coalesce(s.status, 'unknown') as status,
    s.missing,
    s.since,
    s.within_seconds,
    s.due_at,
    s.reason,
    s.as_of
from {{ source('lake', 'patch_sla') }} as s
inner join {{ ref('stg_live_assets') }} as i
    on i.tenant = s.tenant and i.asset_key = s.asset_key
