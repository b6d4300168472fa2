"""Both lungs on a frontal chest radiograph: a box around each, its width and height. It draws no outline of a lung.

Method: ridge regression on histograms of oriented gradients (Dalal & Triggs, CVPR 2005) finds both boxes on the whole
picture; a second one, on the part around them, corrects them three times over (a cascade: Dollár et al., CVPR 2010).
Picture and mirror image are read alike and averaged. A third regression tells an upright chest from turned ones and
from parts of one; what it does not take for a chest is refused. Trained on the CC BY part of a set of boxes by
`polyclinic train lung_boxes`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...core.errors import ToolRefusedError
from ..card import Box, Detection, Measurement, ScaledImageArguments, Tool, ToolCard, ToolOutput, measured
from ..pictures import Drawn, as_picture, overlay
from .cards import figures_of, weights_of
from .network import Network

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..imaging.store import ImageStore

NAME = "lung_boxes"
SETTINGS: dict[str, Any] = {
    "source_px": 256,
    "side_px": 128,
    "cell_px": 16,
    "orientations": 9,
    "coarse_px": 16,
    "coarse_weight": 0.1,
    "margin": 0.12,
    "corrections": 3,
}
SIDE_ERROR = "width or height of a lung's box, mean absolute error in %"
LEAST_LIKENESS = 0.45
_MOST_COLOUR = 60.0
_SHORTEST_PX = 64


class LungBoxes(ToolOutput):
    """The box of each lung (`detections`), and the boxes' widths and heights."""

    right_lung_width: Measurement
    right_lung_height: Measurement
    left_lung_width: Measurement
    left_lung_height: Measurement
    detections: tuple[Detection, ...]


@dataclass(frozen=True, kw_only=True)
class Lungs:
    """Boxes (2, 4) of the right and the left lung as fractions of the picture's width and height (x0, y0, x1, y1), and
    how much what lies around them is like an upright chest (`likeness`: 1 for one, 0 for anything else)."""

    boxes: NDArray[np.float64]
    likeness: float


def squared(grey: NDArray[Any]) -> NDArray[np.float32]:
    """A grey picture (H, W) of any range as the float32 square the boxes are looked for in."""
    import numpy as np
    from PIL import Image

    side = SETTINGS["source_px"]
    small = Image.fromarray(grey.astype(np.float32)).resize((side, side), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float32)


def part_of(square: NDArray[np.float32], frame: NDArray[np.float64]) -> NDArray[np.float32]:
    """What `frame` (x0, y0, x1, y1; fractions) shows of `square`, (side, side) from 0 to 1; 0 beyond the picture."""
    import numpy as np
    from scipy import ndimage

    side, length = SETTINGS["side_px"], square.shape[0]
    steps = (np.arange(2 * side) + 0.5) / (2 * side)
    columns = (frame[0] + (frame[2] - frame[0]) * steps) * length - 0.5
    rows = (frame[1] + (frame[3] - frame[1]) * steps) * length - 0.5
    inside = np.logical_and.outer(*((at >= -0.5) & (at <= length - 0.5) for at in (rows, columns)))
    if not inside.any():
        return np.zeros((side, side), dtype=np.float32)
    cut = ndimage.map_coordinates(square, np.meshgrid(rows, columns, indexing="ij"), order=1, mode="nearest")
    low, high = np.percentile(cut[inside], (1, 99))
    scaled = np.where(inside, np.clip((cut - low) / max(float(high - low), 1e-3), 0.0, 1.0), 0.0)
    return np.asarray(scaled.reshape(side, 2, side, 2).mean(axis=(1, 3)), dtype=np.float32)


def features(part: NDArray[np.float32]) -> NDArray[np.float32]:
    """Histograms of gradients of a part (side, side), and its brightness on a coarse grid: (F,)."""
    import numpy as np
    from skimage.feature import hog

    cell, coarse = SETTINGS["cell_px"], SETTINGS["coarse_px"]
    gradients = hog(part, SETTINGS["orientations"], (cell, cell), (2, 2), block_norm="L2-Hys")
    size = part.shape[0] // coarse
    light = part.reshape(coarse, size, coarse, size).mean(axis=(1, 3))
    light = (light - light.mean()) / (light.std() + 1e-3)
    return np.concatenate([gradients, SETTINGS["coarse_weight"] * light.ravel()], dtype=np.float32)


