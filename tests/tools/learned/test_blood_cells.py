"""Blood cells: counts and boxes on real smears, one box per cell, the same answer for a mirror image; and refusals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from polyclinic.core.errors import SetupError, ToolRefusedError
from polyclinic.tools.card import Detection, ImageArguments
from polyclinic.tools.imaging.store import ImageStore, TakenIn
from polyclinic.tools.learned import blood_cells
from polyclinic.tools.learned.blood_cells import (
    CONSTANTS,
    COUNTS,
    LABELS,
    SETTINGS,
    TOOL,
    BloodCells,
    _one_per_cell,
    counted,
    expected_number,
    find_cells,
    likely,
    overlaps,
    shrunk,
)
from polyclinic.tools.learned.cards import shipped_card
from polyclinic.tools.learned.network import Network

Take = Callable[..., TakenIn]


def run(taken: TakenIn, store: ImageStore) -> BloodCells:
    output = TOOL.run(ImageArguments(image=str(taken.image.blob)), store)
    assert isinstance(output, BloodCells)
    return output


@pytest.fixture(scope="module")
def smear(data_dir: Path) -> NDArray[np.uint8]:
    return np.asarray(PIL.Image.open(data_dir / "bccd_blood" / "JPEGImages" / "BloodImage_00000.jpg").convert("RGB"))


def test_counts_are_those_of_the_boxes(smear: NDArray[np.uint8], take: Take, store: ImageStore) -> None:
    """On a picture it was trained on: this holds the way from file to counts, not how good the network is."""
    taken = take(smear)
    output = run(taken, store)
    assert output.wbc_count.value == 1
    assert 9 <= output.rbc_count.value <= 22
    assert output.platelets_count.value == 0
    assert output.rbc_count.text == f"At least {output.rbc_count.value:.0f} red cells were counted in the picture."
    assert output.rbc_count.uncertainty is None  # a lower bound has none
    assert output.wbc_count.text == "1 white cell was counted in the picture."
    assert (output.rbc_count.unit, output.wbc_count.unit) == ("1", "1")
    assert [item.name for item in output.measurements()] == list(COUNTS.values())
    assert output.wbc_count.uncertainty == 0.1  # measured as 0.017, and no count is certain
    assert sum(cell.label == "RBC" for cell in output.detections) >= output.rbc_count.value
    white = next(cell for cell in output.detections if cell.label == "WBC")
    assert white.score > 0.9
    truth = np.array([[260, 177, 491, 376]])
    assert overlaps(np.array([white.box_px]), truth)[0, 0] > 0.7
    assert output.overlay is not None
    assert run(taken, store) == output


def test_boxes_lie_in_the_picture_and_come_surest_first(smear: NDArray[np.uint8]) -> None:
    cells = find_cells(smear, Network.shipped("blood_cells"))
    assert [cell.score for cell in cells] == sorted((cell.score for cell in cells), reverse=True)
    assert min(cell.score for cell in cells) >= SETTINGS["floor"]
    for cell in cells:
        left, top, right, bottom = cell.box_px
        assert 0 <= left < right <= 640
        assert 0 <= top < bottom <= 480
        assert cell.label in LABELS


def test_a_mirror_image_has_the_same_cells(smear: NDArray[np.uint8]) -> None:
    network = Network.shipped("blood_cells")
    for axis in (0, 1):
        turned = np.ascontiguousarray(np.flip(smear, axis))
        found, mirrored = (
            [cell for cell in find_cells(picture, network) if cell.score > 0.3] for picture in (smear, turned)
        )
        assert Counter(cell.label for cell in found) == Counter(cell.label for cell in mirrored)
        size = smear.shape[axis]
        back = [list(cell.box_px) for cell in mirrored]
        for box in back:
            box[1 - axis], box[3 - axis] = size - box[3 - axis], size - box[1 - axis]
        shared = overlaps(np.array([cell.box_px for cell in found]), np.array(back)).max(axis=1)
        assert shared.min() > 0.9


def test_an_enlarged_picture_has_the_same_cells(smear: NDArray[np.uint8]) -> None:
    network = Network.shipped("blood_cells")
    large = np.asarray(PIL.Image.fromarray(smear).resize((1280, 960), PIL.Image.Resampling.BICUBIC))
    found, larger = ([c for c in find_cells(picture, network) if c.score > 0.3] for picture in (smear, large))
    assert abs(len(found) - len(larger)) <= 1
    shared = overlaps(2 * np.array([c.box_px for c in found]), np.array([c.box_px for c in larger])).max(axis=1)
    assert np.median(shared) > 0.9


@pytest.mark.parametrize("shape", [(480, 640), (300, 301), (65, 640), (1000, 700)])
def test_the_longer_side_is_brought_to_one_length(shape: tuple[int, int]) -> None:
    x = shrunk(np.full((*shape, 3), 200, np.uint8))
    assert max(x.shape[1:]) == SETTINGS["long_side_px"]
    assert x.shape[1] / x.shape[2] == pytest.approx(shape[0] / shape[1], rel=0.05)
    assert x.mean() == pytest.approx(200 / 255, abs=1e-3)


def blot(size: int = 200) -> NDArray[np.uint8]:
    rows, columns = np.mgrid[:size, :size]
    picture = np.full((size, size, 3), (230, 215, 220), np.uint8)
    picture[(rows - 90) ** 2 + (columns - 100) ** 2 < 30**2] = (200, 120, 140)
    return picture


@pytest.mark.parametrize(
    ("picture", "got"),
    [
        (np.full((200, 200), 200, np.uint8), "without colour"),
        (blot() // 4, "dark background"),
        (np.dstack([np.full((100, 100), 200, np.uint8)] * 2 + [np.full((100, 100), 205, np.uint8)]), "hardly any"),
        (blot()[:50, :80], "80 × 50 px"),
        (np.full((200, 260, 3), (235, 215, 225), np.uint8), "no blood cell"),
    ],
)
def test_what_is_no_smear_is_refused(picture: NDArray[np.uint8], got: str, take: Take, store: ImageStore) -> None:
    with pytest.raises(ToolRefusedError, match=got):
        run(take(picture), store)


CALIBRATION = {f"{label} {name}": value for label in LABELS for name, value in (("slope", 2.0), ("offset", 0.0))} | {
    "RBC count offset": 1.0, "RBC count slope": 0.5, "WBC threshold": 0.4, "platelet threshold": 0.8,
}  # fmt: skip


def test_red_cells_are_counted_by_the_sum_of_their_chances() -> None:
    red = [Detection(label="RBC", box_px=(k, 0, k + 9, 9), score=score) for k, score in enumerate((0.9, 0.8, 0.2, 0.1))]
    assert counted(red, CALIBRATION) == tuple(red[:2])
    assert expected_number([], CALIBRATION) == 0
    assert expected_number([0.1], CALIBRATION) == 1
    assert expected_number([0.9] * 10, CALIBRATION) == 6


def test_other_cells_are_counted_from_a_chance_on() -> None:
    cells = [Detection(label=label, box_px=(0, 0, 9, 9), score=0.4) for label in ("WBC", "platelet")]
    assert [cell.label for cell in counted(cells, CALIBRATION)] == ["WBC"]


def test_scores_become_chances() -> None:
    cells = [Detection(label="RBC", box_px=(0, 0, 9, 9), score=score) for score in (0.5, 0.06, 0.8)]
    chances = [cell.score for cell in likely(cells, CALIBRATION)]
    assert chances == [pytest.approx(16 / 17, abs=1e-3), 0.5]


def test_the_shipped_calibration_has_all_constants() -> None:
    calibration = shipped_card("blood_cells").calibration
    assert set(calibration) == set(CONSTANTS)
    assert all(calibration[f"{label} slope"] > 0.0 for label in LABELS)


def test_a_card_without_thresholds_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    card = shipped_card("blood_cells").model_copy(update={"calibration": {}})
    monkeypatch.setattr(blood_cells, "shipped_card", lambda name: card)
    assert TOOL.check is not None
    with pytest.raises(SetupError, match=r"without 'RBC slope'; type: polyclinic train blood_cells"):
        TOOL.check()


BOXES = arrays(np.int64, (6, 4), elements=st.integers(0, 60))


@given(BOXES)
def test_kept_boxes_share_little_and_the_surest_stays(boxes: NDArray[np.int64]) -> None:
    kept = _one_per_cell(boxes)
    filled = [k for k, (x0, y0, x1, y1) in enumerate(boxes.tolist()) if x1 > x0 and y1 > y0]
    assert kept == sorted(set(kept) & set(filled))
    assert kept[:1] == filled[:1]
    if kept:
        shared = overlaps(boxes[kept], boxes[kept])
        assert (shared - np.eye(len(kept)) < SETTINGS["same_cell_iou"]).all()
        for k in set(filled) - set(kept):
            assert overlaps(boxes[k][None], boxes[[j for j in kept if j < k]]).max() >= SETTINGS["same_cell_iou"]
