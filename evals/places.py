"""What was said of places on one picture against what is there: regions, boxes and points. It asks nobody.

Right, for the counts of outcomes, is a region with a Dice of 0.5 or more, and boxes or points all of which were found
with nothing beside them. The scores are what counts: of a picture with sixty cells hardly any is right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InputError, SetupError
from ..tools.card import Box
from ..tools.classical.fundus_vessels import field_of_view
from ..tools.imaging.store import read_picture
from ..tools.learned.training.sets import typed
from .metrics.detection import box_iou
from .metrics.overlap import Overlap, one_to_one
from .metrics.regions import dice, hd95, iou, surface_dice, surfaces
from .outcomes import Place, Said
from .sample import Boxes, Mask, Points, Sample

LEAST_IOU = 0.5
LEAST_DICE = 0.5
LEAST_SURE = 0.5
"""Boxes that are less sure than this are not held to be said; they count for the average precision alone."""

NEAR_PX = 2
"""How far borders may lie apart to count as the same, as the pictures' spacing is not known."""

Truths = NDArray[np.bool_]


def judged_mask(sample: Sample, target: Mask, said: Said, root: Path) -> tuple[bool, dict[str, float]]:
    """Dice, IoU, the 95th percentile of the distance of the borders in px, the picture's diagonal where one is empty,
    and the share of both borders within NEAR_PX of the other (Nikolov et al.); of instances also the F1 at an IoU above
    0.5 and the relative error of their number.

    Raises InputError where the mask that was said cannot be read or is of another size.
    """
    truth = read_truth(target)
    found = read_said(root / said.mask)
    if found.shape != truth.shape:
        raise InputError(
            expected=f"a mask of {truth.shape[1]}×{truth.shape[0]} px, as the picture",
            got=f"one of {found.shape[1]}×{found.shape[0]}", fix="give it at the size of the picture",
        )  # fmt: skip
    there = truth > 0
    if target.field:
        seen = field_of_view(read_picture(Path(str(sample.case.images[0].path))))
        found, there = found & seen, there & seen
    borders = surfaces(found, there, (1.0, 1.0))
    scores = {
        "Dice": dice(found, there),
        "IoU": iou(found, there),
        "HD95 in px": hd95(borders, one_empty_mm=math.hypot(*there.shape)),
        f"surface Dice at {NEAR_PX} px": surface_dice(borders, NEAR_PX),
    }
    if target.instances:
        objects, number = _regions(found), len(np.unique(truth[truth > 0]))
        count = said.counts.get(target.label, float(objects.max()))
        scores["F1 at IoU 0.5"] = instance_overlap(objects, truth).f1
        scores["relative count error"] = abs(count - number) / max(1, number)
    return scores["Dice"] >= LEAST_DICE, scores


def read_truth(target: Mask) -> NDArray[np.int64]:
    """The truth (H, W): 0 outside, above 0 inside, of instances a number for each. Raises SetupError."""
    from PIL import Image

    try:
        if target.colours:
            return typed(target.path, target.colours, target.tolerance).astype(np.int64)
        with Image.open(target.path) as picture:
            if target.instances:
                return np.asarray(picture).astype(np.int64)
            return (np.asarray(picture.convert("L")) > 127).astype(np.int64)
    except (OSError, ValueError) as error:
        raise SetupError(**_no_mask(target.path, error), fix="unpack the whole set again") from error


def number_in(target: Mask) -> int:
    """How many objects the truth's file numbers. Raises SetupError."""
    truth = read_truth(target)
    return len(np.unique(truth[truth > 0]))