def find_lungs(grey: NDArray[Any], network: Network) -> Lungs:
    """The lungs on a grey picture (H, W) of any range."""
    import numpy as np

    square = squared(grey)
    boxes, _ = _read(square, np.array([0.0, 0.0, 1.0, 1.0]), network, 0)
    likeness = 0.0
    for _ in range(SETTINGS["corrections"]):
        boxes, likeness = _read(square, frame_around(boxes), network, 1)
    return Lungs(boxes=boxes, likeness=likeness)


def _read(
    square: NDArray[np.float32], frame: NDArray[np.float64], network: Network, stage: int
) -> tuple[NDArray[np.float64], float]:
    """Boxes (2, 4) as fractions of the picture, read from `frame` and its mirror image; and the frame's likeness."""
    import numpy as np

    frames = (frame, mirrored(frame[None])[0])
    turned = np.ascontiguousarray(square[:, ::-1])
    x = np.stack([features(part_of(seen, where)) for seen, where in zip((square, turned), frames, strict=True)])
    outputs = network.run(x[:, None, None, :])
    found = outputs[stage].astype(np.float64).reshape(2, 2, 4)
    boxes = [np.clip(from_frame(box, where), 0.0, 1.0) for box, where in zip(found, frames, strict=True)]
    return (boxes[0] + mirrored(boxes[1])) / 2.0, float(outputs[2].mean())


def frame_around(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """The frame (4,) around boxes (2, 4), with a margin."""
    import numpy as np

    corners = np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])
    margin = SETTINGS["margin"] * np.maximum(corners[2:] - corners[:2], 0.05)
    return np.concatenate([corners[:2] - margin, corners[2:] + margin])


