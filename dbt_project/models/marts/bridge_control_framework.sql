select
    control_id,
    framework,
    requirement
from {{ source('lake', 'control_frameworks') }}
