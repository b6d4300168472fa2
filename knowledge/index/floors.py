"""How similar unrelated things are to an encoder: the floor below which a neighbour is no support."""

from __future__ import annotations

import numpy as np

from ..corpus import shipped_passages
from ..encoders.protocol import Encoder, Vectors

PAIRS = 4096
ENOUGH = 200
"""Vectors from which random pairs of a collection are mostly unrelated."""

SPREAD = 2.0
"""Standard deviations above the mean of unrelated pairs."""


def unrelated(encoder: Encoder, vectors: Vectors) -> float:
    """The cosine similarity that random pairs of `vectors` (float32 [n, dimension]) hardly reach, in [0, 1].

    A small collection may be about one thing only: then a text encoder is asked about the shipped passages, which are
    about many; of a few pictures nothing can be said, and the floor is 0.
    """
    if len(vectors) < ENOUGH:
        if "text" not in encoder.reads:
            return 0.0
        vectors = encoder.encode_texts([f"{passage.title}. {passage.text}" for passage in shipped_passages()])
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, len(vectors), (2, PAIRS))
    apart = one != other
    similarity = np.einsum("ij,ij->i", vectors[one[apart]], vectors[other[apart]])
    return round(float(np.clip(similarity.mean() + SPREAD * similarity.std(), 0.0, 1.0)), 4)
