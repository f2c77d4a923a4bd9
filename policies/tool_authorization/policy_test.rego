package qlrf.tool_authorization_test

import data.qlrf.tool_authorization

read := {
	"tool": {"name": "query_assets", "risk": "read_only", "scope": "organization", "tenant": "acme", "requires_simulation": false},
	"user": {"id": "dana", "tenant": "acme"}, "autonomy": {"mode": "plan_only"},
}

change := object.union(read, {
	"tool": {"name": "acknowledge_alert", "risk": "state_change_prod", "scope": "asset"},
	"autonomy": {"mode": "approve_all"},
	"approval": {"status": "approved", "approved_by": "erin"},
	"usage": {"tokens_used": 1, "monthly_token_budget": 2},
	"audit": {"full": true, "evidence": true},
})

test_reading_the_organization_is_harmless if tool_authorization.allow with input as read

test_reading_across_tenants_is_not if {
	not tool_authorization.allow with input as object.union(read, {"user": {"tenant": "globex"}})
}

test_an_approved_change_is_allowed if tool_authorization.allow with input as change

test_allow_respects_deny if {
	not tool_authorization.allow with input as object.union(change, {"audit": {"full": false}})
}

test_every_mode_is_known if {
	every mode in ["approve_all", "canary_only", "risk_based", "full_auto"] {
		tool_authorization.allow with input as object.union(change, {"autonomy": {"mode": mode}})
	}
}

test_no_mode_is_not if {
	not tool_authorization.allow with input as object.union(change, {"autonomy": {"mode": ""}})
}

test_nothing_is_denied if not tool_authorization.allow with input as {}
