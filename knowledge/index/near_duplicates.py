"""Which passages say nearly the same as a text that an evaluation holds back. It decides nothing else.

Two texts are compared by their shingles, runs of SHINGLE words (Broder 1997): a passage is a near-duplicate when at
least OVERLAP of the shingles of the shorter of the two stand in the other. A title is short, and many an innocent text
names what it names: it must hold as much of the longer one. Texts of fewer words than a shingle are compared whole.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ...core.errors import InputError
from ..store import Passage

SHINGLE = 5
OVERLAP = 0.5

Shingles: TypeAlias = frozenset[tuple[str, ...]]

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, kw_only=True)
class Held:
    """Rows held back from every search: `rows` int64, sorted; `mask` bool [passages], True where a row may be seen."""

    rows: npt.NDArray[np.int64]
    mask: npt.NDArray[np.bool_]

    @classmethod
    def among(
        cls, passages: Sequence[Passage], texts: Iterable[str], documents: Iterable[str], *, already: Held | None = None
    ) -> Held:
        """The rows of passages whose title or text overlaps with one of `texts`, or that belong to one of `documents`,
        and those `already` held back. Raises InputError for a text where a list of them is wanted."""
        for name, given in (("texts", texts), ("documents", documents)):
            if isinstance(given, str):
                raise InputError(expected=f"{name} as a list", got="one text", fix="put it into brackets")
        owned = frozenset(documents)
        own = ByShingle(texts)
        mask = np.ones(len(passages), dtype=bool) if already is None else already.mask.copy()
        for row, passage in enumerate(passages):
            if mask[row] and (
                passage.id in owned
                or passage.document in owned
                or own.overlapping(passage.text)
                or own.overlapping(passage.title, title=True)
            ):
                mask[row] = False
        return cls(rows=np.flatnonzero(~mask), mask=mask)


def shingles(text: str) -> Shingles:
    """The runs of SHINGLE words, lower case; the whole text where it has fewer."""
    words = _WORD.findall(text.lower())
    if len(words) <= SHINGLE:
        return frozenset([tuple(words)] if words else [])
    return frozenset(zip(*(words[start:] for start in range(SHINGLE)), strict=False))


class ByShingle:
    """Texts by the shingles they hold."""

    def __init__(self, texts: Iterable[str]) -> None:
        numbered = [(number, said) for number, text in enumerate(texts) if (said := shingles(text))]
        self._numbers = [number for number, _ in numbered]
        self._texts = [said for _, said in numbered]
        self._holding: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
        for number, found in enumerate(self._texts):
            for shingle in found:
                self._holding[shingle].append(number)

    def overlapping(self, text: str, *, title: bool = False) -> list[int]:
        """Which of the texts, by their number among those given, `text`, or a `title`, says nearly the same as."""
        own = shingles(text)
        shared: defaultdict[int, int] = defaultdict(int)
        for shingle in own & self._holding.keys():
            for number in self._holding[shingle]:
                shared[number] += 1
        return sorted(
            self._numbers[place]
            for place, count in shared.items()
            if count >= OVERLAP * (max if title else min)(len(own), len(self._texts[place]))
        )
