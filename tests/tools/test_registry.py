"""The toolbox: what it lists, what it refuses, how it fails, and that reading its cards loads nothing heavy."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from polyclinic.core.case import Image
from polyclinic.core.errors import InputError, ToolBrokenError, ToolRefusedError
from polyclinic.tools.card import (
    ImageArguments,
    Measurement,
    ScaledImageArguments,
    Tool,
    ToolCard,
    ToolOutput,
    measured,
)
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
        assert card.measures
        assert card.limits
        assert card.version
        assert card.summary.endswith(".")
    assert [card.name for card in Toolbox().cards] == sorted(tool.card.name for tool in TOOLS)
    assert Toolbox().version("hounsfield") == "1.0.0"


def test_recommended_cards_fit_the_modality_and_the_gate_is_not_among_them() -> None:
    def names(modality: Any) -> list[str]:
        return [card.name for card in Toolbox().recommended(Image(blob=BLOB, modality=modality))]

    assert names("fundus") == ["fundus_disc", "fundus_vessels"]
    assert names("ct") == ["hounsfield"]
    assert names(None) == []


def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(InputError, match="two tools called 'probe'"):
        Toolbox([tool(echo), tool(echo)])


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


def test_plain_arguments_know_no_spacing() -> None:
    assert set(ImageArguments.model_fields) == {"image"}
