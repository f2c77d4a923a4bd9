"""The policy packages as shipped: complete, and never kinder for knowing less (D7)."""

import copy
import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qlrf_pipelines.domain.policy import PACKAGES, PolicyPackage
from qlrf_pipelines.domain.vocabulary import Environment, Platform
from resources.policy.embedded import EmbeddedPolicies, EmbeddedTests
from resources.policy.folder import FolderPolicies
from tests.architecture.tree import ROOT


@cache
def shipped() -> dict[str, PolicyPackage]:
    return {package.id: package for package in FolderPolicies().load()}


@cache
def engine() -> EmbeddedPolicies:
    return EmbeddedPolicies(tuple(shipped().values()))


def allowed(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for sample in shipped()[name].samples:
        if not sample.rules:
            yield sample.name, dict(sample.input)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The place of every field and item of a document."""
    items: Any = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list):
        items = enumerate(value)
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def changed(value: Any, path: tuple[Any, ...], to: Any = ...) -> dict[str, Any]:
    """A copy with the place removed, or put to a value."""
    found = copy.deepcopy(value)
    at = found
    for key in path[:-1]:
        at = at[key]
    if to is ...:
        del at[path[-1]]
    else:
        at[path[-1]] = to
    return dict(found)


def pointer(path: tuple[Any, ...]) -> str:
    return "/".join("*" if isinstance(part, int) else str(part) for part in path)


def test_the_folders_are_the_packages() -> None:
    folders = {path.parent.name for path in (ROOT / "policies").glob("*/policy.yaml")}

    assert folders == set(PACKAGES)


@pytest.mark.parametrize("name", PACKAGES)
def test_every_rule_is_described_and_every_description_is_a_rule(name: str) -> None:
    package = shipped()[name]
    written = {
        denies: set(re.findall(rf'^{word} contains finding\(\s*"(\w+)"', package.source, re.M))
        for word, denies in (("deny", True), ("warn", False))
    }

    for denies, rules in written.items():
        assert {rule.id for rule in package.rules if rule.denies is denies} == rules


@pytest.mark.parametrize("name", PACKAGES)
def test_every_rule_that_denies_has_a_sample_that_it_denies(name: str) -> None:
    package = shipped()[name]
    shown = {rule for sample in package.samples for rule in sample.rules}

    assert {rule.id for rule in package.rules if rule.denies} == shown


@pytest.mark.parametrize("name", PACKAGES)
def test_every_rule_that_warns_is_seen_to_warn(name: str) -> None:
    warned: set[str] = set()
    for _, value in allowed(name):
        for path in [(), *places(value)]:
            found = engine().decide(name, changed(value, path) if path else value)
            warned |= {warning.rule for warning in found.warnings}

    missing = {rule.id for rule in shipped()[name].rules if not rule.denies} - warned
    # These warn of too much, not of too little.
    assert missing <= {"budget_low"}


def test_a_budget_that_is_nearly_used_up_is_a_warning() -> None:
    call = dict(allowed("tool_authorization"))["planning"]

    found = engine().decide("tool_authorization", changed(call, ("usage", "tokens_used"), to=900))

    assert found.allowed
    assert [warning.rule for warning in found.warnings] == ["budget_low"]


@pytest.mark.parametrize("name", PACKAGES)
def test_the_tests_in_rego_pass(name: str) -> None:
    results = EmbeddedTests().run(shipped()[name])

    assert [result for result in results if not result.passed] == []
    assert len(results) >= 5


# What may be missing although the sample has it: a rule asks for nothing of these.
FREE = {
    "plan_safety": r"plan(/(apiVersion|kind|task|policy|cause.*|predicted_duration_seconds"
    r"|phases/\*/name|compliance/frameworks.*|image_diff/\*/(platform|assets)"
    r"|blast_radius/dependents|window/timezone|approvals/roles/\*"
    r"|phases/\*/health_checks/\*(/(?!type).*)?|phases/\*/actions/\*/(from_version|image)"
    r"|phases/\*/wait_seconds))|facts",  # of a wave; the canary's is asked for
    "image_safety": r"image/(owner|retention_days|packages/\*|platforms/\*|validation/tests/\*)",
    "sop_safety": r"sop/(author|tags.*|approval/min_approvers|steps/\*(/retries)?)"
    r"|context/last_drill_at|context/now|context",
    "terraform_safety": r"module/(output.*|variable.*|terraform/required_providers/\w+/source)"
    r"|context/allow_\w+|module/provider/\w+/.*",
    "tool_authorization": r"extent|environment|risk.*|autonomy/risk_threshold|approval.*"
    r"|simulation_completed|usage.*|compliance_scope|audit.*|user/can_modify_org",
}
# What the first allowed sample of a package must have: without it there is a denial.
FIRST = {name: next(allowed(name)) for name in PACKAGES}


@pytest.mark.parametrize("name", [n for n in PACKAGES if n != "terraform_safety"])
def test_without_a_field_that_a_rule_needs_there_is_a_denial(name: str) -> None:
    _, value = FIRST[name]
    still = {
        pointer(path)
        for path in places(value)
        if engine().decide(name, changed(value, path)).allowed
    }

    assert {place for place in still if not re.fullmatch(FREE[name], place)} == set()


def test_a_plan_that_runs_needs_every_fact_but_its_extent() -> None:
    value = dict(allowed("plan_safety"))["production_executing"]
    facts = [path for path in places(value) if path[0] == "facts"]
    still = {
        pointer(path)
        for path in facts
        if engine().decide("plan_safety", changed(value, path)).allowed
    }

    assert still == {"facts/extent"}


def test_an_approved_production_change_needs_every_field_but_two() -> None:
    value = dict(allowed("tool_authorization"))["production_approved"]
    still = {
        pointer(path)
        for path in places(value)
        if engine().decide("tool_authorization", changed(value, path)).allowed
    }

    # Where it runs, and how risky it is, does not matter for what is approved anyway.
    free = {"environment", "extent", "risk", "risk/score", "autonomy/risk_threshold"}
    assert still - free == {"user/can_modify_org", "compliance_scope"}


ATTRIBUTES = re.compile(
    r".*(aws_instance/web/(instance_type|root_block_device(/encrypted)?|tags(/\w+)?"
    r"|associate_public_ip_address)|encrypted|multi_az|storage_encrypted|backup_retention_period"
    r"|cidr_blocks|cidr_ipv4|source_\w+|https_traffic_only_enabled|uniform_\w+|public_access_\w+"
    r"|load_balancer_source_ranges|ipv4_enabled|version|required_version)"
)


@pytest.mark.parametrize("sample", [name for name, _ in allowed("terraform_safety")])
def test_terraform_without_what_protects_it_is_denied(sample: str) -> None:
    value = dict(allowed("terraform_safety"))[sample]
    open_to_the_world = re.compile(r".*(ingress/\*/(ipv6_)?cidr_blocks|source_ranges)")
    still = {
        pointer(path)
        for path in places(value)
        if ATTRIBUTES.fullmatch(pointer(path))
        and not open_to_the_world.fullmatch(pointer(path))
        and engine().decide("terraform_safety", changed(value, path)).allowed
    }

    # Web ports may be open to everybody, so nothing hangs on their source.
    assert {p for p in still if "security_rule/*/source_address_prefix" not in p} == set()


# Where what is wrong is the presence of something, its removal is the remedy.
REMEDIES = {
    "image_safety": ("image/packages/*", "image/platforms/*"),
    "sop_safety": ("sop/environments/*", "sop/steps/*"),
    "tool_authorization": (),
}


@pytest.mark.parametrize("name", REMEDIES)
def test_removing_anything_from_a_denied_input_never_allows_it(name: str) -> None:
    kinder = {
        (sample.name, pointer(path))
        for sample in shipped()[name].samples
        if sample.rules
        for path in places(sample.input)
        if engine().decide(name, changed(sample.input, path)).allowed
    }

    assert {(s, p) for s, p in kinder if p not in REMEDIES[name]} == set()


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_less_of_a_denied_plan_is_never_allowed(data: st.DataObject) -> None:
    denied = [sample for sample in shipped()["plan_safety"].samples if sample.rules]
    sample = data.draw(st.sampled_from(denied))
    value: Any = copy.deepcopy(dict(sample.input))
    # Fields of the plan alone: taking an asset or an approval away makes another plan.
    fields = [path for path in places(value) if isinstance(path[-1], str)]
    for path in data.draw(st.lists(st.sampled_from(fields), min_size=1, max_size=3)):
        if path in set(places(value)):
            value = changed(value, path)

    assert not engine().decide("plan_safety", value).allowed


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_value_of_the_wrong_kind_is_never_a_way_in(data: st.DataObject) -> None:
    denied = [sample for sample in shipped()["plan_safety"].samples if sample.rules]
    sample = data.draw(st.sampled_from(denied))
    fields = [path for path in places(sample.input) if isinstance(path[-1], str)]
    strange = st.sampled_from([None, [], {}, ""])
    value = changed(sample.input, data.draw(st.sampled_from(fields)), to=data.draw(strange))

    found = engine().decide("plan_safety", value)

    assert not found.allowed
    assert found.denials


def test_policies_speak_the_vocabulary() -> None:
    schema = json.loads((ROOT / "contracts" / "plan.schema.json").read_text())["properties"]
    for environment in Environment:
        assert environment in schema["environment"]["enum"]
        assert f'"{environment}"' in shipped()["plan_safety"].source
    for platform in Platform:
        assert f'"{platform}"' in shipped()["image_safety"].source
    for word in schema["autonomy"]["properties"]["mode"]["enum"]:
        for package in ("plan_safety", "tool_authorization"):
            assert f'"{word}"' in shipped()[package].source


def test_the_example_of_a_plan_is_allowed() -> None:
    plan = json.loads((ROOT / "contracts/examples/plans/drift-plan.json").read_text())

    found = engine().decide("plan_safety", {"stage": "planned", "plan": plan, "facts": {}})

    assert found.allowed, found.denials
