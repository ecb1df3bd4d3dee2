"""Imports run one way: pipelines -> data_prep -> ssl_recsys.schema, pipelines -> ssl_recsys."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
# What data jobs may use of the model library: its contract, nothing that loads TensorFlow.
CONTRACT = ("ssl_recsys.schema", "ssl_recsys.errors", "ssl_recsys.cli")


def imports(path: pathlib.Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
            names.add(node.module)
    return names


def modules(package: str) -> list[pathlib.Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("path", modules("ssl_recsys"), ids=lambda path: path.stem)
def test_the_model_library_stands_alone(path: pathlib.Path) -> None:
    tops = {name.split(".")[0] for name in imports(path)}
    assert not tops & {"data_prep", "pipelines", "apache_beam", "tests"}


@pytest.mark.parametrize("path", modules("data_prep"), ids=lambda path: path.stem)
def test_data_prep_knows_only_the_contract(path: pathlib.Path) -> None:
    used = {name for name in imports(path) if name.split(".")[0] in ("ssl_recsys", "pipelines")}
    assert {name for name in used if not name.startswith(CONTRACT)} <= {"ssl_recsys"}


ROOMS = ("wiki", "installs", "synthetic")


@pytest.mark.parametrize("path", modules("data_prep"), ids=lambda path: path.stem)
def test_rooms_of_data_prep_know_nothing_of_each_other(path: pathlib.Path) -> None:
    used = {room for room in ROOMS for name in imports(path) if f"data_prep.{room}" in name}
    assert used <= {path.parent.name}  # what stands at the top uses no room


def test_model_library_imports_have_no_cycle() -> None:
    graph = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): {
            name for name in imports(path) if (ROOT / f"{name.replace('.', '/')}.py").is_file()
        }
        for path in modules("ssl_recsys")
    }
    done: set[str] = set()
    while len(done) < len(graph):
        ready = {name for name in graph.keys() - done if graph[name] <= done}
        assert ready, f"a cycle among {sorted(graph.keys() - done)}"
        done |= ready


@pytest.mark.parametrize("package", ["ssl_recsys", "data_prep", "pipelines"])
def test_files_fit_a_reader(package: str) -> None:
    lengths = {path.name: len(path.read_text().splitlines()) for path in modules(package)}
    assert {name: length for name, length in lengths.items() if length > 400} == {}
