"""Pneumonia against no finding on a frontal chest radiograph: a calibrated probability.

It says nothing of other findings, and not where in the lungs the score comes from.

Method: logistic regression on what is left of a picture without its brightness and contrast: histograms of oriented
gradients (Dalal & Triggs, CVPR 2005) of the whole picture and of the lungs, the energy of four bands of detail in
twelve zones of each lung, and local binary patterns (Ojala et al., IEEE Trans Pattern Anal Mach Intell
2002;24:971-987). The lungs are those of `lung_boxes`. Trained on ChestX-ray8 (Wang et al., CVPR 2017) by
`polyclinic train pneumonia`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from ...core.errors import SetupError
from ..card import ImageArguments, Measurement, Tool, ToolCard, ToolOutput, measured
from ..pictures import Drawn, overlay
from . import lung_boxes
from .cards import figures_of, shipped_card, weights_of
from .lung_boxes import checked, find_lungs, grey_chest, mirrored
from .network import Network

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..imaging.store import ImageStore

NAME = "pneumonia"
SETTINGS: dict[str, Any] = {
    "sides_and_cells_px": [[64, 16], [96, 16], [128, 32]],
    "orientations": 9,
    "margin": 0.05,
    "source_px": 256,
    "lung_px": [128, 96],
    "bands_px": [[0.7, 1.5], [1.5, 3.0], [3.0, 6.0], [6.0, 12.0]],
    "zones": [4, 3],
    "pattern_radii_px": [1, 2, 4],
}
_CONSTANTS = ("slope", "offset", "absent below", "present from")


class Pneumonia(ToolOutput):
    """The probability of pneumonia, where the only other possibility is a radiograph without a finding."""

    pneumonia_probability: Measurement


def features(grey: NDArray[Any], boxes: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Of a grey radiograph (H, W) of any range with its lungs' boxes (2, 4; fractions): features of the lungs and of
    the whole picture, none of which changes with brightness or contrast."""
    import numpy as np

    low, high = np.percentile(grey, (0.5, 99.5))
    light = np.clip((grey - low) / max(float(high - low), 1e-6), 0.0, 1.0).astype(np.float32)
    corners = np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])
    margin = np.tile(SETTINGS["margin"] * (corners[2:] - corners[:2]), 2) * np.array([-1, -1, 1, 1])
    side = SETTINGS["source_px"]
    lungs = [_cut(light, box, (SETTINGS["lung_px"][0], SETTINGS["lung_px"][1])) for box in boxes]
    pair = np.stack([lungs[0], lungs[1][:, ::-1]])  # both with the heart's side to the right
    inside = [_gradients(_cut(light, corners + margin, (side, side))), _bands(pair), _patterns(pair)]
    return np.concatenate(inside, dtype=np.float32), _gradients(light)


def _cut(light: NDArray[np.float32], frame: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float32]:
    """What `frame` (x0, y0, x1, y1; fractions) shows of a picture (H, W), at `shape`; edges are repeated beyond it."""
    import numpy as np
    from scipy import ndimage

    rows, columns = (
        (frame[axis] + (frame[axis + 2] - frame[axis]) * (np.arange(2 * size) + 0.5) / (2 * size)) * length - 0.5
        for axis, size, length in ((1, shape[0], light.shape[0]), (0, shape[1], light.shape[1]))
    )
    cut = ndimage.map_coordinates(light, np.meshgrid(rows, columns, indexing="ij"), order=1, mode="nearest")
    return np.asarray(cut.reshape(shape[0], 2, shape[1], 2).mean(axis=(1, 3)), dtype=np.float32)


