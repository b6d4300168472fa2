"""A searchable shelf of passages: BM25 with a dense fallback, filters, floor and cut. It does not write passages.

The only door to faiss and bm25s; both are imported on the first search.

Why BM25 leads. On BioASQ 7b-9b (1497 questions against all their 12 674 gold snippets) the command
`python bench/retrieval.py --data PATH` gives nDCG@10 0.750 [0.734, 0.765] for BM25 alone, 0.561 [0.541, 0.580] for the
hashed n-grams alone and 0.652 [0.634, 0.669] for both fused at equal weight; even a tenth of the weight given to the
n-grams costs 0.022 [0.017, 0.026]. So `dense_weight` is 0 by default, and the dense index answers only where BM25
finds nothing above the floor, as with misspelt words.
"""

from __future__ import annotations

import math
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core.canonical import digest
from ..core.errors import InputError, MissingExtraError
from . import text
from .encoder import Encoder, HashedNgrams, Vectors, ngrams
from .store import Hit, Passage, Query

K1, B = 1.2, 0.75
RRF_K = 60
POOL = 100  # passages ranked before floor, cut and limit
KEPT_FILTERS = 256  # filters whose rows stay in memory
KEPT_SHELVES = 16  # patients whose indexes stay in memory
TITLE_TIMES = 2  # how often a title counts as text
LONE = 2  # the floor is this many times higher for a single stray term
SIMILAR_SPELLING = 0.6  # Dice of n-grams from which two words may be one misspelt: `weather` and `rather` have 0.55
RESPELT_FLOOR = 0.3
SECOND_SENTENCE = 0.25  # what a neighbour must add to the best sentence's share to be quoted with it


class Index:
    """The `Knowledge` port over passages held in memory.

    `floor` is the least share of the query's information that a hit must cover, doubled when all it shares is a single
    term outside the title; `cut` is the least share of the best hit's score that a further hit must reach;
    `dense_weight` in [0, 1] is the dense ranking's weight in reciprocal rank fusion (Cormack et al. 2009): 0 ranks by
    BM25 alone, 1 by the encoder alone.

    A passage with a `patient_id` is only ever seen by that patient's queries, and it cannot even be noticed by
    others: each patient has a shelf of their own, with its own term statistics. A passage without domains answers
    only queries without domains; a passage without modalities is bound to none and passes every modality.

    Raises InputError when two passages share an id or a number is out of range; the first search raises
    MissingExtraError when faiss or bm25s is not installed.
    """

    def __init__(
        self,
        passages: Iterable[Passage],
        *,
        encoder: Encoder | None = None,
        dense_weight: float = 0.0,
        floor: float = 0.15,
        cut: float = 0.5,
    ) -> None:
        # Sorted by id, so that nothing below can depend on the order in which passages came.
        self.passages = tuple(sorted(passages, key=lambda passage: passage.id))
        self.encoder = encoder or HashedNgrams()
        self.dense_weight, self.floor, self.cut = dense_weight, floor, cut
        _check(self.passages, {"dense_weight": dense_weight, "floor": floor, "cut": cut})
        self._shelves: dict[str | None, _Shelf] = {}
        self._lock = threading.Lock()
        self._owners = frozenset(passage.patient_id for passage in self.passages)
        parameters = [
            dense_weight, floor, cut, K1, B, RRF_K, POOL, TITLE_TIMES, LONE, SIMILAR_SPELLING, RESPELT_FLOOR,
            SECOND_SENTENCE, text.VERSION,
        ]  # fmt: skip
        content = [passage.model_dump(mode="json") for passage in self.passages]
        self._version = digest({"passages": content, "encoder": self.encoder.name, "parameters": parameters})

    @property
    def version(self) -> str:
        """Hash of the passages, the encoder's name and every parameter that could change an answer."""
        return self._version

    def search(self, query: Query) -> tuple[Hit, ...]:
        """Hits, best first, ties by passage id; empty when nothing covers enough of the query. Thread-safe."""
        shelf = self._shelf(query.patient_id)
        words = text.terms(query.text)
        allowed = shelf.allowed(query)
        if not words or not allowed.any():
            return ()
        weights = shelf.weights(words)
        lexical = shelf.ranking(query.text, words, allowed, self.dense_weight)[: query.limit]
        hits = self._keep(shelf, [(row, weights) for row in lexical], self.floor)
        if hits:
            return hits
        dense = shelf.ranking(query.text, words, allowed, 1.0)[: query.limit]
        hits = self._keep(shelf, [(row, shelf.respelt(row, weights)) for row in dense], max(self.floor, RESPELT_FLOOR))
        return tuple(sorted(hits, key=lambda hit: (-hit.score, hit.passage.id)))

    def rank(self, query: Query) -> tuple[Passage, ...]:
        """The ranking behind `search` before floor, cut and limit are applied, at most `POOL` long: for measuring."""
        shelf = self._shelf(query.patient_id)
        words = text.terms(query.text)
        allowed = shelf.allowed(query)
        if not words or not allowed.any():
            return ()
        return tuple(shelf.passages[row] for row in shelf.ranking(query.text, words, allowed, self.dense_weight))

    def _keep(self, shelf: _Shelf, found: Sequence[tuple[int, Mapping[str, float]]], floor: float) -> tuple[Hit, ...]:
        hits = [(shelf.hit(row, weights), LONE if shelf.lone(row, weights) else 1) for row, weights in found]
        best = max((hit.score for hit, _ in hits), default=0.0)
        return tuple(h for h, times in hits if h.score > 0 and h.score >= max(times * floor, self.cut * best))

    def _shelf(self, patient_id: str | None) -> _Shelf:
        """The patient's shelf (the common one when nothing is held about them), built on first use."""
        owner = patient_id if patient_id in self._owners else None
        with self._lock:
            shelf = self._shelves.pop(owner, None)
            if shelf is None:
                shelf = _Shelf([p for p in self.passages if p.patient_id in (None, owner)], self.encoder)
            self._shelves[owner] = shelf
            if len(self._shelves) > KEPT_SHELVES:
                del self._shelves[next(iter(self._shelves))]
        return shelf


