"""Arms that are no agents: an expert tool that answers by itself, and what answers without looking at a picture.

A tool is called on the case's first image, as agents call it, and its output is read by the names that the benchmark
states (`Sought`), never by its words. A refusal is an abstention with its reason. Where a tool claims nothing it
abstains too; the probabilities it gave are kept.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median_low
from typing import Literal

from pydantic import ValidationError

from ..core.blobs import Blobs
from ..core.errors import InputError, ToolBrokenError, ToolRefusedError
from ..core.report import Report
from ..core.settings import Settings
from ..core.whole import write_whole
from ..tools.card import Detection, Figure, Measurement, ToolCard, ToolOutput
from ..tools.gate.quality import GATE
from ..tools.imaging.store import ImageStore, TakenIn
from ..tools.registry import Toolbox
from .arm import Arm
from .outcomes import Place, Said, Silence
from .places import number_in
from .sample import Boxes, Letter, Mask, Points, Sample

PREFIX = "tool:"
SAID = "said.json"
DATA_SET = "data set"
"""The facet of a sample that names the set its picture is from, as tool cards write it; several names between bars."""
LATE = "no result after"
"""How the toolbox begins what it says of a tool that took too long."""


@dataclass(frozen=True, kw_only=True)
class ToolArm(Arm):
    """An expert tool. What it said is kept in the sample's folder, beside its blobs: no call is made twice."""

    name: str
    toolbox: Toolbox
    images_root: Path | None = None

    @property
    def card(self) -> ToolCard:
        return self.toolbox.get(self.name).card

    @property
    def identity(self) -> str:  # type: ignore[override]
        return f"{PREFIX}{self.name} {self.card.version}"

    async def answer(self, sample: Sample, folder: Path, *, root: Path) -> Said:
        kept = folder / SAID
        with suppress(OSError, ValidationError):  # a damaged file is as none: the tool says the same again
            return Said.model_validate_json(kept.read_bytes())
        began = time.perf_counter()
        said = await self._asked(sample, folder, root)
        said = said.model_copy(
            update={
                "tool_calls": 1, "seconds": time.perf_counter() - began, "trace": folder.relative_to(root).as_posix(),
                "answered_by": f"{self.name} {self.card.version}",
                "trained_on_these": trained_on(self.card, sample.facets.get(DATA_SET, "")),
            }
        )  # fmt: skip
        write_whole(kept, said.model_dump_json().encode())
        return said

    async def _asked(self, sample: Sample, folder: Path, root: Path) -> Said:
        blobs = Blobs(folder / "blobs")
        store = ImageStore(blobs)
        try:
            image = _taken_in(sample, store, self.images_root).image
        except InputError as error:
            return Said(silence="failed", why=str(error))
        blob = str(image.blob)
        try:
            output = await self.toolbox.run(self.name, {"image": blob}, {blob: image}, store)
        except ToolRefusedError as error:
            return Said(silence="abstained", why=str(error))
        except ToolBrokenError as error:
            return Said(silence="timed_out" if error.got.startswith(LATE) else "failed", why=str(error))
        said = read(sample, output)
        return (
            said.model_copy(update={"mask": blobs.path(said.mask).relative_to(root).as_posix()}) if said.mask else said
        )


def tool_arm(name: str, settings: Settings) -> ToolArm:
    """The arm of the tool called `name`. Raises InputError where there is none, or it looks at no image."""
    toolbox = Toolbox.installed(settings.models)
    try:
        card = toolbox.get(name).card
    except ToolRefusedError as error:
        raise InputError(expected=error.expected, got=error.got, fix=f"type --arm {PREFIX}NAME") from None
    if not card.looks:
        raise InputError(
            expected=f"a tool that looks at a picture after {PREFIX}", got=f"{name}, which does not",
            fix="name another: polyclinic tools list shows them",
        )  # fmt: skip
    return ToolArm(name=name, toolbox=toolbox, images_root=settings.root)


