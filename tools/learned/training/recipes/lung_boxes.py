"""Fits `lung_boxes` on the CC BY part of the lung boxes by General Blockchain, and measures it patient by patient.

All regressions are solved in closed form. The first sees whole pictures, slightly shifted and scaled; the second sees
frames around the drawn boxes, displaced about as far as the first one errs; the third tells these frames from frames of
the same pictures turned by right angles, and from small parts of them.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....card import Figure
from ...cards import TrainedOn
from ...lung_boxes import (
    LEAST_LIKENESS,
    NAME,
    SETTINGS,
    SIDE_ERROR,
    features,
    find_lungs,
    frame_around,
    intersection_over_union,
    into_frame,
    mirrored,
    part_of,
    squared,
)
from ...network import Network
from ..intervals import figure
from ..items import Item, find_folder
from ..loop import Watch
from ..recipe import Recipe, Scores

LICENCES = ("CC BY 3.0", "CC BY 4.0")
WHOLE_DRAWS, FRAME_DRAWS, OTHER_DRAWS = 2, 8, 3
PENALTY = 0.03
DISPLACED = np.array([0.025, 0.032, 0.025, 0.048])
"""Standard deviations of the frames' corners (x0, y0, x1, y1), as fractions of the picture."""


class LungBoxRecipe(Recipe):
    name = NAME
    version = "2"
    trained_on = (
        TrainedOn(
            name="COVID-19 chest X-ray lung bounding boxes, the pictures under CC BY",
            licence="CC BY 4.0 (boxes), CC BY 3.0 and CC BY 4.0 (pictures)",
            source="github.com/GeneralBlockchain/covid-19-chest-xray-lung-bounding-boxes-dataset",
            citation="Cohen et al., arXiv:2006.11988",
        ),
    )
    split = "whole patients"
    settings = SETTINGS
    after_network = ("corrections",)
    input_shape = (1, 1, len(features(np.zeros((SETTINGS["side_px"],) * 2, np.float32))))

    def items(self, data: Path) -> list[Item]:
        folder = find_folder(data, "cxr_covid_boxes_permissive", holding="lung_boxes_coco.json")
        with (folder / "metadata.csv").open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["license"] in LICENCES]
        return [
            Item(
                id=row["filename"],
                group=row["patientid"],
                files={"picture": folder / "images" / row["filename"], "boxes": folder / "lung_boxes_coco.json"},
                facts={"boxes": json.dumps(boxes)},
            )
            for row, boxes in zip(rows, _drawn_boxes(folder, [row["filename"] for row in rows]), strict=True)
        ]

    def fit(self, items: Sequence[Item], seed: int, progress: Watch, device: str) -> Any:
        rng, others = np.random.default_rng(seed), np.random.default_rng([seed, 1])
        unlike: list[NDArray[np.float32]] = []
        rows: list[list[tuple[NDArray[np.float32], NDArray[np.float64]]]] = [[], []]
        for done, item in enumerate(items, 1):
            square, boxes = squared(_grey(item)), _boxes(item)
            whole = [np.array([0.0, 0.0, 1.0, 1.0]), *(_shifted(rng) for _ in range(WHOLE_DRAWS))]
            near = [frame_around(boxes) + DISPLACED * rng.standard_normal(4) for _ in range(FRAME_DRAWS)]
            for stage, frames in zip(rows, (whole, near), strict=True):
                for frame in frames:
                    stage.append((features(part_of(square, frame)), into_frame(boxes, frame)))
                    turned, other = mirrored(boxes), mirrored(frame[None])[0]
                    part = part_of(np.ascontiguousarray(square[:, ::-1]), other)
                    stage.append((features(part), into_frame(turned, other)))
            unlike += _unlike(square, boxes, others)
            progress(done, len(items), 0.0)
        like = [(found, np.ones(1)) for found, _ in rows[1]] + [(found, np.zeros(1)) for found in unlike]
        return _module(*map(_ridge, (*rows, like)))

    def score(self, network: Network, items: Sequence[Item]) -> Scores:
        rows = [_scored(network, item) for item in items]
        return {name: [row[name] for row in rows] for name in rows[0]}

    def figures(self, scores: Scores, items: Sequence[Item], dataset: str) -> tuple[Figure, ...]:
        groups = [item.group for item in items]
        boxes = np.stack([_boxes(item) for item in items])
        usual = [
            float(intersection_over_union(boxes[[g != group for g in groups]].mean(axis=0), own).mean())
            for own, group in zip(boxes, groups, strict=True)
        ]
        where = "lung boxes under CC BY, five-fold by patient"
        return (
            figure("IoU of a lung's box, mean over both lungs", where, scores["iou"], groups),
            figure("IoU of the right lung's box", where, scores["iou_right"], groups),
            figure("IoU of the left lung's box", where, scores["iou_left"], groups),
            figure(SIDE_ERROR, where, scores["side_error"], groups, digits=1),
            figure("for comparison: IoU of the other patients' mean boxes", where, usual, groups),
            figure("share of these pictures it refuses", where, _refused(scores["likeness"]), groups),
            figure("share it refuses of the same on their side", where, _refused(scores["turned likeness"]), groups),
        )