class _Shelf:
    """The passages one patient's queries may see, with their BM25 index and, once it is asked, their FAISS index."""

    def __init__(self, passages: Sequence[Passage], encoder: Encoder) -> None:
        self.passages = passages
        self.encoder = encoder
        self.written = [f"{passage.title}. " * TITLE_TIMES + passage.text for passage in passages]
        rows = [text.terms(item) for item in self.written]
        self.terms = [frozenset(row) for row in rows]
        self.titles = [frozenset(text.terms(passage.title)) for passage in passages]
        self.frequency = Counter(term for row in self.terms for term in row)
        self.vocabulary = {term: number for number, term in enumerate(sorted(self.frequency))}
        self._allowed: dict[tuple[Any, ...], npt.NDArray[np.bool_]] = {}
        if passages:
            self.bm25 = _bm25([[self.vocabulary[term] for term in row] for row in rows], self.vocabulary)

    @cached_property
    def dense(self) -> Any:
        """The FAISS index, built on first use: most searches never need it."""
        return _faiss(self.encoder.encode(self.written))

    def allowed(self, query: Query) -> npt.NDArray[np.bool_]:
        """Which passages the query may see: bool [n]; the same filters ask for the same rows again and again."""
        filters = (query.domains, query.modality, query.patient_id)
        known = self._allowed.get(filters)
        if known is None:
            known = np.array([_permits(passage, query) for passage in self.passages], dtype=bool)
            if len(self._allowed) >= KEPT_FILTERS:
                self._allowed.clear()
            self._allowed[filters] = known
        return known

    def idf(self, term: str) -> float:
        """How much a term tells, as in BM25; a term that no passage has tells most."""
        count = self.frequency[term]
        return math.log(1 + (len(self.passages) - count + 0.5) / (count + 0.5))

    def weights(self, words: Iterable[str]) -> Mapping[str, float]:
        """Each term's share of the query's information; the shares sum to 1."""
        idf = {word: self.idf(word) for word in sorted(set(words))}
        total = math.fsum(idf.values())
        return {word: value / total for word, value in idf.items()}

    def ranking(
        self, written: str, words: Sequence[str], allowed: npt.NDArray[np.bool_], dense_weight: float
    ) -> list[int]:
        """Rows of allowed passages, best first, at most POOL: lexical and dense ranks fused."""
        fused: defaultdict[int, float] = defaultdict(float)
        for weight, rows in ((1 - dense_weight, self._lexical), (dense_weight, self._dense)):
            if weight > 0:
                for place, row in enumerate(rows(written, words, allowed), start=1):
                    fused[row] += weight / (RRF_K + place)
        return sorted(fused, key=lambda row: (-fused[row], row))[:POOL]

    def _lexical(self, written: str, words: Sequence[str], allowed: npt.NDArray[np.bool_]) -> list[int]:
        numbers = [self.vocabulary[word] for word in sorted(words) if word in self.vocabulary]
        if not numbers:
            return []
        scores = np.round(self.bm25.get_scores_from_ids(numbers) * allowed, 5)
        order = np.argsort(-scores, kind="stable")[:POOL]
        return [int(row) for row in order if scores[row] > 0]

    def _dense(self, written: str, words: Sequence[str], allowed: npt.NDArray[np.bool_]) -> list[int]:
        vector = self.encoder.encode([written])
        found, rows = _nearest(self.dense, vector, np.flatnonzero(allowed))
        pairs = [(-round(float(s), 5), int(row)) for s, row in zip(found[0], rows[0], strict=True) if row >= 0 < s]
        return [row for _, row in sorted(pairs)]

    def lone(self, row: int, weights: Mapping[str, float]) -> bool:
        """Whether all that query and passage share is one term outside the title, which may well be chance."""
        common = self.terms[row].intersection(weights)
        return len(weights) > 1 and len(common) == 1 and common.isdisjoint(self.titles[row])

    def hit(self, row: int, weights: Mapping[str, float]) -> Hit:
        score = math.fsum(weight for word, weight in weights.items() if word in self.terms[row])
        passage = self.passages[row]
        return Hit(passage=passage, score=min(1.0, round(score, 6)), span=_best_span(passage.text, weights))

    def respelt(self, row: int, weights: Mapping[str, float]) -> Mapping[str, float]:
        """`weights` with each term replaced by the passage's most similarly spelt one, its weight times the
        similarity (Dice of n-grams); terms below SIMILAR_SPELLING are left as they are and so cover nothing."""
        respelt: defaultdict[str, float] = defaultdict(float)
        grams = {term: ngrams(term) for term in self.terms[row]}
        for word, weight in weights.items():
            own = ngrams(word)
            near = [(2 * len(own & other) / (len(own) + len(other)), term) for term, other in grams.items()]
            similarity, term = max(near, default=(0.0, word))
            alike = similarity >= SIMILAR_SPELLING
            respelt[term if alike else word] += weight * (similarity if alike else 1.0)
        return respelt


