"""Retinal vessels in a colour fundus photograph by a trained network: their mask, their density, their width.

Method: the green channel, once against its local background and once against the whole field of view, at a field width
of 640 px; a U-Net (Ronneberger et al., MICCAI 2015) trained on CHASE_DB1 (Fraz et al., IEEE Trans Biomed Eng
2012;59:2538-2548) by `polyclinic train vessels`. The field of view and the refusals are those of `fundus_vessels`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...core.errors import ToolRefusedError
from ..card import ImageArguments, Measurement, Tool, ToolCard, ToolOutput, measured
from ..classical.fundus_field import ROUND_FIELD_FIGURES, ROUND_FIELD_LIMIT
from ..classical.fundus_vessels import open_fundus
from ..imaging.raster import resized
from ..pictures import Drawn, overlay
from .cards import figures_of, weights_of
from .framing import resampled, run_whole
from .network import Network

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..imaging.store import ImageStore

NAME = "vessels"
SETTINGS: dict[str, Any] = {
    "field_width_px": 640,
    "background_px": 25.0,
    "rim_px": 4,
    "limit": 4.0,
    "threshold": 0.32,
    "smallest_px": 45,
}
_MULTIPLE = 8
_FEWEST_PERCENT = 1.0


class Vessels(ToolOutput):
    """Vessel density and width with the vessel mask, and the size of the field of view they refer to."""

    vessel_density: Measurement
    vessel_width: Measurement
    field_of_view: Measurement


@dataclass(frozen=True, kw_only=True)
class Framed:
    """A fundus photograph as the network takes it: two maps (2, h, w), the field in them without its dark rim, and the
    rows and columns of the picture they show."""

    x: NDArray[np.float32]
    inside: NDArray[np.bool_]
    rows: slice
    columns: slice


def framed(rgb: NDArray[np.uint8], field: NDArray[np.bool_]) -> Framed:
    """The part of uint8 RGB (H, W, 3) that `field` (H, W) fills, at the network's field width."""
    import numpy as np
    from scipy import ndimage

    rows, columns = ndimage.find_objects(field.astype(np.uint8))[0]
    green, lit = rgb[rows, columns, 1].astype(np.float32), field[rows, columns]
    scale = SETTINGS["field_width_px"] / lit.shape[1]
    shape = (max(1, round(lit.shape[0] * scale)), SETTINGS["field_width_px"])
    small, share = resampled(np.stack([green, lit.astype(np.float32)]), shape)
    inside = ndimage.binary_erosion(share > 0.5, iterations=SETTINGS["rim_px"])
    x = np.stack([_against_surroundings(small, inside), small - small[inside].mean()])
    spread = np.maximum(x[:, inside].std(axis=1), (1e-3, 1.0))[:, None, None]
    x = np.where(inside, np.clip(x / spread, -SETTINGS["limit"], SETTINGS["limit"]), 0.0).astype(np.float32)
    return Framed(x=x, inside=inside, rows=rows, columns=columns)


def _against_surroundings(green: NDArray[np.float32], inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """How much brighter each pixel is than the field around it, as a fraction."""
    import numpy as np
    from scipy import ndimage

    weight, sigma = inside.astype(np.float32), SETTINGS["background_px"]
    around = ndimage.gaussian_filter(green * weight, sigma) / np.maximum(ndimage.gaussian_filter(weight, sigma), 1e-3)
    floor = max(10.0, 0.5 * float(np.median(around[inside])))  # the noise of dark corners is no vessel
    return np.asarray((green - around) / np.maximum(around, floor), dtype=np.float32)


def vessel_mask(rgb: NDArray[np.uint8], field: NDArray[np.bool_], network: Network) -> NDArray[np.bool_]:
    """The vessels (H, W) inside `field`; rgb is uint8 (H, W, 3)."""
    import numpy as np
    from skimage.morphology import remove_small_objects

    part = framed(rgb, field)
    (logits,) = run_whole(network, part.x, multiple=_MULTIPLE)
    share = np.where(part.inside, 1.0 / (1.0 + np.exp(-logits[0])), 0.0).astype(np.float32)
    found = share > SETTINGS["threshold"]
    share[found & ~remove_small_objects(found, max_size=SETTINGS["smallest_px"])] = 0.0
    lit = field[part.rows, part.columns]
    mask = np.zeros(field.shape, dtype=np.bool_)
    shape = (lit.shape[0], lit.shape[1])
    mask[part.rows, part.columns] = (resampled(share[None], shape)[0] > SETTINGS["threshold"]) & lit
    return mask


def mean_width(vessels: NDArray[np.bool_]) -> float:
    """The mean width of `vessels` (H, W) in px: their area over the length of their centre lines; 0.0 without any.

    Steps along a centre line count 1 or √2.
    """
    import numpy as np
    from scipy import ndimage
    from skimage.morphology import skeletonize

    line = skeletonize(vessels != 0)  # Pillow hands out truths of 255, on which it crashes
    if not line.any():
        return 0.0
    neighbours = ndimage.convolve(line.astype(np.uint8), np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]]), mode="constant")
    corners = ndimage.convolve(line.astype(np.uint8), np.array([[1, 0, 1], [0, 0, 0], [1, 0, 1]]), mode="constant")
    length = 0.5 * float(neighbours[line].sum() + np.sqrt(2.0) * corners[line].sum())
    return float(vessels.sum()) / max(1.0, length)


