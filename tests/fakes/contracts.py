# ruff: noqa: E501
"""The three contracts exactly as users were promised them, and folders made of them."""

from pathlib import Path

import pytest

from qlrf_pipelines.domain.problems import InvalidEstate, Problem
from resources.estate import FolderEstate

TENANT = """\
apiVersion: qlrf/v1
kind: Tenant
metadata: {name: acme}                      # ^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$
spec:
  displayName: Acme Corporation
  connectors:
    - name: aws-main
      platform: aws
      regions: [us-east-1, eu-west-1]       # or: all
      endpointUrl: http://127.0.0.1:5555    # optional; also AWS_ENDPOINT_URL
      credentials: {accessKeyId: "env:ACME_KEY", secretAccessKey: "env:ACME_SECRET"}   # optional; default = the SDK's chain
      assumeRoles: ["arn:aws:iam::111122223333:role/qlrf"]                             # optional; one scope set per account
  environments:                             # how a tag value becomes an environment; first match wins
    tag: Environment
    map: {prod: production, production: production, stage: staging, staging: staging, dev: development, dr: dr, sandbox: sandbox}
    default: development
  drift: {graceDays: {production: 7, default: 14}, staleAfterHours: 24}
  safety: {vanishShare: 0.3, vanishMin: 10}
"""
IMAGE = """\
apiVersion: qlrf/v1
kind: GoldenImage
metadata: {name: ql-base-linux, tenant: acme}   # no tenant = shared by all
spec:
  os: {name: ubuntu, version: "22.04", arch: x86_64}
  cisLevel: 1
  versions:
    - version: 1.6.4
      status: production                    # draft testing staging production deprecated retired
      promotedAt: 2026-10-01T00:00:00Z
      environments: [production, staging, dr]  # where this version is the approved one; omitted = all environments
      coordinates:
        aws: {us-east-1: ami-0aaaaaaaaaaaaaaa1, eu-west-1: ami-0bbbbbbbbbbbbbbb1}
    - version: 1.6.3
      status: deprecated
      promotedAt: 2026-07-01T00:00:00Z
      coordinates: {aws: {us-east-1: ami-0aaaaaaaaaaaaaaa0}}
"""
EXEMPTION = """\
apiVersion: qlrf/v1
kind: Exemption
metadata: {name: legacy-db, tenant: acme}
spec:
  selector: {tags: {exempt: "yes"}, families: [ql-base-linux], environments: [production], assets: [i-0abc]}   # all given parts must match; at least one
  verdicts: [behind, retired, unmanaged]
  reason: vendor support ends in March
  approver: ciso@example.com
  expiresAt: 2027-03-31T00:00:00Z          # mandatory; once past it is not applied, and reports say so
"""
LEAST_TENANT = "{apiVersion: qlrf/v1, kind: Tenant, metadata: {name: acme}, spec: {}}\n"
POLICY = """\
apiVersion: qlrf/v1
kind: PatchPolicy
metadata: {{name: monthly}}
spec:
  selector: {{environments: [production]}}
  source: {source}
  strategy: {strategy}
  {more}
"""


def policy(
    source: str = "{type: golden-image}", strategy: str = "{type: canary}", more: str = ""
) -> str:
    """A patch policy of these parts, as YAML."""
    return POLICY.format(source=source, strategy=strategy, more=more)


def write(folder: Path, **files: str | bytes) -> Path:
    """Files by name: tenants__acme is tenants/acme.yaml."""
    for name, text in files.items():
        path = folder / (name.replace("__", "/") + ".yaml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def issue_estate(folder: Path, **files: str) -> Path:
    """The three contracts as printed, some of them replaced."""
    parts = {"tenants__acme": TENANT, "images__linux": IMAGE, "exemptions__db": EXEMPTION}
    return write(folder, **(parts | files))


def problems(folder: Path) -> tuple[Problem, ...]:
    with pytest.raises(InvalidEstate) as caught:
        FolderEstate(folder).load()
    return caught.value.problems
