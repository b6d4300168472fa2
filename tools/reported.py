"""What a report states of findings and what it denies. It takes no side on what is past, resolved or uncertain.

In the way of ConText (Harkema et al., J Biomed Inform 2009;42:839-851), and as small: a trigger such as "history of",
"possible" or "has resolved" unsettles what follows it, or what precedes it, in the same clause, and nothing is read
there. How sure a report must sound is a choice: "consistent with pneumonia" states it, "likely pneumonia" does not.
Denials are those of `knowledge/negation.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from itertools import zip_longest
from typing import Literal, TypeAlias

from ..core.case import Laterality
from ..knowledge.negation import denies
from ..knowledge.ontology import Finding, findings_in, shipped_ontology
from ..knowledge.text import sentences, terms

Stated: TypeAlias = tuple[str, Literal["present", "absent"], Laterality | None]
"""A finding's id, what is said of it, and its side where the clause names one."""

_CLAUSE = re.compile(
    r";|\n(?=[ \t]*\n|[ \t]*\w[\w /]{0,40}:)|\b(?:but|however|although|though|whereas|while|except)\b", re.IGNORECASE
)
_QUERY = re.compile(r"(?<!\S)\?\s*(?=\w)|(?<=\S)\?(?=\w)")  # "?pneumonia", "RLL ? pneumonia"
_NONE = re.compile(
    r"(?:no|none|nil|negative|absent|not)\b(?: (?:seen|present|visible|evident|identified|found|detected|any))?"
    r"(?: here| today)?\s*(?:[.,;!]|$)",
    re.IGNORECASE,
)
_YES = re.compile(r"(?:yes|present|positive|confirmed)\b\s*(?:[.,;!:]|$)", re.IGNORECASE)

_EARLIER_PICTURE = (
    r"(?:\w+ ){0,2}(?:stud(?:y|ies)|exam\w*|films?|radiographs?|radiography|images?|imaging|ct|mri|x-?rays?|scans?"
    r"|reports?|comparisons?|visits?)\b"
)
_UNABLE = (
    r"(?:cannot|(?:can|could|does|do|did) not|(?:can|couldn|doesn|don|didn)['’]t|unable to"
    r"|(?:hard|difficult|impossible) to)"
)
_BEFORE = re.compile(
    rf"\b{_UNABLE} (?:\w+ )?(?:exclude|rule out)\b|\b(?:to|please) (?:exclude|rule out)\b"
    r"|^\W*(?:exclude|rule out)\b|\br/o\b"
    r"|\b(?:evaluat(?:e|ion)|assess(?:ment)?|look(?:ing)?|check|screen(?:ing)?) for\b"
    r"|\b(?:possib(?:le|ly)|potential(?:ly)?|perhaps|questionable|equivocal|quer(?:y|ied)|suspect(?:ed|s)?|differential"
    r"|versus|vs|probabl[ey]|presum(?:ed|ably)|if|unless|consider(?:ed|ing)?|question of|risk (?:of|for))\b"
    r"|(?<!not )\blikely\b"
    r"|\b(?:may|might|could) (?:(?!not\b)\w+ )?(?:be|have|represent|reflect|indicate|suggest|correspond|contain|mask)\b"
    r"|\b(?:history|hx|h/o|episode|episodes) (?:of|with)\b|\bh/o\b|\b(?:s/p|status post|formerly|former|remote)\b"
    r"|\b(?:clinical (?:history|information|question|details)|history|indication|reason for [\w ]{1,40}) ?:"
    r"|(?<!year )(?<!years )(?<!month )(?<!-)\bold\b"
    rf"|\b(?:prior|previous)\b(?!\s*(?:[.,;:)]|$)|\s+{_EARLIER_PICTURE})"
    r"|\bpreviously\b(?! (?:seen|noted|described|identified|known|reported|demonstrated)\b)"
    r"|\b(?:interval )?(?:resolution|clearing|clearance) of\b|\b(?:resolved|resolving|healed)\b(?= [a-z])",
    re.IGNORECASE,
)
"""What unsettles the rest of the clause."""

