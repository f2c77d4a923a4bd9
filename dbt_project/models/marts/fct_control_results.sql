select
    r.tenant,
    r.control_id,
    r.asset_key,
    r.verdict,
    c.severity,
    c.title,
    r.detail,
    r.as_of
from {{ source('lake', 'control_results') }} as r
inner join {{ ref('dim_control') }} as c on c.control_id = r.control_id
