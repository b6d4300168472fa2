"""What the rows of a run amount to: outcomes counted apart, accuracies with intervals, arms against each other.

Two accuracies are always given: over all samples, where whatever is not right counts against the arm, and over those
that were answered. Intervals are drawn over groups of like samples where there are such, else they are Wilson's.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..core.errors import InputError
from .metrics.sets import step_accuracy
from .outcomes import ANSWERED, OUTCOMES, Outcome, Row
from .set_scores import SetScore, set_scores
from .statistics.intervals import share_interval
from .statistics.paired import Difference, SignFlips, difference_of_shares, holm, sign_flips
from .statistics.selective import Bin, Point, aurc, brier, calibration_error, reliability, risk_coverage

MOST_VALUES = 24
"""A facet with more values shows those with most samples, the rest as one."""
OTHERS = "all others"


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
    """One arm on one benchmark. Scores are those of `set_scores`; costs are means over all samples.

    `n` are samples times epochs; `taught` arms were made from these very samples. `bins` and `curve` are of the answers
    with a confidence; coverage is a share of all samples that were asked.
    """

    benchmark: str
    arm: str
    n: int
    samples: int
    groups: int
    taught: bool
    outcomes: Mapping[Outcome, int]
    over_all: Share
    over_answered: Share
    scores: Mapping[str, SetScore]
    confident: int
    aurc: float
    calibration_error: float
    brier: float
    bins: tuple[Bin, ...]
    curve: tuple[Point, ...]
    tokens: float
    chat_calls: float
    tool_calls: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Paired:
    """Two arms on the samples both were asked, the first minus the second, right over all; p is adjusted (Holm). The
    test counts `groups` of like samples."""

    benchmark: str
    first: str
    second: str
    n: int
    groups: int
    test: SignFlips
    difference: Difference
    adjusted_p: float


@dataclass(frozen=True, kw_only=True)
class Facet:
    """Right over all by the values of one facet: for each value a share of every arm, in the order of `arms`."""

    name: str
    arms: tuple[str, ...]
    values: Mapping[str, tuple[Share, ...]]


@dataclass(frozen=True, kw_only=True)
class Sets:
    """Samples that count together, by one arm: the share of sets of which every member is right.

    `steps` are the shares of chains that are right up to and in a step, of those that reach it, in the order of steps;
    empty where samples are no steps. `fewest` and `most` are members of a set. Sets of which a run has one member only
    are `alone` and left out: one right answer is no right pair.
    """

    benchmark: str
    arm: str
    whole: Share
    fewest: int
    most: int
    alone: int
    steps: Mapping[str, float]


def results(rows: Iterable[Row]) -> tuple[Result, ...]:
    """A result for each benchmark and arm, in the order of their names."""
    return tuple(_result(group) for group in by_arm(rows).values())


def compared(rows: Iterable[Row]) -> tuple[Paired, ...]:
    """Every pair of arms of each benchmark with samples in common, adjusted within the benchmark; without arms that
    were made from the very samples."""
    groups = {key: group for key, group in by_arm(rows).items() if not taught(group)}
    found: list[Paired] = []
    for name in dict.fromkeys(benchmark for benchmark, _ in groups):
        arms = [arm for benchmark, arm in groups if benchmark == name]
        pairs = [
            pair(groups[name, first], groups[name, second])
            for first, second in itertools.combinations(arms, 2)
            if _asked(groups[name, first]) & _asked(groups[name, second])
        ]
        found += adjusted(pairs)
    return tuple(found)


def pair(first: Sequence[Row], second: Sequence[Row]) -> Paired:
    """Two arms on the samples and epochs both have. Raises InputError where they share none, or a key differs.

    The test is over groups of like samples, the epochs of a sample among them, and of the sum that the difference is
    made of. Of samples that stand alone it is McNemar's over samples.
    """
    theirs = {(row.sample, row.epoch): row for row in second}
    both = [(row, theirs[row.sample, row.epoch]) for row in first if (row.sample, row.epoch) in theirs]
    if not both:
        raise InputError(
            expected="two arms with samples in common", got="none", fix="give both the same --seed, --limit and --shard"
        )
    changed = next((one for one, other in both if one.target != other.target), None)
    if changed is not None:
        raise InputError(
            expected="runs of one version of a set",
            got=f"{changed.benchmark}'s {changed.sample} with two keys, {changed.target!r} one of them",
            fix="run both arms on the same data",
        )
    a, b = (np.array([rows[place].outcome == "right" for rows in both]) for place in (0, 1))
    groups = [row.group for row, _ in both]
    balance: Counter[str] = Counter()
    for group, one, other in zip(groups, a.tolist(), b.tolist(), strict=True):
        balance[group] += int(one) - int(other)
    test = sign_flips([*balance.values()])
    return Paired(
        benchmark=first[0].benchmark, first=first[0].arm, second=second[0].arm, n=len(both), groups=len(balance),
        test=test, difference=difference_of_shares(a, b, groups), adjusted_p=test.p,
    )  # fmt: skip


def taught(rows: Iterable[Row]) -> bool:
    """Whether an arm was made from the very samples, so that what it says of them measures nothing."""
    return any(row.said.trained_on_these == "yes" for row in rows)


def _asked(rows: Iterable[Row]) -> set[tuple[str, int]]:
    return {(row.sample, row.epoch) for row in rows}


def adjusted(pairs: Sequence[Paired]) -> list[Paired]:
    """The pairs with their p adjusted for being so many (Holm)."""
    p_values = holm({place: each.test.p for place, each in enumerate(pairs)})
    return [replace(each, adjusted_p=p_values[place]) for place, each in enumerate(pairs)]


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
    sure = [row for row in answered if row.said.confidence is not None]
    confidence = [row.said.confidence or 0.0 for row in sure]
    right = [row.outcome == "right" for row in sure]
    return Result(
        benchmark=rows[0].benchmark,
        arm=rows[0].arm,
        n=len(rows),
        samples=len({row.sample for row in rows}),
        groups=len({row.group for row in rows}),
        taught=taught(rows),
        outcomes={outcome: counts[outcome] for outcome in OUTCOMES},
        over_all=share_right(rows),
        over_answered=share_right(answered),
        scores=set_scores(rows),
        confident=len(sure),
        aurc=aurc(confidence, right),
        calibration_error=calibration_error(confidence, right),
        brier=brier(confidence, right),
        bins=reliability(confidence, right, groups=[row.group for row in sure]),
        curve=risk_coverage(confidence, right, asked=len(rows)),
        tokens=_mean_of([row.said.prompt_tokens + row.said.completion_tokens for row in rows]),
        chat_calls=_mean_of([row.said.chat_calls for row in rows]),
        tool_calls=_mean_of([row.said.tool_calls for row in rows]),
        seconds=_mean_of([row.said.seconds for row in rows]),
    )


def facets(rows: Sequence[Row]) -> tuple[Facet, ...]:
    """Each facet of one benchmark's rows that has two values or more, by name."""
    found = []
    arms = tuple(sorted({row.arm for row in rows}))
    for name in sorted({name for row in rows for name in row.facets}):
        counts = Counter(row.facets[name] for row in rows if name in row.facets)
        if len(counts) < 2:
            continue
        often = sorted(counts, key=lambda value: (-counts[value], value))
        kept = sorted(often if len(often) <= MOST_VALUES else often[: MOST_VALUES - 1])
        table = {value: tuple(_shares([row for row in rows if row.facets.get(name) == value], arms)) for value in kept}
        rest = [row for row in rows if name in row.facets and row.facets[name] not in table]
        if rest:
            table[OTHERS] = tuple(_shares(rest, arms))
        found.append(Facet(name=name, arms=arms, values=table))
    return tuple(found)


