"""The one written-out table of tools, and the toolbox that runs them by name. It imports no heavy library itself.

Other distributions add tools through entry points of the group `polyclinic.tools`, each naming a Tool or a tuple of
them: docs/adding-a-tool.md.
"""

from __future__ import annotations

import difflib
import functools
import importlib.metadata
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..core.canonical import digest
from ..core.case import Image
from ..core.errors import DivergenceError, InputError, SetupError, ToolBrokenError, ToolRefusedError, TraceError
from .calculators.table import CALCULATORS
from .card import (
    Arguments,
    ComparedImagesArguments,
    ImageArguments,
    ScaledImageArguments,
    Tool,
    ToolCard,
    ToolOutput,
    ViewedImageArguments,
)
from .classical import (
    blood_smear_counts,
    chest_lungs,
    ct_volumes,
    dermoscopy_abcd,
    fluorescent_nuclei,
    fundus_bright_lesions,
    fundus_disc,
    fundus_vessels,
    hounsfield,
    lesion_size,
    registration_difference,
    stained_cells,
)
from .gate import quality
from .imaging.store import ImageStore
from .learned import blood_cells, brain_tumour, haemorrhage, lung_boxes, nuclei, pneumonia, vessels
from .neural import sam, zero_shot
from .workers import broken, how_to_see, run_tool, shared_workers

_log = logging.getLogger("polyclinic")

GROUP = "polyclinic.tools"
"""The group of entry points through which other distributions add tools."""

BAD_ARGUMENTS = "correct the arguments"
"""What is said to do about arguments that do not fit a tool's schema."""

TOOLS: tuple[Tool, ...] = (
    quality.GATE,
    blood_smear_counts.TOOL,
    chest_lungs.TOOL,
    ct_volumes.TOOL,
    dermoscopy_abcd.TOOL,
    fluorescent_nuclei.TOOL,
    fundus_bright_lesions.TOOL,
    fundus_disc.TOOL,
    fundus_vessels.TOOL,
    hounsfield.TOOL,
    lesion_size.TOOL,
    registration_difference.TOOL,
    stained_cells.TOOL,
    blood_cells.TOOL,
    brain_tumour.TOOL,
    haemorrhage.TOOL,
    lung_boxes.TOOL,
    nuclei.TOOL,
    pneumonia.TOOL,
    vessels.TOOL,
    sam.TOOL,
    zero_shot.TOOL,
    *CALCULATORS,
)


@dataclass(frozen=True, kw_only=True)
class Unusable:
    """An entry point or a model that gave no tool: its name, what it points to or where it is, and why not."""

    name: str
    value: str
    problem: str


