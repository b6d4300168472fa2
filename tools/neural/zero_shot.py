"""Findings on a picture by their names and their attributes, without training: a model of text and images compares.

Method: for each finding of the ontology its name and each of its attributes are put into a sentence; the model (CLIP,
Radford et al., ICML 2021; SigLIP, Zhai et al., ICCV 2023; MedSigLIP is of its type) says how near each sentence is to
the picture. Every sentence is weighed against sentences of a normal picture of the same kind, two by two (as CheXzero
does: Tiu et al., Nat Biomed Eng 2022;6:1399-1406), on the model's own scale. A finding's score is the mean over its
name and its attributes before the sigmoid (Menon & Vondrick, ICLR 2023), so the attributes are the whole explanation.
Scores order findings; they are no probabilities, unless thresholds were measured for these weights.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, ValidationError

from ...core.case import Modality
from ...core.errors import InputError, MissingExtraError, SetupError, ToolBrokenError, ToolRefusedError
from ...core.frozen import Frozen
from ...knowledge.ontology import Finding, ontology_version, shipped_ontology
from ..card import ImageArguments, Measurement, Tool, ToolCard, ToolOutput, measured
from ..pictures import as_picture
from .bound import bound

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ...knowledge.encoders.neural import ClipEncoder
    from ..imaging.store import ImageStore

NAME = "zero_shot_findings"
THRESHOLDS = "thresholds.json"
HOW = "name its folder: POLYCLINIC_MODELS=FOLDER with it in FOLDER, or --models FOLDER"

_WORDS: dict[Modality, str] = {
    "blood_smear": "blood smear", "ct": "CT image", "dermoscopy": "dermoscopy picture", "ecg": "electrocardiogram",
    "endoscopy": "endoscopy picture", "fundus": "fundus photograph", "histology": "histology picture",
    "mammography": "mammogram", "microscopy": "micrograph", "mr": "MR image", "nuclear": "nuclear medicine image",
    "oct": "optical coherence tomography image", "photograph": "photograph", "ultrasound": "ultrasound image",
    "xray": "X-ray image",
}  # fmt: skip
_SEEN_BY_KIND = {"echo": ("ultrasound",), "signal": ("mr",), "uptake": ("nuclear",), "waveform": ("ecg",)}
_NORMAL = ("a normal {kind}{of}", "{a_kind}{of} without abnormality", "{a_kind}{of} of a healthy person")


class ZeroShotArguments(ImageArguments):
    """A picture, what kind it is, and which findings to look for: without any, those of its kind and body part."""

    modality: Modality
    body_part: Annotated[str | None, Field(max_length=60, description="what it shows, such as chest")] = None
    findings: Annotated[tuple[str, ...], Field(max_length=40, description="ids of the ontology")] = ()
    most: Annotated[int, Field(ge=1, le=20, description="how many findings to tell of, likeliest first")] = 3


class ZeroShotRequest(ZeroShotArguments):
    """The same with the folder of the model."""

    model: str


class AttributeScore(Frozen):
    """How much nearer the picture is to an attribute of a finding than to a normal picture: above 0.5 speaks for it."""

    kind: str
    attribute: str
    score: float


class FindingScore(Frozen):
    """The score of a finding, of its name alone and of each of its attributes."""

    finding: str
    score: float
    name_score: float
    attributes: tuple[AttributeScore, ...]


class ZeroShot(ToolOutput):
    """The likeliest findings with the attributes that speak for and against each, the scores of all that were compared,
    and which model it was."""

    findings: tuple[Measurement, ...]
    attributes: tuple[Measurement, ...]
    scores: tuple[FindingScore, ...]
    model: str


class Threshold(Frozen):
    """Scores of one finding below which it is taken to be absent and above which to be there."""

    absent_below: float = Field(ge=0, le=1)
    present_above: float = Field(ge=0, le=1)


class Thresholds(Frozen):
    """Thresholds that somebody measured: for which weights and which ontology, and on what."""

    encoder: str
    ontology: str
    measured_on: str = Field(min_length=1)
    findings: dict[str, Threshold]


class Comparer:
    """A model of text and images in a folder, as sentences are compared with pictures on its own scale."""

    def __init__(self, folder: str) -> None:
        from ...knowledge.encoders.load import load_encoder
        from ...knowledge.encoders.neural import ClipEncoder

        found = load_encoder(folder)
        if not isinstance(found, ClipEncoder):
            raise InputError(
                expected="a model of text and images, CLIP or SigLIP",
                got=f"one of {' and '.join(sorted(found.reads))}", fix="name the folder of such a model",
            )  # fmt: skip
        self.encoder: ClipEncoder = found
        self.scale = _scale(Path(folder))
        self._known: dict[str, NDArray[np.float32]] = {}

    def texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit rows, one for each text; each text is encoded once."""
        import numpy as np

        missing = sorted({text for text in texts if text not in self._known})
        self._known.update(zip(missing, self.encoder.encode_texts(missing), strict=True))
        return np.stack([self._known[text] for text in texts])

    def scores(
        self, picture: NDArray[np.uint8], findings: Sequence[Finding], modality: Modality, part: str
    ) -> tuple[FindingScore, ...]:
        """The score of each finding on uint8 RGB (H, W, 3), in the order of `findings`."""
        import numpy as np

        seen = self.encoder.encode_pictures([picture])[0].astype(np.float64)
        kind, of = _WORDS[modality], f" of the {part}" if part else ""
        a_kind = _article(kind)
        plain = self.texts([text.format(kind=kind, a_kind=a_kind, of=of) for text in _NORMAL]).astype(np.float64)
        baseline = float((plain @ seen).mean())

        def margins(texts: Sequence[str]) -> list[float]:
            cosines = self.texts(texts).astype(np.float64) @ seen
            return [self.scale * float(value - baseline) for value in cosines]

        found = []
        for finding in findings:
            described = _attributes(finding, modality)
            names = [f"{a_kind}{of} with {finding.name}", f"{a_kind}{of} showing {finding.name}"]
            looks = [f"{a_kind}{of} with {phrase}" for _, phrase in described]
            name, *others = [float(np.mean(margins(names))), *margins(looks)] if looks else margins(names)[:1]
            found.append(
                FindingScore(
                    finding=finding.id,
                    score=_sigmoid(float(np.mean([name, *others]))),
                    name_score=_sigmoid(name),
                    attributes=tuple(
                        AttributeScore(kind=kind_of, attribute=phrase, score=_sigmoid(margin))
                        for (kind_of, phrase), margin in zip(described, others, strict=True)
                    ),
                )
            )
        return tuple(found)


