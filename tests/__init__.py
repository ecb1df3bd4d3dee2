"""Tests; importing the package first chooses Keras 2, before any test loads TensorFlow."""

import ssl_recsys  # noqa: F401
