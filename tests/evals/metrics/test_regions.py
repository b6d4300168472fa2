"""Masks against each other: overlap and borders by trying all points, and against DeepMind's surface-distance."""

from __future__ import annotations

import importlib
import itertools
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from polyclinic.core.errors import InputError
from polyclinic.evals.metrics.regions import Surfaces, dice, hd95, iou, surface_dice, surfaces

SPACINGS = ((1.0, 1.0, 1.0), (0.7, 1.3, 2.9), (5.0, 0.5, 0.5))
MASKS = st.tuples(st.integers(1, 6), st.integers(1, 6)).flatmap(
    lambda shape: st.tuples(arrays(np.bool_, shape), arrays(np.bool_, shape))
)
VOLUMES = st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4)).flatmap(
    lambda shape: st.tuples(arrays(np.bool_, shape), arrays(np.bool_, shape))
)


def contour(mask: np.ndarray, spacing: tuple[float, float]) -> list[tuple[tuple[float, float], float]]:
    """Every corner on the border of a picture, in mm, with the length of what joins the crossings around it.

    Around a corner lie four pixel centres in a ring; the border crosses each side of the ring whose ends differ, in its
    middle. Two crossings are joined; of four, each is joined around the pixel inside.
    """
    around = np.pad(mask, 1)
    found = []
    for i, j in itertools.product(range(mask.shape[0] + 1), range(mask.shape[1] + 1)):
        ring = [(i, j), (i, j + 1), (i + 1, j + 1), (i + 1, j)]
        sides = [(ring[k], ring[(k + 1) % 4]) for k in range(4)]
        crossed = [
            np.array([(a[0] + b[0]) / 2 * spacing[0], (a[1] + b[1]) / 2 * spacing[1]])
            for a, b in sides
            if around[a] != around[b]
        ]
        if len(crossed) == 2:
            found.append(((i * spacing[0], j * spacing[1]), float(np.linalg.norm(crossed[0] - crossed[1]))))
        elif len(crossed) == 4:
            found.append(((i * spacing[0], j * spacing[1]), 2 * float(np.linalg.norm(crossed[0] - crossed[1]))))
    return found


def nearest(ours: list[Any], theirs: list[Any]) -> list[float]:
    return [min((math.dist(a, b) for b, _ in theirs), default=math.inf) for a, _ in ours]


def within(distances: list[float], sizes: list[float], share: float) -> float:
    """The least distance within which at least this share of the border lies."""
    total = sum(sizes)
    return min(
        far
        for far in distances
        if sum(size for near, size in zip(distances, sizes, strict=True) if near <= far) >= share * total
    )


def rows(distances: Any, sizes: Any) -> np.ndarray:
    """Distances with their sizes in an order that rounding does not decide."""
    table = np.round(np.stack([distances, sizes], axis=1), 9)
    return table[np.lexsort(table.T)]


@given(MASKS, st.sampled_from(SPACINGS), st.sampled_from([0.0, 0.7, 1.0, 2.5]))
def test_borders_of_pictures_are_those_drawn_corner_by_corner(masks: Any, spacing: Any, tolerance: float) -> None:
    said, truth = masks
    spacing = spacing[1:]
    found = surfaces(said, truth, spacing)
    ours, theirs = contour(said, spacing), contour(truth, spacing)
    for points, others, distances, sizes in (
        (ours, theirs, found.said_mm, found.said_size),
        (theirs, ours, found.truth_mm, found.truth_size),
    ):
        expected = rows(nearest(points, others), [size for _, size in points])
        np.testing.assert_allclose(rows(distances, sizes), expected, atol=1e-8)
    if ours and theirs:
        pairs = [
            (list(found.said_mm), list(found.said_size)), (list(found.truth_mm), list(found.truth_size)),
        ]  # fmt: skip
        bounds = [max(within(*pair, share) for pair in pairs) for share in (0.95 - 1e-9, 0.95 + 1e-9)]
        assert bounds[0] <= hd95(found) <= bounds[1]
        near = sum(
            size for distances, sizes in pairs for far, size in zip(distances, sizes, strict=True) if far <= tolerance
        )
        assert surface_dice(found, tolerance) == pytest.approx(near / sum(sum(sizes) for _, sizes in pairs))


@given(MASKS)
def test_dice_and_iou_are_shares_of_pixels(masks: Any) -> None:
    said, truth = ({*map(tuple, np.argwhere(mask))} for mask in masks)
    assert dice(*masks) == pytest.approx(2 * len(said & truth) / (len(said) + len(truth)) if said | truth else 1.0)
    assert iou(*masks) == pytest.approx(len(said & truth) / len(said | truth) if said | truth else 1.0)


@given(arrays(np.bool_, (5, 5)), st.sampled_from(SPACINGS))
def test_a_column_has_the_area_of_its_outline_times_its_height(mask: np.ndarray, spacing: Any) -> None:
    length = sum(size for _, size in contour(mask, spacing[1:]))
    areas = [surfaces(np.stack([mask] * n), np.stack([mask] * n), spacing).said_size.sum() for n in (3, 4)]
    assert areas[1] - areas[0] == pytest.approx(length * spacing[0])


