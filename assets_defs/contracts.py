"""What the marts read and nobody here computes: the estate's tenants, and the controls."""

import dagster as dg

from assets_defs.steps import OWNERS

_EXTERNAL = {
    "tenants": "The tenants the estate declares.",
    "patch_promises": "What the estate's patch policies promise, per severity.",
    "controls": "The controls shipped with the platform.",
    "control_frameworks": "Which requirements of which framework a control serves.",
    "requirements": "The requirements of the frameworks.",
}
CONTRACTS = [
    dg.AssetSpec(name, group_name="contracts", description=text, kinds={"yaml"}, owners=OWNERS)
    for name, text in _EXTERNAL.items()
]