def mirrored(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Boxes (n, 4) on the picture's mirror image: the right lung's becomes the left one's."""
    import numpy as np

    turned = boxes[::-1]
    return np.stack([1.0 - turned[:, 2], turned[:, 1], 1.0 - turned[:, 0], turned[:, 3]], axis=1)


def from_frame(boxes: NDArray[np.float64], frame: NDArray[np.float64]) -> NDArray[np.float64]:
    """Boxes (n, 4) given as fractions of `frame`, as fractions of the picture."""
    import numpy as np

    return np.asarray(boxes * np.tile(frame[2:] - frame[:2], 2) + np.tile(frame[:2], 2), dtype=np.float64)


def into_frame(boxes: NDArray[np.float64], frame: NDArray[np.float64]) -> NDArray[np.float64]:
    """The reverse of `from_frame`."""
    import numpy as np

    return np.asarray((boxes - np.tile(frame[:2], 2)) / np.tile(frame[2:] - frame[:2], 2), dtype=np.float64)


def intersection_over_union(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """For boxes (..., 4) pair by pair; 0 where both are empty."""
    import numpy as np

    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    common = np.prod(np.maximum(sides, 0.0), axis=-1)
    areas = [np.prod(np.maximum(box[..., 2:] - box[..., :2], 0.0), axis=-1) for box in (a, b)]
    return np.asarray(common / np.maximum(areas[0] + areas[1] - common, 1e-12), dtype=np.float64)


def grey_chest(images: ImageStore, blob: str) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """A radiograph's grey values (H, W) and the picture (H, W, 3) to draw on. Refuses what is in colour or tiny."""
    import numpy as np

    pixels = images.open(blob)
    if pixels.unit == "HU":
        raise _refused("a CT slice in Hounsfield units")
    picture = as_picture(pixels)
    if min(picture.shape[:2]) < _SHORTEST_PX:
        raise _refused(f"a picture of {picture.shape[1]} × {picture.shape[0]} px")
    colour = float(np.percentile(np.ptp(picture.astype(np.int16), axis=2), 75))
    if colour > _MOST_COLOUR:
        raise _refused("a picture in colour")
    grey = pixels.array.astype(np.float32)
    return (grey.mean(axis=2) if grey.ndim == 3 else grey), picture


def checked(lungs: Lungs) -> Lungs:
    """The same lungs. Refuses what does not look like two lungs side by side."""
    import numpy as np

    boxes = lungs.boxes
    sides = boxes[:, 2:] - boxes[:, :2]
    overlap = (boxes[0, 2] - boxes[1, 0]) / max(1e-6, float(sides[:, 0].min()))
    level = np.minimum(boxes[0, 3], boxes[1, 3]) - np.maximum(boxes[0, 1], boxes[1, 1])
    if lungs.likeness < LEAST_LIKENESS:
        raise _refused(
            "a picture unlike one: a lateral view, one that lies on its side, or another part of the body "
            f"(likeness {lungs.likeness:.2f} of at least {LEAST_LIKENESS})"
        )
    if float(sides.min()) < 0.1 or overlap > 0.35 or level < 0.5 * float(sides[:, 1].min()):
        raise _refused("a picture without two lungs side by side")
    return lungs


def _run(arguments: ScaledImageArguments, images: ImageStore) -> LungBoxes:
    grey, picture = grey_chest(images, arguments.image)
    lungs = checked(find_lungs(grey, Network.shipped(NAME)))
    height, width = grey.shape
    boxes: list[Box] = [
        (round(x0 * width), round(y0 * height), round(x1 * width), round(y1 * height))
        for x0, y0, x1, y1 in lungs.boxes.tolist()
    ]
    spacing, unit = (arguments.spacing_mm or (1.0, 1.0)), ("mm" if arguments.spacing_mm else "px")
    error = _side_error()

    def side(name: str, text: str, box: Box, extent_px: int, each: float) -> Measurement:
        value = extent_px * each
        return measured(
            name, value, unit, text, digits=0, box_px=box,
            uncertainty=None if error is None else round(error * value / 100.0, 0),
        )  # fmt: skip

    right, left = boxes
    return LungBoxes(
        right_lung_width=side("right_lung_width", "The right lung is {} wide.", right, right[2] - right[0], spacing[1]),
        right_lung_height=side(
            "right_lung_height", "The right lung is {} high.", right, right[3] - right[1], spacing[0]
        ),
        left_lung_width=side("left_lung_width", "The left lung is {} wide.", left, left[2] - left[0], spacing[1]),
        left_lung_height=side("left_lung_height", "The left lung is {} high.", left, left[3] - left[1], spacing[0]),
        detections=tuple(
            Detection(label=f"{name} lung", box_px=box, score=round(min(1.0, max(0.0, lungs.likeness)), 3))
            for name, box in (("right", right), ("left", left))
        ),
        overlay=images.put_picture(
            overlay(
                picture,
                [Drawn(box=right, label="right lung"), Drawn(box=left, label="left lung")],
                spacing_mm=arguments.spacing_mm,
            )
        ),
        limitations=(
            "The patient's right is taken to be on the left of the picture: a mirrored picture changes the names.",
            *(
                ("Lengths are those on the detector, larger than in the patient.",)
                if arguments.spacing_mm
                else ("No pixel spacing is known: lengths are in pixels.",)
            ),
        ),
    )


def _side_error() -> float | None:
    return next((figure.value for figure in figures_of(NAME) if figure.metric == SIDE_ERROR), None)


def _refused(got: str) -> ToolRefusedError:
    return ToolRefusedError(
        expected="a frontal chest radiograph with both lungs on it",
        got=got,
        fix="name another image of the case, or ask without this tool",
    )


def _check() -> None:
    Network.shipped(NAME)


TOOL = Tool(
    card=ToolCard(
        name="lung_boxes",
        version="1.0.0",
        summary="Finds both lungs on a frontal chest radiograph: a box around each, its width and height.",
        measures=("box of each lung", "width and height of each lung in mm, or in px without a pixel spacing"),
        modalities=("xray",),
        body_parts=("chest",),
        not_views=("lateral", "oblique"),
        shelf="learned",
        provenance="ridge regressions on gradient histograms, trained by the recipe `lung_boxes`",
        weights=weights_of(NAME),
        figures=figures_of(NAME),
        limits=(
            "Boxes, not outlines: a lung's base hidden by effusion or consolidation is placed by what is usual.",
            "Trained on adults, most with COVID-19, of 36 patients: children and lateral views lie outside.",
            "Which lung is the right one follows from the usual display, not from a marker in the picture.",
            "Pictures unlike a frontal chest are refused, but not all of them (see the figures); no lateral view was "
            "at hand to try that on.",
            "A detection's score is the picture's likeness to an upright chest, no probability.",
        ),
    ),
    arguments=ScaledImageArguments,
    output=LungBoxes,
    run=_run,
    check=_check,
)
