"""The contract of an expert tool: its card, its typed arguments and its typed result. It runs nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pydantic import Field, model_validator

from ..core.case import Image, Modality
from ..core.frozen import Frozen

if TYPE_CHECKING:
    from .imaging.store import ImageStore


Box: TypeAlias = tuple[int, int, int, int]
"""[x0, y0, x1, y1) in pixels."""


class Measurement(Frozen):
    """One measured value in a sentence a clinician would recognise.

    `unit` is a UCUM-style unit ("%", "mm", "HU", "1" for plain numbers and probabilities); `uncertainty` is in the same
    unit; `mask` is the sha256 of a 0/255 PNG. `of` names the measurements of the same output it was worked out from.
    `finding` is the ontology's id of what it speaks of, and `says` whether the tool takes that to be there: conflicts
    between tools are found by these two, never by reading `text`. `probability` says that the value is one: a score
    or a ratio is none, whatever its range. Tools that measure the same thing of an image give it the same `name`.
    """

    name: str
    value: float
    unit: str
    text: str
    uncertainty: float | None = None
    box_px: Box | None = None
    mask: str | None = None
    of: tuple[str, ...] = ()
    finding: str = ""
    says: Literal["present", "absent", "undecided", ""] = ""
    probability: bool = False

    @model_validator(mode="after")
    def _is_probability(self) -> Measurement:
        if self.probability and not (self.unit == "1" and 0 <= self.value <= 1):
            raise ValueError(f"{self.name}: {self.value:g} {self.unit} is no probability")
        return self


def measured(
    name: str,
    value: float,
    unit: str,
    sentence: str,
    *,
    digits: int,
    uncertainty: float | None = None,
    box_px: Box | None = None,
    mask: str | None = None,
    of: tuple[str, ...] = (),
    finding: str = "",
    says: Literal["present", "absent", "undecided", ""] = "",
    probability: bool = False,
) -> Measurement:
    """A Measurement rounded once: `value` and the `{}` of `sentence` show the same number, with its unit.

    Verification compares the numbers of a claim with `value`, so the two must never be rounded apart.
    """
    rounded = round(float(value), digits) + 0.0  # no "-0.0"
    shown = f"{rounded:.{digits}f}" + ("" if unit == "1" else f" {unit}")
    return Measurement(
        name=name, value=rounded, unit=unit, text=sentence.format(shown), uncertainty=uncertainty, box_px=box_px,
        mask=mask, of=of, finding=finding, says=says, probability=probability,
    )  # fmt: skip


class Statement(Frozen):
    """What is said of a topic, in words, where nothing was measured. The text stands alone: it says what it is of."""

    topic: str
    text: str


class Detection(Frozen):
    """One object found on an image: what it is taken for, where, and how sure the tool is (0 to 1)."""

    label: str
    box_px: Box
    score: float = Field(ge=0, le=1)


class Arguments(Frozen):
    """Base of what a tool is given. A tool that looks at no image, such as a calculator, derives from this itself."""


class ImageArguments(Arguments):
    """The arguments of a tool that looks at one image: the sha256 the case names it by."""

    image: str


class ScaledImageArguments(ImageArguments):
    """The same with the pixel spacing (row, column), which the toolbox fills in from the case, never an agent."""

    spacing_mm: tuple[float, float] | None = None


class ViewedImageArguments(ScaledImageArguments):
    """The same with the view as the case states it ("PA", "lateral"), which the toolbox fills in too."""

    view: str | None = None


class ComparedImagesArguments(ImageArguments):
    """The arguments of a tool that compares an image with an earlier one of the same patient."""

    earlier: str


class ToolOutput(Frozen):
    """Base of every tool's result; its measurements become evidence, in the order they are declared, and after them its
    statements.

    A field holds a Measurement or a Statement, a tuple of them, or None where the image did not allow it. `overlay` is
    the sha256 of a picture of the regions that were found.
    """

    limitations: tuple[str, ...] = ()
    overlay: str | None = None

    def measurements(self) -> tuple[Measurement, ...]:
        return tuple(item for item in self._listed() if isinstance(item, Measurement))

    def statements(self) -> tuple[Statement, ...]:
        return tuple(item for item in self._listed() if isinstance(item, Statement))

    def _listed(self) -> Iterator[object]:
        for name in type(self).model_fields:
            value = getattr(self, name)
            yield from value if isinstance(value, tuple) else (value,)


class ToolResult(Frozen):
    """What is recorded of a tool's output: its measurements and statements in order, and all of it as JSON.

    It needs no tool to be read, so that a run replays where the tool is not installed.
    """

    measurements: tuple[Measurement, ...] = ()
    statements: tuple[Statement, ...] = ()
    limitations: tuple[str, ...] = ()
    overlay: str | None = None
    output: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def of(cls, output: ToolOutput) -> ToolResult:
        return cls(
            measurements=output.measurements(),
            statements=output.statements(),
            limitations=output.limitations,
            overlay=output.overlay,
            output=output.model_dump(mode="json"),
        )


class Figure(Frozen):
    """A measured figure of merit: what, on which data set, on how many, with its interval.

    `about` holds the ontology's ids of the findings, or the names of the measurements, that it is the reliability of:
    it is said beside these alone, and a figure of anything else is about none.
    """

    metric: str
    value: float
    dataset: str
    n: int
    interval: tuple[float, float] | None = None
    about: tuple[str, ...] = ()


class Weights(Frozen):
    """The trained weights of a tool: which file, whose data they were made from, and how to make them again.

    `trained_on` names the data sets, each as the benchmarks made from it do; `sources` says the same to be read, with
    citations.
    """

    file: str
    sha256: str
    parameters: int
    trained_on: tuple[str, ...]
    sources: str
    licence: str
    recipe: str


Shelf: TypeAlias = Literal["gate", "classical", "learned", "neural", "calculator", "record"]
"""What kind of tool it is. One of the shelf "record" tells what a patient or a chart says when it is asked."""


class ToolCard(Frozen):
    """What a tool says of itself. Outside `modalities` and `body_parts` (any when empty) it refuses, as it does for a
    stated view that has one of the words `not_views` in it, and with `volumes_only` for single pictures.

    A tool that names no modality, or is not `recommended`, is run when something asks for it by name; the others are
    run for every image of their domain. The `version` of a tool with weights names them: "1.0.0+78d98456". `arguments`
    are the JSON schemas of what an agent may state besides the image, `looks` says whether it looks at one at all;
    `Tool` writes both there. `memory_mb` is what a call may take beyond what its worker holds when it starts.
    """

    name: str
    version: str
    summary: str
    measures: tuple[str, ...]
    modalities: tuple[Modality, ...]
    body_parts: tuple[str, ...] = ()
    shelf: Shelf = "classical"
    not_views: tuple[str, ...] = ()
    volumes_only: bool = False
    recommended: bool = True
    licence: str = "Apache-2.0"
    provenance: str = "classical image analysis, no trained weights"
    weights: Weights | None = None
    extra: str = "imaging"
    figures: tuple[Figure, ...] = ()
    limits: tuple[str, ...] = ()
    arguments: dict[str, Any] = Field(default_factory=dict)
    looks: bool = True
    timeout_s: float = Field(default=30.0, gt=0)
    memory_mb: int = Field(default=1500, gt=0)

    @model_validator(mode="after")
    def _version_names_the_weights(self) -> ToolCard:
        if self.weights is not None and "+" not in self.version:
            object.__setattr__(self, "version", f"{self.version}+{self.weights.sha256[:8]}")
        return self

    def accepts(self, image: Image) -> bool:
        """Whether the image's stated modality, body part and view, and its number of slices, lie in the domain."""
        if self.volumes_only and (image.slices or 1) < 2:
            return False
        if any(word in (image.view or "").lower() for word in self.not_views):
            return False
        part_ok = not self.body_parts or image.body_part is None or image.body_part in self.body_parts
        return (not self.modalities or image.modality in self.modalities) and part_ok


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A card with its function: `run(arguments, images) -> output`, called in a worker process.

    `run` raises ToolRefusedError when a different request may succeed, anything else counts as broken. `check` raises
    a PolyclinicError when the tool cannot work on this machine: a package or its weights are missing or changed.
    """

    card: ToolCard
    arguments: type[Arguments]
    output: type[ToolOutput]
    run: Callable[[Any, ImageStore], ToolOutput]
    check: Callable[[], None] | None = None

    def __post_init__(self) -> None:
        """Write on the card what an agent may state: every argument but those the toolbox fills in."""
        filled_in = ViewedImageArguments.model_fields
        schema = self.arguments.model_json_schema()
        parts = {name: part for name, part in schema.get("properties", {}).items() if name not in filled_in}
        stated = {name: _inlined(part, schema.get("$defs", {})) for name, part in parts.items()}
        written = {"arguments": stated, "looks": issubclass(self.arguments, ImageArguments)}
        if written != {name: getattr(self.card, name) for name in written}:
            object.__setattr__(self, "card", self.card.model_copy(update=written))

    @classmethod
    def recorded(cls, card: ToolCard, run: Callable[[Any, ImageStore], ToolOutput]) -> Tool:
        """A tool of which only the card is known: it stays as it was recorded."""
        tool = cls(card=card, arguments=ImageArguments, output=ToolOutput, run=run)
        object.__setattr__(tool, "card", card)
        return tool


def _inlined(part: Any, definitions: dict[str, Any]) -> Any:
    """A piece of a JSON schema with its references replaced by what they point to, so that it stands alone."""
    if isinstance(part, list):
        return [_inlined(item, definitions) for item in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        return _inlined(definitions[part["$ref"].rpartition("/")[2]], definitions)
    return {name: _inlined(item, definitions) for name, item in part.items()}
