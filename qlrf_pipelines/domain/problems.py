"""What is wrong with the estate, place by place, all of it at once."""

from collections.abc import Iterable
from dataclasses import dataclass

from qlrf_pipelines.domain.errors import Rejected


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Problem:
    """One thing to mend: where it is, what is wrong and what to do.

    `line` counts from 1; 0 means the file or folder as a whole. `field` is a path such as
    `spec.connectors[0].regions`; '' means the document as a whole.
    """

    file: str
    line: int
    field: str
    message: str
    remedy: str

    def __str__(self) -> str:
        """`file:line: field: message; remedy`, the form editors can follow."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        what = f"{self.field}: {self.message}" if self.field else self.message
        return f"{place}: {what}; {self.remedy}."


class InvalidEstate(Rejected):
    """Contracts of the estate break their rules; `problems` are all of them, sorted."""

    def __init__(self, folder: str, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(set(problems)))
        count = len(self.problems)
        counted = "1 problem" if count == 1 else f"{count} problems"
        lines = "\n".join(f"  {problem}" for problem in self.problems)
        super().__init__(f"The estate {folder} has {counted}:\n{lines}")
