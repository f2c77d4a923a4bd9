package qlrf.plan_safety_test

import data.qlrf.plan_safety

phase(name, kind, assets) := {
	"name": name, "kind": kind, "assets": assets, "batches": [[asset] | some asset in assets],
	"wait_seconds": 60, "health_checks": [{"type": "cloud-status"}],
	"rollback_triggers": [{"metric": "failure_share", "comparison": "greater-than", "threshold": 0.1}],
	"actions": [{"asset": asset, "operation": "reboot"} | some asset in assets],
}

plan := {
	"id": "p-1", "tenant": "acme", "requested_by": "dana", "type": "patch_plan",
	"environment": "production", "summary": "Reboot two machines.",
	"risk": {"score": 30, "level": "medium"},
	"phases": [phase("canary", "canary", ["a"]), phase("rest", "wave", ["b"])],
	"total_assets": 2, "image_diff": [],
	"blast_radius": {"assets": 2, "percent": 1, "max_at_once": 1, "critical_assets": 0},
	"compliance": {"in_scope": false, "evidence": false},
	"approvals": {"required": true, "quorum": 1, "roles": ["admin"]},
	"autonomy": {"mode": "approve_all", "risk_threshold": 30, "require_two_approvers": false},
	"window": {"required": false},
}

planned(changes) := {"stage": "planned", "plan": object.union(plan, changes), "facts": {}}

denied_for(document) := {finding.rule | some finding in found} if found := plan_safety.deny with input as document

test_two_machines_may_go_one_by_one if plan_safety.allow with input as planned({})

test_nothing_is_denied if not plan_safety.allow with input as {}

test_text_is_denied if not plan_safety.allow with input as "plan"

test_a_single_machine_is_its_own_canary if {
	one := {
		"phases": [phase("canary", "canary", ["a"])], "total_assets": 1,
		"blast_radius": {"assets": 1, "percent": 1, "max_at_once": 1, "critical_assets": 0},
	}
	plan_safety.allow with input as planned(one)
}

test_a_name_makes_no_canary if {
	waves := {"phases": [phase("canary", "wave", ["a"]), phase("rest", "wave", ["b"])]}
	"canary_first" in denied_for(planned(waves))
}

test_two_of_three_at_once_are_too_many if {
	three := {"phases": [phase("canary", "canary", ["a"]), phase("rest", "wave", ["b", "c"])], "total_assets": 3}
	"phase_size" in denied_for(planned(three))
}

test_approved_is_not_enough_in_plan_only if {
	document := object.union(planned({"autonomy": {"mode": "plan_only"}}), {
		"stage": "executing",
		"facts": {"approvals": [{"person": "erin", "role": "admin"}], "simulation_completed": true},
	})
	denied_for(document) == {"plan_only_runs_nothing"}
}

test_a_score_of_100_is_critical if plan_safety.level_of(100) == "critical"

test_a_score_of_25_is_medium if plan_safety.level_of(25) == "medium"

test_a_score_above_100_has_no_level if not plan_safety.level_of(101)

executing(facts) := object.union(planned({}), {
	"stage": "executing",
	"facts": object.union({"approvals": [], "simulation_completed": true}, facts),
})

glass(changes) := {"glass": object.union(
	{"person": "erin", "role": "admin", "reason": "the site is down"},
	changes,
)}

test_an_admin_who_breaks_the_glass_stands_for_the_quorum if plan_safety.allow with input as executing(glass({}))

test_no_glass_is_broken_without_a_reason if {
	"approvals_given" in denied_for(executing(glass({"reason": " "})))
}

test_no_glass_is_broken_by_an_engineer if {
	"approvals_given" in denied_for(executing(glass({"role": "engineer"})))
}

test_no_glass_is_broken_by_the_requester if {
	"approvals_given" in denied_for(executing(glass({"person": " Dana"})))
}

test_no_glass_is_broken_by_nobody if {
	"approvals_given" in denied_for(executing({"glass": {"role": "admin", "reason": "down"}}))
}
