"""How sure a model is of the option it chose: from the probabilities of the letters, or from a vote of samples."""

from __future__ import annotations

import builtins
import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, Field

from ...core.canonical import Json
from ..tasks import OpinionDraft, SpecialistTurn, TriagePlan, Verdict

Byte = Annotated[int, Field(ge=0, le=255)]


class _Token(BaseModel):
    """One token as the server reports it."""

    token: str
    bytes: tuple[Byte, ...] | None = None
    logprob: float = Field(allow_inf_nan=False)
    top_logprobs: tuple[_Token, ...] = ()

    @property
    def said(self) -> builtins.bytes:
        return builtins.bytes(self.bytes) if self.bytes else self.token.encode(errors="replace")

    @property
    def probability(self) -> float:
        return math.exp(min(0.0, self.logprob))


LEAST_MASS = 0.5
"""Probability the offered letters must have together: below, the place says nothing about the choice."""

_OPTION = re.compile(rb'(?<!\\)"option"\s*:\s*"')
_WRAPPING = b'" \t\n,}'


def option_probabilities(text: str, logprobs: Json, letters: Sequence[str]) -> dict[str, float] | None:
    """The probability of each offered letter where the reply names its option; they sum to 1.

    `text` is the JSON of the reply, `logprobs` that member of an OpenAI-shaped choice: per token its bytes and the most
    probable alternatives. A letter that is not among the alternatives gets the probability of the least probable one
    shown, which is the most it can have. None where no option is named, where the letters
    are improbable altogether, or where `logprobs` has another shape.
    """
    said = text.encode(errors="replace")
    named = list(_OPTION.finditer(said))
    if not named or len(letters) < 2:
        return None
    try:
        tokens = logprobs["content"]
        written = [_said(token) for token in tokens]
        place = b"".join(written).rindex(said) + named[-1].end()
        for token, piece in zip(tokens, written, strict=True):
            if place < len(piece):
                return _shares(_Token.model_validate(token), piece[:place], letters)
            place -= len(piece)
    except (AttributeError, KeyError, TypeError, ValueError):  # nothing checks the form of a token before this
        return None
    return None


def _said(token: Json) -> bytes:
    raw = token.get("bytes")
    return bytes(raw) if isinstance(raw, list) and raw else token["token"].encode(errors="replace")


def _shares(token: _Token, before: bytes, letters: Sequence[str]) -> dict[str, float] | None:
    """Shares of the letters among the alternatives of one token; `before` is what the token has ahead of the letter."""
    mass = dict.fromkeys(letters, 0.0)
    alternatives = token.top_logprobs or (token,)
    for alternative in alternatives:
        piece = alternative.said
        letter = piece[len(before) :].strip(_WRAPPING).decode(errors="replace")
        if piece.startswith(before) and letter in mass:
            mass[letter] += alternative.probability
    if sum(mass.values()) < LEAST_MASS:
        return None
    least = min(alternative.probability for alternative in alternatives)
    mass = {letter: value or least for letter, value in mass.items()}
    total = math.fsum(mass.values())
    return {letter: round(value / total, 6) for letter, value in mass.items()}


def ballot(value: Any) -> str:
    """What a sample votes for: its option, its answer, its team, or to go on gathering."""
    if isinstance(value, TriagePlan):
        return "+".join(sorted(pick.specialty for pick in value.specialists))
    if isinstance(value, SpecialistTurn):
        return "asks for more" if value.opinion is None else ballot(value.opinion)
    if isinstance(value, OpinionDraft | Verdict):
        return "abstains" if value.abstains else value.option or " ".join(value.answer.lower().split())
    return str(value)


def elected(ballots: Sequence[str]) -> tuple[int, float]:
    """The first sample that voted for the most frequent choice, and that choice's share. Ties go to the earlier one."""
    votes = Counter(ballots)
    winner = max(ballots, key=lambda choice: (votes[choice], -ballots.index(choice)))
    return ballots.index(winner), votes[winner] / len(ballots)
