"""Which tools a case's agents are offered: those for its images, calculators its text speaks of, and its record."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import TypeAlias

from ..core.case import Case, Image
from ..knowledge.text import terms
from ..tools.card import ToolCard
from ..tools.registry import Toolbox

CALCULATORS = 6
"""The most calculators that are offered; each costs a prompt some 100 tokens."""

MENTIONED, FEWEST = 0.6, 3
"""Share and number of a calculator's arguments that a text must name which does not name the calculator."""

NAMED = 2.0
"""The score of a calculator that is named; arguments alone give at most 1."""

DEMOGRAPHIC = frozenset({"age", "sex", "female", "male"})
_WORD = re.compile(r"\w[\w/-]*")
_PROPER = re.compile(r"\b(\w*[A-Z][\w/-]*)(?:\W\w+)? (?:score|index|criteria|formula|function|Scale)\b")
_Phrase: TypeAlias = tuple[str, ...]


def shelf(case: Case, toolbox: Toolbox) -> tuple[ToolCard, ...]:
    """The tools for the images of the case, its calculators and its record, by name: the same for every agent."""
    return _sorted((*_for_images(case.all_images(), toolbox), *calculators(case, toolbox), *_records(toolbox)))


def tools_for(modalities: Iterable[str], case: Case, toolbox: Toolbox) -> tuple[ToolCard, ...]:
    """What a role that reads images of `modalities` may run, by name."""
    read = set(modalities)
    images = (image for image in case.all_images() if image.modality in read)
    return _sorted((*_for_images(images, toolbox), *calculators(case, toolbox), *_records(toolbox)))


def calculators(case: Case, toolbox: Toolbox) -> tuple[ToolCard, ...]:
    """The calculators whose name, result or arguments the case's text and laboratory values speak of, best first."""
    labs = (lab.name for visit in case.visits for lab in visit.labs)
    text = "\n".join((case.question, *case.options.values(), *case.context, *dict.fromkeys(labs)))
    scored = _scored(text, toolbox.cards)
    best = sorted(((score, card) for score, card in scored if score), key=lambda pair: (-pair[0], pair[1].name))
    return tuple(card for _, card in best[:CALCULATORS])


def named_in(text: str, cards: Iterable[ToolCard]) -> tuple[ToolCard, ...]:
    """The calculators among `cards` that the text names, or whose result it does, by name."""
    return _sorted(card for score, card in _scored(text, cards) if score >= NAMED)


def _scored(text: str, cards: Iterable[ToolCard]) -> list[tuple[float, ToolCard]]:
    """How clearly a text asks for each of the calculators."""
    offered = [card for card in cards if card.shelf == "calculator"]
    scores = _scores(text, tuple((card.name, card.measures, tuple(card.arguments)) for card in offered))
    return list(zip(scores, offered, strict=True))


@lru_cache(maxsize=256)
def _scores(text: str, offered: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...]) -> tuple[float, ...]:
    """The same for names, measures and arguments; every agent of a case asks for it in every turn."""
    stems = tuple(terms(text))
    spoken = frozenset((*itertools.pairwise(stems), *((stem,) for stem in stems)))
    written = frozenset(_WORD.findall(text))
    written |= {word.lower() for word in written}
    return tuple(_spoken_of(*one, spoken, written) for one in offered)


def _spoken_of(
    name: str, measures: tuple[str, ...], arguments: tuple[str, ...], spoken: frozenset[_Phrase],
    written: frozenset[str],
) -> float:  # fmt: skip
    """How clearly a text asks for a calculator: NAMED when it is named, else the share of its arguments, else 0."""
    proper, plain, short = _names(name, measures)
    if not written.isdisjoint(proper) or (short,) in spoken or any(_stands(phrase, spoken) for phrase in plain):
        return NAMED
    telling = [argument for argument in arguments if argument not in DEMOGRAPHIC]
    said = sum(_stands(_phrase(argument), spoken) for argument in telling)
    return said / len(telling) if said >= max(FEWEST, MENTIONED * len(telling)) else 0.0


@lru_cache(maxsize=1024)
def _names(name: str, measures: tuple[str, ...]) -> tuple[frozenset[str], tuple[_Phrase, ...], str]:
    """What a calculator is called: proper names as they are written ("CURB-65"), results in two words or more ("anion
    gap"), and an abbreviation that its name begins with ("egfr") unless that is a word of its result."""
    named = [found for measure in measures for found in _PROPER.findall(measure)]
    proper = frozenset((*named, *(word.lower() for word in named if not word.isalpha())))
    results = (_phrase(re.split(r" (?:by|for|in|of|from|that)\b", measure)[0]) for measure in measures)
    plain = tuple(phrase for phrase in results if len(phrase) > 1)
    short = name.partition("_")[0]
    return proper, plain, "" if short in re.split(r"[^a-z0-9]+", " ".join(measures).lower()) else short


@lru_cache(maxsize=4096)
def _phrase(name: str) -> _Phrase:
    return tuple(terms(name.replace("_", " ")))


def _stands(phrase: _Phrase, spoken: frozenset[_Phrase]) -> bool:
    """Whether a phrase stands in a text of which the words and the pairs of neighbours are known."""
    pairs = itertools.pairwise(phrase)
    return phrase in spoken if len(phrase) == 1 else bool(phrase) and all(pair in spoken for pair in pairs)


def _for_images(images: Iterable[Image], toolbox: Toolbox) -> Iterable[ToolCard]:
    return (card for image in images for card in toolbox.recommended(image))


def _records(toolbox: Toolbox) -> Iterable[ToolCard]:
    """Who tells of the patient on asking; a toolbox has such a tool for one case only."""
    return (card for card in toolbox.cards if card.shelf == "record")


def _sorted(cards: Iterable[ToolCard]) -> tuple[ToolCard, ...]:
    return tuple(card for _, card in sorted({card.name: card for card in cards}.items()))
