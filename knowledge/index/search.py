"""Searching: rankings by words, meaning and look fused, filtered, cut where support ends, and never across patients.

What a ranking is worth is measured, not assumed: `python bench/retrieval.py --data PATH`, docs/benchmarks.md.
"""

from __future__ import annotations

import math
import threading
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import TypeAlias

from ...core.canonical import digest
from ...core.errors import InputError
from .. import text
from ..encoders.protocol import Encoder
from ..store import Found, Hit, Passage, Picture, Query
from . import floors, lexicon, postings, vectors
from .catalogue import storable
from .near_duplicates import Held
from .shelf import NAMED, POOL, TITLE_TIMES, TITLED, Asked, Shelf
from .vectors import Mask

RRF_K = 60
KEPT_SHELVES = 16  # patients whose shelves stay in memory
SHORT, LEAST = 6, 0.15  # terms of a query of which the whole floor is asked, and what is asked of any
LONE = 1.5  # the floor is this many times higher for a single stray term
RESPELT_FLOOR = 0.3
SECOND_SENTENCE = 0.25  # what a neighbour must add to the best sentence's share to be quoted with it
SAME_LOOK = 0.996
"""Cosine similarity from which two pictures are one, scaled or recompressed: docs/lab-log.md."""

ALIKE = 0.8  # share of terms that two passages have in common from which the second tells nothing new
PER_DOCUMENT = 2  # passages of one document among the hits