_EVIDENTIAL = re.compile(
    r"\b(?:suggest(?:s|ed|ing|ive)?|suspici(?:on|ous) (?:of|for)|concern(?:ing|s)? (?:for|of)|worrisome for)\b",
    re.IGNORECASE,
)
"""The same, but for what is denied as a whole: "no findings suggestive of pneumonia"."""
_DENIED_AS_A_WHOLE = re.compile(
    r"(?:\b(?:no|not|nothing|without|never)\b|n['’]t)(?:(?!\b(?:and|or|but)\b)[^,])*$", re.IGNORECASE
)
_REACH = 120
_RESUMES = re.compile(r"(?:,|\band) ?(?:there (?:is|are)|with|at present)\b|\b(?:now|currently|today)\b", re.IGNORECASE)
"""Where the clause speaks of the present again."""

_IS = r"(?:is|are|was|were|remains?|seems?|appears?|has|have|had|being|been)"
_OPEN = r"(?:possible|probable|suspected|questionable|questioned|equivocal|doubtful|considered|in question|uncertain)"
_AFTER = re.compile(
    r"(?:\b(?:not|cannot|can['’]t)|n['’]t) (?:\w+ )?(?:be(?:en)? )?(?:\w+ )?(?:excluded|ruled out)\b"
    r"|\b(?:cannot|(?:can|could) not|can['’]t|couldn['’]t) be (?:seen|identified|assessed|judged|evaluated)\b"
    rf"|\b{_IS} (?:\w+ )?{_OPEN}\b|\b{_IS} (?:(?!not\b)\w+ )?likely\b"
    r"|\b(?:may|might|could) (?:(?!not\b)\w+ )?be (?:present|there|developing|seen|missed|hidden|obscured|considered)\b"
    rf"|\b{_OPEN}(?=\W*$)|(?<!not )\blikely(?=\W*$)|\bno longer\b"
    rf"|\b{_IS} (?:(?!not\b)\w+ ){{0,2}}(?P<predicate>resolved|resolving|cleared|healed|gone|regressed)\b"
    r"|\b(?P<gone>resolved|cleared|healed|resolving)(?=\W*$|,| (?:since|in|on|by|after|from|completely|entirely)\b)",
    re.IGNORECASE,
)
"""What unsettles the clause before it."""
_STILL = re.compile(r"(?:\b(?:not|never|partly|partially|incompletely)|n['’]t)(?: \w+){0,2} ?$", re.IGNORECASE)
_VERB = re.compile(r"\b(?:is|are|was|were|shows?|demonstrates?|reveals?|has|have|seen|noted|there)\b", re.IGNORECASE)
_JOINT = re.compile(r",| and ", re.IGNORECASE)

_LEFT, _RIGHT = re.compile(r"\bleft\b", re.IGNORECASE), re.compile(r"\bright\b", re.IGNORECASE)
_BOTH = re.compile(r"\bbilateral(?:ly)?\b|\bboth\b", re.IGNORECASE)
_SIDES = re.compile(r"\b(?:left|right|bilateral|both)(?:[ -]sided)?\b ?", re.IGNORECASE)
_ANY = re.compile(
    r"\b(no|without|or|nor) (?:(?:clinically|radiographically) )?(?:significant|appreciable|discernible|detectable"
    r"|identifiable|visible|convincing|definite|focal|frank|obvious|evident)(?= )",
    re.IGNORECASE,
)
"""Words that make a denial no narrower: "no focal consolidation" denies consolidation, "no large effusion" does not."""
_FIRST = frozenset({"enlarged"})  # of a name: what a denial by the rest of it denies ("the heart is not enlarged")


