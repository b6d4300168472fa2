"""The tools over the Model Context Protocol: typed arguments in, typed results out. It knows no tool by name.

A picture is named by its path inside the one folder that is served. What a tool refuses, and what breaks, comes back as
a tool error in its own words. Masks and overlays are resources, `polyclinic://blobs/SHA256`; the overlay is sent along.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import importlib.metadata
import os
import re
import socket
import threading
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pydantic import ValidationError

from ..core.blobs import Blobs
from ..core.case import Image
from ..core.errors import InputError, MissingExtraError, PolyclinicError, TraceError
from ..tools.card import ImageArguments, Tool, ToolOutput, ViewedImageArguments
from ..tools.health import examine
from ..tools.imaging.store import ImageStore, TakenIn
from ..tools.registry import Toolbox
from .toolrun import scratch_blobs, with_modality

try:
    import mcp_types as types
    from mcp.server.lowlevel import Server
    from mcp.server.stdio import stdio_server
    from mcp.shared.exceptions import MCPError
except ModuleNotFoundError:
    raise MissingExtraError.of("mcp", "interop") from None

if TYPE_CHECKING:
    from anyio import AsyncFile
    from mcp.server.context import ServerRequestContext

URI = "polyclinic://blobs/"
INSTRUCTIONS = (
    "Expert tools for medical pictures, and clinical calculators. Every result says what was measured, in which unit "
    "and with which limits. Research software, not a medical device."
)
_PATHS = {"image": "The picture", "earlier": "The earlier picture of the same patient"}
_MOST_PIXELS = 1_000_000
_LONGEST_LINE = 2**24
_STATED = ("modality", "body_part", "view", "spacing_mm", "frame")


def serve_stdio(root: Path, models: Path | None = None) -> None:
    """Serve the installed tools on standard input and output until it is closed, or ended by SIGINT or SIGTERM."""
    if not root.is_dir():
        raise InputError(expected="--root with a folder of pictures", got=str(root), fix="name one that exists")
    box = Toolbox.installed(models)
    box.warm()

    async def serve(store: ImageStore, blobs: Blobs) -> None:
        server = make_server(box, store, blobs, root)
        async with _standard_input() as lines, stdio_server(stdin=lines) as (read, write):
            await server.run(read, write, server.create_initialization_options())

    with scratch_blobs() as blobs:
        try:
            asyncio.run(serve(ImageStore(blobs), blobs))
        except KeyboardInterrupt:
            return


@contextlib.asynccontextmanager
async def _standard_input() -> AsyncIterator[AsyncFile[str]]:
    """The lines of standard input, which is empty for everybody else meanwhile.

    A thread of the protocol's own that waits for a line cannot be called away, and would keep the process from ending;
    the one here can be left behind.
    """
    ours, theirs = socket.socketpair()
    wire, nothing = os.dup(0), os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)

    def pass_on() -> None:
        with theirs, contextlib.suppress(OSError):  # nobody listens any more
            while data := os.read(wire, 65_536):
                theirs.sendall(data)

    reader, writer = await asyncio.open_connection(sock=ours, limit=_LONGEST_LINE)
    threading.Thread(target=pass_on, name="standard input", daemon=True).start()
    try:
        yield cast("AsyncFile[str]", reader)  # all that is asked of it is `async for line`
    finally:
        writer.close()


def make_server(box: Toolbox, store: ImageStore, blobs: Blobs, root: Path) -> Server[Any]:
    """A server of the tools in `box` that reads pictures inside `root` only."""

    async def list_tools(
        context: ServerRequestContext[Any], params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[described(tool) for tool in box.tools])

    async def call_tool(
        context: ServerRequestContext[Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        if params.name not in {card.name for card in box.cards}:
            raise MCPError(types.INVALID_PARAMS, f"there is no tool {params.name!r}")
        try:
            output, notes = await _call(box, box.get(params.name), params.arguments or {}, store, root)
            content = await asyncio.to_thread(_content, output, notes, store)
        except PolyclinicError as error:
            return types.CallToolResult(content=[types.TextContent(text=str(error))], is_error=True)
        return types.CallToolResult(content=content, structured_content=output.model_dump(mode="json"))

    async def list_templates(
        context: ServerRequestContext[Any], params: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        template = types.ResourceTemplate(
            name="blob", uri_template=URI + "{sha256}", description="A mask or an overlay that a result names."
        )
        return types.ListResourceTemplatesResult(resource_templates=[template])

    async def read_resource(
        context: ServerRequestContext[Any], params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        name = str(params.uri).removeprefix(URI)
        try:
            if not re.fullmatch(r"[0-9a-f]{64}", name):
                raise InputError(expected=f"{URI}SHA256", got=str(params.uri)[:80], fix="name one that a result names")
            data = blobs.get(name)
        except (InputError, TraceError) as error:
            raise MCPError(types.INVALID_PARAMS, str(error)) from None
        kind = "image/png" if data.startswith(b"\x89PNG") else "application/octet-stream"
        found = types.BlobResourceContents(uri=params.uri, mime_type=kind, blob=base64.b64encode(data).decode())
        return types.ReadResourceResult(contents=[found])

    return Server(
        "polyclinic", version=importlib.metadata.version("polyclinic"), instructions=INSTRUCTIONS,
        on_list_tools=list_tools, on_call_tool=call_tool, on_list_resource_templates=list_templates,
        on_read_resource=read_resource,
    )  # fmt: skip


def described(tool: Tool) -> types.Tool:
    """A tool as the protocol describes it: what it does and where it holds, its arguments, its result."""
    card = tool.card
    return types.Tool(
        name=card.name,
        description=" ".join((card.summary, "Measures " + ", ".join(card.measures) + ".", *card.limits)),
        input_schema=_input_schema(tool),
        output_schema=tool.output.model_json_schema(mode="serialization"),
        annotations=types.ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False),
    )


def _input_schema(tool: Tool) -> dict[str, Any]:
    """The schema of the tool's arguments: pictures by path, with what a client may state of them."""
    schema = tool.arguments.model_json_schema()
    schema.pop("description", None)  # what the class says to programmers
    if not issubclass(tool.arguments, ImageArguments):
        return schema
    own = dict(schema["properties"])
    own.pop("spacing_mm", None)
    own.pop("view", None)
    for name in _PATHS.keys() & own.keys():
        own[name] = {"type": "string", "description": f"{_PATHS[name]}: a path inside the served folder."}
    of_images = Image.model_json_schema()["properties"]
    stated = {name: of_images[name] for name in _STATED if name not in own}
    if tool.card.modalities:
        stated["modality"] = {"enum": list(tool.card.modalities), "description": "What kind of picture it is."}
    return {**schema, "properties": {**own, **stated}}


