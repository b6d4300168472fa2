"""How text becomes search terms and sentences; it does not know what is searched or why."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

VERSION = "text-2"
"""Changes whenever `terms` or `sentences` would give others for some text; part of every index version."""

_STOP = frozenset(
    """
    a about after again all also am an and any are as at be because been before being between both but by can could
    did do does doing done during each either for from further had has have having he her hers here him his how i if
    in into is it its itself just may me might more most my nor of off on once only or other our out over own please
    same shall she should so some such than that the their them then there these they this those through to too under
    until up upon us very was we were what when where which while who whom whose why will with within would you your
    """.split()
)
_UNITS = "mmhg|mmol|umol|nmol|pmol|mcg|mg|kg|ng|pg|ug|ml|dl|mm|cm|um|hu|hz|bpm|g|l"
_NUMBER_WITH_UNIT = re.compile(rf"(?<![\w.])(\d+(?:\.\d+)?)({_UNITS})\b")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}\b)")
_LETTER_DIGIT_HYPHEN = re.compile(r"(?<=[^\W\d_])-(?=\d)")
_TERM = re.compile(r"\d+\.\d+|\w+")
_SPELLINGS = (
    (re.compile(r"ae|oe"), "e"),
    (re.compile(r"our$"), "or"),
    (re.compile(r"([bt])re$"), r"\1er"),
    (re.compile(r"([iy])s(e|ed|er|ing|ation)$"), r"\1z\2"),
    (re.compile(r"ll(ed|ing)$"), r"l\1"),
    (re.compile(r"sulph"), "sulf"),
    (re.compile(r"^grey$"), "gray"),
)
_ABBREVIATED = re.compile(r"(?:\b(?:e\.g|i\.e|vs|cf|approx|Dr|Fig)|\bal)\.$")
_NUMBERED = re.compile(r"\bNo\.$")  # before a number; else it is an answer
_NUMBER = re.compile(r"\s*\d")
_LONGEST_ABBREVIATION = 8
_SENTENCE_END = re.compile(r"(?<![.!?])[.!?]++[\"')\]]*(?=\s+\S)")


def terms(text: str) -> list[str]:
    """The search terms of `text` in order, repeats kept: lower case, stop words out, spelling and plurals folded.

    `HER-2` and `Ki-67` become one term (`her2`, `ki67`), `cup-to-disc` becomes its words, `30mm` becomes `30`, `mm`,
    `1,500` becomes `1500` and `6.5` stays whole. Never raises; text without a term gives an empty list.
    """
    plain = unicodedata.normalize("NFKC", text).lower()
    plain = _THOUSANDS.sub("", plain.replace("\u2010", "-").replace("\u2011", "-").replace("\u2013", "-"))
    plain = _LETTER_DIGIT_HYPHEN.sub("", _NUMBER_WITH_UNIT.sub(r"\1 \2", plain))
    words = (word.strip("_") for word in _TERM.findall(plain))
    return [_fold(word) for word in words if word and word not in _STOP]


@lru_cache(maxsize=65_536)
def _fold(word: str) -> str:
    """One spelling per word: singular, then American. Folding may give no real word; only sameness matters."""
    word = _singular(word)
    if len(word) >= 4:
        for pattern, to in _SPELLINGS:
            word = pattern.sub(to, word)
    return word


def _singular(word: str) -> str:
    if len(word) < 4 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if len(word) > 6 and word.endswith(("oses", "stases", "lyses", "theses")):
        return word[:-2] + "is"
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes")):
        return word[:-2]
    return word[:-1]


def sentences(text: str) -> list[tuple[int, int]]:
    """The sentences of `text` as [start, end) offsets, white space at their ends left out; none for blank text."""
    found: list[tuple[int, int]] = []
    start = 0
    for match in _SENTENCE_END.finditer(text):
        last = text[max(start, match.end() - _LONGEST_ABBREVIATION) : match.end()]
        numbered = _NUMBERED.search(last) and _NUMBER.match(text, match.end())
        if not _ABBREVIATED.search(last) and not numbered:
            found.append((start, match.end()))
            start = match.end()
    found.append((start, len(text)))
    trimmed = [_trim(text, *piece) for piece in found]
    return [(begin, end) for begin, end in trimmed if begin < end]


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    piece = text[start:end]
    return start + len(piece) - len(piece.lstrip()), end - (len(piece) - len(piece.rstrip()))
