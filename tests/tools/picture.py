"""Pictures of web pages: `python -m tests.tools.picture URL FILE.png [WIDTHxHEIGHT] [SECONDS]`.

Uses the Chromium that stands on the machine (`apt-get install chromium`); nothing is downloaded.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
GET_A_BROWSER = "no browser here; get one with: apt-get install -y --no-install-recommends chromium"


def browser() -> str | None:
    """The path of a Chromium, if there is one."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def _command(program: str, profile: str, *, size: str, patience: int) -> list[str]:
    return [
        program,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--hide-scrollbars",
        f"--user-data-dir={profile}",
        f"--window-size={size.replace('x', ',')}",
        f"--virtual-time-budget={patience * 1000}",
    ]


def take(url: str, target: Path, *, size: str = "1440x900", patience: int = 25) -> None:
    """Write a PNG of the page as it stands after `patience` seconds of its own time."""
    program = browser()
    if program is None:
        raise SystemExit(GET_A_BROWSER)
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run(
            [
                *_command(program, profile, size=size, patience=patience),
                f"--screenshot={target}",
                url,
            ],
            check=True,
            capture_output=True,
            timeout=120,
        )


def text(url: str, *, patience: int = 25) -> str:
    """The page's DOM, as the browser built it after `patience` seconds of its own time."""
    program = browser()
    if program is None:
        raise SystemExit(GET_A_BROWSER)
    with tempfile.TemporaryDirectory() as profile:
        done = subprocess.run(
            [*_command(program, profile, size="1440x900", patience=patience), "--dump-dom", url],
            check=True,
            capture_output=True,
            text=True,
            timeout=120,
        )
    return done.stdout


if __name__ == "__main__":
    arguments = sys.argv[1:]
    take(
        arguments[0],
        Path(arguments[1]).absolute(),
        size=arguments[2] if len(arguments) > 2 else "1440x900",
        patience=int(arguments[3]) if len(arguments) > 3 else 25,
    )
