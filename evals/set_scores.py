"""The figures of a whole set that no single row has: average precision, AUROC, means with their intervals.

Intervals are over groups of like samples, whole groups at a time. What is undefined is left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..tools.bootstrap import interval, percentiles, resamples
from .metrics.classification import auroc
from .metrics.detection import curve
from .outcomes import ANSWERED, Place, Row
from .places import NEAR_PX
from .statistics.intervals import FEW_GROUPS, mean_interval, spread, wilson

SHARES = frozenset(
    {"Dice", "IoU", f"surface Dice at {NEAR_PX} px", "F1 at IoU 0.5", "IoU of what is there", "matched share"}
)
"""Scores from 0 to 1 of which 0 is that nothing was found."""

WITHIN_ONE = SHARES | {
    "exact", "token F1", "ROUGE-L", "chrF", "list F1", "citation recall", "citation precision",
}  # fmt: skip
"""All scores from 0 to 1; the others, distances and counts, have no upper end."""


@dataclass(frozen=True, kw_only=True)
class SetScore:
    """A figure of `n` rows with its 95 % interval, NaN where they are too few, or too like, to tell."""

    value: float
    low: float
    high: float
    n: int


def set_scores(rows: Sequence[Row]) -> Mapping[str, SetScore]:
    """The figures of the rows of one benchmark and arm, by name: the mean of every score of the answered rows, of
    shares also over all rows with 0 where there is no answer, and what boxes and probabilities amount to."""
    answered = [row for row in rows if row.outcome in ANSWERED]
    names = dict.fromkeys(name for row in answered for name in row.scores)
    found = _means(answered, names) | _over_all(rows, names) | _precisions(rows) | _of_chances(rows)
    return found | _unsupported([row for row in rows if row.said.claims])


def _figure(statistic: Callable[[NDArray[np.int64]], float], rows: Sequence[Row]) -> SetScore:
    groups = [row.group for row in rows]
    few = len(set(groups)) < FEW_GROUPS
    low, high = (math.nan, math.nan) if few else spread(interval(statistic, groups))
    return SetScore(value=statistic(np.arange(len(rows))), low=low, high=high, n=len(rows))


def _mean(values: Sequence[float], rows: Sequence[Row], *, most: float = 1.0) -> SetScore:
    """The mean of values from 0 to `most`."""
    low, high = mean_interval(values, [row.group for row in rows], least=0.0, most=most)
    return SetScore(value=float(np.mean(values)), low=low, high=high, n=len(rows))


def _unsupported(rows: Sequence[Row]) -> dict[str, SetScore]:
    """Of all claims of the rows that claim anything, the share that verification found unsupported or contradicted."""
    if not rows:
        return {}
    claims = np.array([row.said.claims for row in rows])
    unsupported = np.array([row.said.unsupported for row in rows])
    found = _figure(lambda index: float(unsupported[index].sum() / claims[index].sum()), rows)
    if math.isnan(found.low):  # draws cannot tell: as if all claims of a group had one fate
        groups = len({row.group for row in rows})
        low, high = wilson(found.value * groups, groups)
        found = replace(found, low=low, high=high)
    return {"unsupported claims": found}


def _means(rows: Sequence[Row], names: Mapping[str, None]) -> dict[str, SetScore]:
    found = {}
    for name in sorted(names):
        having = [row for row in rows if name in row.scores]
        most = 1.0 if name in WITHIN_ONE else math.inf
        found[f"mean {name}"] = _mean([row.scores[name] for row in having], having, most=most)
    return found


def _over_all(rows: Sequence[Row], names: Mapping[str, None]) -> dict[str, SetScore]:
    """So that a miss cannot better a mean by being left out: with 0 for whoever showed no place. A share that is not
    defined, of what is there where nothing is, stays out."""
    found = {}
    for name in sorted(SHARES & names.keys()):
        counted = [row for row in rows if name in row.scores or not _places_shown(row)]
        if any(name not in row.scores for row in counted):
            found[f"mean {name} over all"] = _mean([row.scores.get(name, 0.0) for row in counted], counted)
    return found


def _places_shown(row: Row) -> bool:
    return row.outcome in ANSWERED and (row.said.boxes is not None or bool(row.said.mask))


def _precisions(rows: Sequence[Row]) -> dict[str, SetScore]:
    """COCO's average precision of each label at an IoU of 0.5, and the means over labels, of the rows that show places;
    the means over all rows too, those without places as if they showed none."""
    having = [row for row in rows if _places_shown(row)]
    labels = sorted({place.label for row in rows for place in row.there})
    if not labels or not having:
        return {}
    found = _precisions_of(having, labels)
    if len(having) < len(rows):
        found |= {f"{name} over all": score for name, score in _precisions_of(rows, labels).items() if name in MEANS}
    return found


MEANS = ("mAP at IoU 0.5", "mAP at IoU 0.5 to 0.95")


def _precisions_of(rows: Sequence[Row], labels: Sequence[str]) -> dict[str, SetScore]:
    curves = [
        curve(
            label, [[(place.label, place.box) for place in row.there] for row in rows],
            [[(place.label, place.box, place.score) for place in _shown(row, labels)] for row in rows],
        )
        for label in labels
    ]  # fmt: skip
    groups = [row.group for row in rows]

    def figures(index: NDArray[np.int64]) -> list[float]:
        table = np.stack([each.precision(index) for each in curves])
        found = table[~np.isnan(table[:, 0])]  # without labels of which no draw holds one
        means = [found[:, 0].mean(), found.mean()] if len(found) else [math.nan, math.nan]
        return [*means, *table[:, 0]]

    names = [*MEANS, *(f"{label} AP at IoU 0.5".strip() for label in labels[:8])]
    drawn = np.array([figures(index) for index in resamples(groups)]) if len(set(groups)) >= FEW_GROUPS else None
    found = {}
    for place, (name, value) in enumerate(zip(names, figures(np.arange(len(rows))), strict=False)):
        low, high = (math.nan, math.nan) if drawn is None else spread(percentiles(drawn[:, place], 0.95))
        found[name] = SetScore(value=float(value), low=low, high=high, n=len(rows))
    return found


def _shown(row: Row, labels: Sequence[str]) -> Sequence[Place]:
    """The boxes a row shows, without names where one thing is sought whatever it is called (see `places.there`)."""
    boxes = (row.said.boxes or ()) if _places_shown(row) else ()
    unnamed = all(not place.label for place in row.there) if row.there else "" in labels
    return [place.model_copy(update={"label": ""}) for place in boxes] if unnamed else boxes


def _of_chances(rows: Sequence[Row]) -> dict[str, SetScore]:
    """Of rows with a probability of every option, whether anything was claimed or not: the AUROC (of two options that
    of the first, of several the mean of each against the others) and how often the likeliest is right; and of all
    rows how often an option was claimed."""
    asked, rows = rows, [row for row in rows if row.said.chances]
    if not rows:
        return {}
    letters = sorted({letter for row in rows for letter in row.said.chances})
    truth = np.array([row.target.partition(":")[0] for row in rows])
    chances = {letter: np.array([row.said.chances.get(letter, 0.0) for row in rows]) for letter in letters}
    likeliest = np.array([min(row.said.chances, key=lambda k, row=row: (-row.said.chances[k], k)) for row in rows])  # type: ignore[misc]
    sought = letters[:1] if len(letters) == 2 else letters

    def ranked(index: NDArray[np.int64]) -> float:
        each = np.array([auroc(truth[index] == letter, chances[letter][index]) for letter in sought])
        return float(each[~np.isnan(each)].mean()) if not np.isnan(each).all() else math.nan

    return {
        "AUROC": _figure(ranked, rows),
        "accuracy of the likeliest option": _mean((likeliest == truth).astype(float).tolist(), rows),
        "share of pictures it decides": _mean([float(row.outcome in ANSWERED) for row in asked], asked),
    }
