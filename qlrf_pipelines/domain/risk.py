"""Risk: how much one asset's state could cost, as a number whose every part can be shown.

This is the rule itself, for one asset at a time. `services/risk_sql.py` says the same for a
whole fleet; a property test proves that both agree. A missing datum takes its factor's maximum.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qlrf_pipelines.domain.vocabulary import ControlVerdict, Environment, RiskLevel, Severity

# Weights in hundredths: whole numbers keep the sums exact in every engine.
WEIGHTS: Mapping[str, int] = {
    "drift": 25,
    "critical_vulnerabilities": 25,
    "open_vulnerabilities": 20,
    "noncompliance": 15,
    "exposure": 15,
}
ENVIRONMENT_FACTORS: Mapping[Environment, float] = {
    Environment.PRODUCTION: 1.5,
    Environment.DR: 1.2,
    Environment.STAGING: 1.0,
    Environment.DEVELOPMENT: 0.5,
    Environment.SANDBOX: 0.5,
}
UNKNOWN_ENVIRONMENT_FACTOR = 1.5
MOST = 100.0
PER_CRITICAL, PER_OPEN = 25.0, 5.0
SEVERITY_WEIGHTS: Mapping[Severity, int] = {
    Severity.CRITICAL: 4,
    Severity.HIGH: 3,
    Severity.MEDIUM: 2,
    Severity.LOW: 1,
}
MEDIUM_FROM, HIGH_FROM, CRITICAL_FROM = 25, 50, 75

# What the world can reach: rising with what is open, and with an address to reach it by.
#                              no public address   public address
#   nothing open                       0                 30
#   some port open                    40                 70
#   an admin or database port,
#   or every port open                60                100
# Open ports count without an address too: the next network interface may bring one.
EXPOSURE: Mapping[tuple[str, bool], float] = {
    ("none", False): 0,
    ("none", True): 30,
    ("some", False): 40,
    ("some", True): 70,
    ("sensitive", False): 60,
    ("sensitive", True): 100,
}
SENSITIVE_PORTS = (
    22, 23, 135, 139, 445, 1433, 1521, 2375, 2379, 3306, 3389, 5432, 5601, 5900, 5985, 5986,
    6379, 6443, 9200, 10250, 11211, 27017,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPorts:
    """One range of ports open to the whole world; an unknown end reaches as far as it can."""

    protocol: str | None
    from_port: int | None
    to_port: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one control came to on one asset; a verdict of None is as good as never proven."""

    severity: Severity
    verdict: ControlVerdict | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Vulnerabilities:
    """What a vulnerability feed counts on one asset; None is unknown."""

    critical: int | None = None
    open: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskFacts:
    """Everything one asset's risk is made of.

    `findings` None means no control is kept at all; `vulnerabilities` None means the tenant
    connected no feed. An asset a connected feed does not list has an empty `Vulnerabilities`.
    """

    environment: Environment | None
    drift_score: float | None
    findings: Sequence[Finding] | None
    vulnerabilities: Vulnerabilities | None
    public_ip: str | None
    open_ports: Sequence[OpenPorts] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Risk:
    """One asset's risk and the factors it was made of; a factor of None was not assessed."""

    score: float
    level: RiskLevel
    factors: Mapping[str, float | None]
    environment_factor: float
    not_assessed: tuple[str, ...]


def assess(facts: RiskFacts) -> Risk:
    """The weighted mean of what could be assessed, times the environment's factor, up to 100."""
    feed = facts.vulnerabilities
    factors = {
        "drift": MOST if facts.drift_score is None else facts.drift_score,
        "critical_vulnerabilities": _counted(feed.critical, PER_CRITICAL) if feed else None,
        "open_vulnerabilities": _counted(feed.open, PER_OPEN) if feed else None,
        "noncompliance": None if facts.findings is None else noncompliance(facts.findings),
        "exposure": exposure(facts.public_ip, facts.open_ports),
    }
    assessed = {name: value for name, value in factors.items() if value is not None}
    weighted = sum(WEIGHTS[name] * value for name, value in assessed.items())
    multiplier = _environment_factor(facts.environment)
    total = min(MOST, weighted / sum(WEIGHTS[name] for name in assessed) * multiplier)
    return Risk(
        score=total,
        level=level_of(total),
        factors=factors,
        environment_factor=multiplier,
        not_assessed=tuple(name for name in WEIGHTS if factors[name] is None),
    )


def level_of(score: float) -> RiskLevel:
    """The band a score falls into."""
    if score < MEDIUM_FROM:
        return RiskLevel.LOW
    if score < HIGH_FROM:
        return RiskLevel.MEDIUM
    return RiskLevel.HIGH if score < CRITICAL_FROM else RiskLevel.CRITICAL


def noncompliance(findings: Sequence[Finding]) -> float:
    """The severity-weighted share not passed; all of it where nothing was applicable."""
    judged = [f for f in findings if f.verdict is not ControlVerdict.NOT_APPLICABLE]
    judged = [f for f in judged if f.verdict is not ControlVerdict.MANUAL]
    whole = sum(SEVERITY_WEIGHTS[f.severity] for f in judged)
    bad = sum(SEVERITY_WEIGHTS[f.severity] for f in judged if f.verdict is not ControlVerdict.PASS)
    return MOST if whole == 0 else MOST * bad / whole


def exposure(public_ip: str | None, open_ports: Sequence[OpenPorts] | None) -> float:
    """What the world can reach, by the table above; a fact that was not read is the worst."""
    if public_ip is None or open_ports is None:
        return MOST
    opened = "some" if open_ports else "none"
    if any(_sensitive(ports) for ports in open_ports):
        opened = "sensitive"
    return EXPOSURE[opened, public_ip != ""]


def _sensitive(ports: OpenPorts) -> bool:
    if ports.protocol is None or ports.protocol == "-1":
        return True
    first = 0 if ports.from_port is None or ports.from_port < 0 else ports.from_port
    last = 65535 if ports.to_port is None or ports.to_port < 0 else ports.to_port
    return any(first <= port <= last for port in SENSITIVE_PORTS)


def _counted(count: int | None, each: float) -> float:
    return MOST if count is None else min(MOST, each * count)


def _environment_factor(environment: Environment | None) -> float:
    if environment is None:
        return UNKNOWN_ENVIRONMENT_FACTOR
    return ENVIRONMENT_FACTORS[environment]
