"""The words of a collection: which term has which number, what each tells, and which known term a misspelt one means.

It ranks nothing; `postings.py` scores.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Protocol

import numpy as np
import numpy.typing as npt

from .postings import Postings, idf

VERSION = "words-3"
"""Changes whenever a word would tell more or less, or be respelt as another."""

SLIPS = ((5, 1), (10, 2))
"""From how many letters on how many slips a word may have: a letter too few, too many, another, or two swapped."""

OTHER_LETTER = 7
"""From how many letters on one may be another: shorter words so apart are two words (`whale`, `whole`). So are words of
different first letters (`train`, `brain`), whatever their length."""

CONTRARY = (
    ("hypo", "hyper"), ("brady", "tachy"), ("intra", "inter"), ("intra", "infra"), ("inter", "infra"), ("ante", "anti"),
    ("supra", "infra"), ("supra", "sub"), ("pre", "post"), ("macro", "micro"), ("endo", "exo"), ("ab", "ad"),
    ("", "a"), ("", "ab"), ("", "an"), ("", "anti"), ("", "de"), ("", "dis"), ("", "im"), ("", "in"), ("", "ir"),
    ("", "non"), ("", "un"),
)  # fmt: skip
"""Beginnings that turn a word's meaning round and are spelt alike or seen beside each other, or beside none."""

ENDINGS = (
    ("ectomy", "ostomy"), ("ectomy", "otomy"), ("ostomy", "otomy"), ("penia", "philia"), ("emia", "uria"),
    ("itis", "osis"), ("olone", "one"), ("gram", "graphy"), ("ologist", "ology"),
)  # fmt: skip
"""Ends that make other words of one beginning: a gastrectomy is no misspelt gastrostomy."""

SHORTEST, LONGEST = 5, 40
"""Letters of a word that may be misspelt: shorter are units and abbreviations, longer no words."""

MOST_RESPELT = 24  # unknown words from which a query is no longer prose with slips in it
FEW_DOCUMENTS = 200
"""A collection smaller than this does not tell which words are rare: it is taken for one of this size."""

BINS = 32  # kinds of letters that are counted apart
KEPT = 65_536  # words of which is kept in memory how much they tell
COUNTED = 20_000  # terms whose letters are counted at a time


class Vocabulary(Protocol):
    """Terms and their numbers, in memory or on disk."""

    def number(self, term: str) -> int | None: ...

    def every(self) -> Sequence[str]:
        """All terms; a term's place is its number."""
        ...


class Words:
    """A vocabulary in memory."""

    def __init__(self, terms: Iterable[str]) -> None:
        self._numbers = {term: number for number, term in enumerate(terms)}

    def number(self, term: str) -> int | None:
        return self._numbers.get(term)

    def every(self) -> Sequence[str]:
        return list(self._numbers)


class Lexicon:
    """What the terms of a collection tell about a query. Thread-safe."""

    def __init__(self, vocabulary: Vocabulary, postings: Postings) -> None:
        self.vocabulary = vocabulary
        self.postings = postings
        self.tells = lru_cache(maxsize=KEPT)(self._tells)

    def numbers(self, words: Iterable[str]) -> list[int]:
        """The numbers of the words it knows, repeats kept, sorted."""
        return sorted(number for word in words if (number := self.vocabulary.number(word)) is not None)

    def weights(self, words: Iterable[str]) -> Mapping[str, float]:
        """Each distinct word's share of the query's information; the shares sum to 1."""
        tells = {word: self.tells(word) for word in sorted(set(words))}
        total = math.fsum(tells.values())
        return {word: value / total for word, value in tells.items()}

    def _tells(self, word: str) -> float:
        """How much a word tells, by how few documents have it."""
        number = self.vocabulary.number(word)
        frequency = 0 if number is None else self.postings.frequency(number)
        return idf(frequency, max(FEW_DOCUMENTS, self.postings.documents))

    def numbered(self, weights: Mapping[str, float]) -> Mapping[int, float]:
        """The weights of the words it knows, by their numbers."""
        known = ((self.vocabulary.number(word), weight) for word, weight in weights.items())
        return {number: weight for number, weight in known if number is not None}

    def respelt(self, words: Iterable[str]) -> dict[str, tuple[str, float]]:
        """For each word it does not know the term that it is most likely a misspelling of, and how similar the two are:
        1 less the share of letters that are slips.

        That is the one with the fewest slips, of these the one in most documents. Left out are words that have more
        than SLIPS of every term, terms that are words of their own (`_other_word`), and whatever holds a digit or is
        too short or too long: a number, a unit or a gene is what it is. Nothing is respelt where more than MOST_RESPELT
        words are unknown.
        """
        unknown = [word for word in sorted(set(words)) if _spelt(word) and self.vocabulary.number(word) is None]
        if len(unknown) > MOST_RESPELT:
            return {}
        near = {word: min(self._near(word), default=None) for word in unknown}
        return {word: (best[2], 1 - best[0] / max(map(len, (word, best[2])))) for word, best in near.items() if best}

    def _near(self, word: str) -> list[tuple[int, int, str]]:
        """The terms it may be, each with its slips and how many documents lack it."""
        most = max(slips for letters, slips in SLIPS if len(word) >= letters)
        terms, counts = self._letters
        own = _counts([word])[0].astype(np.int16)
        near: list[tuple[int, int, str]] = []
        for length in range(len(word) - most, len(word) + most + 1):
            alike = terms.get(length, [])
            # A slip takes away or adds at most one letter of a kind each, so that few terms are left to compare.
            apart = np.abs(counts[length] - own).sum(axis=1) if alike else np.zeros(0)
            for place in np.flatnonzero(apart <= 2 * most):
                term = alike[place]
                slips = _slips(word, term, most) if term[0] == word[0] else most + 1
                if slips <= most and not _other_word(word, term):
                    near.append((slips, self.postings.documents - self._documents(term), term))
        return near

    def _documents(self, term: str) -> int:
        number = self.vocabulary.number(term)
        return 0 if number is None else self.postings.frequency(number)

    @cached_property
    def _letters(self) -> tuple[dict[int, list[str]], dict[int, npt.NDArray[np.int16]]]:
        """The terms a word may be a misspelling of, by length, and how many letters of each kind they have: made for
        the first unknown word."""
        terms: dict[int, list[str]] = {}
        for term in sorted(filter(_spelt, self.vocabulary.every())):
            terms.setdefault(len(term), []).append(term)
        return terms, {length: _counts(alike) for length, alike in terms.items()}


