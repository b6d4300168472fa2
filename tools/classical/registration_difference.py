"""An earlier picture of the same view laid over the present one, and what differs between them. It names no cause.

Method: several rigid starts (phase correlation, Reddy & Chatterji, IEEE Trans Image Process 1996;5:1266-1271; and ORB
key points with RANSAC, Rublee et al., ICCV 2011) are refined from coarse to fine to an affine transform by
Gauss-Newton steps on standardised grey levels (Lucas & Kanade, IJCAI 1981; Baker & Matthews, Int J Comput Vis
2004;56:221-255). The pictures' local brightness is then brought into line, and a region counts as changed where the
smoothed difference exceeds the noise that the rest of the overlap shows, edges allowed for. Works at a long side of
384 px.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...core.errors import ToolRefusedError
from ..card import ComparedImagesArguments, Figure, Measurement, Tool, ToolCard, ToolOutput, measured
from ..imaging.raster import resized
from ..pictures import COLOURS, Drawn, as_picture, overlay

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..imaging.store import ImageStore

_SIDE_PX = 384
_LEVELS, _STEPS = (4, 2, 1), 25
_LEAST_SIMILARITY, _LEAST_OVERLAP = 0.2, 0.4
_LARGEST_SCALE = 1.4
_NOISE_UNITS, _BLUR_PX = 6.0, 2.5
_SMALLEST_SHARE = 0.0008


class Difference(ToolOutput):
    """How the earlier picture was moved, how well it fits, and how much of the overlap changed."""

    shift: Measurement
    turn: Measurement
    scale: Measurement
    overlap: Measurement
    similarity: Measurement
    changed_area: Measurement
    regions: tuple[Measurement, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Aligned:
    """The earlier picture moved onto the present one, both (H, W) at working size, where they overlap, and the affine
    `matrix` (2, 3) that leads from a place (x, y) of the present picture to the earlier one's, at working size."""

    present: NDArray[np.float32]
    moved: NDArray[np.float32]
    overlap: NDArray[np.bool_]
    matrix: NDArray[np.float64]
    similarity: float


def align(present: NDArray[np.float32], earlier: NDArray[np.float32]) -> Aligned:
    """Lay `earlier` (h, w) over `present` (H, W); both are grey levels at working size."""
    import numpy as np

    fixed, moving = _standardised(present), _standardised(earlier)
    best = max(
        (_refined(fixed, moving, start, _LEVELS[:1]) for start in _starts(fixed, moving)),
        key=lambda matrix: _similarity(fixed, *_warped(moving, matrix, fixed.shape)),
    )
    matrix = _refined(fixed, moving, best, _LEVELS)
    moved, overlap = _warped(earlier, matrix, fixed.shape)
    return Aligned(
        present=present, moved=moved, overlap=overlap, matrix=np.asarray(matrix),
        similarity=_agreement(present, moved, overlap),
    )  # fmt: skip


def _agreement(present: NDArray[np.float32], moved: NDArray[np.float32], overlap: NDArray[np.bool_]) -> float:
    """The correlation of fine detail away from borders and black parts; 0.0 where hardly any is left.

    Outlines of a field of view or of a thorax agree between any two people; vessels, ribs and strands do not.
    """
    import numpy as np
    from scipy import ndimage

    black = 0.08 * float(np.percentile(present, 99))
    dark = ndimage.binary_dilation((present < black) | (moved < black), iterations=10)
    where = ndimage.binary_erosion(overlap, iterations=8) & ~dark
    if where.sum() < 400:
        return 0.0
    fine = []
    for picture in (present, moved):
        smooth = ndimage.gaussian_filter(picture, 1.5)
        detail = (smooth - ndimage.gaussian_filter(smooth, 5.0))[where]
        fine.append(np.clip(detail / max(2.0 * float(np.abs(detail).mean()), 1e-6), -1.0, 1.0))
    spread = float(fine[0].std() * fine[1].std())
    return 0.0 if spread < 1e-6 else float(np.cov(fine[0], fine[1], bias=True)[0, 1]) / spread


