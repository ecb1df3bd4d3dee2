"""Imports run one way, as the tables of docs/design.md say; flags are read at the door only."""

import ast
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = ("ssl_recsys", "data_prep", "pipelines", "benchmarks")
DESIGN = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
MOST_LINES = 350
MOST_TOP_MODULES = 19
COMMANDS = (
    *("train", "evaluate", "calibrate", "baselines", "recommend", "embed", "index", "serve"),
    "advise",
)


def modules(package: str) -> list[pathlib.Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports(path: pathlib.Path, *, at_the_top_only: bool = False) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if at_the_top_only else list(ast.walk(tree))
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
            names.add(node.module)
    return names


def module_name(path: pathlib.Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def own_imports(path: pathlib.Path) -> set[str]:
    """The modules of this repository that a module imports."""
    return {name for name in imports(path) if name.split(".")[0] in PACKAGES and is_module(name)}


def table(heading: str) -> dict[str, set[str]]:
    """First column -> names in backticks of the last one, of the table under a heading."""
    section = DESIGN.split(f"\n{heading}\n")[1].split("\n#")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line[:1] == "|"]
    return {
        name: set(re.findall(r"`([\w./]+)`", cells[-1]))
        for cells in rows[2:]
        for name in re.findall(r"`([\w./]+)`", cells[0])
    }


def room(name: str, rooms: set[str]) -> str:
    """The room of the table that a module is in: the longest that its name begins with."""
    path = name.replace(".", "/")
    return max((r for r in rooms if path == r or path.startswith(r + "/")), key=len)


ROOMS = table("## Rooms")
BY_NAME = {module_name(path): path for package in PACKAGES for path in modules(package)}


def test_the_table_of_rooms_names_every_package() -> None:
    assert {name for name in ROOMS if "/" not in name} == set(PACKAGES)
    for name in ROOMS:
        assert is_module(name), f"docs/design.md names {name}, which is not there"


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_are_those_of_the_table(package: str) -> None:
    for path in modules(package):
        own = room(module_name(path), set(ROOMS))
        for name in own_imports(path):
            other = room(name, set(ROOMS))
            allowed = ROOMS[own] | {own}
            assert other in allowed, f"{module_name(path)} imports {name}: {own} may not"


def test_the_table_allows_nothing_that_no_module_does() -> None:
    used: dict[str, set[str]] = {name: set() for name in ROOMS}
    for package in PACKAGES:
        for path in modules(package):
            own = room(module_name(path), set(ROOMS))
            used[own] |= {room(name, set(ROOMS)) for name in own_imports(path)} - {own}
    assert {name: ROOMS[name] - used[name] for name in ROOMS if ROOMS[name] - used[name]} == {}


def test_imports_have_no_cycle() -> None:
    graph = {name: own_imports(path) - {name} for name, path in BY_NAME.items()}
    # Importing a module runs the __init__ of its packages, which import nothing.
    assert not any(graph[name] for name in graph if (ROOT / name.replace(".", "/")).is_dir())
    done: set[str] = set()
    while len(done) < len(graph):
        ready = {name for name in graph.keys() - done if graph[name] <= done}
        assert ready, f"a cycle among {sorted(graph.keys() - done)}"
        done |= ready


def test_search_knows_neither_model_nor_training() -> None:
    for path in modules("ssl_recsys/search"):
        assert not {n for n in own_imports(path) if re.match(r"ssl_recsys\.(model|training)", n)}


def test_data_model_and_search_know_nothing_of_training_and_commands() -> None:
    commands = {f"ssl_recsys.{name}" for name in COMMANDS}
    for inner in ("data", "model", "search", "evaluation"):
        for path in modules(f"ssl_recsys/{inner}"):
            used = own_imports(path)
            assert not used & commands
            assert not {name for name in used if name.startswith("ssl_recsys.training")}


# What data jobs may use of the library, none of which reads a flag or loads TensorFlow.
CONTRACT = {
    f"ssl_recsys.{name}" for name in ("errors", "files", "features", "schema", "options", "tokens")
}
CONTRACT |= {"ssl_recsys.raw", "ssl_recsys.raw.rules", "ssl_recsys.raw.words"}


@pytest.mark.parametrize("path", modules("data_prep"), ids=module_name)
def test_data_prep_knows_only_the_contract(path: pathlib.Path) -> None:
    used = {name for name in own_imports(path) if name.startswith("ssl_recsys")}
    assert used <= CONTRACT | {"ssl_recsys"}


# Logs of users are read as install logs are, and tables of users as tables of items.
BUILDS_ON = {"interactions": {"installs"}}


@pytest.mark.parametrize("path", modules("data_prep"), ids=module_name)
def test_rooms_of_data_prep_know_nothing_of_each_other(path: pathlib.Path) -> None:
    rooms = {r.name for r in (ROOT / "data_prep").iterdir() if r.is_dir() and r.name[0] != "_"}
    used = {name.split(".")[1] for name in own_imports(path) if name.startswith("data_prep.")}
    assert used & rooms <= {path.parent.name, *BUILDS_ON.get(path.parent.name, ())}


def test_flags_are_read_only_in_modules_that_are_run() -> None:
    readers = {"ssl_recsys.options", "ssl_recsys.cli", "pipelines.experiments.runner"}
    for package in PACKAGES:
        for path in modules(package):
            text = path.read_text(encoding="utf-8")
            if "absl.flags" in imports(path):
                assert module_name(path) in readers
            if "ssl_recsys.cli" in own_imports(path) and module_name(path) not in CLI_USERS:
                assert '\nif __name__ == "__main__":\n' in text, f"{path} is not run"


# They start commands for others.
CLI_USERS = ("pipelines.beam_job", "pipelines.beam_runner", "benchmarks.harness")


# Modules that say what is wrong with flags before TensorFlow is loaded, which takes seconds.
LIGHT = [
    *(ROOT / "ssl_recsys").glob("*.py"),
    *(ROOT / "ssl_recsys" / "training" / f"{name}.py" for name in ("run_dir", "feature_checks")),
    *(ROOT / "pipelines" / f"{name}.py" for name in ("study", "tune")),
]
HEAVY = ("tensorflow", "tensorflow_datasets", "apache_beam", "scann")
# Modules that load TensorFlow at some time, if not at once.
OF_TENSORFLOW = {
    module_name(path)
    for path in modules("ssl_recsys")
    if "tensorflow" in {name.split(".")[0] for name in imports(path)}
}


@pytest.mark.parametrize("path", LIGHT, ids=module_name)
def test_flags_are_checked_before_what_is_heavy_is_loaded(path: pathlib.Path) -> None:
    # What a command needs of the heavy rooms is imported once its flags are known to be good.
    assert not imports(path, at_the_top_only=True) & OF_TENSORFLOW
    left, seen = [module_name(path)], set()
    while left:
        name = left.pop()
        loaded = imports(BY_NAME[name], at_the_top_only=True)
        heavy = {one.split(".")[0] for one in loaded}.intersection(HEAVY)
        assert not heavy, f"{module_name(path)} loads {name}, which loads {heavy}"
        more = loaded & BY_NAME.keys() - seen
        left += more
        seen |= more


@pytest.mark.parametrize("package", PACKAGES)
def test_files_fit_a_reader(package: str) -> None:
    lengths = {path.name: len(path.read_text().splitlines()) for path in modules(package)}
    assert {name: length for name, length in lengths.items() if length > MOST_LINES} == {}


def test_few_modules_at_the_top() -> None:
    top = [path.name for path in (ROOT / "ssl_recsys").glob("*.py") if path.name[0] != "_"]
    assert len(top) <= MOST_TOP_MODULES, top
