"""Pictures with captions and folders of classes: what is said of a picture, and no path that leads elsewhere."""

from __future__ import annotations

import datetime
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from polyclinic.core.case import pseudonym
from polyclinic.core.errors import InputError
from polyclinic.knowledge.sources.captions import Captions
from polyclinic.knowledge.sources.labelled import Labelled, words


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"\x89PNG")


def captions(folder: Path, *rows: dict[str, Any], name: str = "list.jsonl") -> Captions:
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Captions(path=folder, name="atlas", licence="CC0", modality="fundus")


def test_a_caption_says_what_is_seen_and_the_list_what_is_known(tmp_path: Path) -> None:
    put(tmp_path, "img/1.png", "img/2.png", "other/img/1.png")
    (tmp_path / "other").mkdir(exist_ok=True)
    captions(tmp_path / "other", {"image": "img/1.png", "caption": ""})
    source = captions(
        tmp_path,
        {"image": "img/1.png", "caption": "Drusen in both maculae. No fluid.", "id": 7, "label": "drusen",
         "modality": "oct", "citation": "Example Atlas, plate 7", "license": "CC BY 4.0", "date": "2024-03-31",
         "patient_id": "Q-7", "credit": "unknown fields are passed over"},
        {"image": "img/2.png", "caption": "word " * 60},
    )  # fmt: skip
    full, long, bare = source.documents()
    assert not source.skipped
    assert (full.id, full.title, full.text) == ("7", "Drusen in both maculae", "Drusen in both maculae. No fluid.")
    assert (full.label, full.modalities, full.picture) == ("drusen", ("oct",), tmp_path / "img" / "1.png")
    assert (full.citation, full.licence) == ("Example Atlas, plate 7", "CC BY 4.0")
    assert (full.patient_id, full.date) == (pseudonym("Q-7"), datetime.date(2024, 3, 31))
    assert (long.id, long.modalities, long.citation) == ("img/2.png", ("fundus",), "atlas: img/2.png")
    assert long.title.endswith("word …")
    assert len(long.title) <= 102
    assert (bare.id, bare.title, bare.text) == ("other/img/1.png", "img/1.png", "")


@pytest.mark.parametrize(
    "image",
    ["../secret.png", "/etc/hostname", "img/../../secret.png", "link.png", "https://example.test/a.png", "a\0.png",
     "x" * 5000, "loop.png"],
)  # fmt: skip
def test_a_picture_outside_the_list_s_folder_is_refused(tmp_path: Path, image: str) -> None:
    put(tmp_path, "secret.png", "in/img/1.png")
    (tmp_path / "in" / "link.png").symlink_to(tmp_path / "secret.png")
    (tmp_path / "in" / "loop.png").symlink_to(tmp_path / "in" / "loop.png")
    source = captions(tmp_path / "in", {"image": "img/1.png", "caption": "x"}, {"image": image, "caption": "x"})
    with pytest.raises(InputError, match=r"a picture.*list\.jsonl, line 2"):
        list(source.documents())


@pytest.mark.parametrize("image", ["gone.png", "img", "..\\secret.png"])
def test_a_picture_that_is_not_there_is_left_out_and_counted(tmp_path: Path, image: str) -> None:
    put(tmp_path, "secret.png", "in/img/1.png")
    source = captions(tmp_path / "in", {"image": image, "caption": "x"}, {"image": "img/1.png", "caption": "x"})
    assert [document.id for document in source.documents()] == ["img/1.png"]
    assert source.skipped == {"a picture that is not there": 1}


def test_an_absolute_path_is_refused_even_when_it_leads_inside(tmp_path: Path) -> None:
    put(tmp_path, "1.png")
    with pytest.raises(InputError, match=r"inside the list's folder"):
        list(captions(tmp_path, {"image": str(tmp_path / "1.png"), "caption": "x"}).documents())


def test_a_modality_that_is_none_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "1.png")
    with pytest.raises(InputError, match=r"a modality, one of .*sonar.*line 1"):
        list(captions(tmp_path, {"image": "1.png", "caption": "x", "modality": "sonar"}).documents())


def test_the_class_of_a_picture_is_its_folder(tmp_path: Path) -> None:
    put(tmp_path, "train/0_normal/é 1.PNG", "train/1_pleural_effusion/2.jpeg", "loose.png", "train/0_normal/notes.gif")
    put(tmp_path, "train/0_normal/é 1_mask.PNG", "train/0_normal/é 1_mask_2.PNG", "train/0_normal/face_mask.png")
    source = Labelled(path=tmp_path, name="films", licence="CC0", modality="xray")
    first, second, third = source.documents()
    assert (first.id, first.label) == ("train/0_normal/face_mask.png", "0_normal")
    assert (second.id, second.title, second.text) == ("train/0_normal/é 1.PNG", "normal (X-ray)", "normal (X-ray)")
    assert second.citation == "films: train/0_normal/é 1.PNG"
    assert (third.text, third.modalities) == ("pleural effusion (X-ray)", ("xray",))
    assert third.picture == tmp_path / "train" / "1_pleural_effusion" / "2.jpeg"
    assert source.skipped == {
        "a picture in no class's folder": 1, "a mask of another picture": 2, "a file of another kind (.gif)": 1,
    }  # fmt: skip


def test_the_words_of_a_class() -> None:
    assert words("benign", "ultrasound") == "benign (ultrasound)"
    assert words("blast_cells", "blood_smear") == "blast cells (blood smear)"
    assert [words(label, None) for label in ("3", "3_", "2-normal", "T1 N0", "10 years")] == [
        "3", "3", "normal", "T1 N0", "years",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["us_breast_busi_cls", "cxr_nih1000_64px"])
def test_real_folders_of_classes_are_read_whole(data_dir: Path, name: str) -> None:
    folder = data_dir / name
    pictures = list(folder.rglob("*.png"))
    if not pictures:
        pytest.skip(f"no pictures: {folder} holds none")
    documents = list(Labelled(path=folder, name="x", licence="x", modality="ultrasound").documents())
    assert Counter(document.label for document in documents) == Counter(path.parent.name for path in pictures)
    assert {document.picture for document in documents} == set(pictures)
    assert len({document.id for document in documents}) == len(pictures)
