"""One collection of passages with its words and vectors: which of them a query may see, and which rank first.

It knows no patients and no floors; `search.py` does.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from ...core.case import Modality
from ...core.errors import InputError
from .. import text
from ..encoders.protocol import Vectors
from ..store import Passage, Query
from .lexicon import Lexicon, Words
from .postings import Flat, Postings
from .vectors import Mask, VectorIndex

POOL = 100  # rows each ranking gives
KEPT_FILTERS = 64  # filters whose rows stay in memory
TITLE_TIMES = 2  # how often a title counts as text
TITLED, NAMED = 20, 1.0
"""Of so many of the best rows by words the BM25 score grows by up to this share, as query and title name the same: "how
is glaucoma treated" asks for "Treatments for glaucoma" before a syndrome with glaucoma whose text says "treated"."""
_ENDING = re.compile(r"(?<=\w{4})(?:ment|ation|ion|ance|ing|ed|is|e)$")
MODALITIES: tuple[str, ...] = get_args(Modality)
NO_DATE = np.iinfo(np.int32).min
MOST_DOMAINS, MOST_SOURCES = 64, 65_536  # what COLUMNS have room for

Ranked: TypeAlias = list[tuple[int, float]]

COLUMNS = np.dtype([("domains", "<u8"), ("modalities", "<u4"), ("source", "<u2"), ("date", "<i4")])
"""What filters look at, per passage: a bit for each domain and modality, the source's number, the day."""


@dataclass(frozen=True, kw_only=True)
class Names:
    """What the bits and numbers in COLUMNS stand for. Raises InputError for more of them than there is room for."""

    domains: tuple[str, ...]
    sources: tuple[str, ...]

    def __post_init__(self) -> None:
        for what, most in (("domains", MOST_DOMAINS), ("sources", MOST_SOURCES)):
            if (count := len(getattr(self, what))) > most:
                raise InputError(expected=f"at most {most} {what}", got=f"{count}", fix="give related ones one name")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A query with what was made of it: its terms, and vectors where there is an encoder for them."""

    query: Query
    words: Sequence[str]
    meaning: Vectors | None = None
    look: Vectors | None = None
    described: Vectors | None = None
    """The text as a vector in the pictures' space."""


