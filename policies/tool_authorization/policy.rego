# Judges one call of a tool, by a person or on a person's behalf.
#
# input = {
#   "tool": {name, risk, scope, tenant, requires_simulation},
#   "user": {id, tenant, can_modify_org},
#   "environment", "autonomy": {mode, risk_threshold}, "risk": {score}, "extent": canary|whole,
#   "approval": {status, approved_by}, "simulation_completed",
#   "usage": {tokens_used, monthly_token_budget},
#   "compliance_scope", "audit": {full, evidence},
# }
#
# `allow` is the absence of denials and nothing else; what is unknown counts as changing production.
package qlrf.tool_authorization

default allow := false

allow if count(deny) == 0

decision := {"allow": allow, "deny": deny, "warn": warn}

# What is missing is null: OPA takes the negation of a function of something undefined for
# undefined too, and a rule that asks so would never deny.
at(value, path) := object.get(value, path, null) if is_object(value)

at(value, path) := null if {
	not is_object(value)
	is_array(path)
}

default root := {}

root := input if is_object(input)

finding(rule, message) := {"rule": rule, "resource": resource, "message": message}

default resource := "tool"

resource := input.tool.name if text(input.tool.name)

text(value) if {
	is_string(value)
	trim_space(value) != ""
}

reading := {
	"query_assets", "get_drift_status", "get_compliance_status", "get_golden_image", "query_alerts",
	"get_dr_status", "check_control", "list_image_versions", "generate_sop", "validate_sop",
	"simulate_sop", "list_sops", "list_certificates", "get_certificate_details",
	"map_certificate_usage", "validate_tls_handshake", "list_cve_alerts", "get_cve_details",
	"calculate_blast_radius", "get_alert_blast_radius", "list_patch_campaigns",
	"get_campaign_status", "calculate_urgency_score",
}

planning := {
	"analyze_drift", "compare_versions", "generate_patch_plan", "generate_rollout_plan",
	"generate_dr_runbook", "simulate_rollout", "calculate_risk_score", "simulate_failover",
	"generate_compliance_evidence", "generate_image_contract", "generate_packer_template",
	"generate_ansible_playbook", "generate_cert_renewal_plan", "create_patch_campaign",
}

changing_nonprod := {"execute_rollout_nonprod", "trigger_dr_drill_sandbox"}

changing_prod := {
	"propose_rollout", "acknowledge_alert", "build_image", "promote_image", "execute_sop",
	"propose_cert_rotation", "execute_rollout_prod", "trigger_dr_failover", "modify_firewall_rule",
}

# A tool is as risky as this list says, whatever the caller calls it.
risk := "read_only" if input.tool.name in reading

risk := "plan_only" if input.tool.name in planning

risk := "state_change_nonprod" if input.tool.name in changing_nonprod

risk := "state_change_prod" if input.tool.name in changing_prod

harmless if risk in {"read_only", "plan_only"}

changing if not harmless

changing_production if {
	changing
	not risk == "state_change_nonprod"
}

deny contains finding("tool_known", "the tool is missing or not one of those this policy lists") if not risk

deny contains finding("risk_true", "the stated risk is not the tool's") if not input.tool.risk == risk

deny contains finding("scope_known", "the scope is missing or unknown") if {
	not at(root, ["tool", "scope"]) in {"asset", "environment", "organization"}
}

deny contains finding("user_known", "nobody says who calls it") if not text(at(root, ["user", "id"]))

same_tenant if {
	text(input.tool.tenant)
	input.tool.tenant == input.user.tenant
}

deny contains finding("same_tenant", "the tool works on another tenant than the caller's") if not same_tenant

modes := {"plan_only", "approve_all", "canary_only", "risk_based", "full_auto"}

deny contains finding("mode_known", "the autonomy mode is missing or unknown") if {
	not at(root, ["autonomy", "mode"]) in modes
}

deny contains finding("plan_only_changes_nothing", "in mode plan_only nothing is changed by the platform") if {
	changing
	input.autonomy.mode == "plan_only"
}

deny contains finding("nonprod_tool_in_nonprod", "a tool for non-production is not used in production or nowhere known") if {
	risk == "state_change_nonprod"
	not at(root, ["environment"]) in {"staging", "development", "dr", "sandbox"}
}

unattended if {
	risk == "state_change_nonprod"
	input.autonomy.mode in {"canary_only", "full_auto"}
}

unattended if {
	risk == "state_change_nonprod"
	input.autonomy.mode == "risk_based"
	is_number(input.risk.score)
	is_number(input.autonomy.risk_threshold)
	input.risk.score <= input.autonomy.risk_threshold
}

person(value) := lower(trim_space(value)) if is_string(value)

approved if {
	input.approval.status == "approved"
	text(input.approval.approved_by)
	person(input.approval.approved_by) != person(input.user.id)
}

deny contains finding("approval_given", "it changes something, and nobody but the caller has approved that") if {
	changing
	not unattended
	not approved
}

rehearsable := {"execute_rollout_prod", "trigger_dr_failover", "execute_sop"}

rehearsed if {
	input.tool.requires_simulation == false
	not at(root, ["tool", "name"]) in rehearsable
}

rehearsed if {
	input.tool.requires_simulation == true
	input.simulation_completed == true
}

deny contains finding("simulated", "it needs a simulation first, or does not say whether it does") if not rehearsed

# Reading the whole organization harms nobody; changing it needs the right to.
deny contains finding("organization_right", "the caller may not change the whole organization") if {
	changing
	not at(root, ["tool", "scope"]) in {"asset", "environment"}
	not input.user.can_modify_org == true
}

within_budget if {
	is_number(input.usage.tokens_used)
	is_number(input.usage.monthly_token_budget)
	input.usage.tokens_used < input.usage.monthly_token_budget
}

deny contains finding("budget_left", "the month's token budget is used up or unknown; reading goes on") if {
	not risk == "read_only"
	not within_budget
}

deny contains finding("audited", "a change is audited in full, or it is not made") if {
	changing
	not input.audit.full == true
}

evidential if input.tool.name == "generate_compliance_evidence"

evidential if {
	changing_production
	not input.compliance_scope == false
}

deny contains finding("evidenced", "an auditor will ask for this; evidence must be recorded") if {
	evidential
	not input.audit.evidence == true
}

warn contains finding("budget_low", "more than 80 % of the month's token budget is used") if {
	within_budget
	input.usage.tokens_used * 5 > input.usage.monthly_token_budget * 4
}
