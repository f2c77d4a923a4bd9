"""The contract of plans, as a JSON Schema with formats."""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from qlrf_pipelines.domain.errors import Unavailable
from qlrf_pipelines.ports.contracts import PlanContract
from resources.estate_schema import CONTRACTS


class SchemaPlanContract(PlanContract):
    """`contracts/plan.schema.json`, read when the first plan is judged."""

    def __init__(self, file: Path = CONTRACTS / "plan.schema.json") -> None:
        self._file = file

    @cached_property
    def _validator(self) -> Draft202012Validator:
        try:
            schema = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise Unavailable(
                f"The contract of plans, {self._file}, cannot be read ({error}); reinstall."
            ) from error
        checker = Draft202012Validator.FORMAT_CHECKER
        return Draft202012Validator(schema, format_checker=checker)

    def breaches(self, document: Mapping[str, Any]) -> Sequence[str]:
        """Every breach with its place."""
        errors = self._validator.iter_errors(dict(document))
        return sorted(f"{error.json_path}: {error.message}" for error in errors)
