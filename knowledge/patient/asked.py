"""Which recorded measurements a question asks about, by whole phrases and what patients and clinicians call them.

A single word that many measurements share ("blood", "count") never decides. It knows no values.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from typing import TypeAlias

from ..criteria import shipped_criteria
from ..text import terms

_Phrase: TypeAlias = tuple[str, ...]

_CHOLESTEROL = (
    "total cholesterol", "cholesterol", "low density lipoprotein cholesterol", "ldl cholesterol", "cholesterol in ldl",
    "high density lipoprotein cholesterol", "hdl cholesterol", "cholesterol in hdl",
)  # fmt: skip
SPOKEN: dict[tuple[str, ...], tuple[str, ...]] = {
    ("blood pressure", "bp"): ("systolic blood pressure", "diastolic blood pressure"),
    ("weight", "weigh", "weighed"): ("body weight", "weight"),
    ("height", "tall"): ("body height", "height"),
    ("temperature", "fever"): ("temperature", "body temperature", "oral temperature"),
    ("cholesterol",): _CHOLESTEROL,
    ("lipid", "lipid panel", "lipid profile"): (*_CHOLESTEROL, "triglycerides"),
    ("ldl", "ldl cholesterol"): ("low density lipoprotein cholesterol", "ldl cholesterol", "cholesterol in ldl"),
    ("hdl", "hdl cholesterol"): ("high density lipoprotein cholesterol", "hdl cholesterol", "cholesterol in hdl"),
    ("sugar", "blood sugar", "glucose", "blood glucose"): ("glucose", "blood glucose", "fasting glucose"),
    ("kidney function", "renal function"): (
        "creatinine", "estimated glomerular filtration rate", "egfr", "urea nitrogen", "urea",
    ),
    ("gfr", "filtration rate"): ("estimated glomerular filtration rate", "egfr"),
    ("liver function",): (
        "alanine aminotransferase", "alt", "aspartate aminotransferase", "ast", "alkaline phosphatase", "bilirubin",
        "albumin",
    ),
    ("urea", "bun", "blood urea nitrogen"): ("urea nitrogen", "urea"),
    ("bicarbonate",): ("carbon dioxide", "bicarbonate"),
    ("albumin creatinine ratio", "microalbumin"): ("microalbumin creatinine ratio",),
    ("blood count", "cbc", "fbc", "full blood count", "complete blood count"): (
        "haemoglobin", "leukocytes", "wbc", "platelets", "erythrocytes", "rbc", "haematocrit",
    ),
    ("white cell", "white blood cell", "white cell count", "white blood cell count", "wbc", "leucocytes"): (
        "leukocytes", "wbc",
    ),
    ("red cell", "red blood cell", "red cell count", "red blood cell count", "rbc"): ("erythrocytes", "rbc"),
    ("platelet count",): ("platelets",),
    ("hb", "hgb"): ("haemoglobin",),
    ("pain", "pain score"): ("pain severity", "pain score"),
    ("oxygen", "saturation", "oxygen saturation", "spo2"): ("oxygen saturation", "spo2"),
}  # fmt: skip
"""What is said, and the measurements it means; the criteria's own names for one measurement mean each other, too."""

COMMON = frozenset(
    terms(
        "blood body serum plasma urine level count rate pressure total test mass volume ratio index width mean high low"
        " density number value result measurement size score time cell distribution panel change normal automated"
        " average left right area length dimension report severity history visit patient reading"
    )
)
"""Words of which one alone names no measurement."""

# How LOINC goes on after the analyte: what is counted, in which specimen, by which method.
_SYSTEM = re.compile(
    r"\s*(?:\[.*|\(.*|/\S*\.total\b.*|\s-\s.*|\b(?:in|of) (?:arterial |venous |capillary |body )?"
    r"(?:blood|serum|plasma|urine|stool|fluid)\b.*|\bby\b.*|\bauto\b.*)$",
    re.IGNORECASE,
)


def asked(question: str, names: Iterable[str]) -> tuple[str, ...]:
    """The measurements among `names` that the question asks about, in the order of SPOKEN and then of the alphabet;
    none for a question about other things.

    A name is asked about when the question says it as a whole, leaving out specimen and method ("Hemoglobin A1c" of
    "Hemoglobin A1c/Hemoglobin.total in Blood"), or what means it; a longer phrase hides the shorter within it. Where
    nothing is said as a whole, a word that stands in a name and is none of COMMON is enough.
    """
    words = tuple(terms(question))
    cores = {name: _core(name) for name in sorted(set(names))}
    meant: dict[_Phrase, set[str]] = {}
    for name, core in cores.items():
        for phrase in (core, *_said_for().get(core, ())):
            if any(term not in COMMON for term in phrase) or len(phrase) > 1:
                meant.setdefault(phrase, set()).add(name)
    whole = {name for phrase in _said(words, meant) for name in meant[phrase]}
    telling = set(words) - COMMON
    found = whole or {name for name, core in cores.items() if telling.intersection(core)}
    return tuple(sorted(found, key=lambda name: (_places().get(cores[name], len(_places())), name)))


def unrecorded(question: str, names: Iterable[str]) -> tuple[str, ...]:
    """What the question asks about and none of `names` is, as criteria and people call it; none when anything it asks
    about is among them. Only whole phrases count."""
    if asked(question, names):
        return ()
    called = (_known()[phrase] for phrase in _said(tuple(terms(question)), _known()))
    spelt = ((name, re.search(re.escape(name), question, re.IGNORECASE)) for name in called)
    return tuple(found.group() if found else name for name, found in spelt)


@cache
def _known() -> dict[_Phrase, str]:
    """Every phrase that means a measurement, and a name for it that people read."""
    found: dict[_Phrase, str] = {}
    groups = [(names, names) for names in (criterion.measurements for criterion in shipped_criteria())]
    for said, means in (*SPOKEN.items(), *groups):
        for name in (*said, *means):
            core = _core(name)
            if len(core) > 1 or not COMMON.issuperset(core):
                found.setdefault(core, name.replace("_", " "))
    return found


def _said(words: _Phrase, phrases: Iterable[_Phrase]) -> Iterator[_Phrase]:
    """The phrases that the words hold, longest first, none within another."""
    free = [True] * len(words)
    for phrase in sorted(filter(None, phrases), key=lambda phrase: (-len(phrase), phrase)):
        for start in range(len(words) - len(phrase) + 1):
            places = range(start, start + len(phrase))
            if words[start : start + len(phrase)] == phrase and all(free[place] for place in places):
                for place in places:
                    free[place] = False
                yield phrase


@lru_cache(maxsize=4096)
def _core(name: str) -> _Phrase:
    plain = name.replace("_", " ")
    return tuple(terms(_SYSTEM.sub("", plain) or plain))


@cache
def _places() -> dict[_Phrase, int]:
    """The cores of SPOKEN's measurements in its order."""
    cores = dict.fromkeys(_core(name) for means in SPOKEN.values() for name in means)
    return {core: place for place, core in enumerate(cores)}


@cache
def _said_for() -> dict[_Phrase, set[_Phrase]]:
    """By the core of a measurement's name, the phrases that mean it."""
    found: dict[_Phrase, set[_Phrase]] = {}
    groups = [(names, names) for names in (criterion.measurements for criterion in shipped_criteria())]
    for said, means in (*SPOKEN.items(), *groups):
        for name in means:
            found.setdefault(_core(name), set()).update(_core(phrase) for phrase in said)
    return found
