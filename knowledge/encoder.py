"""How text becomes a vector without a trained model; it does not know passages or patients."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

import numpy as np
import numpy.typing as npt

from .text import VERSION, terms

Vectors = npt.NDArray[np.float32]


class Encoder(Protocol):
    """Anything that turns texts into unit vectors; `name` changes whenever a vector could change."""

    @property
    def name(self) -> str: ...

    @property
    def dimension(self) -> int: ...

    def encode(self, texts: Sequence[str]) -> Vectors:
        """One row per text: float32 [n, dimension], unit norm, all zero for a text without terms."""
        ...


class HashedNgrams:
    """Signed feature hashing (Weinberger et al. 2009) of the 3- to 5-grams of each term, square-root damped.

    Knows spelling, not meaning: `retinopthy` lies near `retinopathy`, `heart attack` not near `infarction`.
    The hash is CRC-32, so vectors are the same in every process and on every machine.
    """

    def __init__(self, dimension: int = 512) -> None:
        self.dimension = dimension
        self.name = f"hashed-ngrams-3-5/{dimension}/{VERSION}"

    def encode(self, texts: Sequence[str]) -> Vectors:
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for number, text in enumerate(texts):
            found = [(*_features(term, self.dimension), count) for term, count in sorted(Counter(terms(text)).items())]
            if found:
                # A long term has many n-grams: dividing by their number's root gives every term the same weight.
                values = np.concatenate([signs * (count / len(signs)) ** 0.5 for _, signs, count in found])
                vectors[number] = np.bincount(np.concatenate([slots for slots, _, _ in found]), values, self.dimension)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        np.divide(vectors, norms, out=vectors, where=norms > 0)
        return vectors


def ngrams(term: str) -> frozenset[str]:
    """The 3- to 5-grams of a term between its two edge marks; a term of one letter gives one."""
    marked = f"<{term}>"
    return frozenset(marked[i : i + n] for n in (3, 4, 5) for i in range(len(marked) - n + 1))


@lru_cache(maxsize=65_536)
def _features(term: str, dimension: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    hashes = np.array([zlib.crc32(gram.encode()) for gram in sorted(ngrams(term))], dtype=np.int64)
    signs = np.where(hashes & (1 << 31), np.float32(1), np.float32(-1)).astype(np.float32)
    return hashes % dimension, signs
