"""Bootstrap intervals of measured figures, over pictures or over the groups they fall into."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...card import Figure

DRAWS = 2000


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
    statistic: Callable[[NDArray[np.int64]], float],
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


def interval(
    statistic: Callable[[NDArray[np.int64]], float], groups: Sequence[str], *, draws: int = DRAWS, seed: int = 0
) -> tuple[float, float]:
    """The 2.5th and 97.5th percentile of `statistic` over items drawn anew, whole groups at a time.

    Draws for which the statistic is NaN (an AUROC of one class) are left out.
    """
    names = sorted(set(groups))
    members = [np.flatnonzero(np.array(groups, dtype=object) == name) for name in names]
    rng = np.random.default_rng(seed)
    drawn: list[Any] = []
    for _ in range(draws):
        chosen = rng.integers(0, len(names), len(names))
        drawn.append(statistic(np.concatenate([members[k] for k in chosen])))
    low, high = np.nanpercentile(np.array(drawn, dtype=np.float64), (2.5, 97.5))
    return float(low), float(high)
