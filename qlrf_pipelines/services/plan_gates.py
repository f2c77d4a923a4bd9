"""The gates of a plan, in order; each says what it was given, what it found and why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from qlrf_pipelines.domain.autonomy import Permission, Proposal
from qlrf_pipelines.domain.change_risk import ChangeRisk
from qlrf_pipelines.domain.errors import QlrfError
from qlrf_pipelines.domain.policy import Decision
from qlrf_pipelines.ports.contracts import PlanContract
from qlrf_pipelines.ports.policy import PolicyEngine

PACKAGE = "plan_safety"
NO_BUNDLE = "none"


class Result(StrEnum):
    """What a gate says."""

    PASSED = "passed"
    DENIED = "denied"
    APPROVAL = "approval"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One gate's answer."""

    gate: str
    result: Result
    inputs: Mapping[str, str]
    reasons: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """The answer as it stands in the plan."""
        return {
            "gate": self.gate,
            "result": self.result.value,
            "inputs": dict(self.inputs),
            "reasons": list(self.reasons),
        }


def schema_gate(contract: PlanContract | None, document: Mapping[str, Any]) -> Gate:
    """Whether the generated plan keeps its contract; an unreadable contract denies."""
    reasons: Sequence[str]
    if contract is None:
        reasons = ("there is no contract to hold the plan against",)
    else:
        try:
            reasons = contract.breaches(document)
        except QlrfError as error:
            reasons = (str(error),)
    return Gate(
        gate="schema",
        result=Result.DENIED if reasons else Result.PASSED,
        inputs={"contract": "urn:qlrf:v1:plan"},
        reasons=tuple(reasons),
    )


def policy_gate(engine: PolicyEngine | None, document: Mapping[str, Any]) -> Gate:
    """What the policies say of the generated plan; without an engine or a bundle, no."""
    inputs = {"package": PACKAGE, "stage": "planned"}
    if engine is None:
        why = "there is no policy engine, and nothing passes unjudged"
        return Gate(gate="policy", result=Result.DENIED, inputs=inputs, reasons=(why,))
    found = engine.decide(PACKAGE, {"stage": "planned", "plan": document, "facts": {}})
    allowed = found.allowed and bool(found.bundle_digest) and not found.denials
    return Gate(
        gate="policy",
        result=Result.PASSED if allowed else Result.DENIED,
        inputs={**inputs, "bundle": found.bundle_digest or NO_BUNDLE},
        reasons=_findings(found, allowed=allowed),
    )


def executing_gate(
    engine: PolicyEngine, document: Mapping[str, Any], facts: Mapping[str, Any], *, bundle: str
) -> Gate:
    """What the policies that judged a plan say of it right before it runs.

    Another bundle than at planning is a denial: nobody approved what that one lets through.
    """
    plan = {name: value for name, value in document.items() if name != "gates"}
    found = engine.decide(PACKAGE, {"stage": "executing", "plan": plan, "facts": dict(facts)})
    same = bool(bundle) and found.bundle_digest == bundle
    allowed = found.allowed and same and not found.denials
    other = () if same or found.denials else ("other policies answered than judged the plan",)
    return Gate(
        gate="policy",
        result=Result.PASSED if allowed else Result.DENIED,
        inputs={
            "package": PACKAGE,
            "stage": "executing",
            "bundle": found.bundle_digest or NO_BUNDLE,
        },
        reasons=(*other, *_findings(found, allowed=allowed or bool(other))),
    )


def _findings(found: Decision, *, allowed: bool) -> tuple[str, ...]:
    denied = [f"{d.rule}: {d.message} ({d.resource})" for d in found.denials]
    warned = [f"warning: {w.rule}: {w.message} ({w.resource})" for w in found.warnings]
    if not allowed and not denied:
        denied = ["no policy answered, and nothing passes unjudged"]
    return tuple(denied + warned)


def risk_gate(risk: ChangeRisk) -> Gate:
    """The change risk; a critical one always wants people."""
    worst = sorted(risk.factors, key=lambda f: -f.weight * f.score)
    critical = risk.level == "critical"
    return Gate(
        gate="risk",
        result=Result.APPROVAL if critical else Result.PASSED,
        inputs={f.factor.value: f"{f.score:g}" for f in risk.factors},
        reasons=(
            f"{risk.score:g} of 100 is {risk.level}: at most {risk.batch_share:.0%} at once",
            *(f"{f.factor} {f.score:g}: {f.why}" for f in worst if f.score > 60),
        ),
    )


def autonomy_gate(permission: Permission, proposal: Proposal) -> Gate:
    """What the tenant's autonomy rules allow."""
    window = proposal.window
    return Gate(
        gate="autonomy",
        result=Result.APPROVAL if permission.approval else Result.PASSED,
        inputs={
            "mode": permission.mode.value,
            "operations": ", ".join(proposal.operations),
            "platforms": ", ".join(proposal.platforms),
            "assets": str(proposal.assets),
            "critical_assets": str(proposal.critical),
            "risk": "unknown" if proposal.risk is None else f"{proposal.risk.score:g}",
            "window": "none" if window is None else f"{window.opens_at:%Y-%m-%dT%H:%M:%SZ}",
        },
        reasons=(permission.reason, *permission.blocked),
    )


def approvals_gate(
    *, required: bool, quorum: int, roles: Sequence[str], why: Sequence[str]
) -> Gate:
    """Who must agree before anything happens."""
    return Gate(
        gate="approvals",
        result=Result.APPROVAL if required else Result.PASSED,
        inputs={"quorum": str(quorum), "roles": ", ".join(roles) or "none"},
        reasons=tuple(why),
    )
