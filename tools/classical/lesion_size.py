"""One lesion that somebody points at: its border, its two diameters, its shape and its texture. It finds none itself.

Method: along rays from the box's middle or the point, the border is the closed path where the picture departs most from
the colour of the core (dynamic programming after Timp & Karssemeijer, Med Phys 2004;31:958-971). Diameters follow
RECIST 1.1 (Eisenhauer et al., Eur J Cancer 2009;45:228-247): the longest in the plane, and the longest at right angles
to it. Texture: grey-level co-occurrence (Haralick et al., IEEE Trans Syst Man Cybern 1973;3:610-621) at a distance of
one pixel, 32 levels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...core.errors import ToolRefusedError
from ..card import Box, Figure, Measurement, ScaledImageArguments, Tool, ToolCard, ToolOutput, measured
from ..imaging.raster import resized
from ..pictures import COLOURS, Drawn, as_picture, overlay

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..imaging.store import ImageStore

_RAYS, _JUMP, _SMOOTH = 72, 2, 0.3
_HOLD, _OUTSIDE = 32.0, 0.3
_WORKING_RADIUS_PX = 96.0
_LEAST_PX, _LEAST_CONTRAST = 12, 1.0
_LEVELS = 32


class PromptArguments(ScaledImageArguments):
    """Where the lesion is, in pixels of the picture: a `box` around it (better), or a `point` (x, y) inside it."""

    box: Box | None = None
    point: tuple[int, int] | None = None


class LesionSize(ToolOutput):
    """Diameters and area in mm where the spacing is known, else in px; shape; grey levels; texture."""

    long_axis: Measurement
    short_axis: Measurement
    area: Measurement
    eccentricity: Measurement
    solidity: Measurement
    circularity: Measurement
    mean: Measurement
    spread: Measurement
    contrast: Measurement
    homogeneity: Measurement


@dataclass(frozen=True, kw_only=True)
class Axes:
    """Both diameters of a region, as lengths in mm or px, and as the two end points (x, y) in px of each."""

    long: float
    short: float
    long_ends: tuple[tuple[float, float], tuple[float, float]]
    short_ends: tuple[tuple[float, float], tuple[float, float]]


def from_box(picture: NDArray[np.uint8], box: Box) -> NDArray[np.bool_]:
    """The region (H, W) in `picture` (H, W, 3) that fills `box`; its border stays near the ellipse that fills it."""
    import numpy as np

    left, top, right, bottom = box
    reach = np.linspace(0.1, 1.25, 60)
    middle, radii = ((left + right - 1) / 2.0, (top + bottom - 1) / 2.0), ((right - left) / 2.0, (bottom - top) / 2.0)
    return _region_around(picture, middle, radii, reach, held=_HOLD * (reach - 1.0) ** 2, core=0.5)


def from_point(picture: NDArray[np.uint8], point: tuple[int, int]) -> NDArray[np.bool_]:
    """The region (H, W) around `point` (x, y) in `picture` (H, W, 3): the sharpest border within 0.4 of its side."""
    import numpy as np

    farthest = 0.4 * min(picture.shape[:2])
    reach = np.geomspace(0.03, 1.0, 70)
    return _region_around(picture, point, (farthest, farthest), reach, held=np.zeros(70), core=0.08)


def _region_around(
    picture: NDArray[np.uint8],
    middle: tuple[float, float],
    radii: tuple[float, float],
    reach: NDArray[np.float64],
    *,
    held: NDArray[np.float64],
    core: float,
) -> NDArray[np.bool_]:
    """The star-shaped region (H, W) whose border departs most from the colour of the `core` share of `radii`.

    `reach` are the places along each ray where the border may lie, in `radii`, and `held` what each of them costs.
    """
    import numpy as np
    from scipy import ndimage
    from skimage.color import rgb2lab
    from skimage.draw import polygon2mask

    scale = max(1.0, min(radii) / _WORKING_RADIUS_PX)
    shape = (max(1, round(picture.shape[0] / scale)), max(1, round(picture.shape[1] / scale)))
    down, across = (small / side for small, side in zip(shape, picture.shape[:2], strict=True))
    blur = max(1.0, 0.04 * min(radii[0] * across, radii[1] * down))
    lab = ndimage.gaussian_filter(rgb2lab(resized(picture, shape)), (blur, blur, 0.0))
    angles = 2.0 * np.pi * np.arange(_RAYS)[:, None] / _RAYS
    y, x = middle[1] + radii[1] * reach * np.sin(angles), middle[0] + radii[0] * reach * np.cos(angles)
    at = [(y + 0.5) * down - 0.5, (x + 0.5) * across - 0.5]
    along = np.stack([ndimage.map_coordinates(plane, at, order=1, mode="nearest") for plane in lab.T.swapaxes(1, 2)])
    typical = np.median(along[:, :, reach <= core].reshape(3, -1), axis=1)
    unlike = np.sqrt(((along - typical[:, None, None]) ** 2).sum(axis=0))
    outside = (x < 0) | (y < 0) | (x > picture.shape[1] - 1) | (y > picture.shape[0] - 1)
    path = _border(unlike, held + _OUTSIDE * outside)
    corners = np.stack([y[np.arange(_RAYS), path], x[np.arange(_RAYS), path]], axis=1)
    return np.asarray(polygon2mask(picture.shape[:2], corners), dtype=np.bool_)


def _border(unlike: NDArray[np.float64], cost: NDArray[np.float64]) -> NDArray[np.intp]:
    """The place on each ray (row of `unlike`) of the cheapest closed border: where `unlike` rises most, without jumps.

    The rays are gone around three times, so that the middle round closes.
    """
    import numpy as np
    from scipy import ndimage

    rise = ndimage.convolve1d(
        ndimage.gaussian_filter1d(unlike, 1.0, axis=0, mode="wrap"), [1, 1, 1, 0, -1, -1, -1], axis=1, mode="nearest"
    )
    cost = cost - np.clip(rise / (float(np.percentile(np.abs(rise), 95)) + 1e-6), -1.0, 1.5)
    places = np.arange(cost.shape[1])
    jumps = np.arange(-_JUMP, _JUMP + 1)
    total, steps = cost[0], []
    for row in np.tile(cost, (3, 1))[1:]:
        before = places + jumps[:, None]
        reached = np.where((before >= 0) & (before < len(places)), total[np.clip(before, 0, len(places) - 1)], np.inf)
        reached = reached + _SMOOTH * np.abs(jumps)[:, None]
        best = reached.argmin(axis=0)
        steps.append(jumps[best])
        total = reached[best, places] + row
    path = [int(total.argmin())]
    for step in reversed(steps):
        path.append(path[-1] + int(step[path[-1]]))
    return np.array(path[::-1], dtype=np.intp)[_RAYS : 2 * _RAYS]


def axes(mask: NDArray[np.bool_], spacing_mm: tuple[float, float]) -> Axes:
    """The longest diameter of a region (H, W) and the longest at right angles to it; spacing is (row, column)."""
    import numpy as np
    from scipy.spatial.distance import pdist, squareform
    from skimage.measure import find_contours

    border = np.concatenate(find_contours(np.pad(mask, 1).astype(np.float32), 0.5)) - 1.0
    where = border * np.asarray(spacing_mm)
    fewer = where[:: max(1, len(where) // 1200)]
    far = squareform(pdist(fewer))
    one, other = (fewer[int(index)] for index in np.unravel_index(int(far.argmax()), far.shape))
    length = float(far.max())
    along = (other - one) / max(length, 1e-9)
    across = np.array([-along[1], along[0]])
    along_at, across_at = (where - one) @ along, (where - one) @ across
    short, ends = 0.0, (one, one)
    half = 0.5 * max(spacing_mm)
    for place in np.linspace(0.0, length, 200):
        near = np.flatnonzero(np.abs(along_at - place) <= half)
        if near.size and float(np.ptp(across_at[near])) > short:
            short, middle = float(np.ptp(across_at[near])), one + place * along
            ends = (middle + float(across_at[near].min()) * across, middle + float(across_at[near].max()) * across)
    row_mm, column_mm = spacing_mm

    def xy(point: NDArray[np.float64]) -> tuple[float, float]:
        return float(point[1] / column_mm), float(point[0] / row_mm)

    return Axes(long=length, short=short, long_ends=(xy(one), xy(other)), short_ends=(xy(ends[0]), xy(ends[1])))


def texture(values: NDArray[np.float32], mask: NDArray[np.bool_]) -> tuple[float, float]:
    """Contrast and homogeneity of the grey-level co-occurrence of `values` (H, W) within `mask`, over four directions.

    The levels run from the region's 1st to its 99th percentile, so both are free of the picture's brightness.
    """
    import numpy as np
    from skimage.feature import graycomatrix, graycoprops

    low, high = np.percentile(values[mask], (1, 99))
    levels = np.clip((values - low) / max(float(high - low), 1e-6) * (_LEVELS - 1), 0, _LEVELS - 1)
    numbered = np.where(mask, levels.round() + 1, 0).astype(np.uint8)
    pairs = graycomatrix(numbered, [1], [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4], levels=_LEVELS + 1, symmetric=True)
    pairs = pairs[1:, 1:].astype(np.float64)
    pairs /= np.maximum(pairs.sum(axis=(0, 1)), 1.0)
    contrast, homogeneity = (float(graycoprops(pairs, name).mean()) for name in ("contrast", "homogeneity"))
    return contrast, homogeneity


def _run(arguments: PromptArguments, images: ImageStore) -> LesionSize:
    import numpy as np
    from scipy import ndimage
    from skimage.measure import regionprops

    pixels = images.open(arguments.image)
    picture = as_picture(pixels)
    mask = _region(picture, arguments)
    values = pixels.array.astype(np.float32)
    values = values if values.ndim == 2 else values.mean(axis=2)
    reach = max(2, round(0.15 * float(np.sqrt(mask.sum()))))
    around = ndimage.binary_dilation(mask, iterations=reach) & ~ndimage.binary_dilation(mask)
    if not around.any() or int(mask.sum()) < _LEAST_PX:
        raise _refused("a region that is empty or fills the picture")
    step = _contrast(picture, mask, around)
    if step < _LEAST_CONTRAST:
        raise _refused(f"a region that differs from its surroundings by {step:.1f} of their spread")
    row_mm, column_mm = arguments.spacing_mm or (1.0, 1.0)
    unit, digits = ("mm", 1) if arguments.spacing_mm else ("px", 0)
    found = axes(mask, (row_mm, column_mm))
    shape = regionprops(mask.astype(np.uint8), spacing=(row_mm, column_mm))[0]
    box, stored = _box(mask), images.put_mask(mask)
    contrast, homogeneity = texture(values, mask)
    grey = "HU" if pixels.unit == "HU" else "1"
    return LesionSize(
        long_axis=measured(
            "lesion longest diameter", found.long, unit, "The lesion's longest diameter is {}.", digits=digits,
            box_px=box, mask=stored,
        ),
        short_axis=measured(
            "lesion perpendicular diameter", found.short, unit,
            "At right angles to its longest diameter the lesion measures {}.",
            digits=digits, mask=stored, of=("lesion longest diameter",),
        ),
        area=measured(
            "lesion area", float(mask.sum()) * row_mm * column_mm, f"{unit}2" if unit == "mm" else "px2",
            "The lesion covers {}.", digits=0, mask=stored,
        ),
        eccentricity=measured(
            "lesion eccentricity", shape.eccentricity, "1", "The lesion's eccentricity is {} (0 is round).", digits=2,
        ),
        solidity=measured(
            "lesion solidity", shape.solidity, "1", "The lesion fills {} of its convex hull (1 has no notches).",
            digits=2,
        ),
        circularity=measured(
            "lesion circularity", _circularity(mask, (row_mm, column_mm)), "1",
            "The lesion's circularity is {} (1 is a circle).", digits=2,
        ),
        mean=measured("lesion mean", float(values[mask].mean()), grey, "The mean inside the lesion is {}.", digits=0),
        spread=measured(
            "lesion standard deviation", float(values[mask].std()), grey,
            "The standard deviation inside the lesion is {}.", digits=0,
        ),
        contrast=measured(
            "lesion texture contrast", contrast, "1", "The contrast of the lesion's grey-level co-occurrence is {}.",
            digits=1,
        ),
        homogeneity=measured(
            "lesion texture homogeneity", homogeneity, "1",
            "The homogeneity of the lesion's grey-level co-occurrence is {}.", digits=2,
        ),
        overlay=images.put_picture(_drawn(picture, mask, found, unit, arguments)),
        limitations=() if arguments.spacing_mm else ("The pixel spacing is not known: lengths are in pixels.",),
    )  # fmt: skip


def _region(picture: NDArray[np.uint8], arguments: PromptArguments) -> NDArray[np.bool_]:
    height, width = picture.shape[:2]
    if arguments.box is not None:
        left, top, right, bottom = arguments.box
        if not (0 <= left < right <= width and 0 <= top < bottom <= height and min(right - left, bottom - top) >= 4):
            raise _refused(f"the box {arguments.box} on a picture of {width} × {height} px")
        return from_box(picture, arguments.box)
    if arguments.point is None:
        raise _refused("neither a box nor a point")
    column, row = arguments.point
    if not (0 <= column < width and 0 <= row < height):
        raise _refused(f"the point {arguments.point} on a picture of {width} × {height} px")
    return from_point(picture, arguments.point)


def _contrast(picture: NDArray[np.uint8], mask: NDArray[np.bool_], around: NDArray[np.bool_]) -> float:
    """How far the region's mean colour lies from that around it, in units of the spread around it."""
    import numpy as np
    from scipy import ndimage

    smooth = ndimage.gaussian_filter(picture.astype(np.float32), (1.0, 1.0, 0.0))
    apart = smooth[mask].mean(axis=0) - smooth[around].mean(axis=0)
    spread = np.maximum(smooth[around].std(axis=0), 2.0)
    return float(np.abs(apart / spread).max())


