"""Findings and what sets them apart (`ontology.toml`), and which of them a text names. It looks at no picture."""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Literal, NamedTuple, Self, TypeAlias

from pydantic import Field, ValidationError, model_validator

from ..core.canonical import digest
from ..core.case import Modality
from ..core.errors import SetupError
from ..core.frozen import Frozen
from . import text as words
from .negation import denied, denies

Kind: TypeAlias = Literal[
    "shape", "margin", "size", "number", "density", "signal", "echo", "colour", "texture", "location", "distribution",
    "enhancement", "uptake", "waveform",
]  # fmt: skip
FILE = Path(__file__).parent / "ontology.toml"

_CHUNK = re.compile(r"\S+")
_PAUSES = tuple(",;:)")
_SIGNS = ".,;:!?()[]{}<>/\"'‘’“”*"
_REACH = (
    300  # signs before and after a name in which its denial is looked for, so that a long text costs no more a word
)
# What a finding is called without being stated: as not seen in words that `negation` does not know, and as a risk.
_NOT_AFTER = re.compile(r"\s*(?::\s*(?:not (?:identified|present|seen|found|detected|applicable)|n/a)|nil)\b")
_NOT_BEFORE = re.compile(
    r"(?:(?:\bnot|n['’]t) (?:really )?(?:appreciate|identify|note|notice|observe|feel|hear"
    r"|(?:think|believe) (?:that )?(?:this|it|there|you|he|she))\b"
    r"(?:(?!\bbut\b)[^.,;:]){0,40}"
    r"|\blow (?:probability|likelihood|suspicion) (?:of|for) (?:an? )?"
    r"|\brisks? (?:factors? )?(?:of|for) (?:(?:an? |developing )?[\w-]+(?: [\w-]+){0,2}, )*(?:and |or )?(?:an? )?"
    r"(?:[\w-]+ )?)$"
)
# On a line of its own an answer needs its speaker: a bare "no" there is the next option of a question.
_SAYS_NO = re.compile(
    r"(?:\s*\[?\w{3,}(?:\]|:)\s*|[ \t]+)(?:no|nope|none|never|not that \w+ know(?: of)?)(?=\s*(?:[.,;!?\n]|$)"
    r"|\s+(?:i|he|she|we|they|there|not|sir|doctor)\b)",
    re.IGNORECASE,
)
_TAKEN_AS_GIVEN = re.compile(r"\b(?:other than|apart from|aside from|besides|since|after) ")
_KIN = (
    r"(?:father|mother|dad|mom|mum|parent|brother|sister|sibling|uncle|aunt|cousin|grand(?:father|mother|ma|pa|parent)"
    r"|husband|wife|roommate|relative)s?"
)
_KIN_NAMED = re.compile(rf"\b(?:family|{_KIN})\b")
_TOLD_BY = (
    r"(?:he|she|they|i|we|you|which|child|boy|girl|baby|infant|patient|says?|said|states?|reports?|notes?|noticed)"
)
_KIN_HAS = re.compile(
    rf"\b(?:family (?:medical )?histor(?:y|ies)|my family (?:has|had)"
    rf"|in (?:(?:your|the|my|his|her) )?family(?: ha[sd]| have)?)\b"
    rf"|(?:^\W*|\b(?:a|one) ){_KIN} with\b"
    rf"|\b{_KIN}\b(?: ?:|,?(?: (?!{_TOLD_BY}\b)[\w()'’-]+){{0,5}}? (?:had|has|have|died|passed away|diagnosed|suffer\w*"
    rf"|history|hospitali[sz]ed|treated|developed)\b)"
)
_PATIENT_AGAIN = re.compile(
    r"\b(?:he|she|i|you|patient|child|boy|girl|son|daughter|infant|baby|has|have|presents?|presented|presenting|brought"
    r"|shows?|showed|reveal(?:s|ed)|(?:past|own|social|surgical) \w+)\b|[;\"]"
)
_IN_KIN = re.compile(rf"[^.;]{{0,40}}?\b(?:in|on) (?:his|her|the|my|your) (?:(?:maternal|paternal) )?{_KIN}\b")
# No sentence denies anything without one of these (see negation); most sentences have none and are judged at once.
_MAY_DENY = re.compile(
    r"\bno|n['’]t\b|\bne(?:ver|ither|gative)|\bden[iy]|without|absen|free|rule|exclu|unlikely|improbable|lack|missing"
    r"|against|rather|instead|normal|cannot|nil\b|n/a|risk|low "
)


