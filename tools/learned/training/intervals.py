"""Measured figures with their bootstrap intervals, over pictures or over the groups they fall into."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...bootstrap import Statistic, interval
from ...card import Figure


def figure(
    metric: str,
    dataset: str,
    values: Sequence[float],
    groups: Sequence[str],
    *,
    digits: int = 3,
    about: tuple[str, ...] = (),
) -> Figure:
    """The mean of one value per item as a Figure, with its interval over groups. NaN: the item has no such value."""
    kept = [(value, group) for value, group in zip(values, groups, strict=True) if not np.isnan(value)]
    numbers = np.array([value for value, _ in kept])

    def mean(index: NDArray[np.int64]) -> float:
        return float(numbers[index].mean())

    return figure_of(metric, dataset, mean, [group for _, group in kept], digits=digits, about=about)


def figure_of(
    metric: str,
    dataset: str,
    statistic: Statistic,
    groups: Sequence[str],
    *,
    digits: int = 3,
    about: tuple[str, ...] = (),
) -> Figure:
    """A statistic of item indices as a Figure: its value on all items, its 95 % interval over groups."""
    low, high = interval(statistic, groups)
    return Figure(
        metric=metric,
        value=round(statistic(np.arange(len(groups))), digits),
        dataset=dataset,
        n=len(groups),
        interval=(round(low, digits), round(high, digits)),
        about=about,
    )
