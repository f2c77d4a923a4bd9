# Judges a plan as it was generated: when it is planned, and again when it is about to run.
#
# input = {
#   "stage": "planned" | "executing",
#   "plan": a document of contracts/plan.schema.json,
#   "facts": what the platform knows, never what the planner says {
#     now, approvals [{person, role}], glass {person, role, reason}, extent canary|whole,
#     simulation_completed, last_drill_at },
# }
#
# Every rule asks for proof and denies without it: a missing field is a denial, an unknown
# environment counts as production, an unknown risk level as critical.
package qlrf.plan_safety

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

default plan := {}

plan := input.plan if is_object(input.plan)

finding(rule, resource, message) := {"rule": rule, "resource": resource, "message": message}

text(value) if {
	is_string(value)
	trim_space(value) != ""
}

filled(value) if {
	is_array(value)
	count(value) > 0
}

at_least(value, low) if {
	is_number(value)
	value >= low
}

# ---- what the plan is -----------------------------------------------------------------------

deny contains finding("stage_known", "input", "the stage is neither planned nor executing") if {
	not at(root, ["stage"]) in {"planned", "executing"}
}

deny contains finding("plan_identified", field, sprintf("the plan has no %s", [field])) if {
	some field in ["id", "tenant", "requested_by"]
	not text(at(plan, [field]))
}

deny contains finding("type_known", "type", "the plan's type is missing or unknown") if {
	not at(plan, ["type"]) in {"drift_plan", "patch_plan", "dr_drill", "dr_failover", "dr_failback"}
}

deny contains finding("environment_known", "environment", "the environment is missing or unknown") if {
	not at(plan, ["environment"]) in {"production", "staging", "development", "dr", "sandbox"}
}

production if not at(plan, ["environment"]) in {"staging", "development", "dr", "sandbox"}

deny contains finding("summary_stated", "summary", "a person cannot decide without a summary") if {
	not text(at(plan, ["summary"]))
}

level_of(score) := "low" if {
	score >= 0
	score < 25
}

level_of(score) := "medium" if {
	score >= 25
	score < 50
}

level_of(score) := "high" if {
	score >= 50
	score < 75
}

level_of(score) := "critical" if {
	score >= 75
	score <= 100
}

risk_stated if {
	is_number(plan.risk.score)
	plan.risk.level == level_of(plan.risk.score)
}

deny contains finding("risk_stated", "risk", "the risk is missing, or its level is not that of its score") if {
	not risk_stated
}

critical if not risk_stated

critical if plan.risk.level == "critical"

# ---- phases -----------------------------------------------------------------------------------

phase_name(index) := plan.phases[index].name if text(plan.phases[index].name)

phase_name(index) := sprintf("phase %v", [index + 1]) if not text(at(plan.phases[index], ["name"]))

deny contains finding("phases_stated", "phases", "the plan has no phases") if not filled(at(plan, ["phases"]))

deny contains finding("phase_kind_known", phase_name(index), "a phase is neither canary nor wave") if {
	some index, phase in plan.phases
	not at(phase, ["kind"]) in {"canary", "wave"}
}

deny contains finding("phase_has_assets", phase_name(index), "the phase changes no asset") if {
	some index, phase in plan.phases
	not filled(at(phase, ["assets"]))
}

assets := {asset | some asset in plan.phases[_].assets}

mentions := [asset | some asset in plan.phases[_].assets]

deny contains finding("asset_changed_once", "phases", "an asset is in two phases, or twice in one") if {
	count(mentions) != count(assets)
}

deny contains finding("total_true", "total_assets", sprintf("the phases change %v assets, the plan says otherwise", [count(assets)])) if {
	at(plan, ["total_assets"]) != count(assets)
}

batches_true(phase) if {
	filled(phase.batches)
	members := [asset | some asset in phase.batches[_]]
	count(members) == count(phase.assets)
	{asset | some asset in members} == {asset | some asset in phase.assets}
}

deny contains finding("batches_true", phase_name(index), "the batches are not the phase's assets, each once") if {
	some index, phase in plan.phases
	not batches_true(phase)
}

deny contains finding("canary_first", "phases", "production needs a canary as its first phase") if {
	production
	not plan.phases[0].kind == "canary"
}

# A small fleet may move one asset at a time, whatever share that is.
deny contains finding("phase_size", phase_name(index), sprintf("the phase changes %v of %v assets; in production at most 20 %%, or one", [size, count(assets)])) if {
	production
	some index, phase in plan.phases
	size := count(phase.assets)
	size > 1
	size * 5 > count(assets)
}

