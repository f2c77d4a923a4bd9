SELECT
  tenant,
  asset_key,
  CASE
    WHEN volume_count IS NULL THEN 'never_proven'
    WHEN volume_count = 0 THEN 'not_applicable'
    WHEN ebs_encrypted IS NULL THEN 'never_proven'
    WHEN ebs_encrypted THEN 'pass'
    ELSE 'fail'
  END AS verdict,
  CASE
    WHEN volume_count IS NULL THEN 'fact volume_count is missing'
    WHEN volume_count = 0 THEN 'no volume is attached'
    WHEN ebs_encrypted IS NULL THEN 'fact ebs_encrypted is missing'
    WHEN ebs_encrypted THEN concat('all ', volume_count, ' volumes are encrypted')
    ELSE concat('not every one of ', volume_count, ' volumes is encrypted')
  END AS detail
FROM assets
