SELECT
  tenant,
  asset_key,
  CASE
    WHEN tags IS NULL THEN 'never_proven'
    WHEN len(list_filter(map_entries(tags), lambda e: lower(e.key) IN ('owner', 'team', 'contact') AND trim(coalesce(e.value, '')) <> '')) > 0 THEN 'pass'
    ELSE 'fail'
  END AS verdict,
  CASE
    WHEN tags IS NULL THEN 'fact tags is missing'
    WHEN len(list_filter(map_entries(tags), lambda e: lower(e.key) IN ('owner', 'team', 'contact') AND trim(coalesce(e.value, '')) <> '')) > 0 THEN 'an owner is named'
    ELSE 'no tag Owner, Team or Contact has a value'
  END AS detail
FROM assets
