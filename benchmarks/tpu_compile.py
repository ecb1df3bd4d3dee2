"""Compiles programs for a TPU that is not there.

    .venv-tpu/bin/python -m benchmarks.tpu_compile TOPOLOGY FILE ...

Prints one JSON object for each FILE, a serialized `HloModuleProto`, in order. It needs the jax and
libtpu that `make tpu-check` installs and nothing else: it reaches into jax's internals, which
change from release to release.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import sys
import time
from typing import Any

_ALIAS = re.compile(
    r"parameter_index = array<i64>, parameter_number = (\d+) : i64\}, "
    r"output_index = array<i64: (\d+)>"
)
# TensorFlow's copy of one value, which StableHLO does not have; a reshape to the same shape.
_COPY = re.compile(r"mhlo\.copy (%\w+)(?: \{[^}]*\})? : (tensor<[^ ]+?>)(?= loc|\n|$)")


def updated_in_place(module: str) -> dict[int, int]:
    """Argument -> the output that takes its memory, from the attributes of a module's text."""
    return {int(argument): int(output) for argument, output in _ALIAS.findall(module)}


def without_copies(module: str) -> str:
    """A module's text in StableHLO alone."""
    return _COPY.sub(r"stablehlo.reshape \1 : (\2) -> \2", module)


def compile_for(topology: Any, program: bytes) -> dict[str, float | str]:
    """Compiles a program for the topology's first device.

    Returns:
      Seconds of compilation, bytes of memory by kind, operations and bytes accessed in all, as
      XLA counts them; or `error`.
    """
    import numpy as np
    from jax._src.interpreters import mlir
    from jax._src.lib import _jax
    from jax._src.lib import xla_client as xla
    from jax._src.lib.mlir import ir

    device = topology.devices[0]
    text = _jax.mlir.xla_computation_to_mlir_module(xla.XlaComputation(program))
    outputs = updated_in_place(text)
    options = xla.CompileOptions()
    options.num_replicas = options.num_partitions = 1
    options.device_assignment = xla.DeviceAssignment.create(np.array([[device.id]], np.int32))
    with mlir.make_ir_context():
        module = ir.Module.parse(without_copies(text))
        _set_aliases(module, outputs)
        start = time.monotonic()
        try:
            compiled = device.client.compile(
                module, executable_devices=xla.DeviceList((device,)), compile_options=options
            )
        except Exception as error:  # jax's own kinds of error differ from release to release
            return {"error": str(error).splitlines()[0]}
        seconds = time.monotonic() - start
    memory, cost = compiled.get_compiled_memory_stats(), compiled.cost_analysis()
    cost = cost[0] if isinstance(cost, list | tuple) else cost
    return {
        "compile_seconds": seconds,
        "arguments": memory.argument_size_in_bytes,
        "outputs": memory.output_size_in_bytes,
        "aliased": memory.alias_size_in_bytes,
        "temporaries": memory.temp_size_in_bytes,
        "peak": memory.peak_memory_in_bytes,
        "flops": cost["flops"],
        "bytes_accessed": cost["bytes accessed"],
    }


def _set_aliases(module: Any, outputs: dict[int, int]) -> None:
    """Says it of `main`'s arguments; of the module, as converted programs do, XLA ignores it."""
    from jax._src.lib.mlir import ir

    (main,) = (op for op in module.body.operations if ir.StringAttr(op.sym_name).value == "main")
    number = ir.IntegerType.get_signless(32)
    main.arg_attrs = ir.ArrayAttr.get(
        [
            ir.DictAttr.get(
                {"tf.aliasing_output": ir.IntegerAttr.get(number, outputs[argument])}
                if argument in outputs
                else {}
            )
            for argument in range(len(main.arguments))
        ]
    )


def main(topology_name: str, *paths: str) -> None:
    """The command."""
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")  # no metadata server: this is no TPU VM
    os.environ.setdefault("TPU_LOG_DIR", "disabled")
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    from jax.experimental import topologies

    topology = topologies.get_topology_desc(topology_name, platform="tpu")
    for path in paths:
        print(json.dumps(compile_for(topology, pathlib.Path(path).read_bytes())), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
