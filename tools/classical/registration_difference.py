"""An earlier picture of the same view laid over the present one, and what differs between them. It names no cause.

Method: the pictures are laid over each other by `alignment`; their local brightness is brought into line, and a region
counts as changed where the smoothed difference exceeds the noise that the rest of the overlap shows, edges allowed for.
Works at a long side of 384 px.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...core.errors import ToolRefusedError
from ..card import ComparedImagesArguments, Figure, Measurement, Tool, ToolCard, ToolOutput, measured
from ..imaging.raster import resized
from ..pictures import COLOURS, Drawn, as_picture, overlay
from .alignment import Aligned, align

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..imaging.store import ImageStore

_SIDE_PX = 384
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
    regions, drawn = [], [Drawn(mask=resized(found.overlap, whole), colour=COLOURS[3])]
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
            "{} of the overlap differs from the earlier picture beyond its noise.", digits=2,
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
        figures=(
            Figure(
                metric="median error of the alignment in px of 384, moved copies",
                value=0.19,
                dataset="CHASE_DB1",
                n=28,
                interval=(0.15, 0.24),
            ),
            Figure(
                metric="median error of the alignment in px of 384, moved copies",
                value=0.44,
                dataset="NIH ChestX-ray14",
                n=37,
                interval=(0.35, 0.69),
            ),
            Figure(
                metric="share of moved copies with a false change, or refused",
                value=0.107,
                dataset="CHASE_DB1",
                n=28,
                interval=(0.037, 0.272),
            ),
            Figure(
                metric="share of moved copies with a false change, or refused",
                value=0.135,
                dataset="NIH ChestX-ray14",
                n=37,
                interval=(0.059, 0.28),
            ),
            Figure(
                metric="share of planted changes found", value=1.0, dataset="CHASE_DB1", n=28, interval=(0.879, 1.0)
            ),
            Figure(
                metric="share of planted changes found",
                value=1.0,
                dataset="NIH ChestX-ray14",
                n=37,
                interval=(0.906, 1.0),
            ),
            Figure(
                metric="share of pictures of two people refused",
                value=1.0,
                dataset="CHASE_DB1",
                n=28,
                interval=(0.879, 1.0),
            ),
            Figure(
                metric="share of pictures of two people refused",
                value=0.973,
                dataset="NIH ChestX-ray14",
                n=37,
                interval=(0.862, 0.995),
            ),
            Figure(
                metric="share refused of two dates of one patient",
                value=0.75,
                dataset="NIH ChestX-ray14",
                n=8,
                interval=(0.409, 0.929),
            ),
        ),
        limits=(
            "The figures of moved copies are of pictures and their own copies, turned, darker and noisier; of two "
            "dates of one patient most pairs of radiographs do not align well enough and are refused.",
            "Planted changes are soft spots of 45 grey levels, a twelfth of the picture wide; smaller or fainter ones "
            "were not tried.",
            "A change that covers much of the overlap is taken for another exposure.",
        ),
    ),
    arguments=ComparedImagesArguments,
    output=Difference,
    run=_run,
)
