"""The sets that tools are measured on: what their folders hold, what they tell beforehand, and what damage does."""

from __future__ import annotations

import re
from pathlib import Path

import PIL.Image
import pytest

from polyclinic.core.errors import InputError, SetupError
from polyclinic.evals.benchmarks.table import benchmark
from polyclinic.evals.outcomes import Row, Said
from polyclinic.evals.places import read_truth
from polyclinic.evals.sample import Boxes, Letter, Mask, Sample
from polyclinic.evals.scoring import row_of
from polyclinic.tools.registry import Toolbox

ANSWERS = {
    "blood_cells": r"RBC=|xml",
    "brain_tumour": r"mask",
    "brain_tumour-type": r"mask",
    "haemorrhage": r"mask",
    "nuclei": r"n_nuclei|instance|stained|grayscale",
    "pneumonia": r"no_finding|pneumonia_",
    "vessels_chase": r"1stHO|2ndHO",
    "vessels_drive": r"manual",
}
LABELS = {
    "blood_cells": "bccd_blood/Annotations/BloodImage_00701.xml",
    "brain_tumour": "mri_brisc_seg/masks/77014.png",
    "brain_tumour-type": "mri_brisc_seg/masks/77014.png",
    "haemorrhage": "ct_brain_hemorrhage_seg/masks/777018.png",
    "nuclei": "nuclei_dsb2018/instance_labels/0a1b.png",
    "vessels_chase": "fundus_chasedb1/Image_77R_1stHO.png",
    "vessels_drive": "fundus_drive/training/1st_manual/77_manual1.gif",
}


def loaded(name: str, data: Path) -> list[Sample]:
    each = benchmark(name)
    return list(each.samples(each.at(data)))


@pytest.mark.parametrize("name", ANSWERS)
def test_nothing_but_the_path_of_a_picture_tells_the_answer(name: str, fixtures: Path) -> None:
    for sample in loaded(name, fixtures):
        case = sample.case.model_copy(
            update={"images": tuple(image.model_copy(update={"path": "x.png"}) for image in sample.case.images)}
        )
        assert not re.search(ANSWERS[name], case.model_dump_json())
        assert sample.case.images[0].modality == sample.facets["modality"]


@pytest.mark.parametrize("name", LABELS)
def test_a_missing_label_is_named(name: str, copied: Path) -> None:
    (copied / LABELS[name]).unlink()
    with pytest.raises(InputError):
        loaded(name, copied)


@pytest.mark.parametrize("name", LABELS)
def test_a_damaged_label_is_the_set_s_fault_and_no_arm_s(name: str, copied: Path) -> None:
    (copied / LABELS[name]).write_bytes(b"<annotation><object>")
    said = Said(mask="said.png")
    PIL.Image.new("L", (64, 48)).save(copied / "said.png")

    def scored() -> list[Row]:
        return [row_of(each, said, benchmark=name, arm="one", epoch=1, root=copied) for each in loaded(name, copied)]

    with pytest.raises((InputError, SetupError)):
        scored()


def test_cells_are_called_as_the_tools_call_them_and_empty_boxes_left_out(fixtures: Path) -> None:
    first, second = loaded("blood_cells", fixtures)
    assert isinstance(first.target, Boxes)
    assert first.target.boxes == (
        ("RBC", (4, 6, 20, 22)), ("WBC", (28, 12, 52, 36)), ("platelet", (54, 2, 62, 10)),
    )  # fmt: skip
    assert [first.facets["part"], second.facets["part"]] == ["train", "val"]


def test_groups_are_what_shows_one_patient(fixtures: Path) -> None:
    assert [sample.group for sample in loaded("vessels_chase", fixtures)] == ["Image_01", "Image_77", "Image_77"]
    assert [sample.group for sample in loaded("haemorrhage", fixtures)] == ["777", "778"]
    assert {sample.group for sample in loaded("pneumonia", fixtures)} == {"00077777", "00077778", "00077779"}


def test_colours_that_are_a_little_off_are_meant_all_the_same(fixtures: Path) -> None:
    for name in ("haemorrhage", "brain_tumour"):
        for sample in loaded(name, fixtures):
            assert isinstance(sample.target, Mask)
            assert int((read_truth(sample.target) > 0).sum()) == 109  # a disc of radius 6


def test_types_are_options_that_stand_for_findings(fixtures: Path) -> None:
    found = loaded("brain_tumour-type", fixtures)
    assert [sample.target for sample in found] == [Letter(letter="A"), Letter(letter="B"), Letter(letter="C")]
    assert found[0].sought.findings == {"A": "glioma", "B": "meningioma", "C": "pituitary-adenoma"}


@pytest.mark.parametrize("name", ANSWERS)
def test_the_tools_for_a_set_take_its_pictures_by_what_is_stated(name: str, fixtures: Path) -> None:
    wanted = {
        "blood_cells": {"blood_cells", "blood_smear_counts"},
        "brain_tumour": {"brain_tumour"},
        "brain_tumour-type": {"brain_tumour"},
        "haemorrhage": {"haemorrhage"},
        "nuclei": {"nuclei", "fluorescent_nuclei", "stained_cells"},
        "pneumonia": {"pneumonia"},
        "vessels_chase": {"fundus_vessels", "fundus_vessels_net"},
        "vessels_drive": {"fundus_vessels", "fundus_vessels_net"},
    }[name]
    tools = Toolbox()
    for sample in loaded(name, fixtures):
        assert {tool for tool in wanted if tools.get(tool).card.accepts(sample.case.images[0])} == wanted


SIZES = {
    "blood_cells": (292, 291), "brain_tumour": (30, 30), "brain_tumour-type": (30, 30), "haemorrhage": (23, 17),
    "nuclei": (28, 28), "pneumonia": (111, 102), "vessels_chase": (28, 14), "vessels_drive": (20, 20),
}  # fmt: skip


@pytest.mark.parametrize("name", SIZES)
def test_the_published_sets_are_whole(name: str, data_dir: Path) -> None:
    each = benchmark(name)
    if not (data_dir / each.place).exists():
        pytest.skip(f"no {each.published_as}")
    found = list(each.samples(each.at(data_dir)))
    assert (len(found), len({sample.group for sample in found})) == SIZES[name]
