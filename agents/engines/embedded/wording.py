"""In which order claims are told and in what words: what the question asks about first, each value with how sure it is.

It compares words and evidence; whether a claim is right is judged elsewhere.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import TypeAlias

from ....core.evidence import Evidence
from ....knowledge.ontology import shipped_ontology
from ....knowledge.patient.asked import COMMON
from ....knowledge.text import terms
from ...tasks import ClaimDraft
from .record import said_of_case

_Key: TypeAlias = tuple[str, str, object, str, str]

_SAYS_NOTHING = COMMON | frozenset(terms("image picture photograph section slide scan film show see look find"))
"""Words of a question that no measurement is about."""

_HOW_MANY = re.compile(r"\b(?:how many|number of|count)\b", re.IGNORECASE)
_COUNTED = frozenset(terms("count counted number"))

_BEFORE_ALL, _FLAG, _RECORDED, _MET, _ASKED, _OTHER = range(6)
_RESULT, _ALONE, _STEP = range(3)


def claim_of(item: Evidence) -> ClaimDraft:
    """What the evidence says. A passage of the store speaks of patients in general, and the claim says so."""
    general = item.kind == "passage" and item.source.kind == "document" and not item.content.startswith("Record of ")
    text = f"General knowledge: {item.content}" if general else _with_margin(item.content, item)
    return ClaimDraft(text=text, evidence=(item.id,))


def told(claims: Iterable[ClaimDraft], evidence: Sequence[Evidence], question: str) -> tuple[ClaimDraft, ...]:
    """The claims in the order they are told, with what several tools measured of one thing in one sentence.

    First that an image looks like another kind than stated, red flags, recorded values that were asked for, met
    criteria with contradictions and changes; then what names a finding of the question or shares words with it, the
    most first; then the rest. Results stand before what they were worked out from; what ties keeps its order.
    """
    by_id = {item.id: item for item in evidence}
    steps = {name for item in evidence if item.name != "conflict" for name in item.of}

    def place(claim: ClaimDraft) -> tuple[int, int, int]:
        cited = [by_id[name] for name in claim.evidence if name in by_id]
        group = min(map(_group, cited), default=_OTHER)
        if group != _OTHER:
            return group, 0, 0
        shared = max((_shared(item, question, by_id) for item in cited), default=0)
        rank = min((_rank(item, steps) for item in cited), default=_ALONE)
        return (_ASKED, -shared, min(rank, _ALONE)) if shared else (_OTHER, 0, rank)

    return tuple(sorted(_together(claims, by_id), key=place))


def _group(item: Evidence) -> int:
    """How far in front evidence stands whatever the question."""
    if item.name == "another kind":
        return _BEFORE_ALL
    if item.name == "red flag":
        return _FLAG
    if item.name == "not recorded" or (item.source.kind == "visit" and item.value is not None):
        return _RECORDED
    return _MET if item.kind == "criterion" or item.name in ("change", "conflict") else _OTHER


def _shared(item: Evidence, question: str, by_id: Mapping[str, Evidence]) -> int:
    """How much of the question a measurement, or text given with the case, has; a result that has some of it has what
    it was worked out from as well, though not that something is counted."""
    words = frozenset(terms(question)) - _SAYS_NOTHING
    own = _in_common(item, words | _COUNTED if _HOW_MANY.search(question) else words)
    steps = (by_id[name] for name in item.of if name in by_id)
    return max(own, *(_in_common(step, words) for step in steps), 0) if own else 0


def _in_common(item: Evidence, words: frozenset[str]) -> int:
    """How many of the words stand in the name and the sentence; with the words of its finding's name and one more where
    all of that name is among them."""
    if item.value is None and not said_of_case(item):
        return 0
    named = [name for name in _called().get(item.finding, ()) if name and name <= words]
    own = {*terms(item.name.replace("_", " ")), *terms(item.content)}.union(*named)
    return len(words & own) + bool(named)


@cache
def _called() -> Mapping[str, tuple[frozenset[str], ...]]:
    """What each finding of the ontology is called, as terms, by its id."""
    return {finding.id: tuple(frozenset(terms(name)) for name in finding.names) for finding in shipped_ontology()}


def _rank(item: Evidence, steps: set[str]) -> int:
    if item.id in steps:
        return _STEP
    return _RESULT if item.of else _ALONE


def _together(claims: Iterable[ClaimDraft], by_id: Mapping[str, Evidence]) -> list[ClaimDraft]:
    """The claims, those of one quantity of one image by several tools joined where the first of them stands."""
    measured = [(claim, _measured(claim, by_id)) for claim in claims]
    parties: dict[_Key, list[tuple[ClaimDraft, Evidence]]] = {}
    for claim, item in measured:
        if item is not None:
            parties.setdefault(_key(item), []).append((claim, item))
    joined: list[ClaimDraft] = []
    for claim, item in measured:
        group = parties[_key(item)] if item else []
        if len({party.source.name for _, party in group}) < len(group) or len(group) < 2:
            joined.append(claim)
        elif claim is group[0][0]:
            joined.append(_joined(group))
    return joined


def _measured(claim: ClaimDraft, by_id: Mapping[str, Evidence]) -> Evidence | None:
    """What the claim repeats, when that is one tool's measurement on an image and nothing else."""
    cited = [by_id[name] for name in claim.evidence if name in by_id]
    one = {(item.source.name, _key(item)) for item in cited}
    if len(one) != 1 or cited[0].value is None or cited[0].source.kind != "tool" or cited[0].region is None:
        return None
    return cited[0]


def _key(item: Evidence) -> _Key:
    """What is equal where two tools measure the same; `says` is among it, for a contradiction is not joined."""
    image, box = (item.region.image, item.region.box_px) if item.region else ("", None)
    return item.name, image, box, item.unit, item.says


def _joined(group: Sequence[tuple[ClaimDraft, Evidence]]) -> ClaimDraft:
    (first, item), *others = group
    unit = "" if item.unit == "1" else f" {item.unit}"
    said = [f"{first.text.removesuffix('.')} according to {item.source.name}"]
    said += [f"{other.value:.10g}{unit}{_margin(other)} according to {other.source.name}" for _, other in others]
    return ClaimDraft(text=f"{', '.join(said)}.", evidence=tuple(name for claim, _ in group for name in claim.evidence))


def _with_margin(text: str, item: Evidence) -> str:
    """The sentence with its value's uncertainty before the full stop, unless it says it."""
    if "±" in text or item.value is None:
        return text
    return f"{text[:-1]}{_margin(item)}." if text.endswith(".") else f"{text}{_margin(item)}"


def _margin(item: Evidence) -> str:
    """The uncertainty to two digits, or to whole numbers, which verification takes for the same."""
    if not item.uncertainty:
        return ""
    digits = max(0, 1 - math.floor(math.log10(abs(item.uncertainty))))
    unit = "" if item.unit == "1" else f" {item.unit}"
    return f" (± {round(item.uncertainty, digits):.10g}{unit})"
