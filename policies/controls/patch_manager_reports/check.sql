SELECT
  tenant,
  asset_key,
  CASE
    WHEN platform = 'kubernetes' THEN 'not_applicable'
    WHEN patch_managed IS NULL THEN 'never_proven'
    WHEN patch_managed THEN 'pass'
    ELSE 'fail'
  END AS verdict,
  CASE
    WHEN platform = 'kubernetes' THEN 'a workload gets another image, no patches'
    WHEN patch_managed IS NULL THEN 'fact patch_managed is missing'
    WHEN patch_managed THEN 'a patch manager reports'
    ELSE 'no patch manager reports'
  END AS detail
FROM assets
