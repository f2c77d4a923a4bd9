SELECT
  tenant,
  asset_key,
  CASE
    WHEN platform = 'kubernetes' THEN 'not_applicable'
    WHEN patches_pending_reboot IS NULL THEN 'never_proven'
    WHEN patches_pending_reboot = 0 THEN 'pass'
    ELSE 'fail'
  END AS verdict,
  CASE
    WHEN platform = 'kubernetes' THEN 'a workload gets another image, no patches'
    WHEN patches_pending_reboot IS NULL THEN 'fact patches_pending_reboot is missing'
    WHEN patches_pending_reboot = 0 THEN 'no patches wait for a reboot'
    ELSE concat(patches_pending_reboot, ' patches wait for a reboot')
  END AS detail
FROM assets
