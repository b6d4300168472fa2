"""The blood cell recipe: its targets, its matching of cells with labels, average precision and thresholds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from polyclinic.tools.card import Detection

for package in ("torch", "onnx", "onnxruntime"):
    pytest.importorskip(package, reason="needs torch and onnx: type python tests/experts/run.py")

import torch  # noqa: E402

from polyclinic.tools.learned.training.recipes.blood_cells import (  # noqa: E402
    MOST,
    RECIPE,
    SIDE_PX,
    CellNet,
    _cells,
    _drawn,
    average_precision,
    best_threshold,
    calibrated,
    count_errors,
    middles_and_reach,
    signed_scores,
    targets,
)


def test_the_network_answers_on_a_grid_of_four_pixels() -> None:
    heat, reach = CellNet().eval()(torch.zeros(2, 3, 48, 64))
    assert heat.shape == (2, 3, 12, 16)
    assert reach.shape == (2, 4, 12, 16)


def test_a_box_has_one_middle_and_its_reach() -> None:
    heat, reach, weight, counts = targets(np.array([[20.0, 40.0, 60.0, 70.0]]), np.array([1]))
    assert np.argwhere(heat == 1.0).tolist() == [[1, 13, 10]]
    x, y = 4 * 10 + 2, 4 * 13 + 2
    assert reach[:, 13, 10].tolist() == [x - 20, y - 40, 60 - x, 70 - y]
    assert weight[0, 13, 10] == 1.0
    assert heat[[0, 2]].max() == 0.0
    assert counts.min() == 1.0


def test_what_is_cut_off_too_far_is_left_out() -> None:
    heat, _, weight, counts = targets(np.array([[-30.0, 40.0, 10.0, 70.0]]), np.array([0]))
    assert heat.max() == weight.max() == 0.0
    assert (counts[0, 10:18, :3] == 0.0).all()
    assert (counts[0, :, 3:] == 1.0).all()
    assert (counts[1:] == 1.0).all()


def test_the_loss_is_least_for_the_targets_themselves() -> None:
    heat, reach, weight, counts = (
        torch.from_numpy(part)[None] for part in targets(np.array([[20.0, 40.0, 60.0, 70.0]]), np.array([1]))
    )
    logits, logs = torch.where(heat == 1.0, 9.0, -9.0), torch.log(reach / 16.0)
    best = middles_and_reach((logits, logs), heat, reach, weight, counts)
    assert float(best) < 0.02
    assert float(middles_and_reach((logits, logs + 0.5), heat, reach, weight, counts)) > 0.5
    assert float(middles_and_reach((-logits, logs), heat, reach, weight, counts)) > 5.0


def test_drawn_pieces_keep_cells_and_boxes_together() -> None:
    x = np.ones((3, 192, 256), dtype=np.float32)
    x[:, 80:110, 100:140] = 0.0
    cells = np.array([[100.0, 80.0, 140.0, 110.0]]), np.array([0])
    seen = 0
    for seed in range(12):
        light, heat, reach, _, _ = _drawn(x, cells, np.random.default_rng(seed))
        assert light.shape == (3, SIDE_PX, SIDE_PX)
        for row, column in np.argwhere(heat[0] == 1.0):
            left, up, right, down = reach[:, row, column]
            middle = 4 * column + 2, 4 * row + 2
            edges = [round(float(v)) for v in (middle[0] - left, middle[1] - up, middle[0] + right, middle[1] + down)]
            inside = light[0, edges[1] + 2 : edges[3] - 2, edges[0] + 2 : edges[2] - 2]
            assert inside.max() < 0.1
            seen += 1
    assert seen >= 8


def cell(score: float, *box: int) -> Detection:
    return Detection(label="RBC", box_px=(box[0], box[1], box[2], box[3]), score=score)


def test_each_label_is_found_once() -> None:
    truth = np.array([[0.0, 0.0, 10.0, 10.0], [20.0, 0.0, 30.0, 10.0]])
    cells = [cell(0.9, 0, 0, 10, 9), cell(0.8, 0, 1, 10, 10), cell(0.7, 20, 0, 30, 6), cell(0.2, 50, 50, 60, 60)]
    assert signed_scores(cells, truth) == [0.9, -0.8, 0.7, -0.2]
    assert signed_scores(cells[:1], np.zeros((0, 4))) == [-0.9]


def test_average_precision_by_hand() -> None:
    nan = float("nan")
    table = np.array([[0.9, -0.8, nan], [0.7, nan, nan]])
    assert average_precision(table, np.array([1.0, 1.0])) == pytest.approx(0.5 * 1.0 + 0.5 * 2.0 / 3.0)
    assert average_precision(table, np.array([2.0, 2.0])) == pytest.approx(0.25 * 1.0 + 0.25 * 2.0 / 3.0)
    assert average_precision(np.full((2, 3), nan), np.array([1.0, 1.0])) != average_precision(table, np.ones(2))
    assert np.isnan(average_precision(table, np.zeros(2)))


def found_in(truth: np.ndarray) -> np.ndarray:
    """Signed scores of detections that find all labelled cells, and five others less surely on each picture."""
    rng = np.random.default_rng(0)
    table = np.full((len(truth), 20), np.nan)
    for row, number in enumerate(truth.astype(int)):
        table[row, :number] = rng.uniform(0.5, 0.9, number)
        table[row, number : number + 5] = -rng.uniform(0.1, 0.6, 5)
    return table


def test_the_threshold_is_the_one_that_counts_best() -> None:
    truth = np.random.default_rng(1).integers(0, 8, 60).astype(float)
    chances = np.where(np.nan_to_num(found_in(truth)) > 0, 0.8, 0.3)
    assert 0.3 < best_threshold(np.where(np.isnan(found_in(truth)), 0.0, chances), truth) <= 0.8


@pytest.mark.parametrize("label", ["RBC", "platelet"])
def test_counts_are_better_than_the_median(label: str) -> None:
    truth = np.random.default_rng(1).integers(0, 8, 120).astype(float)
    errors, constant = count_errors(label, found_in(truth), truth, [str(number) for number in range(120)])
    assert np.mean(errors) < 0.7
    assert np.mean(constant) > 1.2


def test_calibrated_chances_are_those_of_being_labelled() -> None:
    rng = np.random.default_rng(2)
    share = rng.uniform(0.05, 0.95, (200, 10))
    signed = np.where(rng.random(share.shape) < share**2 / (share**2 + (1 - share) ** 2), share, -share)
    found = calibrated("RBC", signed, (signed > 0).sum(axis=1).astype(float))
    assert found["RBC slope"] == pytest.approx(2.0, abs=0.2)
    assert found["RBC offset"] == pytest.approx(0.0, abs=0.2)
    assert found["RBC count slope"] == pytest.approx(1.0, abs=0.35)


def test_the_labels_are_read_as_they_are_written(data_dir: Path) -> None:
    items = RECIPE.items(data_dir)
    read = [_cells(item.files["boxes"]) for item in items]
    kinds = np.concatenate([kinds for _, kinds in read])
    assert np.bincount(kinds, minlength=3).min() > 200
    assert all((boxes[:, 2:] > boxes[:, :2]).all() for boxes, _ in read)
    assert max(int((kinds == 0).sum()) for _, kinds in read) < MOST["RBC"]
    groups = {item.id: item.group for item in items}
    assert groups["BloodImage_00037"] == groups["BloodImage_00038"]
