"""Nearest neighbours: exact where flat, near enough where not, and never a row that is not allowed."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from polyclinic.core.errors import SetupError, StorageError
from polyclinic.knowledge.encoders.protocol import Vectors
from polyclinic.knowledge.index import vectors as module
from polyclinic.knowledge.index.vectors import Kind, Mask, VectorIndex, kind_for, write_vectors

COUNT, DIMENSION = 4000, 24


def clustered(count: int, seed: int = 0, dimension: int = DIMENSION) -> Vectors:
    centres = np.random.default_rng(7).standard_normal((40, dimension))
    chance = np.random.default_rng(seed)
    found = centres[chance.integers(0, 40, count)] + 0.6 * chance.standard_normal((count, dimension))
    unit: Vectors = (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)
    return unit


def chunked(stored: Vectors, size: int = 700) -> Iterator[Vectors]:
    return (stored[first : first + size] for first in range(0, len(stored), size))


def exact(stored: Vectors, vector: Vectors, limit: int, allowed: Mask | None = None) -> list[int]:
    scores = stored @ vector
    if allowed is not None:
        scores[~allowed] = -9
        limit = min(limit, int(allowed.sum()))
    return np.argsort(-scores, kind="stable")[:limit].tolist()


STORED = clustered(COUNT)
ASKED = clustered(60, seed=1)
MASKS = {share: np.random.default_rng(3).random(COUNT) < share for share in (0.0, 0.001, 0.05, 0.5, 0.98, 1.0)}


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> dict[Kind, VectorIndex]:
    folder = tmp_path_factory.mktemp("vectors")
    found: dict[Kind, VectorIndex] = {}
    for kind in ("flat", "hnsw", "ivfpq"):
        write_vectors(folder / kind, lambda: chunked(STORED), count=COUNT, dimension=DIMENSION, kind=kind)
        found[kind] = VectorIndex.open(folder / kind, kind)
    return found


def recall(index: VectorIndex, allowed: Mask | None = None) -> float:
    shares = []
    for vector in ASKED:
        expected = set(exact(STORED, vector, 10, allowed))
        shares.append(
            len(expected.intersection(index.nearest(vector, 10, allowed)[1].tolist())) / max(1, len(expected))
        )
    return float(np.mean(shares))


def test_flat_is_exact(opened: dict[Kind, VectorIndex]) -> None:
    for index in (opened["flat"], VectorIndex.of(STORED)):
        for vector in ASKED:
            scores, rows = index.nearest(vector, 10)
            assert rows.tolist() == exact(STORED, vector, 10)
            np.testing.assert_allclose(scores, STORED[rows] @ vector, rtol=1e-5, atol=1e-6)
            assert (np.diff(scores) <= 0).all()


def test_approximate_kinds_find_most(opened: dict[Kind, VectorIndex]) -> None:
    assert recall(opened["hnsw"]) >= 0.95
    assert recall(opened["ivfpq"]) >= 0.6


@pytest.mark.parametrize("exact_below", [20_000, 100])
@pytest.mark.parametrize("kind", ["flat", "hnsw", "ivfpq"])
def test_no_row_outside_the_mask_ever(
    opened: dict[Kind, VectorIndex], kind: Kind, exact_below: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EXACT_BELOW", exact_below)
    index = opened[kind]
    for mask in MASKS.values():
        for vector in ASKED[:20]:
            scores, rows = index.nearest(vector, 100, mask)
            assert mask[rows].all()
            assert len(scores) == len(rows) == len(set(rows.tolist()))
            if kind != "ivfpq":
                assert len(rows) == min(100, int(mask.sum()))
        if kind == "flat" or (kind == "hnsw" and mask.sum() < exact_below):
            assert recall(index, mask) == (1.0 if mask.any() else 0.0)
    few = MASKS[0.001]
    assert set(index.nearest(ASKED[0], 100, few)[1].tolist()) == set(np.flatnonzero(few).tolist())


def test_a_search_of_more_than_there_is_gives_all() -> None:
    index = VectorIndex.of(STORED[:3])
    assert sorted(index.nearest(ASKED[0], 100)[1].tolist()) == [0, 1, 2]
    assert index.nearest(ASKED[0], 100, np.zeros(3, dtype=bool))[1].tolist() == []


@pytest.mark.parametrize("kind", ["flat", "hnsw", "ivfpq"])
def test_the_same_vectors_make_the_same_file(tmp_path: Path, kind: Kind) -> None:
    few = STORED[:1200]
    for name in ("a", "b"):
        write_vectors(tmp_path / name, lambda: chunked(few), count=1200, dimension=DIMENSION, kind=kind)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_flat_index_added_to_is_the_one_built_at_once(tmp_path: Path) -> None:
    whole, first, grown = tmp_path / "whole", tmp_path / "first", tmp_path / "grown"
    write_vectors(whole, lambda: chunked(STORED), count=COUNT, dimension=DIMENSION, kind="flat")
    write_vectors(first, lambda: [STORED[:900]], count=900, dimension=DIMENSION, kind="flat")
    told: list[int] = []
    write_vectors(
        grown, lambda: [STORED[900:]], count=COUNT, dimension=DIMENSION, kind="flat", base=first, step=told.append
    )
    assert grown.read_bytes() == whole.read_bytes()
    assert sum(told) == COUNT - 900


@pytest.mark.parametrize("kind", ["flat", "hnsw", "ivfpq"])
def test_searches_from_many_threads_agree(opened: dict[Kind, VectorIndex], kind: Kind) -> None:
    index = opened[kind]

    def found(number: int) -> list[int]:
        allowed = None if number % 2 else MASKS[0.5]
        return index.nearest(ASKED[number % len(ASKED)], 10, allowed)[1].tolist()

    alone = [found(number) for number in range(240)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(found, range(240))) == alone


def test_writing_streams(tmp_path: Path) -> None:
    """Beside what faiss holds, which tracemalloc does not see, a few chunks."""
    count, dimension = 100_000, 64

    def chunks() -> Iterator[Vectors]:
        for seed in range(50):
            yield clustered(count // 50, seed, dimension)

    tracemalloc.start()
    try:
        write_vectors(tmp_path / "a", chunks, count=count, dimension=dimension, kind="flat")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (tmp_path / "a").stat().st_size > 4 * count * dimension
    assert peak < 4 * count * dimension / 4
    np.testing.assert_array_equal(
        VectorIndex.open(tmp_path / "a", "flat").stored[-2000:], clustered(2000, 49, dimension)
    )


def test_the_kind_follows_the_size_unless_it_is_asked_for() -> None:
    assert [kind_for(count, None) for count in (0, 49_999, 50_000)] == ["flat", "flat", "hnsw"]
    assert [kind_for(10, kind) for kind in ("flat", "hnsw", "ivfpq")] == ["flat", "hnsw", "flat"]
    assert [kind_for(10_000, kind) for kind in ("flat", "hnsw", "ivfpq")] == ["flat", "hnsw", "ivfpq"]


def test_files_that_cannot_be_read_or_written_are_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"no vectors")
    with pytest.raises(SetupError, match=r"vectors in .*/a; got"):
        VectorIndex.open(tmp_path / "a", "flat")
    with pytest.raises(StorageError, match=r"to write .*missing/a; got"):
        write_vectors(tmp_path / "missing" / "a", lambda: [STORED], count=COUNT, dimension=DIMENSION, kind="flat")


class OnGpu:
    """Stands in for an index on a GPU: exact, without filters, and never more than GPU_MOST neighbours."""

    def __init__(self, stored: Vectors) -> None:
        self.stored, self.asked = stored, 0

    def search(self, asked: Vectors, limit: int) -> tuple[Any, Any]:
        assert limit <= module.GPU_MOST
        self.asked += 1
        rows = np.array([exact(self.stored, asked[0], limit)], dtype=np.int64)
        scores = self.stored[rows] @ asked[0]
        missing = limit - rows.shape[1]
        return np.pad(scores, ((0, 0), (0, missing))), np.pad(rows, ((0, 0), (0, missing)), constant_values=-1)


@pytest.mark.parametrize("most", [50, 400, 2048])
def test_the_gpu_answers_what_it_can_and_filters_hold(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The filter logic only: no machine here has a GPU that faiss sees."""
    gpu = OnGpu(STORED)
    monkeypatch.setattr(module, "GPU_MOST", most)
    monkeypatch.setattr(module, "EXACT_BELOW", 10)
    monkeypatch.setattr(module, "_moved_to_gpu", lambda *_: gpu)
    index = VectorIndex.of(STORED)
    for mask in (None, *MASKS.values()):
        for vector in ASKED[:10]:
            assert index.nearest(vector, 40, mask)[1].tolist() == exact(STORED, vector, 40, mask)
    assert index.nearest(ASKED[0], 100)[1].tolist() == exact(STORED, ASKED[0], 100)
    assert gpu.asked > 0
