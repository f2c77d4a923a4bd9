"""Habits that a linter does not hold."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.tree import ROOMS, ROOT, project_files, sources

LONGEST = 400
# Put together here, so that this file does not hold what it looks for.
REGISTRIES = ("pypi" + ".org", "pythonhosted" + ".org", "npmjs" + ".org", "index" + "-url = ")
MACHINE_PATHS = re.compile(r"(?<![\w.\-])/(?:" + "work|root" + r")/")
BINARY = (".png", ".ico", ".gz", ".parquet", ".jpg", ".svg")


def texts() -> Iterator[tuple[Path, str]]:
    for path in project_files():
        if path.suffix not in BINARY:
            yield path.relative_to(ROOT), path.read_text(encoding="utf-8", errors="replace")


def test_no_file_names_a_package_registry() -> None:
    found = [f"{path}: {r}" for path, text in texts() for r in REGISTRIES if r in text]

    assert found == []


def test_no_file_names_a_path_of_the_machine_it_was_written_on() -> None:
    found = [
        f"{path}:{number}"
        for path, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        if MACHINE_PATHS.search(line)
    ]

    assert found == []


def too_long(*rooms: str) -> dict[str, int]:
    """Files of these rooms that nobody can hold in mind, and their lengths."""
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in sources(*rooms)
    }
    return {name: length for name, length in lengths.items() if length > LONGEST}


def test_a_module_is_one_thought() -> None:
    assert too_long(*ROOMS, "bench") == {}


def test_a_test_file_is_one_feature() -> None:
    assert too_long("tests") == {}


def test_nobody_catches_everything() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sources(*ROOMS)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ExceptHandler) and _is_broad(node)
    ]

    assert found == []


def _is_broad(handler: ast.ExceptHandler) -> bool:
    """`except:`, or one whose types include Exception or BaseException."""
    if handler.type is None:
        return True
    parts = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(isinstance(p, ast.Name) and p.id in ("Exception", "BaseException") for p in parts)


def test_no_drawer_for_everything() -> None:
    drawers = {"utils", "util", "helpers", "helper", "manager", "common", "misc"}

    assert [str(p) for p in sources(*ROOMS) if p.stem in drawers] == []