def read_said(path: Path) -> Truths:
    """What a mask's file marks (H, W). Raises InputError."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("L")) > 127
    except (OSError, ValueError) as error:
        raise InputError(**_no_mask(path, error), fix="give a PNG with 0 and 255") from error


def _no_mask(path: Path, error: Exception) -> dict[str, str]:
    return {"expected": f"a mask in {path.name[:40]}", "got": f"{type(error).__name__}: {str(error)[:60]}"}


def _regions(mask: Truths) -> NDArray[np.int64]:
    """A number for each region of a mask (H, W) whose pixels share sides."""
    from scipy import ndimage

    return np.asarray(ndimage.label(mask)[0], dtype=np.int64)


def instance_overlap(said: NDArray[np.int64], truth: NDArray[np.int64]) -> Overlap:
    """Objects (H, W), a number for each and 0 for none, that share more than half of their union: above a half no
    object has two partners."""
    (_, ours), (_, theirs) = (
        np.unique(each, return_inverse=True) for each in (np.append(said, 0), np.append(truth, 0))
    )
    overlap = np.zeros((int(ours.max()) + 1, int(theirs.max()) + 1))
    np.add.at(overlap, (ours[:-1].ravel(), theirs[:-1].ravel()), 1)
    sizes, others = overlap.sum(axis=1)[1:, None], overlap.sum(axis=0)[None, 1:]
    common = overlap[1:, 1:]
    union = sizes + others - common
    return Overlap(hits=int((common > 0.5 * union).sum()), said=len(sizes), there=others.shape[1])


def judged_boxes(sample: Sample, target: Boxes, said: Said) -> tuple[bool, dict[str, float]]:
    """Objects found, false and missed at an IoU of 0.5, one for one; the mean IoU of the objects there, 0 for a missed
    one; and for each label how far its count is off. Of counts alone there is nothing but the last.

    Labels are compared where the benchmark says what tools call them; elsewhere one thing is sought, and what its box
    is called says nothing.
    """
    sure = [place for place in said.boxes or () if place.score >= LEAST_SURE]
    labels = sorted({*sample.sought.labels.values(), *(label for label, _ in target.boxes)})
    if _unnamed(sample, target):
        labels, sure = [""], [place.model_copy(update={"label": ""}) for place in sure]
        target = Boxes(boxes=tuple(("", box) for _, box in target.boxes))
    overlap, shared = Overlap(hits=0, said=sum(place.label not in labels for place in sure), there=0), list[float]()
    errors: dict[str, float] = {}
    for label in labels:
        ours = [place.box for place in sure if place.label == label]
        theirs = [box for name, box in target.boxes if name == label]
        common = box_iou(ours, theirs)
        pairs = one_to_one(np.where(common >= LEAST_IOU, 1.0 - common, np.inf))
        overlap += Overlap(hits=len(pairs), said=len(ours), there=len(theirs))
        shared += [float(common[pair]) for pair in pairs]
        counted = said.counts.get(label, float(len(ours))) if label else _number(said, ours)
        errors[f"{label} count error".strip()] = abs(counted - len(theirs))
    if said.boxes is None:
        return False, errors
    scores = _counted(overlap) | {"F1 at IoU 0.5": overlap.f1}
    if target.boxes:
        scores["IoU of what is there"] = sum(shared) / len(target.boxes)
    return overlap.hits == overlap.said == overlap.there, scores | errors


def judged_points(target: Points, said: Said) -> tuple[bool, dict[str, float]]:
    """Points found, one for one: a point is found by a box around it, the nearest middle first; and how far the count
    is off. What the boxes are called says nothing. Of counts alone there is nothing but their error."""
    sure = [place.box for place in said.boxes or () if place.score >= LEAST_SURE]
    away = np.full((len(sure), len(target.points)), np.inf)
    for row, (x0, y0, x1, y1) in enumerate(sure):
        for column, (_, (x, y)) in enumerate(target.points):
            if x0 <= x <= x1 and y0 <= y <= y1:
                away[row, column] = math.hypot(x - (x0 + x1) / 2.0, y - (y0 + y1) / 2.0)
    overlap = Overlap(hits=len(one_to_one(away)), said=len(sure), there=len(target.points))
    error = {"count error": abs(_number(said, sure) - len(target.points))}
    if said.boxes is None:
        return False, error
    scores = _counted(overlap) | ({"matched share": overlap.recall} if target.points else {})
    return overlap.hits == overlap.said == overlap.there, scores | error


def _number(said: Said, sure: Sequence[Box]) -> float:
    """How many objects there are said to be, whatever they are called."""
    return sum(said.counts.values()) if said.counts else float(len(sure))


def _counted(overlap: Overlap) -> dict[str, float]:
    return {
        "found": float(overlap.hits),
        "false": float(overlap.said - overlap.hits),
        "missed": float(overlap.there - overlap.hits),
    }


def _unnamed(sample: Sample, target: Boxes) -> bool:
    """Whether one thing is sought, so that what its box is called says nothing."""
    return not sample.sought.labels and len({label for label, _ in target.boxes}) <= 1


def there(sample: Sample) -> tuple[Place, ...]:
    """The boxes that are right, as a row keeps them: without a label where that says nothing."""
    target = sample.target
    if not isinstance(target, Boxes):
        return ()
    unnamed = _unnamed(sample, target)
    return tuple(Place(label="" if unnamed else label, box=box) for label, box in target.boxes)


def shown_places(labels: Sequence[str]) -> str:
    """How many there are of each label: "3 RBC, 1 WBC"."""
    return ", ".join(f"{labels.count(label)} {label}" for label in sorted(set(labels))) or "none"
