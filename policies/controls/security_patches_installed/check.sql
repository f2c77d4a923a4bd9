SELECT
  tenant,
  asset_key,
  CASE
    WHEN platform = 'kubernetes' THEN 'not_applicable'
    WHEN patches_security_missing IS NULL THEN 'never_proven'
    WHEN patches_security_missing = 0 THEN 'pass'
    ELSE 'fail'
  END AS verdict,
  CASE
    WHEN platform = 'kubernetes' THEN 'a workload gets another image, no patches'
    WHEN patches_security_missing IS NULL THEN 'fact patches_security_missing is missing'
    WHEN patches_security_missing = 0 THEN 'no security patches are missing'
    ELSE concat(patches_security_missing, ' security patches are missing')
  END AS detail
FROM assets
