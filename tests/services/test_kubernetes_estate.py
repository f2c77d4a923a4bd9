"""A cluster in a contract, end to end: what runs there is listed, judged, weighed, planned for."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.vocabulary import Environment, Platform
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.drift import score_drift
from qlrf_pipelines.services.images import refresh_golden_images
from qlrf_pipelines.services.inventory import refresh_inventory
from qlrf_pipelines.services.planning import Planned, Planning, make_plans
from qlrf_pipelines.services.planning_request import PlanRequest
from qlrf_pipelines.services.risk import score_risk
from resources.estate import FolderEstate
from resources.estate_schema import CONTRACTS
from resources.plan_contract import SchemaPlanContract
from tests.fakes.clock import FakeClock
from tests.fakes.faulty_kube import TOKEN, FaultyKube, workload
from tests.fakes.kube_apiserver import ADMIN
from tests.fakes.kube_cluster import KubeCluster, kubernetes_cloud
from tests.fakes.lake import FakeLake
from tests.fakes.mail import certified
from tests.fakes.policy import shipped_policies
from tests.fakes.world import fake_world

ACME = TenantId("acme")
ENGINE = shipped_policies()
WEB = "registry.acme.example:5000/shop/web"
OLD, NEW = f"{WEB}:2.2.0@sha256:{'a' * 64}", f"{WEB}:2.3.1@sha256:{'b' * 64}"
TENANT = """\
apiVersion: qlrf/v1
kind: Tenant
metadata: {{name: acme}}
spec:
  connectors:
    - name: kubernetes-prod
      platform: kubernetes
      cluster: prod-eu
      endpointUrl: {url}
      caFile: {trust}
      regions: [{namespace}]
      credentials: {{token: "env:TOKEN"}}
  environments: {{tag: environment, map: {{prod: production}}, default: development}}
"""
IMAGE = f"""\
apiVersion: qlrf/v1
kind: GoldenImage
metadata: {{name: shop-web, tenant: acme}}
spec:
  os: {{name: debian, version: "12", arch: x86_64}}
  versions:
    - version: 2.3.1
      status: production
      promotedAt: 2026-10-01T00:00:00Z
      coordinates: {{kubernetes: {{prod-eu: "{NEW}", staging-eu: "{WEB}:2.3.1"}}}}
    - version: 2.2.0
      status: deprecated
      promotedAt: 2026-07-01T00:00:00Z
      coordinates: {{kubernetes: {{prod-eu: "{OLD}"}}}}
"""
# name -> the image it runs, and its labels
RUNNING = {
    "web": (OLD, {}),
    "api": (OLD, {"rollout": "blue-green"}),
    "new": (NEW, {}),
    "loose": (f"{WEB}:2.2.0", {}),
    "other": (f"{WEB}:2.2.0@sha256:{'c' * 64}", {}),
    "cache": ("redis:7", {}),
}
AT_REST = {"qlrf/criticality": "low", "qlrf/dependents": "0", "qlrf/external-dependents": "no"}


class Site:
    """A cluster with these workloads in one namespace of production, and a tenant's contracts."""

    def __init__(self, folder: Path, *, url: str, trust: Path, token: str, namespace: str) -> None:
        self.namespace = namespace
        estate = folder / "estate"
        shutil.copytree(CONTRACTS / "examples" / "patches", estate / "patches")
        tenant = TENANT.format(url=url, trust=trust, namespace=namespace)
        for name, text in (("tenants", tenant), ("images", IMAGE)):
            (estate / name).mkdir()
            (estate / name / "acme.yaml").write_text(text)
        self.clock, self.lake = FakeClock(), FakeLake()
        self.world: World = fake_world(
            clouds={Platform.KUBERNETES: kubernetes_cloud({"TOKEN": token})},
            clock=self.clock,
            lake=self.lake,
            estate=FolderEstate(estate),
        )

    def refresh(self) -> None:
        """What a refresh does for its data."""
        self.clock.advance(hours=1)
        tenants = self.world.estate.load().tenants
        refresh_inventory(self.world, tenants, workers=2, lock_wait=1)
        refresh_golden_images(self.world, tenants)
        score_drift(self.world, tenants)
        score_risk(self.world, tenants)

    def rows(self, dataset: str) -> dict[str, dict[str, Any]]:
        """A dataset's rows by the names of the workloads."""
        found = self.lake.rows(dataset, ACME)
        return {str(row["asset_key"]).rpartition("/")[2]: row for row in found}

    def plans(self, policy: str) -> Planning:
        """The plans under a policy, and what they leave out."""
        request = PlanRequest(tenant=ACME, requested_by="dana@acme.example", policy=policy)
        return make_plans(self.world, request, engine=ENGINE, contract=SchemaPlanContract())

    def planned(self, policy: str) -> Planned:
        """The one plan under a policy."""
        (made,) = self.plans(policy).plans
        return made