def _shares(rows: Sequence[Row], arms: Sequence[str]) -> list[Share]:
    return [share_right([row for row in rows if row.arm == arm]) for arm in arms]


def sets(rows: Iterable[Row]) -> tuple[Sets, ...]:
    """Each benchmark and arm that has sets, those of pairs and chains; each epoch of a set is a set of its own."""
    found = []
    for (benchmark, arm), group in by_arm(rows).items():
        together: dict[tuple[str, int], list[Row]] = {}
        for row in group:
            if row.asked_with:
                together.setdefault((row.asked_with, row.epoch), []).append(row)
        whole = [members for members in together.values() if len(members) > 1]
        if not whole:
            continue
        sizes = [len(members) for members in whole]
        found.append(
            Sets(
                benchmark=benchmark, arm=arm, fewest=min(sizes), most=max(sizes), alone=len(together) - len(whole),
                whole=_share_of(
                    [all(row.outcome == "right" for row in members) for members in whole],
                    [min(row.group for row in members) for members in whole],
                ),
                steps=_steps([row for members in whole for row in members]),
            )
        )  # fmt: skip
    return tuple(found)


def _steps(rows: Sequence[Row]) -> dict[str, float]:
    """By the facet `step`, which orders itself by the ids of its samples within their sets; questions of one step
    count as one, right when all of them are."""
    first: dict[str, list[tuple[int, int | str]]] = {}
    together: dict[tuple[str, str], list[bool]] = {}
    for row in rows:
        if "step" not in row.facets:
            return {}
        name, place = row.facets["step"], _counted(row.sample.removeprefix(row.asked_with))
        first[name] = min(first.get(name, place), place)
        together.setdefault((f"{row.asked_with} {row.epoch}", name), []).append(row.outcome == "right")
    order = sorted(first, key=lambda name: (first[name], name))
    found = step_accuracy(
        [all(good) for good in together.values()],
        [chain for chain, _ in together],
        [order.index(name) for _, name in together],
    )
    return {order[step]: share for step, share in found.items()}


def _counted(text: str) -> list[tuple[int, int | str]]:
    """A text in parts that sort as a reader counts: 9 before 10."""
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in re.findall(r"[0-9]+|[^0-9]+", text)]


def share_right(rows: Sequence[Row]) -> Share:
    """The share of rows that is right, its interval over groups where some hold several rows."""
    return _share_of([row.outcome == "right" for row in rows], [row.group for row in rows])


def _share_of(good: Sequence[bool], groups: Sequence[str]) -> Share:
    low, high = share_interval(good, groups)
    return Share(right=sum(good), n=len(good), low=low, high=high)


def _mean_of(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else math.nan
