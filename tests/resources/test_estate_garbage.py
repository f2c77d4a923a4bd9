"""Whatever the folder holds, the answer is an estate or a list of problems, and never a crash."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from qlrf_pipelines.domain.problems import InvalidEstate, Problem
from resources.estate import FolderEstate
from tests.fakes.contracts import EXEMPTION, IMAGE, TENANT, write

ALL = "---\n".join((TENANT, IMAGE, EXEMPTION))
PLAIN = ["", "~", "1.6", "yes", "0x1f", "2026-10-01", "é", "1e99", "-.inf", "all"]
ODD = ["[]", "{}", "[[1]]", "{a: {b: c}}", "&x [*x]", "!!set {}", "- -", "? a"]
BROKEN = ["'\\n'", '"\\n"', "\0", "\t", "%", "@"]
SCALARS = st.sampled_from([*PLAIN, *ODD, *BROKEN])


def load(text: str) -> None:
    """An estate, or problems that each say what to do."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), tenants__all=text)
        problems: tuple[Problem, ...] = ()
        try:
            FolderEstate(Path(folder)).load()
        except InvalidEstate as error:
            problems = error.problems
    assert all(p.message and p.remedy for p in problems)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(ALL)), st.integers(0, 40), SCALARS)
def test_a_contract_with_a_piece_replaced(start: int, length: int, piece: str) -> None:
    load(ALL[:start] + piece + ALL[start + length :])


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_contract_with_any_value_replaced(data: st.DataObject) -> None:
    lines = ALL.splitlines()
    number = data.draw(st.sampled_from([n for n, line in enumerate(lines) if ":" in line]))
    key = lines[number].split(":")[0]
    lines[number] = f"{key}: {data.draw(SCALARS)}"

    load("\n".join(lines))


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="ab:-[]{}&*!|>'\"%@`#,? \n\t0.~<=", max_size=40))
def test_anything_at_all(text: str) -> None:
    load(text)