@pytest.fixture(params=["served", pytest.param("real", marks=pytest.mark.real)])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    build: Callable[[Path], Iterator[Site]] = {"served": _served, "real": _real}[request.param]
    yield from build(tmp_path)


def _served(folder: Path) -> Iterator[Site]:
    context, _ = certified(folder)
    items = []
    for name, (image, labels) in RUNNING.items():
        item = workload(name)
        item["metadata"]["labels"] = labels
        item["spec"]["template"]["spec"]["containers"][0]["image"] = image
        items.append(item)
    with FaultyKube(context, {"shop": {"deployments": items}}) as kube:
        kube.labels["shop"] = {"environment": "prod", **AT_REST}
        trust = folder / "server.pem"
        yield Site(folder, url=kube.url, trust=trust, token=TOKEN, namespace="shop")


def _real(folder: Path) -> Iterator[Site]:
    cluster = KubeCluster()
    shop = cluster.namespace("shop", environment="prod", **AT_REST)
    for name, (image, labels) in RUNNING.items():
        cluster.workload(name, namespace=shop, image=image, labels=labels)
    server = cluster.server
    yield Site(folder, url=server.url, trust=server.trust, token=ADMIN, namespace=shop)


def test_what_runs_in_a_cluster_is_listed_judged_and_weighed(site: Site) -> None:
    site.refresh()

    inventory, drift, risk = (site.rows(name) for name in ("inventory", "drift", "risk"))
    web = inventory["web"]
    assert web["asset_key"] == f"kubernetes:prod-eu:{site.namespace}:deployment/web"
    assert (web["account"], web["region"], web["site"]) == (
        "prod-eu",
        site.namespace,
        site.namespace,
    )
    assert (web["environment"], web["state"], web["image_ref"]) == ("production", "running", OLD)
    assert {name: (row["drift_verdict"], row["version"]) for name, row in drift.items()} == {
        "web": ("behind", "2.2.0"),
        "api": ("behind", "2.2.0"),
        "new": ("current", "2.3.1"),
        "loose": ("behind", "2.2.0"),
        "other": ("unknown", "2.2.0@sha256:cccccccccccc"),
        "cache": ("unmanaged", None),
    }
    assert {name: row["resolution"] for name, row in drift.items()} == {
        "web": "coordinate",
        "api": "coordinate",
        "new": "coordinate",
        "loose": "tag",
        "other": "tag",
        "cache": "none",
    }
    assert set(risk) == set(RUNNING)
    assert risk["new"]["risk_score"] < risk["web"]["risk_score"]


def test_facts_no_cluster_has_are_unknown_and_no_scope_speaks_of_them(site: Site) -> None:
    site.refresh()

    web = site.rows("inventory")["web"]
    names = ("volume_count", "ebs_encrypted", "open_ports", "public_ip", "patch_managed", "imds_v2")
    assert [web[name] for name in names] == [None] * 6
    scopes = {str(row["kind"]): row["status"] for row in site.lake.rows("scopes", ACME)}
    assert scopes == dict.fromkeys(("account", "region", "instance", "image"), "complete")


def test_a_rolling_plan_gives_each_workload_the_image_of_its_cluster(site: Site) -> None:
    site.refresh()

    made = site.planned("kubernetes-rolling")

    assert made.plan.environment is Environment.PRODUCTION
    actions = {action.name: action for action in made.plan.actions}
    assert set(actions) == {"deployment/web", "deployment/api", "deployment/loose"}
    assert {a.operation.value for a in actions.values()} == {"rolling_update"}
    assert {a.image for a in actions.values()} == {NEW}
    assert [(g.gate, g.result.value) for g in made.gates if g.gate in ("schema", "policy")] == [
        ("schema", "passed"),
        ("policy", "passed"),
    ]
    assert made.denials == ()


def test_a_blue_green_plan_takes_the_workloads_that_are_labelled_for_it(site: Site) -> None:
    site.refresh()

    (action,) = site.planned("kubernetes-blue-green").plan.actions

    assert (action.name, action.image) == ("deployment/api", NEW)
    assert action.parameters["strategy"] == "blue-green"


def test_a_plan_says_why_it_leaves_a_workload_out(site: Site) -> None:
    site.refresh()

    skipped = {one.name: one.why for one in site.plans("kubernetes-rolling").skipped}

    assert "belongs to no family" in skipped["deployment/cache"]
    assert "2.2.0@sha256:cccccccccccc" in skipped["deployment/other"]
    assert "deployment/new" not in skipped
