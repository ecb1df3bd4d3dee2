"""What the workers of a cluster agree on: the state to start from, when to save, when to stop.

Every worker trains the same model, so the first one alone writes, and what it restored is sent to
the others: a machine that is replaced needs nothing of its predecessor's disk.

`tf.distribute.experimental.PreemptionCheckpointHandler` is not used: it restores by itself, without
falling back on the checkpoint before a damaged one, wants to be asked before each single step where
a call takes sixteen, and leaves out CPUs of Google's cloud. Between two calls of the step all
workers stand at the same step, so one exchange of two flags there is all that it takes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

import tensorflow as tf

from ssl_recsys.errors import WorkerLostError
from ssl_recsys.training.strategies import has_other_processes, is_chief

# What a collective operation raises once a worker is gone, within about 15 seconds.
_LOST = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.UnavailableError,
)


class Workers:
    """The processes that train together; without a cluster, this one.

    Args:
      strategy: the strategy that the model is trained under.

    Attributes:
      is_chief: whether this worker writes.
    """

    def __init__(self, strategy: tf.distribute.Strategy):
        self._strategy = strategy
        self._are_several = has_other_processes(strategy)
        self.is_chief = is_chief(strategy)

    def any(self, *flags: bool) -> list[bool]:
        """For each flag whether it is set on any worker; all workers must ask."""
        if not self._are_several:
            return list(flags)
        counts = self._sum(tf.cast(tf.constant(flags), tf.float32))
        return [count > 0 for count in counts.numpy()]

    def share(self, variables: Iterable[tf.Variable]) -> None:
        """Gives the variables of all workers the first worker's values; all must call it."""
        if not self._are_several:
            return
        for variable in variables:
            value = tf.convert_to_tensor(variable)
            sent = tf.cast(value, tf.float32) if value.dtype.size == 2 else value
            sent = sent if self.is_chief else tf.zeros_like(sent)
            variable.assign(tf.cast(self._sum(sent), value.dtype))

    def _sum(self, tensor: tf.Tensor) -> tf.Tensor:
        """The sum of the workers' tensors of one shape."""
        local_replicas = len(self._strategy.extended.worker_devices)

        def of_replica(context: tf.distribute.experimental.ValueContext) -> tf.Tensor:
            is_first = context.replica_id_in_sync_group % local_replicas == 0
            return tensor if is_first else tf.zeros_like(tensor)

        values = self._strategy.experimental_distribute_values_from_function(of_replica)
        return self._strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None)

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Says that a worker is gone, where operations in the block fail for that.

        Raises:
          WorkerLostError: if one is.
        """
        try:
            yield
        except _LOST as error:
            if not self._are_several:
                raise
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            said = next((line for line in lines if "aborted by" in line), lines[0])
            said = said.rpartition("aborted by: ")[2]
            raise WorkerLostError(
                f"a worker of the cluster is gone ({said}); run the same command on all workers "
                "again to resume from the last checkpoint"
            ) from error
