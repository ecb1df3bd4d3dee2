"""The exact versions in constraints/ fit setup.py, each other and this environment."""

import importlib.metadata
import itertools
import pathlib
import re
import runpy
import sys
import types
from collections.abc import Iterable

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tools.requirements import declared, requirements

DIRECTORY = pathlib.Path(__file__).parents[1] / "constraints"
FILES = sorted(DIRECTORY.glob("python*.txt"))
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


def applying(lines: Iterable[str], python: str) -> list[Requirement]:
    """Those of a distribution's requirements, extras apart, that hold for that Python on Linux."""
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.1",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "extra": "",
    }
    return [
        requirement
        for requirement in map(Requirement, lines)
        if requirement.marker is None or requirement.marker.evaluate(environment)
    ]


def test_each_python_that_setup_allows_has_a_file() -> None:
    assert [path.stem for path in FILES] == ["python3.10", "python3.11", "python3.12"]
    allowed = importlib.metadata.metadata("ssl-recsys")["Requires-Python"]
    assert sorted(allowed.split(",")) == ["<3.13", ">=3.10"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_pins_fit_setup(path: pathlib.Path) -> None:
    found = pins(path)
    install, extras = declared()
    lines = [*install, *itertools.chain(*extras.values())]
    required = applying(lines, path.stem.removeprefix("python"))
    assert len(required) == len(lines)
    for requirement in required:
        assert found[canonicalize_name(requirement.name)] in requirement.specifier, requirement
    for name, floor in SAFE.items():
        assert found[name] >= Version(floor)


def test_pins_fit_each_other_and_are_what_is_installed() -> None:
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    found = pins(DIRECTORY / f"python{python}.txt")
    installed = {
        canonicalize_name(dist.metadata["Name"]): Version(dist.version)
        for dist in reversed([*importlib.metadata.distributions()])  # of two, the first counts
    }
    both = installed.keys() & found.keys()
    assert len(both) > 50
    assert {name: installed[name] for name in both} == {name: found[name] for name in both}
    for name in both:
        for requirement in applying(importlib.metadata.requires(name) or [], python):
            assert found[canonicalize_name(requirement.name)] in requirement.specifier, name


def test_the_tool_reads_what_setup_declares(monkeypatch) -> None:
    given: dict = {}
    setuptools = types.SimpleNamespace(setup=given.update, find_packages=lambda include: [])
    monkeypatch.setitem(sys.modules, "setuptools", setuptools)
    runpy.run_path(str(DIRECTORY.parent / "setup.py"))
    install, extras = given["install_requires"], given["extras_require"]
    assert declared() == (install, extras)
    assert requirements(["test", "dev"]) == [*install, *extras["test"], *extras["dev"]]
    with pytest.raises(ValueError, match=r"no extra develop in .*: there are gpu, test"):
        requirements(["develop"])


def test_tpu_pins_are_of_the_same_tensorflow() -> None:
    tpu, cpu = pins(DIRECTORY / "tpu.txt"), pins(FILES[0])
    assert tpu.keys() == {"tensorflow-tpu", "libtpu"}
    assert tpu["tensorflow-tpu"] == cpu["tensorflow"]
    assert pins(DIRECTORY / "pip.txt").keys() == {"pip"}
