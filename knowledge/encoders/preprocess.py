"""A picture as the numbers a vision model was trained on, as its preprocessor_config.json says; no torch, no model.

transformers' own processors need torchvision, or differ in the last digits with it; this one is Pillow and numpy alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.errors import InputError
from ..store import Picture
from .folder import ModelFolder
from .inputs import BICUBIC, BILINEAR, checked, resized

# What a file leaves out is what the class that wrote it takes as given: transformers/models/*/image_processing_*.py.
CROPPED = frozenset({"clip", "dinov2", "dinov2_with_registers"})
LARGEST = 4_000_000  # pixels that a picture may have before its middle is cut out
OPENAI = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
HALVES = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """Resize to `height` × `width` (or the short side to `shortest`), cut the middle `crop` out, scale, normalise."""

    height: int
    width: int
    shortest: int | None
    crop: tuple[int, int] | None
    resample: int
    factor: float
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]

    def __call__(self, picture: Picture) -> npt.NDArray[np.float32]:
        """float32 [3, height, width]. Raises InputError for what is no picture.

        A strip of 1 × 5000 pixels would be blown up beyond all measure before it is cut: of such, only what the crop
        keeps is resized. Of others that gives almost the same; Pillow rounds in between, by the order of its passes.
        """
        checked(picture)
        high, wide = self._scaled(*picture.shape[:2])
        out_high, out_wide = self.crop or (high, wide)
        top, left = (high - out_high) // 2, (wide - out_wide) // 2
        if high * wide <= LARGEST:
            whole = resized(picture, high, wide, resample=self.resample)
            pixels = whole[top : top + out_high, left : left + out_wide]
        else:
            down, across = picture.shape[0] / high, picture.shape[1] / wide
            right = min((left + out_wide) * across, picture.shape[1])
            bottom = min((top + out_high) * down, picture.shape[0])
            box = (left * across, top * down, right, bottom)
            pixels = resized(picture, out_high, out_wide, resample=self.resample, box=box)
        values = (pixels.astype(np.float64) * self.factor - self.mean) / self.deviation
        return values.transpose(2, 0, 1).astype(np.float32)

    def _scaled(self, high: int, wide: int) -> tuple[int, int]:
        if self.shortest is None:
            return self.height, self.width
        short, long = min(high, wide), max(high, wide)
        longer = self.shortest * long // short
        return (self.shortest, longer) if high <= wide else (longer, self.shortest)


def preprocessing(folder: ModelFolder) -> Preprocessing:
    """What the folder's preprocessor_config.json (or processor_config.json) says. Raises InputError without either."""
    said: dict[str, Any] | None = folder.optional("preprocessor_config.json", None)
    if said is None:
        said = folder.optional("processor_config.json", {}).get("image_processor")
    if said is None:
        raise InputError(
            expected="preprocessor_config.json beside a vision model's config.json",
            got=f"a folder without one: {str(folder.path)!r}",
            fix="copy it from where the model comes from: pictures scaled otherwise give other vectors",
        )
    kind = folder.model_type
    height, width, shortest = _size(said.get("size", 224), square=kind not in CROPPED)
    crop = _sides(said.get("crop_size", 224)) if said.get("do_center_crop", kind in CROPPED) else None
    resample = said.get("resample", BICUBIC if kind in CROPPED or kind == "siglip" else BILINEAR)
    too_far = crop is not None and max(crop) > min(shortest or height, shortest or width)
    if not said.get("do_resize", True) or too_far or resample not in range(6):
        raise InputError(
            expected="a preprocessor that resizes by a filter of Pillow's, 0 to 5, and cuts out no more than is there",
            got=f"size {said.get('size')!r}, crop_size {said.get('crop_size')!r}, filter {resample!r} in {folder.path}",
            fix="name a model with such a preprocessor",
        )
    mean, deviation = HALVES if kind in {"siglip", "vit"} else OPENAI if kind in CROPPED else IMAGENET
    plain = said.get("do_normalize", True)
    return Preprocessing(
        height=height,
        width=width,
        shortest=shortest,
        crop=crop,
        resample=resample,
        factor=float(said.get("rescale_factor", 1 / 255)) if said.get("do_rescale", True) else 1.0,
        mean=_three(said.get("image_mean", mean)) if plain else (0.0, 0.0, 0.0),
        deviation=_three(said.get("image_std", deviation)) if plain else (1.0, 1.0, 1.0),
    )


def _size(said: Any, *, square: bool) -> tuple[int, int, int | None]:
    if isinstance(said, dict) and "shortest_edge" in said:
        return 0, 0, int(said["shortest_edge"])
    if isinstance(said, int) and not square:
        return 0, 0, said
    return *_sides(said), None


def _sides(said: Any) -> tuple[int, int]:
    if isinstance(said, int):
        return said, said
    try:
        return int(said["height"]), int(said["width"])
    except (KeyError, TypeError, ValueError):
        raise InputError(
            expected="a size with height and width, or with shortest_edge",
            got=repr(said),
            fix="correct it in preprocessor_config.json",
        ) from None


def _three(said: Any) -> tuple[float, float, float]:
    try:
        red, green, blue = said
        return float(red), float(green), float(blue)
    except (TypeError, ValueError):
        raise InputError(
            expected="one number per colour", got=repr(said), fix="correct it in preprocessor_config.json"
        ) from None
