-- Starts from what the contracts promise, so that a promise nobody judged is no_data, not absent.
with counted as (
    select
        p.tenant,
        p.policy,
        p.severity,
        p.measured_by,
        p.within_seconds,
        count(s.asset_key) as assets,
        count(case when s.status = 'met' then 1 end) as met,
        count(case when s.status = 'due' then 1 end) as due,
        count(case when s.status = 'breaching' then 1 end) as breaching,
        count(case when s.status = 'breached' then 1 end) as breached,
        count(case when s.status = 'unknown' then 1 end) as unknown,
        count(case when s.status = 'unknown' and s.due_at <= s.as_of then 1 end)
            as unknown_overdue,
        min(case when s.status in ('due', 'breaching', 'breached') then s.due_at end)
            as first_due_at,
        min(s.as_of) as as_of
    from {{ source('lake', 'patch_promises') }} as p
    left join {{ ref('fct_patch_sla') }} as s
        on
            s.tenant = p.tenant
            and s.policy = p.policy
            and s.severity = p.severity
            and s.active
    group by p.tenant, p.policy, p.severity, p.measured_by, p.within_seconds
)

select
    tenant,
    policy,
    severity,
    measured_by,
    within_seconds,
    assets,
    met,
    due,
    breaching,
    breached,
    unknown,
    unknown_overdue,
    {{ share('met + due + breaching', 'assets') }} as kept,
    {{ health(share('met + due + breaching', 'assets')) }} as status,
    first_due_at,
    as_of
from counted
