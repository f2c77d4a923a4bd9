select
    control_id,
    title,
    severity,
    description,
    remediation,
    is_manual
from {{ source('lake', 'controls') }}
