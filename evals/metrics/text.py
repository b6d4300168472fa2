"""Short answers against accepted ones: exact and normalised match, overlap of words, and BioASQ's three measures.

Every measure of two texts takes (said, right) and gives [0, 1]; `best_over` takes the best over accepted answers. None
of them reads meaning: "no fracture" and "fracture" share half their words.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import numpy as np

from ...core.errors import InputError, MissingExtraError
from .classification import accuracy, f1_of_each
from .overlap import Overlap, one_to_one

Likeness: TypeAlias = Callable[[str, str], float]

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_UNPUNCTUATED = str.maketrans("", "", string.punctuation)
_VQA_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_VQA_COMMA = re.compile(r"\d,\d")
_VQA_STOP = re.compile(r"\.(?!\d)")
_VQA_WORDS = {
    "none": "0", "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7",
    "eight": "8", "nine": "9", "ten": "10", "a": "", "an": "", "the": "",
}  # fmt: skip


def normalised(text: str) -> str:
    """A text as SQuAD compares it: lower case, without ASCII punctuation and articles, single spaces.

    Source: evaluate-v2.0.py (Rajpurkar et al., ACL 2018). It equates more than a clinician would: "hepatitis A" with
    "hepatitis", "1.5" with "15"; `exact` stands beside it for that.
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_UNPUNCTUATED)).split())


def vqa_normalised(text: str) -> str:
    """A text as VQA compares it: number words as digits, no articles, punctuation dropped, decimal points kept.

    Source: vqaEval.py (Antol et al., ICCV 2015). Where that replaces a sign by a space when no space stands beside it
    ("x-ray" is "x ray"), so does this. Its table of contractions is replaced by leaving apostrophes out: both equate
    "dont" and "don't". A full stop goes unless a digit follows it.
    """
    text = " ".join(text.split())
    dropped = text
    for sign in _VQA_PUNCTUATION:
        if sign in text:
            beside_space = f"{sign} " in text or f" {sign}" in text
            dropped = dropped.replace(sign, "" if beside_space or _VQA_COMMA.search(text) else " ")
    words = _VQA_STOP.sub("", dropped).lower().replace("'", "").split()
    return " ".join(filter(None, (_VQA_WORDS.get(word, word) for word in words)))


def exact(said: str, right: str) -> float:
    """1 where both are the same but for white space at their ends, else 0."""
    return float(said.strip() == right.strip())


def but_for_case(said: str, right: str) -> float:
    """1 where both are the same but for case and for white space at their ends, else 0 (BioASQ)."""
    return exact(said.casefold(), right.casefold())


def normalised_match(said: str, right: str) -> float:
    """1 where both are the same to SQuAD, and there is something left of them, else 0.

    Two texts of which nothing is left ("the", "?!") match where they are the same as written.
    """
    return _match(said, right, normalised)


def vqa_match(said: str, right: str) -> float:
    """1 where both are the same to VQA, else 0. VQA's share of ten annotators is not formed: sets here have one."""
    return _match(said, right, vqa_normalised)


def same_answer(said: str, right: str) -> float:
    """1 where both are the same to VQA or to SQuAD, and so are their numbers, signs and single letters, else 0.

    Either alone takes "2.7%" for "27%", "19G>A" for "19G<A", "CD4+" for "CD4-" and "hepatitis A" for "hepatitis".
    """
    alike = max(vqa_match(said, right), normalised_match(said, right)) == 1.0
    return float(alike and _signs(said) == _signs(right) and _letter_a(said, right))


_SIGN = re.compile(r"\d+(?:\.\d+)*|!=|[<>≤≥±≠+]|(?<!\w)-(?=\d)|(?<=\w)-(?!\w)|(?<=\d)\s*/\s*(?=\d)")


def _signs(text: str) -> list[str]:
    """The numbers, comparisons, pluses, minuses and strokes between numbers of a text in order; a minus that ends the
    text is one, a hyphen within words is none."""
    words = re.sub(r"(?<=\w)\s+-\s*$", "-", text.lower())
    words = re.sub(r"[a-z]{3,}", lambda found: _VQA_WORDS.get(found[0], found[0]), words)
    return [sign.strip() for sign in _SIGN.findall(re.sub(r"(?<=\d),(?=\d{3}\b)", "", words))]


def _letter_a(said: str, right: str) -> bool:
    """Whether an "A" that is no article, because it is the last word or a capital amid a text, is in both texts."""

    def named(words: list[str]) -> int:
        amid = sum(word == "A" for word in words[1:-1])
        return amid + int(len(words) > 1 and words[-1] in ("a", "A"))

    ours, theirs = (re.findall(r"\w+", text) for text in (said, right))
    return all(
        named(one) <= sum(word in ("a", "A") for word in other[1:]) for one, other in ((ours, theirs), (theirs, ours))
    )


def items_in(text: str) -> tuple[str, ...]:
    """The items of a list as people write one: a line each, with or without numbers and bullets, or in one line parted
    by semicolons, else by commas with "and" or "or" before the last. A line that ends with a colon is no item.

    An item with a comma or a last "and" of its own, in a text without lines, cannot be told from two.
    """
    lines = [line.strip() for line in text.split("\n") if line.strip() and not line.rstrip().endswith(":")]
    parts = [_BULLET.sub("", line) for line in lines if _BULLET.match(line)] or lines
    if len(lines) == 1 and parts == lines:
        parts = lines[0].split(";") if ";" in lines[0] else _by_commas(lines[0])
    return tuple(part for part in (_LAST_AND.sub("", part).strip(" .\t") for part in parts) if part)


