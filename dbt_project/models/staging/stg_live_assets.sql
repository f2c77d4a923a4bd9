select *
from {{ source('lake', 'inventory') }}
where tombstoned_at is null
