"""A setting's one line makes its flag, its check, its text form and its line in the docs."""

import dataclasses
import pathlib

import pytest
from absl import flags
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl_recsys import methods, options
from ssl_recsys.errors import InputError
from ssl_recsys.options import Options, option
from tests import flags_page


@dataclasses.dataclass(frozen=True)
class Inner(Options):
    rate: float = option(0.5, "A rate.", at_least=0, below=1)
    sizes: tuple[int, ...] = option((8, 4), "Sizes.", at_least=1)
    kind: str = option("a", "A kind.", choices=("a", "b"))


@dataclasses.dataclass(frozen=True)
class Outer(Options):
    path: str = option("", "A path.", required="name a file")
    count: int | None = option(None, "A number, or none.", at_least=1)
    quick: bool = option(False, "Quick or not.")
    words: tuple[str, ...] = option((), "Words.", repeated=True)
    groups: tuple[tuple[str, ...], ...] = option(
        (("x",),), "Groups.", parse=methods.parse_fm_groups, show=methods.show_fm_groups
    )
    inner: Inner = dataclasses.field(default_factory=Inner)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.quick and self.inner.rate:
            raise InputError("--quick wants --rate=0")


def from_arguments(*arguments: str) -> Outer:
    values = flags.FlagValues()
    options.define(Outer, values)
    values(["program", *arguments])
    return options.read(Outer, values)


def test_flags_have_the_fields_names_types_and_defaults() -> None:
    assert from_arguments("--path=f") == Outer(path="f")
    got = from_arguments(
        "--path=f", "--count=3", "--quick", "--words=a,b", "--words=c", "--groups=x,y;z",
        "--rate=0", "--sizes=1,2", "--kind=b",
    )  # fmt: skip
    assert got == Outer("f", 3, True, ("a,b", "c"), (("x", "y"), ("z",)), Inner(0.0, (1, 2), "b"))
    assert from_arguments("--path=f", "--sizes=").inner.sizes == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rate": "1"}, r"--rate must be in \[0, 1\) \(got 1.0\)"),
        ({"rate": "nan"}, r"--rate must be in \[0, 1\) \(got nan\)"),
        ({"rate": "fast"}, "rate"),
        ({"sizes": "4,0"}, r"--sizes must be at least 1 \(got 0\)"),
        ({"sizes": "4,x"}, r"--sizes must be whole numbers \(got '4,x'\)"),
        ({"kind": "c"}, r"--kind must be one of a, b \(got 'c'\)"),
        ({"count": "0"}, r"--count must be at least 1 \(got 0\)"),
        ({"path": ""}, "--path is missing: name a file"),
        ({"quick": "true"}, "--quick wants --rate=0"),
        ({"sizs": "1"}, r"there is no flag --sizs \(similar: --sizes\)"),
    ],
)
def test_wrong_values_name_the_flag(changes: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        options.parse(Outer, {"path": "f"} | changes)


@settings(max_examples=50, deadline=None)
@given(
    rate=st.floats(0, 0.99),
    sizes=st.lists(st.integers(1, 99)),
    kind=st.sampled_from(["a", "b"]),
    count=st.none() | st.integers(1, 9),
)
def test_text_gives_the_value_again(rate: float, sizes: list, kind: str, count: int | None) -> None:
    wanted = Outer("f", count, inner=Inner(rate, tuple(sizes), kind))
    texts = {}
    for field in options.all_fields(Outer):
        owner = wanted if hasattr(wanted, field.name) else wanted.inner
        texts[field.name] = field.text(getattr(owner, field.name))
    given = {name: text for name, text in texts.items() if name != "words"}
    if count is None:
        del given["count"]
    assert options.parse(Outer, given) == wanted


def test_a_line_of_the_docs() -> None:
    assert options.table(Inner).splitlines()[2:] == [
        "| `--rate` | `0.5` | in [0, 1) | A rate. |",
        "| `--sizes` | `8,4` | at least 1 | Sizes. |",
        "| `--kind` | `a` | a, b | A kind. |",
    ]


def test_flags_of_one_command_have_distinct_names() -> None:
    for classes in flags_page.COMMANDS.values():
        names = [field.name for field in options.all_fields(classes)]
        assert len(set(names)) == len(names)


def test_the_page_of_flags_is_that_of_the_code() -> None:
    page = pathlib.Path(flags_page.__file__).parents[1] / "docs" / "flags.md"
    assert page.read_text(encoding="utf-8") == flags_page.text(), (
        "write it again: python -m tests.flags_page > docs/flags.md"
    )
