"""The contract of an expert tool: its card, its typed arguments and its typed result. It runs nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import Field

from ..core.case import Image, Modality
from ..core.frozen import Frozen

if TYPE_CHECKING:
    from .imaging.store import ImageStore


class Measurement(Frozen):
    """One measured value in a sentence a clinician would recognise.

    `unit` is a UCUM-style unit ("%", "mm", "HU", "1" for plain numbers); `uncertainty` is in the same unit;
    `box_px` is [x0, y0, x1, y1); `mask` is the sha256 of a 0/255 PNG.
    """

    name: str
    value: float
    unit: str
    text: str
    uncertainty: float | None = None
    box_px: tuple[int, int, int, int] | None = None
    mask: str | None = None


def measured(
    name: str,
    value: float,
    unit: str,
    sentence: str,
    *,
    digits: int,
    uncertainty: float | None = None,
    box_px: tuple[int, int, int, int] | None = None,
    mask: str | None = None,
) -> Measurement:
    """A Measurement rounded once: `value` and the `{}` of `sentence` show the same number, with its unit.

    Verification compares the numbers of a claim with `value`, so the two must never be rounded apart.
    """
    rounded = round(float(value), digits) + 0.0  # no "-0.0"
    shown = f"{rounded:.{digits}f}" + ("" if unit == "1" else f" {unit}")
    return Measurement(
        name=name, value=rounded, unit=unit, text=sentence.format(shown), uncertainty=uncertainty, box_px=box_px,
        mask=mask,
    )  # fmt: skip


class ImageArguments(Frozen):
    """The arguments of a tool that looks at one image: the sha256 the case names it by."""

    image: str


class ScaledImageArguments(ImageArguments):
    """The same with the pixel spacing (row, column), which the toolbox fills in from the case, never an agent."""

    spacing_mm: tuple[float, float] | None = None


class ToolOutput(Frozen):
    """Base of every tool's result; its `Measurement` fields become evidence, in the order they are declared."""

    limitations: tuple[str, ...] = ()
    overlay: str | None = None

    def measurements(self) -> tuple[Measurement, ...]:
        values = (getattr(self, name) for name in type(self).model_fields)
        return tuple(value for value in values if isinstance(value, Measurement))


class ToolResult(Frozen):
    """What is recorded of a tool's output: its measurements in order, and all of it as JSON.

    It needs no tool to be read, so that a run replays where the tool is not installed.
    """

    measurements: tuple[Measurement, ...] = ()
    limitations: tuple[str, ...] = ()
    overlay: str | None = None
    output: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def of(cls, output: ToolOutput) -> ToolResult:
        return cls(
            measurements=output.measurements(),
            limitations=output.limitations,
            overlay=output.overlay,
            output=output.model_dump(mode="json"),
        )


class Figure(Frozen):
    """A measured figure of merit: what, on which data set, on how many, with its interval."""

    metric: str
    value: float
    dataset: str
    n: int
    interval: tuple[float, float] | None = None


class ToolCard(Frozen):
    """What a tool says of itself. Outside `modalities` and `body_parts` (any when empty) it refuses.

    A tool that names no modality is not recommended to specialists: it is run when something asks for it by name.
    `arguments` are the JSON schemas of what an agent may state besides the image; `Tool` writes them there.
    """

    name: str
    version: str
    summary: str
    measures: tuple[str, ...]
    modalities: tuple[Modality, ...]
    body_parts: tuple[str, ...] = ()
    licence: str = "Apache-2.0"
    provenance: str = "classical image analysis, no trained weights"
    figures: tuple[Figure, ...] = ()
    limits: tuple[str, ...] = ()
    arguments: dict[str, Any] = Field(default_factory=dict)
    timeout_s: float = Field(default=30.0, gt=0)

    def accepts(self, image: Image) -> bool:
        """Whether the image's stated modality and body part lie in the tool's validity domain."""
        part_ok = not self.body_parts or image.body_part is None or image.body_part in self.body_parts
        return (not self.modalities or image.modality in self.modalities) and part_ok


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A card with its function: `run(arguments, images) -> output`, called in a worker thread.

    `run` raises ToolRefusedError when a different request may succeed, anything else counts as broken.
    """

    card: ToolCard
    arguments: type[ImageArguments]
    output: type[ToolOutput]
    run: Callable[[Any, ImageStore], ToolOutput]

    def __post_init__(self) -> None:
        """Write on the card what an agent may state: every argument but those the toolbox fills in."""
        filled_in = ScaledImageArguments.model_fields
        schema = self.arguments.model_json_schema()
        parts = {name: part for name, part in schema.get("properties", {}).items() if name not in filled_in}
        stated = {name: _inlined(part, schema.get("$defs", {})) for name, part in parts.items()}
        if stated != self.card.arguments:
            object.__setattr__(self, "card", self.card.model_copy(update={"arguments": stated}))


def _inlined(part: Any, definitions: dict[str, Any]) -> Any:
    """A piece of a JSON schema with its references replaced by what they point to, so that it stands alone."""
    if isinstance(part, list):
        return [_inlined(item, definitions) for item in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        return _inlined(definitions[part["$ref"].rpartition("/")[2]], definitions)
    return {name: _inlined(item, definitions) for name, item in part.items()}
