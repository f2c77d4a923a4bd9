"""PDF by typst: one page description, into which the paper comes as JSON and never as markup."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Literal

from qlrf_pipelines.domain.errors import Unavailable
from qlrf_pipelines.domain.paper import Paper
from qlrf_pipelines.ports.reports import Reports
from resources.report.printable import printable

_PAGE = Path(__file__).with_name("drill.typ")
# For archives, with its structure kept for screen readers; typst refuses what breaks either.
_STANDARDS: list[Literal["a-2a", "ua-1"]] = ["a-2a", "ua-1"]


class TypstReports(Reports):
    """Sets with typst's own fonts alone, so that no machine's fonts change a page."""

    def pdf(self, paper: Paper) -> bytes:
        """The page description and this paper, set."""
        import typst

        try:
            found: bytes = typst.compile(
                str(_PAGE),
                sys_inputs={"paper": json.dumps(_document(paper))},
                ignore_system_fonts=True,
                format="pdf",
                pdf_standards=[*_STANDARDS],
                # The document has the drill's date: no clock may show in the bytes.
                timestamp=0,
            )
        except typst.TypstError as error:
            raise Unavailable(f"The report {paper.running} could not be set: {error}.") from error
        return found


def _document(paper: Paper) -> dict[str, object]:
    # A heading and a description must say something, or a screen reader stops there.
    chart = replace(paper.chart, spoken=paper.chart.spoken.strip() or "-")
    whole = replace(paper, subject=paper.subject.strip() or "-", chart=chart)
    given: dict[str, object] = printable(asdict(whole))
    day = paper.day
    return given | {"day": {"year": day.year, "month": day.month, "day": day.day}}
