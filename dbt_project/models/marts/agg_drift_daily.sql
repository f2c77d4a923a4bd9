select
    tenant,
    day,
    scope_type,
    scope_value,
    total,
    current,
    drifted,
    coverage,
    managed,
    status,
    mean_score,
    as_of
from {{ source('lake', 'drift_daily') }}