async def _call(
    box: Toolbox, tool: Tool, given: Mapping[str, Any], store: ImageStore, root: Path
) -> tuple[ToolOutput, list[str]]:
    """The tool's output on pictures that are taken in first, and what has to be said of these. Raises a
    PolyclinicError."""
    examine(tool)
    arguments = dict(given)
    if not issubclass(tool.arguments, ImageArguments):
        return await box.run(tool.card.name, arguments, {}, store), []
    own = tool.arguments.model_fields.keys() - ViewedImageArguments.model_fields.keys()
    stated = {name: arguments.pop(name) for name in _STATED if name in arguments and name not in own}
    named = [name for name in _PATHS if name in tool.arguments.model_fields and isinstance(arguments.get(name), str)]
    taken = [await asyncio.to_thread(_taken, arguments[name], stated, store, root) for name in named]
    images, notes = await asyncio.to_thread(
        with_modality, tool, [one.image for one in taken], store, state="give the argument modality:"
    )
    arguments |= {name: image.blob for name, image in zip(named, images, strict=True)}
    output = await box.run(tool.card.name, arguments, {str(image.blob): image for image in images}, store)
    return output, [*notes, *(note for one in taken for note in one.limitations)]


def _taken(path: str, stated: Mapping[str, Any], store: ImageStore, root: Path) -> TakenIn:
    try:
        image = Image.model_validate({"path": path, **stated})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise InputError(
            expected="a picture and what is stated of it",
            got=f"{'.'.join(map(str, first['loc']))}: {first['msg']}", fix="correct it",
        ) from None  # fmt: skip
    return store.take_in(image, base=root, root=root)


def _content(output: ToolOutput, notes: list[str], store: ImageStore) -> list[types.ContentBlock]:
    """What a reader is told: the measurements and limits in words, and the overlay."""
    words = [*(item.text for item in output.measurements()), *notes, *output.limitations]
    content: list[types.ContentBlock] = [types.TextContent(text="\n".join(words) or "Nothing could be measured.")]
    if output.overlay is not None:
        data = base64.b64encode(store.png(output.overlay, most_pixels=_MOST_PIXELS)).decode()
        content.append(types.ImageContent(data=data, mime_type="image/png"))
    return content
