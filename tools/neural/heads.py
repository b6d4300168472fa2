"""Heads: classifiers that a person's own labels make on an encoder's vectors, each in a folder, each a tool.

A head's folder holds `head.json`, its card, and `head.npz`, its numbers; neither executes anything. On `radiomics` a
head needs no trained model. A picture unlike all that a head was made from is refused: its vector is further from every
class's mean than four standard deviations of the labelled pictures' own distances.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationError

from ...core.canonical import digest, sha256
from ...core.case import Modality
from ...core.errors import InputError, SetupError, ToolRefusedError
from ...core.frozen import Frozen
from ...core.whole import write_whole
from ...knowledge.encoders.load import load_encoder
from ...knowledge.encoders.protocol import Encoder, Vectors
from ...knowledge.encoders.radiomics import Radiomics
from ...knowledge.ontology import shipped_ontology
from ..card import Figure, ImageArguments, Measurement, Tool, ToolCard, ToolOutput, measured
from .bound import bound

if TYPE_CHECKING:
    from ..imaging.store import ImageStore
    from .linear import Examples, Linear

CARD = "head.json"
NUMBERS = "head.npz"

_SURE = 0.8
_FEWEST_TO_SAY = 50
_FEWEST_TO_KNOW = 10
_DEVIATIONS = 4.0
_UNCALIBRATED = "It has too few labels to calibrate: its probabilities only order the classes."
_ACCURACY, _AREA, _ERROR = "accuracy", "AUROC, mean over classes", "expected calibration error"


class Label(Frozen):
    """What a person said of one picture: its class; `group` is the patient's where that is known."""

    picture: str = Field(pattern=r"^[0-9a-f]{64}$")
    klass: str = Field(min_length=1)
    group: str = ""


class HeadCard(Frozen):
    """What a head says of itself. `data` is the hash of the pictures, classes and groups it was made from, `ungrouped`
    the number of pictures whose patient is not known; `figures` are cross-validated, choice of penalty and calibration
    included."""

    format: Literal[1] = 1
    name: str = Field(pattern=r"^[a-z0-9]+(_[a-z0-9]+)*$")
    classes: tuple[str, ...] = Field(min_length=2)
    modalities: tuple[Modality, ...] = ()
    encoder: str
    encoder_identity: str
    method: Literal["logistic", "prototypes"]
    strength: float
    temperature: float
    calibrated: bool
    labelled: dict[str, int]
    groups: int
    ungrouped: int | None = None
    data: str
    figures: tuple[Figure, ...] = ()
    unfamiliar_below: float | None = None
    numbers: str

    def figure(self, metric: str) -> Figure | None:
        return next((figure for figure in self.figures if figure.metric == metric), None)

    @property
    def doubt(self) -> str:
        """What is to be said of the figures where patients are not known, else ""."""
        if self.ungrouped == 0:
            return ""
        of = "some" if self.ungrouped is None else f"{self.ungrouped} of {sum(self.labelled.values())}"
        return (
            f"The patient of {of} labelled pictures is not known: pictures of one patient may lie on both sides of a "
            "fold, which makes its figures look better than they are."
        )

    @property
    def accuracy(self) -> Figure | None:
        """Cross-validated; None where a class has too few examples to be held out."""
        return self.figure(_ACCURACY)


@dataclass(frozen=True, kw_only=True)
class Head:
    """A card with its classifier and the means of its classes (classes, d)."""

    card: HeadCard
    linear: Linear
    means: Any

    def probabilities(self, vectors: Vectors) -> Any:
        """(n, d) to (n, classes)."""
        import numpy as np

        return self.linear.probabilities(np.asarray(vectors, dtype=np.float64))

    def familiarity(self, vectors: Vectors) -> Any:
        """How like the nearest class's mean each vector is, 1 at most."""
        return (vectors @ self.means.T).max(axis=1)

    def save(self, folder: Path) -> None:
        """Write the two files, the card last. Raises StorageError."""
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / NUMBERS, _packed(self.linear, self.means))
        write_whole(folder / CARD, (self.card.model_dump_json(indent=2) + "\n").encode())


