SELECT
  tenant,
  asset_key,
  CASE
    WHEN environment IS NULL THEN 'never_proven'
    WHEN environment <> 'production' THEN 'not_applicable'
    WHEN monitoring IS NULL THEN 'never_proven'
    WHEN monitoring THEN 'pass'
    ELSE 'fail'
  END AS verdict,
  CASE
    WHEN environment IS NULL THEN 'fact environment is missing'
    WHEN environment <> 'production' THEN concat('environment is ', environment)
    WHEN monitoring IS NULL THEN 'fact monitoring is missing'
    WHEN monitoring THEN 'detailed monitoring is on'
    ELSE 'detailed monitoring is off'
  END AS detail
FROM assets