def test_a_voxel_has_the_area_of_the_octahedron_around_it() -> None:
    voxel = np.ones((1, 1, 1), dtype=np.bool_)
    assert surfaces(voxel, voxel, (1, 1, 1)).said_size.sum() == pytest.approx(math.sqrt(3))


@pytest.fixture(scope="module")
def reference() -> Any:
    """DeepMind's package. Its release is older than numpy 2 and asks for names that are gone."""
    package = importlib.import_module("surface_distance")
    from scipy import ndimage

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(np, "Inf", np.inf, raising=False)
        patch.setattr(package.metrics, "ndimage", SimpleNamespace(filters=ndimage, morphology=ndimage))
        yield package


@given(st.one_of(MASKS, VOLUMES), st.sampled_from(SPACINGS), st.sampled_from([0.0, 0.7, 1.0, 2.5]))
def test_borders_agree_with_surface_distance(reference: Any, masks: Any, spacing: Any, tolerance: float) -> None:
    said, truth = masks
    spacing = spacing[-said.ndim :]
    found = surfaces(said, truth, spacing)
    theirs = reference.compute_surface_distances(truth, said, spacing)
    for ours, distances, sizes in (
        ((found.truth_mm, found.truth_size), "distances_gt_to_pred", "surfel_areas_gt"),
        ((found.said_mm, found.said_size), "distances_pred_to_gt", "surfel_areas_pred"),
    ):
        np.testing.assert_allclose(rows(*ours), rows(theirs[distances], theirs[sizes]), atol=1e-8)
    if said.any() and truth.any():
        assert surface_dice(found, tolerance) == pytest.approx(
            reference.compute_surface_dice_at_tolerance(theirs, tolerance)
        )
        expected = [reference.compute_robust_hausdorff(theirs, percent) for percent in (95 - 1e-7, 95 + 1e-7)]
        assert min(expected) - 1e-9 <= hd95(found) <= max(expected) + 1e-9


@given(MASKS, st.sampled_from(SPACINGS))
def test_what_lies_around_changes_nothing(masks: Any, spacing: Any) -> None:
    wide = [np.pad(mask, ((2, 0), (1, 3))) for mask in masks]
    one, other = (surfaces(*pair, spacing[1:]) for pair in (masks, wide))
    assert hd95(one) == hd95(other)
    assert surface_dice(one, 1.0) == pytest.approx(surface_dice(other, 1.0))


def test_distances_are_in_mm_along_each_axis() -> None:
    truth = np.zeros((20, 20), dtype=np.bool_)
    truth[5:15, 5:15] = True
    assert hd95(surfaces(np.roll(truth, 2, axis=0), truth, (0.5, 3.0))) == pytest.approx(1.0)
    assert hd95(surfaces(np.roll(truth, 2, axis=1), truth, (0.5, 3.0))) == pytest.approx(6.0)


def test_empty_masks() -> None:
    full, empty = np.ones((4, 4), dtype=np.bool_), np.zeros((4, 4), dtype=np.bool_)
    both = surfaces(empty, empty, (1, 1))
    assert (dice(empty, empty), iou(empty, empty), hd95(both), surface_dice(both, 1.0)) == (1.0, 1.0, 0.0, 1.0)
    for one, other in ((full, empty), (empty, full)):
        found = surfaces(one, other, (1, 1))
        assert (dice(one, other), iou(one, other), surface_dice(found, 1e9)) == (0.0, 0.0, 0.0)
        assert hd95(found) == math.inf
        assert hd95(found, one_empty_mm=7.0) == 7.0


def test_a_point_at_the_tolerance_is_within() -> None:
    found = Surfaces(
        said_mm=np.array([1.0, 2.0]), said_size=np.array([1.0, 3.0]),
        truth_mm=np.array([2.0]), truth_size=np.array([4.0]),
    )  # fmt: skip
    assert surface_dice(found, 1.0) == pytest.approx(1 / 8)
    assert surface_dice(found, 2.0) == 1.0
    assert surface_dice(found, 3.3 - 1.3) == 1.0  # 2.0 but for rounding: a little less


def test_what_cannot_be_compared_is_refused() -> None:
    mask = np.ones((3, 3), dtype=np.bool_)
    with pytest.raises(InputError, match="two boolean masks of one shape"):
        dice(mask, mask[:2])
    with pytest.raises(InputError, match="two boolean masks of one shape"):
        iou(mask, mask.astype(np.uint8))  # type: ignore[arg-type]
    for masks, spacing in ((mask, (1.0,)), (mask, (1.0, 0.0)), (mask[0], (1.0,))):
        with pytest.raises(InputError, match="2 or 3 axes"):
            surfaces(masks, masks, spacing)


@pytest.mark.parametrize(("sizes", "distance"), [((949.5, 50.5), 2.0), ((95.0, 5.0), 1.0)])
def test_the_95th_percentile_is_the_least_distance_that_holds_95_percent(
    sizes: tuple[float, float], distance: float
) -> None:
    said = np.array([1.0, 2.0]), np.array(sizes)
    found = Surfaces(said_mm=said[0], said_size=said[1], truth_mm=np.array([0.0]), truth_size=np.array([1.0]))
    assert hd95(found) == distance