class Toolbox:
    """Tools by name. `run` raises ToolRefusedError (ask differently) or ToolBrokenError, and nothing else.

    `unusable` are the entry points and models that gave no tool. With `apart` tools run in worker processes where they
    can.
    """

    def __init__(
        self, tools: Iterable[Tool] = TOOLS, *, unusable: tuple[Unusable, ...] = (), apart: bool = True
    ) -> None:
        self._tools: dict[str, Tool] = {}
        self._apart = apart
        self.unusable = unusable
        for tool in tools:
            other = self._tools.get(tool.card.name)
            if other is not None:
                raise InputError(
                    expected="tools with names of their own",
                    got=f"two tools called {tool.card.name!r}: {_origin(other)} and {_origin(tool)}",
                    fix="rename one of them, or uninstall the package it comes with",
                )
            self._tools[tool.card.name] = tool

    @classmethod
    def installed(cls, models: Path | None = None) -> Toolbox:
        """The shipped table, what other distributions add, and the tools that a folder of models makes.

        A model takes the place of the shipped tool that has none. What cannot be used stops no other. Raises InputError
        where two tools have one name, or there is no such folder.
        """
        added, unusable = _added()
        bound, unbound = _of_models(models)
        taken = {tool.card.name for tool in bound}
        shipped = (tool for tool in TOOLS if tool.card.name not in taken)
        return cls((*shipped, *added, *bound), unusable=(*unusable, *unbound))

    def beside(self, tool: Tool) -> Toolbox:
        """These tools and one more, all else alike. Raises InputError where one has its name."""
        return Toolbox((*self.tools, tool), unusable=self.unusable, apart=self._apart)

    @functools.cached_property
    def cards(self) -> tuple[ToolCard, ...]:
        """Every card, sorted by name."""
        return tuple(self._tools[name].card for name in sorted(self._tools))

    @functools.cached_property
    def tools(self) -> tuple[Tool, ...]:
        """Every tool, sorted by name."""
        return tuple(self._tools[name] for name in sorted(self._tools))

    def get(self, name: str) -> Tool:
        """The tool called `name`. Raises ToolRefusedError when there is none."""
        tool = self._tools.get(name)
        if tool is None:
            raise ToolRefusedError(expected=self._nearest(name), got=repr(name[:80]), fix="name a tool there is")
        return tool

    def _nearest(self, name: str) -> str:
        """The tools a wrong name may have meant: by its spelling, else by its first word, else all that see images."""
        near = difflib.get_close_matches(name[:80], self._tools, n=1)
        near = near or [tool for tool in sorted(self._tools) if tool.partition("_")[0] == name.partition("_")[0]][:6]
        if near:
            return f"a tool such as {' or '.join(near)}"
        seeing = [tool.card.name for tool in self.tools if tool.card.looks]
        others = len(self._tools) - len(seeing)
        rest = f", or one of the {others} that see no image" if others else ""
        return "one of the tools " + ", ".join(seeing) + rest

    def version(self, name: str) -> str:
        """The version of the tool called `name`. Raises ToolRefusedError when there is none."""
        return self.get(name).card.version

    def recommended(self, image: Image) -> tuple[ToolCard, ...]:
        """The cards of the tools to run on any image of this modality and body part, sorted by name."""
        return tuple(card for card in self.cards if card.recommended and card.modalities and card.accepts(image))

    def recorded(self) -> dict[str, Any]:
        """What a trace says of the tools: a shipped one by its version and the hash of its card, any other by its
        whole card, so that a run replays where it is not installed."""
        return {
            name: _stamp(name) if tool is _shipped().get(name) else tool.card.model_dump(mode="json")
            for name, tool in sorted(self._tools.items())
        }

    @classmethod
    def as_recorded(cls, tools: Mapping[str, Any]) -> Toolbox:
        """The tools of a recorded run, whatever is installed: a card without a function where the trace holds the card,
        the shipped tool where it holds its stamp. A shipped tool that is another by now is said.

        Raises DivergenceError for a shipped tool that this version no longer has, TraceError for what is no card.
        """
        box = cls((_recorded(name, said) for name, said in tools.items()), apart=False)
        changed = [
            f"{name} ({said['version']} then, {box.version(name)} here)"
            for name, said in sorted(tools.items())
            if _is_stamp(said) and said != _stamp(name)
        ]
        if changed:
            told = "since the trace was recorded these tools changed, in version or card: %s"
            _log.warning(told, ", ".join(changed))
        return box

    def warm(self) -> None:
        """Start the workers before they are needed."""
        if self._apart:
            shared_workers().warm()

    async def run(
        self, name: str, arguments: dict[str, Any], case_images: Mapping[str, Image], images: ImageStore
    ) -> ToolOutput:
        """Run a tool, in a worker process where it can be imported by name; `case_images` maps each blob of the case
        to its image.

        `arguments` come from a model, so they are validated; the pixel spacing comes from the case only. After the
        card's time-out the call is given up.
        """
        tool = self.get(name)
        request = _validated(tool, arguments, case_images)
        try:
            output = await run_tool(tool, request, images, apart=self._apart)
        except (ToolRefusedError, ToolBrokenError):
            raise
        except TimeoutError:
            late = f"no result after {tool.card.timeout_s:g} s"
            raise broken(tool, late, "try a smaller picture") from None
        except Exception as error:  # the border of a tool call: whatever it raises is the tool's failure, on record
            raise broken(tool, type(error).__name__, how_to_see(tool)) from error
        if not isinstance(output, tool.output):
            raise broken(tool, f"a {type(output).__name__}", f"let it return {tool.output.__name__}")
        return output


def _added() -> tuple[tuple[Tool, ...], tuple[Unusable, ...]]:
    """The tools that other distributions add, by name of their entry point, and the entry points that give none."""
    tools: list[Tool] = []
    unusable: list[Unusable] = []
    # A distribution may be found twice, as installed and in the folder it was built in: it counts once.
    found = {(point.name, point.value): point for point in importlib.metadata.entry_points(group=GROUP)}
    for (name, value), point in sorted(found.items()):
        try:
            tools += _tools_in(point.load())
        except Exception as error:  # noqa: BLE001 - the border to other people's packages: one must not stop the others
            unusable.append(Unusable(name=name, value=value, problem=f"{type(error).__name__}: {error}"))
    return tuple(tools), tuple(unusable)


def _of_models(folder: Path | None) -> tuple[tuple[Tool, ...], tuple[Unusable, ...]]:
    """The tools that a folder of models makes, and its folders that make none."""
    if folder is None:
        return (), ()
    from .neural.shelf import tools_in  # imports numpy

    tools, problems = tools_in(folder)
    return tools, tuple(Unusable(name=Path(place).name, value=place, problem=problem) for place, problem in problems)


def _tools_in(loaded: object) -> tuple[Tool, ...]:
    """A Tool as a tuple of one. Raises SetupError for what is neither a Tool nor a tuple of them."""
    tools = loaded if isinstance(loaded, tuple) else (loaded,)
    for tool in tools:
        if not isinstance(tool, Tool):
            raise SetupError(
                expected="an entry point that names a Tool or a tuple of them", got=f"a {type(tool).__name__}",
                fix="let it point to the tool: name = \"package.module:TOOL\"",
            )  # fmt: skip
    return tools


