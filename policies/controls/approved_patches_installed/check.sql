SELECT
  tenant,
  asset_key,
  CASE
    WHEN platform = 'kubernetes' THEN 'not_applicable'
    WHEN patches_missing IS NULL THEN 'never_proven'
    WHEN patches_missing = 0 THEN 'pass'
    ELSE 'fail'
  END AS verdict,
  CASE
    WHEN platform = 'kubernetes' THEN 'a workload gets another image, no patches'
    WHEN patches_missing IS NULL THEN 'fact patches_missing is missing'
    WHEN patches_missing = 0 THEN 'no approved patches are missing'
    ELSE concat(patches_missing, ' approved patches are missing')
  END AS detail
FROM assets
