-- What nobody could prove stands in the denominator of the score; what a person must judge is left
-- out of the score and held against the coverage.
with stands as (
    select
        tenant,
        framework,
        count(*) as requirements_total,
        count(case when verdict = 'pass' then 1 end) as met,
        count(case when verdict = 'fail' then 1 end) as unmet,
        count(case when verdict = 'never_proven' then 1 end) as unproven,
        count(case when verdict = 'manual' then 1 end) as manual,
        count(case when verdict = 'not_applicable' then 1 end) as not_applicable
    from {{ ref('agg_compliance_requirement') }}
    group by tenant, framework
),

-- A control counts once per framework, however many requirements of it the control serves.
serving as (
    select distinct control_id, framework
    from {{ ref('bridge_control_framework') }}
),

results as (
    select
        c.tenant,
        s.framework,
        count(*) as controls,
        cast(sum(c.passed) as bigint) as passed,
        cast(sum(c.failed) as bigint) as failed,
        cast(sum(c.not_applicable) as bigint) as not_applicable,
        cast(sum(c.manual) as bigint) as manual,
        cast(sum(c.never_proven) as bigint) as never_proven
    from serving as s
    inner join {{ ref('stg_control_coverage') }} as c on c.control_id = s.control_id
    group by c.tenant, s.framework
),

titles as (
    select distinct framework, framework_name, framework_version
    from {{ source('lake', 'requirements') }}
)

select
    s.tenant,
    s.framework,
    n.framework_name,
    n.framework_version,
    s.requirements_total,
    s.met + s.unmet as requirements_assessed,
    s.met as requirements_met,
    s.unmet as requirements_unmet,
    s.unproven as requirements_never_proven,
    s.manual as requirements_manual,
    s.not_applicable as requirements_not_applicable,
    coalesce(r.controls, 0) as controls,
    coalesce(r.passed, 0) as passed,
    coalesce(r.failed, 0) as failed,
    coalesce(r.not_applicable, 0) as not_applicable,
    coalesce(r.manual, 0) as manual,
    coalesce(r.never_proven, 0) as never_proven,
    {{ share('s.met', 's.met + s.unmet + s.unproven') }} as score,
    {{ share('s.met + s.unmet', 's.met + s.unmet + s.unproven + s.manual') }} as coverage,
    {{ health(share('s.met', 's.met + s.unmet + s.unproven')) }} as status
from stands as s
inner join titles as n on n.framework = s.framework
left join results as r on r.tenant = s.tenant and r.framework = s.framework
