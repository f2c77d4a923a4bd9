"""Text that any page can hold: only letters there are glyphs for, and no word without an end."""

import re
import unicodedata
from typing import Any

# What the fonts inside typst have glyphs for, block by block; a test sets every one of them.
_COVERED = (
    (0x20, 0x7E),
    (0xA0, 0x24F),
    (0x370, 0x4FF),
    (0x1E00, 0x1FFF),
    (0x2010, 0x2027),
    (0x2030, 0x2040),
    (0x2044, 0x2052),
    (0x2054, 0x205E),
    (0x2070, 0x20C0),
    (0x2190, 0x2211),
    (0x2212, 0x22FF),
    (0x2500, 0x25FF),
)
_CATEGORIES = "LNPS"  # letters, numbers, punctuation and symbols: nothing that steers the text
_LONGEST = 600
_WORD = 18
_LONG_WORD = re.compile(rf"\S{{{_WORD + 1},}}")
_ZERO_WIDTH_SPACE = "\u200b"


def printable(value: Any) -> Any:  # noqa: ANN401  any JSON value
    """A JSON value with every text in it printable."""
    if isinstance(value, str):
        return printable_text(value)
    if isinstance(value, dict):
        return {key: printable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [printable(item) for item in value]
    return value


def printable_text(text: str) -> str:
    """The text in one line, what has no glyph as its code point, and long words breakable."""
    cut = unicodedata.normalize("NFC", text[: _LONGEST + 1])
    more = f" … ({len(text) - _LONGEST} characters more)" if len(text) > _LONGEST else ""
    shown = "".join(map(_shown, cut[:_LONGEST])) + more
    return _LONG_WORD.sub(_breakable, shown)


def _shown(letter: str) -> str:
    if letter in "\n\r\t":
        return " "
    return letter if is_covered(letter) else f"‹U+{ord(letter):04X}›"


def is_covered(letter: str) -> bool:
    """Whether a page can show a letter as it is."""
    if letter == " ":
        return True
    known = unicodedata.category(letter)[0] in _CATEGORIES
    return known and any(low <= ord(letter) <= high for low, high in _COVERED)


def _breakable(word: re.Match[str]) -> str:
    text = word.group()
    return _ZERO_WIDTH_SPACE.join(text[i : i + _WORD] for i in range(0, len(text), _WORD))