class Shelf:
    """Passages by row, with postings over title and text, and vectors of texts and pictures where there are any.

    `look` has a row for each picture; `pictured` (int64 [pictures]) tells whose it is. Thread-safe.
    """

    def __init__(
        self,
        passages: Sequence[Passage],
        columns: npt.NDArray[np.void],
        names: Names,
        lexicon: Lexicon,
        flat: Flat,
        *,
        meaning: VectorIndex | None = None,
        look: VectorIndex | None = None,
        pictured: npt.NDArray[np.int64] | None = None,
    ) -> None:
        self.passages = passages
        self.lexicon = lexicon
        self._flat = flat
        self.meaning, self.look = meaning, look
        self._pictured = pictured
        self._columns, self._names = columns, names
        self._allowed = lru_cache(maxsize=KEPT_FILTERS)(self._worked_out)

    @classmethod
    def of(
        cls, passages: Sequence[Passage], meaning: Vectors | None = None, look: Sequence[Vectors | None] = ()
    ) -> Shelf:
        """A shelf in memory: `meaning` float32 [n, dimension], `look` a vector or None per passage."""
        vocabulary: dict[str, int] = {}
        rows = [[vocabulary.setdefault(term, len(vocabulary)) for term in indexed_terms(p)] for p in passages]
        flat = Flat(
            np.array([number for row in rows for number in row], dtype=np.uint32),
            np.array([len(row) for row in rows], dtype=np.uint32),
        )
        names = Names(
            domains=tuple(sorted({domain for passage in passages for domain in passage.domains})),
            sources=tuple(sorted({passage.source for passage in passages})),
        )
        columns = np.array([column(passage, names) for passage in passages], dtype=COLUMNS)
        pictured = np.array([row for row, vector in enumerate(look) if vector is not None], dtype=np.int64)
        shown = [vector for vector in look if vector is not None]
        return cls(
            passages, columns, names, Lexicon(Words(vocabulary), Postings.build(flat, len(vocabulary))), flat,
            meaning=None if meaning is None or not len(meaning) else VectorIndex.of(meaning),
            look=VectorIndex.of(np.stack(shown)) if shown else None, pictured=pictured,
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.passages)

    def allowed(self, query: Query) -> Mask | None:
        """Which rows the query may see, bool [n]; None when it may see all."""
        if not (query.domains or query.sources or query.modality or query.until):
            return None
        mask: Mask = self._allowed(query.domains, query.sources, query.modality, query.until)
        return mask

    def terms(self, row: int) -> frozenset[int]:
        """The numbers of the terms in a passage's title and text."""
        return frozenset(self._flat.of(row).tolist())

    def by_words(self, words: Sequence[str], allowed: Mask | None) -> Ranked:
        """Rows that share a term with their BM25 scores, the first raised by their titles, best first, at most POOL."""
        ranked, asked = self._by_bm25(words, allowed), {_stem(word): word for word in words}
        raised = [(row, score * (1 + NAMED * self._agreement(row, asked))) for row, score in ranked[:TITLED]]
        return [*sorted(raised, key=lambda pair: (-round(pair[1], 5), pair[0])), *ranked[TITLED:]]

    def titled(self, row: int, words: Iterable[str]) -> list[str]:
        """Those of the words that stand in a passage's title, in this form or another ("treated" in "treatments")."""
        title = _stems_of(self.passages[row].title)
        return [word for word in words if _stem(word) in title]

    def _agreement(self, row: int, asked: Mapping[str, str]) -> float:
        """How far query (`asked`: its words by their stems) and title name the same: the harmonic mean of the shares
        that each says of the other."""
        title, tells = _stems_of(self.passages[row].title), self.lexicon.tells
        both = math.fsum(tells(word) for stem, word in asked.items() if stem in title)
        if not both:
            return 0.0
        others = math.fsum(tells(word) for stem, word in title.items() if stem not in asked)
        unnamed = math.fsum(tells(word) for stem, word in asked.items() if stem not in title)
        return 2 * both / (2 * both + others + unnamed)

    def _by_bm25(self, words: Sequence[str], allowed: Mask | None) -> Ranked:
        numbers = self.lexicon.numbers(words)
        if not numbers:
            return []
        scores = self.lexicon.postings.scores(numbers)
        if allowed is not None:
            scores = scores * allowed
        best = np.argpartition(-scores, POOL)[:POOL] if len(scores) > POOL else np.arange(len(scores))
        # argpartition cuts ties at will: whatever ties with the last one kept comes in, and the order decides.
        best = np.flatnonzero(scores >= max(scores[best].min(), 1e-6)) if len(scores) > POOL else best
        rounded = np.round(scores[best], 5)
        order = np.lexsort((best, -rounded))[:POOL]
        return [(int(best[place]), float(rounded[place])) for place in order if rounded[place] > 0]

    def by_meaning(self, vector: Vectors, allowed: Mask | None) -> Ranked:
        """Rows whose text is nearest to `vector` (float32 [dimension]), with cosine similarities, at most POOL."""
        return [] if self.meaning is None else _ranked(*self.meaning.nearest(vector, POOL, allowed))

    def by_look(self, vector: Vectors, allowed: Mask | None) -> Ranked:
        """Rows whose picture is nearest to `vector` (float32 [dimension]), with cosine similarities, at most POOL."""
        if self.look is None or self._pictured is None:
            return []
        scores, places = self.look.nearest(vector, POOL, None if allowed is None else allowed[self._pictured])
        return _ranked(scores, self._pictured[places])

    def _worked_out(
        self,
        domains: tuple[str, ...],
        sources: tuple[str, ...],
        modality: Modality | None,
        until: datetime.date | None,
    ) -> Mask:
        conditions: list[Mask] = []
        columns = self._columns
        if domains:
            bits = _bits(domains, self._names.domains)
            conditions.append((columns["domains"] == 0) | ((columns["domains"] & np.uint64(bits)) != 0))
        if modality is not None:
            bit = _bits([modality], MODALITIES)
            conditions.append((columns["modalities"] == 0) | ((columns["modalities"] & np.uint32(bit)) != 0))
        if sources:
            numbers = [number for number, name in enumerate(self._names.sources) if name in sources]
            conditions.append(np.isin(columns["source"], numbers))
        if until is not None:
            conditions.append(columns["date"] <= until.toordinal())  # NO_DATE is the least
        mask: Mask = np.logical_and.reduce(conditions)
        return mask


@lru_cache(maxsize=65_536)
def _stems_of(title: str) -> Mapping[str, str]:
    """The stems of a title's terms, each with one of its terms."""
    return {_stem(term): term for term in text.terms(title)}


@lru_cache(maxsize=65_536)
def _stem(term: str) -> str:
    return _ENDING.sub("", term)


def indexed_terms(passage: Passage) -> list[str]:
    """The terms a passage is found by: those of its title, which count TITLE_TIMES, and of its text."""
    return text.terms(passage.title) * TITLE_TIMES + text.terms(passage.text)


def column(passage: Passage, names: Names) -> tuple[int, int, int, int]:
    """What COLUMNS hold of a passage."""
    date = NO_DATE if passage.date is None else passage.date.toordinal()
    return (
        _bits(passage.domains, names.domains),
        _bits(passage.modalities, MODALITIES),
        names.sources.index(passage.source),
        date,
    )


def _bits(chosen: Collection[str], names: Sequence[str]) -> int:
    return sum(1 << number for number, name in enumerate(names) if name in chosen)


def _ranked(scores: npt.NDArray[Any], rows: npt.NDArray[np.int64]) -> Ranked:
    """Best first, ties by row: a last digit that differs between machines must not decide."""
    pairs = [(-round(float(score), 5), int(row)) for score, row in zip(scores, rows, strict=True)]
    return [(row, -score) for score, row in sorted(pairs)]