def _gradients(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """Histograms of oriented gradients at each size, one after the other."""
    import numpy as np
    from PIL import Image
    from skimage.feature import hog

    picture, found = Image.fromarray(light), []
    for side, cell in SETTINGS["sides_and_cells_px"]:
        small = np.asarray(picture.resize((side, side), Image.Resampling.BOX), dtype=np.float32)
        found.append(hog(small, SETTINGS["orientations"], (cell, cell), (2, 2), block_norm="L2-Hys"))
    return np.concatenate(found, dtype=np.float32)


def _bands(pair: NDArray[np.float32]) -> NDArray[np.float32]:
    """The logarithm of the energy of each band of detail in each zone of both lungs (2, h, w), against their spread."""
    import numpy as np
    from scipy import ndimage

    standard = (pair - pair.mean()) / (pair.std() + 1e-6)
    rows, columns = SETTINGS["zones"]
    zones = (2, rows, pair.shape[1] // rows, columns, pair.shape[2] // columns)
    found = []
    for fine, coarse in SETTINGS["bands_px"]:
        band = ndimage.gaussian_filter(standard, (0, fine, fine)) - ndimage.gaussian_filter(
            standard, (0, coarse, coarse)
        )
        found.append(np.log((band**2).reshape(zones).mean(axis=(2, 4)) + 1e-5).ravel())
    return np.concatenate(found, dtype=np.float32)


def _patterns(pair: NDArray[np.float32]) -> NDArray[np.float32]:
    """Root shares of uniform local binary patterns at each radius, of both lungs (2, h, w) together."""
    import numpy as np
    from scipy.stats import rankdata
    from skimage.feature import local_binary_pattern

    ranks = (255.0 * (rankdata(pair) - 1.0) / (pair.size - 1)).astype(np.uint8).reshape(pair.shape)
    found = []
    for radius in SETTINGS["pattern_radii_px"]:
        codes = [local_binary_pattern(lung, 8, radius, "uniform") for lung in ranks]
        shares = [np.bincount(code.astype(np.int64).ravel(), minlength=10) / code.size for code in codes]
        found.append(np.sqrt(shares[0]) + np.sqrt(shares[1]))
    return np.concatenate(found, dtype=np.float32)


def brightness(grey: NDArray[Any]) -> NDArray[np.float32]:
    """Mean, spread and five percentiles of a picture: what a short cut would go by. It is measured, never used."""
    import numpy as np

    values = [grey.mean(), grey.std(), *np.percentile(grey, (5, 25, 50, 75, 95))]
    return np.array(values, dtype=np.float32)


def both_ways(grey: NDArray[Any], boxes: NDArray[np.float64]) -> NDArray[np.float32]:
    """The network's input (2, F) for a radiograph and for its mirror image."""
    import numpy as np

    turned = np.ascontiguousarray(grey[:, ::-1])
    seen = ((grey, boxes), (turned, mirrored(boxes)))
    return np.stack([np.concatenate([*features(*each), brightness(grey)]) for each in seen])


def logits(grey: NDArray[Any], boxes: NDArray[np.float64], network: Network) -> tuple[float, float, float]:
    """Before calibration, from the picture and its mirror image: of all features, of the lungs' alone, and of
    brightness alone."""
    found = network.run(both_ways(grey, boxes)[:, None, None, :])[0].mean(axis=0)
    return float(found[0]), float(found[1]), float(found[2])


def probability(logit: float, calibration: dict[str, float]) -> float:
    import math

    steep = max(-30.0, min(30.0, calibration["slope"] * logit + calibration["offset"]))
    return 1.0 / (1.0 + math.exp(-steep))


def said(share: float, calibration: dict[str, float]) -> Literal["present", "absent", "undecided"]:
    """What the tool claims at a probability."""
    if share >= calibration["present from"]:
        return "present"
    return "absent" if share < calibration["absent below"] else "undecided"


def _calibration() -> dict[str, float]:
    calibration = shipped_card(NAME).calibration
    missing = [name for name in _CONSTANTS if name not in calibration]
    if missing:
        raise SetupError(
            expected=f"a card {NAME}.json with its calibration",
            got=f"one without {missing[0]!r}",
            fix=f"type: polyclinic train {NAME} --data DIR --out DIR",
        )
    return calibration


_SENTENCES = {
    "present": "A trained model takes this radiograph for pneumonia rather than no finding, probability {}.",
    "absent": "A trained model takes this radiograph for one without a finding, probability of pneumonia {}.",
    "undecided": "A trained model cannot tell pneumonia from no finding here, probability of pneumonia {}.",
}


def _run(arguments: ImageArguments, images: ImageStore) -> Pneumonia:
    grey, picture = grey_chest(images, arguments.image)
    lungs = checked(find_lungs(grey, Network.shipped(lung_boxes.NAME)))
    calibration = _calibration()
    whole, lungs_alone, _ = logits(grey, lungs.boxes, Network.shipped(NAME))
    share = round(probability(whole, calibration), 2)
    claim = said(share, calibration)
    height, width = grey.shape
    frames = [
        Drawn(box=(round(x0 * width), round(y0 * height), round(x1 * width), round(y1 * height)), label=label)
        for (x0, y0, x1, y1), label in zip(lungs.boxes.tolist(), ("right lung", "left lung"), strict=True)
    ]
    limitations = ["The only two possibilities it knows are pneumonia and no finding: other findings mislead it."]
    if (whole > 0.0) != (lungs_alone > 0.0):
        limitations.append("The lungs alone point the other way: posture, markers or the body's shape weigh in here.")
    return Pneumonia(
        pneumonia_probability=measured(
            "pneumonia_probability", share, "1", _SENTENCES[claim], digits=2, finding="pneumonia", says=claim,
            probability=True,
        ),
        overlay=images.put_picture(overlay(picture, frames)),
        limitations=tuple(limitations),
    )  # fmt: skip


def _check() -> None:
    Network.shipped(lung_boxes.NAME)
    Network.shipped(NAME)
    _calibration()


TOOL = Tool(
    card=ToolCard(
        name="pneumonia",
        version="1.0.0",
        summary="Gives a probability of pneumonia against no finding on a frontal chest radiograph.",
        measures=("probability of pneumonia where the only other possibility is no finding",),
        modalities=("xray",),
        body_parts=("chest",),
        not_views=("lateral", "oblique"),
        shelf="learned",
        provenance="logistic regression on gradients and texture, trained by the recipe `pneumonia`",
        weights=weights_of(NAME),
        figures=figures_of(NAME),
        limits=(
            "The labels were mined from reports and are noisy; half of the training pictures show pneumonia, so where "
            "it is rarer the probability is too high.",
            "The features were chosen by repeated cross-validation on the same 111 pictures: the figures are a little "
            "optimistic.",
            "Brightness alone tells these pictures apart to some degree (see the figures), as bedside pictures are "
            "exposed otherwise and show sicker patients; it is kept from the model, the outline of the body is not.",
            "Adults of one hospital. Not for any other finding, and no statement of where or what kind.",
        ),
    ),
    arguments=ImageArguments,
    output=Pneumonia,
    run=_run,
    check=_check,
)
