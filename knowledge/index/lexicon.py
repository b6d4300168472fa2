"""The words of a collection: which term has which number, what each tells, and which known term a misspelt one means.

It ranks nothing; `postings.py` scores.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Protocol

from .postings import Postings, idf

VERSION = "words-2"
"""Changes whenever a word would tell more or less, or be respelt as another."""

SIMILAR_SPELLING = 0.6
"""Dice of n-grams from which two words may be one misspelt: `weather` and `rather` have 0.55."""

CONTRARY = (
    ("hypo", "hyper"), ("brady", "tachy"), ("intra", "inter"), ("intra", "infra"), ("inter", "infra"), ("ante", "anti"),
    ("supra", "infra"), ("supra", "sub"), ("pre", "post"), ("macro", "micro"), ("endo", "exo"), ("ab", "ad"),
    ("", "a"), ("", "ab"), ("", "an"), ("", "anti"), ("", "de"), ("", "dis"), ("", "im"), ("", "in"), ("", "ir"),
    ("", "non"), ("", "un"),
)  # fmt: skip
"""Beginnings that turn a word's meaning round and are spelt alike or seen beside each other, or beside none."""

SHORTEST, LONGEST = 5, 40
"""Letters of a word that may be misspelt: shorter are units and abbreviations, longer no words."""

MOST_RESPELT = 24  # unknown words from which a query is no longer prose with slips in it
FEW_DOCUMENTS = 200
"""A collection smaller than this does not tell which words are rare: it is taken for one of this size."""

NEAR_TERMS = 50
"""Terms that share most 3-grams with an unknown one; only these are compared with it."""


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

    def numbers(self, words: Iterable[str]) -> list[int]:
        """The numbers of the words it knows, repeats kept, sorted."""
        return sorted(number for word in words if (number := self.vocabulary.number(word)) is not None)

    def weights(self, words: Iterable[str]) -> Mapping[str, float]:
        """Each distinct word's share of the query's information; the shares sum to 1."""
        tells: dict[str, float] = {}
        documents = max(FEW_DOCUMENTS, self.postings.documents)
        for word in sorted(set(words)):
            number = self.vocabulary.number(word)
            tells[word] = idf(0 if number is None else self.postings.frequency(number), documents)
        total = math.fsum(tells.values())
        return {word: value / total for word, value in tells.items()}

    def numbered(self, weights: Mapping[str, float]) -> Mapping[int, float]:
        """The weights of the words it knows, by their numbers."""
        known = ((self.vocabulary.number(word), weight) for word, weight in weights.items())
        return {number: weight for number, weight in known if number is not None}

    def respelt(self, words: Iterable[str]) -> dict[str, tuple[str, float]]:
        """For each word it does not know the most similarly spelt term it does, and how similar (Dice of n-grams).

        Left out are words without one of at least SIMILAR_SPELLING, terms that say the contrary, and whatever holds a
        digit or is too short or too long: a number, a unit or a gene is what it is. Nothing is respelt where more than
        MOST_RESPELT words are unknown.
        """
        unknown = [word for word in sorted(set(words)) if _spelt(word) and self.vocabulary.number(word) is None]
        if len(unknown) > MOST_RESPELT:
            return {}
        near = {word: max(self._near(word), default=(0.0, "")) for word in unknown}
        return {word: (term, similarity) for word, (similarity, term) in near.items() if similarity}

    def _near(self, word: str) -> list[tuple[float, str]]:
        """The terms it may be, each with its similarity."""
        terms, holding = self._trigrams
        own = _ngrams(word, 3, 3)
        shared = Counter(number for gram in own for number in holding.get(gram, ()))
        nearest = sorted(shared.items(), key=lambda pair: (-pair[1], pair[0]))[:NEAR_TERMS]
        scored = [(_alike(word, terms[number]), terms[number]) for number, _ in nearest]
        return [(score, term) for score, term in scored if score >= SIMILAR_SPELLING and not _contrary(word, term)]

    @cached_property
    def _trigrams(self) -> tuple[Sequence[str], dict[str, list[int]]]:
        """The terms a word may be a misspelling of, and which of them hold each 3-gram: made for the first unknown
        word."""
        terms = sorted(filter(_spelt, self.vocabulary.every()))
        holding: dict[str, list[int]] = {}
        for number, term in enumerate(terms):
            for gram in _ngrams(term, 3, 3):
                holding.setdefault(gram, []).append(number)
        return terms, holding


def _spelt(word: str) -> bool:
    return SHORTEST <= len(word) <= LONGEST and not any(sign.isdecimal() for sign in word)


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


def _ngrams(term: str, shortest: int, longest: int) -> frozenset[str]:
    """The n-grams of a term between its two edge marks."""
    marked = f"<{term}>"
    return frozenset(marked[i : i + n] for n in range(shortest, longest + 1) for i in range(len(marked) - n + 1))


def _alike(word: str, term: str) -> float:
    """Dice of the n-grams of both."""
    one, other = _ngrams(word, 3, 5), _ngrams(term, 3, 5)
    return 2 * len(one & other) / (len(one) + len(other))
