"""Measures vectors in the million: building in bounded memory, opening, recall and time of HNSW. It changes nothing.

    python bench/vectors.py [--count 1000000] [--dimension 384] [--clusters 1000] [--queries 300] [--out FOLDER]

Synthetic unit vectors: around random centres, with a cosine similarity of about 0.62 within a cluster and 0 between
clusters; within a cluster all directions are alike. Questions come from the same
distribution. Printed: seconds and peak memory of the build in a process of its own; recall@10 against comparing every
vector; ms per search of `VectorIndex.nearest` beside faiss itself with the same parameters in the same run; the same
with filters; then a whole `Index.search` over as many passages of made-up words (Zipf), with a question's vector given.

The index file (4 · dimension + 8 · 32 bytes a vector) is kept in `--out`, where a later run finds it; else it goes to a
temporary folder and is removed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, overload

import faiss
import numpy as np
import numpy.typing as npt

from polyclinic.knowledge.index.lexicon import Lexicon, Words
from polyclinic.knowledge.index.postings import Flat, Postings
from polyclinic.knowledge.index.search import Index, Limits
from polyclinic.knowledge.index.shelf import COLUMNS, NO_DATE, Names, Shelf
from polyclinic.knowledge.index.vectors import SEARCH_BREADTH, Mask, VectorIndex, write_vectors
from polyclinic.knowledge.store import Passage, Picture, Query

Floats = npt.NDArray[np.float32]

CHUNK = 16_384
TOP = 10
NOISE = 0.79  # the length of what is added to a centre: 1 / (1 + 0.79²) = 0.62
WORDS, VOCABULARY = 60, 100_000  # terms of a made-up passage, and how many there are
ASKED = 6  # words of a made-up question
MIB = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Collection:
    """Vectors that are made when they are asked for, the same every time."""

    count: int
    dimension: int
    clusters: int

    def centres(self) -> Floats:
        return unit(np.random.default_rng(0).standard_normal((self.clusters, self.dimension), dtype=np.float32))

    def chunks(self) -> Iterator[Floats]:
        centres = self.centres()
        for number, first in enumerate(range(0, self.count, CHUNK)):
            yield self.around(centres, min(CHUNK, self.count - first), seed=number)

    def around(self, centres: Floats, count: int, *, seed: int) -> Floats:
        rng = np.random.default_rng([1, seed])
        noise = rng.standard_normal((count, self.dimension), dtype=np.float32)
        return unit(centres[rng.integers(0, len(centres), count)] + noise * np.float32(NOISE / self.dimension**0.5))

    def questions(self, count: int) -> Floats:
        return self.around(self.centres(), count, seed=1 << 30)


def unit(vectors: Floats) -> Floats:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def build(collection: Collection, path: Path) -> dict[str, float]:
    """Write the index; seconds spent on it and on making the vectors, and this process's peak memory before and
    after, in MiB."""
    made = 0.0

    def chunks() -> Iterator[Floats]:
        nonlocal made
        started = time.perf_counter()
        for vectors in collection.chunks():
            made += time.perf_counter() - started
            yield vectors
            started = time.perf_counter()

    before = peak_mib()
    started = time.perf_counter()
    write_vectors(path, chunks, count=collection.count, dimension=collection.dimension, kind="hnsw")
    seconds = time.perf_counter() - started
    return {"seconds": seconds - made, "made": made, "before": before, "peak": peak_mib()}


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def exact(index: VectorIndex, questions: Floats, allowed: Mask | None = None) -> npt.NDArray[np.int64]:
    """The TOP nearest allowed rows of each question, found by comparing all: int64 [questions, TOP]."""
    best = np.full((len(questions), TOP), -2, dtype=np.float32)
    rows = np.full((len(questions), TOP), -1, dtype=np.int64)
    for first in range(0, len(index), CHUNK):
        scores = questions @ index.stored[first : first + CHUNK].T
        if allowed is not None:
            scores[:, ~allowed[first : first + CHUNK]] = -2
        scores = np.concatenate([best, scores], axis=1)
        here = np.arange(first, first + scores.shape[1] - TOP)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :TOP]
        known = np.concatenate([rows, np.broadcast_to(here, (len(questions), len(here)))], axis=1)
        best, rows = np.take_along_axis(scores, order, axis=1), np.take_along_axis(known, order, axis=1)
    return rows


def recall(found: Sequence[npt.NDArray[np.int64]], wanted: npt.NDArray[np.int64]) -> float:
    return float(np.mean([np.isin(real, rows[:TOP]).mean() for rows, real in zip(found, wanted, strict=True)]))


def timed(search: Callable[[Floats], Any], questions: Floats) -> tuple[list[Any], Floats]:
    """What each question finds, and its ms."""
    found, spent = [], []
    for question in questions:
        started = time.perf_counter()
        found.append(search(question))
        spent.append(1000 * (time.perf_counter() - started))
    return found, np.array(spent, dtype=np.float32)


def quantiles(spent: Floats) -> str:
    return f"p50 {np.quantile(spent, 0.5):.2f} ms, p95 {np.quantile(spent, 0.95):.2f} ms"


def beside(ours: Callable[[Floats], Any], theirs: Callable[[Floats], Any], questions: Floats) -> str:
    """Both in turn for each question, each of them first every other time, after a search that is not timed: it brings
    the rows into the cache for whoever comes first. The ratio is the median over questions."""
    spent = np.zeros((len(questions), 2), dtype=np.float32)
    for number, question in enumerate(questions):
        theirs(question)
        for place in ((0, 1), (1, 0))[number % 2]:
            started = time.perf_counter()
            (ours, theirs)[place](question)
            spent[number, place] = 1000 * (time.perf_counter() - started)
    ratio = float(np.median(spent[:, 0] / spent[:, 1]))
    return f"ours {quantiles(spent[:, 0])}; faiss {quantiles(spent[:, 1])}; ratio {ratio:.3f}"


def bare(index: Any, limit: int, parameters: Any, question: Floats) -> Any:
    return index.search(question.reshape(1, -1), limit, params=parameters)


def searches(path: Path, questions: Floats) -> VectorIndex:
    """Print how the index in the file answers; the index, warm."""
    started = time.perf_counter()
    index = VectorIndex.open(path, "hnsw")
    opened = time.perf_counter() - started
    cold = timed(partial(index.nearest, limit=TOP), questions[:1])[1]
    print(f"opened in {1000 * opened:.0f} ms; the first search took {cold[0]:.1f} ms")
    wanted = exact(index, questions)
    raw = index._index  # the same in memory: a second copy would have the caches to itself
    parameters = faiss.SearchParametersHNSW(efSearch=SEARCH_BREADTH)
    for limit in (TOP, 100):
        search = partial(index.nearest, limit=limit)
        answers, spent = timed(search, questions)
        got = recall([rows for _, rows in answers], wanted)
        print(f"the {limit} nearest: recall@{TOP} {got:.4f}; {quantiles(spent)}", flush=True)
        print(f"  again, in the caches: {beside(search, partial(bare, raw, limit, parameters), questions)}")
    spent = timed(lambda question: np.argpartition(-(index.stored @ question), TOP)[:TOP], questions[:10])[1]
    print(f"comparing every vector (numpy): {quantiles(spent)}")
    rng = np.random.default_rng(2)
    for share in (0.5, 0.1, 0.03, 0.01):
        allowed = rng.random(len(index)) < share
        answers, spent = timed(partial(index.nearest, limit=100, allowed=allowed), questions)
        got = recall([rows for _, rows in answers], exact(index, questions, allowed))
        print(f"{share:.0%} of the rows allowed: recall@{TOP} {got:.4f}; {quantiles(spent)}", flush=True)
    return index


class MadeUp(Sequence[Passage]):
    """Passages of made-up words, written when they are asked for."""

    def __init__(self, flat: Flat) -> None:
        self._flat = flat

    def __len__(self) -> int:
        return len(self._flat)

    @overload
    def __getitem__(self, place: int) -> Passage: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Passage]: ...
    def __getitem__(self, place: int | slice) -> Passage | Sequence[Passage]:
        if isinstance(place, slice):
            return [self[row] for row in range(*place.indices(len(self)))]
        words = [word(number) for number in self._flat.of(place).tolist()]
        lines = [" ".join(words[first : first + 15]) + "." for first in range(0, len(words), 15)]
        return Passage(id=f"p{place}", title="", text=" ".join(lines), citation="made up", licence="CC0-1.0")


class Given:
    """An encoder whose questions are numbers of vectors given before."""

    spec = identity = "given"
    reads = frozenset({"text"})

    def __init__(self, vectors: Floats) -> None:
        self.vectors, self.dimension, self.number = vectors, vectors.shape[1], 0

    def encode_texts(self, texts: Sequence[str], *, query: bool = False) -> Floats:
        return self.vectors[[self.number] * len(texts)]

    def encode_pictures(self, pictures: Sequence[Picture]) -> Floats:
        raise NotImplementedError


def word(number: int) -> str:
    """A word that `terms` leaves as it is."""
    return f"w{number}x"


def whole(index: VectorIndex, questions: Floats) -> None:
    """Print the time of `Index.search` by words and vectors together, over as many passages."""
    rng, count = np.random.default_rng(3), len(index)
    chances = 1 / (np.arange(VOCABULARY) + 10.0)
    terms = np.searchsorted(np.cumsum(chances / chances.sum()), rng.random(count * WORDS)).astype(np.uint32)
    flat = Flat(np.minimum(terms, VOCABULARY - 1), np.full(count, WORDS, dtype=np.uint32))
    started = time.perf_counter()
    postings = Postings.build(flat, VOCABULARY)
    print(f"postings of {count} passages of {WORDS} words: {time.perf_counter() - started:.0f} s")
    columns = np.zeros(count, dtype=COLUMNS)
    columns["date"] = NO_DATE
    lexicon = Lexicon(Words(word(number) for number in range(VOCABULARY)), postings)
    given = Given(questions)
    for title, meaning in (("words alone", None), ("words and vectors", index)):
        shelf = Shelf(MadeUp(flat), columns, Names(domains=(), sources=("",)), lexicon, flat, meaning=meaning)
        store = Index.over(shelf, lambda _: None, "made up", text_encoder=given, limits=Limits(meaning=0.4))
        spent = []
        for number in range(len(questions)):
            chosen = rng.choice(flat.of(int(rng.integers(count))), ASKED)
            given.number, query = number, Query(text=" ".join(word(int(term)) for term in chosen))
            started = time.perf_counter()
            store.search(query)
            spent.append(1000 * (time.perf_counter() - started))
        print(f"Index.search, {title}: {quantiles(np.array(spent, dtype=np.float32))}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("count", 1_000_000), ("dimension", 384), ("clusters", 1000), ("queries", 300)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    collection = Collection(count=arguments.count, dimension=arguments.dimension, clusters=arguments.clusters)
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.out or Path(temporary)
        path = folder / f"{collection.count}x{collection.dimension}-{collection.clusters}.hnsw"
        print(f"{collection}; load {os.getloadavg()[0]:.1f}", flush=True)
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            with multiprocessing.get_context("spawn").Pool(1) as child:  # its peak memory is the build's alone
                told = child.apply(build, (collection, path))
            size = collection.count * collection.dimension * 4 / MIB
            print(f"built in {told['seconds']:.0f} s, and {told['made']:.0f} s to make the vectors")
            print(
                f"peak memory {told['peak']:.0f} MiB ({told['before']:.0f} before), vectors {size:.0f} MiB: "
                f"ratio {told['peak'] / size:.2f}"
            )
        print(f"file {path.stat().st_size / MIB:.0f} MiB", flush=True)
        questions = collection.questions(arguments.queries)
        whole(searches(path, questions), questions)
        print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
