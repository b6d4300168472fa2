"""Two masks of one picture or volume: overlap of their areas, and how far their borders lie apart.

Borders are those of DeepMind's surface-distance (Nikolov et al., JMIR 2021; Apache-2.0), in 2 and 3 dimensions: a point
of the border is a corner between pixels that are not all inside or all outside, and weighs the length (area in 3-D)
that marching squares (cubes) draws around it, in mm. Counting border pixels instead, as other packages do, makes a
slanted border weigh less than a straight one of the same length, a thick slice as much as a thin one, and a structure
of one pixel's width differ from nothing by its own pixels; the figures of the two definitions are not comparable. What
lies outside the picture is background: a mask that reaches the picture's edge has a border there.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ...core.errors import InputError

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]


def dice(said: Mask, truth: Mask) -> float:
    """2 |A and B| / (|A| + |B|) of two masks of one shape, any dimensions. Both empty: 1. One empty: 0."""
    both, total = _areas(said, truth)
    return 2.0 * both / total if total else 1.0


def iou(said: Mask, truth: Mask) -> float:
    """|A and B| / |A or B| of two masks of one shape, any dimensions. Both empty: 1. One empty: 0."""
    both, total = _areas(said, truth)
    return both / (total - both) if total else 1.0


@dataclass(frozen=True, kw_only=True)
class Surfaces:
    """The borders of two masks: for each point of one, its distance to the other in mm and its own length (mm) or
    area (mm²). An empty mask has no points, and every point of the other lies infinitely far from it."""

    said_mm: Floats
    said_size: Floats
    truth_mm: Floats
    truth_size: Floats


def surfaces(said: Mask, truth: Mask, spacing_mm: Sequence[float]) -> Surfaces:
    """The borders of two masks of one shape with 2 or 3 axes; `spacing_mm` is the distance of pixels along each axis.

    Distances are between points of the borders, exact and Euclidean. Raises InputError for other shapes or spacings.
    """
    said, truth = _masks(said, truth)
    if said.ndim not in (2, 3) or len(spacing_mm) != said.ndim or min(spacing_mm) <= 0:
        raise InputError(
            expected="masks with 2 or 3 axes and a spacing above 0 mm for each",
            got=f"shape {said.shape} and spacing {tuple(spacing_mm)!r}",
            fix="give the spacing in the order of the axes: (row, column) or (slice, row, column)",
        )
    box = _box_of(said | truth)
    ours, theirs = _codes(said[box]), _codes(truth[box])
    sizes = _sizes(tuple(float(step) for step in spacing_mm))
    (our_mm, our_size), (their_mm, their_size) = (
        (_to(other, spacing_mm)[_border(one)], sizes[one[_border(one)]])
        for one, other in ((ours, theirs), (theirs, ours))
    )
    return Surfaces(said_mm=our_mm, said_size=our_size, truth_mm=their_mm, truth_size=their_size)


def hd95(found: Surfaces, *, one_empty_mm: float = math.inf) -> float:
    """The greater of the two 95th percentiles of the distances from border to border, in mm.

    A percentile is the least distance within which at least 95 % of a border's length or area lies, never
    interpolated. Both empty: 0. One empty: `one_empty_mm`; infinite unless told, so that a miss cannot better a mean
    by being left out (challenges take the image's diagonal).
    """
    if not len(found.said_mm) and not len(found.truth_mm):
        return 0.0
    if not len(found.said_mm) or not len(found.truth_mm):
        return one_empty_mm
    return max(_percentile(found.said_mm, found.said_size), _percentile(found.truth_mm, found.truth_size))


def surface_dice(found: Surfaces, tolerance_mm: float) -> float:
    """The share of both borders, by length or area, that lies within `tolerance_mm` of the other (Nikolov et al.).

    A point at the very tolerance is within, rounding aside. Both empty: 1. One empty: 0.
    """
    whole, within = found.said_size.sum() + found.truth_size.sum(), tolerance_mm + 1e-9
    near = found.said_size[found.said_mm <= within].sum() + found.truth_size[found.truth_mm <= within].sum()
    return float(near / whole) if whole else 1.0


def _masks(said: Mask, truth: Mask) -> tuple[Mask, Mask]:
    said, truth = np.asarray(said), np.asarray(truth)
    if said.shape != truth.shape or said.dtype != np.bool_ or truth.dtype != np.bool_:
        raise InputError(
            expected="two boolean masks of one shape",
            got=f"{said.dtype} {said.shape} and {truth.dtype} {truth.shape}",
            fix="bring both to one grid and compare with a threshold",
        )
    return said, truth


def _areas(said: Mask, truth: Mask) -> tuple[int, int]:
    said, truth = _masks(said, truth)
    return int(np.count_nonzero(said & truth)), int(np.count_nonzero(said)) + int(np.count_nonzero(truth))


def _box_of(mask: Mask) -> tuple[slice, ...]:
    """The smallest box around a mask: no border point of it, and so no shortest way between two, lies outside."""
    if not mask.any():
        return tuple(slice(0, 0) for _ in mask.shape)
    extents = []
    for axis in range(mask.ndim):
        others = tuple(n for n in range(mask.ndim) if n != axis)
        along = np.flatnonzero(mask.any(axis=others))
        extents.append(slice(int(along[0]), int(along[-1]) + 1))
    return tuple(extents)


def _codes(mask: Mask) -> NDArray[np.uint8]:
    """Each corner between pixels, one more than pixels along each axis: which of the 4 or 8 around it are inside."""
    around = np.pad(mask, 1).astype(np.uint8)
    corners = list(itertools.product((0, 1), repeat=mask.ndim))
    code = np.zeros([size + 1 for size in mask.shape], np.uint8)
    for bit, corner in enumerate(corners):
        code += around[tuple(slice(at, at + size + 1) for at, size in zip(corner, mask.shape, strict=True))] << bit
    return code


def _border(code: NDArray[np.uint8]) -> Mask:
    return np.asarray((code != 0) & (code != (1 << (1 << code.ndim)) - 1))


def _to(code: NDArray[np.uint8], spacing_mm: Sequence[float]) -> Floats:
    """The distance of every corner to the nearest one of this border."""
    from scipy import ndimage

    border = _border(code)
    if not border.any():
        return np.full(code.shape, np.inf)
    return np.asarray(ndimage.distance_transform_edt(~border, sampling=tuple(spacing_mm)), dtype=np.float64)


def _percentile(distances: Floats, sizes: Floats, share: float = 0.95) -> float:
    order = np.argsort(distances, kind="stable")
    reached = np.cumsum(sizes[order])
    place = int(np.searchsorted(reached / reached[-1], share))
    return float(distances[order][min(place, len(order) - 1)])


_SQUARES: dict[tuple[tuple[int, ...], ...], tuple[tuple[int, int], ...]] = {
    ((1, 1),): ((1, 1),),
    ((1, 0), (1, 1)): ((2, 0),),
    ((0, 1), (1, 0)): ((1, 1), (1, 1)),
}
_CUBES: dict[tuple[tuple[int, ...], ...], tuple[tuple[int, int, int], ...]] = {
    ((1, 1, 1),): ((1, 1, 1),),
    ((1, 1, 0), (1, 1, 1)): ((2, 2, 0),) * 2,
    ((1, 0, 1), (1, 1, 0)): ((1, 1, 1),) * 2,
    ((1, 0, 1), (1, 1, 0), (1, 1, 1)): ((1, 1, 1), (2, 2, 2), (4, 0, 0)),
    ((1, 0, 0), (1, 0, 1), (1, 1, 0), (1, 1, 1)): ((4, 0, 0),) * 2,
    ((0, 1, 1), (1, 0, 1), (1, 1, 0)): ((1, 1, 1),) * 3,
    ((0, 1, 1), (1, 0, 1), (1, 1, 0), (1, 1, 1)): ((1, 1, 1), (1, 1, 1), (2, 2, 2), (2, 2, 2)),
    ((0, 1, 1), (1, 0, 0)): ((1, 1, 1),) * 2,
    ((0, 1, 1), (1, 0, 0), (1, 1, 1)): ((0, 2, 2), (0, 2, 2), (1, 1, 1)),
    ((0, 1, 1), (1, 0, 0), (1, 1, 0), (1, 1, 1)): ((0, 2, 2), (1, 1, 1), (2, 0, 2), (3, 3, 3)),
    ((0, 1, 1), (1, 0, 0), (1, 0, 1), (1, 1, 0)): ((1, 1, 1), (1, 1, 1), (2, 2, 2), (4, 0, 0)),
    ((0, 1, 0), (0, 1, 1), (1, 0, 0), (1, 0, 1)): ((2, 2, 0),) * 4,
    ((0, 0, 1), (0, 1, 0), (1, 0, 0), (1, 1, 1)): ((1, 1, 1),) * 4,
}  # fmt: skip
"""Which of the pixels around a corner are inside, and the normals of what is drawn there, in eighths of a face (cubes)
or halves of a side (squares), without their signs. Every other case is one of these turned, mirrored or with inside and
outside exchanged: so are all 256 entries of surface-distance's own table."""


@lru_cache(maxsize=64)
def _sizes(spacing_mm: tuple[float, ...]) -> Floats:
    """[4² or 2⁸]: the length or area drawn at a corner of each code, in mm or mm²."""
    wide = len(spacing_mm)
    parts = 2.0 if wide == 2 else 8.0
    # A normal along one axis stands for what spans the others.
    face = np.array([math.prod(spacing_mm) / step for step in spacing_mm]) / parts
    corners = {corner: bit for bit, corner in enumerate(itertools.product((0, 1), repeat=wide))}
    whole = (1 << len(corners)) - 1
    sizes = np.zeros(whole + 1)
    for inside, normals in (_SQUARES if wide == 2 else _CUBES).items():
        for axes in itertools.permutations(range(wide)):
            turned = np.array(normals, dtype=np.float64)[:, axes]
            size = float(np.linalg.norm(turned * face, axis=1).sum())
            for mirror in itertools.product((0, 1), repeat=wide):
                placed = [tuple(corner[axis] ^ mirror[axis] for axis in axes) for corner in inside]
                code = sum(1 << corners[corner] for corner in placed)
                sizes[[code, whole - code]] = size
    sizes.setflags(write=False)
    return sizes
