"""Places by hand: masks of a few pixels, boxes and points whose scores can be counted on paper."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from polyclinic.core.case import Case, Image
from polyclinic.core.evidence import Claim, Evidence, Region, Source
from polyclinic.core.report import Report
from polyclinic.evals.outcomes import Place, Row, Said, places_in
from polyclinic.evals.places import instance_overlap, judged_boxes, judged_points
from polyclinic.evals.sample import Boxes, Mask, Points, Sample, Sought, Target
from polyclinic.evals.scoring import row_of

NOTHING = Sought()
CELLS = Sought(labels={"red cell": "RBC", "WBC": "WBC"}, counts={"RBC": "red cells"})


def sample(target: Target, folder: Path | None = None, sought: Sought = NOTHING) -> Sample:
    images = (Image(path=str(folder / "picture.png")),) if folder else ()
    return Sample(case=Case(id="s1", question="Where?", images=images), target=target, group="g", sought=sought)


def saved(array: NDArray[np.uint8] | NDArray[np.uint16], path: Path) -> Path:
    PIL.Image.fromarray(array).save(path)
    return path


def square(x: int, y: int, side: int, shape: tuple[int, int] = (20, 30)) -> NDArray[np.uint8]:
    mask = np.zeros(shape, dtype=np.uint8)
    mask[y : y + side, x : x + side] = 255
    return mask


def row(each: Sample, said: Said, root: Path) -> Row:
    return row_of(each, said, benchmark="quiz", arm="one", epoch=1, root=root)


def test_a_mask_is_scored_against_the_drawn_one(tmp_path: Path) -> None:
    saved(square(4, 4, 8), tmp_path / "truth.png")
    saved(square(8, 4, 8), tmp_path / "said.png")
    target = Mask(path=tmp_path / "truth.png", label="lesion")
    found = row(sample(target), Said(mask="said.png"), tmp_path)
    assert found.outcome == "right"
    assert found.scores["Dice"] == 0.5
    assert found.scores["IoU"] == pytest.approx(1 / 3)
    assert found.scores["HD95 in px"] == 4.0


def test_an_empty_mask_is_as_far_away_as_the_picture_is_wide(tmp_path: Path) -> None:
    saved(square(4, 4, 8), tmp_path / "truth.png")
    saved(square(0, 0, 0), tmp_path / "said.png")
    found = row(sample(Mask(path=tmp_path / "truth.png", label="lesion")), Said(mask="said.png"), tmp_path)
    assert found.outcome == "wrong"
    assert found.scores == {
        "Dice": 0.0, "IoU": 0.0, "HD95 in px": math.hypot(20, 30), "surface Dice at 2 px": 0.0,
    }  # fmt: skip


@pytest.mark.parametrize("shape", [(10, 10), None])
def test_a_mask_of_another_size_or_none_has_failed(shape: tuple[int, int] | None, tmp_path: Path) -> None:
    saved(square(4, 4, 8), tmp_path / "truth.png")
    if shape is None:
        (tmp_path / "said.png").write_bytes(b"no picture")
    else:
        saved(square(1, 1, 2, shape), tmp_path / "said.png")
    found = row(sample(Mask(path=tmp_path / "truth.png", label="lesion")), Said(mask="said.png"), tmp_path)
    assert (found.outcome, found.scores) == ("failed", {})
    assert "a mask" in found.said.why


def test_only_what_the_camera_saw_counts(tmp_path: Path) -> None:
    y, x = np.mgrid[:120, :160]
    lit = (x - 80) ** 2 + (y - 60) ** 2 < 50**2
    saved(np.where(lit[..., None], (180, 90, 40), (0, 0, 0)).astype(np.uint8), tmp_path / "picture.png")
    line = np.abs(y - 60) < 3
    saved((255 * (line & lit)).astype(np.uint8), tmp_path / "truth.png")
    saved((255 * line).astype(np.uint8), tmp_path / "said.png")
    dices = [
        row(sample(Mask(path=tmp_path / "truth.png", label="vessels", field=field), tmp_path), Said(mask="said.png"),
            tmp_path).scores["Dice"]
        for field in (False, True)
    ]  # fmt: skip
    assert dices[0] < 0.8
    assert dices[1] == pytest.approx(1.0, abs=0.01)


def test_instances_are_matched_one_by_one_and_counted(tmp_path: Path) -> None:
    truth = np.zeros((20, 30), dtype=np.uint16)
    truth[2:6, 2:6], truth[2:6, 6:10], truth[12:16, 20:24] = 700, 9, 41
    saved(truth, tmp_path / "truth.png")
    said = np.zeros((20, 30), dtype=np.uint8)
    said[2:6, 2:5] = said[2:6, 6:10] = said[12:14, 20:24] = 255
    saved(said, tmp_path / "said.png")
    target = Mask(path=tmp_path / "truth.png", label="nuclei", instances=True)
    found = row(sample(target), Said(mask="said.png"), tmp_path).scores
    assert found["F1 at IoU 0.5"] == pytest.approx(2 * 2 / 6)  # the third shares half of its union, not more
    assert found["relative count error"] == 0.0
    counted = row(sample(target), Said(mask="said.png", counts={"nuclei": 6}), tmp_path).scores
    assert counted["relative count error"] == 1.0


@given(st.lists(st.integers(0, 4), min_size=36, max_size=36))
def test_instances_match_themselves_whatever_their_numbers(values: list[int]) -> None:
    labels = np.array(values, dtype=np.int64).reshape(6, 6)
    other = np.array([0, 50, 7, 300, 2])[labels]
    number = len(set(values) - {0})
    found = instance_overlap(labels, other)
    assert (found.hits, found.said, found.there) == (number, number, number)


TWO = Boxes(boxes=(("RBC", (0, 0, 10, 10)), ("WBC", (20, 0, 30, 10))))


def test_boxes_are_found_by_label_and_overlap() -> None:
    said = Said(
        boxes=(
            Place(label="RBC", box=(0, 0, 10, 8), score=0.9),
            Place(label="RBC", box=(0, 0, 10, 10), score=0.4),  # not sure enough to be said
            Place(label="RBC", box=(20, 0, 30, 10), score=0.9),  # the other label
            Place(label="nucleus", box=(1, 1, 4, 4), score=0.9),
        ),
        counts={"RBC": 4.0},
    )
    right, scores = judged_boxes(sample(TWO, sought=CELLS), TWO, said)
    assert not right
    assert scores["found"] == 1
    assert scores["false"] == 2
    assert scores["missed"] == 1
    assert scores["F1 at IoU 0.5"] == pytest.approx(2 / 5)
    assert scores["IoU of what is there"] == pytest.approx(0.4)
    assert scores["RBC count error"] == 3.0
    assert scores["WBC count error"] == 1.0


def test_a_label_of_the_set_that_is_not_in_a_picture_still_counts() -> None:
    one = Boxes(boxes=(("RBC", (0, 0, 10, 10)),))
    said = Said(boxes=(Place(label="WBC", box=(0, 0, 10, 10)),))
    _, scores = judged_boxes(sample(one, sought=CELLS), one, said)
    assert (scores["found"], scores["RBC count error"], scores["WBC count error"]) == (0, 1, 1)


def test_where_one_thing_is_sought_its_name_says_nothing() -> None:
    one = Boxes(boxes=(("Spoon", (0, 0, 10, 10)),))
    right, scores = judged_boxes(sample(one), one, Said(boxes=(Place(label="tumour_area", box=(0, 0, 10, 9)),)))
    assert right
    assert scores["IoU of what is there"] == pytest.approx(0.9)


BOX = st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(1, 9), st.integers(1, 9)).map(
    lambda box: (box[0], box[1], box[0] + box[2], box[1] + box[3])
)


@given(st.lists(st.tuples(st.sampled_from(["RBC", "WBC"]), BOX), max_size=6), st.randoms())
def test_what_is_said_as_it_is_is_right_in_any_order(
    boxes: list[tuple[str, tuple[int, int, int, int]]], rng: object
) -> None:
    target = Boxes(boxes=tuple(boxes))
    shuffled = sorted(boxes, key=lambda _: rng.random())  # type: ignore[attr-defined]
    said = Said(boxes=tuple(Place(label=label, box=box) for label, box in shuffled))
    right, scores = judged_boxes(sample(target, sought=CELLS), target, said)
    assert right
    assert scores["F1 at IoU 0.5"] == 1.0
    assert scores["false"] == scores["missed"] == scores["RBC count error"] == scores["WBC count error"] == 0.0


def test_points_are_found_by_the_boxes_around_them() -> None:
    target = Points(points=(("cell", (5.0, 5.0)), ("cell", (15.0, 5.0)), ("cell", (25.0, 25.0))))
    boxes = (
        Place(label="x", box=(0, 0, 20, 10)),
        Place(label="x", box=(10, 0, 20, 10)),
        Place(label="x", box=(0, 20, 4, 24)),
    )
    right, scores = judged_points(target, Said(boxes=boxes))
    assert not right
    assert (scores["found"], scores["false"], scores["missed"]) == (2, 1, 1)
    assert scores["matched share"] == pytest.approx(2 / 3)
    assert scores["count error"] == 0.0


def test_nothing_said_of_nothing_there_is_right() -> None:
    right, scores = judged_points(Points(points=()), Said(boxes=()))
    assert right
    assert scores == {"found": 0.0, "false": 0.0, "missed": 0.0, "count error": 0.0}


def evidence(name: str, image: str, box: tuple[int, int, int, int] | None) -> Evidence:
    return Evidence(
        id=name, kind="segmentation", content="x", name="tumour_area", source=Source(kind="tool", name="brain_tumour"),
        region=Region(image=image, box_px=box),
    )  # fmt: skip


def test_a_team_s_places_are_the_boxes_its_claims_cite() -> None:
    report = Report.model_construct(
        claims=(Claim(text="a", evidence=("t1", "t2")), Claim(text="b", evidence=("t1", "t4", "t5"))),
        evidence=(
            evidence("t1", "aa", (1, 1, 5, 5)),
            evidence("t2", "aa", (1, 1, 5, 5)),  # the same box again
            evidence("t3", "aa", (7, 7, 9, 9)),  # cited by nobody
            evidence("t4", "bb", (2, 2, 3, 3)),  # on another image
            evidence("t5", "aa", None),
        ),
    )
    assert places_in(report) == (Place(label="tumour_area", box=(1, 1, 5, 5)),)
    assert places_in(report.model_copy(update={"claims": ()})) is None
