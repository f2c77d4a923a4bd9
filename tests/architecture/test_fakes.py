"""Every port has a fake."""

import importlib
import inspect
import pkgutil
from types import ModuleType

import pytest

import qlrf_pipelines.ports
import tests.fakes


def modules(package: ModuleType) -> list[ModuleType]:
    found = pkgutil.iter_modules(package.__path__)
    return [importlib.import_module(f"{package.__name__}.{item.name}") for item in found]


def classes(package: ModuleType) -> list[type]:
    return [
        value
        for module in modules(package)
        for value in vars(module).values()
        if inspect.isclass(value) and value.__module__ == module.__name__
    ]


PORTS = [port for port in classes(qlrf_pipelines.ports) if inspect.isabstract(port)]


@pytest.mark.parametrize("port", PORTS, ids=lambda port: port.__name__)
def test_every_port_has_a_fake_that_answers_all_of_it(port: type) -> None:
    fakes = [c for c in classes(tests.fakes) if issubclass(c, port) and not inspect.isabstract(c)]

    assert fakes, f"no class in tests/fakes implements {port.__name__}"


@pytest.mark.parametrize("port", PORTS, ids=lambda port: port.__name__)
def test_every_method_of_a_port_says_what_it_promises(port: type) -> None:
    for name in port.__abstractmethods__:  # type: ignore[attr-defined]
        assert inspect.getdoc(getattr(port, name)), f"{port.__name__}.{name} has no docstring"
