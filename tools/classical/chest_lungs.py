"""Lung fields on a frontal chest radiograph and, step by step, the cardiothoracic ratio. It reads no disease in either.

Method: the fields come from `lung_fields`; widths are taken as Danzer did (Am J Med Sci 1919;157:513-521; for pictures
Nakamori et al., Med Phys 1990;17:342-350): the heart's borders farthest from the midline to either side, against the
widest inner thorax. Columns and rows come from the fields' own borders, so an error there is an error of the ratio.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ...core.errors import ToolRefusedError
from ..card import Box, Figure, Measurement, Tool, ToolCard, ToolOutput, ViewedImageArguments, measured
from ..pictures import COLOURS, Drawn, as_picture, overlay
from .lung_fields import Lungs, lung_fields

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..imaging.store import ImageStore

_LEAST_MATCH, _MOST_COLOUR = 0.6, 25.0
_PA = re.compile(r"\s*(pa\b|postero-?anterior)", re.I)


class ChestLungs(ToolOutput):
    """The lung fields with masks and boxes, then midline, half widths of the heart, thoracic width and their ratio."""

    right_lung: Measurement
    left_lung: Measurement
    midline: Measurement
    heart_right: Measurement
    heart_left: Measurement
    heart_width: Measurement
    thorax_width: Measurement
    ratio: Measurement


@dataclass(frozen=True, kw_only=True)
class Widths:
    """Columns and rows in px of the picture: the midline, the heart's borders and the inner thorax."""

    midline_x: float
    heart_right: tuple[float, float]
    heart_left: tuple[float, float]
    thorax: tuple[float, float, float]


def widths(lungs: Lungs) -> Widths:
    """The heart's borders and the inner thorax, from the fields' inner and outer borders row by row."""
    import numpy as np
    from scipy import ndimage

    rows = np.flatnonzero(lungs.right.any(axis=1) & lungs.left.any(axis=1))
    if len(rows) < 8:
        raise _refused("a picture in which the lung fields do not lie side by side")
    right, left = lungs.right[rows], lungs.left[rows]
    last = right.shape[1] - 1
    smooth = max(1, round(0.05 * len(rows)))
    inner_right = ndimage.median_filter(last - right[:, ::-1].argmax(axis=1), size=smooth, mode="nearest")
    inner_left = ndimage.median_filter(left.argmax(axis=1), size=smooth, mode="nearest")
    span = (last - left[:, ::-1].argmax(axis=1)) - right.argmax(axis=1)
    upper = slice(round(0.15 * len(rows)), round(0.45 * len(rows)))
    midline = float(np.median((inner_right[upper] + inner_left[upper]) / 2.0))
    lower = slice(round(0.45 * len(rows)), round(0.8 * len(rows)))  # below lies the diaphragm
    at_right = lower.start + int(inner_right[lower].argmin())
    at_left = lower.start + int(inner_left[lower].argmax())
    widest = int(span.argmax())
    return Widths(
        midline_x=midline,
        heart_right=(float(inner_right[at_right]), float(rows[at_right])),
        heart_left=(float(inner_left[at_left]), float(rows[at_left])),
        thorax=(float(right[widest].argmax()), float(right[widest].argmax() + span[widest] + 1), float(rows[widest])),
    )


def open_radiograph(images: ImageStore, blob: str) -> NDArray[np.uint8]:
    """The picture as grey levels, uint8 (H, W). Raises ToolRefusedError for slices and for colour photographs."""
    import numpy as np

    pixels = images.open(blob)
    if pixels.unit == "HU":
        raise _refused("a CT slice")
    picture = as_picture(pixels)
    chroma = float(np.percentile(np.ptp(picture.astype(np.int16), axis=2), 90))
    if chroma > _MOST_COLOUR:
        raise _refused("a picture in colour")
    return np.asarray(picture.astype(np.float32).mean(axis=2).round(), dtype=np.uint8)


def _run(arguments: ViewedImageArguments, images: ImageStore) -> ChestLungs:
    grey = open_radiograph(images, arguments.image)
    lungs = lung_fields(grey)
    if lungs.match < _LEAST_MATCH:
        raise _refused("a picture in which no pair of dark lung fields lies beside a heart")
    found = widths(lungs)
    scale, unit, digits = (arguments.spacing_mm[1], "mm", 0) if arguments.spacing_mm else (1.0, "px", 0)
    to_right = max(0.0, found.midline_x - found.heart_right[0])
    to_left = max(0.0, found.heart_left[0] - found.midline_x)
    thorax = found.thorax[1] - found.thorax[0]
    ratio = (to_right + to_left) / thorax
    if not _RATIOS[0] < ratio < _RATIOS[1]:
        raise _refused(f"lung fields between which a heart would take {100 * ratio:.0f} % of the thorax")
    fields = [
        measured(
            f"{side} lung field", 100.0 * float(mask.mean()), "%",
            f"The {side} lung field fills {{}} of the picture.", digits=1, box_px=_box(mask),
            mask=images.put_mask(mask),
        )
        for side, mask in (("right", lungs.right), ("left", lungs.left))
    ]  # fmt: skip
    return ChestLungs(
        right_lung=fields[0],
        left_lung=fields[1],
        midline=measured(
            "midline", found.midline_x, "px", "The midline lies {} from the left of the picture.", digits=0,
            of=("right lung field", "left lung field"),
        ),
        heart_right=measured(
            "right heart border to midline", to_right * scale, unit,
            "The right heart border is {} from the midline at its farthest.", digits=digits,
            of=("midline", "right lung field"),
        ),
        heart_left=measured(
            "left heart border to midline", to_left * scale, unit,
            "The left heart border is {} from the midline at its farthest.", digits=digits,
            of=("midline", "left lung field"),
        ),
        heart_width=measured(
            "transverse cardiac diameter", (to_right + to_left) * scale, unit,
            "The transverse diameter of the heart is {}.", digits=digits,
            of=("right heart border to midline", "left heart border to midline"),
        ),
        thorax_width=measured(
            "inner thoracic width", thorax * scale, unit, "The inner thorax is {} at its widest.", digits=digits,
            of=("right lung field", "left lung field"),
        ),
        ratio=measured(
            "cardiothoracic ratio", ratio, "1", "The cardiothoracic ratio is {}.", digits=2, uncertainty=_RATIO_ERROR,
            of=("transverse cardiac diameter", "inner thoracic width"), finding="cardiomegaly",
            says=_says(ratio, arguments.view),
        ),
        overlay=images.put_picture(_drawn(grey, lungs, found, ratio, arguments.spacing_mm)),
        limitations=(
            "The ratio is meant for an upright postero-anterior film in full inspiration: antero-posterior and supine "
            "films enlarge the heart.",
        ),
    )  # fmt: skip


