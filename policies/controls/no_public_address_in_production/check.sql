SELECT
  tenant,
  asset_key,
  CASE
    WHEN environment IS NULL THEN 'never_proven'
    WHEN environment <> 'production' THEN 'not_applicable'
    WHEN public_ip IS NULL THEN 'never_proven'
    WHEN public_ip = '' THEN 'pass'
    ELSE 'fail'
  END AS verdict,
  CASE
    WHEN environment IS NULL THEN 'fact environment is missing'
    WHEN environment <> 'production' THEN concat('environment is ', environment)
    WHEN public_ip IS NULL THEN 'fact public_ip is missing'
    WHEN public_ip = '' THEN 'no public address'
    ELSE concat('public address ', public_ip)
  END AS detail
FROM assets
