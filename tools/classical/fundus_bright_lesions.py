"""Bright spots in a colour fundus photograph that may be exudates or drusen: how many, how large, how near the disc.

Method: green light above the local background (a white top-hat, Walter et al., IEEE Trans Med Imaging
2002;21:1236-1243), outside the optic disc and off the vessels, where reflexes lie; a spot is kept if it stands out
from the field's own noise by a hysteresis threshold, has a sharp border, is yellowish and is no streak. Works at a
field width of 640 px. The fovea is looked for as the darkest place two to three disc widths beside the disc. It cannot
tell exudates, drusen, cotton-wool spots and reflexes apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...core.errors import ToolRefusedError
from ..card import Figure, ImageArguments, Measurement, Tool, ToolCard, ToolOutput, measured
from ..imaging.raster import resized
from ..pictures import COLOURS, Drawn, overlay
from .fundus_disc import find_disc
from .fundus_field import ROUND_FIELD_FIGURES, ROUND_FIELD_LIMIT
from .fundus_vessels import open_fundus, vessel_mask, working_size

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..imaging.store import ImageStore

_HAT_PX, _BACKGROUND_PX = 31, 24.0
_LOW, _HIGH = 5.0, 9.0
_LEAST_STEP = 0.2
_SMALLEST_PX, _LARGEST_SHARE = 8, 0.02
_LEAST_SOLIDITY, _MOST_STRETCH = 0.7, 4.0
_DISC_MARGIN, _LEAST_VESSELS = 0.35, 0.03
_FOVEA, _COARSE = (1.8, 3.2), 4


class BrightLesions(ToolOutput):
    """Candidates: number, share of the field, and how near the closest lies to the disc and to the fovea if found."""

    count: Measurement
    area: Measurement
    disc_distance: Measurement | None = None
    fovea_distance: Measurement | None = None


@dataclass(frozen=True, kw_only=True)
class Spots:
    """At working size: labels (H, W) of the spots, the disc, and the fovea (x, y) where one was seen."""

    labels: NDArray[np.int32]
    disc: NDArray[np.bool_] | None
    fovea: tuple[float, float] | None


def bright_spots(rgb: NDArray[np.uint8], field: NDArray[np.bool_]) -> Spots:
    """The bright spots in uint8 RGB (H, W, 3) inside `field`, at working size. Raises ToolRefusedError where there are
    no vessels."""
    import numpy as np
    from scipy import ndimage
    from skimage.filters import apply_hysteresis_threshold

    small, inside = working_size(rgb, field)
    vessels = vessel_mask(small, inside)
    if float(vessels.sum()) < _LEAST_VESSELS * float(inside.sum()):
        raise ToolRefusedError(
            expected="a colour fundus photograph with vessels",
            got="a lit field in which hardly any vessel stands out",
            fix="name another image of the case, or ask without this tool",
        )
    try:
        disc = find_disc(small, inside, vessels=vessels)
    except ToolRefusedError:
        disc = None
    deep = ndimage.binary_erosion(inside, iterations=12)
    if disc is not None:
        reach = round(_DISC_MARGIN * float(np.sqrt(disc.sum())))
        deep &= ~ndimage.binary_dilation(disc, iterations=max(4, reach))
    light = _above_background(small, inside)
    hat = light - ndimage.grey_opening(light, size=(_HAT_PX, _HAT_PX))
    off_vessels = deep & ~ndimage.binary_dilation(vessels, iterations=3)
    noise = 1.4826 * float(np.median(np.abs(light[off_vessels] - np.median(light[off_vessels]))))
    if noise <= 0.0:
        return Spots(labels=np.zeros(inside.shape, dtype=np.int32), disc=disc, fovea=None)
    found = apply_hysteresis_threshold(np.where(off_vessels, hat, 0.0), _LOW * noise, _HIGH * noise)
    labels, _ = ndimage.label(ndimage.binary_fill_holes(found))
    return Spots(labels=_likely(labels, small, light, inside), disc=disc, fovea=_fovea(small, inside, disc))


def _above_background(small: NDArray[np.uint8], inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Green light above the local background, as a fraction of it; 0 outside the field."""
    import numpy as np
    from scipy import ndimage

    green = ndimage.gaussian_filter(small[..., 1].astype(np.float32), 0.8)
    weight = inside.astype(np.float32)
    total = np.maximum(ndimage.gaussian_filter(weight, _BACKGROUND_PX), 1e-3)
    background = ndimage.gaussian_filter(np.where(inside, green, 0.0), _BACKGROUND_PX) / total
    floor = max(15.0, 0.5 * float(np.median(background[inside])))
    return np.where(inside, (green - background) / np.maximum(background, floor), 0.0).astype(np.float32)


