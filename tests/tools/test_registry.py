"""The toolbox: what it lists, what it refuses, how it fails, and that reading its cards loads nothing heavy."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from polyclinic.core.case import Image
from polyclinic.core.errors import DivergenceError, InputError, ToolBrokenError, ToolRefusedError, TraceError
from polyclinic.tools.card import (
    Arguments,
    ComparedImagesArguments,
    ImageArguments,
    Measurement,
    ScaledImageArguments,
    Tool,
    ToolCard,
    ToolOutput,
    measured,
)
from polyclinic.tools.classical import hounsfield
from polyclinic.tools.gate.quality import Quality
from polyclinic.tools.imaging.store import ImageStore, TakenIn
from polyclinic.tools.registry import TOOLS, Toolbox

Take = Callable[..., TakenIn]
BLOB = "a" * 64


class Seen(ToolOutput):
    spacing: Measurement | None = None


def tool(run: Callable[[Any, ImageStore], ToolOutput], **card: Any) -> Tool:
    facts: dict[str, Any] = {"name": "probe", "version": "7", "summary": "s", "measures": (), "modalities": ("ct",)}
    return Tool(card=ToolCard(**(facts | card)), arguments=ScaledImageArguments, output=Seen, run=run)


def echo(arguments: ScaledImageArguments, images: ImageStore) -> Seen:
    if arguments.spacing_mm is None:
        return Seen()
    return Seen(spacing=measured("s", arguments.spacing_mm[0], "mm", "{}", digits=1))


def again(arguments: ScaledImageArguments, images: ImageStore) -> Seen:
    return Seen()


async def run(probe: Tool, store: ImageStore, arguments: dict[str, Any] | None = None, **image: Any) -> ToolOutput:
    facts = {"modality": "ct"} | image
    given = {"image": BLOB} if arguments is None else arguments
    return await Toolbox([probe]).run("probe", given, {BLOB: Image(blob=BLOB, **facts)}, store)


def test_reading_the_cards_loads_nothing_heavy() -> None:
    code = (
        "import sys; from polyclinic.tools.registry import Toolbox; assert Toolbox().cards;"
        "print(sorted({'numpy', 'scipy', 'skimage', 'pydicom', 'PIL'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_shipped_card_is_complete() -> None:
    for card in Toolbox().cards:
        assert card.measures or not card.looks
        assert card.limits
        assert card.version
        assert card.summary.endswith(".")
    assert [card.name for card in Toolbox().cards] == sorted(tool.card.name for tool in TOOLS)
    assert Toolbox().version("hounsfield") == "1.0.0"


def test_recommended_cards_fit_the_modality_and_the_gate_is_not_among_them() -> None:
    def names(modality: Any) -> list[str]:
        return [card.name for card in Toolbox().recommended(Image(blob=BLOB, modality=modality))]

    assert names("fundus") == ["fundus_bright_lesions", "fundus_disc", "fundus_vessels_net"]
    assert names("ct") == ["haemorrhage", "hounsfield"]
    assert names("mr") == ["brain_tumour"]
    assert names(None) == []


def test_a_tool_for_volumes_is_recommended_for_volumes_alone() -> None:
    def names(slices: int | None) -> set[str]:
        return {card.name for card in Toolbox().recommended(Image(blob=BLOB, modality="ct", slices=slices))}

    assert names(40) - names(None) == {"ct_volumes"}
    assert names(1) == names(None)


async def test_a_single_picture_is_no_volume(store: ImageStore) -> None:
    image = Image(blob=BLOB, modality="ct")
    with pytest.raises(ToolRefusedError, match=r"a volume of ct for ct_volumes; got ct, .*, 1 slice;"):
        await Toolbox().run("ct_volumes", {"image": BLOB}, {BLOB: image}, store)


def test_two_tools_of_one_name_are_refused() -> None:
    both = r"two tools called 'probe': .*test_registry:echo and .*test_registry:again; rename one"
    with pytest.raises(InputError, match=both):
        Toolbox([tool(echo), tool(again)])


async def test_a_real_tool_runs_end_to_end(take: Take, store: ImageStore) -> None:
    image = take("package://skimage/data/camera.png").image
    output = await Toolbox().run("image_quality", {"image": image.blob}, {str(image.blob): image}, store)
    assert isinstance(output, Quality)
    assert output.verdict == "go"


async def test_the_spacing_comes_from_the_case_and_never_from_the_agent(store: ImageStore) -> None:
    given = {"image": BLOB, "spacing_mm": (9.0, 9.0)}
    output = await run(tool(echo), store, given, spacing_mm=(0.5, 0.5))
    assert output.measurements()[0].value == 0.5
    assert (await run(tool(echo), store, given)).measurements() == ()


@pytest.mark.parametrize(
    ("arguments", "got"),
    [
        ({}, "image: Field required"), ({"image": 7}, "image: Input should be a valid string"),
        ({"image": BLOB, "zoom": 2}, "zoom: Extra inputs"), ({"image": "b" * 64}, "b" * 64),
    ],
)  # fmt: skip
async def test_bad_arguments_are_refused(arguments: dict[str, Any], got: str, store: ImageStore) -> None:
    with pytest.raises(ToolRefusedError, match=got):
        await run(tool(echo), store, arguments)


async def test_an_unknown_tool_is_refused_with_the_names_there_are(store: ImageStore) -> None:
    with pytest.raises(ToolRefusedError, match="probe; got 'scalpel'"):
        await Toolbox([tool(echo)]).run("scalpel", {}, {}, store)


async def test_a_case_without_images_is_refused(store: ImageStore) -> None:
    with pytest.raises(ToolRefusedError, match="it has none"):
        await Toolbox([tool(echo)]).run("probe", {"image": BLOB}, {}, store)


@pytest.mark.parametrize("image", [{"modality": "mr"}, {"modality": None}, {"body_part": "knee"}])
async def test_outside_its_domain_a_tool_is_not_run(image: dict[str, Any], store: ImageStore) -> None:
    probe = tool(lambda *_: pytest.fail("it ran"), body_parts=("chest",))
    with pytest.raises(ToolRefusedError, match="an image of ct of chest"):
        await run(probe, store, **image)


async def test_a_refusal_of_the_tool_itself_is_passed_on(store: ImageStore) -> None:
    def refuse(*_: object) -> ToolOutput:
        raise ToolRefusedError(expected="a", got="b", fix="c")

    with pytest.raises(ToolRefusedError, match="expected a; got b; c"):
        await run(tool(refuse), store)


@pytest.mark.parametrize("error", [ValueError("x"), MemoryError(), RecursionError(), KeyError(1), OSError(28, "full")])
async def test_any_crash_is_a_broken_tool(error: Exception, store: ImageStore) -> None:
    def crash(*_: object) -> ToolOutput:
        raise error

    with pytest.raises(ToolBrokenError, match=type(error).__name__) as caught:
        await run(tool(crash), store)
    assert caught.value.__cause__ is error


async def test_a_missing_blob_is_a_broken_tool(store: ImageStore) -> None:
    with pytest.raises(ToolBrokenError, match="TraceError"):
        await run(tool(lambda arguments, images: images.open(arguments.image)), store)


async def test_a_slow_tool_is_given_up(store: ImageStore) -> None:
    def sleep(*_: object) -> ToolOutput:
        time.sleep(0.3)
        return Seen()

    with pytest.raises(ToolBrokenError, match=r"no result after 0\.05 s"):
        await run(tool(sleep, timeout_s=0.05), store)


async def test_another_type_of_result_is_a_broken_tool(store: ImageStore) -> None:
    with pytest.raises(ToolBrokenError, match="got a ToolOutput"):
        await run(tool(lambda *_: ToolOutput()), store)


async def test_tools_run_side_by_side_in_threads(take: Take, store: ImageStore) -> None:
    images = [take(np.random.default_rng(seed).integers(0, 255, (64, 64), dtype=np.uint8)).image for seed in range(4)]
    by_blob = {str(image.blob): image for image in images}
    box = Toolbox()
    outputs = await asyncio.gather(*(box.run("image_quality", {"image": blob}, by_blob, store) for blob in by_blob))
    assert len({output.model_dump_json() for output in outputs}) == 4


class Weighed(Arguments):
    weight_kg: float


def weigh(arguments: Weighed, images: ImageStore) -> Seen:
    return Seen(spacing=measured("w", arguments.weight_kg, "kg", "{}", digits=1))


def compare(arguments: ComparedImagesArguments, images: ImageStore) -> Seen:
    return Seen()


CARD: dict[str, Any] = {"version": "1.0.0", "summary": "s.", "measures": ()}
WEIGH = Tool(
    card=ToolCard(name="weigh", modalities=(), shelf="calculator", **CARD), arguments=Weighed, output=Seen, run=weigh
)
COMPARE = Tool(
    card=ToolCard(name="compare", modalities=("ct",), recommended=False, **CARD), arguments=ComparedImagesArguments,
    output=Seen, run=compare,
)  # fmt: skip


async def test_a_tool_without_image_needs_none(store: ImageStore) -> None:
    assert not WEIGH.card.looks
    output = await Toolbox([WEIGH]).run("weigh", {"weight_kg": 70}, {}, store)
    assert output.measurements()[0].value == 70.0
    with pytest.raises(ToolRefusedError, match="image: Extra inputs"):
        await Toolbox([WEIGH]).run("weigh", {"weight_kg": 70, "image": BLOB}, {}, store)


EARLIER = "b" * 64


@pytest.mark.parametrize(
    ("earlier", "got"),
    [
        ({"modality": "mr"}, "expected an image of ct for compare; got mr"),
        ({"modality": "ct", "acquired": "2024-05-01"}, "than that of 2024-04-01; got one of 2024-05-01"),
        (None, "expected an image of this case"),
    ],
)  # fmt: skip
async def test_both_compared_images_must_be_of_the_case_and_the_domain(
    earlier: dict[str, Any] | None, got: str, store: ImageStore
) -> None:
    images = {BLOB: Image.model_validate({"blob": BLOB, "modality": "ct", "acquired": "2024-04-01"})}
    if earlier is not None:
        images[EARLIER] = Image.model_validate({"blob": EARLIER, **earlier})
    with pytest.raises(ToolRefusedError, match=got):
        await Toolbox([COMPARE]).run("compare", {"image": BLOB, "earlier": EARLIER}, images, store)


async def test_an_image_is_not_compared_with_itself(store: ImageStore) -> None:
    images = {BLOB: Image.model_validate({"blob": BLOB, "modality": "ct"})}
    with pytest.raises(ToolRefusedError, match="expected two images to compare; got the same one twice"):
        await Toolbox([COMPARE]).run("compare", {"image": BLOB, "earlier": BLOB}, images, store)


async def test_an_earlier_image_is_compared(store: ImageStore) -> None:
    images = {
        blob: Image.model_validate({"blob": blob, "modality": "ct", "acquired": day})
        for blob, day in ((BLOB, "2024-04-01"), (EARLIER, "2023-04-01"))
    }
    output = await Toolbox([COMPARE]).run("compare", {"image": BLOB, "earlier": EARLIER}, images, store)
    assert output == Seen()


def test_what_is_not_recommended_is_run_only_by_name() -> None:
    box = Toolbox([WEIGH, COMPARE, tool(echo)])
    assert [card.name for card in box.recommended(Image(blob=BLOB, modality="ct"))] == ["probe"]
    assert box.tools == (COMPARE, box.get("probe"), WEIGH)


async def test_a_recorded_card_stays_as_it_was(store: ImageStore) -> None:
    recorded = Toolbox([COMPARE, WEIGH])
    cards = {card.name: card.model_dump(mode="json") for card in recorded.cards}
    elsewhere = Toolbox.as_recorded(cards)
    assert elsewhere.cards == recorded.cards
    with pytest.raises(ToolBrokenError, match="not installed"):
        await elsewhere.run("compare", {"image": BLOB}, {BLOB: Image(blob=BLOB, modality="ct")}, store)


PACKAGE = """
from polyclinic.tools.card import ImageArguments, Tool, ToolCard, ToolOutput