def make_head(
    name: str,
    encoder: Encoder,
    vectors: Vectors,
    labels: Sequence[Label],
    *,
    classes: Sequence[str] = (),
    modalities: tuple[Modality, ...] = (),
    seed: int = 0,
    measure: Literal["all", "accuracy", "nothing"] = "all",
) -> Head:
    """The head that `labels` of the pictures behind `vectors` (n, d) make; their order is nothing.

    Cross-validating it takes five times as long as making it. Raises InputError for fewer than two classes.
    """
    import numpy as np

    from .linear import fit

    order = sorted(range(len(labels)), key=lambda number: (labels[number].picture, labels[number].klass))
    labels, rows = [labels[number] for number in order], np.asarray(vectors, dtype=np.float64)[order]
    counted = Counter(label.klass for label in labels)
    listed = tuple(klass for klass in (classes or sorted(counted)) if counted[klass])
    if len(listed) < 2:
        raise InputError(
            expected="labelled pictures of two classes or more",
            got=", ".join(listed) or "no label",
            fix="label a picture of another class",
        )
    examples = _examples(rows, labels, listed)
    linear = fit(examples, seed=seed)
    means = np.stack([rows[examples.classes == number].mean(axis=0) for number in range(len(listed))])
    means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    card = HeadCard(
        name=_slug(name), classes=listed, modalities=modalities, encoder=encoder.spec,
        encoder_identity=encoder.identity, method=linear.method, strength=linear.strength,
        temperature=linear.temperature, calibrated=linear.calibrated, labelled={key: counted[key] for key in listed},
        groups=len(set(examples.groups)), ungrouped=sum(not label.group for label in labels),
        data=digest([label.model_dump() for label in labels]), figures=_figures(examples, name, seed, measure),
        unfamiliar_below=_unfamiliar_below(examples, means), numbers=sha256(_packed(linear, means)),
    )  # fmt: skip
    return Head(card=card, linear=linear, means=means)


def _examples(rows: Any, labels: Sequence[Label], classes: tuple[str, ...]) -> Examples:
    import numpy as np

    from .linear import Examples

    numbers = np.array([classes.index(label.klass) for label in labels], dtype=np.int64)
    groups = tuple(label.group or label.picture for label in labels)
    return Examples(vectors=rows, classes=numbers, count=len(classes), groups=groups)


def _figures(examples: Examples, name: str, seed: int, measure: str) -> tuple[Figure, ...]:
    """Accuracy, AUROC and calibration error of held-out predictions, with intervals over groups."""
    import numpy as np

    from ..learned.training.intervals import figure_of
    from .linear import auroc, calibration_error, held_out

    found = held_out(examples, seed=seed) if measure != "nothing" else None
    if found is None:
        return ()
    right = found.argmax(axis=1) == examples.classes
    dataset = f"the labels of {name}, cross-validated"
    if len(set(examples.groups)) == len(right):
        share, around = round(float(right.mean()), 3), wilson(int(right.sum()), len(right))
        first = Figure(metric=_ACCURACY, value=share, dataset=dataset, n=len(right), interval=around)
    else:
        first = figure_of(_ACCURACY, dataset, lambda index: float(right[index].mean()), examples.groups)
    if measure == "accuracy":
        return (first,)
    others = {
        _AREA: lambda index: auroc(found[index], examples.classes[index]),
        _ERROR: lambda index: calibration_error(found[index], examples.classes[index]),
    }
    listed = (figure_of(metric, dataset, statistic, examples.groups) for metric, statistic in others.items())
    return (first, *(figure for figure in listed if not np.isnan(figure.value)))


