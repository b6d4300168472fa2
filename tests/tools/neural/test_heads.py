"""Heads on radiomics: made, kept, read again, run as tools in a worker, and refused where they do not belong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray

from polyclinic.core.canonical import sha256
from polyclinic.core.errors import InputError, SetupError, ToolRefusedError
from polyclinic.knowledge.encoders.radiomics import Radiomics
from polyclinic.tools import workers
from polyclinic.tools.card import ImageArguments, Tool
from polyclinic.tools.imaging.store import ImageStore, TakenIn
from polyclinic.tools.neural.heads import CARD, NUMBERS, Head, HeadOutput, Label, head_tool, make_head, read_head
from polyclinic.tools.registry import Toolbox

Picture = NDArray[np.uint8]
Take = Callable[..., TakenIn]


def patches(picture: Picture, count: int, *, seed: int = 0) -> list[Picture]:
    rng = np.random.default_rng(seed)
    tops, lefts = (rng.integers(0, length - 96, count) for length in picture.shape[:2])
    return [picture[top : top + 96, left : left + 96] for top, left in zip(tops, lefts, strict=True)]


def made(
    count: int = 12, *, name: str = "stains", seed: int = 0, turned: bool = False, measure: Any = "nothing", **more: Any
) -> Head:
    """Of patches of an immunostain and of bricks: two classes that differ in colour and texture."""
    pictures = patches(skimage.data.immunohistochemistry(), count) + patches(skimage.data.brick(), count)
    names = ["tumour"] * count + ["no tumour"] * count
    labels = [Label(picture=sha256(p.tobytes()), klass=k) for p, k in zip(pictures, names, strict=True)]
    vectors = Radiomics().encode_pictures(pictures)
    if turned:
        labels, vectors = labels[::-1], vectors[::-1]
    return make_head(name, Radiomics(), vectors, labels, seed=seed, measure=measure, **more)


def run(folder: Path, taken: TakenIn, store: ImageStore) -> HeadOutput:
    tool, blob = head_tool(folder), str(taken.image.blob)
    output = asyncio.run(Toolbox([tool]).run(tool.card.name, {"image": blob}, {blob: taken.image}, store))
    assert isinstance(output, HeadOutput)
    return output


def check(tool: Tool) -> None:
    assert tool.check is not None
    tool.check()


def test_a_head_says_what_it_is_made_from_and_how_good_it_is() -> None:
    card = made(measure="all").card
    assert card.classes == ("no tumour", "tumour")
    assert card.labelled == {"no tumour": 12, "tumour": 12}
    assert card.method == "logistic"
    assert card.calibrated
    assert {figure.metric for figure in card.figures} == {
        "accuracy", "AUROC, mean over classes", "expected calibration error",
    }  # fmt: skip
    assert card.accuracy is not None
    assert card.accuracy.value == 1.0
    assert card.accuracy.interval == (0.862, 1.0)  # Wilson's for 24 of 24


def test_what_is_read_again_answers_as_what_was_saved(tmp_path: Path) -> None:
    head = made()
    head.save(tmp_path)
    again = read_head(tmp_path)
    assert again.card == head.card
    vectors = Radiomics().encode_pictures(patches(skimage.data.coins(), 5))
    np.testing.assert_array_equal(again.probabilities(vectors), head.probabilities(vectors))


def test_the_order_of_labels_is_nothing() -> None:
    assert made().card == made(turned=True).card


def test_a_head_runs_in_a_worker_and_explains_itself(tmp_path: Path, take: Take, store: ImageStore) -> None:
    made(measure="all").save(tmp_path)
    output = run(tmp_path, take(patches(skimage.data.immunohistochemistry(), 1, seed=9)[0]), store)
    assert output.likeliest == "tumour"
    no, yes = output.probabilities
    assert (no.name, yes.name) == ("probability_of_no_tumour", "probability_of_tumour")
    assert yes.value > 0.8
    assert yes.value + no.value == pytest.approx(1.0, abs=0.011)
    assert yes.text == f"The head stains gives tumour a probability of {yes.value:.2f}."
    assert yes.uncertainty is not None
    assert output.head == read_head(tmp_path).card.numbers


def test_a_worker_can_import_what_a_head_needs(tmp_path: Path, take: Take, store: ImageStore) -> None:
    made().save(tmp_path)
    tool, blob = head_tool(tmp_path), str(take(patches(skimage.data.brick(), 1)[0]).image.blob)
    asked = workers._request(tool, tool.arguments.model_validate({"image": blob}), store)
    assert asked is not None
    assert json.loads(asked["given"]) == {"image": blob, "head": str(tmp_path.resolve()), "encoder": "radiomics"}


def test_the_card_shows_classes_data_and_figures_but_not_the_folder(tmp_path: Path) -> None:
    made(modalities=("histology",)).save(tmp_path)
    tool = head_tool(tmp_path)
    assert tool.card.shelf == "neural"
    assert tool.card.extra == "imaging"
    assert not tool.card.recommended
    assert tool.card.arguments == {}
    assert tool.card.modalities == ("histology",)
    assert tool.card.version.endswith(read_head(tmp_path).card.numbers[:12])
    assert str(tmp_path) not in tool.card.model_dump_json()
    check(tool)


def test_an_agent_cannot_choose_the_folder(tmp_path: Path, take: Take, store: ImageStore) -> None:
    made().save(tmp_path)
    taken = take(patches(skimage.data.brick(), 1)[0])
    given = {"image": taken.image.blob, "head": "/elsewhere"}
    with pytest.raises(ToolRefusedError, match=r"head: Extra inputs are not permitted"):
        asyncio.run(Toolbox([head_tool(tmp_path)]).run("stains", given, {str(taken.image.blob): taken.image}, store))


@pytest.mark.parametrize("name", ["retina", "astronaut"])
def test_a_picture_unlike_all_labelled_ones_is_refused(
    tmp_path: Path, take: Take, store: ImageStore, name: str
) -> None:
    made().save(tmp_path)
    with pytest.raises(ToolRefusedError, match=r"a picture like those the head stains was made from"):
        run(tmp_path, take(getattr(skimage.data, name)()), store)


def test_a_class_called_as_a_finding_speaks_of_it_once_there_are_labels_enough(
    tmp_path: Path, take: Take, store: ImageStore
) -> None:
    for count, says in ((12, "undecided"), (25, "present")):
        pictures = patches(skimage.data.immunohistochemistry(), count) + patches(skimage.data.brick(), count)
        names = ["Pneumonia"] * count + ["no finding"] * count
        labels = [Label(picture=sha256(p.tobytes()), klass=k) for p, k in zip(pictures, names, strict=True)]
        vectors = Radiomics().encode_pictures(pictures)
        make_head("lungs", Radiomics(), vectors, labels, measure="nothing").save(tmp_path / str(count))
        output = run(tmp_path / str(count), take(pictures[0]), store)
        found = {one.name: one for one in output.probabilities}
        assert found["probability_of_pneumonia"].finding == "pneumonia"
        assert found["probability_of_pneumonia"].says == says
        assert found["probability_of_no_finding"].finding == ""


def test_few_labels_say_that_they_are_few(tmp_path: Path, take: Take, store: ImageStore) -> None:
    head = made(1)
    assert head.card.method == "prototypes"
    assert head.card.figures == ()
    head.save(tmp_path)
    output = run(tmp_path, take(patches(skimage.data.brick(), 1)[0]), store)
    assert any("too few labels to calibrate" in note for note in output.limitations)


def test_one_class_makes_no_head() -> None:
    vectors = Radiomics().encode_pictures(patches(skimage.data.brick(), 3))
    labels = [Label(picture=f"{n}" * 64, klass="brick") for n in range(3)]
    with pytest.raises(InputError, match=r"two classes or more; got brick"):
        make_head("bricks", Radiomics(), vectors, labels)


def test_pictures_of_one_patient_are_never_parted() -> None:
    """A label for each patient, in vectors that tell patients apart: held out by picture they would all be known."""
    rng = np.random.default_rng(0)
    patients = rng.normal(size=(20, 30))
    rows = np.repeat(patients, 6, axis=0) + 0.1 * rng.normal(size=(120, 30))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    labels = [
        Label(picture=sha256(str(n).encode()), klass="ab"[(n // 6) % 2], group=f"patient {n // 6}") for n in range(120)
    ]
    known = make_head("x", Radiomics(), rows, labels, measure="accuracy").card
    blind = make_head(
        "x", Radiomics(), rows, [one.model_copy(update={"group": ""}) for one in labels], measure="accuracy"
    ).card
    assert known.groups == 20
    assert known.accuracy is not None
    assert blind.accuracy is not None
    assert blind.accuracy.value > 0.95
    assert known.accuracy.value < 0.8


def test_files_that_do_not_belong_together_are_told(tmp_path: Path) -> None:
    made().save(tmp_path / "one")
    made(13).save(tmp_path / "other")
    (tmp_path / "one" / NUMBERS).write_bytes((tmp_path / "other" / NUMBERS).read_bytes())
    with pytest.raises(SetupError, match=r"not the file that head.json was written with"):
        head_tool(tmp_path / "one")


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 2}'])
def test_a_card_that_is_none_is_told(tmp_path: Path, text: str) -> None:
    made().save(tmp_path)
    (tmp_path / CARD).write_text(text)
    with pytest.raises(SetupError, match=r"a head's folder with head.json and head.npz"):
        read_head(tmp_path)


def test_numbers_that_are_pickled_are_not_read(tmp_path: Path) -> None:
    made().save(tmp_path)
    with (tmp_path / NUMBERS).open("wb") as stream:
        np.savez(stream, weights=np.array([{}], dtype=object), bias=np.zeros(2), means=np.zeros((2, 2)))
    card = json.loads((tmp_path / CARD).read_text())
    card["numbers"] = sha256((tmp_path / NUMBERS).read_bytes())
    (tmp_path / CARD).write_text(json.dumps(card))
    with pytest.raises(SetupError, match=r"allow_pickle=False"):
        read_head(tmp_path)


def test_another_encoder_is_told(tmp_path: Path, take: Take, store: ImageStore) -> None:
    made().save(tmp_path)
    card = json.loads((tmp_path / CARD).read_text())
    (tmp_path / CARD).write_text(json.dumps({**card, "encoder_identity": "radiomics/0"}))
    tool = head_tool(tmp_path)
    with pytest.raises(SetupError, match=r"the encoder radiomics/0 that the head stains was made on"):
        check(tool)


def test_a_head_wants_an_image_argument_alone(tmp_path: Path) -> None:
    made().save(tmp_path)
    assert issubclass(head_tool(tmp_path).arguments, ImageArguments)


def test_real_ultrasound_is_learned_and_other_kinds_of_pictures_are_refused(data_dir: Path) -> None:
    from polyclinic.tools.imaging.store import read_picture

    files = [
        (file, kind)
        for kind in ("benign", "malignant", "normal")
        for file in sorted((data_dir / "us_breast_busi_cls" / kind).glob("*.png"))[:30]
    ]
    vectors = Radiomics().encode_pictures([read_picture(file) for file, _ in files])
    labels = [Label(picture=sha256(file.read_bytes()), klass=kind) for file, kind in files]
    head = make_head("breast", Radiomics(), vectors, labels, measure="accuracy")
    assert head.card.accuracy is not None
    assert head.card.accuracy.value > 0.45  # a third by chance
    others = [*sorted((data_dir / "fundus_drive/training/images").glob("*"))[:5],
              *sorted((data_dir / "endo_kvasirseg/images").glob("*"))[:5]]  # fmt: skip
    assert head.card.unfamiliar_below is not None
    strange = Radiomics().encode_pictures([read_picture(file) for file in others])
    assert (head.familiarity(strange) < head.card.unfamiliar_below).all()
