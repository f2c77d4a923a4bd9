-- Any protocol that can carry the port counts; a protocol or an end of a range nobody told us is
-- read as the widest.
SELECT
  tenant,
  asset_key,
  CASE
    WHEN open_ports IS NULL THEN 'never_proven'
    WHEN len(hits) = 0 THEN 'pass'
    ELSE 'fail'
  END AS verdict,
  CASE
    WHEN open_ports IS NULL THEN 'fact open_ports is missing'
    WHEN len(hits) = 0 THEN 'database ports are closed to the world'
    ELSE concat('open to the world: ', array_to_string(list_transform(hits, lambda p: concat(coalesce(p.protocol, 'any'), ' ', coalesce(p.from_port, 0), '-', coalesce(nullif(p.to_port, -1), 65535))), ', '))
  END AS detail
FROM (
  SELECT tenant, asset_key, open_ports,
    list_filter(open_ports, lambda p:
      coalesce(lower(p.protocol), '-1') NOT IN ('icmp', 'icmpv6', '1', '58')
      AND (
        (coalesce(p.from_port, 0) <= 1433 AND coalesce(nullif(p.to_port, -1), 65535) >= 1433)
        OR (coalesce(p.from_port, 0) <= 1521 AND coalesce(nullif(p.to_port, -1), 65535) >= 1521)
        OR (coalesce(p.from_port, 0) <= 3306 AND coalesce(nullif(p.to_port, -1), 65535) >= 3306)
        OR (coalesce(p.from_port, 0) <= 5432 AND coalesce(nullif(p.to_port, -1), 65535) >= 5432)
        OR (coalesce(p.from_port, 0) <= 6379 AND coalesce(nullif(p.to_port, -1), 65535) >= 6379)
        OR (coalesce(p.from_port, 0) <= 9042 AND coalesce(nullif(p.to_port, -1), 65535) >= 9042)
        OR (coalesce(p.from_port, 0) <= 9200 AND coalesce(nullif(p.to_port, -1), 65535) >= 9200)
        OR (coalesce(p.from_port, 0) <= 11211 AND coalesce(nullif(p.to_port, -1), 65535) >= 11211)
        OR (coalesce(p.from_port, 0) <= 27019 AND coalesce(nullif(p.to_port, -1), 65535) >= 27017)
      )
    ) AS hits
  FROM assets
)
