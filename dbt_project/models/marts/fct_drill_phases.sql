select
    p.tenant,
    p.drill_id,
    p.number,
    p.phase,
    p.started_at,
    p.ended_at,
    p.seconds,
    p.event,
    p.reason,
    p.attempts,
    d.application,
    d.drill_type
from {{ source('lake', 'drill_phases') }} as p
left join {{ source('lake', 'drills') }} as d
    on d.tenant = p.tenant and d.drill_id = p.drill_id
