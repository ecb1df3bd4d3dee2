"""The exact versions in constraints/ fit setup.py, each other and this environment."""

import importlib.metadata
import pathlib
import sys

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

DIRECTORY = pathlib.Path(__file__).parents[1] / "constraints"
FILES = sorted(DIRECTORY.glob("python*.txt"))
EXTRAS = importlib.metadata.metadata("ssl-recsys").get_all("Provides-Extra") or []
# Floors below which a version has a published security hole.
SAFE = {"tqdm": "4.66.3", "scikit-learn": "1.5", "pyarrow": "14.0.1", "setuptools": "78.1.1"}


def pins(path: pathlib.Path) -> dict[str, Version]:
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        requirement = Requirement(line)
        (specifier,) = requirement.specifier
        assert specifier.operator == "==", line
        found[canonicalize_name(requirement.name)] = Version(specifier.version)
    return found


def wanted(name: str, python: str, extras: list[str]) -> list[Requirement]:
    """A distribution's requirements under that Python, on Linux."""
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.1",
        "sys_platform": "linux",
        "platform_system": "Linux",
    }
    requirements = map(Requirement, importlib.metadata.requires(name) or [])
    return [
        requirement
        for requirement in requirements
        if requirement.marker is None
        or any(requirement.marker.evaluate(environment | {"extra": e}) for e in ["", *extras])
    ]


def test_each_python_that_setup_allows_has_a_file() -> None:
    assert [path.stem for path in FILES] == ["python3.10", "python3.11", "python3.12"]
    allowed = importlib.metadata.metadata("ssl-recsys")["Requires-Python"]
    assert sorted(allowed.split(",")) == ["<3.13", ">=3.10"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_pins_fit_setup(path: pathlib.Path) -> None:
    found = pins(path)
    requirements = wanted("ssl-recsys", path.stem.removeprefix("python"), EXTRAS)
    assert len(requirements) > len(EXTRAS)
    for requirement in requirements:
        assert found[canonicalize_name(requirement.name)] in requirement.specifier, requirement
    for name, floor in SAFE.items():
        assert found[name] >= Version(floor)


def test_pins_fit_each_other_and_are_what_is_installed() -> None:
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    found = pins(DIRECTORY / f"python{python}.txt")
    installed = {
        canonicalize_name(dist.metadata["Name"]): Version(dist.version)
        for dist in importlib.metadata.distributions()
    }
    both = installed.keys() & found.keys()
    assert len(both) > 50
    assert {name: installed[name] for name in both} == {name: found[name] for name in both}
    for name in both:
        for requirement in wanted(name, python, []):
            assert found[canonicalize_name(requirement.name)] in requirement.specifier, name
