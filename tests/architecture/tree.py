"""The project's own files, for tests about conventions."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
ROOMS = ("qlrf_pipelines", "resources", "assets_defs", "sensors")


def project_files() -> list[Path]:
    """Every file of the project: what git tracks or would track, else what lies in the rooms."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode == 0:
        names = listed.stdout.decode().split("\0")
        return [p for name in names if name and (p := ROOT / name).is_file()]
    hidden = (".venv", ".git", ".qlrf")
    return [p for p in ROOT.rglob("*") if p.is_file() and not set(p.parts) & set(hidden)]


def sources(*rooms: str) -> list[Path]:
    """Every Python file of these rooms."""
    return [f for room in rooms for f in sorted((ROOT / room).rglob("*.py"))]
