"""Which pictures to label next, so that few labels teach most: doubtful ones, and unlike each other.

Before there are two classes the picture furthest from all labelled ones is asked for (Gonzalez, Theor Comput Sci
1985;38:293-306), the first being the one nearest to the middle. From then on the likeliest classes of every picture
are compared (margin sampling, Scheffer et al., IDA 2001), and of the most doubtful ones that is taken which lies
furthest from all labelled and all chosen ones. It shows no picture and asks nobody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from .linear import Examples, regression, softmax

Floats: TypeAlias = npt.NDArray[np.float64]

STRENGTH = 10.0**-2.25
"""The penalty of the classifier that asks: strong, since it sees few labels, and never chosen anew while it asks."""

DOUBTFUL = 0.1
"""The share of the unlabelled pictures among which the one unlike all others is looked for."""


def most_informative(
    vectors: Floats, labelled: Mapping[int, str], count: int, *, left_out: Sequence[int] = (), seed: int = 0
) -> list[int]:
    """At most `count` rows of `vectors` (n, d, unit length) to label next; `labelled` gives the classes of some rows.

    Rows `left_out` are not asked for. Equal input gives equal rows; chance has no part in it, whatever the `seed`.
    """
    free = _free(len(vectors), labelled, left_out)
    chosen: list[int] = []
    doubts = _doubts(vectors, labelled)
    while free and len(chosen) < count:
        pool = free
        if doubts is not None:
            most = max(count, int(np.ceil(DOUBTFUL * (len(free) + len(chosen)))))
            pool = sorted(free, key=lambda row: (-doubts[row], row))[:most]
        seen = [*labelled, *chosen]
        row = _furthest(vectors, pool, seen) if seen else _middlemost(vectors, pool)
        chosen.append(row)
        free.remove(row)
    return chosen


def at_random(
    vectors: Floats, labelled: Mapping[int, str], count: int, *, left_out: Sequence[int] = (), seed: int = 0
) -> list[int]:
    """The same by chance alone, to compare with."""
    order = np.random.default_rng(seed).permutation(len(vectors))
    free = set(_free(len(vectors), labelled, left_out))
    return [int(row) for row in order if int(row) in free][:count]


def _free(count: int, labelled: Mapping[int, str], left_out: Sequence[int]) -> list[int]:
    out = set(left_out)
    return [row for row in range(count) if row not in labelled and row not in out]


def _doubts(vectors: Floats, labelled: Mapping[int, str]) -> Floats | None:
    """For each row 1 where its two likeliest classes are level and 0 where one is certain; None before two classes."""
    names = sorted(set(labelled.values()))
    if len(names) < 2:
        return None
    rows = sorted(labelled)
    classes = np.array([names.index(labelled[row]) for row in rows], dtype=np.int64)
    examples = Examples(vectors=vectors[rows], classes=classes, count=len(names), groups=tuple(map(str, rows)))
    weights, bias = regression(examples, (STRENGTH,))[0]
    shares = np.sort(softmax(vectors @ weights + bias), axis=1)
    return np.asarray(1.0 - (shares[:, -1] - shares[:, -2]), dtype=np.float64)


def _furthest(vectors: Floats, pool: Sequence[int], seen: Sequence[int]) -> int:
    nearest = (vectors[list(pool)] @ vectors[list(seen)].T).max(axis=1)
    return pool[int(nearest.argmin())]


def _middlemost(vectors: Floats, pool: Sequence[int]) -> int:
    return pool[int((vectors[list(pool)] @ vectors.mean(axis=0)).argmax())]