_BULLET = re.compile(r"(?:[-*•–·]|\(?\d{1,2}[.)])\s+")
_LAST_AND = re.compile(r"^\s*(?:and|or)\s+", re.IGNORECASE)


def _by_commas(line: str) -> list[str]:
    """The parts between commas with a space after them; the last one, or the only one, also at its last "and"."""
    *before, last = re.split(r",\s+", line)
    return [*before, *re.split(r"\s+(?:and|or)\s+(?!.*\s(?:and|or)\s)", last)]


def _match(said: str, right: str, by: Callable[[str], str]) -> float:
    return float(by(said) == by(right)) if by(said) or by(right) else exact(said, right)


def token_f1(said: str, right: str) -> float:
    """The F1 of the words both have after `normalised`, repeats counted (SQuAD). Two empty texts: 1; one: 0."""
    ours, theirs = Counter(normalised(said).split()), Counter(normalised(right).split())
    return Overlap(hits=(ours & theirs).total(), said=ours.total(), there=theirs.total()).f1


def rouge_l(said: str, right: str) -> float:
    """ROUGE-L's F1 of the longest common run of words in order, gaps allowed (Lin 2004), by rouge-score, unstemmed.

    Words are runs of a-z and 0-9 after lower-casing: text in another script has none, and two such texts score 0.
    Raises MissingExtraError without the package rouge-score.
    """
    return float(_rouge().score(right, said)["rougeL"].fmeasure)


def chrf(said: str, right: str) -> float:
    """chrF2 of character 1- to 6-grams without spaces (Popović 2015), by sacrebleu, divided by 100.

    Case counts. An empty text scores 0. Raises MissingExtraError without the package sacrebleu.
    """
    return float(_chrf().sentence_score(said, [right]).score) / 100.0


def best_over(likeness: Likeness, said: str, accepted: Sequence[str]) -> float:
    """The best over the accepted answers. Raises InputError when there is none."""
    if not accepted:
        raise InputError(expected="one accepted answer or more", got="none", fix="leave the item out of the set")
    return max(likeness(said, right) for right in accepted)


def list_overlap(said: Sequence[str], items: Sequence[Sequence[str]], *, likeness: Likeness = but_for_case) -> Overlap:
    """A list answer against a list of items, each with its synonyms (BioASQ list questions).

    An answer hits an item when `likeness` to one of its synonyms is 1. One answer hits one item and one item is hit
    once, paired so that hits are as many as can be: a second synonym of an item that is hit counts against
    precision. Answers that repeat another one but for case and white space at the ends count once.
    """
    by_words = {answer.strip().casefold(): answer.strip() for answer in sorted(said, reverse=True)}
    distinct = [answer for words, answer in sorted(by_words.items()) if words]
    misses = np.array(
        [[0.0 if best_over(likeness, answer, names) == 1.0 else np.inf for names in items] for answer in distinct]
    ).reshape(len(distinct), len(items))
    return Overlap(hits=len(one_to_one(misses)), said=len(distinct), there=len(items))


def list_f1(said: Sequence[str], items: Sequence[Sequence[str]], *, likeness: Likeness = but_for_case) -> float:
    """The F1 of `list_overlap`. BioASQ's figure for a set is the mean over its questions (Tsatsaronis et al. 2015)."""
    return list_overlap(said, items, likeness=likeness).f1


@dataclass(frozen=True, kw_only=True)
class Factoid:
    """BioASQ's three measures of one factoid question: their means over questions are strict and lenient accuracy
    and MRR."""

    strict: float
    lenient: float
    reciprocal_rank: float


def factoid(said: Sequence[str], accepted: Sequence[str], *, likeness: Likeness = but_for_case, at: int = 5) -> Factoid:
    """A ranked list of answers, best first, against the synonyms of the right one (BioASQ: Tsatsaronis et al. 2015).

    Strict: the first is right. Lenient: one of the first `at` is. Reciprocal rank: of the first right one of these,
    or 0. Repeats keep their places.
    """
    right = [best_over(likeness, answer, accepted) == 1.0 for answer in said[:at]]
    rank = right.index(True) + 1 if any(right) else 0
    return Factoid(strict=float(rank == 1), lenient=float(rank > 0), reciprocal_rank=1.0 / rank if rank else 0.0)


@dataclass(frozen=True, kw_only=True)
class YesNo:
    """BioASQ's measures of its yes/no questions."""

    accuracy: float
    f1_yes: float
    f1_no: float
    macro_f1: float


def yes_or_no(said: str) -> Literal["yes", "no", ""]:
    """The answer that a text begins with, or nothing: a text that says it later on is not read."""
    first = normalised(said).partition(" ")[0]
    return "yes" if first == "yes" else "no" if first == "no" else ""


def yes_no(said: Sequence[str], right: Sequence[str]) -> YesNo:
    """Answers "yes" and "no" against the right ones; any other text is wrong, and in no class of its own.

    Accuracy, the F1 of each class and their mean, as BioASQ reports them. A class that never occurs has F1 0; no items:
    an accuracy of NaN.
    """
    yes, no = (float(value) for value in f1_of_each(right, said, ("yes", "no")))
    return YesNo(accuracy=accuracy(right, said), f1_yes=yes, f1_no=no, macro_f1=(yes + no) / 2)


@lru_cache(maxsize=1)
def _rouge() -> Any:
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError as error:
        raise MissingExtraError.of("rouge-score", "eval") from error
    return RougeScorer(["rougeL"], use_stemmer=False)


@lru_cache(maxsize=1)
def _chrf() -> Any:
    try:
        from sacrebleu.metrics import CHRF
    except ImportError as error:
        raise MissingExtraError.of("sacrebleu", "eval") from error
    return CHRF()