def _attributes(finding: Finding, modality: Modality) -> list[tuple[str, str]]:
    """What the eye sees of a finding on pictures of this kind: no echo on an X-ray."""
    return [
        (kind, phrase)
        for kind, phrases in finding.attributes.items()
        if modality in _SEEN_BY_KIND.get(kind, (modality,))
        for phrase in phrases
    ]


def _article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiouMX' else 'a'} {words}"


def _sigmoid(value: float) -> float:
    return 1.0 / (1.0 + math.exp(-max(-60.0, min(60.0, value))))


def _scale(folder: Path) -> float:
    """What the model multiplies cosines by: the exponential of its `logit_scale`. Raises InputError without one."""
    from safetensors import safe_open

    from ...knowledge.encoders.folder import ModelFolder

    for name in ModelFolder(folder).weights:
        if name.endswith(".safetensors"):
            with safe_open(folder / name, framework="numpy") as weights:
                if "logit_scale" in weights.keys():  # noqa: SIM118 - it is no dictionary
                    return min(math.exp(float(weights.get_tensor("logit_scale").reshape(-1)[0])), 200.0)
    raise InputError(
        expected="weights as safetensors with the model's scale, logit_scale", got=f"none in {str(folder)!r}",
        fix="save the model again with transformers: model.save_pretrained(FOLDER)",
    )  # fmt: skip


def candidates(modality: Modality, part: str | None, named: Sequence[str]) -> tuple[Finding, ...]:
    """The findings to compare, sorted by id. Raises ToolRefusedError for unknown ids and where there is none."""
    by_id = {finding.id: finding for finding in shipped_ontology()}
    unknown = next((name for name in named if name not in by_id), None)
    if unknown is not None:
        raise ToolRefusedError(
            expected="ids of the ontology's findings, such as pneumothorax", got=repr(unknown[:60]),
            fix="correct it, or name none to compare all of this kind of picture",
        )  # fmt: skip
    found = tuple(
        finding
        for finding in by_id.values()
        if (finding.id in named if named else modality in finding.modalities and _fits(part, finding))
    )
    if not found:
        raise ToolRefusedError(
            expected="a kind of picture and a body part that findings of the ontology are seen on",
            got=f"{modality} of {part or 'no stated part'}", fix="name findings, or leave the body part out",
        )  # fmt: skip
    return found


def _fits(part: str | None, finding: Finding) -> bool:
    return part is None or part.strip().lower() in finding.body_parts


@lru_cache(maxsize=2)
def _loaded(folder: str, identity: str) -> Comparer:
    """`identity` is in the cache's key alone: other weights in the same folder are read anew."""
    return Comparer(folder)


