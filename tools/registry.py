"""The one written-out table of tools, and the toolbox that runs them by name. It imports no heavy library itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Iterable, Mapping
from typing import Any, cast
from weakref import WeakKeyDictionary

from pydantic import ValidationError

from ..core.case import Image
from ..core.errors import InputError, ToolBrokenError, ToolRefusedError
from .card import ImageArguments, ScaledImageArguments, Tool, ToolCard, ToolOutput
from .classical import fundus_disc, fundus_vessels, hounsfield, stained_cells
from .gate import quality
from .imaging.store import ImageStore

TOOLS: tuple[Tool, ...] = (
    quality.GATE,
    fundus_disc.TOOL,
    fundus_vessels.TOOL,
    hounsfield.TOOL,
    stained_cells.TOOL,
)


class Toolbox:
    """Tools by name. `run` raises ToolRefusedError (ask differently) or ToolBrokenError, and nothing else."""

    def __init__(self, tools: Iterable[Tool] = TOOLS) -> None:
        self._tools: dict[str, Tool] = {}
        for tool in tools:
            if tool.card.name in self._tools:
                raise InputError(
                    expected="tools with names of their own",
                    got=f"two tools called {tool.card.name!r}",
                    fix="rename one of them",
                )
            self._tools[tool.card.name] = tool

    @property
    def cards(self) -> tuple[ToolCard, ...]:
        """Every card, sorted by name."""
        return tuple(self._tools[name].card for name in sorted(self._tools))

    def get(self, name: str) -> Tool:
        """The tool called `name`. Raises ToolRefusedError when there is none."""
        tool = self._tools.get(name)
        if tool is None:
            raise ToolRefusedError(
                expected="one of the tools " + ", ".join(sorted(self._tools)),
                got=repr(name),
                fix="name a tool there is",
            )
        return tool

    def version(self, name: str) -> str:
        """The version of the tool called `name`. Raises ToolRefusedError when there is none."""
        return self.get(name).card.version

    def recommended(self, image: Image) -> tuple[ToolCard, ...]:
        """The cards made for this image's modality, sorted by name."""
        return tuple(card for card in self.cards if card.modalities and card.accepts(image))

    def as_recorded(self, cards: Mapping[str, Any]) -> Toolbox:
        """The tools of a recorded run: the installed ones, and cards without a function for those that are not."""
        recorded = (ToolCard.model_validate(card) for card in cards.values())
        return Toolbox(self._tools.get(card.name) or _not_installed(card) for card in recorded)

    async def run(
        self, name: str, arguments: dict[str, Any], case_images: Mapping[str, Image], images: ImageStore
    ) -> ToolOutput:
        """Run a tool in a thread of its own; `case_images` maps each blob of the case to its image.

        `arguments` come from a model, so they are validated; the pixel spacing comes from the case only. After the
        card's time-out the call is given up (its thread ends by itself later).
        """
        tool = self.get(name)
        request = _validated(tool, arguments, case_images)
        try:
            async with _slots():
                output = await asyncio.wait_for(_in_thread(tool, request, images), tool.card.timeout_s)
        except (ToolRefusedError, ToolBrokenError):
            raise
        except TimeoutError:
            raise _broken(name, f"no result after {tool.card.timeout_s:g} s", "try a smaller picture") from None
        except Exception as error:  # the border of a tool call: whatever it raises is the tool's failure, on record
            raise _broken(name, f"{type(error).__name__}", "run it alone on this image to see why") from error
        if not isinstance(output, tool.output):
            raise _broken(name, f"a {type(output).__name__}", f"let it return {tool.output.__name__}")
        return output


def _not_installed(card: ToolCard) -> Tool:
    def run(arguments: ImageArguments, images: ImageStore) -> ToolOutput:
        raise _broken(card.name, "a tool that is not installed", "install it, or replay only")

    return Tool(card=card, arguments=ImageArguments, output=ToolOutput, run=run)


_SLOTS: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


def _slots() -> asyncio.Semaphore:
    """As many tools at a time as there are cores. The time-out starts when a tool runs, so a full house of cases gets
    the same answers as a single one."""
    return _SLOTS.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(os.cpu_count() or 1))


async def _in_thread(tool: Tool, request: ImageArguments, images: ImageStore) -> ToolOutput:
    """The tool's output from a daemon thread: unlike a pool's, one that hangs does not keep the process alive."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[ToolOutput] = loop.create_future()

    def settle(output: ToolOutput | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(cast(ToolOutput, output))

    def work() -> None:
        output: ToolOutput | None = None
        failure: BaseException | None = None
        try:
            output = tool.run(request, images)
        except BaseException as error:  # noqa: BLE001 - carried over to the caller, whatever it is
            plain = isinstance(error, Exception) and not isinstance(error, StopIteration)
            failure = error if plain else RuntimeError(repr(error))  # these two would end the event loop
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
            loop.call_soon_threadsafe(settle, output, failure)

    threading.Thread(target=work, name=f"tool {tool.card.name}", daemon=True).start()
    return await done


def _validated(tool: Tool, arguments: dict[str, Any], case_images: Mapping[str, Image]) -> ImageArguments:
    given = dict(arguments)
    named = given.get("image")
    image = case_images.get(named) if isinstance(named, str) else None
    if issubclass(tool.arguments, ScaledImageArguments):
        given["spacing_mm"] = image.spacing_mm if image is not None else None
    try:
        request = tool.arguments.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "arguments"
        raise ToolRefusedError(
            expected=f"arguments of {tool.card.name}: " + ", ".join(tool.arguments.model_fields),
            got=f"{where}: {first['msg']}",
            fix="correct the arguments",
        ) from None
    if image is None:
        raise ToolRefusedError(
            expected="an image of this case: " + (", ".join(key[:12] for key in sorted(case_images)) or "it has none"),
            got=repr(request.image[:80]),
            fix="name one of the case's images",
        )
    if not tool.card.accepts(image):
        domain = " or ".join(tool.card.modalities) or "any modality"
        parts = f" of {' or '.join(tool.card.body_parts)}" if tool.card.body_parts else ""
        raise ToolRefusedError(
            expected=f"an image of {domain}{parts} for {tool.card.name}",
            got=f"{image.modality or 'an image of unknown modality'}, {image.body_part or 'body part not stated'}",
            fix="choose a tool made for this image, or another image",
        )
    return request


def _broken(name: str, got: str, fix: str) -> ToolBrokenError:
    return ToolBrokenError(expected=f"a result of the tool {name}", got=got, fix=fix)
