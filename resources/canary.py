"""Canary analyses as YAML files, held against their contract before any is used."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qlrf_pipelines.domain.canary import Analysis, Kind, Metric, Provider, Unit, Worse, convert
from qlrf_pipelines.domain.errors import NotFound, Rejected
from qlrf_pipelines.ports.analyses import Analyses
from resources.estate_schema import find_breaches
from resources.estate_yaml import read_yaml

TEMPLATES = Path(__file__).resolve().parent.parent / "policies" / "canary"
_SUFFIXES = (".yaml", ".yml")


class FolderAnalyses(Analyses):
    """The analyses of one folder by name, and any other file by its path."""

    def __init__(self, folder: Path = TEMPLATES) -> None:
        self._folder = folder

    def names(self) -> Sequence[str]:
        """The names of the folder's files, sorted."""
        return sorted(path.stem for path in self._folder.glob("*.yaml"))

    def named(self, name: str) -> Analysis:
        """The analysis of this name, or in this file.

        Raises:
            NotFound: there is none; the message names those there are.
            Rejected: it breaks its contract; the message says where and how to mend it.
        """
        path = Path(name) if name.endswith(_SUFFIXES) else self._folder / f"{name}.yaml"
        try:
            data = path.read_bytes()
        except OSError as error:
            known = ", ".join(self.names())
            raise NotFound(
                f"There is no canary analysis {name}; name one of {known}, or a .yaml file."
            ) from error
        return _analysis(_document(str(path), data))


def _document(file: str, data: bytes) -> dict[str, Any]:
    reading = read_yaml(file, data)
    problems = list(reading.problems)
    for document in reading.documents:
        problems += [problem for _, problem in find_breaches(document)]
    values = [d.value for d in reading.documents if isinstance(d.value, dict)]
    if problems:
        listed = "\n".join(f"  {problem}" for problem in problems)
        raise Rejected(f"{file} breaks its contract:\n{listed}")
    if len(values) != 1 or values[0].get("kind") != "CanaryAnalysis":
        raise Rejected(f"{file} must hold one document of kind CanaryAnalysis; give that file.")
    return values[0]


def _analysis(value: dict[str, Any]) -> Analysis:
    spec = value["spec"]
    score, scopes = spec.get("score", {}), spec.get("scopes", {})
    return Analysis(
        name=value["metadata"]["name"],
        metrics=tuple(_metric(item) for item in spec["metrics"]),
        false_alarm=spec.get("falseAlarm", 0.02),
        confidence=spec.get("confidence", 0.95),
        pass_score=score.get("pass", 100),
        marginal_score=score.get("marginal", 50),
        duration=spec["durationSeconds"],
        step=spec["stepSeconds"],
        looks=spec["looks"],
        provider=provider_of(spec["provider"]) if "provider" in spec else None,
        baseline=scopes.get("baseline", ""),
        canary=scopes.get("canary", ""),
    )


def _metric(item: dict[str, Any]) -> Metric:
    unit, kind = Unit(item["unit"]), Kind(item["kind"])
    name = item["name"]
    if kind is Kind.RATE and "totalQuery" not in item:
        raise Rejected(f"Metric {name} is a rate: add totalQuery, the number of all requests.")
    limit = item.get("limit")
    if limit is not None:
        try:
            limit = convert(limit["value"], unit=Unit(limit["unit"]), into=unit)
        except Rejected as error:
            raise Rejected(f"Metric {name}: {error}") from error
    return Metric(
        name=name,
        unit=unit,
        kind=kind,
        worse=Worse(item.get("worse", "higher")),
        weight=item.get("weight", 1),
        critical=item.get("critical", False),
        relative=item["tolerance"]["relative"],
        absolute=item["tolerance"].get("absolute", 0.0),
        minimum=item.get("minimumSamples", 10),
        limit=limit,
        query=item["query"],
        total_query=item.get("totalQuery", ""),
    )


def provider_of(item: dict[str, Any]) -> Provider:
    """A declared place of metrics."""
    return Provider(
        kind=item["kind"],
        url=item.get("url", ""),
        region=item.get("region", ""),
        credentials=item.get("credentials", {}),
    )