def _standardised(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Grey levels against their surroundings in units of the spread there, so that exposure does not matter."""
    import numpy as np
    from scipy import ndimage

    smooth = ndimage.gaussian_filter(grey, 1.0)
    wide = 0.08 * max(grey.shape)
    above = smooth - ndimage.gaussian_filter(smooth, wide)
    spread = np.sqrt(ndimage.gaussian_filter(above**2, 2.0 * wide))
    return np.asarray(above / np.maximum(spread, 0.02 * float(np.ptp(smooth)) + 1e-6), dtype=np.float32)


def _starts(fixed: NDArray[np.float32], moving: NDArray[np.float32]) -> list[NDArray[np.float64]]:
    """Where to begin: as they are, shifted by phase correlation, turned and scaled by key points."""
    import numpy as np
    from skimage.registration import phase_cross_correlation

    height, width = fixed.shape
    scale = np.diag([moving.shape[1] / width, moving.shape[0] / height])
    same = np.hstack([scale, np.zeros((2, 1))])
    starts = [same]
    stretched, _ = _warped(moving, same, fixed.shape)
    shift, _, _ = phase_cross_correlation(fixed, stretched, normalization=None)
    starts.append(np.hstack([scale, scale @ -np.array([[shift[1]], [shift[0]]])]))
    by_points = _by_key_points(fixed, stretched)
    if by_points is not None:
        starts.append(np.hstack([scale @ by_points[:, :2], scale @ by_points[:, 2:]]))
    return starts


def _by_key_points(fixed: NDArray[np.float32], moving: NDArray[np.float32]) -> NDArray[np.float64] | None:
    """The similarity transform (2, 3) that most matched ORB key points agree on; None where too few do."""
    import numpy as np
    from skimage.feature import ORB, match_descriptors
    from skimage.measure import ransac
    from skimage.transform import SimilarityTransform

    described = []
    for picture in (fixed, moving):
        points = ORB(n_keypoints=400, fast_threshold=0.03)
        try:
            points.detect_and_extract(np.clip(picture / 8.0 + 0.5, 0.0, 1.0).astype(np.float64))
        except (RuntimeError, IndexError):  # what it raises where it finds no corner
            return None
        places: NDArray[np.float64] = np.asarray(points.keypoints)[:, ::-1]
        described.append((places, np.asarray(points.descriptors)))
    pairs = match_descriptors(described[0][1], described[1][1], cross_check=True, max_ratio=0.9)
    if len(pairs) < 8:
        return None
    ours, theirs = described[0][0][pairs[:, 0]], described[1][0][pairs[:, 1]]
    found, agreeing = ransac(
        (ours, theirs), SimilarityTransform, min_samples=3, residual_threshold=4.0, max_trials=300, rng=0
    )
    if agreeing is None or int(np.sum(agreeing)) < 6:
        return None
    return np.asarray(found.params[:2], dtype=np.float64)


def _warped(
    moving: NDArray[np.float32], matrix: NDArray[np.float64], shape: tuple[int, ...]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """`moving` as seen through `matrix` on a page of `shape`, and where it reaches."""
    import numpy as np
    from scipy import ndimage

    swapped = matrix[::-1, [1, 0, 2]]  # (row, column) order
    seen = ndimage.affine_transform(
        moving, swapped[:, :2], swapped[:, 2], output_shape=shape, order=1, mode="constant", cval=np.nan
    )
    reached = np.isfinite(seen)
    return np.where(reached, seen, 0.0).astype(np.float32), reached


def _similarity(fixed: NDArray[np.float32], warped: NDArray[np.float32], overlap: NDArray[np.bool_]) -> float:
    """Normalised cross-correlation within the overlap, 0.0 where it is small."""
    import numpy as np

    if overlap.mean() < 0.25:
        return 0.0
    one, other = fixed[overlap], warped[overlap]
    spread = float(one.std() * other.std())
    return 0.0 if spread < 1e-6 else float(np.mean((one - one.mean()) * (other - other.mean()))) / spread


def _refined(
    fixed: NDArray[np.float32], moving: NDArray[np.float32], start: NDArray[np.float64], levels: tuple[int, ...]
) -> NDArray[np.float64]:
    """`start` improved by Gauss-Newton steps on the grey levels, from coarse to fine."""
    import numpy as np
    from scipy import ndimage

    best = start.copy()
    for level in levels:
        one, other = (
            np.asarray(ndimage.gaussian_filter(picture, 0.6 * level)[::level, ::level]) for picture in (fixed, moving)
        )
        matrix = best.copy()
        matrix[:, 2] /= level
        matrix, kept = _gauss_newton(one, other, matrix), matrix
        if _similarity(one, *_warped(other, matrix, one.shape)) > _similarity(one, *_warped(other, kept, one.shape)):
            best = matrix
            best[:, 2] *= level
    return best


def _gauss_newton(
    fixed: NDArray[np.float32], moving: NDArray[np.float32], matrix: NDArray[np.float64]
) -> NDArray[np.float64]:
    import numpy as np

    rows, columns = (np.asarray(slope, dtype=np.float32) for slope in np.gradient(moving))
    y, x = np.mgrid[: fixed.shape[0], : fixed.shape[1]].astype(np.float64)
    middle, size = np.array([fixed.shape[1] / 2.0, fixed.shape[0] / 2.0]), max(fixed.shape) / 2.0
    u, v = (x - middle[0]) / size, (y - middle[1]) / size
    for _ in range(_STEPS):
        warped, overlap = _warped(moving, matrix, fixed.shape)
        if overlap.mean() < 0.25:
            return matrix
        down, across = (_warped(slope, matrix, fixed.shape)[0][overlap] for slope in (rows, columns))
        at = np.stack([u[overlap], v[overlap], np.ones(int(overlap.sum()))])
        jacobian = np.concatenate([across * at, down * at])
        error = fixed[overlap] - warped[overlap]
        weight = 1.0 / np.maximum(1.0, np.abs(error) / max(1.5 * float(np.median(np.abs(error))), 1e-6))  # Huber
        normal = (jacobian * weight) @ jacobian.T
        step = np.linalg.solve(normal + 1e-4 * np.trace(normal) / 6.0 * np.eye(6), jacobian @ (weight * error))
        change = step.reshape(2, 3)
        linear = change[:, :2] / size
        matrix = matrix + np.hstack([linear, change[:, 2:] - linear @ middle[:, None]])
        if float(np.abs(step).max()) < 0.01:
            break
    return matrix


def changes(found: Aligned) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Labels (H, W) of the regions that changed, and the difference, present less earlier, in units of its noise."""
    import numpy as np
    from scipy import ndimage

    deep = ndimage.binary_erosion(found.overlap, iterations=6)
    if deep.sum() < 100:
        return np.zeros(found.overlap.shape, dtype=np.int32), np.zeros(found.overlap.shape, dtype=np.float32)
    moved = _in_line(found.moved, found.present, deep)
    raw = np.where(deep, found.present - moved, 0.0)
    weight = np.maximum(ndimage.gaussian_filter(deep.astype(np.float32), _BLUR_PX), 1e-3)
    smooth = ndimage.gaussian_filter(raw, _BLUR_PX) / weight
    steep = np.maximum(*(ndimage.gaussian_gradient_magnitude(picture, 1.5) for picture in (found.present, moved)))
    level = 1.4826 * float(np.median(np.abs(smooth[deep]))) + 1e-6
    slack = float(np.median(np.abs(smooth[deep]) / (steep[deep] + level)))  # what a small misfit does at an edge
    noise = np.hypot(np.maximum(level, 0.004 * float(np.ptp(found.present[deep]))), slack * steep)
    units = np.where(deep, smooth / noise, 0.0).astype(np.float32)
    labels, _ = ndimage.label(np.abs(units) > _NOISE_UNITS)
    sizes = np.bincount(labels.ravel())
    small = np.flatnonzero(sizes < max(12.0, _SMALLEST_SHARE * float(found.overlap.sum())))
    labels = np.where(np.isin(labels, small), 0, labels)
    labels = np.unique(labels, return_inverse=True)[1]
    return labels.reshape(deep.shape).astype(np.int32), units


def _in_line(moved: NDArray[np.float32], present: NDArray[np.float32], deep: NDArray[np.bool_]) -> NDArray[np.float32]:
    """`moved` with its broad brightness and contrast brought to those of `present`, medians guarding against change."""
    import numpy as np
    from scipy import ndimage

    low, high = (np.percentile(picture[deep], (5, 95)) for picture in (moved, present))
    gain = float(high[1] - high[0]) / max(float(low[1] - low[0]), 1e-6)
    even = (moved - float(np.median(moved[deep]))) * gain + float(np.median(present[deep]))
    wide = 0.12 * max(deep.shape)
    weight = np.maximum(ndimage.gaussian_filter(deep.astype(np.float32), wide), 1e-3)
    limit = 3.0 * float(np.median(np.abs((present - even)[deep]))) + 1e-6
    drift = np.clip(np.where(deep, present - even, 0.0), -limit, limit)
    return np.asarray(even + ndimage.gaussian_filter(drift, wide) / weight, dtype=np.float32)


def _opened(images: ImageStore, blob: str) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The picture as RGB at its own size, and its grey levels at working size."""
    import numpy as np

    picture = as_picture(images.open(blob))
    scale = min(1.0, _SIDE_PX / max(picture.shape[:2]))
    shape = (max(1, round(picture.shape[0] * scale)), max(1, round(picture.shape[1] * scale)))
    grey = resized(picture, shape).astype(np.float32).mean(axis=2)
    if min(grey.shape) < 32 or float(np.ptp(grey)) < 8.0:
        raise _refused("a picture that is too small or nearly blank")
    return picture, grey


def _run(arguments: ComparedImagesArguments, images: ImageStore) -> Difference:
    import numpy as np
    from scipy import ndimage

    picture, present = _opened(images, arguments.image)
    _, earlier = _opened(images, arguments.earlier)
    found = align(present, earlier)
    stretch = float(np.sqrt(abs(np.linalg.det(found.matrix[:, :2]))))
    usual = float(np.sqrt(np.prod(np.divide(earlier.shape, present.shape))))
    if found.similarity < _LEAST_SIMILARITY or not 1 / _LARGEST_SCALE < stretch / usual < _LARGEST_SCALE:
        raise _refused(f"pictures whose detail agrees only to {found.similarity:.2f} of 1 where they fit best")
    if found.overlap.mean() < _LEAST_OVERLAP:
        raise _refused(f"pictures that overlap in {100 * found.overlap.mean():.0f} % only")
    labels, units = changes(found)
    back = max(picture.shape[:2]) / max(present.shape)
    whole = (picture.shape[0], picture.shape[1])
    order = sorted(range(1, int(labels.max()) + 1), key=lambda number: -int((labels == number).sum()))[:_MOST_REGIONS]
    regions, drawn = [], [Drawn(mask=resized(found.overlap, whole), colour=COLOURS[6])]
    for place, number in enumerate(order, start=1):
        mask = resized(labels == number, whole)
        rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
        brighter = float(units[labels == number].mean()) > 0
        regions.append(
            measured(
                f"changed region {place}", 100.0 * float((labels == number).sum()) / float(found.overlap.sum()), "%",
                f"A region of {{}} of the overlap is {'brighter' if brighter else 'darker'} than in the earlier "
                "picture.", digits=2, box_px=box, mask=images.put_mask(mask), of=("changed area",),
            )
        )  # fmt: skip
        drawn.append(Drawn(mask=mask, label="brighter" if brighter else "darker", colour=COLOURS[1 if brighter else 0]))
    centre = np.array([present.shape[1], present.shape[0]]) / 2.0
    there = (found.matrix[:, :2] @ centre + found.matrix[:, 2]) / usual
    turn = float(np.degrees(np.arctan2(found.matrix[1, 0], found.matrix[0, 0])))
    changed = resized(labels > 0, whole)
    deep = ndimage.binary_erosion(found.overlap, iterations=6)
    return Difference(
        shift=measured(
            "shift between pictures", float(np.hypot(*(there - centre))) * back, "px",
            "The earlier picture was shifted by {} at its middle.", digits=0,
        ),
        turn=measured("turn between pictures", abs(turn), "deg", "The earlier picture was turned by {}.", digits=1),
        scale=measured(
            "scale between pictures", usual / stretch, "1", "The earlier picture was scaled by {}.", digits=3
        ),
        overlap=measured(
            "overlap of pictures", 100.0 * float(found.overlap.mean()), "%",
            "The earlier picture covers {} of the present one.", digits=0, mask=images.put_mask(resized(deep, whole)),
            of=("shift between pictures", "turn between pictures", "scale between pictures"),
        ),
        similarity=measured(
            "similarity of aligned pictures", found.similarity, "1",
            "Aligned, the fine detail of the pictures agrees to {} (1 is identical).", digits=2,
            of=("overlap of pictures",),
        ),
        changed_area=measured(
            "changed area", 100.0 * float((labels > 0).sum()) / float(found.overlap.sum()), "%",
            "{} of the overlap differ from the earlier picture beyond its noise.", digits=2,
            mask=images.put_mask(changed), of=("similarity of aligned pictures",),
        ),
        regions=tuple(regions),
        overlay=images.put_picture(overlay(picture, drawn)),
        limitations=(
            "A difference may come from breathing, posture or exposure as well as from disease.",
            "The alignment is affine: tissue that moved otherwise shows as changed.",
        ),
    )  # fmt: skip


def _refused(got: str) -> ToolRefusedError:
    return ToolRefusedError(
        expected="two pictures of the same view of one patient, that can be laid over each other",
        got=got,
        fix="name an earlier image of the same body part, view and modality",
    )


_MOST_REGIONS = 8

TOOL = Tool(
    card=ToolCard(
        name="registration_difference",
        version="1.0.0",
        summary="Lays an earlier picture of the same view over the present one and marks what differs beyond noise.",
        measures=("shift in px, turn in degrees, scale", "overlap and similarity", "changed area in %"),
        modalities=(),
        figures=(Figure(metric="todo", value=0.0, dataset="todo", n=1),),
        limits=(
            "The first figures are of pictures and their own moved, noisier copies; of two dates of one patient most "
            "pairs do not align well enough and are refused.",
            "A change that covers much of the overlap is taken for another exposure.",
        ),
    ),
    arguments=ComparedImagesArguments,
    output=Difference,
    run=_run,
)
