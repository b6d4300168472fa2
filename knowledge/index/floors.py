"""How similar unrelated things are to an encoder: the floor below which a neighbour is no support."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ..corpus import shipped_passages
from ..encoders.protocol import Encoder, Vectors

PAIRS = 4096
ENOUGH = 200
"""Vectors from which random pairs of a collection are mostly unrelated."""

SPREAD = 2.0
"""Standard deviations above the mean of unrelated pairs."""

MEASURED = {"radiomics": 0.9}
"""Floors of encoders that were tried on many kinds of pictures (bench/similar_images.py): the nearest picture of the
same kind has a similarity of 0.89 to 0.98 (5th and 95th percentile), the nearest of another 0.78 to 0.91. Within one
collection pictures are too much alike to tell."""

Rows: TypeAlias = Callable[[npt.NDArray[np.int64]], Vectors]
"""The vectors of a collection with these numbers: float32 [n, dimension]."""


def between_texts(encoder: Encoder, rows: Rows | None = None, count: int = 0) -> float:
    """The cosine similarity that random pairs of the `count` texts hardly reach, in [0, 1].

    A small collection may be about one thing only: then the encoder is asked about the shipped passages, which are
    about many.
    """
    if rows is not None and count >= ENOUGH:
        return _floor(rows, count, rows, count)
    vectors = encoder.encode_texts([f"{passage.title}. {passage.text}" for passage in shipped_passages()])
    return _floor(vectors.__getitem__, len(vectors), vectors.__getitem__, len(vectors))


def between_pictures(encoder: Encoder, rows: Rows, count: int) -> float:
    """The same for pictures: as it was measured for the encoder, else by random pairs; of a few pictures nothing can be
    said, and the floor is 0."""
    if encoder.spec in MEASURED:
        return MEASURED[encoder.spec]
    return _floor(rows, count, rows, count) if count >= ENOUGH else 0.0


def between_text_and_picture(encoder: Encoder, rows: Rows, count: int) -> float:
    """The same for a text and a picture, which are never as alike as two texts or two pictures; 0 for an encoder that
    does not read both. The texts are what the shipped passages are about."""
    if "text" not in encoder.reads or not count:
        return 0.0
    texts = encoder.encode_texts([passage.title for passage in shipped_passages()], query=True)
    return _floor(texts.__getitem__, len(texts), rows, count, same=False)


def _floor(ones: Rows, first: int, others: Rows, second: int, *, same: bool = True) -> float:
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, first, PAIRS), rng.integers(0, second, PAIRS)
    if same:
        one, other = one[one != other], other[one != other]
    similarity = np.einsum("ij,ij->i", ones(one), others(other))
    return round(float(np.clip(similarity.mean() + SPREAD * similarity.std(), 0.0, 1.0)), 4)
