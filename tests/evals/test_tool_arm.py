"""Expert tools as arms: what is read off their output, every way of giving none, and what is kept."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from polyclinic.core.blobs import Blobs
from polyclinic.core.case import Case, Image
from polyclinic.core.errors import InputError, ToolRefusedError
from polyclinic.core.evidence import Claim, Evidence, Region, Source
from polyclinic.core.report import Report
from polyclinic.core.settings import Settings
from polyclinic.evals.benchmarks.table import BENCHMARKS, benchmark
from polyclinic.evals.outcomes import Said
from polyclinic.evals.places import read_said
from polyclinic.evals.sample import Boxes, Letter, Mask, Points, Sample, Sought, Target
from polyclinic.evals.scoring import row_of
from polyclinic.evals.set_scores import set_scores
from polyclinic.evals.tool_arm import (
    DATA_SET,
    SAID,
    Constant,
    ToolArm,
    cited_by_team,
    constant,
    figures_beside,
    read,
    taught_by_tools,
    tool_arm,
    trained_on,
)
from polyclinic.tools.card import Detection, ImageArguments, Measurement, Tool, ToolCard, ToolOutput
from polyclinic.tools.gate.quality import GATE
from polyclinic.tools.imaging.store import ImageStore
from polyclinic.tools.registry import TOOLS, Toolbox

calls: list[str] = []


class Seen(ToolOutput):
    """A square and what it may be."""

    area: Measurement
    detections: tuple[Detection, ...] = ()


def _run(arguments: ImageArguments, images: ImageStore) -> Seen:
    calls.append(arguments.image)
    pixels = images.open(arguments.image).array
    if pixels.max() == 0:
        raise ToolRefusedError(expected="a picture with light", got="a black one", fix="name another")
    if pixels.max() == 1:
        raise RuntimeError("a bug")
    if pixels.max() == 2:
        time.sleep(2.0)
    found = pixels > 100
    return Seen(
        area=Measurement(
            name="area", value=float(found.sum()), unit="px2", text="It is there.", mask=images.put_mask(found)
        ),
        detections=(Detection(label="square", box_px=(2, 2, 8, 8), score=0.9),),
    )


SQUARES = Tool(
    card=ToolCard(
        name="squares", version="1", summary="Finds squares.", measures=("area",), modalities=("xray",), timeout_s=0.5
    ),
    arguments=ImageArguments, output=Seen, run=_run,
)  # fmt: skip


def sample(folder: Path, target: Callable[[Path], Target], light: int = 200) -> Sample:
    grey = np.full((16, 24), 10 if light > 100 else 0, dtype=np.uint8)
    grey[2:8, 2:8] = light
    path = folder / f"{light}.png"
    PIL.Image.fromarray(grey).save(path)
    PIL.Image.fromarray(np.where(grey == light, 255, 0).astype(np.uint8)).save(folder / f"{light}-truth.png")
    return Sample(
        case=Case(id=f"s{light}", question="Where?", images=(Image(path=str(path), modality="xray"),)),
        target=target(folder / f"{light}-truth.png"), group="g",
        sought=Sought(region="area", labels={"square": "Square"}, counts={"Square": "area"}),
    )  # fmt: skip


def squares() -> ToolArm:
    return ToolArm(name="squares", toolbox=Toolbox([SQUARES], apart=False))


def asked(arm: ToolArm | Constant, each: Sample, root: Path) -> Said:
    return asyncio.run(arm.answer(each, root / "runs" / each.id, root=root))


def mask(path: Path) -> Mask:
    return Mask(path=path, label="square")


def test_a_mask_is_read_and_scored(tmp_path: Path) -> None:
    each = sample(tmp_path, mask)
    said = asked(squares(), each, tmp_path)
    assert int(read_said(tmp_path / said.mask).sum()) == 36
    row = row_of(each, said, benchmark="quiz", arm="tool:squares", epoch=1, root=tmp_path)
    assert (row.outcome, row.scores["Dice"], row.scores["HD95 in px"]) == ("right", 1.0, 0.0)
    assert (said.tool_calls, said.trace, said.answered_by) == (1, "runs/s200", "squares 1")


def test_boxes_are_called_as_the_set_calls_them(tmp_path: Path) -> None:
    each = sample(tmp_path, lambda _: Boxes(boxes=(("Square", (2, 2, 8, 8)),)))
    said = asked(squares(), each, tmp_path)
    assert said.boxes is not None
    assert [(place.label, place.box) for place in said.boxes] == [("Square", (2, 2, 8, 8))]
    assert said.counts == {"Square": 36.0}


@pytest.mark.parametrize(("light", "silence", "why"), [
    (0, "abstained", "a black one"), (1, "failed", "RuntimeError"), (2, "timed_out", "no result after"),
])  # fmt: skip
def test_every_way_of_giving_nothing_has_its_outcome(light: int, silence: str, why: str, tmp_path: Path) -> None:
    said = asked(squares(), sample(tmp_path, mask, light), tmp_path)
    assert said.silence == silence
    assert why in said.why


def test_a_picture_outside_the_domain_is_refused_and_a_missing_one_fails(tmp_path: Path) -> None:
    each = sample(tmp_path, mask)
    other = each.case.images[0].model_copy(update={"modality": "ct"})
    case = each.case.model_copy(update={"images": (other,)})
    assert asked(squares(), Sample(case=case, target=each.target, group="g"), tmp_path).silence == "abstained"
    Path(str(other.path)).unlink()
    assert asked(squares(), sample_again(each, "gone"), tmp_path).silence == "failed"


def sample_again(each: Sample, name: str) -> Sample:
    return Sample(case=each.case.model_copy(update={"id": name}), target=each.target, group="g", sought=each.sought)


def test_no_call_is_made_twice(tmp_path: Path) -> None:
    each = sample(tmp_path, mask)
    calls.clear()
    first = asked(squares(), each, tmp_path)
    assert asked(squares(), each, tmp_path) == first
    assert len(calls) == 1
    assert (tmp_path / "runs/s200" / SAID).is_file()


class Types(ToolOutput):
    """Findings with their probabilities."""

    found: tuple[Measurement, ...]


def typed(*says: tuple[str, str, float]) -> Types:
    return Types(found=tuple(
        Measurement(name=finding, value=value, unit="1", text=finding, finding=finding, says=said, probability=True)  # type: ignore[arg-type]
        for finding, said, value in says
    ))  # fmt: skip


ONE = Sample(
    case=Case(id="s1", question="Is it?", options={"A": "pneumonia", "B": "no finding"}), target=Letter(letter="A"),
    group="g", sought=Sought(findings={"A": "pneumonia", "B": ""}),
)  # fmt: skip


@pytest.mark.parametrize(
    ("says", "value", "option", "confidence"),
    [("present", 0.9, "A", 0.9), ("absent", 0.2, "B", 0.8), ("undecided", 0.5, None, None)],
)
def test_an_option_is_what_the_tool_claims(
    says: str, value: float, option: str | None, confidence: float | None
) -> None:
    said = read(ONE, typed(("pneumonia", says, value)))
    assert (said.option, said.confidence) == (option, confidence)
    assert said.silence == ("" if option else "abstained")
    assert said.chances == pytest.approx({"A": value, "B": 1 - value})


def test_a_tool_that_speaks_of_something_else_abstains() -> None:
    said = read(ONE, typed(("glioma", "present", 0.9)))
    assert (said.silence, said.chances) == ("abstained", {})


def test_a_team_s_region_and_counts_are_those_its_claims_cite(tmp_path: Path) -> None:
    each = sample(tmp_path, mask)
    blobs = Blobs(tmp_path / "runs/blobs")
    source = Source(kind="tool", name="squares")
    item = Evidence(id="t1", kind="measurement", content="x", name="area", value=36.0, source=source)
    items = (
        item.model_copy(update={"region": Region(image="aa", mask="ab" * 32)}),
        item.model_copy(update={"id": "t2", "value": 7.0, "region": Region(image="aa", mask="cd" * 32)}),
    )
    report = Report.model_construct(claims=(Claim(text="b", evidence=("t2",)),), evidence=items)
    said = cited_by_team(each, report, Said(answer="x"), blobs=blobs, root=tmp_path)
    assert said.counts == {"Square": 7.0}
    assert said.mask == f"runs/blobs/cd/{'cd' * 32}"
    nobody = report.model_copy(update={"claims": ()})
    assert cited_by_team(each, nobody, Said(answer="x"), blobs=blobs, root=tmp_path) == Said(answer="x")


def test_no_tool_is_told_by_a_name_there_is_not() -> None:
    with pytest.raises(InputError, match=r"type --arm tool:NAME"):
        tool_arm("no_such_tool", Settings())
    with pytest.raises(InputError, match=r"which does not"):
        tool_arm("creatinine_clearance", Settings())


def test_cards_say_whether_their_weights_saw_a_set_and_what_was_measured_there_without() -> None:
    cards = {card.name: card for card in Toolbox().cards}
    assert trained_on(cards["fundus_vessels_net"], "CHASE_DB1") == "yes"
    assert trained_on(cards["fundus_vessels_net"], "DRIVE") == "no"
    assert trained_on(cards["fundus_vessels"], "CHASE_DB1") == "no"
    assert trained_on(cards["nuclei"], "BBBC038 | DSB 2018") == "yes"
    assert trained_on(cards["nuclei"], "") == ""
    beside = figures_beside(cards["nuclei"], "BBBC038 | DSB 2018")
    assert {figure.metric for figure in beside} >= {"Dice, mean over pictures", "F1 at IoU 0.5, mean over pictures"}
    assert figures_beside(cards["fluorescent_nuclei"], "BBBC038 | DSB 2018")
    assert not figures_beside(cards["nuclei"], "CHASE_DB1")


def test_a_constant_is_the_median_count_the_commonest_option_or_nothing(tmp_path: Path) -> None:
    boxes = [
        Sample(case=Case(id=f"b{n}", question="Where?"), group="g", sought=Sought(labels={"x": "RBC", "y": "WBC"}),
               target=Boxes(boxes=(("RBC", (0, 0, 1, 1)),) * n))
        for n in (1, 3, 8)
    ]  # fmt: skip
    assert asked(constant(boxes, Settings()), boxes[0], tmp_path).counts == {"RBC": 3, "WBC": 0}
    points = [
        Sample(case=Case(id=f"p{n}", question="Where?"), group="g", target=Points(points=(("sperm", (1.0, 1.0)),) * n))
        for n in (0, 2, 2)
    ]
    found = row_of(
        points[0], asked(constant(points, Settings()), points[0], tmp_path), benchmark="quiz", arm="one", epoch=1
    )
    assert (found.outcome, found.scores) == ("wrong", {"count error": 2.0})
    said = asked(constant([ONE, ONE], Settings()), ONE, tmp_path)
    assert (said.option, said.chances) == ("A", {"A": 1.0, "B": 0.0})
    each = sample(tmp_path, mask)
    empty = asked(constant([each], Settings()), each, tmp_path)
    assert not read_said(tmp_path / empty.mask).any()
    assert row_of(each, empty, benchmark="quiz", arm="one", epoch=1, root=tmp_path).scores["Dice"] == 0.0


def test_real_figures_are_those_of_the_card(data_dir: Path, tmp_path: Path) -> None:
    each = benchmark("nuclei")
    if not (data_dir / each.place).exists():
        pytest.skip(f"no {each.published_as}")
    arm = tool_arm("fluorescent_nuclei", Settings())
    rows = [
        row_of(one, asked(arm, one, tmp_path), benchmark=each.name, arm=arm.identity, epoch=1, root=tmp_path)
        for one in each.samples(each.at(data_dir)) if one.facets["kind"] == "grayscale"
    ]  # fmt: skip
    found = set_scores(rows)
    card = {figure.metric: figure for figure in figures_beside(arm.card, "BBBC038 | DSB 2018")}
    assert found["mean Dice"].value == pytest.approx(card["Dice"].value, abs=0.001)
    errors = card["nuclei count, mean relative error"]
    assert found["mean relative count error"].value == pytest.approx(errors.value, abs=0.001)
    assert {row.said.trained_on_these for row in rows} == {"no"}


@pytest.mark.parametrize("said", [Said(answer="x"), Said(silence="abstained", why="too little")])
@pytest.mark.parametrize("cited", [("t1",), ()])
def test_a_team_whose_tool_learnt_from_these_pictures_says_so(
    tmp_path: Path, said: Said, cited: tuple[str, ...]
) -> None:
    card = {tool.card.name: tool.card for tool in TOOLS}["nuclei"]
    assert card.weights is not None
    each = dataclasses.replace(sample(tmp_path, mask), facets={"data set": card.weights.trained_on[0]})
    item = Evidence(
        id="t1", kind="measurement", content="x", source=Source(kind="tool", name="nuclei", version=card.version)
    )
    claims = (Claim(text="b", evidence=cited),) if cited else ()
    report = Report.model_construct(claims=claims, evidence=(item,))
    assert taught_by_tools(each, report, said, cards=(card,)).trained_on_these == "yes"
    assert taught_by_tools(each, report, said, cards=()) == said
    elsewhere = dataclasses.replace(each, facets={"data set": "another set"})
    assert taught_by_tools(elsewhere, report, said, cards=(card,)) == said


def test_the_gate_counts_as_taught_only_where_a_claim_rests_on_it(tmp_path: Path) -> None:
    gate = GATE.card
    each = dataclasses.replace(sample(tmp_path, mask), facets={"data set": "VQA-RAD"})
    item = Evidence(
        id="t1", kind="measurement", content="x", source=Source(kind="tool", name=gate.name, version=gate.version)
    )
    looked = Report.model_construct(claims=(), evidence=(item,))
    cited = Report.model_construct(claims=(Claim(text="b", evidence=("t1",)),), evidence=(item,))
    said = Said(answer="x")
    assert taught_by_tools(each, looked, said, cards=(gate,)) == said
    assert taught_by_tools(each, cited, said, cards=(gate,)).trained_on_these == "yes"


NO_BENCHMARK = {"BUSI", "COVID-19 chest X-rays", "COVID-19 chest X-ray lung bounding boxes"}
"""Sets that tools learnt from and no benchmark is made from."""


def test_every_set_that_shipped_weights_learnt_from_is_named_as_its_benchmark_names_it() -> None:
    data = Path(__file__).parent / "fixtures"
    names = set[str]()
    for each in map(benchmark, BENCHMARKS):
        for one in each.samples(each.at(data)):
            names |= set(one.facets.get(DATA_SET, "").split(" | "))
    learnt = {card.name: set(card.weights.trained_on) for card in Toolbox().cards if card.weights}
    assert learnt["image_quality"] >= {"VQA-RAD", "ChestX-ray14", "CHASE_DB1"}
    assert {name: left for name, sets in learnt.items() if (left := sets - names - NO_BENCHMARK)} == {}
