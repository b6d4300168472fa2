"""The optic disc in a colour fundus photograph, where it is and how wide, and the pale cup in it. It diagnoses nothing.

Method: the disc is the place that is bright at the scale of a disc and where vessels run together; brightness
alone would follow bright lesions and reflexes at the rim. Around the three likeliest places, the picture without its
vessels is split in two by Otsu's threshold; of the three bright parts, the one of most contrast and roundness is the
disc. Works at a field width of 640 px. The cup is taken to be the pale part of the disc, by Otsu's threshold on green
light without vessels (the start of Joshi et al., IEEE Trans Med Imaging 2011;30:1192-1205, who then follow bent
vessels; that is not done here). A plain photograph shows pallor, not depth, and in healthy eyes pallor reaches farther
than the cup: so the ratio is not called a cup-to-disc ratio, and no criterion of glaucoma is applied to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...core.errors import ToolRefusedError
from ..card import Figure, ImageArguments, Measurement, Tool, ToolCard, ToolOutput, measured
from ..imaging.raster import resized
from ..pictures import COLOURS, Drawn, overlay
from .fundus_field import ROUND_FIELD_FIGURES, ROUND_FIELD_LIMIT
from .fundus_vessels import open_fundus, vessel_mask, working_size

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..imaging.store import ImageStore

_WINDOW = 0.17
"""Half the side of the window around the disc, as a share of the field's width: discs are 0.1 to 0.27 of it wide."""
_CANDIDATES, _APART = 3, 0.1
_SIZES = (0.06, 0.3)
_COARSE = 4
_LEAST_CONTRAST = 0.08
_LEAST_ROUNDNESS = 0.6
_CUP_SHARE, _LEAST_PALLOR = (0.04, 0.8), 0.12


class FundusDisc(ToolOutput):
    """The disc's size, with its box and mask, and its centre in pixels of the picture."""

    disc_diameter: Measurement
    disc_centre_x: Measurement
    disc_centre_y: Measurement
    cup_ratio: Measurement | None = None


@dataclass(frozen=True, kw_only=True)
class _Disc:
    """A candidate at working size: its mask, how much brighter than its surroundings, how round and whole (to 1)."""

    mask: NDArray[np.bool_]
    contrast: float
    roundness: float


def find_disc(
    rgb: NDArray[np.uint8], field: NDArray[np.bool_], *, vessels: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_]:
    """The mask (H, W) of the optic disc within `field`; `vessels` (H, W) are found here unless they are given.

    Raises ToolRefusedError when nothing looks like a disc.
    """
    small, inside = working_size(rgb, field)
    lines = vessel_mask(small, inside) if vessels is None else resized(vessels, inside.shape[:2])
    light = _brightness(small, inside)
    above = light - _mean_within(light, inside, 0.12 * float(inside.any(axis=0).sum()))
    candidates = [_grown(light, above, inside, seed) for seed in _likeliest(lines, light, inside)]
    disc = max(candidates, key=lambda candidate: candidate.contrast * candidate.roundness**2)
    if disc.contrast < _LEAST_CONTRAST or disc.roundness < _LEAST_ROUNDNESS:
        raise ToolRefusedError(
            expected="a fundus photograph with a bright, round optic disc",
            got="a picture in which no region stands out as one",
            fix="name another image of the case, or ask without this tool",
        )
    return resized(disc.mask, (rgb.shape[0], rgb.shape[1]))