def check_pictures(name: str, samples: Sequence[Sample], benchmark: str) -> None:
    """Raise InputError where no sample has a picture for the tool."""
    if samples and not any(sample.case.images for sample in samples):
        raise InputError(
            expected=f"a benchmark of pictures for the arm {PREFIX}{name}", got=f"{benchmark}, one of texts alone",
            fix="leave the arm out, or name another benchmark",
        )  # fmt: skip


def _taken_in(sample: Sample, store: ImageStore, images_root: Path | None) -> TakenIn:
    if not sample.case.images:
        raise InputError(expected="a case with an image", got="none", fix="ask a tool about a benchmark of pictures")
    return store.take_in(sample.case.images[0], base=Path.cwd(), root=images_root, header_dates=False)


def read(sample: Sample, output: ToolOutput) -> Said:
    """What an output says of a sample; a mask by its blob."""
    found = output.measurements()
    said = Said(answer=" ".join(each.text for each in found)[:2000])
    if isinstance(sample.target, Letter):
        return _chosen(sample, found, said)
    counts = {label: each.value for label, name in sample.sought.counts.items() for each in found if each.name == name}
    if isinstance(sample.target, Mask):
        mask = next((each.mask for each in found if each.name == sample.sought.region and each.mask), None)
        return (
            _silent(said, "no region of that kind")
            if not mask
            else said.model_copy(update={"mask": mask, "counts": counts})
        )
    detections = getattr(output, "detections", None)
    if detections is None and not counts:
        return _silent(said, "neither boxes nor counts")
    boxes = None if detections is None else tuple(_placed(each, sample) for each in detections)
    return said.model_copy(update={"boxes": boxes, "counts": counts})


def cited_by_team(sample: Sample, report: Report, said: Said, *, blobs: Blobs, root: Path) -> Said:
    """What a team said with the region and the counts of the evidence that its claims cite, read as of a tool."""
    cited = {name for claim in report.claims for name in claim.evidence}
    items = [item for item in report.evidence if item.id in cited and item.name]
    counts = {
        label: item.value
        for label, name in sample.sought.counts.items()
        for item in items
        if item.name == name and item.value is not None
    }
    regions = (item.region for item in items if item.name == sample.sought.region)
    mask = next((region.mask for region in regions if region is not None and region.mask), None)
    where = blobs.path(mask).relative_to(root).as_posix() if mask else ""
    return said.model_copy(update={"counts": counts, "mask": where})


def taught_by_tools(sample: Sample, report: Report, said: Said, *, cards: Iterable[ToolCard]) -> Said:
    """What a team said with whether one of the tools that looked learnt from the very pictures, by their `cards`: it
    told a role something, whether or not a claim cites it or an answer came of it. The gate looks at every image and
    has learnt which kind of picture it is, not what it shows: it counts where a claim cites it."""
    cited = {name for claim in report.claims for name in claim.evidence}
    looked = {
        item.source.name
        for item in report.evidence
        if item.source.kind == "tool" and (item.id in cited or item.source.name != GATE.card.name)
    }
    learnt = {trained_on(card, sample.facets.get(DATA_SET, "")) for card in cards if card.name in looked}
    return said.model_copy(update={"trained_on_these": "yes"}) if "yes" in learnt else said


def _placed(found: Detection, sample: Sample) -> Place:
    return Place(label=sample.sought.labels.get(found.label, found.label), box=found.box_px, score=found.score)


def _silent(said: Said, what: str) -> Said:
    silence: Silence = "abstained"
    return said.model_copy(update={"silence": silence, "why": f"the tool gives {what}"})


def _chosen(sample: Sample, found: Sequence[Measurement], said: Said) -> Said:
    """The option that stands for the one finding said to be present; the one left over where all others are absent."""
    named = {letter: finding for letter, finding in sample.sought.findings.items() if finding}
    rest = [letter for letter in sample.case.options if letter not in named]
    about = {letter: [each for each in found if each.finding == finding] for letter, finding in named.items()}
    if not any(about.values()):
        return _silent(said, "nothing of these options")
    chances = {letter: each.value for letter, measured in about.items() for each in measured if each.probability}
    if len(chances) == len(named):
        left = max(0.0, 1.0 - sum(chances.values()))
        chances |= {letter: round(left / len(rest), 6) for letter in rest}
    said = said.model_copy(update={"chances": dict(sorted(chances.items()))})
    says = {letter: {each.says for each in measured} for letter, measured in about.items()}
    present = [letter for letter, said_of in says.items() if said_of == {"present"}]
    if not present and len(rest) == 1 and all(said_of == {"absent"} for said_of in says.values()):
        present = rest
    if len(present) != 1:
        return _silent(said, "no decision between the options")
    return said.model_copy(update={"option": present[0], "confidence": chances.get(present[0])})


