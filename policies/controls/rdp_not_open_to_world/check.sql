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
    WHEN len(hits) = 0 THEN 'port 3389 is closed to the world'
    ELSE concat('open to the world: ', array_to_string(list_transform(hits, lambda p: concat(coalesce(p.protocol, 'any'), ' ', coalesce(p.from_port, 0), '-', coalesce(nullif(p.to_port, -1), 65535))), ', '))
  END AS detail
FROM (
  SELECT tenant, asset_key, open_ports,
    list_filter(open_ports, lambda p:
      coalesce(lower(p.protocol), '-1') NOT IN ('icmp', 'icmpv6', '1', '58')
      AND (
        (coalesce(p.from_port, 0) <= 3389 AND coalesce(nullif(p.to_port, -1), 65535) >= 3389)
      )
    ) AS hits
  FROM assets
)
