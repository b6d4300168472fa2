"""Whether a text denies what it names. It reads words, not meaning.

In the way of NegEx (Chapman et al. 2001) and as simple. A phrase is denied when a denial ("no", "without", "denies",
"does not have", …) stands before it in the same sentence with no turning word ("but", "however", "now", "has",
"with", …) in between. The reach of "no" and "without" ends at a comma unless "or" follows ("no chest pain, nausea or
sweating"); that of "denies" does not. A phrase is also denied when "absent", "denied", "excluded", "negative" or
"ruled out" follows it. That much is for what a patient tells; `denies` adds how a report words it ("is not seen",
"unlikely", "does not show", "is not enlarged") and what is no denial there ("cannot be excluded").
"""

from __future__ import annotations

import re
from functools import cache

from .text import sentences, terms

_HAVING = r"(?:have|had|having|report|experience|endorse|complain of|describe)"
_WHOLE_LIST = re.compile(
    rf"\b(?:denies|denied|denying|negative for|(?:not|cannot|don['’]t|doesn['’]t|didn['’]t) {_HAVING})\b"
)
_ONE_ITEM = re.compile(r"\b(?:no|without|never had|absence of|free of|(?:rules?|ruled) out|nor|neither|not any)\b")
_TURN = re.compile(
    r"[;:]|\b(?:but|however|although|though|except|now|yet|despite|presents?|presented|presenting|complains?|complaining|"
    r"reports?|reported|develop(?:s|ed)|since|then|because|with|she|he|they|i|who|which|today|has|had|is|was)\b"
)
_NO_DENIAL = re.compile(r"\b(?:no longer able|no relief|no improvement|no change|no better|without relief)\b")
_DENIED_AFTER = re.compile(
    r"\s*(?:(?:is|was|were|are|has been|have been)\s+)?(?:absent|denied|excluded|ruled out|negative)\b"
)

_CLEARLY = r"(?:(?:clearly|really|definitely|currently|safely|therefore|thus) )?"
_ABSENT_AFTER = re.compile(
    rf"(?: (?:is|was|are|were|has been|seems|appears|can be|could be))?(?: {_CLEARLY}(?:not|never)|n['’]t) {_CLEARLY}"
    r"(?:present|seen|shown|found|visible|detected|there|evident|identified|demonstrated|met|apparent|confirmed"
    r"|suggested|supported|likely|fulfilled|observed|noted|diagnosed|the case)\b"
    rf"| (?:(?:is|was|are|seems|appears) )?{_CLEARLY}(?:unlikely|improbable|lacking|missing|absent)\b"
    rf"| (?:can|could|may) {_CLEARLY}be {_CLEARLY}(?:excluded|ruled out)\b| ?: ?(?:no|none|absent|negative)\b"
)
_NOT = re.compile(
    r"(?:\b(?:not|never|cannot)|n['’]t)(?: (?:a|an|any|the|in|of|at|to|be|with|for|clearly|consistent|compatible|show"
    r"|see|demonstrate|reveal|suggest|indicate|support|meet|find|confirm|fulfil|represent|have|criteria|criterion|evidence"
    r"|signs?|amount))* ?$"
)
_AGAINST = re.compile(
    r"\b(?:against|excludes?|excluding|rather than|instead of|lacks?|free from|unlikely to (?:be|have|represent))"
    r"(?: (?:a|an|any))? $"
)
_DOUBLE = re.compile(
    r"(?:\b(?:not|never|cannot)|n['’]t) (?:\w+ )?(?:be )?(?:rule[sd]? out|exclude[sd]?|only|deny|denied|without"
    r"|absent)\b|\b(?:no|without) (?:doubt|question)\b|\bno change\b"
)
_LEADS = frozenset(
    "a an any no not of out or nor and for without neither to be is definite clear obvious overt new evident show shows"
    " against excludes exclude excluding than have has represent with see".split()
)
_NAMED = frozenset("the this that his her their such".split())
_LINKS = frozenset("in of for above below scoring suggesting used".split())
_ABNORMAL = frozenset("enlarged reduced decreased raised low".split())
_NORMAL = re.compile(r"^normal\b|\b(?:is|are|was|were|of|appears|looks|remains|within|has) (?:(?!not\b)\w+ )?normal\b")


def denied(sentence: str, start: int, end: int) -> bool:
    """Whether the phrase at [start, end) of one sentence, in lower case, is denied there."""
    if _DENIED_AFTER.match(sentence, end):
        return True
    # Blanked, not removed, so that offsets stay: a relief denied is no symptom denied.
    sentence = _NO_DENIAL.sub(lambda match: " " * len(match.group()), sentence)
    for denial, whole_list in ((_WHOLE_LIST, True), (_ONE_ITEM, False)):
        for match in denial.finditer(sentence, 0, start):
            between = sentence[match.end() : start]
            turn = _TURN.search(sentence, match.end())
            reach = sentence[match.end() : turn.start() if turn else len(sentence)]
            if not _TURN.search(between) and (whole_list or "," not in between or re.search(r"\bn?or\b", reach)):
                return True
    return False


def denies(text: str, finding: str) -> bool:
    """Whether a report denies a finding, by its name or by the parts of it ("the silhouette is not enlarged").

    A denial of something narrower ("no severe anaemia", where the finding is "anaemia") is none. British and American
    spellings are the same.
    """
    core = _folded(re.split(r"[(,:]", finding)[0])
    if not core:
        return False
    pieces = (_folded(text[start:end]) for start, end in sentences(text))
    return any(_named_and_denied(piece, core) or _parts_denied(piece, core) for piece in pieces)


def _named_and_denied(sentence: str, core: str) -> bool:
    for match in _naming(core).finditer(sentence):
        start, end = match.span()
        word = re.search(r"([\w'’-]+) $", sentence[:start])
        lead = word.group(1) if word else ""
        if lead and lead not in _LEADS | _NAMED:
            continue  # another word narrows it: something else is denied
        if _ABSENT_AFTER.match(sentence, end) or denied(sentence[start:], 0, end - start):
            return True
        before = sentence[:start]
        if lead not in _NAMED and (denied(sentence, start, end) or _NOT.search(before) or _AGAINST.search(before)):
            return True
    return False


def _parts_denied(sentence: str, core: str) -> bool:
    """All words of the finding stand in the sentence, and one of them is denied or said to be normal."""
    said, words = set(terms(sentence)), core.split()
    if words[0] in _ABNORMAL and set(terms(" ".join(words[1:]))) <= said and _NORMAL.search(sentence):
        return True
    if len(words) == 1 or not set(terms(core)) <= said:
        return False
    parts = re.finditer(rf"\b(?:{'|'.join(re.escape(word) for word in words if word not in _LINKS)})\b", sentence)
    return any(_NOT.search(sentence[: part.start()]) for part in parts)


@cache
def _naming(core: str) -> re.Pattern[str]:
    """A short name by its last word with any of the words before it; a long one only as a whole."""
    *first, head = core.split()
    if _LINKS & set(first):
        return re.compile(rf"\b{re.escape(core)}\b")
    adjectives = "|".join(re.escape(word) for word in first)
    return re.compile(rf"\b(?:(?:{adjectives}) )*{re.escape(head)}\b" if first else rf"\b{re.escape(head)}\b")


def _folded(text: str) -> str:
    """Lower case, single spaces, one spelling for ae and oe; a denial that is itself denied is blanked."""
    plain = " ".join(text.lower().split())
    plain = re.sub(r"\w{6,}", lambda word: re.sub("ae|oe", "e", word.group()), plain)
    return _DOUBLE.sub(lambda match: " " * len(match.group()), plain)