def wilson(right: int, n: int) -> tuple[float, float]:
    """The 95 % score interval of a share (Wilson 1927)."""
    z2 = 1.96**2
    centre = (right / n + z2 / (2 * n)) / (1 + z2 / n)
    half = 1.96 * (right / n * (1 - right / n) / n + z2 / (4 * n * n)) ** 0.5 / (1 + z2 / n)
    return round(max(0.0, centre - half), 3), round(min(1.0, centre + half), 3)


def _unfamiliar_below(examples: Examples, means: Any) -> float | None:
    """Below this likeness to every class's mean a picture is none of the kind; None with too few to tell.

    Each example is compared with the mean of its class without it.
    """
    import numpy as np

    rows, number = examples.vectors, examples.classes
    if len(rows) < _FEWEST_TO_KNOW:
        return None
    likeness = rows @ means.T
    for klass in range(examples.count):
        mine = rows[number == klass]
        others = mine.sum(axis=0) - mine
        own = (mine * others).sum(axis=1) / np.maximum(np.linalg.norm(others, axis=1), 1e-12)
        likeness[number == klass, klass] = own
    best = likeness.max(axis=1)
    return float(best.mean() - _DEVIATIONS * best.std())


def read_head(folder: Path) -> Head:
    """The head in a folder. Raises SetupError where it is none, damaged, or its files do not belong together."""
    files = [folder / CARD, folder / NUMBERS]
    try:
        return _read(folder, tuple((file.stat().st_size, file.stat().st_mtime_ns) for file in files))
    except (OSError, ValueError, KeyError) as error:
        what = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error).partition("\n")[0]
        raise SetupError(
            expected=f"a head's folder with {CARD} and {NUMBERS} as `polyclinic label` writes them",
            got=f"{what} in {str(folder)!r}",
            fix="make the head again: polyclinic label IMAGES --out FOLDER --classes A,B",
        ) from error


@lru_cache(maxsize=16)
def _read(folder: Path, state: tuple[tuple[int, int], ...]) -> Head:
    """`state`, sizes and times of the files, is in the cache's key alone."""
    import numpy as np

    from .linear import Linear

    card = HeadCard.model_validate_json((folder / CARD).read_bytes())
    data = (folder / NUMBERS).read_bytes()
    if sha256(data) != card.numbers:
        raise ValueError(f"{NUMBERS} is not the file that {CARD} was written with")
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        weights, bias, means = arrays["weights"], arrays["bias"], arrays["means"]
    linear = Linear(
        weights=weights, bias=bias, method=card.method, strength=card.strength, temperature=card.temperature,
        calibrated=card.calibrated,
    )  # fmt: skip
    return Head(card=card, linear=linear, means=means)


def _packed(linear: Linear, means: Any) -> bytes:
    """The numbers as an .npz; equal numbers give equal bytes."""
    import numpy as np

    stream = io.BytesIO()
    np.savez(stream, weights=linear.weights, bias=linear.bias, means=means)
    return stream.getvalue()


class HeadRequest(ImageArguments):
    """A picture and the folder of the head that looks at it."""

    head: str
    encoder: str


class HeadOutput(ToolOutput):
    """The probability of each class, the likeliest class, and which head said so: the hash of its numbers."""

    probabilities: tuple[Measurement, ...]
    likeliest: str
    head: str


