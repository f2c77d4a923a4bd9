SELECT
  tenant,
  asset_key,
  CASE
    WHEN tags IS NULL OR environment_tag IS NULL THEN 'never_proven'
    WHEN len(list_filter(map_entries(tags), lambda e: lower(e.key) = lower(environment_tag) AND trim(coalesce(e.value, '')) <> '')) > 0 THEN 'pass'
    ELSE 'fail'
  END AS verdict,
  CASE
    WHEN tags IS NULL OR environment_tag IS NULL THEN 'a fact of tags, environment_tag is missing'
    WHEN len(list_filter(map_entries(tags), lambda e: lower(e.key) = lower(environment_tag) AND trim(coalesce(e.value, '')) <> '')) > 0 THEN concat('tag ', environment_tag, ' is set')
    ELSE concat('tag ', environment_tag, ' is not set')
  END AS detail
FROM assets
