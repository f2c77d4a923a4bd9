"""The detection curve as a picture."""

from collections.abc import Sequence

_WIDTH, _HEIGHT, _LEFT, _TOP = 640, 360, 56, 36
_PLOT = (_WIDTH - _LEFT - 130, _HEIGHT - _TOP - 48)
_COLOURS = ("#4269d0", "#c77c02", "#d1495b", "#3ca951", "#6f4bb2")


def svg(rows: Sequence[dict[str, float]]) -> str:
    """One colour a shift; ours drawn through, Kayenta's dashed."""
    sizes = sorted({row["n"] for row in rows})
    shifts = sorted({row["shift"] for row in rows})
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_LEFT}" y="20">Worse canaries seen, %, by samples per side '
        "(drawn through: ours, dashed: Kayenta)</text>",
    ]
    for percent in range(0, 101, 25):
        y = _y(percent)
        parts.append(
            f'<line x1="{_LEFT}" x2="{_LEFT + _PLOT[0]}" y1="{y}" y2="{y}" stroke="#ddd"/>'
            f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{percent}</text>'
        )
    for i, size in enumerate(sizes):
        parts.append(
            f'<text x="{_x(i, len(sizes))}" y="{_TOP + _PLOT[1] + 20}" '
            f'text-anchor="middle">{size:g}</text>'
        )
    for colour, shift in zip(_COLOURS, shifts, strict=True):
        chosen = sorted((row for row in rows if row["shift"] == shift), key=lambda row: row["n"])
        for name, dashes in (("kayenta", ' stroke-dasharray="5 4"'), ("ours", "")):
            points = " ".join(
                f"{_x(i, len(sizes))},{_y(row[name])}" for i, row in enumerate(chosen)
            )
            parts.append(
                f'<polyline points="{points}" fill="none" stroke="{colour}" '
                f'stroke-width="2"{dashes}/>'
            )
        y = _TOP + 16 + 22 * shifts.index(shift)
        x = _LEFT + _PLOT[0] + 24
        parts.append(
            f'<line x1="{x}" x2="{x + 24}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="2"/>'
            f'<text x="{x + 32}" y="{y + 4}">+{shift:g} %</text>'
        )
    return "\n".join([*parts, "</svg>", ""])


def _x(index: int, count: int) -> float:
    return round(_LEFT + _PLOT[0] * index / (count - 1), 1)


def _y(percent: float) -> float:
    return round(_TOP + _PLOT[1] * (1 - percent / 100), 1)
