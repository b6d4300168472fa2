"""A tumour on a contrast-enhanced MR slice of the head: its outline and size, and which of three types it is likest.

It cannot say that there is no tumour: every slice it was trained on shows one.

Method: a U-Net (Ronneberger et al., MICCAI 2015) at 128 px gives for each pixel whether it is tumour, and which type
then; its maps for the slice turned by quarters and mirrored are averaged. Trained on slices of BRISC 2025 (Fateh et
al., arXiv:2506.14318) by `polyclinic train brain_tumour`. Brightness is measured against the median of the head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...core.errors import SetupError, ToolRefusedError
from ..card import Detection, Measurement, ScaledImageArguments, Tool, ToolCard, ToolOutput, measured
from ..classical.lesion_size import axes
from ..pictures import Drawn, as_picture, overlay
from .cards import figures_of, shipped_card, weights_of
from .framing import Frame, turned_back, turned_ways
from .network import Network

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..imaging.store import ImageStore

NAME = "brain_tumour"
TYPES = ("glioma", "meningioma", "pituitary adenoma")
FINDINGS = ("glioma", "meningioma", "pituitary-adenoma")
SETTINGS: dict[str, Any] = {
    "side_px": 128,
    "dark": 0.15,
    "brightest": 6.0,
    "threshold": 0.5,
    "least_of_largest": 0.4,
}
SURE = 0.8
"""From this calibrated probability on a type is claimed."""

_MOST_COLOUR = 40.0
_SHORTEST_PX = 96


class BrainTumour(ToolOutput):
    """The tumour's area, share of the head and longest diameter, and the probability of its likeliest type."""

    tumour_area: Measurement
    tumour_share: Measurement
    tumour_diameter: Measurement
    type_probability: Measurement
    other_types: tuple[Measurement, ...]
    detections: tuple[Detection, ...]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the network makes of a slice: how much each pixel is tumour (H, W; 0 to 1), the tumour itself (H, W), and
    the shares of the TYPES within it before calibration (3,)."""

    share: NDArray[np.float32]
    tumour: NDArray[np.bool_]
    types: NDArray[np.float64]


def framed(grey: NDArray[np.float32]) -> tuple[NDArray[np.float32], Frame]:
    """A grey slice (H, W) of any range as the network takes it (1, side, side), and the frame that shows."""
    import numpy as np

    frame = Frame.around(grey.shape)
    small = frame.cut((grey - min(0.0, float(grey.min())))[None], SETTINGS["side_px"])
    head = small > SETTINGS["dark"] * np.percentile(small, 99)
    middle = float(np.median(small[head])) if head.any() else 0.0
    return np.clip(small / max(middle, 1e-6), 0.0, SETTINGS["brightest"]).astype(np.float32), frame


def look(grey: NDArray[np.float32], network: Network) -> Seen:
    """What is found on a grey slice (H, W) of any range."""
    import numpy as np

    x, frame = framed(grey)
    logits = np.concatenate([network.run(each[None])[0] for each in turned_ways(x)])
    inside = 1.0 / (1.0 + np.exp(-np.clip(logits[:, :1], -30.0, 30.0)))
    steep = np.exp(logits[:, 1:] - logits[:, 1:].max(axis=1, keepdims=True))
    maps = turned_back(np.concatenate([inside, steep / steep.sum(axis=1, keepdims=True)], axis=1, dtype=np.float32))
    share = frame.put_back(maps, grey.shape)[0]
    weight = np.where(maps[0] >= SETTINGS["threshold"], maps[0], 0.0) + 1e-6 * maps[0]
    types = (maps[1:] * weight).sum(axis=(1, 2)) / weight.sum()
    return Seen(share=share, tumour=outlined_tumour(share), types=types.astype(np.float64))


def outlined_tumour(share: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The regions (H, W) above the threshold that are not small beside the heaviest of them."""
    import numpy as np
    from scipy import ndimage

    labels, count = ndimage.label(share >= SETTINGS["threshold"])
    if not count:
        return np.zeros(share.shape, dtype=np.bool_)
    weights = np.concatenate([[0.0], ndimage.sum(share, labels, np.arange(1, count + 1))])
    return np.asarray(ndimage.binary_fill_holes((weights >= SETTINGS["least_of_largest"] * weights.max())[labels]))


