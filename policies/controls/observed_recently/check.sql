SELECT
  tenant,
  asset_key,
  CASE
    WHEN stale THEN 'fail'
    WHEN NOT fresh THEN 'fail'
    WHEN stale IS NULL OR fresh IS NULL OR last_seen IS NULL THEN 'never_proven'
    ELSE 'pass'
  END AS verdict,
  CASE
    WHEN stale THEN concat('last seen ', coalesce(strftime(last_seen, '%Y-%m-%d %H:%M'), 'never'))
    WHEN NOT fresh THEN 'the last listing of its scope was not complete, or did not show it'
    WHEN stale IS NULL OR fresh IS NULL OR last_seen IS NULL THEN 'a fact of fresh, stale, last_seen is missing'
    ELSE concat('last seen ', strftime(last_seen, '%Y-%m-%d %H:%M'))
  END AS detail
FROM assets
