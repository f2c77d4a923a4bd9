select
    tenant,
    family,
    version,
    version_key,
    status,
    promoted_at,
    environments,
    os_name,
    os_version,
    arch,
    cis_level,
    shared,
    coordinates
from {{ source('lake', 'golden_images') }}