def _likely(
    labels: NDArray[np.int32], small: NDArray[np.uint8], light: NDArray[np.float32], inside: NDArray[np.bool_]
) -> NDArray[np.int32]:
    """The labels of spots with a sharp border, of a lesion's size and shape, and yellower than they are grey."""
    import numpy as np
    from scipy import ndimage
    from skimage.measure import regionprops

    kept = np.zeros_like(labels)
    for spot in regionprops(labels):
        if not _SMALLEST_PX <= spot.area <= _LARGEST_SHARE * inside.sum():
            continue
        top, left, bottom, right = spot.bbox
        rows, columns = slice(max(0, top - 4), bottom + 4), slice(max(0, left - 4), right + 4)
        piece = labels[rows, columns] == spot.label
        ring = ndimage.binary_dilation(piece, iterations=3) & ~ndimage.binary_dilation(piece) & inside[rows, columns]
        if not ring.any():
            continue
        step = float(light[rows, columns][piece].mean() - light[rows, columns][ring].mean())
        colour = small[rows, columns][piece].astype(np.float32).mean(axis=0)
        stretch = spot.axis_major_length / max(spot.axis_minor_length, 1.0)
        shaped = spot.solidity >= _LEAST_SOLIDITY and stretch <= _MOST_STRETCH
        if step >= _LEAST_STEP and shaped and colour[1] > 1.1 * colour[2]:
            kept[labels == spot.label] = int(kept.max()) + 1
    return kept


def _fovea(
    small: NDArray[np.uint8], inside: NDArray[np.bool_], disc: NDArray[np.bool_] | None
) -> tuple[float, float] | None:
    """The fovea (x, y): the darkest place of a disc's size beside the disc; None where none stands out."""
    import numpy as np
    from scipy import ndimage

    if disc is None:
        return None
    rows, columns = np.nonzero(disc)
    width = 2.0 * float(np.sqrt(disc.sum() / np.pi))
    y, x = np.mgrid[: disc.shape[0], : disc.shape[1]]
    down, across = (y - rows.mean()) / width, (x - columns.mean()) / width
    reach = np.hypot(down, across)
    deep = ndimage.binary_erosion(inside, iterations=max(1, round(0.4 * width)))
    where = deep & (reach >= _FOVEA[0]) & (reach <= _FOVEA[1]) & (down > -0.3) & (down < 0.9)
    if where.sum() < 0.2 * width**2:
        return None
    light = np.where(inside, small[..., 1].astype(np.float32), float(np.median(small[..., 1][inside])))
    coarse = ndimage.uniform_filter(light, _COARSE)[::_COARSE, ::_COARSE]
    dark = ndimage.gaussian_filter(coarse, width / _COARSE) - ndimage.gaussian_filter(coarse, 0.25 * width / _COARSE)
    dark = np.kron(dark, np.ones((_COARSE, _COARSE), dtype=np.float32))[: light.shape[0], : light.shape[1]]
    spread = float(dark[deep].std())
    best = int(np.where(where, dark, -np.inf).argmax())
    row, column = np.unravel_index(best, dark.shape)
    if float(dark[row, column]) < 1.5 * spread:
        return None
    return float(column), float(row)


