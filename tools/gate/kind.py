"""What a picture looks like: its modality, body part and, for a chest X-ray, how it lies. It judges no quality.

Method: the hand-made description of knowledge/encoders/radiomics.py, its first principal components, multinomial
logistic regression over the kinds, and a Gaussian per kind: a picture farther from its kind than nearly all of the
kind's own pictures is like nothing known (Mahalanobis distance and the part outside the components, after Tipping &
Bishop, J R Stat Soc B 1999;61:611-622). The numbers in kind_of_picture.npz are made by recipe.py.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ...core.canonical import sha256
from ...core.case import Modality
from ...core.errors import SetupError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WEIGHTS = Path(__file__).with_name("kind_of_picture.npz")
SHA256 = "90a75c379838d04006c79f95e088922849fd9f6b9e338299fa760ba3cd2500fc"
SURE = 0.9
"""A kind is named from this probability on."""

_SIDE_PX = 512  # long sides beyond this are averaged down before they are described
_ROUND = 0.96  # overlap with the inscribed circle
_ROUND_LIMIT = 2.5  # how far from its kind a fundus photograph may lie when its field is a full circle
_COLOURLESS, _COLOURFUL = 4.0, 25.0  # mean difference of a pixel's strongest and weakest channel

Against: TypeAlias = Literal["agrees", "disagrees", "not stated", "cannot tell"]
Pose: TypeAlias = Literal["upright", "turned left", "upside down", "turned right", "negative"]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of picture. `parts` are the words for what it shows, `body_part` the one we use where there is one;
    `colour` is whether it has any, None where both occur."""

    modality: Modality
    words: str
    body_part: str = ""
    parts: tuple[str, ...] = ()
    colour: bool | None = None


_HEAD = ("head", "brain", "skull")
_CHEST = ("chest", "thorax", "lung", "lungs", "heart", "ribs")
_TRUNK = ("trunk", "abdomen", "pelvis", "liver", "kidney", "stomach", "colon", *_CHEST)

KINDS: dict[str, Kind] = {
    "chest_xray": Kind(modality="xray", words="a chest X-ray", body_part="chest", parts=_CHEST, colour=False),
    "head_ct": Kind(modality="ct", words="a CT of the head", body_part="head", parts=_HEAD, colour=False),
    "trunk_ct": Kind(modality="ct", words="a CT of the trunk", parts=_TRUNK, colour=False),
    "head_mr": Kind(modality="mr", words="an MR of the head", body_part="head", parts=_HEAD, colour=False),
    "breast_ultrasound": Kind(
        modality="ultrasound", words="a breast ultrasound", body_part="breast", parts=("breast",), colour=False
    ),
    "fundus": Kind(modality="fundus", words="a fundus photograph", body_part="eye", parts=("eye", "retina")),
    "blood_smear": Kind(modality="blood_smear", words="a stained blood smear", colour=True),
    "fluorescence": Kind(modality="microscopy", words="a fluorescence micrograph"),
    "histology": Kind(modality="histology", words="a stained tissue section", colour=True),
}

POSES: tuple[Pose, ...] = ("upright", "turned left", "upside down", "turned right", "negative")
"""How a chest X-ray may lie: turned by a quarter to the left (counter-clockwise), by a half, and so on."""

