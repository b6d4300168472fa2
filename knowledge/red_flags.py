"""Words in a text that change how fast a patient must be seen (`red_flags.toml`). It reads words, not meaning.

A phrase that is denied (`negation`) raises nothing. A family history, or a question about a symptom, is not told apart
from the symptom: where words are unclear the flag is raised.
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
from .negation import denied
from .text import sentences

FILE = Path(__file__).parent / "red_flags.toml"


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
    folded = "\n".join(pieces).casefold()
    found = []
    for pattern in shipped_patterns():
        if not all(any(stem in folded for stem in _stems(group)) for group in pattern.groups):
            continue
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
            if not denied(piece.lower(), match.start(), match.end()):
                return match.group()
    return None


@cache
def _stems(group: tuple[str, ...]) -> tuple[str, ...]:
    """What a text must hold for a phrase to stand in it: far cheaper to look for than the phrase itself."""
    return tuple(phrase.split("*")[0].casefold() for phrase in group)


@cache
def _phrases(group: tuple[str, ...]) -> re.Pattern[str]:
    # Longest first, so that "worst headache of" is not cut to "worst headache".
    ordered = sorted(group, key=lambda phrase: (-len(phrase), phrase))
    written = "|".join(re.escape(phrase).replace(r"\*", r"\w*") for phrase in ordered)
    return re.compile(rf"\b(?:{written})\b", re.IGNORECASE)