def _origin(tool: Tool) -> str:
    """The function a tool runs, by which two tools of one name are told apart."""
    return f"{getattr(tool.run, '__module__', '?')}:{getattr(tool.run, '__qualname__', '?')}"


@functools.cache
def _shipped() -> dict[str, Tool]:
    return {tool.card.name: tool for tool in TOOLS}


@functools.cache
def _stamp(name: str) -> dict[str, str]:
    """A shipped tool in a trace."""
    card = _shipped()[name].card
    return {"version": card.version, "card": digest(card.model_dump(mode="json"))}


def _is_stamp(said: Mapping[str, Any]) -> bool:
    return said.keys() == {"version", "card"}


def _recorded(name: str, said: Mapping[str, Any]) -> Tool:
    """A tool as a trace names it. Raises DivergenceError, TraceError."""
    if not _is_stamp(said):
        try:
            return _not_installed(ToolCard.model_validate(said))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise TraceError(
                expected=f"the card of the tool {name} in the opening record of the trace",
                got=f"{'.'.join(map(str, first['loc']))}: {first['msg']}",
                fix="replay it with the version that recorded it, or restore it from a copy",
            ) from error
    if name not in _shipped():
        raise DivergenceError(
            expected=f"the tool {name} {said.get('version', '')}", got="a version of polyclinic without it",
            fix="replay with the version that recorded the trace",
        )  # fmt: skip
    return _shipped()[name]


def _not_installed(card: ToolCard) -> Tool:
    def run(arguments: ImageArguments, images: ImageStore) -> ToolOutput:
        raise ToolBrokenError(
            expected=f"a result of the tool {card.name}", got="a tool that is not installed",
            fix="install it, or replay only",
        )  # fmt: skip

    return Tool.recorded(card, run)


def _validated(tool: Tool, arguments: dict[str, Any], case_images: Mapping[str, Image]) -> Arguments:
    """The arguments as the tool's own class, with the spacing of the case. Raises ToolRefusedError."""
    given = dict(arguments)
    named = given.get("image")
    image = case_images.get(named) if isinstance(named, str) else None
    if issubclass(tool.arguments, ScaledImageArguments):
        given["spacing_mm"] = image.spacing_mm if image is not None else None
    if issubclass(tool.arguments, ViewedImageArguments):
        given["view"] = image.view if image is not None else None
    try:
        request = tool.arguments.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "arguments"
        raise ToolRefusedError(
            expected=f"arguments of {tool.card.name}: " + (", ".join(tool.arguments.model_fields) or "none"),
            got=f"{where}: {first['msg']}",
            fix=BAD_ARGUMENTS,
        ) from None
    if isinstance(request, ImageArguments):
        image = _looked_at(tool, request.image, case_images)
    if isinstance(request, ComparedImagesArguments) and image is not None:
        _check_order(image, _looked_at(tool, request.earlier, case_images))
    return request


def _looked_at(tool: Tool, blob: str, case_images: Mapping[str, Image]) -> Image:
    """The image of the case that `blob` names. Raises ToolRefusedError for none, or one outside the tool's domain."""
    image = case_images.get(blob)
    if image is None:
        raise ToolRefusedError(
            expected="an image of this case: " + (", ".join(key[:12] for key in sorted(case_images)) or "it has none"),
            got=repr(blob[:80]),
            fix="name one of the case's images",
        )
    if not tool.card.accepts(image):
        domain = " or ".join(tool.card.modalities) or "any modality"
        parts = f" of {' or '.join(tool.card.body_parts)}" if tool.card.body_parts else ""
        kind, slices = ("a volume", f", {image.slices or 1} slice") if tool.card.volumes_only else ("an image", "")
        stated = f"{image.modality or 'an image of unknown modality'}, {image.body_part or 'body part not stated'}"
        stated += f", view {image.view}" if image.view and tool.card.not_views else ""
        parts += f", not {' or '.join(tool.card.not_views)}" if tool.card.not_views else ""
        raise ToolRefusedError(
            expected=f"{kind} of {domain}{parts} for {tool.card.name}",
            got=stated + slices,
            fix="choose a tool made for this image, or another image",
        )
    return image


def _check_order(image: Image, earlier: Image) -> None:
    """Refuse to compare an image with itself, or with one acquired after it."""
    if image.blob == earlier.blob:
        raise ToolRefusedError(
            expected="two images to compare", got="the same one twice",
            fix="name an earlier image of the case, or ask without this tool",
        )  # fmt: skip
    if image.acquired is not None and earlier.acquired is not None and earlier.acquired > image.acquired:
        raise ToolRefusedError(
            expected=f"an earlier image than that of {image.acquired}", got=f"one of {earlier.acquired}",
            fix="exchange the two",
        )  # fmt: skip