def _drawn_boxes(folder: Path, names: Sequence[str]) -> list[list[list[float]]]:
    """For each picture the right and the left lung's box as fractions (x0, y0, x1, y1)."""
    listed = json.loads((folder / "lung_boxes_coco.json").read_text())
    lungs = {category["id"]: category["name"] for category in listed["categories"]}
    pictures = {picture["id"]: picture for picture in listed["images"]}
    found: dict[tuple[str, str], list[float]] = {}
    for drawn in listed["annotations"]:
        picture = pictures[drawn["image_id"]]
        x, y, width, height = drawn["bbox"]
        corners = np.array([x, y, x + width, y + height])
        fractions = corners / np.array([picture["width"], picture["height"]] * 2)
        found[picture["file_name"], lungs[drawn["category_id"]]] = np.clip(fractions, 0.0, 1.0).round(5).tolist()
    return [[found[name, "Right Lung"], found[name, "Left Lung"]] for name in names]


def _boxes(item: Item) -> NDArray[np.float64]:
    return np.array(json.loads(item.facts["boxes"]))


def _grey(item: Item) -> NDArray[np.float32]:
    """Grey values as the tool takes them from the store."""
    from PIL import Image

    with Image.open(item.files["picture"]) as picture:
        array = np.asarray(picture.convert("L" if picture.mode == "L" else "RGB"), dtype=np.float32)
    return array.mean(axis=2) if array.ndim == 3 else array


def _shifted(rng: np.random.Generator) -> NDArray[np.float64]:
    """The whole picture with a little more or less at its edges."""
    width, height = np.exp(rng.uniform(-0.15, 0.2) + np.array([1.0, -1.0]) * rng.uniform(-0.08, 0.08))
    x, y = 0.5 + rng.uniform(-0.1, 0.1, 2)
    return np.array([x - width / 2.0, y - height / 2.0, x + width / 2.0, y + height / 2.0])


def _unlike(
    square: NDArray[np.float32], boxes: NDArray[np.float64], rng: np.random.Generator
) -> list[NDArray[np.float32]]:
    """Features of what is no upright chest: the picture turned by right angles, and small parts of it."""
    found = []
    for turns in (1, 2, 3):
        turned = np.ascontiguousarray(np.rot90(square, turns))
        for _ in range(OTHER_DRAWS):
            frame = frame_around(boxes) + 3.0 * DISPLACED * rng.standard_normal(4)
            found.append(features(part_of(turned, frame)))
    for _ in range(OTHER_DRAWS):
        corner = rng.uniform(0.1, 0.6, 2)
        found.append(features(part_of(square, np.concatenate([corner, corner + rng.uniform(0.25, 0.4)]))))
    return found


def _ridge(
    rows: Sequence[tuple[NDArray[np.float32], NDArray[np.float64]]],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights (F, n) and offsets (n,) of the ridge regression of targets on features, solved in its dual form."""
    x = np.stack([found for found, _ in rows]).astype(np.float64)
    y = np.stack([boxes.ravel() for _, boxes in rows])
    middle, usual = x.mean(axis=0), y.mean(axis=0)
    x -= middle
    weights = x.T @ np.linalg.solve(x @ x.T + PENALTY * len(x) * np.eye(len(x)), y - usual)
    return weights, usual - middle @ weights


def _module(*maps: tuple[NDArray[np.float64], NDArray[np.float64]]) -> Any:
    """Linear maps, each weights (F, outputs) and offsets, as one torch module of features (N, 1, 1, F)."""
    import torch

    class Linears(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.maps = torch.nn.ModuleList()
            for weights, offsets in maps:
                layer = torch.nn.Linear(*weights.shape)
                layer.weight.data = torch.from_numpy(weights.T.astype(np.float32))
                layer.bias.data = torch.from_numpy(offsets.astype(np.float32))
                self.maps.append(layer)

        def forward(self, x: Any) -> Any:
            return tuple(layer(x.flatten(1)) for layer in self.maps)

    return Linears().eval()


def _refused(likeness: Sequence[float]) -> list[float]:
    return [float(value < LEAST_LIKENESS) for value in likeness]


def _scored(network: Network, item: Item) -> dict[str, float]:
    grey, truth = _grey(item), _boxes(item)
    found = find_lungs(grey, network)
    right, left = intersection_over_union(found.boxes, truth).tolist()
    sides, drawn = (boxes[:, 2:] - boxes[:, :2] for boxes in (found.boxes, truth))
    return {
        "iou": (right + left) / 2.0,
        "iou_right": right,
        "iou_left": left,
        "side_error": 100.0 * float((np.abs(sides - drawn) / drawn).mean()),
        "likeness": found.likeness,
        "turned likeness": find_lungs(np.rot90(grey), network).likeness,
    }


RECIPE = LungBoxRecipe()