def _circularity(mask: NDArray[np.bool_], spacing_mm: tuple[float, float]) -> float:
    """4π times the area over the square of the perimeter, at most 1."""
    import numpy as np
    from skimage.measure import find_contours

    border = max(find_contours(np.pad(mask, 1).astype(np.float32), 0.5), key=len)
    smooth = np.stack([np.convolve(np.r_[line[-3:-1], line, line[1:3]], np.ones(5) / 5, "valid") for line in border.T])
    length = float(np.hypot(*(np.diff(smooth) * np.asarray(spacing_mm)[:, None])).sum())
    return min(1.0, 4.0 * np.pi * float(mask.sum()) * spacing_mm[0] * spacing_mm[1] / max(length, 1e-9) ** 2)


def _box(mask: NDArray[np.bool_]) -> Box:
    import numpy as np

    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _drawn(
    picture: NDArray[np.uint8], mask: NDArray[np.bool_], found: Axes, unit: str, arguments: PromptArguments
) -> NDArray[np.uint8]:
    asked = Drawn(box=arguments.box, points=() if arguments.point is None else (arguments.point,), colour=COLOURS[6])
    return overlay(
        picture,
        [
            asked,
            Drawn(mask=mask, label=f"lesion {found.long:.0f} x {found.short:.0f} {unit}", colour=COLOURS[2]),
            Drawn(line=found.long_ends, colour=COLOURS[0]),
            Drawn(line=found.short_ends, colour=COLOURS[1]),
        ],
        spacing_mm=arguments.spacing_mm,
    )