class Finding(Frozen):
    """A finding: its names, where it is seen, whose it is, how it looks, what looks like it and what says more.

    `synonyms` are other names, kinds of it and the disease that it is the picture of. `unlike` are phrases that
    hold one of its names and mean something else ("stroke volume"). `specialties` are names of roles, the first to ask
    first. `attributes` are short phrases for the eye by kind, alternatives side by side. `mimics` are ids of findings,
    `passages` of passages.
    """

    id: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    name: str = Field(min_length=1)
    synonyms: tuple[str, ...] = ()
    unlike: tuple[str, ...] = ()
    modalities: tuple[Modality, ...] = Field(min_length=1)
    body_parts: tuple[str, ...] = Field(min_length=1)
    specialties: tuple[str, ...] = Field(min_length=1)
    attributes: dict[Kind, tuple[str, ...]] = Field(min_length=1)
    mimics: tuple[str, ...] = ()
    passages: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The name and then the synonyms."""
        return (self.name, *self.synonyms)

    def __hash__(self) -> int:
        return hash(self.id)


class _File(Frozen):
    finding: tuple[Finding, ...]

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        ids = [finding.id for finding in self.finding]
        if repeated := sorted({key for key in ids if ids.count(key) > 1}):
            raise ValueError(f"two findings share the id {repeated[0]}")
        for finding in self.finding:
            if unknown := sorted(set(finding.mimics) - (set(ids) - {finding.id})):
                raise ValueError(f"{finding.id} has the mimic {unknown[0]}, which is no other finding")
        _by_first_term(self.finding)
        return self


class _Name(NamedTuple):
    """A name as terms; an abbreviation is also kept as written, since `ICH` is one and `ich` is not. A phrase that only
    holds a name has no finding."""

    terms: tuple[str, ...]
    written: str
    finding: Finding | None


class _Mention(NamedTuple):
    start: int
    end: int
    finding: Finding


@cache
def shipped_ontology() -> tuple[Finding, ...]:
    """The findings that ship with the package, sorted by id. Raises SetupError when the file was damaged."""
    return read_ontology(FILE)


def read_ontology(path: Path) -> tuple[Finding, ...]:
    """The findings of one TOML file, sorted by id. Raises SetupError when it is not valid, when two findings share an
    id or a name, or when a mimic is not in it."""
    try:
        found = _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8"))).finding
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError, ValidationError) as error:
        raise SetupError(
            expected=f"valid findings in {path.name}",
            got=str(error).replace("\n", " "),
            fix="correct the file, or reinstall polyclinic if you did not change it",
        ) from error
    return tuple(sorted(found, key=lambda finding: finding.id))


@cache
def ontology_version() -> str:
    """Hash of the shipped findings and of how text becomes terms; changes whenever a text could name others."""
    findings = [finding.model_dump(mode="json") for finding in shipped_ontology()]
    return digest({"findings": findings, "text": words.VERSION})


def findings_in(text: str) -> tuple[Finding, ...]:
    """The shipped findings that `text` names and does not only deny, in the order in which it first states them.

    A name counts as whole words in any spelling; where names overlap the longest wins, then the first. What a relative
    has is not stated, nor what a question names that is answered with no. Never raises.
    """
    found: dict[str, Finding] = {}
    for start, end in words.sentences(text):
        sentence = text[start:end]
        mentions = _mentions(sentence)
        if all(mention.finding.id in found for mention in mentions) or _answered_no(text, start, end):
            continue
        lowered = _lower(sentence)
        may_deny = _MAY_DENY.search(lowered) is not None
        of_kin = _KIN_NAMED.search(lowered) is not None
        for place, mention in enumerate(mentions):
            if mention.finding.id in found or (of_kin and _of_kin(lowered, mention)):
                continue
            if not (may_deny and _denies(sentence, lowered, mentions, place)):
                found[mention.finding.id] = mention.finding
    return tuple(found.values())


def related(finding: Finding) -> tuple[Finding, ...]:
    """The shipped findings that look like `finding`, whichever of the two names the other, sorted by id."""
    return tuple(item for item in shipped_ontology() if item.id in finding.mimics or finding.id in item.mimics)


@cache
def _names() -> Mapping[str, tuple[_Name, ...]]:
    return _by_first_term(shipped_ontology())


def _by_first_term(findings: Sequence[Finding]) -> Mapping[str, tuple[_Name, ...]]:
    """All names by their first term, the longest first. Raises ValueError when two findings share a name."""
    owners: dict[tuple[tuple[str, ...], str], _Name] = {}
    for finding in findings:
        for written in finding.names:
            short = written if written == written.upper() else ""
            name = _Name(tuple(words.terms(written)), short, finding)
            if not name.terms:
                raise ValueError(f"{finding.id} has the name {written!r}, which holds no word to look for")
            owner = owners.setdefault((name.terms, short), name).finding
            if owner is not None and owner.id != finding.id:
                raise ValueError(f"{owner.id} and {finding.id} share the name {written!r}")
    for finding in findings:
        held = [tuple(words.terms(name)) for name in finding.names]
        for phrase in finding.unlike:
            said = tuple(words.terms(phrase))
            if not any(len(said) > len(name) and _holds(said, name) for name in held):
                raise ValueError(f"{finding.id} is unlike {phrase!r}, which holds none of its names in more words")
            owners.setdefault((said, ""), _Name(said, "", None))
    index: defaultdict[str, list[_Name]] = defaultdict(list)
    for name in owners.values():
        index[name.terms[0]].append(name)
    return {
        first: tuple(sorted(names, key=lambda name: (-len(name.terms), name.terms, name.written)))
        for first, names in index.items()
    }


def _holds(said: tuple[str, ...], name: tuple[str, ...]) -> bool:
    return any(said[place : place + len(name)] == name for place in range(len(said)))


def _answered_no(text: str, start: int, end: int) -> bool:
    """Whether the sentence is a question and the next words answer it with no."""
    if "?" not in text[max(start, end - 3) : end] or _SAYS_NO.match(text, end) is None:
        return False
    return _TAKEN_AS_GIVEN.search(text[start:end].lower()) is None


def _of_kin(lowered: str, mention: _Mention) -> bool:
    """Whether the sentence tells of a relative, not of the patient, that the finding is there."""
    first = max(0, mention.start - _REACH)
    said = list(_KIN_HAS.finditer(lowered, first, mention.start))
    if said and not _PATIENT_AGAIN.search(lowered, said[-1].end(), mention.start):
        return True
    return _IN_KIN.match(lowered, mention.end, mention.end + _REACH) is not None


def _denies(sentence: str, lowered: str, mentions: Sequence[_Mention], place: int) -> bool:
    """Whether the sentence denies the finding at `place` or names it as a mere risk. What is said of a finding as
    reports word it is read from the finding before it to the one after it."""
    start, end, _ = mentions[place]
    first, last = max(0, start - _REACH), end + _REACH
    if denied(lowered[first:last], start - first, end - first) or _NOT_AFTER.match(lowered, end):
        return True
    if _NOT_BEFORE.search(lowered[first:start]):
        return True
    before = max(first, mentions[place - 1].end if place else 0)
    after = min(last, mentions[place + 1].start if place + 1 < len(mentions) else len(sentence))
    return _MAY_DENY.search(lowered, before, after) is not None and denies(sentence[before:after], sentence[start:end])


def _mentions(sentence: str) -> list[_Mention]:
    """Where the sentence names findings: the longest names, none overlapping another, in order."""
    index = _names()
    said: list[str] = []
    chunks: list[re.Match[str]] = []
    for match in _CHUNK.finditer(sentence):
        terms = _terms(match.group())
        said += terms
        chunks += [match] * len(terms)
    matches: list[tuple[int, int, _Mention | None]] = []
    for place, term in enumerate(said):
        for name in index.get(term, ()):
            last = place + len(name.terms)
            if tuple(said[place:last]) == name.terms:
                start, end = _inside(chunks[place])[0], _inside(chunks[last - 1])[1]
                if name.written in sentence[start:end]:
                    matches.append((place, last, _Mention(start, end, name.finding) if name.finding else None))
                    break
    taken: set[int] = set()
    kept = []
    for place, last, mention in sorted(matches, key=lambda match: (match[0] - match[1], match[0])):
        if taken.isdisjoint(range(place, last)):
            taken.update(range(place, last))
            if mention is not None:
                kept.append((place, mention))
    return [mention for _, mention in sorted(kept, key=lambda item: item[0])]


@lru_cache(maxsize=65_536)
def _terms(chunk: str) -> tuple[str, ...]:
    """The terms of a stretch without white space; an empty one follows where a pause ends it, and no name spans it."""
    found = words.terms(chunk)
    return (*found, "") if chunk.endswith(_PAUSES) else tuple(found)


def _inside(chunk: re.Match[str]) -> tuple[int, int]:
    """Where the stretch starts and ends without the signs at its edges."""
    written = chunk.group()
    inner = written.strip(_SIGNS)
    start = chunk.start() + written.find(inner)
    return start, start + len(inner)


def _lower(sentence: str) -> str:
    """Lower case without a change of length, so that offsets stay."""
    lowered = sentence.lower()
    if len(lowered) != len(sentence):
        lowered = "".join(sign.lower() if len(sign.lower()) == 1 else sign for sign in sentence)
    return lowered
