"""What the rows of a run amount to: outcomes counted apart, accuracies with intervals, arms against each other.

Two accuracies are always given: over all samples, where whatever is not right counts against the arm, and over those
that were answered. Intervals are drawn over groups of like samples where there are such, else they are Wilson's.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InputError
from .outcomes import ANSWERED, OUTCOMES, Outcome, Row
from .statistics.intervals import Statistic, interval, wilson
from .statistics.paired import Difference, McNemar, difference, holm, mcnemar
from .statistics.selective import aurc, brier, calibration_error


@dataclass(frozen=True, kw_only=True)
class Share:
    """`right` of `n` with a 95 % interval."""

    right: int
    n: int
    low: float
    high: float

    @property
    def value(self) -> float:
        return self.right / self.n if self.n else math.nan


@dataclass(frozen=True, kw_only=True)
class Result:
    """One arm on one benchmark. Scores are means over answered samples; costs are means over all of them."""

    benchmark: str
    arm: str
    n: int
    groups: int
    outcomes: Mapping[Outcome, int]
    over_all: Share
    over_answered: Share
    scores: Mapping[str, float]
    confident: int
    aurc: float
    calibration_error: float
    brier: float
    tokens: float
    chat_calls: float
    tool_calls: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Paired:
    """Two arms on the samples both were asked, the first minus the second, right over all; p is adjusted (Holm)."""

    benchmark: str
    first: str
    second: str
    n: int
    test: McNemar
    difference: Difference
    adjusted_p: float


def results(rows: Iterable[Row]) -> tuple[Result, ...]:
    """A result for each benchmark and arm, in the order of their names."""
    return tuple(_result(group) for group in by_arm(rows).values())


def compared(rows: Iterable[Row]) -> tuple[Paired, ...]:
    """Every pair of arms of each benchmark, adjusted within the benchmark."""
    groups = by_arm(rows)
    found: list[Paired] = []
    for name in dict.fromkeys(benchmark for benchmark, _ in groups):
        arms = [arm for benchmark, arm in groups if benchmark == name]
        pairs = [pair(groups[name, first], groups[name, second]) for first, second in itertools.combinations(arms, 2)]
        adjusted = holm({(each.first, each.second): each.test.p for each in pairs})
        found += [_adjusted(each, adjusted[each.first, each.second]) for each in pairs]
    return tuple(found)


def pair(first: Sequence[Row], second: Sequence[Row]) -> Paired:
    """Two arms on the samples and epochs both have. Raises InputError where they share none."""
    theirs = {(row.sample, row.epoch): row for row in second}
    both = [(row, theirs[row.sample, row.epoch]) for row in first if (row.sample, row.epoch) in theirs]
    if not both:
        raise InputError(expected="two arms with samples in common", got="none", fix="compare runs of one benchmark")
    a, b = (np.array([rows[place].outcome == "right" for rows in both]) for place in (0, 1))
    test = mcnemar(a.tolist(), b.tolist())
    return Paired(
        benchmark=first[0].benchmark, first=first[0].arm, second=second[0].arm, n=len(both), test=test,
        difference=difference(_mean(a), _mean(b), [row.group for row, _ in both]), adjusted_p=test.p,
    )  # fmt: skip


def _adjusted(found: Paired, p: float) -> Paired:
    return Paired(**{**vars(found), "adjusted_p": p})


def _mean(values: NDArray[np.bool_]) -> Statistic:
    return lambda index: float(values[index].mean())


def by_arm(rows: Iterable[Row]) -> dict[tuple[str, str], list[Row]]:
    """Rows by benchmark and arm, each sample and epoch once. Raises InputError for one that is there twice."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in sorted(rows, key=lambda row: (row.benchmark, row.arm, row.sample, row.epoch)):
        found.setdefault((row.benchmark, row.arm), []).append(row)
    for (benchmark, arm), group in found.items():
        twice = [name for name, count in Counter((row.sample, row.epoch) for row in group).items() if count > 1]
        if twice:
            raise InputError(
                expected=f"each sample of {benchmark} once for the arm {arm}", got=f"{twice[0][0]} twice",
                fix="name each shard once",
            )  # fmt: skip
    return found


def _result(rows: Sequence[Row]) -> Result:
    counts = Counter(row.outcome for row in rows)
    answered = [row for row in rows if row.outcome in ANSWERED]
    names = sorted({name for row in answered for name in row.scores})
    sure = [row for row in answered if row.said.confidence is not None]
    confidence = [row.said.confidence or 0.0 for row in sure]
    right = [row.outcome == "right" for row in sure]
    return Result(
        benchmark=rows[0].benchmark,
        arm=rows[0].arm,
        n=len(rows),
        groups=len({row.group for row in rows}),
        outcomes={outcome: counts[outcome] for outcome in OUTCOMES},
        over_all=share_right(rows),
        over_answered=share_right(answered),
        scores={name: _mean_of([row.scores[name] for row in answered if name in row.scores]) for name in names},
        confident=len(sure),
        aurc=aurc(confidence, right),
        calibration_error=calibration_error(confidence, right),
        brier=brier(confidence, right),
        tokens=_mean_of([row.said.prompt_tokens + row.said.completion_tokens for row in rows]),
        chat_calls=_mean_of([row.said.chat_calls for row in rows]),
        tool_calls=_mean_of([row.said.tool_calls for row in rows]),
        seconds=_mean_of([row.said.seconds for row in rows]),
    )


def share_right(rows: Sequence[Row]) -> Share:
    """The share of rows that is right, its interval over groups where some hold several rows."""
    right = np.array([row.outcome == "right" for row in rows], dtype=np.bool_)
    groups = [row.group for row in rows]
    if len(set(groups)) == len(groups):
        low, high = wilson(int(right.sum()), len(rows))
    else:
        low, high = interval(lambda index: float(right[index].mean()), groups)
    return Share(right=int(right.sum()), n=len(rows), low=low, high=high)


def _mean_of(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else math.nan
