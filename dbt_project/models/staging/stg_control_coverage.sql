-- What each control found for a tenant, and what it should have found and did not: an asset without
-- a result is never_proven, so that losing a result can only lower a score.
with live as (
    select tenant, count(*) as assets
    from {{ ref('stg_live_assets') }}
    group by tenant
),

results as (
    select
        tenant,
        control_id,
        count(*) as results,
        count(case when asset_key = '' then 1 end) as whole_tenant,
        count(case when verdict = 'pass' then 1 end) as passed,
        count(case when verdict = 'fail' then 1 end) as failed,
        count(case when verdict = 'not_applicable' then 1 end) as not_applicable,
        count(case when verdict = 'manual' then 1 end) as manual,
        count(case when verdict = 'never_proven' then 1 end) as never_proven
    from {{ ref('fct_control_results') }}
    group by tenant, control_id
),

expected as (
    select
        t.tenant,
        c.control_id,
        c.is_manual,
        coalesce(l.assets, 0) as assets
    from {{ ref('dim_tenant') }} as t
    cross join {{ ref('dim_control') }} as c
    left join live as l on l.tenant = t.tenant
)

select
    e.tenant,
    e.control_id,
    coalesce(r.passed, 0) as passed,
    coalesce(r.failed, 0) as failed,
    coalesce(r.not_applicable, 0) as not_applicable,
    case when e.is_manual and r.results is null then 1 else coalesce(r.manual, 0) end as manual,
    coalesce(r.never_proven, 0) + case
        when e.is_manual or coalesce(r.whole_tenant, 0) > 0 then 0
        when r.results is null then greatest(e.assets, 1)
        else greatest(e.assets - r.results, 0)
    end as never_proven
from expected as e
left join results as r on r.tenant = e.tenant and r.control_id = e.control_id
