"""Red cells, white cells and platelets on a stained blood smear: a box around each, counts per picture.

It gives no concentration and tells no kinds of white cells apart.

Method: a small convolutional network that marks the middle of each cell and states how far its box reaches to each side
(Zhou et al., Objects as points, arXiv:1904.07850; Tian et al., FCOS, ICCV 2019), at a long side of 256 px, averaged
over the picture and its mirror images. Trained on BCCD by `polyclinic train blood_cells`. A score is the chance that
the data's labels have such a cell there. White cells and platelets are counted from a chance on; red cells, many of
which the labels leave out, by the sum of their chances.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...core.errors import SetupError, ToolRefusedError
from ..card import Detection, ImageArguments, Measurement, Tool, ToolCard, ToolOutput, measured
from ..classical.stained_cells import LEAST_BLUE, bluish_light
from ..pictures import Drawn, overlay
from .cards import figures_of, shipped_card, weights_of
from .framing import channels_first, resampled
from .network import Network

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from ..imaging.store import ImageStore

NAME = "blood_cells"
LABELS = ("RBC", "WBC", "platelet")
SETTINGS: dict[str, Any] = {
    "long_side_px": 256,
    "grid_px": 4,
    "reach_px": 16.0,
    "floor": 0.05,
    "least_chance": 0.02,
    "same_cell_iou": 0.5,
}
CONSTANTS = (
    *(f"{label} {name}" for label in LABELS for name in ("slope", "offset")),
    "RBC count offset", "RBC count slope", "WBC threshold", "platelet threshold",
)  # fmt: skip
COUNTS = {
    "RBC": "red cells in the picture", "WBC": "white cells in the picture", "platelet": "platelets in the picture",
}  # fmt: skip
"""The measurements' names, which are those of `blood_smear_counts`."""
COUNT_ERROR = "{} count, mean absolute error in cells per picture"
_LEAST_ERROR = 0.1
"""Of a count, in cells: six times the error with white cells on BCCD, and as in `blood_smear_counts`."""
_MULTIPLE = 16
_LEAST_SURE = 0.5
_SHORTEST_PX = 64
_DARKEST, _PALEST = 120.0, 12.0
_COLOURS = {"RBC": (255, 70, 0), "WBC": (0, 190, 80), "platelet": (60, 100, 255)}
_SHOWN = {"RBC": "red cell", "WBC": "white cell", "platelet": "platelet"}


class BloodCells(ToolOutput):
    """How many cells of each kind lie in the picture; and all that may be one, surest first, with its chance
    (`detections`: more than are counted)."""

    rbc_count: Measurement
    wbc_count: Measurement
    platelets_count: Measurement
    detections: tuple[Detection, ...]


