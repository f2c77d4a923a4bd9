"""Reports: any text is text, any length fits, and the same paper is the same bytes."""

import shutil
import subprocess
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qlrf_pipelines.domain.paper import Cell, Paper
from qlrf_pipelines.ports.reports import Reports
from qlrf_pipelines.services.drill_paper import paper_of
from qlrf_pipelines.services.drill_report import drill_report, seal_document
from resources.report.pdf import TypstReports
from resources.report.printable import _COVERED, is_covered, printable_text
from tests.fakes.approvals import ACME
from tests.fakes.drill_house import DrillHouse
from tests.fakes.reports import FakeReports

MARKUP = [
    '#panic("run")',
    "*bold* _it_ `raw` $x^2$ <label> @ref = head",
    "#{ let x = 1; x } #import \"x.typ\" #read(\"secret\")",
    "\\ // line /* block */ ]]] }}} ))) \"quoted\"",
    "#context counter(page).final()",
]  # fmt: skip
HOSTILE = [
    *MARKUP,
    "\u202eevil\u202c \u2066bidi\u2069 \x00\x07\x1b[31m",
    "漢字 العربية עברית हिन्दी 🚒 👩‍👩‍👧",
    "e\u0301\u0301\u0301\u0301 \ufffe \ue000 \U000f0000",
    "x" * 5_000,
    "word " * 2_000,
    "\n\n\r\n\ttabs and\nlines",
    "",
]


def paper() -> Paper:
    house = DrillHouse()
    house.database.lag = 3
    report = drill_report(house.world, ACME, house.run().id)
    return paper_of(report.document, seal_document(report.seal, report.digest))


PAPER = paper()


def filled(text: str) -> Paper:
    """The paper with this text wherever text of others may stand."""
    part = replace(
        PAPER.parts[0], note=text, rows=[(Cell(text=text),) * 5, (Cell(text=text, mono=True),) * 5]
    )
    return replace(
        PAPER,
        subject=text,
        subtitle=text,
        summary=text,
        tenant=text,
        running=text,
        footer=text,
        tiles=tuple(
            replace(t, measured=text, target=text, verdict=text, why=text) for t in PAPER.tiles
        ),
        facts=((text, text), ("Tenant", text)),
        chart=replace(
            PAPER.chart,
            spoken=text,
            lanes=tuple(replace(lane, label=text) for lane in PAPER.chart.lanes),
        ),
        parts=(part, *PAPER.parts),
        method=((text, text),),
        proof=text,
        proofs=((text, text),),
    )


@pytest.mark.parametrize("reports", [FakeReports(), TypstReports()], ids=["fake", "real"])
def test_the_same_paper_is_the_same_bytes(reports: Reports) -> None:
    first, second = reports.pdf(PAPER), reports.pdf(paper())

    assert first.startswith(b"%PDF-")
    assert first == second
    assert reports.pdf(replace(PAPER, subject="other")) != first


@pytest.mark.parametrize("reports", [FakeReports(), TypstReports()], ids=["fake", "real"])
@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_text_breaks_a_report(reports: Reports, text: str) -> None:
    assert reports.pdf(filled(text)).startswith(b"%PDF-")


def test_a_report_is_tagged_and_made_for_archives() -> None:
    data = TypstReports().pdf(PAPER)

    assert b"pdfaid:part>2<" in data
    assert b"pdfuaid:part>1<" in data
    assert b"/StructTreeRoot" in data


def test_every_letter_that_is_printed_as_itself_has_a_glyph() -> None:
    letters = [
        chr(number)
        for low, high in _COVERED
        for number in range(low, high + 1)
        if is_covered(chr(number)) and unicodedata.normalize("NFC", chr(number)) == chr(number)
    ]
    assert len(letters) > 2_000
    rows = ["".join(letters[i : i + 64]) for i in range(0, len(letters), 64)]
    part = replace(
        PAPER.parts[0], rows=[(Cell(text=r),) * 4 + (Cell(text=r, mono=True),) for r in rows]
    )

    # The archive standard refuses a letter without a glyph, so setting it is the proof.
    assert TypstReports().pdf(replace(PAPER, parts=(part,))).startswith(b"%PDF-")


@given(text=st.text(max_size=2_000))
@settings(max_examples=200, deadline=None)
def test_printable_text_is_short_covered_and_breakable(text: str) -> None:
    shown = printable_text(text)

    words = [piece for word in shown.split() for piece in word.split("\u200b")]
    assert all(len(word) <= 18 for word in words)
    assert all(is_covered(letter) or letter == "\u200b" for letter in shown)
    assert "\n" not in shown


def test_what_has_no_glyph_is_named_and_what_is_cut_says_so() -> None:
    assert printable_text("a\u202eb") == "a‹U+202E›b"
    assert printable_text("Zürich – 100 %") == "Zürich – 100 %"
    assert printable_text("a " * 400).endswith("… (200 characters more)")


@pytest.mark.real
@pytest.mark.skipif(
    shutil.which("pdftotext") is None, reason="get it: apt-get install poppler-utils"
)
@pytest.mark.parametrize("text", MARKUP, ids=range(len(MARKUP)))
def test_markup_is_read_on_the_page_as_it_was_written(text: str, tmp_path: Path) -> None:
    path = tmp_path / "report.pdf"
    path.write_bytes(TypstReports().pdf(replace(PAPER, summary=text)))

    done = subprocess.run(
        ["pdftotext", "-layout", str(path), "-"], capture_output=True, text=True, check=True
    )

    assert "".join(text.split()) in "".join(done.stdout.split())
    digests = [word for word in done.stdout.split() if len(word) == 64]
    assert dict(PAPER.proofs)["Evidence, SHA-256"] in digests, "a digest is copied as it is"
