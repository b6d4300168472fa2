"""The gate: whether an image can be read, how it lies, and whether it is what it is stated to be. It does not diagnose.

It stops only pictures in which there is nothing to see; what else is wrong is a limitation. That a picture looks like
another kind than stated never stops it: the data at hand cannot show that fewer than one in a thousand would be
stopped wrongly (see the card's figures and bench/figures_gate.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from ...core.case import Modality
from ..card import Figure, ImageArguments, Measurement, Tool, ToolCard, ToolOutput, Weights, measured
from ..pictures import as_picture
from . import attributes
from .attributes import Attribute, averaged, grey_levels, scored
from .duplicate import fingerprint
from .kind import KINDS, POSES, SHA256, Against, Look, against_stated, look, shipped
from .lettering import LONG_SIDE_PX, rows_of_letters

if TYPE_CHECKING:
    from ..imaging.store import ImageStore, Pixels

__all__ = ["GATE", "GateArguments", "Quality", "grey_levels"]

_SURE_OF_POSE = 0.9
_SEEING = ("structure", "contrast", "sharpness", "noise", "highlights", "shadows", "size")
"""The attributes that decide how well an image can be read: the worst of them."""


class GateArguments(ImageArguments):
    """The image, with the modality and the body part it is stated to show, if any."""

    modality: Modality | None = None
    body_part: str | None = None


class Quality(ToolOutput):
    """A verdict with its observations in plain words. The limitations repeat them unless the verdict is `go`.

    `scores` run from 0 (bad) to 1 (good); `inverted` and `rotated` are among them only for a chest X-ray. `seen_*` are
    "" where the picture is like nothing known. `fingerprint` is for finding the same picture again.
    """

    verdict: Literal["go", "go_with_limitation", "stop"]
    observations: tuple[str, ...]
    contrast: Measurement
    sharpness: Measurement
    clipped: Measurement
    short_side: Measurement
    noise: Measurement
    lost_in_black: Measurement
    text_rows: Measurement
    scores: tuple[Measurement, ...]
    seen: str = ""
    seen_modality: str = ""
    seen_body_part: str = ""
    kind_probability: Measurement
    stated: Against = "not stated"
    fingerprint: str = ""


def _run(arguments: GateArguments, images: ImageStore) -> Quality:
    pixels = images.open(arguments.image)
    found = _attributes(pixels)
    stops = tuple(item.fault for item in found.values() if item.stops)
    seen = look(as_picture(pixels))
    stated = "cannot tell" if stops else against_stated(seen.kind, arguments.modality, arguments.body_part)
    posed = {} if stops else _posed(seen)
    found |= posed
    notes = stops or tuple(item.fault for item in found.values() if item.fault)
    if stated == "disagrees" and not stops:
        notes = (*notes, _disagreement(seen, arguments))
    verdict: Literal["go", "go_with_limitation", "stop"] = "stop" if stops else "go_with_limitation" if notes else "go"
    kind = KINDS.get("" if stops else seen.kind)
    scores = tuple(item.score for item in found.values())
    seeing = tuple(found[name].score for name in _SEEING)
    readable = scored("readable", min(score.value for score in seeing), of=tuple(score.name for score in seeing))
    values: dict[str, Any] = {item.value.name: item.value for item in found.values() if item.value is not None}
    return Quality(
        verdict=verdict,
        observations=notes or ("The image is evenly exposed and sharp enough to read.",),
        limitations=notes,
        **values,
        scores=(readable, *scores),
        seen=kind.words if kind else "",
        seen_modality=kind.modality if kind else "",
        seen_body_part=kind.body_part if kind else "",
        kind_probability=_probability(seen, kind is not None),
        stated=stated,
        fingerprint=fingerprint(averaged(grey_levels(pixels))),
    )


def _attributes(pixels: Pixels) -> dict[str, Attribute]:
    """Every attribute that can be judged on any picture."""
    grey = grey_levels(pixels)
    small, hounsfield = averaged(grey), pixels.unit == "HU"
    return {
        "size": attributes.size(pixels.array.shape),
        "structure": attributes.blank(small),
        "contrast": attributes.contrast(small),
        "sharpness": attributes.sharpness(small),
        "noise": attributes.noise(small),
        "highlights": attributes.white(small, hounsfield=hounsfield),
        "shadows": attributes.black(small, hounsfield=hounsfield),
        "text": _text(len(rows_of_letters(averaged(grey, LONG_SIDE_PX)))),
    }


def _text(rows: int) -> Attribute:
    value = measured("text_rows", rows, "1", "{} rows of letters seem to be burnt into the image.", digits=0)
    fault = "Text seems to be burnt into the image; it may name the patient." if rows else ""
    return Attribute(score=scored("text", 1.0 - rows / 3.0), value=value, fault=fault)


def _posed(seen: Look) -> dict[str, Attribute]:
    """How a chest X-ray lies; nothing for other kinds."""
    if seen.kind != "chest_xray":
        return {}
    chances = dict(zip(POSES, seen.poses, strict=True))
    turned = {pose: chances[pose] for pose in POSES[1:4]}
    likest = max(turned, key=lambda pose: turned[pose])
    return {
        "inverted": Attribute(
            score=scored("inverted", 1.0 - chances["negative"]),
            fault="The image is inverted: air is shown bright." if chances["negative"] >= _SURE_OF_POSE else "",
        ),
        "rotated": Attribute(
            score=scored("rotated", 1.0 - sum(turned.values())),
            fault=_TURNED[likest] if turned[likest] >= _SURE_OF_POSE else "",
        ),
    }


_TURNED = {
    "turned left": "The patient's chest is shown lying on its side: the image is turned by a quarter to the left.",
    "upside down": "The patient's chest is shown upside down.",
    "turned right": "The patient's chest is shown lying on its side: the image is turned by a quarter to the right.",
}


def _probability(seen: Look, named: bool) -> Measurement:
    words = KINDS[seen.likest].words
    sentence = (
        f"The image looks like {words} with a probability of {{}}."
        if named
        else f"The image is like no kind of picture known; the likeliest, {words}, has a probability of {{}}."
    )
    return measured("kind_probability", seen.probability, "1", sentence, digits=3)


def _disagreement(seen: Look, arguments: GateArguments) -> str:
    given = " of the ".join(
        part.replace("_", " ") for part in ((arguments.modality or ""), (arguments.body_part or "")) if part
    )
    return f"The image looks like {KINDS[seen.kind].words}, but is stated to be: {given}."


def _check() -> None:
    shipped()


_FIGURES = (
    ("pictures stopped", 0.0, "fourteen public sets", 1846, (0.0, 0.002)),
    ("pictures in which text is said to be burnt in", 0.135, "fourteen public sets", 1846, (0.12, 0.151)),
    ("kinds named rightly, folds by known patient", 0.955, "nine open sets", 1145, (0.941, 0.965)),
    ("kinds named wrongly, folds by known patient", 0.0, "nine open sets", 1145, (0.0, 0.003)),
    ("kinds guessed that the model does not know", 0.0, "Kvasir-SEG, endoscopy", 48, (0.0, 0.074)),
    ("fundus photographs named, camera not trained on, rule tuned on them", 1.0, "DRIVE", 20, (0.839, 1.0)),
    ("upright chest X-rays said to lie wrong, folds by known patient", 0.0, "four open sets", 446, (0.0, 0.009)),
    ("inverted chest X-rays named, folds by known patient", 0.919, "three open sets, full size", 246, (0.878, 0.947)),
    ("turned chest X-rays named, folds by known patient", 0.932, "three open sets, full size", 738, (0.912, 0.948)),
    ("blur named, sigma 1/60 of the long side", 0.992, "copies, 128 px or more", 119, (0.954, 0.999)),
    ("heavy noise named", 0.933, "copies, 128 px or more", 119, (0.873, 0.966)),
    ("a written name and date found", 0.966, "copies, 128 px or more", 119, (0.917, 0.987)),
    ("mirrored, scaled, recompressed copies found", 0.966, "copies, 128 px or more", 119, (0.917, 0.987)),
)  # fmt: skip
"""Metric, value, data set, n, 95 % interval (Wilson): bench/figures_gate.py and the recipe's report."""

