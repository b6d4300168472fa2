"""Vectors and their nearest neighbours: flat, HNSW or IVF-PQ, on disk and memory-mapped. The door to faiss.

It knows rows, not passages. Vectors have unit norm, so the inner product is the cosine similarity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from ...core.errors import MissingExtraError
from ..encoders.protocol import Vectors

Kind: TypeAlias = Literal["flat", "hnsw", "ivfpq"]
Mask: TypeAlias = npt.NDArray[np.bool_]
Nearest: TypeAlias = tuple[Vectors, npt.NDArray[np.int64]]

FLAT_BELOW = 50_000
LINKS, BUILD_BREADTH = 32, 40
SEARCH_BREADTH = 128
"""Candidates an HNSW search keeps in hand. On a million clustered vectors: docs/benchmarks.md."""

PROBES = 32  # inverted lists an IVF-PQ search opens
EVERY_LIST = 1 << 30
CODE_BYTES = 48
TRAINING = 64  # vectors per inverted list that an IVF-PQ index is trained on
EXACT_BELOW = 20_000
"""Where a filter leaves fewer rows than this, they are compared one by one: a graph search would starve."""

CHUNK = 16_384
GPU_MOST = 2048  # the most neighbours faiss gives on a GPU


class VectorIndex:
    """Unit vectors, row by row. Thread-safe for searching."""

    def __init__(self, index: Any, kind: Kind) -> None:
        self.kind = kind
        self._index = index
        self._gpu = _on_gpu(index, kind)

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
        """The index in a file, memory-mapped."""
        faiss = _faiss()
        index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
        return cls(index, kind)

    def nearest(self, vector: Vectors, limit: int, allowed: Mask | None = None) -> Nearest:
        """The `limit` nearest rows to `vector` (float32 [dimension]) among the allowed ones (bool [n], all when None),
        nearest first: similarities float32 [k] and rows int64 [k], k ≤ limit."""
        if allowed is not None:
            rows = np.flatnonzero(allowed)
            if self.kind != "ivfpq" and len(rows) < min(EXACT_BELOW, len(self)):
                return self._exact(vector, rows, limit)
        if self._gpu is not None:
            found = self._on_gpu(vector, limit, allowed)
            if found is not None:
                return found
        scores, rows = self._index.search(
            vector.reshape(1, -1), min(limit, len(self)), params=_parameters(self.kind, allowed)
        )
        real = rows[0] >= 0
        return scores[0][real], rows[0][real]

    @property
    def stored(self) -> Vectors:
        """The vectors as they lie in memory or in the mapped file, float32 [n, dimension]; not of an IVF-PQ index,
        which keeps none."""
        faiss = _faiss()
        flat = self._index if self.kind == "flat" else faiss.downcast_index(self._index.storage)
        view: Vectors = faiss.rev_swig_ptr(flat.get_xb(), len(self) * self.dimension)
        return view.reshape(len(self), self.dimension)

    def _exact(self, vector: Vectors, rows: npt.NDArray[np.int64], limit: int) -> Nearest:
        scores = self.stored[rows] @ vector
        best = np.argsort(-scores, kind="stable")[:limit]
        return scores[best], rows[best]

    def _on_gpu(self, vector: Vectors, limit: int, allowed: Mask | None) -> Nearest | None:
        """The nearest allowed rows, or None when there may be more than the GPU can give: it knows no filter."""
        most = min(limit if allowed is None else GPU_MOST, len(self))
        scores, rows = self._gpu.search(vector.reshape(1, -1), most)
        real = rows[0] >= 0 if allowed is None else (rows[0] >= 0) & allowed[rows[0]]
        if allowed is not None and int(real.sum()) < limit and most < len(self):
            return None
        return scores[0][real][:limit], rows[0][real][:limit]


def write_vectors(
    path: Path, chunks: Callable[[], Iterable[Vectors]], *, count: int, dimension: int, kind: Kind,
    base: Path | None = None, step: Callable[[int], None] = lambda _: None,
) -> None:  # fmt: skip
    """Write an index over the `count` vectors that `chunks()` yields, float32 [n, dimension] at a time.

    Vectors are added one after the other by one thread, so that the file is the same every time. Besides the index
    itself (4 · dimension bytes a vector, and 8 · LINKS for HNSW) only one chunk is in memory. They are added to the
    index of the same kind in the file `base` where one is given. `step` is told how many were added.
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
        faiss.write_index(index, str(path))
    finally:
        faiss.omp_set_num_threads(threads)


def kind_for(count: int) -> Kind:
    """Flat while comparing with every vector is fast, HNSW above."""
    return "flat" if count < FLAT_BELOW else "hnsw"


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
    words = f"IVF{lists},PQ{_code_bytes(dimension)}"
    index = faiss.index_factory(dimension, words, faiss.METRIC_INNER_PRODUCT)
    index.train(_sample(chunks(), count, most=max(TRAINING * lists, 10_000)))
    return index


def _code_bytes(dimension: int) -> int:
    """The number of bytes a vector becomes: the largest divisor of its dimension up to CODE_BYTES."""
    return next(size for size in range(CODE_BYTES, 0, -1) if dimension % size == 0)


def _sample(chunks: Iterable[Vectors], count: int, *, most: int) -> Vectors:
    """Every n-th vector, so that there are at most `most`."""
    stride, seen, taken = max(1, -(-count // most)), 0, []
    for vectors in chunks:
        taken.append(vectors[(-seen) % stride :: stride])
        seen += len(vectors)
    return np.concatenate(taken)


def _parameters(kind: Kind, allowed: Mask | None) -> Any:
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
        few = allowed is not None and np.count_nonzero(allowed) < EXACT_BELOW
        return faiss.SearchParametersIVF(nprobe=EVERY_LIST if few else PROBES, **chosen)
    return faiss.SearchParameters(**chosen) if chosen else None


def _on_gpu(index: Any, kind: Kind) -> Any:
    """The index on the first GPU, when faiss sees one: HNSW's vectors are compared one by one there."""
    faiss = _faiss()
    if not hasattr(faiss, "StandardGpuResources") or faiss.get_num_gpus() == 0:
        return None
    source = faiss.downcast_index(index.storage) if kind == "hnsw" else index
    return faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, source)


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise MissingExtraError.of("faiss-cpu", "cpu") from error
    return faiss
