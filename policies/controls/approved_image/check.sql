SELECT
  tenant,
  asset_key,
  CASE
    WHEN drift_verdict IN ('current', 'exempt', 'behind_in_grace') THEN 'pass'
    WHEN drift_verdict IN ('ahead', 'behind', 'retired', 'unmanaged') THEN 'fail'
    ELSE 'never_proven'
  END AS verdict,
  CASE
    WHEN drift_verdict IN ('current', 'exempt', 'behind_in_grace') THEN coalesce(reason, drift_verdict)
    WHEN drift_verdict IN ('ahead', 'behind', 'retired', 'unmanaged') THEN coalesce(reason, drift_verdict)
    ELSE coalesce(reason, 'fact drift_verdict is missing')
  END AS detail
FROM assets
