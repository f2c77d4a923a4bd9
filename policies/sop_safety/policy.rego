# Judges a standard operating procedure before it may be run.
#
# input = {
#   "sop": {name, version, description, author, tags, environments [..], timeout_seconds,
#     approval {required, min_approvers}, rollback {strategy}, success_criteria [..],
#     notifications {on_failure [..]},
#     steps [{id, name, action {type, batch_percent}, timeout_seconds, retries, requires_confirmation}]},
#   "context": {now, last_drill_at},
# }
#
# A procedure that names no environment is judged as one for production.
package qlrf.sop_safety

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

default sop := {}

sop := input.sop if is_object(input.sop)

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

others := {"staging", "development", "dr", "sandbox"}

harmless_scope if {
	filled(sop.environments)
	every environment in sop.environments { environment in others }
}

production if not harmless_scope

deny contains finding("sop_identified", field, sprintf("the procedure has no %s", [field])) if {
	some field in ["name", "version", "description"]
	not text(at(sop, [field]))
}

deny contains finding("environments_stated", "environments", "it does not say where it may run, or names an unknown place") if {
	not environments_stated
}

environments_stated if {
	filled(sop.environments)
	every environment in sop.environments { environment in (others | {"production"}) }
}

deny contains finding("steps_stated", "steps", "the procedure has no steps") if not filled(at(sop, ["steps"]))

step_name(index) := sop.steps[index].id if text(sop.steps[index].id)

step_name(index) := sprintf("step %v", [index + 1]) if not text(at(sop.steps[index], ["id"]))

deny contains finding("step_complete", step_name(index), sprintf("the step has no %s", [field])) if {
	some index, step in sop.steps
	some field in ["id", "name"]
	not text(at(step, [field]))
}

deny contains finding("step_complete", step_name(index), "the step has no action with a type") if {
	some index, step in sop.steps
	not text(at(step, ["action", "type"]))
}

names := [step.id | some step in sop.steps]

deny contains finding("step_complete", "steps", "two steps have the same id") if {
	count({name | some name in names}) != count(names)
}

vocabulary := {
	"inventory.list", "inventory.query", "drift.check", "compliance.check", "health.check",
	"notify.slack", "notify.email", "notify.pagerduty", "change.create_ticket",
	"rollout.batch", "rollout.canary", "rollout.blue_green", "rollout.pause", "rollout.resume",
	"rollout.abort", "validate.health", "validate.metrics", "validate.logs",
	"validate.compliance", "image.build", "image.promote", "image.test", "dr.failover",
	"dr.failback", "dr.drill", "wait.duration", "wait.approval", "wait.condition",
}

deny contains finding("action_known", step_name(index), "no executor knows this action") if {
	some index, step in sop.steps
	not at(step, ["action", "type"]) in vocabulary
}

rollouts := {"rollout.batch", "rollout.canary", "rollout.blue_green"}

changing := rollouts | {"dr.failover", "dr.failback", "image.promote"}

harmless := vocabulary - changing

dangerous := {"dr.failover", "dr.failback", "rollout.abort"}

deny contains finding("change_bounded", step_name(index), "a step that changes something needs a timeout") if {
	some index, step in sop.steps
	not at(step, ["action", "type"]) in harmless
	not at_least(at(step, ["timeout_seconds"]), 1)
}

deny contains finding("danger_confirmed", step_name(index), "this step needs requires_confirmation: true") if {
	some index, step in sop.steps
	not at(step, ["action", "type"]) in (vocabulary - dangerous)
	not step.requires_confirmation == true
}

deny contains finding("approval_required", "approval", "production needs an approval") if {
	production
	not sop.approval.required == true
}

deny contains finding("rollback_stated", "rollback", "production needs a way back: rollback.strategy auto or manual") if {
	production
	not at(sop, ["rollback", "strategy"]) in {"auto", "manual"}
}

deny contains finding("success_stated", "success_criteria", "production needs criteria of success") if {
	production
	not filled(at(sop, ["success_criteria"]))
}

deny contains finding("sop_bounded", "timeout_seconds", "production needs a timeout for the whole procedure") if {
	production
	not at_least(at(sop, ["timeout_seconds"]), 1)
}

deny contains finding("failure_told", "notifications", "production needs somebody who is told of failure") if {
	production
	not filled(at(sop, ["notifications", "on_failure"]))
}

deny contains finding("batch_size", step_name(index), "in production a rollout step changes at most 25 % at once, and says how much") if {
	production
	some index, step in sop.steps
	not at(step, ["action", "type"]) in (vocabulary - rollouts)
	not batch_small(step)
}

batch_small(step) if {
	at_least(step.action.batch_percent, 1)
	step.action.batch_percent <= 25
}

moment_pattern := `^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`

moment(value) := time.parse_rfc3339_ns(value) if {
	is_string(value)
	regex.match(moment_pattern, value)
}

day := 86400000000000

drilled if {
	age := moment(input.context.now) - moment(input.context.last_drill_at)
	age >= 0
	age <= 30 * day
}

deny contains finding("drill_recent", step_name(index), "a production failover needs a drill within 30 days before") if {
	production
	some index, step in sop.steps
	not at(step, ["action", "type"]) in (vocabulary - {"dr.failover"})
	not drilled
}

warn contains finding("author_named", "author", "nobody is named as author") if not text(at(sop, ["author"]))

warn contains finding("tagged", "tags", "there are no tags to find it by") if not filled(at(sop, ["tags"]))

warn contains finding("approvers_counted", "approval", "min_approvers is not said") if {
	production
	not at_least(at(sop, ["approval", "min_approvers"]), 1)
}

warn contains finding("retries_stated", step_name(index), "a step that changes something says how often it is tried again") if {
	some index, step in sop.steps
	step.action.type in changing
	not at_least(at(step, ["retries"]), 0)
}
