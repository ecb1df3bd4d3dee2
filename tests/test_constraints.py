"""The exact versions in constraints/ fit setup.py, each other and this environment."""

import importlib.metadata
import pathlib
import re
import sys

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tools.requirements import requirements

DIRECTORY = pathlib.Path(__file__).parents[1] / "constraints"
FILES = sorted(DIRECTORY.glob("python*.txt"))
EXTRAS = importlib.metadata.metadata("ssl-recsys").get_all("Provides-Extra") or []
# Floors below which a version has a published security hole.
SAFE = {"tqdm": "4.66.3", "scikit-learn": "1.5", "pyarrow": "14.0.1", "setuptools": "78.1.1"}


def pins(path: pathlib.Path) -> dict[str, Version]:
    """The version of each distribution; each line has a hash at least."""
    found = {}
    for line in path.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
        text, *hashes = line.split(" --hash=sha256:")
        assert hashes, line
        assert all(re.fullmatch("[0-9a-f]{64} *", digest) for digest in hashes), line
        requirement = Requirement(text)
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
    return [
        requirement
        for requirement in map(Requirement, importlib.metadata.requires(name) or [])
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
    required = wanted("ssl-recsys", path.stem.removeprefix("python"), EXTRAS)
    assert len(required) > len(EXTRAS)
    for requirement in required:
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


def test_the_tool_reads_from_setup_what_the_package_declares() -> None:
    def names(lines: list[str]) -> list[str]:
        return sorted(str(Requirement(line)) for line in lines)

    declared = [Requirement(line) for line in importlib.metadata.requires("ssl-recsys") or []]
    plain = [line for line in declared if "extra" not in str(line.marker)]
    assert names(requirements([])) == names([str(line) for line in plain])
    dev = set(names(requirements(["dev"]))) - set(names(requirements([])))
    assert {Requirement(line).name for line in dev} == {"mypy", "ruff"}
    with pytest.raises(ValueError, match=r"no extra develop in .*: there are gpu, test"):
        requirements(["develop"])


def test_tpu_pins_are_of_the_same_tensorflow() -> None:
    tpu, cpu = pins(DIRECTORY / "tpu.txt"), pins(FILES[0])
    assert tpu.keys() == {"tensorflow-tpu", "libtpu"}
    assert tpu["tensorflow-tpu"] == cpu["tensorflow"]
    assert pins(DIRECTORY / "pip.txt").keys() == {"pip"}
