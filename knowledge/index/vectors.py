"""Vectors and their nearest neighbours: flat, HNSW or IVF-PQ, on disk and memory-mapped. The door to faiss.

It knows rows, not passages. Vectors have unit norm, so the inner product is the cosine similarity.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from ...core.errors import MissingExtraError, SetupError, StorageError
from ..encoders.protocol import Vectors

Kind: TypeAlias = Literal["flat", "hnsw", "ivfpq"]
Mask: TypeAlias = npt.NDArray[np.bool_]
Nearest: TypeAlias = tuple[Vectors, npt.NDArray[np.int64]]

FLAT_BELOW = 50_000
LINKS, BUILD_BREADTH = 32, 100
SEARCH_BREADTH = 256
"""Candidates an HNSW search keeps in hand. On a million clustered vectors: docs/benchmarks.md."""

PROBES = 32  # inverted lists an IVF-PQ search opens
EVERY_LIST = 1 << 30
CODE_BYTES = 48
TRAINING = 64  # vectors per inverted list that an IVF-PQ index is trained on
TRAINED_FROM = 10_000  # vectors below which codes cannot be learnt well
EXACT_BELOW = 20_000
"""Where a filter leaves fewer rows than this, they are compared one by one: a graph search would starve."""

CHUNK = 16_384
GPU_MOST = 2048  # the most neighbours faiss gives on a GPU


class VectorIndex:
    """Unit vectors, row by row. Thread-safe for searching."""

    def __init__(self, index: Any, kind: Kind) -> None:
        self.kind = kind
        self._index = index
        if kind == "ivfpq":
            index.nprobe = PROBES  # what a GPU goes by, which takes no parameters
        self._gpu_lock = threading.Lock()  # a GPU index answers one search at a time

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def dimension(self) -> int:
        return int(self._index.d)

    @classmethod
    def of(cls, vectors: Vectors) -> VectorIndex:
        """A flat index in memory over float32 [n, dimension]."""
        index = _faiss().IndexFlatIP(vectors.shape[1])
        index.add(np.ascontiguousarray(vectors))
        return cls(index, "flat")

    @classmethod
    def open(cls, path: Path, kind: Kind) -> VectorIndex:
        """The index in a file, memory-mapped. Raises SetupError when it is none of that kind."""
        faiss = _faiss()
        try:
            index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
        except RuntimeError as error:
            raise SetupError(
                expected=f"vectors in {path}", got=_said(error), fix="build the index again into another folder"
            ) from error
        return cls(index, kind)

    def nearest(self, vector: Vectors, limit: int, allowed: Mask | None = None) -> Nearest:
        """The `limit` nearest rows to `vector` (float32 [dimension]) among the allowed ones (bool [n], all when None),
        nearest first: similarities float32 [k] and rows int64 [k], k ≤ limit."""
        left = len(self) if allowed is None else int(np.count_nonzero(allowed))
        if left == len(self):
            allowed = None
        limit, few = min(limit, left), allowed is not None and left < EXACT_BELOW
        if not limit:
            return np.empty(0, dtype=np.float32), np.empty(0, dtype=np.int64)
        if allowed is not None and few and self.kind != "ivfpq":
            return self._exact(vector, allowed, limit)
        found = None if few else self._by_gpu(vector, limit, allowed)
        if found is None:
            parameters = _parameters(self.kind, allowed, every_list=few)
            scores, rows = self._index.search(vector.reshape(1, -1), limit, params=parameters)
            found = scores[0][rows[0] >= 0], rows[0][rows[0] >= 0]
        if len(found[1]) < limit and allowed is not None and self.kind == "hnsw":
            return self._exact(vector, allowed, limit)  # the graph led too few ways to allowed rows
        return found

    @property
    def stored(self) -> Vectors:
        """The vectors as they lie in memory or in the mapped file, float32 [n, dimension]; not of an IVF-PQ index,
        which keeps none."""
        faiss = _faiss()
        flat = self._index if self.kind == "flat" else faiss.downcast_index(self._index.storage)
        view = faiss.rev_swig_ptr(flat.get_xb(), len(self) * self.dimension)
        return np.asarray(_Kept(view.reshape(len(self), self.dimension), self._index))

    def _exact(self, vector: Vectors, allowed: Mask, limit: int) -> Nearest:
        rows, stored = np.flatnonzero(allowed), self.stored
        scores = np.concatenate([stored[rows[first : first + CHUNK]] @ vector for first in range(0, len(rows), CHUNK)])
        best = np.argsort(-scores, kind="stable")[:limit]
        return scores[best], rows[best]

    @cached_property
    def _gpu(self) -> Any:
        return _moved_to_gpu(self._index, self.kind)

    def _by_gpu(self, vector: Vectors, limit: int, allowed: Mask | None) -> Nearest | None:
        """The nearest allowed rows; None without a GPU, or where it may not reach them all: it knows no filter."""
        most = min(limit if allowed is None else GPU_MOST, len(self))
        if limit > GPU_MOST:
            return None
        with self._gpu_lock:
            if self._gpu is None:
                return None
            scores, rows = self._gpu.search(vector.reshape(1, -1), most)
        real = rows[0] >= 0 if allowed is None else (rows[0] >= 0) & allowed[rows[0]]
        if np.count_nonzero(real) < limit:
            return None
        return scores[0][real][:limit], rows[0][real][:limit]


def write_vectors(
    path: Path, chunks: Callable[[], Iterable[Vectors]], *, count: int, dimension: int, kind: Kind,
    base: Path | None = None, step: Callable[[int], None] = lambda _: None,
) -> None:  # fmt: skip
    """Write an index over the `count` vectors that `chunks()` yields, float32 [n, dimension] at a time.

    Vectors are added one after the other by one thread, so that the same chunks make the same file. Besides the index
    itself (4 · dimension bytes a vector, and 8 · LINKS for HNSW) only one chunk is in memory. They are added to the
    index of the same kind in the file `base` where one is given. `step` is told how many were added. Raises
    StorageError when the file cannot be written.
    """
    faiss = _faiss()
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        index = faiss.read_index(str(base)) if base else _empty(kind, dimension, count, chunks)
        for vectors in chunks():
            for first in range(0, len(vectors), CHUNK):
                part = vectors[first : first + CHUNK]
                index.add(np.ascontiguousarray(part, dtype=np.float32))
                step(len(part))
        try:
            faiss.write_index(index, str(path))
        except RuntimeError as error:
            raise StorageError(
                expected=f"to write {path}", got=_said(error), fix="free space on the disk, then type the command again"
            ) from error
    finally:
        faiss.omp_set_num_threads(threads)


def kind_for(count: int, wanted: Kind | None) -> Kind:
    """The kind that is wanted, but flat while there are too few vectors to learn codes from; when none is: flat while
    comparing with every vector is fast, HNSW above."""
    if wanted == "ivfpq" and count < TRAINED_FROM:
        return "flat"
    return wanted or ("flat" if count < FLAT_BELOW else "hnsw")


def _empty(kind: Kind, dimension: int, count: int, chunks: Callable[[], Iterable[Vectors]]) -> Any:
    faiss = _faiss()
    if kind == "flat":
        return faiss.IndexFlatIP(dimension)
    if kind == "hnsw":
        index = faiss.IndexHNSWFlat(dimension, LINKS, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = BUILD_BREADTH
        index.hnsw.efSearch = SEARCH_BREADTH
        return index
    lists = max(1, int(count**0.5))
    words = f"IVF{lists},PQ{_code_bytes(dimension)}np"  # np: codes are not reordered, which takes minutes for nothing
    index = faiss.index_factory(dimension, words, faiss.METRIC_INNER_PRODUCT)
    index.train(_sample(chunks(), count, most=max(TRAINING * lists, TRAINED_FROM)))
    return index


def _code_bytes(dimension: int) -> int:
    """The number of bytes that a vector becomes: the largest divisor of its dimension up to CODE_BYTES."""
    return next(size for size in range(CODE_BYTES, 0, -1) if dimension % size == 0)


def _sample(chunks: Iterable[Vectors], count: int, *, most: int) -> Vectors:
    """Every n-th vector, so that there are at most `most`."""
    stride, seen, taken = max(1, -(-count // most)), 0, []
    for vectors in chunks:
        taken.append(vectors[(-seen) % stride :: stride])
        seen += len(vectors)
    return np.concatenate(taken)


def _parameters(kind: Kind, allowed: Mask | None, *, every_list: bool) -> Any:
    """How one search goes; selector and parameters live as long as the search, which holds them."""
    faiss = _faiss()
    # The constructors that take keywords are added at run time; the type hints do not know them.
    chosen: dict[str, Any] = {}
    if allowed is not None:
        bits = np.packbits(allowed, bitorder="little")
        chosen["sel"] = faiss.IDSelectorBitmap(bits)
    if kind == "hnsw":
        return faiss.SearchParametersHNSW(efSearch=SEARCH_BREADTH, **chosen)
    if kind == "ivfpq":
        return faiss.SearchParametersIVF(nprobe=EVERY_LIST if every_list else PROBES, **chosen)
    return faiss.SearchParameters(**chosen) if chosen else None


def _moved_to_gpu(index: Any, kind: Kind) -> Any:
    """The index on the first GPU, when faiss sees one: HNSW's vectors are compared one by one there. None for what it
    does not take: too large an index, or codes of another length than it knows."""
    faiss = _faiss()
    if not hasattr(faiss, "StandardGpuResources") or faiss.get_num_gpus() == 0:
        return None
    source = faiss.downcast_index(index.storage) if kind == "hnsw" else index
    try:
        return faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, source)
    except RuntimeError:
        return None


class _Kept:
    """An array over memory that belongs to `owner`, which lives as long as any view of it."""

    def __init__(self, array: Vectors, owner: object) -> None:
        self.__array_interface__ = array.__array_interface__
        self.owner = owner


def _said(error: RuntimeError) -> str:
    """What faiss says went wrong, without where in its code."""
    return str(error).splitlines()[0].rpartition("Error: ")[2]


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise MissingExtraError.of("faiss-cpu", "cpu") from error
    return faiss
