SELECT
  tenant,
  asset_key,
  CASE
    WHEN resolution IN ('coordinate', 'tag') THEN 'pass'
    WHEN resolution = 'none' AND image_readable THEN 'fail'
    ELSE 'never_proven'
  END AS verdict,
  CASE
    WHEN resolution IN ('coordinate', 'tag') THEN concat('family ', coalesce(family, 'unnamed'), ', by ', resolution)
    WHEN resolution = 'none' AND image_readable THEN 'no contract knows the image'
    ELSE 'the image could not be read'
  END AS detail
FROM assets