def _says(ratio: float, view: str | None) -> Literal["present", "absent", "undecided"]:
    """What a ratio says of the heart's size: undecided within its uncertainty of 0.5, and on another view than PA."""
    if abs(ratio - 0.5) <= _RATIO_ERROR or (view and not _PA.match(view)):
        return "undecided"
    return "present" if ratio > 0.5 else "absent"


def _box(mask: NDArray[np.bool_]) -> Box:
    import numpy as np

    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _drawn(
    grey: NDArray[np.uint8], lungs: Lungs, found: Widths, ratio: float, spacing_mm: tuple[float, float] | None
) -> NDArray[np.uint8]:
    import numpy as np

    (right_x, right_y), (left_x, left_y), (start, end, row) = found.heart_right, found.heart_left, found.thorax
    middle = found.midline_x
    heart = ((right_x, right_y), (middle, right_y), (middle, left_y), (left_x, left_y))
    return overlay(
        np.repeat(grey[..., None], 3, axis=2),
        [
            Drawn(mask=lungs.right, label="right lung", colour=COLOURS[0]),
            Drawn(mask=lungs.left, label="left lung", colour=COLOURS[0]),
            Drawn(line=heart, label=f"heart, ratio {ratio:.2f}", colour=COLOURS[1]),
            Drawn(line=((start, row), (end, row)), label="inner thorax", colour=COLOURS[2]),
        ],
        spacing_mm=spacing_mm,
    )


def _refused(got: str) -> ToolRefusedError:
    return ToolRefusedError(
        expected="a frontal chest radiograph with both lungs in the picture",
        got=got,
        fix="name another image of the case, or ask without this tool",
    )


_RATIOS = (0.2, 0.85)
_RATIO_ERROR = 0.06
"""About the spread of the ratio between hearts that readers call normal, see the card's limits."""

TOOL = Tool(
    card=ToolCard(
        name="chest_lungs",
        version="1.0.0",
        summary="Outlines the lung fields on a frontal chest radiograph and measures the cardiothoracic ratio.",
        measures=("lung fields in % of the picture", "cardiac and thoracic widths in mm or px", "cardiothoracic ratio"),
        modalities=("xray",),
        body_parts=("chest", "thorax"),
        not_views=("lateral", "oblique"),
        figures=(
            Figure(
                metric="IoU of lung boxes, which are drawn with a margin",
                value=0.596,
                dataset="COVID lung boxes",
                n=60,
                interval=(0.576, 0.615),
            ),
            Figure(
                metric="IoU of lung boxes, widened by the margin of every other picture",
                value=0.828,
                dataset="COVID lung boxes",
                n=30,
                interval=(0.805, 0.851),
            ),
            Figure(metric="refused share", value=0.118, dataset="COVID lung boxes", n=68, interval=(0.061, 0.215)),
            Figure(
                metric="AUROC of the ratio for a heart that readers call enlarged",
                value=0.872,
                dataset="VQA-RAD",
                n=19,
                interval=(0.671, 1.0),
                about=("cardiomegaly",),
            ),
            Figure(
                metric="share of pictures without finding whose ratio is above 0.5",
                value=0.2,
                dataset="NIH ChestX-ray14, AP and PA",
                n=50,
                interval=(0.112, 0.33),
            ),
        ),
        limits=(
            "No hand-drawn lung fields or measured ratios were at hand: borders were compared with boxes only.",
            "Hearts that readers call enlarged measured 0.47 to 0.54 here, others 0.38 to 0.50: the ratio reads low. "
            "Within 0.06 of 0.5, and on a view that is stated and not PA, it claims nothing.",
            "A lung that is consolidated as a whole is outlined by the usual shape, not by what is seen; effusion that "
            "hides the heart's border or the diaphragm misleads both widths.",
            "The outlines' preferred size was chosen on a third of the pictures with boxes: those figures are "
            "optimistic.",
        ),
    ),
    arguments=ViewedImageArguments,
    output=ChestLungs,
    run=_run,
)