Records: TypeAlias = Callable[[str], Shelf | None]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What counts as support.

    `floor` is the least share of the query's information that a passage found by words must cover: less of a query
    with more than SHORT terms, as nobody answers a long message word by word, but LEAST of any; LONE times as much when
    all it shares is a single term outside the title. `meaning`, `look` and `described` are the least cosine
    similarities of what is found by meaning, by how its picture looks, or by words that describe its picture: what
    unrelated pairs of the collection do not reach. `cut` is the least share of the best hit's score that a further hit
    must reach, `drop` of the score before it: where the score falls further at once, the rest is left out.
    """

    floor: float = 0.3
    meaning: float = 0.0
    look: float = 0.0
    described: float = 0.0
    cut: float = 0.5
    drop: float = 0.7

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value <= 1:
                raise InputError(expected=f"{name} from 0 to 1", got=f"{value!r}", fix=f"give {name} as a share")


@dataclass(frozen=True)
class _Candidate:
    """A row that reached a floor: how it was found, with which score; `weights` where words were respelt."""

    shelf: Shelf
    row: int
    score: float
    found: Found
    weights: Mapping[str, float] | None = None

    @property
    def passage(self) -> Passage:
        return self.shelf.passages[self.row]

    def repeats(self, other: _Candidate) -> bool:
        """Whether it has hardly a word that the other has not; pictures always tell something else."""
        if self.shelf is not other.shelf or self.passage.picture is not None:
            return False
        own, its = self.shelf.terms(self.row), self.shelf.terms(other.row)
        return len(own & its) >= ALIKE * len(own | its)

    def hit(self, weights: Mapping[str, float]) -> Hit:
        span = _best_span(self.passage.text, self.weights or weights)
        return Hit(passage=self.passage, score=self.score, span=span, found=self.found)


def _limits(encoder: Encoder | None) -> Limits:
    """The floors of an index in memory: what unrelated texts do not reach is asked of the shipped passages."""
    if encoder is None:
        return Limits()
    return Limits(meaning=floors.between_texts(encoder))


class Index:
    """The `Knowledge` port over a shelf that everyone may see and one for each patient. Thread-safe.

    Words and meaning are fused by reciprocal rank (Cormack et al. 2009) where the shelf has vectors and there is a
    `text_encoder`; pictures are found by `image_encoder`, by words too where it reads both. A patient's own passages
    are only ever ranked among themselves, with the common shelf's idea of what a word tells, and merged with the
    common hits by rank: other patients cannot be seen, nor felt.

    `Index(passages)` keeps everything in memory; `folder.open_index(path)` opens one that was built.
    """

    def __init__(
        self,
        passages: Iterable[Passage] = (),
        *,
        text_encoder: Encoder | None = None,
        limits: Limits | None = None,
    ) -> None:
        # Sorted by id, so that nothing below can depend on the order in which passages came.
        ordered = sorted(passages, key=lambda passage: passage.id)
        _check(ordered)
        own: defaultdict[str, list[Passage]] = defaultdict(list)
        for passage in ordered:
            if passage.patient_id is not None:
                own[passage.patient_id].append(passage)

        def shelf(kept: Sequence[Passage]) -> Shelf:
            written = [f"{passage.title}. {passage.text}" for passage in kept]
            return Shelf.of(kept, text_encoder.encode_texts(written) if text_encoder and kept else None)

        self._set(
            common=shelf([passage for passage in ordered if passage.patient_id is None]),
            records=lambda patient: shelf(own[patient]) if patient in own else None,
            content=digest([passage.model_dump(mode="json") for passage in ordered]),
            text_encoder=text_encoder, image_encoder=None, limits=limits or _limits(text_encoder),
        )  # fmt: skip

    @classmethod
    def over(
        cls, common: Shelf, records: Records, content: str, *, text_encoder: Encoder | None = None,
        image_encoder: Encoder | None = None, limits: Limits, close: Callable[[], None] = lambda: None,
    ) -> Index:  # fmt: skip
        """An index over shelves made elsewhere; `content` is a hash of all that is in them, `close` shuts them."""
        index = cls.__new__(cls)
        index._set(
            common=common, records=records, content=content, text_encoder=text_encoder, image_encoder=image_encoder,
            limits=limits, close=close,
        )  # fmt: skip
        return index

    def _set(
        self, *, common: Shelf, records: Records, content: str, text_encoder: Encoder | None,
        image_encoder: Encoder | None, limits: Limits, close: Callable[[], None] = lambda: None,
        held: Held | None = None,
    ) -> None:  # fmt: skip
        self.common, self.limits = common, limits
        self.text_encoder, self.image_encoder = text_encoder, image_encoder
        self._records, self._content, self.close = records, content, close
        self._shelves: OrderedDict[str, Shelf | None] = OrderedDict()
        self._lock = threading.Lock()
        self._held = held
        parameters = [
            vars(limits), postings.K1, postings.B, POOL, RRF_K, TITLE_TIMES, SHORT, LEAST, LONE, RESPELT_FLOOR,
            SECOND_SENTENCE, ALIKE, PER_DOCUMENT, TITLED, NAMED, text.VERSION, lexicon.VERSION, vectors.SEARCH_BREADTH,
            vectors.PROBES,
        ]  # fmt: skip
        encoders = [encoder.identity if encoder else None for encoder in (text_encoder, image_encoder)]
        left_out = held.rows.tolist() if held else []
        self._version = digest([content, encoders, parameters, left_out])

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def version(self) -> str:
        """Hash of the passages, the encoders, what is held back, and every parameter that could change an answer."""
        return self._version

    @property
    def excluded(self) -> int:
        """How many passages are held back from every search."""
        return len(self._held.rows) if self._held else 0

    @property
    def size(self) -> int:
        """How many common passages there are, those held back among them."""
        return len(self.common.passages)

    def held_back(self) -> tuple[Passage, ...]:
        """The passages that no search finds."""
        return tuple(self.common.passages[row] for row in self._held.rows) if self._held else ()

    @property
    def pictured(self) -> bool:
        """Whether pictures can be found by pictures."""
        return self.image_encoder is not None

    def without(self, texts: Iterable[str] = (), documents: Iterable[str] = ()) -> Index:
        """This index for an evaluation: without its own items and what is nearly the same.

        Held back is every common passage that overlaps with one of `texts` as `near_duplicates.Held` says, or was cut
        from one of `documents` (ids as `Passage.document` or `Passage.id` has them). Every passage is read once. What
        it is made of stays this index's to close.
        """
        index = Index.__new__(Index)
        index._set(
            common=self.common, records=self._records, content=self._content, text_encoder=self.text_encoder,
            image_encoder=self.image_encoder, limits=self.limits,
            held=Held.among(self.common.passages, texts, documents, already=self._held),
        )  # fmt: skip
        return index

    def copies_of(self, picture: Picture) -> tuple[Passage, ...]:
        """The common passages whose picture is this one, as the image encoder sees them; none without one."""
        if self.image_encoder is None or self.common.look is None:
            return ()
        ranked = self.common.by_look(self.image_encoder.encode_pictures([picture])[0], None)
        return tuple(self.common.passages[row] for row, score in ranked if score >= SAME_LOOK)

    def search(self, query: Query, picture: Picture | None = None) -> tuple[Hit, ...]:
        """Hits, best first, ties by shelf and row; empty when nothing supports the query. Thread-safe."""
        shelves = self._shelves_for(query)
        asked = self._asked(query, picture, shelves)
        found = [self._supported(self._candidates(shelf, asked, self._mask(shelf, query))) for shelf in shelves]
        best = max((one.score for one in chain(*found)), default=0.0)
        shown = asked.look is not None and any(one.found == "image" for one in chain(*found))
        if best < RESPELT_FLOOR and not shown:
            respelt = [self._supported(self._respelt(shelf, asked, self._mask(shelf, query))) for shelf in shelves]
            found = respelt if any(one.score > best for one in chain(*respelt)) else found
        places = [(place, number, one) for number, ones in enumerate(found) for place, one in enumerate(ones)]
        merged = [one for _, _, one in sorted(places, key=lambda item: item[:2])]
        weights = self._weights(self.common, asked.words)
        return tuple(one.hit(weights) for one in _diverse(merged, query.limit))

    def rank(self, query: Query, picture: Picture | None = None) -> tuple[Passage, ...]:
        """The fused ranking of the common shelf before floor, cut and limit are applied: for measuring."""
        asked = self._asked(query, picture, [self.common])
        fused = _fused(self._rankings(self.common, asked, self._mask(self.common, query)).values())
        return tuple(self.common.passages[row] for row in fused)

    def _asked(self, query: Query, picture: Picture | None, shelves: Sequence[Shelf]) -> Asked:
        """What was asked, as vectors too where there is something to compare them with."""
        meaning = look = described = None
        said = bool(query.text.strip())
        if said and self.text_encoder is not None and any(shelf.meaning is not None for shelf in shelves):
            meaning = self.text_encoder.encode_texts([query.text], query=True)[0]
        if self.image_encoder is not None and any(shelf.look is not None for shelf in shelves):
            if picture is not None and query.image is not None:
                look = self.image_encoder.encode_pictures([picture])[0]
            if said and "text" in self.image_encoder.reads:
                described = self.image_encoder.encode_texts([query.text], query=True)[0]
        return Asked(query=query, words=text.terms(query.text), meaning=meaning, look=look, described=described)

    def _shelves_for(self, query: Query) -> list[Shelf]:
        """The common shelf and the asking patient's own, as far as there is something on them."""
        own = None if query.patient_id is None else self._own(query.patient_id)
        return [shelf for shelf in (self.common, own) if shelf is not None and len(shelf)]

    def _own(self, patient_id: str) -> Shelf | None:
        with self._lock:
            if patient_id not in self._shelves:
                self._shelves[patient_id] = self._records(patient_id)
            self._shelves.move_to_end(patient_id)
            if len(self._shelves) > KEPT_SHELVES:
                self._shelves.popitem(last=False)
            return self._shelves[patient_id]

    def _mask(self, shelf: Shelf, query: Query) -> Mask | None:
        allowed = shelf.allowed(query)
        if self._held is None or shelf is not self.common or not len(self._held.rows):
            return allowed
        return self._held.mask if allowed is None else allowed & self._held.mask

    @staticmethod
    def _rankings(shelf: Shelf, asked: Asked, allowed: Mask | None) -> dict[str, list[tuple[int, float]]]:
        """Every ranking there is for what was asked: rows with scores, best first."""
        rankings = {"words": shelf.by_words(asked.words, allowed)}
        if asked.meaning is not None:
            rankings["meaning"] = shelf.by_meaning(asked.meaning, allowed)
        for name, vector in (("image", asked.look), ("described", asked.described)):
            if vector is not None:
                rankings[name] = shelf.by_look(vector, allowed)
        return rankings

    def _candidates(self, shelf: Shelf, asked: Asked, allowed: Mask | None) -> list[_Candidate]:
        """What reaches its floor among the first of the fused ranking, in its order."""
        rankings = self._rankings(shelf, asked, allowed)
        weights, floor = self._weights(shelf, asked.words), self._floor(asked.words)
        numbered = shelf.lexicon.numbered(weights)
        near = {row: score for row, score in rankings.get("meaning", ()) if score >= self.limits.meaning}
        told = {row: score for row, score in rankings.get("described", ()) if score >= self.limits.described}
        looks = {row: score for row, score in rankings.get("image", ()) if score >= self.limits.look}
        found = []
        for row in _fused(rankings.values())[: _reach(asked.query)]:
            share = _share(shelf, row, weights, numbered, floor)
            ways: list[tuple[float, Found]] = [
                (looks.get(row, 0.0), "image"), (share, "words"), (near.get(row, 0.0), "meaning"),
                (told.get(row, 0.0), "described"),
            ]  # fmt: skip
            score, way = ways[0] if asked.look is not None and row in looks else max(ways)
            if score > 0:
                found.append(_Candidate(shelf, row, min(1.0, score), way))
        return found

    def _respelt(self, shelf: Shelf, asked: Asked, allowed: Mask | None) -> list[_Candidate]:
        """What is found when each unknown word is read as the known term that is spelt most like it."""
        respelt = shelf.lexicon.respelt(asked.words)
        if not respelt:
            return []
        weights: defaultdict[str, float] = defaultdict(float)
        for word, weight in self._weights(shelf, asked.words).items():
            term, similarity = respelt.get(word, (word, 1.0))
            weights[term] += weight * similarity
        numbered, floor = shelf.lexicon.numbered(weights), max(self._floor(asked.words), RESPELT_FLOOR)
        rows = [row for row, _ in shelf.by_words(sorted(weights), allowed)][: _reach(asked.query)]
        shares = [(_share(shelf, row, weights, numbered, floor), row) for row in rows]
        ordered = sorted(((share, row) for share, row in shares if share > 0), key=lambda pair: -pair[0])
        return [_Candidate(shelf, row, share, "words", weights) for share, row in ordered]

    def _floor(self, words: Sequence[str]) -> float:
        """The share of the query's information that counts as support for a query of these terms."""
        least = min(LEAST, self.limits.floor)
        return max(least, self.limits.floor * min(1.0, SHORT / max(1, len(set(words)))))

    def _weights(self, shelf: Shelf, words: Sequence[str]) -> Mapping[str, float]:
        """Each word's share of the query's information, by the common shelf where there is one."""
        return (self.common if len(self.common) else shelf).lexicon.weights(words) if words else {}

    def _supported(self, candidates: Sequence[_Candidate]) -> list[_Candidate]:
        """The candidates up to where support ends, looked for apart in each way of finding: their scores differ."""
        scores: defaultdict[Found, list[float]] = defaultdict(list)
        for one in candidates:
            scores[one.found].append(one.score)
        least = {found: self._least(sorted(own, reverse=True)) for found, own in scores.items()}
        return [one for one in candidates if one.score >= least[one.found]]

    def _least(self, scores: Sequence[float]) -> float:
        """The least score kept of `scores`, best first."""
        kept = scores[0] if scores else 0.0
        for score in scores:
            if score < max(self.limits.cut * scores[0], self.limits.drop * kept):
                break
            kept = score
        return kept


