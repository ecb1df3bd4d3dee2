"""How well item embeddings use their space."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.spatial import distance

_SAMPLE = 2048
_SEED = 20_070_128


def uniformity(embeddings: npt.NDArray[np.floating]) -> float:
    """Uniformity of embeddings on the unit sphere (Wang & Isola 2020), with t = 2.

    log E exp(-2 |x - y|^2) over pairs of different items: 0 for a collapsed model, falling
    towards -4 as the embeddings of a high-dimensional space spread out. Lower is more uniform.

    Args:
      embeddings: `[num_items, dim]`, L2-normalised, at least two; more than 2,048 are sampled
        with a fixed seed.

    Raises:
      ValueError: for fewer than two items.
    """
    if len(embeddings) < 2:
        raise ValueError(f"uniformity needs at least two embeddings (got {len(embeddings)})")
    if len(embeddings) > _SAMPLE:
        chosen = np.random.default_rng(_SEED).choice(len(embeddings), _SAMPLE, replace=False)
        embeddings = embeddings[np.sort(chosen)]
    squared = distance.pdist(np.asarray(embeddings, np.float64), "sqeuclidean")
    return float(np.log(np.mean(np.exp(-2.0 * squared))))


def effective_rank(embeddings: npt.NDArray[np.floating]) -> float:
    """Effective rank (Roy & Vetterli 2007): exp of the entropy of the normalised singular values.

    1 for a collapsed model, at most the number of dimensions, which it reaches where the
    embeddings use all directions alike.

    Args:
      embeddings: `[num_items, dim]`, not all zero.

    Raises:
      ValueError: if all are zero.
    """
    matrix = np.asarray(embeddings, np.float64)
    # The Gram matrix has the squares of the singular values and is only [dim, dim].
    eigenvalues = np.linalg.eigvalsh(matrix.T @ matrix)
    singular = np.sqrt(np.clip(eigenvalues, 0.0, None))
    total = singular.sum()
    if total == 0:
        raise ValueError("effective rank needs embeddings that are not all zero")
    shares = singular[singular > 0] / total
    return float(np.exp(-(shares * np.log(shares)).sum()))
