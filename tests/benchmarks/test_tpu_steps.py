"""Training steps lowered to XLA programs, as a TPU's compiler takes them."""

import dataclasses
import re

import pytest

from benchmarks.tpu_check import V5E, CheckOptions, estimated_steps_per_second, main
from benchmarks.tpu_compile import updated_in_place, without_copies
from benchmarks.tpu_steps import Step, lower
from ssl_recsys.errors import InputError

SMALL = Step(
    "do",
    table_rows=(101, 41, 17),
    column_multiple=8,
    embedding_dim=5,
    hidden_layers=(12, 6),
    batch_size=16,
    values_per_bag=6,
)
# Every task, what the main task drops, and tables that are rounded at random; `make tpu-check`
# compiles all nine methods.
STEPS = {
    "do": SMALL,
    "fd_fm_so": dataclasses.replace(SMALL, method="fd_fm_so"),
    "bfloat16": dataclasses.replace(SMALL, row_wise=True, table_dtype="bfloat16"),
}
DYNAMIC = re.compile(r"\[[^\]]*<=")  # bounded dynamic shapes are written s32[<=16]
HOST = re.compile(r" (infeed|outfeed|send|recv|custom-call)\(")


@pytest.mark.parametrize("name", STEPS)
def test_steps_have_static_shapes_and_no_host_callback(name: str) -> None:
    hlo = lower(STEPS[name], "hlo")
    assert " scatter(" in hlo
    assert not DYNAMIC.search(hlo)
    assert not HOST.search(hlo)
    assert " while(" not in hlo  # it would go through the batch's look-ups one by one
    # Tables and accumulators are updated in place.
    results = hlo.split("->(")[1].split(")")[0]
    outputs = [
        number
        for number, kind in enumerate(results.split(", "))
        if re.search(r"\[41,(8|1)\]", kind)
    ]
    assert len(outputs) == 2
    assert all(f"{{{number}}}: (" in hlo.split("\n")[0] for number in outputs)


def test_what_the_compiler_is_told() -> None:
    module = (
        'module @step attributes {mhlo.input_output_alias = [{alias = {kind = "may_alias", '
        "parameter_index = array<i64>, parameter_number = 8 : i64}, output_index = array<i64: 2>}, "
        '{alias = {kind = "may_alias", parameter_index = array<i64>, parameter_number = 21 : i64}, '
        "output_index = array<i64: 14>}]} {\n  %5 = mhlo.copy %4 {x = 1} : tensor<2x3xf32>\n}"
    )
    assert updated_in_place(module) == {8: 2, 21: 14}
    assert "%5 = stablehlo.reshape %4 : (tensor<2x3xf32>) -> tensor<2x3xf32>\n" in without_copies(
        module
    )


def test_the_roofline_is_the_slower_of_work_and_traffic() -> None:
    assert estimated_steps_per_second(V5E, 197e10, 1.0) == pytest.approx(100)
    assert estimated_steps_per_second(V5E, 197e10, 81.9e9) == pytest.approx(10)


def test_the_compiler_must_be_there() -> None:
    with pytest.raises(InputError, match="make tpu-check"):
        main(CheckOptions(compiler="no/python"))
