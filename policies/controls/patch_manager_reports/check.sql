SELECT
  tenant,
  asset_key,
  CASE
    WHEN patch_managed IS NULL THEN 'never_proven'
    WHEN patch_managed THEN 'pass'
    ELSE 'fail'
  END AS verdict,
  CASE
    WHEN patch_managed IS NULL THEN 'fact patch_managed is missing'
    WHEN patch_managed THEN 'a patch manager reports'
    ELSE 'no patch manager reports'
  END AS detail
FROM assets
