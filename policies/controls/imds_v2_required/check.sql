SELECT
  tenant,
  asset_key,
  CASE
    WHEN platform = 'kubernetes' THEN 'not_applicable'
    WHEN imds_v2 IS NULL THEN 'never_proven'
    WHEN imds_v2 THEN 'pass'
    ELSE 'fail'
  END AS verdict,
  CASE
    WHEN platform = 'kubernetes' THEN 'a workload has no metadata service of its own'
    WHEN imds_v2 IS NULL THEN 'fact imds_v2 is missing'
    WHEN imds_v2 THEN 'session tokens are required'
    ELSE 'session tokens are optional'
  END AS detail
FROM assets
