"""The tools over MCP: a client in this process, and a real one over standard input and output."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

pytest.importorskip("mcp", reason="needs the extra [interop]")

from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.shared.exceptions import MCPError

from polyclinic.app.mcp import make_server, serve_stdio
from polyclinic.core.blobs import Blobs
from polyclinic.core.errors import InputError
from polyclinic.tools.card import Arguments, ComparedImagesArguments, Measurement, Tool, ToolCard, ToolOutput, measured
from polyclinic.tools.imaging.store import ImageStore
from polyclinic.tools.registry import TOOLS, Toolbox
from tests.tools.imaging.headers import ct_slice, header_bytes


class Weight(Arguments):
    weight_kg: float


class Said(ToolOutput):
    said: Measurement


def weigh(given: Weight, images: ImageStore) -> Said:
    return Said(said=measured("weight", given.weight_kg, "kg", "It is {}.", digits=0))


def compare(given: ComparedImagesArguments, images: ImageStore) -> Said:
    now, then = (float(images.open(one).array.mean()) for one in (given.image, given.earlier))
    return Said(said=measured("change", now - then, "1", "It changed by {}.", digits=0))


def _card(name: str, **more: Any) -> ToolCard:
    return ToolCard(name=name, version="1.0.0", summary="For tests.", measures=("a",), **more)


ADDED = (
    Tool(card=_card("weigh", modalities=()), arguments=Weight, output=Said, run=weigh),
    Tool(card=_card("compare", modalities=("xray",)), arguments=ComparedImagesArguments, output=Said, run=compare),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder that is served, with a retina, two grey pictures, and one beside it that is not served."""
    served = tmp_path / "served"
    served.mkdir()
    import skimage

    shutil.copy(Path(skimage.__file__).parent / "data" / "retina.jpg", served / "retina.jpg")
    for name, level in (("now", 90), ("then", 40)):
        PIL.Image.new("L", (40, 30), level).save(served / f"{name}.png")
    PIL.Image.new("L", (40, 30), 90).save(tmp_path / "secret.png")
    return served


@pytest.fixture
def server(tmp_path: Path, folder: Path) -> Any:
    blobs = Blobs(tmp_path / "blobs")
    return make_server(Toolbox((*TOOLS, *ADDED)), ImageStore(blobs), blobs, folder)


@pytest.fixture(params=["auto", "legacy"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_every_tool_is_listed_with_typed_arguments_and_results(server: Any, mode: str) -> None:
    async with Client(server, mode=mode) as client:
        listed = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert set(listed) == {tool.card.name for tool in (*TOOLS, *ADDED)}
    vessels = listed["fundus_vessels"]
    assert vessels.input_schema["properties"]["image"]["type"] == "string"
    assert vessels.input_schema["properties"]["modality"]["enum"] == ["fundus"]
    assert vessels.input_schema["required"] == ["image"]
    assert "vessel_density" in vessels.output_schema["properties"]
    assert set(listed["weigh"].input_schema["properties"]) == {"weight_kg"}
    assert listed["compare"].input_schema["required"] == ["image", "earlier"]
    for tool in listed.values():
        assert tool.annotations.read_only_hint


async def test_a_result_is_typed_and_its_pictures_can_be_read(server: Any, mode: str) -> None:
    async with Client(server, mode=mode) as client:
        result = await client.call_tool("fundus_disc", {"image": "retina.jpg"})
        assert not result.is_error
        text, overlay = result.content
        output = result.structured_content
        assert output["disc_diameter"]["text"] in text.text
        assert "taken as fundus" in text.text
        with PIL.Image.open(io.BytesIO(base64.b64decode(overlay.data))) as picture:
            assert picture.width * picture.height <= 1_000_000
        mask = await client.read_resource("polyclinic://blobs/" + output["disc_diameter"]["mask"])
        with PIL.Image.open(io.BytesIO(base64.b64decode(mask.contents[0].blob))) as picture:
            assert picture.size == (1411, 1411)


async def test_calculators_and_comparisons_are_served(server: Any) -> None:
    async with Client(server) as client:
        weighed = await client.call_tool("weigh", {"weight_kg": 70})
        assert weighed.structured_content["said"]["value"] == 70
        compared = await client.call_tool("compare", {"image": "now.png", "earlier": "then.png", "modality": "xray"})
        assert compared.structured_content["said"]["value"] == 50


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("fundus_disc", {"image": "now.png"}, "picture without colour"),
        ("fundus_disc", {"image": "retina.jpg", "modality": "ct"}, "an image of fundus for fundus_disc; got ct"),
        ("fundus_disc", {"image": "../secret.png"}, "leads outside"), ("fundus_disc", {}, "image: Field required"),
        ("fundus_disc", {"image": "none.png"}, "none.png"), ("fundus_disc", {"image": 7}, "image: Input should be"),
        ("fundus_disc", {"image": "now.png", "frame": "x"}, "frame: Input should be a valid integer"),
        ("weigh", {"weight_kg": "heavy"}, "weight_kg: Input should be a valid number"),
        ("compare", {"image": "now.png"}, "earlier: Field required"),
    ],
)  # fmt: skip
async def test_what_is_refused_is_a_tool_error_in_its_own_words(
    name: str, arguments: dict[str, Any], said: str, server: Any
) -> None:
    async with Client(server) as client:
        result = await client.call_tool(name, arguments)
    assert result.is_error
    assert said in result.content[0].text


