-- A requirement stands as the worst verdict of the controls that serve it; one that nothing was said
-- about is never_proven.
with results as (
    select
        c.tenant,
        b.framework,
        b.requirement,
        count(*) as controls,
        cast(sum(c.passed) as bigint) as passed,
        cast(sum(c.failed) as bigint) as failed,
        cast(sum(c.not_applicable) as bigint) as not_applicable,
        cast(sum(c.manual) as bigint) as manual,
        cast(sum(c.never_proven) as bigint) as never_proven
    from {{ ref('bridge_control_framework') }} as b
    inner join {{ ref('stg_control_coverage') }} as c on c.control_id = b.control_id
    group by c.tenant, b.framework, b.requirement
)

select
    t.tenant,
    q.framework,
    q.requirement,
    q.title,
    case
        when r.failed > 0 then 'fail'
        when r.never_proven > 0 then 'never_proven'
        when r.manual > 0 then 'manual'
        when r.passed > 0 then 'pass'
        when r.not_applicable > 0 then 'not_applicable'
        else 'never_proven'
    end as verdict,
    coalesce(r.controls, 0) as controls,
    coalesce(r.passed, 0) as passed,
    coalesce(r.failed, 0) as failed,
    coalesce(r.not_applicable, 0) as not_applicable,
    coalesce(r.manual, 0) as manual,
    coalesce(r.never_proven, 0) as never_proven
from {{ source('lake', 'requirements') }} as q
cross join {{ ref('dim_tenant') }} as t
left join results as r
    on r.tenant = t.tenant and r.framework = q.framework and r.requirement = q.requirement
