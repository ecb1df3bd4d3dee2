"""Two-tower retrieval models with self-supervised tasks for long-tailed catalogues.

TensorFlow Recommenders needs Keras 2 (the package tf-keras), which TensorFlow uses only if
`TF_USE_LEGACY_KERAS=1` is set before its first use of Keras. Importing this package sets it.
"""

import os
import sys


def _select_keras_2() -> None:
    chosen = os.environ.get("TF_USE_LEGACY_KERAS", "").lower()
    tensorflow_came_first = "tensorflow" in sys.modules and "keras" in sys.modules
    if chosen not in ("1", "true") and tensorflow_came_first:
        raise ImportError(
            "Keras 3 was loaded before ssl_recsys, and TensorFlow Recommenders needs Keras 2. "
            "Import ssl_recsys first, or set TF_USE_LEGACY_KERAS=1 in the environment."
        )
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    # What goes wrong comes as an exception; TensorFlow's start-up notes, some of them marked as
    # errors on a machine without a GPU, bury what the commands print.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


_select_keras_2()