def _run(arguments: ZeroShotRequest, images: ImageStore) -> ZeroShot:
    from ...knowledge.encoders.folder import ModelFolder

    if not arguments.model:
        raise ToolBrokenError(expected="the folder of a CLIP or SigLIP model", got="none", fix=HOW)
    findings = candidates(arguments.modality, arguments.body_part, arguments.findings)
    picture = as_picture(images.open(arguments.image))
    if int(picture.max()) == int(picture.min()):
        raise ToolRefusedError(
            expected="a picture with something in it", got="a picture of one colour",
            fix="name another image of the case",
        )  # fmt: skip
    comparer = _loaded(arguments.model, ModelFolder(Path(arguments.model)).hash())
    thresholds = read_thresholds(Path(arguments.model), comparer.encoder.identity)
    scores = comparer.scores(picture, findings, arguments.modality, (arguments.body_part or "").strip().lower())
    ranked = sorted(scores, key=lambda one: (-one.score, one.finding))
    names = {finding.id: finding.name for finding in findings}
    told = [_told(one, names[one.finding], thresholds) for one in ranked[: arguments.most]]
    notes = ["Scores compare sentences with the picture: they order findings and are no probabilities of disease."]
    if ranked[0].score < 0.5:
        notes.append("The picture is nearer to the sentences of a normal one than to any finding that was compared.")
    return ZeroShot(
        findings=tuple(finding for finding, _ in told),
        attributes=tuple(attribute for _, attributes in told for attribute in attributes),
        scores=tuple(ranked),
        model=comparer.encoder.identity,
        limitations=tuple(notes),
    )


def _told(score: FindingScore, name: str, thresholds: Thresholds | None) -> tuple[Measurement, list[Measurement]]:
    """A finding's measurement and those of its attributes, which it follows from."""
    stem = score.finding.replace("-", "_")
    says: Literal["present", "absent", "undecided"] = "undecided"
    limit = thresholds.findings.get(score.finding) if thresholds else None
    if limit is not None and score.score < limit.absent_below:
        says = "absent"
    elif limit is not None and score.score > limit.present_above:
        says = "present"
    attributes = [
        measured(
            f"likeness_{stem}_{number}", one.score, "1",
            f"{one.kind.capitalize()} of {name}, “{one.attribute}”, "
            f"speaks {'for' if one.score > 0.5 else 'against'} it: {{}} against a normal picture.",
            digits=2,
        )
        for number, one in enumerate(score.attributes, 1)
    ]  # fmt: skip
    near = "nearer" if score.score > 0.5 else "no nearer"
    finding = measured(
        f"likeness_{stem}", score.score, "1",
        f"By name and attributes the picture is {near} to {name} than to a normal one: {{}}, where level is one half.",
        digits=2, of=tuple(one.name for one in attributes), finding=score.finding, says=says,
    )  # fmt: skip
    return finding, attributes


def read_thresholds(folder: Path, encoder: str) -> Thresholds | None:
    """The measured thresholds beside a model's weights, if there are any. Raises SetupError for those of others."""
    file = folder / THRESHOLDS
    if not file.is_file():
        return None
    try:
        found = Thresholds.model_validate_json(file.read_bytes())
    except (OSError, ValidationError) as error:
        got = str(error).replace("\n", " ")[:200]
        raise SetupError(expected=f"thresholds in {str(file)!r}", got=got, fix="correct the file") from error
    if (found.encoder, found.ontology) != (encoder, ontology_version()):
        raise SetupError(
            expected="thresholds measured with these weights and this ontology", got=f"others in {str(file)!r}",
            fix="measure them again, or remove the file",
        )  # fmt: skip
    return found


def _tool(name: str, model: str) -> Tool:
    def check() -> None:
        from ...knowledge.encoders.neural import check_installed

        check_installed()
        if not model:
            raise MissingExtraError(expected="the weights of a CLIP or SigLIP model", got="none ship", fix=HOW)
        read_thresholds(Path(model), Comparer(model).encoder.identity)

    return Tool(
        card=ToolCard(
            name=name,
            version=f"1.0.0+{_identity(model)}" if model else "1.0.0",
            summary="Compares a picture with findings by their names and attributes, without any training.",
            measures=("likeness to a finding against a normal picture", "likeness to each attribute of a finding"),
            modalities=(),
            shelf="neural",
            recommended=False,
            licence="Apache-2.0; the weights as their folder says",
            provenance="CLIP or SigLIP weights in a folder that a person names; none ship",
            extra="experts",
            limits=(
                "Scores are no probabilities and are not comparable between models; only their order means something.",
                "A general CLIP knows little of medicine: name weights trained on medical pictures.",
                "What is small in the picture is lost: models see it at 224 to 448 pixels.",
                "No figure was measured here: it depends on the weights.",
            ),
            timeout_s=300.0,
            memory_mb=8000,
        ),
        arguments=bound(ZeroShotArguments, ZeroShotRequest, model=model),
        output=ZeroShot,
        run=_run,
        check=check,
    )


def _identity(model: str) -> str:
    from ...knowledge.encoders.folder import ModelFolder

    return ModelFolder(Path(model)).hash()[:12]


def zero_shot_tool(model: Path | str, *, name: str = NAME) -> Tool:
    """The tool with the weights in a folder, or on the hub as `hub:OWNER/NAME`, which downloads here and only here.

    Raises InputError where the folder holds no model of text and images, MissingExtraError without torch.
    """
    from ...knowledge.encoders.neural import check_installed, fetched

    check_installed()
    given = str(model)
    folder = fetched(given.removeprefix("hub:")) if given.startswith("hub:") else Path(given).expanduser().resolve()
    Comparer(str(folder))
    return _tool(name, str(folder))


TOOL = _tool(NAME, "")
"""The tool before anyone has named weights: it says where they go."""
