"""What every registered tool must do: a complete card, refusals outside its domain, and no surprise on odd pictures."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray

from polyclinic.core.blobs import Blobs
from polyclinic.core.case import Image
from polyclinic.core.errors import PolyclinicError, ToolRefusedError
from polyclinic.knowledge.ontology import shipped_ontology
from polyclinic.tools.card import ComparedImagesArguments, ImageArguments, Tool, ToolOutput
from polyclinic.tools.health import examine
from polyclinic.tools.imaging.store import ImageStore
from polyclinic.tools.registry import TOOLS, Toolbox

LOOKING = [tool for tool in TOOLS if tool.card.looks]
SEMVER = re.compile(r"\d+\.\d+\.\d+(\+[0-9a-f]{8})?")
NUMBER = re.compile(r"-?\d+(?:[.,]\d+)*")


def named(tool: Tool) -> str:
    return tool.card.name


def _picture(array: NDArray[np.uint8]) -> Callable[[ImageStore, Path], str]:
    def put(store: ImageStore, folder: Path) -> str:
        buffer = io.BytesIO()
        PIL.Image.fromarray(array).save(buffer, "PNG")
        (folder / "given.png").write_bytes(buffer.getvalue())
        return str(folder / "given.png")

    return put


def _package(name: str) -> Callable[[ImageStore, Path], str]:
    return lambda store, folder: f"package://skimage/data/{name}"


def _scan(store: ImageStore, folder: Path) -> str:
    from pydicom.data import get_testdata_file

    return str(get_testdata_file("CT_small.dcm", download=False))


RNG = np.random.default_rng(0)
PICTURES: dict[str, Callable[[ImageStore, Path], str]] = {
    "black": _picture(np.zeros((64, 64), np.uint8)),
    "white": _picture(np.full((64, 64, 3), 255, np.uint8)),
    "noise": _picture(RNG.integers(0, 256, (96, 128), dtype=np.uint8)),
    "coloured noise": _picture(RNG.integers(0, 256, (128, 96, 3), dtype=np.uint8)),
    "one pixel": _picture(np.full((1, 1), 7, np.uint8)),
    "one coloured pixel": _picture(np.array([[[200, 10, 10]]], np.uint8)),
    "tiny": _picture(RNG.integers(0, 256, (16, 16, 3), dtype=np.uint8)),
    "a strip": _picture(RNG.integers(0, 256, (4, 2000), dtype=np.uint8)),
    "a coloured strip": _picture(RNG.integers(0, 256, (1500, 3, 3), dtype=np.uint8)),
    "a ramp": _picture(np.repeat(np.arange(256, dtype=np.uint8)[None], 200, axis=0)),
    "a grey photograph": _package("camera.png"),
    "a coloured photograph": _package("astronaut.png"),
    "an eye": _package("retina.jpg"),
    "a stained section": _package("ihc.png"),
    "a scan": _scan,
}


@pytest.fixture(scope="module")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> Blobs:
    return Blobs(tmp_path_factory.mktemp("blobs"))


@pytest.fixture(scope="module")
def images(blobs: Blobs, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Image]:
    """Every odd picture, taken in."""
    folder, store = tmp_path_factory.mktemp("pictures"), ImageStore(blobs)
    return {
        name: store.take_in(Image(path=put(store, folder)), base=folder, root=None).image
        for name, put in PICTURES.items()
    }


async def answer(tool: Tool, image: Image, blobs: Blobs) -> ToolOutput | None:
    """The tool's output on an image said to be of its domain, or None when it refuses. Raises what is broken."""
    try:
        examine(tool)
    except PolyclinicError as error:
        pytest.skip(f"it cannot work here: {error}")
    part = tool.card.body_parts[0] if tool.card.body_parts else None
    stated = image.model_copy(
        update={"modality": (*tool.card.modalities, image.modality)[0], "body_part": part, "spacing_mm": (0.5, 0.5)}
    )
    given = {"image": stated.blob}
    if issubclass(tool.arguments, ComparedImagesArguments):
        given["earlier"] = stated.blob
    try:
        return await Toolbox([tool]).run(named(tool), given, {str(stated.blob): stated}, ImageStore(blobs))
    except ToolRefusedError:
        return None


def test_there_are_tools_and_their_names_are_plain() -> None:
    assert LOOKING
    for tool in TOOLS:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", named(tool)), named(tool)