def probabilities(types: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Calibrated probabilities (3,) of the types from the network's shares (3,) (Guo et al., ICML 2017)."""
    import numpy as np

    scaled = np.log(np.clip(types, 1e-6, 1.0)) / temperature
    steep = np.exp(scaled - scaled.max())
    return np.asarray(steep / steep.sum(), dtype=np.float64)


def _open_slice(images: ImageStore, blob: str) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """A slice's grey values (H, W) and the picture (H, W, 3) to draw on."""
    import numpy as np

    pixels = images.open(blob)
    if pixels.unit == "HU":
        raise _refused("a CT slice in Hounsfield units")
    picture = as_picture(pixels)
    if min(picture.shape[:2]) < _SHORTEST_PX:
        raise _refused(f"a picture of {picture.shape[1]} × {picture.shape[0]} px")
    if float(np.percentile(np.ptp(picture.astype(np.int16), axis=2), 90)) > _MOST_COLOUR:
        raise _refused("a picture in colour")
    grey = pixels.array.astype(np.float32)
    return (grey.mean(axis=2) if grey.ndim == 3 else grey), picture


def _run(arguments: ScaledImageArguments, images: ImageStore) -> BrainTumour:
    import numpy as np
    from scipy import ndimage

    grey, picture = _open_slice(images, arguments.image)
    seen = look(grey, Network.shipped(NAME))
    if not seen.tumour.any():
        raise _refused("a slice on which no region stands out as one")
    spacing, unit = (arguments.spacing_mm or (1.0, 1.0)), ("mm" if arguments.spacing_mm else "px")
    shares = probabilities(seen.types, _temperature())
    order = np.argsort(-shares, kind="stable")
    first = int(order[0])
    rows, columns = ndimage.find_objects(seen.tumour.astype(np.uint8))[0]
    box = (columns.start, rows.start, columns.stop, rows.stop)
    mask = images.put_mask(seen.tumour)
    head = ndimage.binary_fill_holes(grey > SETTINGS["dark"] * np.percentile(grey, 99))
    return BrainTumour(
        tumour_area=measured(
            "tumour_area", float(seen.tumour.sum()) * spacing[0] * spacing[1], f"{unit}2",
            "The region outlined as tumour covers {}.", digits=0, mask=mask, box_px=box,
        ),
        tumour_share=measured(
            "tumour_share", 100.0 * float(seen.tumour.sum()) / max(1.0, float((head | seen.tumour).sum())), "%",
            "The tumour makes up {} of the head on this slice.", digits=1, mask=mask,
        ),
        tumour_diameter=measured(
            "tumour_diameter", axes(seen.tumour, spacing).long, unit, "The tumour is {} across at its longest.",
            digits=0, mask=mask, box_px=box,
        ),
        type_probability=measured(
            f"{TYPES[first]} probability", float(shares[first]), "1",
            f"If it is one of three types of tumour, a trained model takes it for a {TYPES[first]}, probability {{}}.",
            digits=2, probability=True, finding=FINDINGS[first],
            says="present" if shares[first] >= SURE else "undecided",
        ),
        other_types=tuple(
            measured(
                f"{TYPES[k]} probability", float(shares[k]), "1", f"The probability of a {TYPES[k]} is {{}}.", digits=2,
                probability=True, finding=FINDINGS[k],
                says="absent" if shares[k] <= (1.0 - SURE) / 2.0 else "undecided",
            )
            for k in order[1:]
        ),
        detections=(
            Detection(label=TYPES[first], box_px=box, score=round(float(seen.share[seen.tumour].mean()), 3)),
        ),
        overlay=images.put_picture(
            overlay(
                picture,
                [Drawn(mask=seen.tumour, label=f"{TYPES[first]} {shares[first]:.2f}")],
                spacing_mm=arguments.spacing_mm,
            )
        ),
        limitations=(
            "It was trained on slices with a tumour alone: it cannot rule one out, and outlines something on most.",
            *(() if arguments.spacing_mm else ("No pixel spacing is known: lengths are in pixels.",)),
        ),
    )  # fmt: skip


def _temperature() -> float:
    calibration = shipped_card(NAME).calibration
    if "temperature" not in calibration:
        raise SetupError(
            expected=f"a card {NAME}.json with its calibration",
            got="one without 'temperature'",
            fix=f"type: polyclinic train {NAME} --data DIR --out DIR",
        )
    return calibration["temperature"]


def _refused(got: str) -> ToolRefusedError:
    return ToolRefusedError(
        expected="an MR slice of a head with a tumour",
        got=got,
        fix="name another image of the case, or ask without this tool",
    )


def _check() -> None:
    Network.shipped(NAME)
    _temperature()


TOOL = Tool(
    card=ToolCard(
        name="brain_tumour",
        version="1.0.0",
        summary="Outlines a tumour on an MR slice of the head with a trained network, and names its likeliest type.",
        measures=(
            "tumour area in mm2, or in px2 without a pixel spacing",
            "tumour area in % of the head",
            "longest diameter in mm or px",
            "probabilities of glioma, meningioma and pituitary adenoma, given that it is one of them",
        ),
        modalities=("mr",),
        body_parts=("brain", "head", "pituitary"),
        shelf="learned",
        provenance="a U-Net trained on 30 slices of BRISC 2025 by the recipe `brain_tumour`",
        weights=weights_of(NAME),
        figures=figures_of(NAME),
        limits=(
            "It cannot say that there is no tumour: every slice it was trained on shows one.",
            "30 slices, mostly T1 after contrast medium; six gliomas. Other sequences lie outside.",
            "The set does not say which slices belong to one patient, so patients may be in several folds.",
            "Metastases, abscesses and every other mass are given one of the three names.",
        ),
    ),
    arguments=ScaledImageArguments,
    output=BrainTumour,
    run=_run,
    check=_check,
)