deny contains finding("canary_size", phase_name(index), sprintf("the canary is %v of %v assets; at most 10 %%, or five", [size, count(assets)])) if {
	some index, phase in plan.phases
	not phase.kind == "wave"
	size := count(phase.assets)
	size > 5
	size * 10 > count(assets)
}

deny contains finding("canary_waits", phase_name(index), "nobody watches the production canary: wait_seconds is missing or 0") if {
	production
	some index, phase in plan.phases
	not phase.kind == "wave"
	not at_least(at(phase, ["wait_seconds"]), 1)
}

comparisons := {"less-than", "greater-than", "equals"}

trigger_stated(trigger) if {
	text(trigger.metric)
	trigger.comparison in comparisons
	is_number(trigger.threshold)
}

rollback_stated(phase) if {
	filled(phase.rollback_triggers)
	every trigger in phase.rollback_triggers { trigger_stated(trigger) }
}

deny contains finding("rollback_stated", phase_name(index), "a production phase needs rollback triggers with metric, comparison and threshold") if {
	production
	some index, phase in plan.phases
	not rollback_stated(phase)
}

checks_stated(phase) if {
	filled(phase.health_checks)
	every check in phase.health_checks {
		check.type in {"http", "tcp", "cloud-status", "ssm-ping", "metric"}
	}
}

deny contains finding("health_checks_stated", phase_name(index), "a production phase needs health checks of a known type") if {
	production
	some index, phase in plan.phases
	not checks_stated(phase)
}

# ---- actions and versions -----------------------------------------------------------------------

imaging := {"replace_with_image", "rolling_update"}

operations := imaging | {"patch_in_place", "reboot", "failover", "failback"}

action_stated(action) if {
	action.operation in operations
	not at(action, ["operation"]) in imaging
}

action_stated(action) if {
	action.operation in imaging
	text(action.family)
	text(action.to_version)
}

actions_true(phase) if {
	filled(phase.actions)
	{action.asset | some action in phase.actions} == {asset | some asset in phase.assets}
	every action in phase.actions { action_stated(action) }
}

deny contains finding("actions_true", phase_name(index), "the actions are not one or more known operations for each of the phase's assets") if {
	some index, phase in plan.phases
	not actions_true(phase)
}

steps := {[step.family, step.to_version] |
	some step in plan.image_diff
	text(step.from_version)
}

deny contains finding("versions_compared", "image_diff", "a drift plan says which versions become which") if {
	not at(plan, ["type"]) in {"patch_plan", "dr_drill", "dr_failover", "dr_failback"}
	count(steps) == 0
}

deny contains finding("versions_compared", phase_name(index), sprintf("image_diff does not show the step of %v", [action.asset])) if {
	some index, phase in plan.phases
	some action in phase.actions
	action.operation in imaging
	not [at(action, ["family"]), at(action, ["to_version"])] in steps
}

# ---- what can be hurt ---------------------------------------------------------------------------

largest_batch := max([size | size := count(plan.phases[_].batches[_])])

blast_radius_true if {
	plan.blast_radius.assets == count(assets)
	at_least(plan.blast_radius.max_at_once, largest_batch)
	at_least(plan.blast_radius.percent, 0)
	at_least(plan.blast_radius.critical_assets, 0)
}

deny contains finding("blast_radius_true", "blast_radius", "the blast radius is missing, or smaller than the plan's own phases") if {
	not blast_radius_true
}

deny contains finding("evidence_planned", "compliance", "whether auditors will ask is not said, or they will and no evidence is planned") if {
	not plan.compliance.in_scope == false
	not evidence_planned
}

evidence_planned if {
	plan.compliance.in_scope == true
	plan.compliance.evidence == true
}

# ---- who may let it run -------------------------------------------------------------------------

modes := {"plan_only", "approve_all", "canary_only", "risk_based", "full_auto"}

autonomy_stated if {
	plan.autonomy.mode in modes
	at_least(plan.autonomy.risk_threshold, 0)
	is_boolean(plan.autonomy.require_two_approvers)
}

deny contains finding("autonomy_stated", "autonomy", "the autonomy rules are missing or their mode is unknown") if {
	not autonomy_stated
}

deny contains finding("plan_only_runs_nothing", "autonomy", "in mode plan_only the platform executes nothing; people do") if {
	not input.stage == "planned"
	plan.autonomy.mode == "plan_only"
}

grave if critical

grave if {
	production
	not at(plan, ["type"]) in {"drift_plan", "patch_plan", "dr_drill", "dr_failback"}
}

# No mode, full_auto included, lets a grave plan run by itself.
autonomous if {
	not grave
	plan.autonomy.mode == "full_auto"
}

autonomous if {
	not grave
	plan.autonomy.mode == "risk_based"
	plan.risk.score <= plan.autonomy.risk_threshold
}

