SELECT
  tenant,
  asset_key,
  CASE
    WHEN platform = 'kubernetes' THEN 'not_applicable'
    WHEN public_ip = '' THEN 'not_applicable'
    WHEN len(open_ports) = 0 THEN 'not_applicable'
    WHEN patches_critical_missing > 0 AND len(open_ports) > 0 AND public_ip <> '' THEN 'fail'
    WHEN patches_security_missing > 0 AND len(open_ports) > 0 AND public_ip <> '' THEN 'fail'
    WHEN public_ip IS NULL OR open_ports IS NULL THEN 'never_proven'
    WHEN patches_critical_missing IS NULL OR patches_security_missing IS NULL THEN 'never_proven'
    ELSE 'pass'
  END AS verdict,
  CASE
    WHEN platform = 'kubernetes' THEN 'a workload gets another image, no patches'
    WHEN public_ip = '' THEN 'no public address'
    WHEN len(open_ports) = 0 THEN 'no port is open to the world'
    WHEN patches_critical_missing > 0 AND len(open_ports) > 0 AND public_ip <> '' THEN concat('reachable, and ', patches_critical_missing, ' critical patches are missing')
    WHEN patches_security_missing > 0 AND len(open_ports) > 0 AND public_ip <> '' THEN concat('reachable, and ', patches_security_missing, ' security patches are missing')
    WHEN public_ip IS NULL OR open_ports IS NULL THEN 'a fact of public_ip, open_ports is missing'
    WHEN patches_critical_missing IS NULL OR patches_security_missing IS NULL THEN 'a fact of patches_critical_missing, patches_security_missing is missing'
    ELSE 'reachable, and fully patched'
  END AS detail
FROM assets
