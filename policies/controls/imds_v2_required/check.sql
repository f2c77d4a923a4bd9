SELECT
  tenant,
  asset_key,
  CASE
    WHEN imds_v2 IS NULL THEN 'never_proven'
    WHEN imds_v2 THEN 'pass'
    ELSE 'fail'
  END AS verdict,
  CASE
    WHEN imds_v2 IS NULL THEN 'fact imds_v2 is missing'
    WHEN imds_v2 THEN 'session tokens are required'
    ELSE 'session tokens are optional'
  END AS detail
FROM assets