autonomous if {
	not grave
	plan.autonomy.mode == "canary_only"
	input.stage == "executing"
	input.facts.extent == "canary"
	plan.phases[0].kind == "canary"

	# A canary of everything is no canary: nothing waits for what it shows.
	count(plan.phases) > 1
}

needed contains 1

needed contains 2 if grave

needed contains 2 if not plan.autonomy.require_two_approvers == false

needed contains plan.approvals.quorum if is_number(plan.approvals.quorum)

deny contains finding("approval_asked", "approvals", "this risk, type or mode needs approval, and the plan does not ask for it") if {
	not autonomous
	not plan.approvals.required == true
	not canary_of_canary_only
}

canary_of_canary_only if {
	autonomous
	plan.autonomy.mode == "canary_only"
}

approvals_stated if {
	is_boolean(plan.approvals.required)
	at_least(plan.approvals.quorum, 0)
	is_array(plan.approvals.roles)
}

deny contains finding("approvals_stated", "approvals", "required, quorum and roles of the approvals must be stated") if {
	not approvals_stated
}

deny contains finding("quorum_asked", "approvals", sprintf("it needs %v different approvers; the plan asks for fewer", [max(needed)])) if {
	not autonomous
	not at_least(at(plan, ["approvals", "quorum"]), max(needed))
}

deny contains finding("roles_asked", "approvals", "nobody may approve it: no roles are given") if {
	not autonomous
	not filled(at(plan, ["approvals", "roles"]))
}

unattended if {
	autonomous
	plan.approvals.required == false
}

# What canary_only may do by itself needs no approval, though the rest of the plan does.
unattended if canary_of_canary_only

may_approve(role) if role in plan.approvals.roles

may_approve(role) if {
	text(role)
	"any" in plan.approvals.roles
}

person(value) := lower(trim_space(value)) if is_string(value)

# People, not clicks: the same person twice is one.
approvers := {person(approval.person) |
	some approval in input.facts.approvals
	text(approval.person)
	may_approve(approval.role)
	person(approval.person) != person(plan.requested_by)
}

deny contains finding("approvals_given", "approvals", sprintf("%v of %v different approvers have approved it", [count(approvers), max(needed)])) if {
	not input.stage == "planned"
	not unattended
	not glass_broken
	count(approvers) < max(needed)
}

# An admin, never the requester, who says why; somebody else must review it afterwards.
glass_broken if {
	text(input.facts.glass.person)
	text(input.facts.glass.reason)
	input.facts.glass.role == "admin"
	person(input.facts.glass.person) != person(plan.requested_by)
}

deny contains finding("approver_role", "approvals", "an approval comes from somebody whose role may not approve") if {
	some approval in input.facts.approvals
	not may_approve(at(approval, ["role"]))
}

deny contains finding("self_approval", "approvals", "the requester has approved their own plan") if {
	some approval in input.facts.approvals
	person(approval.person) == person(plan.requested_by)
}

# ---- when it may run ----------------------------------------------------------------------------

moment_pattern := `^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`

moment(value) := time.parse_rfc3339_ns(value) if {
	is_string(value)
	regex.match(moment_pattern, value)
}

window_stated if plan.window.required == false

window_stated if {
	plan.window.required == true
	moment(plan.window.opens_at) < moment(plan.window.closes_at)
}

deny contains finding("window_stated", "window", "whether a maintenance window is needed, or when it is, is missing") if {
	not window_stated
}

window_open if plan.window.required == false

window_open if {
	moment(input.facts.now) >= moment(plan.window.opens_at)
	moment(input.facts.now) < moment(plan.window.closes_at)
}

deny contains finding("window_open", "window", "it is not the time of the maintenance window") if {
	not input.stage == "planned"
	not window_open
}

deny contains finding("simulated", "facts", "nobody walked through the plan against the inventory as it is now") if {
	production
	not input.stage == "planned"
	not input.facts.simulation_completed == true
}

day := 86400000000000

drilled if {
	age := moment(input.facts.now) - moment(input.facts.last_drill_at)
	age >= 0
	age <= 30 * day
}

deny contains finding("drill_recent", "facts", "a production failover needs a drill within 30 days before") if {
	production
	not at(plan, ["type"]) in {"drift_plan", "patch_plan", "dr_drill", "dr_failback"}
	not drilled
}

# ---- worth knowing ------------------------------------------------------------------------------

warn contains finding("predicted", "predicted_duration_seconds", "nobody said how long it should take") if {
	not is_number(at(plan, ["predicted_duration_seconds"]))
}

warn contains finding("dependents_known", "blast_radius", "nobody knows what depends on these assets") if {
	not is_number(at(plan, ["blast_radius", "dependents"]))
}
