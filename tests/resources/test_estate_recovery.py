"""Sites, pairs and recovery plans: what is declared, and everything that is wrong with it."""

from pathlib import Path

import pytest

from qlrf_pipelines.domain.recovery_plans import DrillType
from qlrf_pipelines.domain.roles import Role
from qlrf_pipelines.domain.vocabulary import Environment
from resources.estate import FolderEstate
from tests.fakes.contracts import LEAST_TENANT, problems, write

SITES = """\
{apiVersion: qlrf/v1, kind: Site, metadata: {name: london, tenant: acme}, spec: {platform: aws, region: eu-west-2}}
---
{apiVersion: qlrf/v1, kind: Site, metadata: {name: dublin, tenant: acme}, spec: {platform: aws, region: eu-west-1}}
---
apiVersion: qlrf/v1
kind: DrPair
metadata: {name: london-dublin, tenant: acme}
spec: {primarySite: london, recoverySite: dublin, targets: {rto: 15m, rpo: 1m}}
"""  # noqa: E501
PLAN = """\
apiVersion: qlrf/v1
kind: RecoveryPlan
metadata: {name: orders-full, tenant: acme}
spec:
  application: orders
  tier: 1
  primarySite: london
  recoverySite: dublin
  groups:
    - members:
        - {name: database, adapter: postgres, settings: {password: "env:DB"}}
        - {name: web, adapter: aws, dependsOn: [database]}
  probes:
    - {name: home, type: http, target: "https://orders.example/health"}
  canary: {members: [database]}
"""


def estate(folder: Path, plan: str = PLAN, sites: str = SITES) -> Path:
    return write(folder, tenants__acme=LEAST_TENANT, recovery__sites=sites, recovery__plan=plan)


def test_a_plan_is_read_with_the_targets_of_its_pair(tmp_path: Path) -> None:
    [plan] = FolderEstate(estate(tmp_path)).load().recovery

    assert (plan.rto_seconds, plan.rpo_seconds) == (900.0, 60.0)
    assert (plan.pair, plan.type) == ("london-dublin", DrillType.TEST_FAILOVER)
    assert plan.environment is Environment.PRODUCTION
    assert (plan.approval.quorum, plan.approval.role) == (1, Role.ENGINEER)
    assert plan.fresh_days is None
    assert plan.members[1].depends_on == ("database",)


def test_a_plans_own_target_goes_before_its_pairs(tmp_path: Path) -> None:
    [plan] = FolderEstate(estate(tmp_path, PLAN + "  targets: {rpo: 0s}\n")).load().recovery

    assert (plan.rto_seconds, plan.rpo_seconds) == (900.0, 0.0)


def test_sites_and_pairs_are_the_tenants(tmp_path: Path) -> None:
    found = FolderEstate(estate(tmp_path)).load()

    assert [site.name for site in found.sites_of(found.tenants[0].name)] == ["dublin", "london"]
    assert [pair.name for pair in found.pairs_of(found.tenants[0].name)] == ["london-dublin"]


WRONG = {
    "a circle": (
        "{name: database, adapter: postgres, settings",
        "{name: database, adapter: postgres, dependsOn: [web], settings",
        "circle",
    ),
    "nobody": ("dependsOn: [database]", "dependsOn: [cache]", "no member"),
    "a name twice": ("{name: web, adapter", "{name: database, adapter", "as on line"),
    "a secret": ('"env:DB"', "hunter2", "may be a secret"),
    "a probe without its target": (
        "type: http, target: \"https://orders.example/health\"", "type: http", "needs it",
    ),
    "a parameter of another type": ("type: http,", "type: http, statement: x,", "no parameter"),
    "a canary of nobody": ("members: [database]", "members: [disk]", "no member"),
    "a command on PostgreSQL": (
        'type: http, target: "https://orders.example/health"',
        "type: command, member: database, command: [df]", "postgres cannot answer (it answers sql)",
    ),
    "a statement on AWS": (
        'type: http, target: "https://orders.example/health"',
        "type: sql, member: web, statement: SELECT 1", "aws cannot answer (it answers command)",
    ),
    "a command on vSphere": (
        '{name: web, adapter: aws, dependsOn: [database]}\n  probes:\n'
        '    - {name: home, type: http, target: "https://orders.example/health"}',
        "{name: web, adapter: vsphere}\n  probes:\n"
        "    - {name: home, type: command, member: web, command: [df]}",
        "vsphere cannot answer (it answers neither sql nor command)",
    ),
    "the site itself": ("recoverySite: dublin", "recoverySite: london", "the primary site itself"),
    "no pair": ("primarySite: london\n  recoverySite: dublin", "primarySite: dublin\n"
                "  recoverySite: london", "no DrPair"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_with_a_plan_is_said(tmp_path: Path, wrong: str) -> None:
    old, new, said = WRONG[wrong]
    assert old in PLAN

    found = problems(estate(tmp_path, PLAN.replace(old, new, 1)))

    assert any(said in problem.message for problem in found), [p.message for p in found]
    assert not any("hunter2" in str(problem) for problem in found)


def test_a_pair_of_sites_nobody_declared_is_refused(tmp_path: Path) -> None:
    sites = SITES.replace("name: dublin, tenant", "name: paris, tenant")

    found = problems(estate(tmp_path, sites=sites))

    assert any("does not declare" in problem.message for problem in found)


ASKED_INSIDE = """\
    - {name: inside, type: command, member: web, command: [check, --deep], expect: ok}
    - {name: data, type: sql, member: database, statement: SELECT 1}
"""


def test_a_probe_is_asked_through_the_adapter_that_answers_it(tmp_path: Path) -> None:
    declared = PLAN.replace("  canary:", ASKED_INSIDE + "  canary:")

    [plan] = FolderEstate(estate(tmp_path, declared)).load().recovery

    assert [probe.name for probe in plan.asked_inside] == ["inside", "data"]


def test_what_another_adapter_answers_is_left_to_the_drill(tmp_path: Path) -> None:
    declared = PLAN.replace("adapter: aws", "adapter: nutanix").replace(
        "  canary:", ASKED_INSIDE + "  canary:"
    )

    assert len(FolderEstate(estate(tmp_path, declared)).load().recovery) == 1


def test_the_remedy_of_a_probe_nobody_answers_names_what_can_be_asked(tmp_path: Path) -> None:
    old, new, _ = WRONG["a command on PostgreSQL"]

    [problem] = problems(estate(tmp_path, PLAN.replace(old, new, 1)))

    assert problem.field == "spec.probes[0].type"
    assert problem.remedy == "ask by sql, http or tcp, or ask another member"
