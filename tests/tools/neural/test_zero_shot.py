"""Zero-shot findings with tiny random models: the arithmetic by hand, candidates, thresholds, and what is refused."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray

from polyclinic.core.errors import InputError, MissingExtraError, SetupError, ToolBrokenError, ToolRefusedError
from polyclinic.knowledge.encoders.load import load_encoder
from polyclinic.knowledge.ontology import ontology_version, shipped_ontology
from polyclinic.tools.health import examine
from polyclinic.tools.imaging.store import ImageStore, TakenIn
from polyclinic.tools.neural.zero_shot import (
    THRESHOLDS,
    TOOL,
    Comparer,
    Threshold,
    Thresholds,
    ZeroShot,
    candidates,
    zero_shot_tool,
)
from polyclinic.tools.registry import Toolbox

Take = Callable[..., TakenIn]


@pytest.fixture(params=["clip", "siglip"])
def model(request: pytest.FixtureRequest, tiny_models: ModuleType, tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    tiny_models.WRITE[request.param](folder)
    return folder


@pytest.fixture
def picture() -> NDArray[np.uint8]:
    return np.ascontiguousarray(skimage.data.astronaut()[:150, :220])


def run(tool: Any, taken: TakenIn, store: ImageStore, **stated: Any) -> ZeroShot:
    blob = str(taken.image.blob)
    given = {"image": blob, **stated}
    output = asyncio.run(Toolbox([tool]).run(tool.card.name, given, {blob: taken.image}, store))
    assert isinstance(output, ZeroShot)
    return output


def test_a_score_is_the_mean_margin_of_name_and_attributes(model: Path, picture: NDArray[np.uint8]) -> None:
    from safetensors.numpy import load_file

    (finding,) = candidates("xray", None, ["pneumothorax"])
    (score,) = Comparer(str(model)).scores(picture, [finding], "xray", "chest")
    encoder = load_encoder(str(model))
    scale = min(math.exp(float(load_file(model / "model.safetensors")["logit_scale"].reshape(-1)[0])), 200.0)
    (seen,) = encoder.encode_pictures([picture])

    def near(*texts: str) -> float:
        return scale * float(np.mean(encoder.encode_texts(list(texts)) @ seen))

    kind = "an X-ray image of the chest"
    level = near("a normal X-ray image of the chest", f"{kind} without abnormality", f"{kind} of a healthy person")
    name = near(f"{kind} with pneumothorax", f"{kind} showing pneumothorax") - level
    looks = [near(f"{kind} with {one.attribute}") - level for one in score.attributes]
    assert score.score == pytest.approx(1 / (1 + math.exp(-np.mean([name, *looks]))), abs=1e-3)
    assert score.name_score == pytest.approx(1 / (1 + math.exp(-name)), abs=1e-3)
    for one, margin in zip(score.attributes, looks, strict=True):
        assert one.score == pytest.approx(1 / (1 + math.exp(-margin)), abs=1e-3)


def test_attributes_of_another_kind_of_picture_are_left_out(model: Path, picture: NDArray[np.uint8]) -> None:
    found = candidates("xray", None, ["pneumothorax"])
    comparer = Comparer(str(model))
    on_film, on_ultrasound = (comparer.scores(picture, found, kind, "")[0] for kind in ("xray", "ultrasound"))
    assert "echo" not in {one.kind for one in on_film.attributes}
    assert "echo" in {one.kind for one in on_ultrasound.attributes}


def test_candidates_are_those_of_the_kind_of_picture_and_the_body_part() -> None:
    found = candidates("fundus", "eye", ())
    assert found
    assert all("fundus" in one.modalities and "eye" in one.body_parts for one in found)
    assert set(found) == {one for one in shipped_ontology() if "fundus" in one.modalities and "eye" in one.body_parts}
    assert [one.id for one in candidates("xray", None, ["pneumonia", "pleural-effusion"])] == [
        "pleural-effusion", "pneumonia",
    ]  # fmt: skip


def test_it_runs_in_a_worker_ranked_explained_and_undecided(
    model: Path, picture: NDArray[np.uint8], take: Take, store: ImageStore
) -> None:
    taken, tool = take(picture), zero_shot_tool(model)
    output = run(tool, taken, store, modality="xray", body_part="Chest", most=4)
    assert len(output.findings) == 4
    values = [one.value for one in output.findings]
    assert values == sorted(values, reverse=True)
    assert {one.finding for one in output.scores} == {one.id for one in candidates("xray", "chest", ())}
    names = {one.name for one in output.attributes}
    for finding in output.findings:
        assert finding.says == "undecided"
        assert finding.of
        assert set(finding.of) <= names
        assert f"{finding.value:.2f}" in finding.text
    for one in output.attributes:
        assert f"{one.value:.2f}" in one.text
    assert any("no probabilities" in note for note in output.limitations)
    assert output.model == load_encoder(str(model)).identity
    assert run(tool, taken, store, modality="xray", body_part="Chest", most=4) == output


def test_measured_thresholds_decide_and_those_of_other_weights_are_told(
    model: Path, picture: NDArray[np.uint8], take: Take, store: ImageStore
) -> None:
    limits = {
        "pneumonia": Threshold(absent_below=0, present_above=0),
        "pneumothorax": Threshold(absent_below=1, present_above=1),
    }
    known = Thresholds(
        encoder=load_encoder(str(model)).identity, ontology=ontology_version(), measured_on="a set", findings=limits
    )
    (model / THRESHOLDS).write_text(known.model_dump_json())
    named = ["pneumonia", "pneumothorax", "pleural-effusion"]
    output = run(zero_shot_tool(model), take(picture), store, modality="xray", findings=named)
    says = {one.finding: one.says for one in output.findings}
    assert says == {"pneumonia": "present", "pneumothorax": "absent", "pleural-effusion": "undecided"}
    (model / THRESHOLDS).write_text(known.model_copy(update={"encoder": "another"}).model_dump_json())
    with pytest.raises(SetupError, match=r"thresholds measured with these weights"):
        examine(zero_shot_tool(model))
    (model / THRESHOLDS).write_text("{}")
    with pytest.raises(SetupError, match=r"thresholds in"):
        examine(zero_shot_tool(model))


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({}, r"modality: Field required"),
        ({"modality": "xray", "findings": ["pneumonitis"]}, r"ids of the ontology's findings.*'pneumonitis'"),
        ({"modality": "xray", "body_part": "moon"}, r"got xray of moon"),
        ({"modality": "xray", "model": "/elsewhere"}, r"model: Extra inputs are not permitted"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    model: Path, picture: NDArray[np.uint8], take: Take, store: ImageStore, stated: dict[str, Any], said: str
) -> None:
    with pytest.raises(ToolRefusedError, match=said):
        run(zero_shot_tool(model), take(picture), store, **stated)


def test_a_picture_of_one_colour_is_refused(model: Path, take: Take, store: ImageStore) -> None:
    with pytest.raises(ToolRefusedError, match=r"a picture of one colour"):
        run(zero_shot_tool(model), take(np.full((60, 60, 3), 90, np.uint8)), store, modality="xray")


def test_a_model_without_text_is_told(tmp_path: Path, tiny_models: ModuleType) -> None:
    tiny_models.dinov2(tmp_path)
    with pytest.raises(InputError, match=r"a model of text and images, CLIP or SigLIP; got one of image"):
        zero_shot_tool(tmp_path)


def test_the_card_names_the_weights_by_hash_and_not_by_folder(model: Path) -> None:
    tool = zero_shot_tool(model)
    assert tool.card.version.startswith("1.0.0+")
    assert str(model) not in tool.card.model_dump_json()
    assert set(tool.card.arguments) == {"modality", "body_part", "findings", "most"}
    examine(tool)


def test_without_weights_it_says_where_they_go(take: Take, store: ImageStore, picture: NDArray[np.uint8]) -> None:
    with pytest.raises(MissingExtraError, match=r"experts|POLYCLINIC_MODELS=FOLDER"):
        examine(TOOL)
    with pytest.raises(ToolBrokenError, match=r"the folder of a CLIP or SigLIP model; got none; name its folder"):
        run(TOOL, take(picture), store, modality="xray")
