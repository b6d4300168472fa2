"""BM25 over documents given as term numbers: the postings, built in bounded memory, and the scores. The door to bm25s.

bm25s holds a whole corpus as Python lists while it indexes. Here the same postings (its "lucene" variant: Robertson and
Zaragoza 2009, idf without negative values) are written in two passes over slices of a flat array, in memory or into
memory-mapped files; bm25s scores them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ...core.errors import MissingExtraError

K1, B = 1.2, 0.75
SLICE = 20_000
"""Documents worked on at a time while postings are built."""

Ints: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float32]
Step: TypeAlias = Callable[[int], None]


class Flat:
    """Documents as term numbers: `terms` holds those of all documents one after the other, `lengths` how many each
    has."""

    def __init__(self, terms: npt.NDArray[np.uint32], lengths: npt.NDArray[np.uint32]) -> None:
        self.terms = terms
        self.lengths = lengths
        self.ends: Ints = np.cumsum(lengths, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.lengths)

    def of(self, row: int) -> npt.NDArray[np.uint32]:
        """The term numbers of one document, in order, repeats kept."""
        end = int(self.ends[row])
        return self.terms[end - int(self.lengths[row]) : end]

    def slices(self) -> Iterator[tuple[int, Ints, Ints, Ints]]:
        """For SLICE documents at a time: their number, and term, row and count of each term in each of them, sorted by
        term, then row."""
        for first in range(0, len(self), SLICE):
            lengths = self.lengths[first : first + SLICE]
            start = int(self.ends[first]) - int(lengths[0])
            terms = np.asarray(self.terms[start : start + int(lengths.sum())], dtype=np.int64)
            rows = np.repeat(np.arange(first, first + len(lengths), dtype=np.int64), lengths)
            pairs, counts = np.unique(terms * len(self) + rows, return_counts=True)
            yield len(lengths), pairs // len(self), pairs % len(self), counts


class Postings:
    """For each term number the rows that hold it and what it adds to their BM25 score.

    `starts` int64 [terms + 1], `rows` int32 [n] and `gains` float32 [n], as in a column-compressed sparse matrix.
    """

    NAMES = ("starts", "rows", "gains")

    def __init__(self, starts: Ints, rows: npt.NDArray[np.int32], gains: Floats, documents: int) -> None:
        self.starts, self.rows, self.gains = starts, rows, gains
        self.documents = documents

    @classmethod
    def build(cls, flat: Flat, terms: int, *, folder: Path | None = None, step: Step = lambda _: None) -> Postings:
        """The postings of `flat`, in memory or as `<name>.npy` files in `folder`; `step` is told of every document
        (each is passed twice)."""
        frequency = np.zeros(terms, dtype=np.int64)
        for done, numbers, _, _ in flat.slices():
            frequency += np.bincount(numbers, minlength=terms)
            step(done)
        starts = np.concatenate([[0], np.cumsum(frequency)]).astype(np.int64)
        rows = _array(folder, "rows", np.int32, int(starts[-1]))
        gains = _array(folder, "gains", np.float32, int(starts[-1]))
        idf = _idf(frequency, len(flat))
        mean = float(flat.lengths.mean()) if len(flat) else 0.0
        cursor = starts[:-1].copy()
        for done, numbers, where, counts in flat.slices():
            per_term = np.bincount(numbers, minlength=terms)
            first = np.concatenate([[0], np.cumsum(per_term)])[:-1]
            places = cursor[numbers] + np.arange(len(numbers)) - first[numbers]
            length = flat.lengths[where].astype(np.float64)
            rows[places] = where
            gains[places] = idf[numbers] * (counts / (K1 * (1 - B + B * length / mean) + counts))
            cursor += per_term
            step(done)
        if folder is not None:
            np.save(folder / "starts.npy", starts, allow_pickle=False)
            rows.flush()
            gains.flush()
        return cls(starts, rows, gains, len(flat))

    @classmethod
    def open(cls, folder: Path, documents: int) -> Postings:
        """The postings in `folder`, memory-mapped."""
        starts, rows, gains = (np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in cls.NAMES)
        return cls(np.asarray(starts), np.asarray(rows), np.asarray(gains), documents)

    def frequency(self, number: int) -> int:
        """In how many documents the term occurs."""
        return int(self.starts[number + 1] - self.starts[number])

    def scores(self, numbers: Sequence[int]) -> Floats:
        """The BM25 score of every document for a query of these term numbers: float32 [documents]."""
        if not numbers or not self.documents:
            return np.zeros(self.documents, dtype=np.float32)
        scores: Floats = self._bm25.get_scores_from_ids(list(numbers))
        return scores

    @cached_property
    def _bm25(self) -> Any:
        try:
            import bm25s
        except ImportError as error:
            raise MissingExtraError.of("bm25s", "cpu") from error
        index = bm25s.BM25(k1=K1, b=B, method="lucene", backend="numpy", dtype="float32", int_dtype="int64")
        index.nonoccurrence_array = None
        index.scores = {
            "data": self.gains, "indices": self.rows, "indptr": self.starts, "num_docs": self.documents,
        }  # fmt: skip
        return index


def idf(frequency: int, documents: int) -> float:
    """How much a term tells that stands in `frequency` of `documents`; one that stands in none tells most."""
    return float(_idf(np.array([frequency]), documents)[0])


def _idf(frequency: Ints, documents: int) -> npt.NDArray[np.float64]:
    return np.log1p((documents - frequency + 0.5) / (frequency + 0.5))


def _array(folder: Path | None, name: str, dtype: npt.DTypeLike, length: int) -> Any:
    return np.zeros(length, dtype=dtype) if folder is None else on_disk(folder / f"{name}.npy", dtype, length)


def on_disk(path: Path, dtype: npt.DTypeLike, length: int) -> Any:
    """A memory-mapped array in the file `path`, of one element where it would have none, which cannot be mapped.

    Raises OSError when the disk has no place for it: found out while writing, that would end the process.
    """
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.dtype(dtype), shape=(max(1, length),))
    if hasattr(os, "posix_fallocate"):  # macOS has none
        with path.open("rb+") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array
