"""What was chosen against what was right to choose: a matrix where options are classes, else letters alone.

Options are classes where every letter stands for one text in all samples (yes, no, maybe). Elsewhere a letter means
nothing across samples; how often each is chosen still shows an arm that says "A" to everything.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..metrics.classification import confusion, kappa, macro_f1, mcc
from ..outcomes import ANSWERED, Row
from ..results import by_arm

SILENT = "no answer"
_LETTERED = re.compile(r"([A-Z]): (.*)", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """How often one arm took each class for each other. `counts` [k][k + 1]: truths down, answers across, silence last.

    Figures are over all samples: silence is an answer of its own, never right. The macro-F1 is over the classes that
    are right somewhere.
    """

    arm: str
    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    macro_f1: float
    mcc: float
    kappa: float


@dataclass(frozen=True, kw_only=True)
class Letters:
    """How often each letter is right, and how often each arm, silent or not, chose it; in the order of letters."""

    right: Mapping[str, int]
    chosen: Mapping[str, Mapping[str, int]]


def matrices(rows: Sequence[Row]) -> tuple[Matrix, ...]:
    """A matrix for each arm of one benchmark; none where its options are no classes."""
    classes = _classes(rows)
    return tuple(_matrix(arm, group, classes) for (_, arm), group in by_arm(rows).items()) if classes else ()


def _matrix(arm: str, rows: Sequence[Row], classes: Sequence[str]) -> Matrix:
    truth = [row.target for row in rows]
    said = [row.shown if row.outcome in ANSWERED else SILENT for row in rows]
    there = sorted({*truth})  # of a class that is never right there is nothing to find, and arms must not differ in it
    table = confusion(truth, said, (*classes, SILENT))
    return Matrix(
        arm=arm, classes=tuple(classes), counts=tuple(tuple(map(int, line)) for line in table[:-1]),
        macro_f1=macro_f1(truth, said, there), mcc=mcc(truth, said), kappa=kappa(truth, said),
    )  # fmt: skip


def _classes(rows: Sequence[Row]) -> tuple[str, ...]:
    """The options as they are shown, where each letter has one text and more samples than letters bear that out."""
    texts: dict[str, str] = {}
    for shown in _said_or_right(rows):
        found = _LETTERED.fullmatch(shown)
        if found is None or texts.setdefault(found[1], found[2]) != found[2]:
            return ()
    enough = len({row.sample for row in rows}) >= 2 * len(texts)
    return tuple(f"{letter}: {texts[letter]}" for letter in sorted(texts)) if enough and len(texts) > 1 else ()


def _said_or_right(rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        yield row.target
        if row.outcome in ANSWERED:
            yield row.shown


def letters(rows: Sequence[Row]) -> Letters | None:
    """The letters of one benchmark's rows, None where it asks for something else. What is right is counted over all
    samples and epochs that some arm was asked, each once."""
    found = {(row.sample, row.epoch): _LETTERED.fullmatch(row.target) for row in rows}
    answered = [row for row in rows if row.outcome in ANSWERED]
    if not rows or None in found.values() or any(row.said.option is None for row in answered):
        return None
    right = Counter(match[1] for match in found.values() if match)
    chosen = {arm: Counter(row.said.option or "" for row in answered if row.arm == arm) for arm in _arms(rows)}
    names = sorted({*right, *(name for counts in chosen.values() for name in counts)})
    return Letters(
        right={name: right[name] for name in names},
        chosen={arm: {name: counts[name] for name in names} for arm, counts in chosen.items()},
    )


def _arms(rows: Sequence[Row]) -> list[str]:
    return sorted({row.arm for row in rows})