def stated_in(text: str) -> tuple[Stated, ...]:
    """The findings a report states and those it denies, sorted. Never raises.

    What is both stated and denied of the same side counts as stated.
    """
    said: dict[tuple[str, Laterality | None], Literal["present", "absent"]] = {}
    for clause, answer in _clauses(text):
        side = _side(clause)
        there, denied = _read(clause) if answer is None else _answered(clause, answer)
        for finding in there:
            said[finding, _own(finding, side)] = "present"
        for finding in denied:
            said.setdefault((finding, _own(finding, side)), "absent")
    present = {key for key, says in said.items() if says == "present"}
    kept = (
        (finding, says, side)
        for (finding, side), says in said.items()
        if says == "present" or not any(name == finding and None in (side, other) for name, other in present)
    )
    return tuple(sorted(kept, key=repr))


def _clauses(text: str) -> Iterator[tuple[str, str | None]]:
    """Each clause; a question with how the next sentence answers it, and without an answer not at all."""
    plain = _QUERY.sub(" query ", text)
    pieces = [plain[start:end] for start, end in sentences(plain)]
    for piece, following in zip_longest(pieces, pieces[1:], fillvalue=""):
        if not piece.rstrip("\"')]").endswith("?"):
            yield from ((clause, None) for clause in _CLAUSE.split(piece))
        elif _NONE.match(following) or _YES.match(following):
            yield piece, following


def _answered(question: str, answer: str) -> tuple[set[str], set[str]]:
    named = {finding.id for finding in findings_in(question.replace("?", " "))}
    return (named, set()) if _YES.match(answer) else (set(), named)


def _read(clause: str) -> tuple[set[str], set[str]]:
    """The ids of what a clause states and of what it denies."""
    sentence = _ANY.sub(r"\1", _settled(" ".join(clause.split())))
    plain = _SIDES.sub("", sentence)  # "no left effusion" denies an effusion as well
    denied = {*_denied(sentence), *_denied(plain)} - {finding.id for finding in findings_in(plain)}
    return {finding.id for finding in findings_in(sentence)} - denied, denied


def _settled(clause: str) -> str:
    """The clause without what is past, resolved or uncertain in it."""
    left = len(clause)
    for match in reversed(list(_AFTER.finditer(clause))):
        still = match.lastgroup is not None and _STILL.search(clause[: match.start(match.lastgroup)])
        if match.end() <= left and not still:
            left = _start(clause[: match.start()])
            clause = f"{clause[:left]} {clause[match.end() :]}"
    while trigger := _unsettling(clause):
        resumed = _RESUMES.search(clause, trigger.end())
        clause = clause[: trigger.start()] + (f", {clause[resumed.end() :]}" if resumed else "")
    return clause


def _unsettling(clause: str) -> re.Match[str] | None:
    evidential = (
        match
        for match in _EVIDENTIAL.finditer(clause)
        if not _DENIED_AS_A_WHOLE.search(clause, max(0, match.start() - _REACH), match.start())
    )
    found = [match for match in (_BEFORE.search(clause), next(evidential, None)) if match]
    return min(found, key=lambda match: match.start(), default=None)


def _start(before: str) -> int:
    """From where on `before` is unsettled by what follows it: from the last joint that parts two statements."""
    joints = [match.end() for match in _JOINT.finditer(before) if _VERB.search(before, 0, match.start())]
    return joints[-1] if joints else 0


def _denied(sentence: str) -> Iterator[str]:
    """The ids of the findings that a sentence denies by a name that it holds whole."""
    words = set(terms(sentence))
    for finding in shipped_ontology():
        for name, needed in _names(finding):
            if needed <= words and (not name.isupper() or name in sentence) and denies(sentence, name):
                yield finding.id
                break


@cache
def _names(finding: Finding) -> tuple[tuple[str, frozenset[str]], ...]:
    """Each name with the terms a sentence must hold for it to be named there."""
    return tuple((name, frozenset(terms(name)) - _FIRST) for name in finding.names)


def _side(sentence: str) -> Laterality | None:
    left, right = _LEFT.search(sentence) is not None, _RIGHT.search(sentence) is not None
    if _BOTH.search(sentence):
        return "bilateral"
    return None if left == right else "left" if left else "right"


def _own(finding: str, side: Laterality | None) -> Laterality | None:
    """The side a finding has; one whose name holds a side ("left bundle branch block") has no other."""
    return None if {"left", "right"} & set(finding.split("-")) else side
