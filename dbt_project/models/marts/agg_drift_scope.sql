-- Only active assets count; a tenant without one keeps its row, as no_data.
{% set scope_types = ['tenant', 'environment', 'platform', 'region', 'site', 'family'] %}

with active as (
    select
        tenant,
        environment,
        platform,
        region,
        site,
        family,
        case when drift_verdict in ('current', 'exempt', 'behind_in_grace') then 1 else 0 end
            as covered,
        case when family is not null then 1 else 0 end as managed,
        drift_score
    from {{ ref('fct_assets') }}
    where active
),

placed as (
    {% for scope_type in scope_types %}
    select
        tenant,
        '{{ scope_type }}' as scope_type,
        coalesce({{ scope_type }}, '(none)') as scope_value,
        covered,
        managed,
        drift_score
    from active
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

counted as (
    select
        tenant,
        scope_type,
        scope_value,
        count(*) as total,
        cast(sum(covered) as bigint) as covered,
        cast(sum(managed) as bigint) as managed,
        avg(drift_score) as mean_score
    from placed
    group by tenant, scope_type, scope_value

    union all

    select
        t.tenant,
        'tenant' as scope_type,
        t.tenant as scope_value,
        0 as total,
        0 as covered,
        0 as managed,
        null as mean_score
    from {{ ref('dim_tenant') }} as t
    where not exists (select 1 from active as a where a.tenant = t.tenant)
)

select
    tenant,
    scope_type,
    scope_value,
    total,
    covered as current,
    total - covered as drifted,
    {{ share('covered', 'total') }} as coverage,
    {{ share('managed', 'total') }} as managed,
    mean_score,
    {{ health(share('covered', 'total')) }} as status
from counted
