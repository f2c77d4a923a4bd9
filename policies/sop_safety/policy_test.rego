package qlrf.sop_safety_test

import data.qlrf.sop_safety

test_nowhere_is_production if sop_safety.production with input as {"sop": {"environments": []}}

test_an_unknown_place_is_production if sop_safety.production with input as {"sop": {"environments": ["prod"]}}

test_staging_is_not if not sop_safety.production with input as {"sop": {"environments": ["staging"]}}

test_a_drill_of_exactly_thirty_days_counts if {
	sop_safety.drilled with input as {"context": {"now": "2026-11-30T00:00:00Z", "last_drill_at": "2026-10-31T00:00:00Z"}}
}

test_zones_are_understood if {
	not sop_safety.drilled with input as {"context": {"now": "2026-11-30T00:00:00Z", "last_drill_at": "2026-10-31T00:00:00+02:00"}}
}

test_nothing_is_denied if not sop_safety.allow with input as {}
