SELECT
  tenant,
  asset_key,
  CASE
    WHEN judged_verdict IN ('current', 'behind_in_grace', 'ahead', 'behind') THEN 'pass'
    WHEN judged_verdict = 'retired' THEN 'fail'
    ELSE 'never_proven'
  END AS verdict,
  CASE
    WHEN judged_verdict IN ('current', 'behind_in_grace', 'ahead', 'behind') THEN concat('version ', coalesce(version, 'unnamed'), ' is maintained')
    WHEN judged_verdict = 'retired' THEN concat('version ', coalesce(version, 'unnamed'), ' is retired')
    ELSE concat('the image''s status is not known: ', coalesce(judged_verdict, 'not judged'))
  END AS detail
FROM assets
