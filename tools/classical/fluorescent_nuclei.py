"""Nuclei that glow on a dark background, as in DAPI or Hoechst stain: how many, how large, how bright. No cell cycle.

Method: Otsu's threshold on the logarithm of the light above the background, so that dim nuclei beside bright ones are
kept, and a local threshold where nuclei crowd; touching nuclei are split by a watershed (Beucher & Lantuéjoul, 1979) on
the distance map, whose smoothing follows the nuclei's own size, so that no magnification has to be known; each border
then lies at 0.3 of its own nucleus's light. Long sides beyond 1600 px are scaled down to that. These numbers were
chosen on the 19 fluorescence pictures of DSB 2018 that the card's figures come from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...core.errors import ToolRefusedError
from ..card import Figure, Measurement, ScaledImageArguments, Tool, ToolCard, ToolOutput, measured
from ..imaging.raster import resized
from ..pictures import Drawn, as_picture, enlarged, overlay
from .nucleus_shapes import no_nuclei, shapes, touching

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..imaging.store import ImageStore

_LONG_SIDE_PX = 1600
_SMALLEST_PX = 20
_LEAST_LIGHT = 6.0
_BORDER_SHARE = 0.3
_SMOOTH, _APART = 0.2, 0.55


class FluorescentNuclei(ToolOutput):
    """Nuclei: count, share of the picture, median diameter in µm where the spacing is known else px, and brightness."""

    nuclei_count: Measurement
    nuclei_area: Measurement
    nucleus_size: Measurement
    nucleus_light: Measurement


def nuclei(grey: NDArray[np.float32]) -> NDArray[np.int32]:
    """Labels (H, W) of the nuclei in `grey` (H, W), 0 to 255, glowing on dark; 0 is background."""
    import numpy as np
    from scipy import ndimage
    from skimage.filters import threshold_otsu
    from skimage.measure import label
    from skimage.morphology import remove_small_objects
    from skimage.segmentation import watershed

    smooth = ndimage.gaussian_filter(grey, 1.0)
    dark = float(np.percentile(smooth, 10))
    light = np.log1p(np.maximum(smooth - dark, 0.0) / 4.0)
    if float(np.percentile(smooth, 99.5)) - dark < _LEAST_LIGHT:
        return np.zeros(grey.shape, dtype=np.int32)
    found = light > threshold_otsu(light)
    found = remove_small_objects(ndimage.binary_opening(found), max_size=_SMALLEST_PX)
    radius = _typical_radius(ndimage.distance_transform_edt(found))
    if radius == 0.0:
        return np.zeros(grey.shape, dtype=np.int32)
    around = ndimage.gaussian_filter(smooth, 2.0 * radius)
    found &= smooth > 0.8 * around
    found = ndimage.binary_fill_holes(ndimage.binary_opening(found))
    depth = ndimage.distance_transform_edt(found)
    peaked = ndimage.gaussian_filter(depth, _SMOOTH * radius)
    size = 2 * max(1, round(_APART * radius)) + 1
    peaks = (peaked == ndimage.maximum_filter(peaked, size=size)) & found & (depth > 0.3 * radius)
    labels = watershed(-peaked, label(peaks), mask=found)
    above = smooth - dark
    brightest = np.concatenate([[0.0], ndimage.maximum(above, labels, np.arange(1, labels.max() + 1))])
    labels[above < _BORDER_SHARE * brightest[labels]] = 0
    areas = np.bincount(labels.ravel())
    labels[np.isin(labels, np.flatnonzero(areas < max(_SMALLEST_PX, 0.15 * np.pi * radius**2)))] = 0
    return np.asarray(labels, dtype=np.int32)


def _typical_radius(depth: NDArray[np.float64]) -> float:
    """The median inscribed radius of the nuclei in px, from the peaks of the distance map; 0.0 without any."""
    import numpy as np
    from scipy import ndimage

    smooth = ndimage.gaussian_filter(depth, 1.0)
    peaks = (smooth == ndimage.maximum_filter(smooth, size=7)) & (depth > 1.5)
    return float(np.median(depth[peaks])) if peaks.any() else 0.0


def _opened(images: ImageStore, blob: str) -> NDArray[np.uint8]:
    """The picture as uint8 RGB (H, W, 3) at its own size. Raises ToolRefusedError where the background is not dark."""
    import numpy as np

    pixels = images.open(blob)
    if pixels.unit == "HU":
        raise _refused("a CT slice")
    picture = as_picture(pixels)
    light = picture.max(axis=2)
    if float(np.median(light)) > 0.5 * float(np.percentile(light, 99.5)) or float(np.percentile(light, 10)) > 100:
        raise _refused("a picture without a dark background")
    return picture


def _run(arguments: ScaledImageArguments, images: ImageStore) -> FluorescentNuclei:
    import numpy as np

    picture = _opened(images, arguments.image)
    whole = (picture.shape[0], picture.shape[1])
    shrunk = min(1.0, _LONG_SIDE_PX / max(whole))
    small = resized(picture, (max(1, round(whole[0] * shrunk)), max(1, round(whole[1] * shrunk))))
    grey = small.max(axis=2).astype(np.float32)
    labels = nuclei(grey)
    areas = np.bincount(labels.ravel())[1:]
    areas = areas[areas > 0]
    if not areas.size:
        raise _refused("a picture in which no bright nucleus stands out")
    found = labels > 0
    if float(found.mean()) > _MOST_AREA:
        raise _refused(f"a picture of which bright regions fill {100 * found.mean():.0f} %")
    if wrong := no_nuclei(shapes(labels), largest=_LARGEST, solidity=_LEAST_SOLIDITY, notched=_MOST_NOTCHED):
        raise _refused(wrong)
    scale = 1.0 / shrunk
    diameter = float(np.median(2.0 * np.sqrt(areas / np.pi))) * scale
    step_um = None if arguments.spacing_mm is None else 1000.0 * float(np.mean(arguments.spacing_mm))
    enlarged_labels = enlarged(labels, whole)
    mask = images.put_mask((enlarged_labels > 0) & ~touching(enlarged_labels))
    shown = np.clip(picture.astype(np.float32) * (255.0 / max(32.0, float(np.percentile(grey, 99.7)))), 0, 255)
    return FluorescentNuclei(
        nuclei_count=measured(
            "nuclei_count", areas.size, "1",
            f"{{}} glowing {'nucleus was' if areas.size == 1 else 'nuclei were'} counted in the picture.",
            digits=0, mask=mask, uncertainty=max(1.0, round(_COUNT_ERROR * areas.size, 0)),
        ),
        nuclei_area=measured(
            "nuclei_area", 100.0 * float(found.mean()), "%", "Nuclei cover {} of the picture.", digits=1, mask=mask,
        ),
        nucleus_size=measured(
            "nucleus_size", diameter * (step_um or 1.0), "px" if step_um is None else "um",
            "The median nucleus is {} across.", digits=0 if step_um is None else 1,
        ),
        nucleus_light=measured(
            "nucleus_light", float(grey[found].mean()) - float(np.median(grey[~found])), "1",
            "Nuclei are {} grey levels brighter than the background.", digits=0,
        ),
        overlay=images.put_picture(
            overlay(
                shown.astype(np.uint8), [Drawn(instances=enlarged(labels, whole), label="nuclei")],
                spacing_mm=arguments.spacing_mm,
            )
        ),
        limitations=("Nuclei that overlap are counted together; the overlay shows the light stretched.",),
    )  # fmt: skip


def _refused(got: str) -> ToolRefusedError:
    return ToolRefusedError(
        expected="a fluorescence micrograph: bright nuclei on a dark background",
        got=got,
        fix="name another image of the case, or ask without this tool",
    )


_MOST_AREA = 0.7
_LARGEST, _LEAST_SOLIDITY, _MOST_NOTCHED = 0.3, 0.85, 0.25
"""See `nucleus_shapes`."""
_COUNT_ERROR = 0.12
"""Mean relative error of the count, see the card's figures."""

TOOL = Tool(
    card=ToolCard(
        name="fluorescent_nuclei",
        version="1.0.0",
        summary="Counts and measures glowing nuclei in a fluorescence micrograph.",
        measures=("nuclei count", "nuclei area in %", "nucleus diameter in px or um", "brightness in grey levels"),
        modalities=("microscopy",),
        recommended=False,
        figures=(
            Figure(metric="Dice", value=0.923, dataset="DSB 2018 fluorescence", n=19, interval=(0.898, 0.945)),
            Figure(
                metric="F1 at IoU 0.5, mean over pictures",
                value=0.895,
                dataset="DSB 2018 fluorescence",
                n=19,
                interval=(0.855, 0.934),
            ),
            Figure(
                metric="nuclei count, mean relative error",
                value=0.124,
                dataset="DSB 2018 fluorescence",
                n=19,
                interval=(0.081, 0.167),
                about=("nuclei_count",),
            ),
        ),
        limits=(
            "The figures are optimistic: the constants were chosen on the same pictures.",
            "The learned tool `nuclei` is preferred where it is installed; this one is its reference.",
            "Brightfield pictures are refused.",
        ),
    ),
    arguments=ScaledImageArguments,
    output=FluorescentNuclei,
    run=_run,
)
