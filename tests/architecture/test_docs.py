"""The docs say what the code does."""

from collections.abc import Iterator
from dataclasses import fields

import click
import pytest

from qlrf_pipelines.cli.main import COMMANDS, cli
from qlrf_pipelines.domain.datasets import DATASETS
from qlrf_pipelines.settings import Settings
from tests.tools.docs import PAGES, REFERENCE


@pytest.mark.parametrize("page", PAGES)
def test_a_generated_page_is_current(page: str) -> None:
    written = (REFERENCE / page).read_text(encoding="utf-8")

    assert written == PAGES[page](), f"docs/reference/{page} is stale; run `make docs`"


def test_every_command_is_documented() -> None:
    text = (REFERENCE / "cli.md").read_text(encoding="utf-8")

    assert [name for name in COMMANDS if f"## qlrf {name}\n" not in text] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_speaks_json(name: str) -> None:
    found = cli.get_command(click.Context(cli), name)

    for path, command in leaves(name, found):
        options = [option for p in command.params for option in p.opts]
        assert "--json" in options, f"qlrf {path} has no --json"


def leaves(name: str, command: click.Command | None) -> Iterator[tuple[str, click.Command]]:
    """The commands below a group, or the command itself."""
    assert command is not None
    if not isinstance(command, click.Group):
        yield name, command
        return
    for inner, found in command.commands.items():
        yield from leaves(f"{name} {inner}", found)


def test_every_setting_is_documented() -> None:
    text = (REFERENCE / "settings.md").read_text(encoding="utf-8")

    assert [v for f in fields(Settings) if (v := f.metadata["variable"]) not in text] == []


def test_every_column_of_every_dataset_is_explained() -> None:
    for dataset in DATASETS.values():
        for field in dataset.schema:
            assert field.metadata[b"doc"], f"{dataset.name}.{field.name} has no doc"