@pytest.mark.parametrize("tool", TOOLS, ids=named)
def test_the_card_is_complete(tool: Tool) -> None:
    card = tool.card
    assert SEMVER.fullmatch(card.version)
    assert ("+" in card.version) == (card.weights is not None)
    assert card.summary[0].isupper()
    assert card.summary.endswith(".")
    assert card.measures
    assert card.limits
    assert all(limit.endswith((".", "!", "?")) for limit in card.limits)
    if card.looks and not card.figures:
        said = " ".join(card.limits)
        assert re.search(r"\b(no|not|never)\b[^.]*\b(figures?|measured|compared|validated)\b", said, re.I), (
            "a card without figures says in its limits that none were measured"
        )
    assert 0 < card.timeout_s <= 300
    assert 0 < card.memory_mb <= 16_000
    assert card.looks or not card.modalities
    assert all(figure.n > 0 and figure.dataset and figure.metric for figure in card.figures)
    for figure in card.figures:
        assert figure.interval is None or figure.interval[0] <= figure.value <= figure.interval[1], figure.metric


@pytest.mark.parametrize("tool", TOOLS, ids=named)
def test_arguments_and_output_have_schemas_and_can_be_sent_to_a_worker(tool: Tool) -> None:
    for kind in (tool.arguments, tool.output):
        json.dumps(kind.model_json_schema())
        assert "<locals>" not in kind.__qualname__
    assert "<locals>" not in tool.run.__qualname__
    assert tool.run.__module__.startswith("polyclinic.tools.")
    assert json.loads(json.dumps(tool.card.model_dump(mode="json")))["name"] == named(tool)


@pytest.mark.parametrize("tool", TOOLS, ids=named)
def test_what_is_run_for_every_image_needs_no_argument(tool: Tool) -> None:
    if tool.card.recommended and tool.card.modalities:
        needed = {name for name, field in tool.arguments.model_fields.items() if field.is_required()}
        assert needed == {"image"}


@pytest.mark.parametrize("tool", TOOLS, ids=named)
async def test_nonsense_is_refused(tool: Tool, blobs: Blobs) -> None:
    with pytest.raises(ToolRefusedError):
        await Toolbox([tool]).run(named(tool), {"no_such_argument": 1}, {}, ImageStore(blobs))


@pytest.mark.parametrize("tool", [tool for tool in LOOKING if tool.card.modalities], ids=named)
async def test_another_modality_is_refused(tool: Tool, images: dict[str, Image], blobs: Blobs) -> None:
    other = "ecg" if "ecg" not in tool.card.modalities else "endoscopy"
    image = images["a grey photograph"].model_copy(update={"modality": other})
    required = {name for name, field in tool.arguments.model_fields.items() if field.is_required()}
    if required - {"image", "earlier"}:
        pytest.skip("it has arguments of its own, which are checked first")
    given = dict.fromkeys(sorted(required), image.blob)
    with pytest.raises(ToolRefusedError, match=r"expected an? (image|volume) of "):
        await Toolbox([tool]).run(named(tool), given, {str(image.blob): image}, ImageStore(blobs))


@pytest.mark.parametrize("tool", LOOKING, ids=named)
async def test_odd_pictures_are_refused_or_measured_but_break_nothing(
    tool: Tool, images: dict[str, Image], blobs: Blobs
) -> None:
    store = ImageStore(blobs)
    for name, image in images.items():
        output = await answer(tool, image, blobs)
        if output is not None:
            _check_output(output, image, store, f"{named(tool)} on {name}")
            assert output == await answer(tool, image, blobs), f"{named(tool)} on {name}: not the same twice"


def _check_output(output: ToolOutput, image: Image, store: ImageStore, where: str) -> None:
    assert image.size_px is not None
    width, height = image.size_px
    items = output.measurements()
    names = {item.name for item in items}
    findings = {finding.id for finding in shipped_ontology()}
    if output.overlay is not None:
        assert store.open(output.overlay).array.shape == (height, width, 3), where
    for item in items:
        shown = {float(number.replace(",", "")) for number in NUMBER.findall(item.text)}
        assert any(abs(number - item.value) < 1e-9 for number in shown), f"{where}: {item.text!r} is not {item.value}"
        assert set(item.of) <= names - {item.name}, where
        assert not item.finding or item.finding in findings, f"{where}: {item.finding}"
        if item.mask is not None:
            mask = store.open(item.mask).array
            assert mask.shape == (height, width), where
            assert set(np.unique(mask)) <= {0, 255}, where
        if item.box_px is not None:
            left, top, right, bottom = item.box_px
            assert 0 <= left < right <= width, where
            assert 0 <= top < bottom <= height, where


def test_the_gate_looks_at_anything() -> None:
    gate: Any = Toolbox().get("image_quality")
    assert gate.card.modalities == ()
    assert issubclass(gate.arguments, ImageArguments)