async def test_a_kind_of_picture_the_tool_is_not_made_for_is_refused_unless_stated(server: Any) -> None:
    async with Client(server) as client:
        refused = await client.call_tool("brain_tumour", {"image": "retina.jpg"})
        unsure = await client.call_tool("compare", {"image": "now.png", "earlier": "then.png"})
    assert refused.is_error
    assert "looks like a fundus photograph" in refused.content[0].text
    assert "give the argument modality: mr if you know" in refused.content[0].text
    assert "its looks do not tell; it was taken as xray" in unsure.content[0].text


@pytest.mark.parametrize(
    "uri", ["polyclinic://blobs/../../etc", "polyclinic://blobs/" + "0" * 64, "file:///etc/passwd"]
)
async def test_nothing_but_blobs_can_be_read(uri: str, server: Any) -> None:
    async with Client(server) as client:
        with pytest.raises(MCPError):
            await client.read_resource(uri)
        with pytest.raises(MCPError):
            await client.call_tool("scalpel", {})


async def test_a_real_server_answers_over_standard_input_and_output(folder: Path) -> None:
    program = str(Path(sys.executable).with_name("polyclinic"))
    parameters = StdioServerParameters(command=program, args=["tools", "serve", "--root", str(folder)])
    async with Client(stdio_client(parameters)) as client:
        assert {tool.name for tool in (await client.list_tools()).tools} == {tool.card.name for tool in TOOLS}
        result = await client.call_tool("image_quality", {"image": "retina.jpg"})
    assert result.structured_content["verdict"] == "go"
    json.dumps(result.structured_content)


def test_the_served_folder_must_exist(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--root with a folder"):
        serve_stdio(tmp_path / "none")


def _heeding_ctrl_c() -> None:
    """Undo what a shell sets for jobs in the background, which their children inherit."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGINT, 0)])
def test_a_server_that_is_told_to_end_ends_and_leaves_nothing_behind(
    number: signal.Signals, code: int, folder: Path, tmp_path: Path
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    dated = ct_slice(np.arange(4_096, dtype=np.int16).reshape(64, 64), AcquisitionDate="20200310")
    (folder / "ct.dcm").write_bytes(header_bytes(dated))
    client = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    with subprocess.Popen(
        [Path(sys.executable).with_name("polyclinic"), "tools", "serve", "--root", folder],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "TMPDIR": str(temporary)},
        preexec_fn=_heeding_ctrl_c,  # noqa: PLW1509 - it only sets a signal
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None

        def ask(method: str, **more: Any) -> None:
            assert process.stdin is not None
            process.stdin.write(json.dumps({"jsonrpc": "2.0", "method": method, **more}).encode() + b"\n")
            process.stdin.flush()

        ask("initialize", id=1, params=client)
        assert process.stdout.readline()
        ask("notifications/initialized")
        ask("tools/call", id=2, params={"name": "image_quality", "arguments": {"image": "ct.dcm"}})
        assert json.loads(process.stdout.readline())["result"]["structuredContent"]["verdict"]
        assert {path.name for path in temporary.glob("*/*")} == {"blobs", ".salt"}
        process.send_signal(number)  # its standard input stays open
        assert process.wait(30) == code
    assert list(temporary.iterdir()) == []
