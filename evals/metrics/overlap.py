"""What was said against what is there, as three counts and the shares made of them. It does not know how they met."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """`hits` of the `said` are among the `there`, one for one.

    A share of nothing is NaN: the precision where nothing was said, the recall where nothing is there. F1, which is
    2 hits / (said + there), is 1 where nothing is there and nothing was said, and 0 where one of the two is empty.
    """

    hits: int
    said: int
    there: int

    @property
    def precision(self) -> float:
        return self.hits / self.said if self.said else math.nan

    @property
    def recall(self) -> float:
        return self.hits / self.there if self.there else math.nan

    @property
    def f1(self) -> float:
        return 2 * self.hits / (self.said + self.there) if self.said + self.there else 1.0

    def __add__(self, other: Overlap) -> Overlap:
        """Both together: shares of a sum are pooled over items (micro), a mean of shares is not (macro)."""
        return Overlap(hits=self.hits + other.hits, said=self.said + other.said, there=self.there + other.there)


def one_to_one(cost: NDArray[np.float64]) -> tuple[tuple[int, int], ...]:
    """The pairs (row, column) of finite cost: as many as can be, each row and column once, of the least total cost.

    `cost` is [n, m] and not negative; infinite cost says that two never pair. By optimal assignment (Kuhn 1955, as
    scipy solves it), so that the order of rows and columns decides among equally good pairings only.
    """
    from scipy.optimize import linear_sum_assignment

    allowed = np.isfinite(cost)
    if not allowed.any():
        return ()
    # One pair more must be worth more than any saving of cost among the others.
    forbidden = (float(cost[allowed].max()) + 1.0) * (min(cost.shape) + 1)
    rows, columns = linear_sum_assignment(np.where(allowed, cost, forbidden))
    return tuple((int(i), int(j)) for i, j in zip(rows, columns, strict=True) if allowed[i, j])