def _run(arguments: ImageArguments, images: ImageStore) -> Vessels:
    rgb, field = open_fundus(images, arguments.image)
    vessels = vessel_mask(rgb, field, Network.shipped(NAME))
    density = 100.0 * float(vessels.sum()) / float(field.sum())
    if density < _FEWEST_PERCENT:
        raise ToolRefusedError(
            expected="a colour fundus photograph with vessels",
            got=f"a field of view of which vessels cover {density:.1f} %",
            fix="name another image of the case, or ask without this tool",
        )
    mask = images.put_mask(vessels)
    width = int(field.any(axis=0).sum())
    small = resized(
        vessels, (max(1, round(1024 * vessels.shape[0] / width)), max(1, round(1024 * vessels.shape[1] / width)))
    )
    return Vessels(
        vessel_density=measured(
            "vessel_density", density, "%", "Retinal vessels cover {} of the field of view.", digits=1, mask=mask,
            uncertainty=_density_error(),
        ),
        vessel_width=measured(
            "vessel_width", 100.0 * mean_width(small) / SETTINGS["field_width_px"], "%",
            "The mean retinal vessel is as wide as {} of the field of view's width.", digits=2, mask=mask,
        ),
        field_of_view=measured(
            "field_of_view", 100.0 * float(field.mean()), "%", "The field of view fills {} of the picture.", digits=0,
            mask=images.put_mask(field),
        ),
        overlay=images.put_picture(overlay(rgb, [Drawn(mask=vessels, label="vessels")])),
        limitations=("Fine vessels are missed, so a density is comparable only between pictures of one camera.",),
    )  # fmt: skip


DENSITY_ERROR = "vessel density, mean absolute error in percentage points"


def _density_error() -> float | None:
    """The worst of the card's mean absolute errors, in percentage points."""
    return max((round(figure.value, 1) for figure in figures_of(NAME) if figure.metric == DENSITY_ERROR), default=None)


def _check() -> None:
    Network.shipped(NAME)


TOOL = Tool(
    card=ToolCard(
        name="fundus_vessels_net",
        version="1.0.0",
        summary="Segments retinal vessels in a colour fundus photograph with a trained network.",
        measures=(
            "vessel density in % of the field of view",
            "mean vessel width in % of the field's width",
            "field of view in % of the picture",
        ),
        modalities=("fundus",),
        shelf="learned",
        provenance="a U-Net trained on CHASE_DB1 by the recipe `vessels`",
        weights=weights_of(NAME),
        figures=(*figures_of(NAME), *ROUND_FIELD_FIGURES),
        limits=(
            "No distinction of arteries and veins.",
            "Trained on healthy children's eyes: bleeding and scars may be taken for vessels.",
            "Vessels thinner than about 2 px of 640 are missed.",
            "The threshold was chosen while looking at DRIVE: its figure is not blind.",
            ROUND_FIELD_LIMIT,
        ),
    ),
    arguments=ImageArguments,
    output=Vessels,
    run=_run,
    check=_check,
)