def _permits(passage: Passage, query: Query) -> bool:
    return (
        passage.patient_id in (None, query.patient_id)
        and (not query.domains or not set(query.domains).isdisjoint(passage.domains))
        and (query.modality is None or not passage.modalities or query.modality in passage.modalities)
    )


@lru_cache(maxsize=4096)
def _pieces(written: str) -> tuple[list[tuple[int, int]], list[frozenset[str]]]:
    """The sentences of a passage and the terms of each."""
    pieces = text.sentences(written) or [(0, len(written))]
    return pieces, [frozenset(text.terms(written[start:end])) for start, end in pieces]


def _best_span(written: str, weights: Mapping[str, float]) -> tuple[int, int]:
    """The sentence that covers most of the query, with its neighbour where that adds enough; else the first."""
    pieces, known = _pieces(written)

    def covered(first: int, last: int) -> float:
        present = frozenset().union(*known[first : last + 1])
        return math.fsum(weight for word, weight in weights.items() if word in present)

    alone = [covered(i, i) for i in range(len(pieces))]
    best = max(range(len(pieces)), key=lambda i: (alone[i], -i))
    neighbours = [(i, i + 1) for i in (best - 1, best) if 0 <= i < len(pieces) - 1]
    first, last = max(neighbours, key=lambda pair: covered(*pair), default=(best, best))
    if covered(first, last) < (1 + SECOND_SENTENCE) * alone[best] or not alone[best]:
        first = last = best
    return pieces[first][0], pieces[last][1]


def _check(passages: Sequence[Passage], shares: Mapping[str, float]) -> None:
    repeated = sorted(key for key, count in Counter(passage.id for passage in passages).items() if count > 1)
    if repeated:
        raise InputError(
            expected="one passage per id", got=f"the id {repeated[0]!r} twice", fix="rename or drop one of the two"
        )
    for name, value in shares.items():
        if not 0 <= value <= 1:
            raise InputError(expected=f"{name} from 0 to 1", got=f"{value!r}", fix=f"give {name} as a share")


def _bm25(rows: list[list[int]], vocabulary: dict[str, int]) -> Any:
    try:
        import bm25s
    except ImportError as error:
        raise MissingExtraError.of("bm25s", "cpu") from error
    index = bm25s.BM25(k1=K1, b=B, method="lucene", backend="numpy")
    # bm25s adds an empty term to the vocabulary it is given, hence the copy.
    index.index((rows, dict(vocabulary)), show_progress=False)
    return index


def _faiss(vectors: Vectors) -> Any:
    try:
        import faiss
    except ImportError as error:
        raise MissingExtraError.of("faiss-cpu", "cpu") from error
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    return index


def _nearest(index: Any, vector: Vectors, rows: npt.NDArray[np.int64]) -> tuple[Vectors, npt.NDArray[np.int64]]:
    """Inner products and row numbers of the best POOL among `rows`; -1 where there are fewer."""
    import faiss

    # The constructor that takes keywords is added at run time; the type hints do not know it.
    make: Any = faiss.SearchParameters
    chosen = make(sel=faiss.IDSelectorBatch(rows))
    found: tuple[Vectors, npt.NDArray[np.int64]] = index.search(vector, min(POOL, len(rows)), params=chosen)
    return found