def _run(arguments: ImageArguments, images: ImageStore) -> BrightLesions:
    import numpy as np
    from scipy import ndimage

    rgb, field = open_fundus(images, arguments.image)
    spots = bright_spots(rgb, field)
    shape = (rgb.shape[0], rgb.shape[1])
    mask = resized(spots.labels > 0, shape)
    count = int(spots.labels.max())
    stored = images.put_mask(mask)
    centres = np.array(ndimage.center_of_mass(spots.labels > 0, spots.labels, np.arange(1, count + 1)))
    disc_at, disc_width = None, 0.0
    if spots.disc is not None:
        disc_at, disc_width = np.array(ndimage.center_of_mass(spots.disc)), 2.0 * np.sqrt(spots.disc.sum() / np.pi)

    def nearest(to: NDArray[np.float64] | None, name: str, what: str) -> Measurement | None:
        if to is None or not count or not disc_width:
            return None
        away = float(np.hypot(*(centres - to).T).min()) / float(disc_width)
        return measured(name, away, "1", f"The bright spot nearest to {what} lies {{}} disc diameters from its centre.",
                        digits=1, of=("bright spots",))  # fmt: skip

    fovea = None if spots.fovea is None else np.array(spots.fovea[::-1])
    limits = ["Exudates, drusen, cotton-wool spots, scars and reflexes are not told apart."]
    if spots.disc is None:
        limits.append("The optic disc was not found: it may be among the spots.")
    return BrightLesions(
        count=measured(
            "bright spots", count, "1",
            f"{{}} bright {'spot stands' if count == 1 else 'spots stand'} out outside the optic disc.", digits=0,
            mask=stored, finding="hard-exudates", says="undecided",
        ),
        area=measured(
            "bright spot area", 100.0 * float(mask.sum()) / float(field.sum()), "%",
            "Bright spots cover {} of the field of view.", digits=2, mask=stored, of=("bright spots",),
            finding="drusen", says="undecided",
        ),
        disc_distance=nearest(disc_at, "bright spot to disc", "the optic disc"),
        fovea_distance=nearest(fovea, "bright spot to fovea", "the fovea"),
        overlay=images.put_picture(_drawn(rgb, mask, spots)),
        limitations=tuple(limits),
    )  # fmt: skip


def _drawn(rgb: NDArray[np.uint8], mask: NDArray[np.bool_], spots: Spots) -> NDArray[np.uint8]:
    regions = [Drawn(mask=mask, label="bright spots", colour=COLOURS[0])]
    shape = (rgb.shape[0], rgb.shape[1])
    if spots.disc is not None:
        regions.append(Drawn(mask=resized(spots.disc, shape), label="disc", colour=COLOURS[6]))
    if spots.fovea is not None:
        x, y = (
            at * side / small
            for at, side, small in zip(spots.fovea, shape[::-1], spots.labels.shape[::-1], strict=True)
        )
        regions.append(Drawn(points=((x, y),), label="fovea?", colour=COLOURS[3]))
    return overlay(rgb, regions)


TOOL = Tool(
    card=ToolCard(
        name="fundus_bright_lesions",
        version="1.0.0",
        summary="Finds bright spots in a colour fundus photograph that may be exudates or drusen.",
        measures=("number of bright spots", "their area in % of the field of view", "distance to disc and fovea"),
        modalities=("fundus",),
        figures=(
            Figure(
                metric="spots where none are labelled, mean number",
                value=1.536,
                dataset="CHASE_DB1",
                n=28,
                interval=(0.929, 2.25),
            ),
            Figure(
                metric="spots where none are labelled, mean number",
                value=0.0,
                dataset="DRIVE training",
                n=20,
                interval=(0.0, 0.0),
            ),
            Figure(
                metric="share of pictures with any spot where none are labelled",
                value=0.714,
                dataset="CHASE_DB1",
                n=28,
                interval=(0.529, 0.847),
            ),
            Figure(
                metric="share of pictures with any spot where none are labelled",
                value=0.0,
                dataset="DRIVE training",
                n=20,
                interval=(0.0, 0.161),
            ),
            Figure(
                metric="share of planted yellow spots that were found",
                value=0.812,
                dataset="CHASE_DB1",
                n=28,
                interval=(0.763, 0.862),
            ),
            Figure(
                metric="share of planted yellow spots that were found",
                value=0.644,
                dataset="DRIVE training",
                n=20,
                interval=(0.544, 0.744),
            ),
            *ROUND_FIELD_FIGURES,
        ),
        limits=(
            "How many real lesions it misses is not known: no data with marked lesions were at hand. Planted spots are "
            "missed mostly beside vessels and where the field is small.",
            "Candidates only: exudates, drusen, cotton-wool spots, scars and reflexes are not told apart.",
            "The fovea is a guess beside the disc, never compared with marked ones.",
            ROUND_FIELD_LIMIT,
        ),
    ),
    arguments=ImageArguments,
    output=BrightLesions,
    run=_run,
)
