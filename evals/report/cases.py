"""The single samples worth a look: what an arm was surest of and had wrong, and why it said nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from ..outcomes import ANSWERED, Outcome, Row
from ..results import by_arm

WORST = 10
REASONS = 5


@dataclass(frozen=True, kw_only=True)
class Worst:
    """Of one arm the samples it had wrong, in its surest wrong answer of each, those without a confidence last; `wrong`
    counts samples, in whatever epoch."""

    arm: str
    wrong: int
    rows: tuple[Row, ...]


@dataclass(frozen=True, kw_only=True)
class Silence:
    """One reason of one arm for not answering: how many samples gave it, and the first of them."""

    arm: str
    outcome: Outcome
    why: str
    n: int
    first: Row


def worst(rows: Sequence[Row], *, most: int = WORST) -> tuple[Worst, ...]:
    """For each arm of one benchmark with a wrong answer, up to `most` of them; ties in the order of samples."""
    found = []
    for (_, arm), group in by_arm(rows).items():
        wrong = [row for row in group if row.outcome == "wrong"]
        sure = sorted(wrong, key=lambda row: (row.said.confidence is None, -(row.said.confidence or 0.0), row.sample))
        surest = {row.sample: row for row in reversed(sure)}
        kept = [row for row in sure if surest[row.sample] is row]
        if wrong:
            found.append(Worst(arm=arm, wrong=len(kept), rows=tuple(kept[:most])))
    return tuple(found)


def silences(rows: Sequence[Row], *, most: int = REASONS) -> tuple[Silence, ...]:
    """For each arm and outcome without an answer up to `most` reasons, the most frequent first."""
    found: list[Silence] = []
    for (_, arm), group in by_arm(rows).items():
        reasons: dict[tuple[Outcome, str], list[Row]] = {}
        for row in group:
            if row.outcome not in ANSWERED:
                reasons.setdefault((row.outcome, row.said.why), []).append(row)
        for outcome in sorted({outcome for outcome, _ in reasons}):
            own = [
                Silence(arm=arm, outcome=outcome, why=why, n=len(those), first=those[0])
                for (each, why), those in reasons.items()
                if each == outcome
            ]
            found += sorted(own, key=lambda silence: (-silence.n, silence.why))[:most]
    return tuple(found)


def traced_from(rows: Iterable[Row], *, run: Path, page: Path) -> list[Row]:
    """The rows of one run with their traces as they are named from the folder of a page."""
    way = PurePath(os.path.relpath(run.resolve(), page.resolve())).as_posix()
    return [
        row.model_copy(update={"said": row.said.model_copy(update={"trace": f"{way}/{row.said.trace}"})})
        if row.said.trace
        else row
        for row in rows
    ]