def _brightness(small: NDArray[np.uint8], inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Red and green light without vessels (H, W); outside the field the field's median."""
    import numpy as np
    from scipy import ndimage

    light = (small[..., 0].astype(np.float32) + 2.0 * small[..., 1].astype(np.float32)) / 3.0
    light[~inside] = float(np.median(light[inside]))
    return np.asarray(ndimage.gaussian_filter(ndimage.grey_closing(light, size=(17, 17)), 2.0), dtype=np.float32)


def _likeliest(
    lines: NDArray[np.bool_], light: NDArray[np.float32], inside: NDArray[np.bool_]
) -> list[tuple[int, int]]:
    """The three places (row, column) where disc-sized brightness and vessel density are highest together."""
    import numpy as np
    from scipy import ndimage

    width = float(inside.any(axis=0).sum())
    bright = _mean_within(light, inside, 0.035 * width) - _mean_within(light, inside, 0.15 * width)
    vessels = _mean_within(lines.astype(np.float32), inside, 0.05 * width)
    deep = ndimage.binary_erosion(inside, iterations=max(1, round(0.03 * width)))
    if not deep.any():
        deep = inside
    score = np.where(deep, _standard(bright, deep) + _standard(vessels, deep), -np.inf)
    rows, columns = np.mgrid[: score.shape[0], : score.shape[1]]
    places = []
    for _ in range(_CANDIDATES):
        row, column = (int(index) for index in np.unravel_index(int(score.argmax()), score.shape))
        places.append((row, column))
        score[(rows - row) ** 2 + (columns - column) ** 2 < (_APART * width) ** 2] = -np.inf
    return places


def _mean_within(values: NDArray[np.float32], inside: NDArray[np.bool_], sigma: float) -> NDArray[np.float32]:
    """Gaussian mean of `values` over `inside` only, computed at a quarter of the size: every `sigma` here is wide."""
    import numpy as np
    from scipy import ndimage

    rows, columns = (-(-side // _COARSE) * _COARSE for side in values.shape)
    padding = ((0, rows - values.shape[0]), (0, columns - values.shape[1]))
    weight = inside.astype(np.float32)

    def blurred(plane: NDArray[np.float32]) -> NDArray[np.float32]:
        blocks = np.pad(plane, padding).reshape(rows // _COARSE, _COARSE, columns // _COARSE, _COARSE)
        smooth = ndimage.gaussian_filter(blocks.mean(axis=(1, 3)), sigma / _COARSE, truncate=2.0)
        fine = ndimage.zoom(smooth, _COARSE, order=1, mode="nearest", grid_mode=True)
        return np.asarray(fine[: plane.shape[0], : plane.shape[1]], dtype=np.float32)

    return np.asarray(blurred(values * weight) / np.maximum(blurred(weight), 0.05), dtype=np.float32)


def _standard(values: NDArray[np.float32], where: NDArray[np.bool_]) -> NDArray[np.float32]:
    import numpy as np

    chosen = values[where]
    return np.asarray((values - chosen.mean()) / max(float(chosen.std()), 1e-6), dtype=np.float32)


def _grown(
    light: NDArray[np.float32], above: NDArray[np.float32], inside: NDArray[np.bool_], seed: tuple[int, int]
) -> _Disc:
    """The bright region around `seed`, found twice: the second window is centred on the first result."""
    import numpy as np
    from scipy import ndimage
    from skimage.filters import threshold_otsu

    width = float(inside.any(axis=0).sum())
    half = round(_WINDOW * width)
    rows, columns = np.mgrid[: light.shape[0], : light.shape[1]]
    mask = piece = np.zeros_like(inside)
    for _ in range(2):
        distance = (rows - seed[0]) ** 2 + (columns - seed[1]) ** 2
        near = inside & (distance <= half**2)
        bright = near & (above > threshold_otsu(above[near]))
        bright = ndimage.binary_opening(bright, iterations=5)
        labels, count = ndimage.label(bright)
        if not count:
            return _Disc(mask=np.zeros_like(inside), contrast=0.0, roundness=0.0)
        closeness = np.exp(-2.0 * distance / half**2) * np.maximum(above, 0.0)
        mass = np.bincount(labels.ravel(), weights=closeness.ravel())[1:]
        piece = labels == 1 + int(mass.argmax())
        mask = _hull(piece) & inside
        seed = (round(float(rows[mask].mean())), round(float(columns[mask].mean())))
    if not _SIZES[0] <= 2.0 * float(np.sqrt(mask.sum() / np.pi)) / width <= _SIZES[1]:
        return _Disc(mask=mask, contrast=0.0, roundness=0.0)
    around = ndimage.binary_dilation(mask, iterations=max(2, half // 4)) & inside & ~mask
    outside = float(light[around].mean()) if around.any() else 1.0
    box_rows, box_columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    sides = sorted((len(box_rows), len(box_columns)))
    contrast = (float(light[mask].mean()) - outside) / max(outside, 1.0)
    solidity = float(piece.sum()) / float(mask.sum())
    return _Disc(mask=mask, contrast=contrast, roundness=min(sides[0] / sides[1], solidity))


def _hull(piece: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The convex hull of a region, worked out in its own box."""
    import numpy as np
    from skimage.morphology import convex_hull_image

    rows, columns = np.flatnonzero(piece.any(axis=1)), np.flatnonzero(piece.any(axis=0))
    box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    hull = np.zeros_like(piece)
    hull[box] = convex_hull_image(piece[box])
    return hull


def find_cup(rgb: NDArray[np.uint8], disc: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """The mask (H, W) of the pale cup within `disc` (H, W); None where no part is clearly paler than the rest."""
    import numpy as np
    from scipy import ndimage
    from skimage.filters import threshold_otsu

    rows, columns = (np.flatnonzero(disc.any(axis=axis)) for axis in (1, 0))
    box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    width = max(len(rows), len(columns))
    vessel = 2 * max(1, round(0.06 * width)) + 1
    green = ndimage.grey_closing(rgb[box][..., 1].astype(np.float32), size=(vessel, vessel))
    green = ndimage.gaussian_filter(green, 0.02 * width)
    inside = disc[box]
    pale = inside & (green > threshold_otsu(green[inside]))
    labels, count = ndimage.label(ndimage.binary_opening(pale, iterations=max(1, round(0.02 * width))))
    if not count:
        return None
    piece = _hull(labels == 1 + int(np.bincount(labels.ravel())[1:].argmax())) & inside
    share = float(piece.sum()) / float(inside.sum())
    rim = inside & ~piece
    if not _CUP_SHARE[0] < share < _CUP_SHARE[1] or not rim.any():
        return None
    if float(green[piece].mean()) < (1.0 + _LEAST_PALLOR) * float(green[rim].mean()):
        return None
    cup = np.zeros_like(disc)
    cup[box] = piece
    return cup


def _cup_ratio(cup: NDArray[np.bool_], disc: NDArray[np.bool_], mask: str) -> Measurement:
    import numpy as np

    rows, columns = (np.flatnonzero(cup.any(axis=axis)) for axis in (1, 0))
    return measured(
        "vertical pallor-to-disc ratio", len(rows) / int(disc.any(axis=1).sum()), "1",
        "The pale part of the disc, which may be its cup, is {} as high as the disc.", digits=2,
        uncertainty=_RATIO_ERROR, mask=mask,
        box_px=(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1), of=("disc_diameter",),
    )  # fmt: skip


def _run(arguments: ImageArguments, images: ImageStore) -> FundusDisc:
    import numpy as np

    rgb, field = open_fundus(images, arguments.image)
    disc = find_disc(rgb, field)
    rows, columns = np.flatnonzero(disc.any(axis=1)), np.flatnonzero(disc.any(axis=0))
    box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    ys, xs = np.nonzero(disc)
    width = int(field.any(axis=0).sum())
    mask = images.put_mask(disc)
    cup = find_cup(rgb, disc)
    drawn = [Drawn(mask=disc, label="disc", colour=COLOURS[0])]
    if cup is not None:
        drawn.append(Drawn(mask=cup, label="cup?", colour=COLOURS[2]))
    return FundusDisc(
        disc_diameter=measured(
            "disc_diameter", 100.0 * 2.0 * float(np.sqrt(disc.sum() / np.pi)) / width, "%",
            "The optic disc is {} as wide as the field of view.", digits=1, box_px=box, mask=mask,
        ),
        disc_centre_x=measured(
            "disc_centre_x", float(xs.mean()), "px", "The optic disc is centred {} from the left.", digits=0,
        ),
        disc_centre_y=measured(
            "disc_centre_y", float(ys.mean()), "px", "The optic disc is centred {} from the top.", digits=0,
        ),
        cup_ratio=None if cup is None else _cup_ratio(cup, disc, images.put_mask(cup)),
        overlay=images.put_picture(overlay(rgb, drawn)),
        limitations=(
            "The disc's border was never compared with hand-drawn borders: read its size as approximate.",
            "The cup is judged by pallor alone: no depth was measured.",
        ),
    )  # fmt: skip


_RATIO_ERROR = 0.15
"""Half the spread (5th to 95th percentile) of the ratio among the two sets of healthy or nearly healthy eyes."""

TOOL = Tool(
    card=ToolCard(
        name="fundus_disc",
        version="1.1.0",
        summary="Finds the optic disc in a colour fundus photograph and measures its width and its pale cup.",
        measures=(
            "disc diameter in % of the field of view's width",
            "disc centre in px",
            "vertical pallor-to-disc ratio",
        ),
        modalities=("fundus",),
        figures=(
            Figure(metric="refused share", value=0.107, dataset="CHASE_DB1", n=28, interval=(0.037, 0.272)),
            Figure(metric="refused share", value=0.0, dataset="DRIVE training", n=20, interval=(0.0, 0.161)),
            Figure(
                metric="pallor-to-disc ratio of 0.7 or more, share of eyes not known to have glaucoma",
                value=0.208,
                dataset="CHASE_DB1",
                n=24,
                interval=(0.092, 0.405),
            ),
            Figure(
                metric="pallor-to-disc ratio of 0.7 or more, share of eyes not known to have glaucoma",
                value=0.35,
                dataset="DRIVE training",
                n=20,
                interval=(0.181, 0.567),
            ),
            *ROUND_FIELD_FIGURES,
        ),
        limits=(
            "No figure of merit was measured for the border: no data with disc labels was at hand. By eye, on all of "
            "CHASE_DB1 and DRIVE training, 45 of 48 discs were marked in the right place, two of them much too large, "
            "and three were refused; the method was adjusted while looking at these same pictures.",
            "The pale part of the disc reaches farther than the cup in many healthy eyes, so its ratio is no "
            "cup-to-disc ratio and no sign of glaucoma.",
            "Peripapillary atrophy may be counted as disc; a pale or swollen disc may be missed.",
            ROUND_FIELD_LIMIT,
        ),
    ),
    arguments=ImageArguments,
    output=FundusDisc,
    run=_run,
)