def _spelt(word: str) -> bool:
    return SHORTEST <= len(word) <= LONGEST and not any(sign.isdecimal() for sign in word)


def _other_word(word: str, term: str) -> bool:
    """Whether the word is another in its own right for all its likeness: too short to have a wrong letter, of another
    ending, or the contrary."""
    if len(word) == len(term) < OTHER_LETTER and sorted(word) != sorted(term):
        return True
    endings = (pair for both in ENDINGS for pair in (both, both[::-1]))
    if any(term.endswith(own) and word.endswith(other) and not word.endswith(own) for own, other in endings):
        return True
    return _contrary(word, term)


def _contrary(word: str, term: str) -> bool:
    """Whether the word is rather the term's opposite: no `hypperkalemia` is a misspelt `hypokalemia`, as it is more
    like `hyperkalemia`, known or not."""
    for pair in CONTRARY:
        for own, other in (pair, pair[::-1]):
            if not term.startswith(own):
                continue
            if other and own and word.startswith(other):
                return True
            if _alike(word, other + term.removeprefix(own)) >= _alike(word, term):
                return True
    return False


def _counts(words: Sequence[str]) -> npt.NDArray[np.int16]:
    """How many letters of each kind words of one length have: int16 [words, BINS]."""
    slices = [words[start : start + COUNTED] for start in range(0, len(words), COUNTED)]
    return np.concatenate([_counted(some) for some in slices])


def _counted(words: Sequence[str]) -> npt.NDArray[np.int16]:
    codes = np.frombuffer("".join(words).encode("utf-32-le"), dtype=np.uint32).reshape(len(words), -1) % BINS
    places = codes + BINS * np.arange(len(words), dtype=np.int64)[:, None]
    return np.bincount(places.ravel(), minlength=BINS * len(words)).reshape(len(words), BINS).astype(np.int16)


def _slips(word: str, term: str, most: int) -> int:
    """How many letters are too few, too many, others, or swapped with the next (optimal string alignment, Boytsov
    2011); more than `most` where there are more."""
    before: list[int] = []
    row = list(range(len(term) + 1))
    for i, letter in enumerate(word, start=1):
        earlier, before, row = before, row, [i]
        for j, other in enumerate(term, start=1):
            best = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != other))
            if i > 1 and j > 1 and letter == term[j - 2] and word[i - 2] == other:
                best = min(best, earlier[j - 2] + 1)
            row.append(best)
        if min(row) > most and min(before) > most:
            return most + 1
    return row[-1]


def _ngrams(term: str, shortest: int, longest: int) -> frozenset[str]:
    """The n-grams of a term between its two edge marks."""
    marked = f"<{term}>"
    return frozenset(marked[i : i + n] for n in range(shortest, longest + 1) for i in range(len(marked) - n + 1))


def _alike(word: str, term: str) -> float:
    """Dice of the n-grams of both."""
    one, other = _ngrams(word, 3, 5), _ngrams(term, 3, 5)
    return 2 * len(one & other) / (len(one) + len(other))
