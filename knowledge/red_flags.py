"""Words in a text that change how fast a patient must be seen (`red_flags.toml`). It reads words, not meaning.

Negation, in the way of NegEx (Chapman et al. 2001) and as simple. A phrase is denied when a denial ("no", "without",
"denies", "does not have", …) stands before it in the same sentence with no turning word ("but", "however", "now",
"has", "with", …) in between. The reach of "no" and "without" ends at a comma unless "or" follows ("no chest pain,
nausea or sweating"); that of "denies" does not. A phrase is also denied when "absent", "denied", "excluded",
"negative" or "ruled out" follows it. A family history, or a question about a symptom, is not told apart from the
symptom: where words are unclear the flag is raised.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from ..core.errors import SetupError
from ..core.frozen import Frozen
from .text import sentences

FILE = Path(__file__).parent / "red_flags.toml"
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


class RedFlag(Frozen):
    """A red flag found: the phrases that raised it as they stand in the text, why it matters, and who says so."""

    id: str
    urgency: Literal["urgent", "emergency"]
    phrases: tuple[str, ...]
    why: str
    citation: str


class Pattern(Frozen):
    """A red flag to look for: every group of phrases must have one that stands in the text and is not denied."""

    id: str = Field(pattern=r"^[a-z0-9-]+$")
    urgency: Literal["urgent", "emergency"]
    groups: tuple[tuple[str, ...], ...] = Field(min_length=1)
    why: str
    citation: str = Field(min_length=20)


class _File(Frozen):
    red_flag: tuple[Pattern, ...]


@cache
def shipped_patterns() -> tuple[Pattern, ...]:
    """The patterns that ship with the package, emergencies first, then by id."""
    return read_patterns(FILE)


def read_patterns(path: Path) -> tuple[Pattern, ...]:
    """The patterns of one TOML file, emergencies first, then by id. Raises SetupError when it is not valid."""
    try:
        found = _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8"))).red_flag
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError, ValidationError) as error:
        raise SetupError(
            expected=f"valid red flags in {path.name}",
            got=str(error).replace("\n", " "),
            fix="correct the file, or reinstall polyclinic if you did not change it",
        ) from error
    return tuple(sorted(found, key=lambda pattern: (pattern.urgency != "emergency", pattern.id)))


def find_red_flags(text: str) -> tuple[RedFlag, ...]:
    """The red flags of `text`, emergencies first, then by id. Never raises; text without any gives none."""
    pieces = [" ".join(text[start:end].split()) for start, end in sentences(text)]
    found = []
    for pattern in shipped_patterns():
        phrases = [_first(group, pieces) for group in pattern.groups]
        if all(phrases):
            named = tuple(dict.fromkeys(phrase for phrase in phrases if phrase))
            fields = pattern.model_dump(exclude={"groups"})
            found.append(RedFlag(**fields, phrases=named))
    return tuple(found)


def _first(group: tuple[str, ...], pieces: list[str]) -> str | None:
    """The first phrase of the group that stands in a sentence and is not denied there, as written."""
    for piece in pieces:
        for match in _phrases(group).finditer(piece):
            if not _denied(piece.lower(), match.start(), match.end()):
                return match.group()
    return None


@cache
def _phrases(group: tuple[str, ...]) -> re.Pattern[str]:
    # Longest first, so that "worst headache of" is not cut to "worst headache".
    ordered = sorted(group, key=lambda phrase: (-len(phrase), phrase))
    written = "|".join(re.escape(phrase).replace(r"\*", r"\w*") for phrase in ordered)
    return re.compile(rf"\b(?:{written})\b", re.IGNORECASE)


def _denied(sentence: str, start: int, end: int) -> bool:
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
