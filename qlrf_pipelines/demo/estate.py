"""The demonstration's contracts: templates whose dates are relative to today."""

import re
from datetime import datetime, timedelta
from pathlib import Path

from qlrf_pipelines.domain.moments import iso

TEMPLATES = Path(__file__).parent / "contracts"
_DAYS = re.compile(r"\{\{days_ago (-?\d+)\}\}")
_ENDPOINT = re.compile(r'endpointUrl: "[^"]*"')
_TESTING = "status: testing                    # the second day promotes it"


def write_estate(folder: Path, *, cloud: str, credentials: Path, now: datetime) -> None:
    """Write every contract below `folder`, dated from `now`.

    `cloud` is the URL of the AWS API; `credentials` a folder for its (simulated) key pair, which
    the contracts refer to as every contract must: by reference.
    """
    credentials.mkdir(parents=True, exist_ok=True)
    for name in ("key", "secret"):
        (credentials / name).write_text(f"simulated-{name}", encoding="utf-8")
    for template in sorted(TEMPLATES.rglob("*.yaml")):
        text = template.read_text(encoding="utf-8").replace("{{cloud}}", cloud)
        text = text.replace("{{credentials}}", str(credentials))
        target = folder / template.relative_to(TEMPLATES)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_DAYS.sub(lambda m: _days_before(now, m), text), encoding="utf-8")


def promote(folder: Path, *, now: datetime) -> None:
    """Promote ql-base-linux 1.7.0 from testing to production, as an engineer's commit would."""
    contract = folder / "images" / "ql-base-linux.yaml"
    text = contract.read_text(encoding="utf-8")
    promoted = f"status: production\n      promotedAt: {iso(now, digits=False)}"
    contract.write_text(text.replace(_TESTING, promoted, 1), encoding="utf-8")


def point_at(folder: Path, cloud: str) -> None:
    """Let every connector lead to another URL: the simulated cloud was started again."""
    for contract in (folder / "tenants").glob("*.yaml"):
        text = contract.read_text(encoding="utf-8")
        contract.write_text(_ENDPOINT.sub(f'endpointUrl: "{cloud}"', text), encoding="utf-8")


def _days_before(now: datetime, match: re.Match[str]) -> str:
    return iso(now - timedelta(days=int(match[1])), digits=False)
