-- The cloud's launch time also moves when a stopped machine is started: a young age is what the
-- cloud shows, an old one is proof.
SELECT
  tenant,
  asset_key,
  CASE
    WHEN launched_at IS NULL THEN 'never_proven'
    WHEN launched_at > as_of THEN 'never_proven'
    WHEN launched_at >= as_of - INTERVAL 365 DAY THEN 'pass'
    ELSE 'fail'
  END AS verdict,
  CASE
    WHEN launched_at IS NULL THEN 'fact launched_at is missing'
    WHEN launched_at > as_of THEN 'the launch lies in the future'
    WHEN launched_at >= as_of - INTERVAL 365 DAY THEN concat('started ', date_diff('day', launched_at, as_of), ' days ago')
    ELSE concat('started ', date_diff('day', launched_at, as_of), ' days ago')
  END AS detail
FROM assets