GATE = Tool(
    card=ToolCard(
        name="image_quality",
        version="2.0.0",
        summary="Says whether an image can be read, how it lies, and whether it looks like what it is stated to be.",
        measures=(
            "contrast in %", "sharpness index", "noise in %", "saturated and lost shares in %", "short side in px",
            "rows of burnt-in text", "kind of picture",
        ),
        modalities=(),
        shelf="gate",
        provenance="classical image analysis; the kind by a model of its own (tools/gate/recipe.py)",
        figures=tuple(
            Figure(metric=f"share of {metric}", value=value, dataset=dataset, n=n, interval=interval)
            for metric, value, dataset, n, interval in _FIGURES
        ),
        limits=(
            "Its limits were set on samples of the same sets as its figures, which hold for pictures like these only.",
            "Only chest X-rays, CT heads and fundus photographs name their patients: of the other sets, pictures of "
            "one patient may lie on both sides of a fold.",
            "The bounds for blur, text, copies and round fundus fields were chosen on pictures their figures count.",
            "Of some kinds many are called unknown: unseen, 19 % of trunk CT, 18 % of head MR, 3 of 9 tissue sections.",
            "A kind it does not know is mostly called unknown, not always: with one kind left out of its training, up "
            "to 25 % of that kind's pictures are called another kind, and of blood smears 96 % tissue sections.",
            "It knows no endoscopy, dermoscopy, mammography, OCT, ECG, nor X-rays of anything but the chest.",
            "Colour pictures stored without colour are mostly called unknown, and 2 % of them another kind.",
            "That a picture looks like another kind than stated never stops it: too few pictures are at hand to show "
            "that fewer than one in a thousand would be stopped wrongly.",
            "Only a chest X-ray is checked for lying wrong or being inverted, and not for both at once.",
            "Text is found where five letters or more stand on one line; it is not read and not removed.",
            "Pictures of one case are compared as wholes: cropped copies are not found, neighbouring slices are.",
        ),
        weights=Weights(
            file="kind_of_picture.npz",
            sha256=SHA256,
            parameters=72_400,
            trained_on=(
                "COVID-19 chest X-rays", "ChestX-ray14", "VQA-RAD", "BHSD", "BRISC 2025", "CHASE_DB1", "BCCD",
                "DSB 2018", "BUSI",
            ),
            sources="COVID-19 chest X-rays, NIH ChestX-ray14, VQA-RAD, BHSD, BRISC, CHASE_DB1, BCCD, DSB 2018, BUSI",
            licence="CC0 1.0, CC BY, MIT, Apache-2.0, no restrictions (NIH)",
            recipe="polyclinic train kind_of_picture --data DIR --out DIR",
        ),
    ),
    arguments=GateArguments,
    output=Quality,
    run=_run,
    check=_check,
)  # fmt: skip
