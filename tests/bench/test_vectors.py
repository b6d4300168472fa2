"""bench/vectors.py: its exact search, its repeatable vectors, and a whole run over two thousand of them."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from polyclinic.knowledge.index.vectors import VectorIndex

SCRIPT = Path(__file__).resolve().parents[2] / "bench" / "vectors.py"


@pytest.fixture(scope="module")
def vectors(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("vectors")


def test_vectors_are_the_same_every_time(vectors: ModuleType) -> None:
    collection = vectors.Collection(count=20_000, dimension=8, clusters=3)
    once, again = ([*collection.chunks()] for _ in range(2))
    assert [len(part) for part in once] == [16_384, 3_616]
    assert all(np.array_equal(one, other) for one, other in zip(once, again, strict=True))
    assert np.linalg.norm(np.concatenate(once), axis=1) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("filtered", [False, True])
def test_the_reference_is_exact(vectors: ModuleType, filtered: bool) -> None:
    collection = vectors.Collection(count=20_000, dimension=8, clusters=3)
    stored, questions = np.concatenate([*collection.chunks()]), collection.questions(5)
    allowed = np.arange(len(stored)) % 3 == 0 if filtered else None
    scores = questions @ stored.T
    if allowed is not None:
        scores[:, ~allowed] = -2
    wanted = np.sort(-scores, axis=1)[:, : vectors.TOP]
    found = vectors.exact(VectorIndex.of(stored), questions, allowed)
    assert -np.take_along_axis(scores, found, axis=1) == pytest.approx(wanted)
    assert vectors.recall([*found], found) == 1
    assert vectors.recall([rows[:5] for rows in found], found) == 0.5


def test_a_whole_run(tmp_path: Path) -> None:
    small = ["--count", "2000", "--dimension", "32", "--clusters", "10", "--queries", "8", "--out", str(tmp_path)]
    for built in (True, False):
        run = subprocess.run([sys.executable, SCRIPT, *small], capture_output=True, text=True, check=True)
        assert ("built in" in run.stdout) == built
        shares = [float(share) for share in re.findall(r"recall@10 ([\d.]+)", run.stdout)]
        assert len(shares) == 6
        assert min(shares) >= 0.95
        assert re.search(r"Index.search, words and vectors: p50 [\d.]+ ms", run.stdout)
    assert [path.name for path in tmp_path.iterdir()] == ["2000x32-10.hnsw"]