def trained_on(card: ToolCard, data_set: str) -> Literal["", "yes", "no"]:
    """Whether the tool's weights were made from a set; "" where that is not known. Without weights it learnt nothing
    there, though its constants may have been chosen on these pictures: its card's limits say so."""
    if not data_set:
        return ""
    sets = card.weights.trained_on if card.weights else ()
    return "yes" if not set(sets).isdisjoint(_names(data_set)) else "no"


def figures_beside(card: ToolCard, data_set: str) -> tuple[Figure, ...]:
    """The figures of a card that were measured on a set: of trained weights the cross-validated ones, to stand beside
    what weights that saw the pictures score on them."""
    return tuple(each for each in card.figures if any(each.dataset.startswith(name) for name in _names(data_set)))


def _names(data_set: str) -> list[str]:
    return [name for name in data_set.split(" | ") if name]


@dataclass(frozen=True, kw_only=True)
class Constant(Arm):
    """The same for every picture: the option most often right with how often each is, the median count of each label
    of the set, an empty region. As `majority` it is told what is right in the whole set."""

    shares: Mapping[str, float]
    counts: Mapping[str, int]
    images_root: Path | None = None
    identity: str = "constant"

    async def answer(self, sample: Sample, folder: Path, *, root: Path) -> Said:
        if isinstance(sample.target, Letter):
            here = {letter: self.shares.get(letter, 0.0) for letter in sample.case.options}
            best = min(here, key=lambda letter: (-here[letter], letter))
            return Said(option=best, answer=sample.case.options[best], confidence=here[best], chances=here)
        if isinstance(sample.target, Boxes | Points):
            return Said(counts=dict(self.counts), answer=", ".join(f"{n} {label}" for label, n in self.counts.items()))
        if isinstance(sample.target, Mask):
            return self._empty(sample, folder, root)
        return Said(silence="abstained", why="nothing that could be the same for every sample")

    def _empty(self, sample: Sample, folder: Path, root: Path) -> Said:
        import numpy as np

        blobs = Blobs(folder / "blobs")
        store = ImageStore(blobs)
        try:
            width, height = _taken_in(sample, store, self.images_root).image.size_px or (0, 0)
        except InputError as error:
            return Said(silence="failed", why=str(error))
        mask = store.put_mask(np.zeros((height, width), dtype=np.bool_))
        return Said(mask=blobs.path(mask).relative_to(root).as_posix(), counts=dict(self.counts))


def constant(samples: Sequence[Sample], settings: Settings) -> Constant:
    """The best constant of a set."""
    letters = Counter(each.target.letter for each in samples if isinstance(each.target, Letter))
    total = max(1, letters.total())
    shares = {letter: number / total for letter, number in sorted(letters.items())}
    return Constant(shares=shares, counts=_medians(samples), images_root=settings.root)


def _medians(samples: Sequence[Sample]) -> dict[str, int]:
    """The median number of objects in a picture, by label where the benchmark has labels; else of all together."""
    labels = sorted({label for sample in samples for label in sample.sought.labels.values()})
    counted: dict[str, list[int]] = {}
    for target in (sample.target for sample in samples):
        if isinstance(target, Mask) and target.instances:
            counted.setdefault(target.label, []).append(number_in(target))
        elif isinstance(target, Boxes) and labels:
            for label in labels:
                counted.setdefault(label, []).append(sum(name == label for name, _ in target.boxes))
        elif isinstance(target, Boxes | Points):
            there = target.boxes if isinstance(target, Boxes) else target.points
            counted.setdefault("objects", []).append(len(there))
    return {label: median_low(numbers) for label, numbers in sorted(counted.items())}
