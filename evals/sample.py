"""One item of a benchmark: a case and its known answer. It does not score."""

from __future__ import annotations

from dataclasses import dataclass

from ..core.case import Case


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A case with the letter of its right option."""

    case: Case
    target: str