def run(arguments, images):
    return ToolOutput()


def named(name):
    card = ToolCard(name=name, version="1.0.0", summary="Nothing.", measures=(), modalities=())
    return Tool(card=card, arguments=ImageArguments, output=ToolOutput, run=run)


ONE, TWO, CLASH = named("one"), (named("two"), named("three")), named("hounsfield")
NOTHING = (named("four"), "no tool")
"""


@pytest.fixture
def distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Installs a distribution whose entry points are the lines given."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "tools_of_others.py").write_text(PACKAGE)

    def install(lines: str) -> None:
        folder = tmp_path / "tools_of_others-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: tools-of-others\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(f"[polyclinic.tools]\n{lines}\n")

    yield install
    sys.modules.pop("tools_of_others", None)


def test_other_distributions_add_tools(distribution: Callable[[str], None]) -> None:
    distribution("a = tools_of_others:ONE\nb = tools_of_others:TWO")
    box = Toolbox.installed()
    assert {"one", "two", "three", "hounsfield"} <= {card.name for card in box.cards}
    assert box.unusable == ()


def test_a_broken_entry_point_stops_no_other(distribution: Callable[[str], None]) -> None:
    distribution("a = tools_of_others:ONE\nb = no_such_module:TOOL\nc = tools_of_others:NOTHING")
    box = Toolbox.installed()
    assert "one" in {card.name for card in box.cards}
    assert [(point.value, point.problem.partition(":")[0]) for point in box.unusable] == [
        ("no_such_module:TOOL", "ModuleNotFoundError"), ("tools_of_others:NOTHING", "SetupError"),
    ]  # fmt: skip


def test_a_name_taken_twice_is_said_with_both(distribution: Callable[[str], None]) -> None:
    distribution("a = tools_of_others:CLASH")
    with pytest.raises(InputError, match=r"'hounsfield': polyclinic\.tools\.\S+ and tools_of_others:run"):
        Toolbox.installed()


def test_plain_arguments_know_no_spacing() -> None:
    assert set(ImageArguments.model_fields) == {"image"}


def test_a_trace_names_shipped_tools_by_version_and_hash_and_holds_the_cards_of_others() -> None:
    box = Toolbox([COMPARE, hounsfield.TOOL])
    said = box.recorded()
    assert said["compare"] == COMPARE.card.model_dump(mode="json")
    assert said["hounsfield"].keys() == {"version", "card"}
    assert len(json.dumps(Toolbox().recorded())) < 20_000
    elsewhere = Toolbox.as_recorded(said)
    assert elsewhere.cards == box.cards
    assert elsewhere.get("hounsfield") is hounsfield.TOOL


def test_a_shipped_tool_that_is_gone_is_named() -> None:
    with pytest.raises(DivergenceError, match=r"the tool phrenology 2\.0; got a version of polyclinic without it"):
        Toolbox.as_recorded({"phrenology": {"version": "2.0", "card": "0" * 64}})


def test_a_shipped_tool_of_another_card_is_said(caplog: pytest.LogCaptureFixture) -> None:
    said = Toolbox([hounsfield.TOOL]).recorded()["hounsfield"]
    assert Toolbox.as_recorded({"hounsfield": said}).get("hounsfield") is hounsfield.TOOL
    assert not caplog.text
    Toolbox.as_recorded({"hounsfield": {**said, "card": "0" * 64}})
    assert "these tools changed, in version or card: hounsfield (" in caplog.text


def test_what_is_no_card_in_a_trace_is_named() -> None:
    with pytest.raises(
        TraceError, match=r"the card of the tool compare in the opening record .*; got version: Field re"
    ):
        Toolbox.as_recorded({"compare": {"name": "compare"}})
