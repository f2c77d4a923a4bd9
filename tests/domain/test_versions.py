"""Version keys: text order is SemVer precedence."""

import pytest
import semver
from hypothesis import example, given
from hypothesis import strategies as st

from qlrf_pipelines.domain.versions import version_key

NUMBERS = st.one_of(st.integers(0, 12), st.integers(0, 10**12)).map(str)
WORDS = st.from_regex(r"[0-9]*[A-Za-z-][0-9A-Za-z-]*", fullmatch=True)
IDENTIFIERS = st.one_of(NUMBERS, WORDS, st.sampled_from(["a", "a-", "-a", "A", "alpha", "alpha0"]))


@st.composite
def versions(draw: st.DrawFn) -> str:
    core = ".".join(draw(st.tuples(NUMBERS, NUMBERS, NUMBERS)))
    prerelease = draw(st.lists(IDENTIFIERS, max_size=4))
    return core + ("-" + ".".join(prerelease) if prerelease else "")


@given(versions(), versions())
@example("1.0.0-alpha", "1.0.0-alpha.1")
@example("1.0.0-alpha-", "1.0.0-alpha.1")
@example("1.0.0-rc.2", "1.0.0-rc.10")
@example("1.0.0-rc", "1.0.0")
def test_key_order_is_semver_precedence(one: str, other: str) -> None:
    first, second = version_key(one), version_key(other)

    assert first is not None
    assert second is not None
    ours = (first.encode() > second.encode()) - (first.encode() < second.encode())
    assert ours == semver.Version.parse(one).compare(other)


@given(st.lists(versions(), min_size=2, max_size=2, unique=True), st.text("ab0-", max_size=3))
def test_versions_that_share_a_core_are_ordered_too(pair: list[str], tail: str) -> None:
    core = pair[0].split("-")[0]
    one, other = f"{core}-x{tail}", f"{core}-x{tail}.0"

    assert version_key(one) < version_key(other) < version_key(core)  # type: ignore[operator]


def test_build_metadata_takes_no_part() -> None:
    assert version_key("1.0.0+a") == version_key("1.0.0+b") == version_key("1.0.0")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "1.6",
        "v1.6.4",
        "1.6.4\n",
        "01.2.3",
        "1.2.3-01",
        "1.2.3-",
        "1٢.0.0",
        "9" * 5000 + ".0.0",
    ],
)
def test_what_is_no_semantic_version_has_no_key(text: str) -> None:
    assert version_key(text) is None


@given(st.text(max_size=20))
def test_no_text_makes_it_raise(text: str) -> None:
    version_key(text)