def head_tool(folder: Path, *, encoder: str | None = None) -> Tool:
    """The tool that a head's folder makes; `encoder` names the encoder's folder where it has moved.

    Raises SetupError where the folder holds no head.
    """
    card = read_head(folder).card
    spec = encoder or card.encoder
    fixed = {"head": str(folder.expanduser().resolve()), "encoder": spec}
    radiomics = spec == Radiomics.spec

    def check() -> None:
        _encoder(spec, read_head(folder).card)

    limits = (
        "It knows its own classes alone: a picture of something else is given to one of them, unless it looks unlike "
        "all that was labelled.",
        "Probabilities hold where classes are as frequent as among the labels, which were chosen and not drawn.",
        "Pictures that were asked for because they were doubtful make its figures look worse than it is.",
        *((card.doubt,) if card.doubt and card.figures else ()),
        *(() if card.calibrated else (_UNCALIBRATED,)),
    )
    return Tool(
        card=ToolCard(
            name=card.name,
            version=f"1.0.0+{card.numbers[:12]}",
            summary=f"Tells {', '.join(card.classes)} apart, as labelled by the person who made this head.",
            measures=tuple(f"probability of {klass}" for klass in card.classes),
            modalities=card.modalities,
            shelf="neural",
            recommended=False,
            licence="as its labels and its encoder",
            provenance=(
                f"a {card.method} head on {'radiomics' if radiomics else 'the encoder ' + card.encoder_identity[:40]}, "
                f"made from {sum(card.labelled.values())} labelled pictures (data {card.data[:12]})"
            ),
            extra="imaging" if radiomics else "experts",
            figures=card.figures,
            limits=limits,
            timeout_s=30.0 if radiomics else 300.0,
            memory_mb=1500 if radiomics else 8000,
        ),
        arguments=bound(ImageArguments, HeadRequest, **fixed),
        output=HeadOutput,
        run=_run,
        check=check,
    )


def _run(arguments: HeadRequest, images: ImageStore) -> HeadOutput:
    from ..pictures import as_picture

    head = read_head(Path(arguments.head))
    card = head.card
    vectors = _encoder(arguments.encoder, card).encode_pictures([as_picture(images.open(arguments.image))])
    likeness = float(head.familiarity(vectors)[0])
    if card.unfamiliar_below is not None and likeness < card.unfamiliar_below:
        raise ToolRefusedError(
            expected=f"a picture like those the head {card.name} was made from",
            got=f"one whose likeness to them is {likeness:.2f}, below {card.unfamiliar_below:.2f}",
            fix="name another image of the case, or ask without this tool",
        )
    shares = [float(share) for share in head.probabilities(vectors)[0]]
    notes = () if card.calibrated else (_UNCALIBRATED,)
    return HeadOutput(
        probabilities=tuple(_stated(card, klass, share) for klass, share in zip(card.classes, shares, strict=True)),
        likeliest=max(zip(shares, card.classes, strict=True), key=lambda pair: pair[0])[1],
        head=card.numbers,
        limitations=notes,
    )


def _stated(card: HeadCard, klass: str, share: float) -> Measurement:
    finding, error = _finding(klass), card.figure(_ERROR)
    says: Literal["present", "absent", "undecided", ""] = "undecided" if finding else ""
    enough = card.calibrated and sum(card.labelled.values()) >= _FEWEST_TO_SAY
    if finding and enough and not 1 - _SURE < share < _SURE:
        says = "present" if share >= _SURE else "absent"
    return measured(
        f"probability_of_{_slug(klass)}", share, "1",
        f"The head {card.name} gives {klass} a probability of {{}}.".replace("{}", "\0")
        .replace("{", "{{").replace("}", "}}").replace("\0", "{}"),
        digits=2, uncertainty=round(error.value, 2) if error else None, finding=finding, says=says,
    )  # fmt: skip


@lru_cache(maxsize=1)
def _named() -> dict[str, str]:
    """The id of a finding by its id and each of its names."""
    return {_slug(name): finding.id for finding in shipped_ontology() for name in (finding.id, *finding.names)}


def _finding(klass: str) -> str:
    """The ontology's id of what a class is called, if it is called as a finding is."""
    return _named().get(_slug(klass), "")


@lru_cache(maxsize=4)
def _loaded(spec: str) -> Encoder:
    return load_encoder(spec)


def _encoder(spec: str, card: HeadCard) -> Encoder:
    """The encoder the head was made on. Raises SetupError for another."""
    found = _loaded(spec)
    if found.identity != card.encoder_identity:
        raise SetupError(
            expected=f"the encoder {card.encoder_identity[:60]} that the head {card.name} was made on",
            got=f"{found.identity[:60]} in {spec!r}",
            fix="name that encoder's folder, or make the head again",
        )
    return found


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "head"
