"""What one CT slice is made of, in Hounsfield units: mean, spread and tissue shares inside the body. No diagnosis.

The shares use contiguous ranges: fat -190 to -30 HU and water or soft tissue -30 to 150 HU follow the adipose and
muscle ranges of Mitsiopoulos et al., J Appl Physiol 1998;85:115-122; below lies gas and aerated lung, above lie bone,
calcification and contrast medium. The body is the largest piece above -300 HU, freed from the table, with its holes
(lungs, bowel gas) filled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...core.errors import ToolRefusedError
from ..card import Measurement, ScaledImageArguments, Tool, ToolCard, ToolOutput, measured
from ..pictures import Drawn, as_picture, overlay

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..imaging.store import ImageStore

AIR_BELOW_HU, FAT_BELOW_HU, SOFT_BELOW_HU = -190.0, -30.0, 150.0
_BODY_ABOVE_HU = -300.0
_LEAST_AIR, _LEAST_FAT = 0.001, 0.005


class SliceComposition(ToolOutput):
    """Mean, spread and percentiles in HU, tissue shares in % of the body's pixels, and the body's area where known."""

    mean: Measurement
    spread: Measurement
    percentile_5: Measurement
    median: Measurement
    percentile_95: Measurement
    air: Measurement
    fat: Measurement
    soft_tissue: Measurement
    bone: Measurement
    body_area: Measurement | None = None


def body_mask(hu: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The body (H, W) in a slice of HU (H, W); all False when there is none."""
    import numpy as np
    from scipy import ndimage

    steps = max(1, round(max(hu.shape) / 170))  # about 3 px of 512: thinner than the body, thicker than a table top
    framed = np.pad(hu > _BODY_ABOVE_HU, steps, mode="edge")  # an opening must not eat a body cut by the border
    labels, count = ndimage.label(ndimage.binary_opening(framed, iterations=steps))
    if not count:
        return np.zeros(hu.shape, dtype=np.bool_)
    sizes = np.bincount(labels.ravel())[1:]
    filled = ndimage.binary_fill_holes(labels == 1 + int(sizes.argmax()))
    return np.asarray(filled[steps:-steps, steps:-steps], dtype=np.bool_)


def lacks_air_and_fat(hu: NDArray[np.float32]) -> bool:
    """Whether values of any shape hold neither air, as around every body, nor fat: then they are no Hounsfield units,
    but say an MR's grey levels."""
    air = float((hu < _BODY_ABOVE_HU).mean())
    fat = float(((hu >= AIR_BELOW_HU) & (hu < FAT_BELOW_HU)).mean())
    return air < _LEAST_AIR and fat < _LEAST_FAT


def _run(arguments: ScaledImageArguments, images: ImageStore) -> SliceComposition:
    import numpy as np

    pixels = images.open(arguments.image)
    if pixels.unit != "HU":
        raise _refused("a picture whose values are grey levels or colours, not Hounsfield units")
    hu = pixels.array.astype(np.float32, copy=False)
    if lacks_air_and_fat(hu):
        raise _refused("values among which there is neither air nor fat, so no Hounsfield units")
    body = body_mask(hu)
    if float(body.mean()) < 0.02:
        raise _refused("a slice with hardly any body in it")
    inside = hu[body]
    mask = images.put_mask(body)
    low, median, high = (float(value) for value in np.percentile(inside, (5, 50, 95)))
    edges = (-np.inf, AIR_BELOW_HU, FAT_BELOW_HU, SOFT_BELOW_HU, np.inf)
    air, fat, soft, bone = 100.0 * np.histogram(inside, bins=edges)[0] / inside.size
    area = None
    if arguments.spacing_mm is not None:
        row_mm, column_mm = arguments.spacing_mm
        area = measured("body_area", float(body.sum()) * row_mm * column_mm / 100.0, "cm2",
                        "The body's cross-section on this slice is {}.", digits=0, mask=mask)  # fmt: skip
    return SliceComposition(
        mean=measured("mean_hu", float(inside.mean()), "HU", "The mean inside the body is {}.", digits=0, mask=mask),
        spread=measured("sd_hu", float(inside.std()), "HU", "The standard deviation inside the body is {}.", digits=0),
        percentile_5=measured("p5_hu", low, "HU", "The 5th percentile inside the body is {}.", digits=0),
        median=measured("median_hu", median, "HU", "The median inside the body is {}.", digits=0),
        percentile_95=measured("p95_hu", high, "HU", "The 95th percentile inside the body is {}.", digits=0),
        air=measured("air_share", air, "%", "Gas and aerated lung make up {} of the body on this slice.", digits=1),
        fat=measured("fat_share", fat, "%", "Fat makes up {} of the body on this slice.", digits=1),
        soft_tissue=measured(
            "soft_tissue_share", soft, "%", "Water and soft tissue make up {} of the body on this slice.", digits=1
        ),
        bone=measured(
            "bone_share", bone, "%", "Bone, calcification or contrast medium make up {} of the body on this slice.",
            digits=1,
        ),
        body_area=area,
        overlay=images.put_picture(
            overlay(as_picture(pixels), [Drawn(mask=body, label="body")], spacing_mm=arguments.spacing_mm)
        ),
        limitations=() if area else ("The pixel spacing is not known, so no area in cm² could be measured.",),
    )  # fmt: skip


def _refused(got: str) -> ToolRefusedError:
    return ToolRefusedError(
        expected="a CT slice in Hounsfield units (a DICOM file with rescale values)",
        got=got,
        fix="give the DICOM original, or ask without this tool",
    )


TOOL = Tool(
    card=ToolCard(
        name="hounsfield",
        version="1.0.0",
        summary="Describes a CT slice in Hounsfield units: mean, spread, and shares of air, fat, soft tissue and bone.",
        measures=("mean, SD and percentiles in HU", "tissue shares in % of the body", "body area in cm2"),
        modalities=("ct",),
        limits=(
            "No figure of merit was measured: it counts what the scanner wrote.",
            "Whole-slice statistics: they describe no organ and no lesion.",
            "Arms or a head-rest that touch the body count as body.",
            "Dense contrast medium counts as bone.",
            "Values without any air or fat are refused as no Hounsfield units; so is a slice cut to the brain alone.",
        ),
    ),
    arguments=ScaledImageArguments,
    output=SliceComposition,
    run=_run,
)
