SELECT
  tenant,
  asset_key,
  CASE
    WHEN platform = 'kubernetes' THEN 'not_applicable'
    WHEN patch_scanned_at IS NULL THEN 'never_proven'
    WHEN patch_scanned_at > as_of THEN 'never_proven'
    WHEN patch_scanned_at >= as_of - INTERVAL 7 DAY THEN 'pass'
    ELSE 'fail'
  END AS verdict,
  CASE
    WHEN platform = 'kubernetes' THEN 'a workload gets another image, no patches'
    WHEN patch_scanned_at IS NULL THEN 'fact patch_scanned_at is missing'
    WHEN patch_scanned_at > as_of THEN 'the scan lies in the future'
    WHEN patch_scanned_at >= as_of - INTERVAL 7 DAY THEN concat('scanned ', date_diff('day', patch_scanned_at, as_of), ' days ago')
    ELSE concat('scanned ', date_diff('day', patch_scanned_at, as_of), ' days ago')
  END AS detail
FROM assets
