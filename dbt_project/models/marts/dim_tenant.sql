-- A tenant the estate no longer names stays listed for as long as it has rows anywhere.
with known as (
    select tenant from {{ source('lake', 'tenants') }} where registered
    union
    select tenant from {{ source('lake', 'inventory') }}
    union
    select tenant from {{ source('lake', 'scopes') }}
    union
    select tenant from {{ source('lake', 'golden_images') }}
    union
    select tenant from {{ source('lake', 'drift_daily') }}
    union
    select tenant from {{ source('lake', 'control_results') }}
    union
    select tenant from {{ source('lake', 'drills') }}
    union
    select tenant from {{ source('lake', 'resilience') }}
),

listings as (
    select
        tenant,
        count(*) as scopes_total,
        count(case when status <> 'complete' then 1 end) as scopes_not_complete,
        max(finished_at) as last_attempt_at
    from {{ source('lake', 'scopes') }}
    group by tenant
)

select
    t.tenant,
    t.display_name,
    t.registered,
    t.connectors,
    t.platforms,
    t.stale_after_hours,
    t.default_grace_days,
    t.vanish_share,
    t.vanish_min,
    coalesce(l.scopes_total, 0) as scopes_total,
    coalesce(l.scopes_not_complete, 0) as scopes_not_complete,
    l.last_attempt_at
from {{ source('lake', 'tenants') }} as t
inner join known as k on k.tenant = t.tenant
left join listings as l on l.tenant = t.tenant
