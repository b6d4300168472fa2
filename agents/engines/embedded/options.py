"""Which option of a multiple-choice question the evidence speaks for. It compares words; it does not understand."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ....core.evidence import Evidence
from ....knowledge.text import sentences, terms
from .record import said_of_case

YES_NO_MAYBE = {"yes", "no", "maybe"}
MARGIN = 0.05
"""An option must lead the next by this much of the support, or none is chosen."""

NEAR = 6
"""How many terms away from an option's word the question's words still count as about it."""

RESULT_SENTENCES = 5
"""Abstracts give their results last; chosen on the PubMedQA development set (docs/lab-log.md)."""

_AGAINST = re.compile(
    r"\b(?:no (?:\w+ ){0,2}(?:difference|association|correlation|relation\w*|effect|benefit|evidence|increase|change"
    r"|impact|influence|improvement)s?|not? (?:statistically )?significant\w*|(?:did|does|do|was|were|is|are|could|can)"
    r" not|cannot|nor|neither|failed to|similar|comparable|unrelated|independent of|unchanged|p ?[>≥] ?0?\.\d+)\b",
    re.I,
)
_FOR = re.compile(
    r"\b(?:significant(?:ly)?|associated|correlat\w+|increas\w+|decreas\w+|higher|lower|greater|improv\w+|reduc\w+|better"
    r"|worse|effective\w*|predict\w+|superior|more likely|p ?[<≤=] ?0?\.0\d+)\b", re.I,
)  # fmt: skip
_HEDGED = re.compile(
    r"\b(?:may|might|possibl[ey]|unclear|controversial|inconclusive|further (?:stud|research)\w*|limited)\b", re.I
)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The option chosen (None: too close to call), how much of the support it has, and the evidence it rests on."""

    option: str | None
    confidence: float
    evidence: tuple[str, ...]
    why: str


def choose_option(question: str, options: Mapping[str, str], evidence: Sequence[Evidence]) -> Choice:
    """The option best supported by the passages among `evidence` and by what was told of the case."""
    passages = [item for item in evidence if item.kind == "passage" or said_of_case(item)]
    if not passages:
        return Choice(option=None, confidence=0.0, evidence=(), why="no passage speaks to the options")
    if {text.strip().lower() for text in options.values()} <= YES_NO_MAYBE:
        given = [item for item in passages if item.source.kind == "case" and item.kind == "passage"]
        if given:
            return _by_polarity(options, given)
        return Choice(option=None, confidence=0.0, evidence=(), why="yes or no cannot be read off general passages")
    return _by_overlap(question, options, passages)


def _by_overlap(question: str, options: Mapping[str, str], passages: Sequence[Evidence]) -> Choice:
    """The option whose own words stand in the sentences that are about the question."""
    asked = set(terms(question))
    own = {letter: set(terms(text)) for letter, text in options.items()}
    support: dict[str, tuple[float, str]] = {}
    for letter, words in own.items():
        others = [their for other, their in own.items() if other != letter]
        weights = {word: 1.0 / (1 + sum(word in their for their in others)) for word in (words - asked or words)}
        scored = [(_sentence_support(asked, weights, item), item.id) for item in passages]
        support[letter] = max(scored, key=lambda pair: (pair[0], pair[1]), default=(0.0, ""))
    total = sum(score for score, _ in support.values())
    ranked = sorted(support, key=lambda letter: (-support[letter][0], letter))
    if total == 0:
        return Choice(option=None, confidence=0.0, evidence=(), why="no passage has the words of any option")
    share = [support[letter][0] / total for letter in ranked]
    if share[0] - share[1] < MARGIN:
        return Choice(option=None, confidence=round(share[0], 3), evidence=(), why="two options are equally supported")
    return Choice(
        option=ranked[0], confidence=round(share[0], 3), evidence=(support[ranked[0]][1],),
        why=f"its words stand beside those of the question in {support[ranked[0]][1]}",
    )  # fmt: skip


def _sentence_support(asked: set[str], option: Mapping[str, float], passage: Evidence) -> float:
    """The best sentence: the share of the option's words in it, times how much of the question stands near them; 0 for
    an option without a term ("I and III")."""
    best, whole = 0.0, sum(option.values())
    for start, end in sentences(passage.content):
        words = terms(passage.content[start:end])
        places = [place for place, word in enumerate(words) if word in option]
        near = (set(words[max(0, place - NEAR) : place + NEAR + 1]) & asked for place in places)
        about = max((len(shared) for shared in near), default=0) / max(1, len(asked))
        share = sum(option[word] for word in {words[place] for place in places}) / (whole or 1.0)
        best = max(best, share * about)
    return best


def _by_polarity(options: Mapping[str, str], passages: Sequence[Evidence]) -> Choice:
    """Yes, no or maybe, by whether the last sentences, where results stand, report a finding, its absence, or doubt."""
    last = [(item.id, item.content[start:end]) for item in passages for start, end in sentences(item.content)][
        -RESULT_SENTENCES:
    ]
    tally = {"yes": 0.3, "no": 0.0, "maybe": 0.0}
    for _, sentence in last:
        if _AGAINST.search(sentence):
            tally["no"] += 1.0
        elif _FOR.search(sentence):
            tally["yes"] += 1.0
        elif _HEDGED.search(sentence):
            tally["maybe"] += 1.0
    letters = {text.strip().lower(): letter for letter, text in options.items()}
    words = sorted((word for word in tally if word in letters), key=lambda word: (-tally[word], word))
    return Choice(
        option=letters[words[0]], confidence=round(tally[words[0]] / sum(tally.values()), 3),
        evidence=tuple(dict.fromkeys(name for name, _ in last)), why=f"the results read as “{words[0]}”",
    )  # fmt: skip
