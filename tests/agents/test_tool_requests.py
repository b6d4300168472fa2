"""What agents ask of tools that compare two images or look at none: names become blobs, evidence says what it is of."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from polyclinic import Case, Clinic, Image, Visit
from polyclinic.agents.clinic import replay_run
from polyclinic.agents.engines.protocol import Engine, Reply
from polyclinic.agents.tasks import OpinionDraft, Pick, SpecialistTurn, Task, ToolRequest, TriagePlan, Verdict
from polyclinic.core.runs import report_text
from polyclinic.tools.card import Arguments, ComparedImagesArguments, Measurement, Tool, ToolCard, ToolOutput, measured
from polyclinic.tools.imaging.store import ImageStore


class Said(ToolOutput):
    said: Measurement


class Weight(Arguments):
    weight_kg: float


def weigh(given: Weight, images: ImageStore) -> Said:
    return Said(said=measured("weight", given.weight_kg, "kg", "It is {}.", digits=0))


def compare(given: ComparedImagesArguments, images: ImageStore) -> Said:
    now, then = (float(images.open(one).array.mean()) for one in (given.image, given.earlier))
    return Said(said=measured("change", now - then, "1", "It changed by {}.", digits=0))


def _card(name: str, **more: Any) -> ToolCard:
    return ToolCard(name=name, version="1.0.0", summary="For tests.", measures=("a",), recommended=False, **more)


TOOLS = (
    Tool(card=_card("weigh", modalities=()), arguments=Weight, output=Said, run=weigh),
    Tool(card=_card("compare", modalities=("xray",)), arguments=ComparedImagesArguments, output=Said, run=compare),
)


class Asking(Engine):
    """One specialist that asks for these tools, then gives its opinion on what came of them."""

    identity = "asking/1"

    def __init__(self, *requests: ToolRequest) -> None:
        self.requests = requests
        self.last: Task[Any] | None = None

    async def decide(self, task: Task[Any]) -> Reply[Any]:
        if task.kind == "triage":
            picks = (Pick(reason="r", specialty="radiology"),)
            return Reply(value=TriagePlan(reasoning="r", urgency="routine", difficulty="easy", specialists=picks))
        if task.kind == "attending":
            return Reply(value=Verdict(reasoning="r", answer="Yes"))
        self.last = task
        if task.step == 0:
            return Reply(value=SpecialistTurn(reasoning="r", tools=self.requests))
        return Reply(value=SpecialistTurn(reasoning="r", opinion=OpinionDraft(reasoning="r", answer="Yes")))


@pytest.fixture
def case(tmp_path: Path) -> Case:
    """Two X-rays of one patient, the earlier one darker."""
    for name, level in (("now", 90), ("then", 40)):
        picture = PIL.Image.effect_noise((160, 160), 30).point(
            [min(255, (value * level) // 128) for value in range(256)]
        )
        picture.save(tmp_path / f"{name}.png")
    now, then = (Image(path=str(tmp_path / f"{name}.png"), modality="xray") for name in ("now", "then"))
    day = datetime.date(2024, 5, 1)
    return Case(
        id="two", question="Is it larger?", date=day.replace(year=2025), visits=(Visit(date=day, images=(then,)),),
        images=(now,),
    )  # fmt: skip


def request(tool: str, image: str, **arguments: Any) -> ToolRequest:
    return ToolRequest(tool=tool, image=image, arguments=arguments)


async def test_an_earlier_image_is_named_as_the_case_names_it(case: Case, tmp_path: Path) -> None:
    engine = Asking(request("compare", "image-1", earlier="image-2"), request("weigh", "", weight_kg=70))
    clinic = Clinic(engine, runs=tmp_path / "runs", tools=TOOLS)
    report = await clinic.consult(case)
    assert engine.last is not None
    change, weight = engine.last.own[:2]
    assert change.value is not None
    assert change.value > 20
    assert (change.modality, change.content.startswith("image-1: It changed by")) == ("xray", True)
    assert (weight.value, weight.modality, weight.region, weight.content) == (70.0, "", None, "It is 70 kg.")
    assert report.trace is not None
    again = await clinic.replay(report.trace.path)
    assert report_text(again) == report_text(report)
    elsewhere = await replay_run(report.trace.path)
    assert report_text(elsewhere) == report_text(report), "it needs no tool to be replayed"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (request("compare", "image-1", earlier="image-9"), "of this case as earlier: image-1, image-2; got 'image-9'"),
        (request("compare", "image-1"), "an image of this case as earlier: image-1, image-2; got 'none'"),
        (request("compare", "image-1", earlier="image-1"), "two different images to compare; got image-1 twice"),
        (request("compare", "image-2", earlier="image-1"), "an earlier image than that of 2024-05-01"),
        (request("compare", "image-3", earlier="image-1"), "an image of this case: image-1, image-2; got 'image-3'"),
        (request("weigh", "image-1"), "weight_kg: Field required"),
    ],
)  # fmt: skip
async def test_what_cannot_be_compared_is_refused(asked: ToolRequest, said: str, case: Case, tmp_path: Path) -> None:
    dated = case.images[0].model_copy(update={"acquired": case.date})
    report = await Clinic(Asking(asked), runs=tmp_path / "runs", tools=TOOLS).consult(
        case.model_copy(update={"images": (dated,)})
    )
    assert any(said in note for note in report.limitations), report.limitations
