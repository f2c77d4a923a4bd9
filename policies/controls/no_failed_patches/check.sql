SELECT
  tenant,
  asset_key,
  CASE
    WHEN platform = 'kubernetes' THEN 'not_applicable'
    WHEN patches_failed IS NULL THEN 'never_proven'
    WHEN patches_failed = 0 THEN 'pass'
    ELSE 'fail'
  END AS verdict,
  CASE
    WHEN platform = 'kubernetes' THEN 'a workload gets another image, no patches'
    WHEN patches_failed IS NULL THEN 'fact patches_failed is missing'
    WHEN patches_failed = 0 THEN 'no patches failed to install'
    ELSE concat(patches_failed, ' patches failed to install')
  END AS detail
FROM assets