_NEAR: dict[str, frozenset[str]] = {"microscopy": frozenset({"blood_smear", "histology", "microscopy"})}
"""Stated modalities that allow for others as seen."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a picture looks like. `kind` is "" where it is like nothing known or too unsure.

    `distance` is relative to the kind's limit: beyond 1 the picture is not of that kind. `likest` is the likeliest
    kind whether or not it is named, `poses` the probabilities of POSES given a chest X-ray.
    """

    kind: str
    likest: str
    probability: float
    distance: float
    poses: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Model:
    """The trained numbers, for K classes "kind/pose" of F features with D components.

    mean (F), axes (D, F), weights (K, D + 1) of the components over `scale`, centres (K, D), inverses (K, D, D) of the
    covariances, spread (K) outside the components, limits (K) of the distance.
    """

    classes: tuple[str, ...]
    mean: NDArray[np.float64]
    axes: NDArray[np.float64]
    scale: float
    weights: NDArray[np.float64]
    centres: NDArray[np.float64]
    inverses: NDArray[np.float64]
    spread: NDArray[np.float64]
    limits: NDArray[np.float64]

    def components(self, rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Components (N, D) of features (N, F), and the squared length (N) of what lies outside them."""
        import numpy as np

        centred = rows - self.mean
        inside = centred @ self.axes.T
        return inside, np.maximum((centred**2).sum(axis=1) - (inside**2).sum(axis=1), 0.0)

    def distances(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Squared distances (N, K) from each class, each component and the outside as a whole counting alike."""
        import numpy as np

        inside, outside = self.components(rows)
        apart = inside[:, None, :] - self.centres
        within = np.einsum("nkd,kde,nke->nk", apart, self.inverses, apart, optimize=True)
        return np.asarray(within + OUTSIDE * outside[:, None] / self.spread)

    def probabilities(self, rows: NDArray[np.float64], allowed: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Probabilities (N, K) of the classes, those that are not `allowed` (N, K) left out."""
        import numpy as np

        inside, _ = self.components(rows)
        scores = inside / self.scale @ self.weights[:, :-1].T + self.weights[:, -1]
        scores = np.where(allowed, scores, -np.inf)
        raised = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(raised / raised.sum(axis=1, keepdims=True))


OUTSIDE = 20.0
"""How much the part outside the components counts, in components."""


def described(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The features (F) of an 8-bit picture (H, W) or (H, W, 3)."""
    import numpy as np

    from ...knowledge.encoders.inputs import BOX, resized
    from ...knowledge.encoders.radiomics import Radiomics

    scale = _SIDE_PX / max(picture.shape[:2])
    if scale < 1.0:
        height, width = (max(1, round(side * scale)) for side in picture.shape[:2])
        picture = resized(picture, height, width, resample=BOX)
    return np.asarray(Radiomics().encode_pictures([picture])[0], dtype=np.float64)


def colourfulness(picture: NDArray[np.uint8]) -> float:
    """The mean difference, 0 to 255, between a pixel's strongest and weakest channel."""
    import numpy as np

    if picture.ndim == 2:
        return 0.0
    thinned = picture[:: max(1, picture.shape[0] // 256), :: max(1, picture.shape[1] // 256)]
    return float(np.ptp(thinned.astype(np.int16), axis=2).mean())


def allowed_by_colour(colour: float, classes: tuple[str, ...]) -> list[bool]:
    """The rule that goes before the classifier: stains have colour, X-rays, CT and MR have none."""
    if _COLOURLESS <= colour <= _COLOURFUL:
        return [True] * len(classes)
    wrong = colour < _COLOURLESS  # a kind that has colour cannot look like a picture without, nor the other way round
    return [KINDS[name.partition("/")[0]].colour is not wrong for name in classes]


def look(picture: NDArray[np.uint8], model: Model | None = None) -> Look:
    """What the 8-bit picture (H, W) or (H, W, 3) looks like. Raises SetupError where the numbers are missing."""
    import numpy as np

    model = model or shipped()
    colour = colourfulness(picture)
    found = looked(model, described(picture), np.array(allowed_by_colour(colour, model.classes)))
    if not round_field(picture):
        return found
    if found.likest == "fundus" and found.probability >= SURE and found.distance <= _ROUND_LIMIT:
        return replace(found, kind="fundus")
    return replace(found, kind="") if found.kind in {"head_ct", "head_mr", "trunk_ct"} else found


def round_field(picture: NDArray[np.uint8]) -> bool:
    """The rule for fundus cameras: what is not black is one full circle, as no scan of a head or a trunk is."""
    import numpy as np

    brightest = picture if picture.ndim == 2 else picture.max(axis=2)
    step = max(1, max(brightest.shape) // 256)
    shown = brightest[::step, ::step] > 30
    rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
    if len(rows) < 32 or len(columns) < 32:
        return False
    part = shown[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    height, width = part.shape
    down, across = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    circle = down**2 + across**2 <= 1.0
    overlap = float((circle & part).sum()) / float((circle | part).sum())
    return 0.93 <= height / width <= 1.07 and overlap >= _ROUND


def looked(model: Model, features: NDArray[np.float64], allowed: NDArray[np.bool_]) -> Look:
    """The same from the features (F) and which of the K classes are allowed (K)."""
    import numpy as np

    found = model.probabilities(features[None], allowed[None])[0]
    far = model.distances(features[None])[0] / model.limits
    kinds = [name.partition("/")[0] for name in model.classes]
    shares: dict[str, float] = {}
    for name, share in zip(kinds, found, strict=True):
        shares[name] = shares.get(name, 0.0) + float(share)
    likest = max(shares, key=lambda name: shares[name])
    nearest = min(float(far[number]) for number, name in enumerate(kinds) if name == likest)
    poses: tuple[float, ...] = ()
    if likest == "chest_xray":
        by_pose = [found[model.classes.index(f"chest_xray/{pose}")] for pose in POSES]
        poses = tuple(float(share) for share in np.array(by_pose) / max(sum(by_pose), 1e-12))
    named = likest if shares[likest] >= SURE and nearest <= 1.0 else ""
    return Look(kind=named, likest=likest, probability=shares[likest], distance=nearest, poses=poses)


def against_stated(kind: str, modality: Modality | None, body_part: str | None) -> Against:
    """How the kind as seen ("" for none) stands to what was stated. Words for body parts no kind shows say nothing."""
    if modality is None and not body_part:
        return "not stated"
    if not kind:
        return "cannot tell"
    seen = KINDS[kind]
    if modality is not None and seen.modality not in _NEAR.get(modality, {modality}):
        return "disagrees"
    part = (body_part or "").lower()
    if not part or not seen.parts or part in seen.parts:
        return "agrees" if modality is not None or part in seen.parts else "cannot tell"
    return "disagrees" if any(part in other.parts for other in KINDS.values()) else "cannot tell"


@cache
def shipped() -> Model:
    """The model that comes with the package. Raises SetupError where its file is missing or another."""
    try:
        data = WEIGHTS.read_bytes()
        found = sha256(data)
    except OSError as error:
        data, found = b"", error.strerror or type(error).__name__
    if found != SHA256:
        raise SetupError(
            expected=f"the file {WEIGHTS.name} of the package, sha256 {SHA256[:12]}…",
            got=found,
            fix="install it again: pip install --force-reinstall polyclinic",
        )
    return read_model(data)


def read_model(data: bytes) -> Model:
    """The model that the bytes of an .npz file hold."""
    import numpy as np

    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        arrays: dict[str, Any] = {name: np.asarray(file[name]) for name in file.files}
    classes = tuple(str(name) for name in arrays.pop("classes"))
    scale = float(arrays.pop("scale"))
    return Model(classes=classes, scale=scale, **{name: array.astype(np.float64) for name, array in arrays.items()})