def _refused(got: str) -> ToolRefusedError:
    return ToolRefusedError(
        expected="a box around one lesion, or a point inside it, that stands out from its surroundings",
        got=got,
        fix="give the box [x0, y0, x1, y1] in pixels of the picture",
    )


TOOL = Tool(
    card=ToolCard(
        name="lesion_size",
        version="1.0.0",
        summary="Measures a lesion that is pointed at: longest and perpendicular diameter, shape and texture.",
        measures=("diameters in mm or px", "area", "shape", "mean and spread", "texture"),
        modalities=(),
        figures=(
            Figure(
                metric="Dice given the true box; the ellipse that fills the box reaches 0.898 too",
                value=0.898,
                dataset="Kvasir-SEG polyps",
                n=48,
                interval=(0.878, 0.915),
            ),
            Figure(
                metric="longest diameter given the true box, mean relative error",
                value=0.06,
                dataset="Kvasir-SEG polyps",
                n=48,
                interval=(0.05, 0.07),
            ),
            Figure(
                metric="Dice given the innermost point",
                value=0.55,
                dataset="Kvasir-SEG polyps",
                n=48,
                interval=(0.47, 0.627),
            ),
        ),
        limits=(
            "It measures what it is pointed at and does not know whether that is a lesion.",
            "From a point, one polyp in two is measured badly: give a box.",
            "Given a box, the border follows the picture only within about a tenth of the box's size.",
            "The figures are optimistic: the method was chosen on the same polyps.",
            "In-plane only: of a volume, the middle slice.",
        ),
    ),
    arguments=PromptArguments,
    output=LesionSize,
    run=_run,
)
