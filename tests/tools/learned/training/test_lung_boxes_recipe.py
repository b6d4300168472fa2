"""The lung box recipe on drawn squares, and on which pictures it may be trained."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from polyclinic.core.errors import InputError
from polyclinic.tools.learned.network import Network
from polyclinic.tools.learned.training.items import Item

for package in ("torch", "onnx", "onnxruntime"):
    pytest.importorskip(package, reason="needs torch and onnx: type python tests/experts/run.py")

from polyclinic.tools.learned.training.export import to_onnx  # noqa: E402
from polyclinic.tools.learned.training.recipes.lung_boxes import RECIPE  # noqa: E402


def test_it_finds_squares_like_those_it_was_shown(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    items = []
    for number in range(24):
        x, y, width, height = rng.uniform((0.05, 0.1, 0.28, 0.4), (0.15, 0.3, 0.38, 0.6))
        boxes = [[x, y, x + width, y + height], [x + width + 0.1, y, x + 2 * width + 0.1, y + height]]
        picture = np.full((200, 200), 200, np.uint8)
        for x0, y0, x1, y1 in boxes:
            picture[round(200 * y0) : round(200 * y1), round(200 * x0) : round(200 * x1)] = 60
        path = tmp_path / f"{number:02}.png"
        PIL.Image.fromarray(picture).save(path)
        items.append(Item(id=path.stem, group=path.stem, files={"picture": path}, facts={"boxes": json.dumps(boxes)}))
    module = RECIPE.fit(items[:18], 0, lambda done, steps, loss: None, "cpu")
    to_onnx(module, RECIPE.input_shape, tmp_path / "squares.onnx")
    scores = RECIPE.score(Network.at(tmp_path / "squares.onnx"), items[18:])
    assert min(scores["iou"]) > 0.85
    assert min(scores["likeness"]) > 0.7
    figures = {figure.metric: figure for figure in RECIPE.figures(scores, items[18:], "")}
    usual = figures["for comparison: IoU of the other patients' mean boxes"]
    assert usual.value < figures["IoU of a lung's box, mean over both lungs"].value


def test_only_pictures_under_cc_by_are_items(data_dir: Path) -> None:
    folder = data_dir / "cxr_covid_boxes_permissive"
    with (folder / "metadata.csv").open(newline="") as file:
        licences = {row["filename"]: row["license"] for row in csv.DictReader(file)}
    items = RECIPE.items(data_dir)
    assert {licences[item.id] for item in items} <= {"CC BY 3.0", "CC BY 4.0"}
    assert sum(name.startswith("CC BY-SA") for name in licences.values()) == len(licences) - len(items)
    for item in items:
        (x0, y0, x1, y1), other = json.loads(item.facts["boxes"])
        assert 0.0 <= x0 < x1 <= 1.0
        assert 0.0 <= y0 < y1 <= 1.0
        assert x0 < other[0]


def test_another_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"lung_boxes_coco\.json.*cxr_covid_boxes_permissive"):
        RECIPE.items(tmp_path)