def _fused(rankings: Iterable[Sequence[tuple[int, float]]]) -> list[int]:
    """Rows by reciprocal rank fusion of the rankings, ties by row."""
    fused: defaultdict[int, float] = defaultdict(float)
    for ranking in rankings:
        for place, (row, _) in enumerate(ranking, start=1):
            fused[row] += 1 / (RRF_K + place)
    return sorted(fused, key=lambda row: (-fused[row], row))


def _reach(query: Query) -> int:
    """How much of a ranking is looked at: more than is wanted, as repetitions will be left out."""
    return 2 * query.limit + 10


def _share(shelf: Shelf, row: int, weights: Mapping[str, float], numbered: Mapping[int, float], floor: float) -> float:
    """The share of the query's information that a passage covers, a title in any form of a word; 0 below the floor."""
    titled = shelf.lexicon.numbers(shelf.titled(row, weights))
    common = shelf.terms(row).intersection(numbered).union(titled)
    share = min(1.0, round(math.fsum(numbered[number] for number in common), 6))
    if share >= floor and len(common) == 1 and len(weights) > 1 and share < LONE * floor:
        # One term in common may well be chance, unless it is what the passage is about.
        return share if titled else 0.0
    return share if share >= floor else 0.0


def _diverse(candidates: Sequence[_Candidate], limit: int) -> list[_Candidate]:
    """The first that tell something new: not the words of one before them, nor a third piece of one document."""
    kept: list[_Candidate] = []
    pieces: Counter[tuple[str | None, str, str]] = Counter()
    for one in candidates:
        passage = one.passage
        document = (passage.patient_id, passage.source, passage.document)
        if any(one.repeats(other) for other in kept) or (passage.document and pieces[document] >= PER_DOCUMENT):
            continue
        pieces[document] += 1
        kept.append(one)
        if len(kept) == limit:
            break
    return kept


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
        return math.fsum(weights[word] for word in present if word in weights)

    alone = [covered(i, i) for i in range(len(pieces))]
    best = max(range(len(pieces)), key=lambda i: (alone[i], -i))
    neighbours = [(i, i + 1) for i in (best - 1, best) if 0 <= i < len(pieces) - 1]
    first, last = max(neighbours, key=lambda pair: covered(*pair), default=(best, best))
    if covered(first, last) < (1 + SECOND_SENTENCE) * alone[best] or not alone[best]:
        first = last = best
    return pieces[first][0], pieces[last][1]


def _check(passages: Sequence[Passage]) -> None:
    """Raises InputError for an id that stands twice and for a text that is none, which no file could keep."""
    count = Counter((passage.patient_id, passage.id) for passage in passages)
    repeated = sorted(key for (_, key), times in count.items() if times > 1)
    if repeated:
        raise InputError(
            expected="one passage per id", got=f"the id {repeated[0]!r} twice", fix="rename or drop one of the two"
        )
    strange = next((passage.id for passage in passages if not storable(passage)), None)
    if strange is not None:
        raise InputError(
            expected="passages of Unicode text", got=f"half a character in {strange!r}", fix="replace or drop it"
        )