def shrunk(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """uint8 RGB (H, W, 3) as the network's maps (3, h, w) from 0 to 1, the longer side at its working length."""
    x = channels_first(rgb)
    scale = SETTINGS["long_side_px"] / max(x.shape[1:])
    return resampled(x, (max(1, round(x.shape[1] * scale)), max(1, round(x.shape[2] * scale))))


def find_cells(rgb: NDArray[np.uint8], network: Network) -> list[Detection]:
    """All cells of uint8 RGB (H, W, 3) with a score above the floor, surest first; boxes in pixels of `rgb`."""
    import numpy as np

    x = shrunk(rgb)
    heat, reach = _averaged(_padded(x), network)
    corners = _corners(reach)
    height, width = rgb.shape[:2]
    back = np.array([width / x.shape[2], height / x.shape[1]] * 2)
    found: list[Detection] = []
    for label, scores in zip(LABELS, heat, strict=True):
        rows, columns = np.nonzero(_peaks(scores))
        sure = scores[rows, columns]
        order = np.lexsort((columns, rows, -sure))
        boxes = np.clip(corners[:, rows, columns].T[order] * back, 0, [width, height] * 2).round()
        boxes, sure = boxes.astype(np.int64), sure[order]
        for k in _one_per_cell(boxes):
            left, top, right, bottom = boxes[k].tolist()
            found.append(Detection(label=label, box_px=(left, top, right, bottom), score=round(float(sure[k]), 4)))
    return sorted(found, key=lambda cell: (-cell.score, cell.label, cell.box_px))


def _padded(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Maps (C, h, w) with their far edges repeated up to sides the network can halve."""
    import numpy as np

    return np.pad(x, ((0, 0), (0, -x.shape[1] % _MULTIPLE), (0, -x.shape[2] % _MULTIPLE)), mode="edge")


def _averaged(x: NDArray[np.float32], network: Network) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """How likely each cell of the grid is the middle of each kind (3, h, w), and how far its box reaches left, up,
    right and down (4, h, w) in px of `x`; averaged over the four mirror images of `x`."""
    import numpy as np

    likely, reach = [], []
    for turned in ((), (2,), (1,), (1, 2)):
        maps = [np.flip(maps[0], turned) for maps in network.run(np.flip(x, turned)[None])]
        sides = [2 if 2 in turned else 0, 3 if 1 in turned else 1, 0 if 2 in turned else 2, 1 if 1 in turned else 3]
        likely.append(1.0 / (1.0 + np.exp(-maps[0])))
        reach.append(np.exp(np.clip(maps[1][sides], -4.0, 4.0)) * SETTINGS["reach_px"])
    return np.mean(likely, axis=0, dtype=np.float32), np.mean(reach, axis=0, dtype=np.float32)


def _corners(reach: NDArray[np.float32]) -> NDArray[np.float32]:
    """Boxes (4, h, w; x0, y0, x1, y1) of the cells of the grid from how far they reach."""
    import numpy as np

    grid = SETTINGS["grid_px"]
    middle_y, middle_x = (grid * (np.indices(reach.shape[1:]) + 0.5)).astype(np.float32)
    return np.stack([middle_x - reach[0], middle_y - reach[1], middle_x + reach[2], middle_y + reach[3]])


def _peaks(scores: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where scores (h, w) are above the floor and the highest of their neighbourhood."""
    import numpy as np
    from scipy import ndimage

    return np.asarray((scores == ndimage.maximum_filter(scores, size=3)) & (scores >= SETTINGS["floor"]))


def _one_per_cell(boxes: NDArray[np.int64]) -> list[int]:
    """Which of the boxes (n, 4), surest first, are kept: those that share little with every surer one."""
    kept: list[int] = []
    for k, box in enumerate(boxes):
        empty = box[2] <= box[0] or box[3] <= box[1]
        if not empty and (not kept or overlaps(box[None], boxes[kept]).max() < SETTINGS["same_cell_iou"]):
            kept.append(k)
    return kept


def overlaps(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    """Intersection over union (n, m) of boxes (n, 4) with boxes (m, 4)."""
    import numpy as np

    sides = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    common = np.prod(np.maximum(sides, 0), axis=2)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (a, b)]
    union = areas[0][:, None] + areas[1][None, :] - common
    return np.asarray(common / np.maximum(union, 1e-9), dtype=np.float64)


def likely(cells: Sequence[Detection], calibration: Mapping[str, float]) -> list[Detection]:
    """The same cells with calibrated chances as scores, surest first, without the least likely."""
    import math

    found = []
    for cell in cells:
        share = min(max(cell.score, 1e-4), 1.0 - 1e-4)
        steep = calibration[f"{cell.label} slope"] * math.log(share / (1.0 - share))
        chance = 1.0 / (1.0 + math.exp(-steep - calibration[f"{cell.label} offset"]))
        if chance >= SETTINGS["least_chance"]:
            found.append(cell.model_copy(update={"score": round(chance, 3)}))
    return sorted(found, key=lambda cell: (-cell.score, cell.label, cell.box_px))


def counted(cells: Sequence[Detection], calibration: Mapping[str, float]) -> tuple[Detection, ...]:
    """The `likely` cells that are counted: of red cells the surest, as many as the sum of their chances amounts to; of
    the others those above their kind's threshold."""
    kept = [cell for cell in cells if cell.label != "RBC" and cell.score >= calibration[f"{cell.label} threshold"]]
    red = [cell for cell in cells if cell.label == "RBC"]
    number = expected_number([cell.score for cell in red], calibration)
    return (*red[:number], *kept)


def expected_number(chances: Sequence[float], calibration: Mapping[str, float]) -> int:
    """How many red cells the labels would have, by a line through the sum of the chances; at most as many as found."""
    if not chances:
        return 0
    number = calibration["RBC count offset"] + calibration["RBC count slope"] * sum(chances)
    return min(len(chances), max(0, round(number)))


def _calibration() -> dict[str, float]:
    calibration = shipped_card(NAME).calibration
    missing = [name for name in CONSTANTS if name not in calibration]
    if missing:
        raise SetupError(
            expected=f"a card {NAME}.json with its calibration",
            got=f"one without {missing[0]!r}",
            fix=f"type: polyclinic train {NAME} --data DIR --out DIR",
        )
    return calibration


def _open_smear(images: ImageStore, blob: str) -> NDArray[np.uint8]:
    import numpy as np

    pixels = images.open(blob)
    if pixels.unit != "rgb":
        raise _refused("a picture without colour")
    rgb = pixels.array.astype(np.uint8, copy=False)
    if min(rgb.shape[:2]) < _SHORTEST_PX:
        raise _refused(f"a picture of {rgb.shape[1]} × {rgb.shape[0]} px")
    if float(np.percentile(rgb.max(axis=2), 75)) < _DARKEST:
        raise _refused("a picture with a dark background")
    if float(np.percentile(np.ptp(rgb.astype(np.int16), axis=2), 90)) < _PALEST:
        raise _refused("a picture with hardly any colour")
    if bluish_light(rgb) < LEAST_BLUE:
        raise _refused("a picture whose brightest parts are red or brown, not the white light of a microscope")
    return rgb


def _run(arguments: ImageArguments, images: ImageStore) -> BloodCells:
    rgb = _open_smear(images, arguments.image)
    calibration = _calibration()
    found = likely(find_cells(rgb, Network.shipped(NAME)), calibration)
    cells = counted(found, calibration)
    if not cells or found[0].score < _LEAST_SURE:
        raise _refused("a picture in which no blood cell stands out")
    numbers = {label: sum(cell.label == label for cell in cells) for label in LABELS}
    regions = [Drawn(box=cell.box_px, label=_SHOWN[cell.label], colour=_COLOURS[cell.label]) for cell in cells]

    def number(label: str) -> Measurement:
        count, shown = numbers[label], _SHOWN[label]
        text = f"{{}} {shown}{' was' if count == 1 else 's were'} counted in the picture."
        if label != "RBC":
            return measured(COUNTS[label], count, "1", text, digits=0, uncertainty=_count_error(label))
        return measured(COUNTS[label], count, "1", f"At least {text}" if count else text, digits=0)

    return BloodCells(
        rbc_count=number("RBC"),
        wbc_count=number("WBC"),
        platelets_count=number("platelet"),
        detections=tuple(found),
        overlay=images.put_picture(overlay(rgb, regions)),
        limitations=(
            "Counts are per picture, not per volume of blood; red cells are counted as people did who left out many "
            "that overlap: read their number as a lower bound.",
        ),
    )


def _count_error(label: str) -> float | None:
    """The measured error of a count, never 0: no count is certain, and on other pictures errors are hardly smaller."""
    wanted = COUNT_ERROR.format(label)
    errors = (figure.value for figure in figures_of(NAME) if figure.metric == wanted)
    return next((max(_LEAST_ERROR, round(error, 1)) for error in errors), None)


def _refused(got: str) -> ToolRefusedError:
    return ToolRefusedError(
        expected="a colour micrograph of a stained blood smear",
        got=got,
        fix="name another image of the case, or ask without this tool",
    )


def _check() -> None:
    Network.shipped(NAME)
    _calibration()


TOOL = Tool(
    card=ToolCard(
        name="blood_cells",
        version="1.0.0",
        summary="Finds red cells, white cells and platelets on a stained blood smear and counts them.",
        measures=("red cells, white cells and platelets per picture", "a box and a chance for all that may be a cell"),
        modalities=("blood_smear", "microscopy"),
        shelf="learned",
        provenance="a convolutional network trained on BCCD by the recipe `blood_cells`",
        weights=weights_of(NAME),
        figures=figures_of(NAME),
        limits=(
            "The labels it learned from leave out many red cells, mostly overlapping ones and those cut by the edge, "
            "and all of them on one picture in 24: its red cell count is low in the same way, and hardly nearer to "
            "theirs than one number for all pictures would be (see the figures).",
            "More of such pictures would not help: with 25, 50 and 100 % of the others, red cells of one hard fold (58 "
            "pictures) are counted off by 4.34, 4.46 and 4.36.",
            "One stain and one magnification: a red cell about a sixth of the picture's width across.",
            "No kinds of white cells, no shapes of red cells, no parasites.",
            "Counts per picture say nothing of cells per microlitre.",
        ),
    ),
    arguments=ImageArguments,
    output=BloodCells,
    run=_run,
    check=_check,
)
