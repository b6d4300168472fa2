"""One measured attribute of a picture each: a score from 0, bad, to 1, good, with the words for it. No verdict here.

Contrast, blur, noise and clipping are measured on the picture averaged down to a long side of 512 px, so that large and
small pictures compare. The limits were set so that the pictures of fourteen public sets keep theirs (bench/
figures_gate.py). Noise: the median absolute diagonal Haar detail (Donoho & Johnstone, Biometrika 1994;81:425-455).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..card import Measurement, measured
from ..imaging.raster import resized

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..imaging.store import Pixels

    Grey = NDArray[np.float32]

LONG_SIDE_PX = 512
_STOP_SIDE_PX, _SMALL_SIDE_PX = 16, 128
_BLANK_RANGE, _FLAT_RANGE, _BLACK_LEVEL = 0.03, 0.12, 0.04
_BLURRED, _NOISY = 0.3, 0.08
_WHITE_SHARE, _BLACK_SHARE = 0.15, 0.35


@dataclass(frozen=True, kw_only=True)
class Attribute:
    """`score` as a measurement named after the attribute, the measured `value` behind it, and what is wrong with it.

    `fault` is "" for nothing; with `stops` there is nothing to see at all.
    """

    score: Measurement
    value: Measurement | None = None
    fault: str = ""
    stops: bool = False


def scored(name: str, score: float, *, of: tuple[str, ...] = ()) -> Measurement:
    """A score from 0 to 1, called after its attribute."""
    bounded = min(1.0, max(0.0, score))
    sentence = f"{name.capitalize()}: {{}} on a scale from 0 (bad) to 1 (good)."
    return measured(f"{name}_score", bounded, "1", sentence, digits=2, of=of)


def grey_levels(pixels: Pixels) -> Grey:
    """Brightness from 0 to 1, (H, W): 8 bits over 255, -1000 to 1000 HU, other values over their largest."""
    import numpy as np

    array = pixels.array
    if array.dtype == np.uint8:
        grey = array.astype(np.float32) / 255.0
        weights = np.array((0.299, 0.587, 0.114), dtype=np.float32)
        return np.asarray(grey @ weights, dtype=np.float32) if grey.ndim == 3 else grey
    values = array.astype(np.float32)
    if pixels.unit == "HU":
        return np.asarray(np.clip((values + 1000.0) / 2000.0, 0.0, 1.0), dtype=np.float32)
    shifted = values - min(0.0, float(values.min()))
    return np.asarray(shifted / max(float(shifted.max()), 1e-12), dtype=np.float32)


def averaged(grey: Grey, long_side_px: int = LONG_SIDE_PX) -> Grey:
    """`grey` with a long side of at most `long_side_px`, by area averages, in steps of 1/255."""
    import numpy as np

    scale = long_side_px / max(grey.shape)
    if scale >= 1.0:
        return grey
    shape = (max(1, round(grey.shape[0] * scale)), max(1, round(grey.shape[1] * scale)))
    small = resized((grey * 255.0).round().astype(np.uint8), shape)
    return np.asarray(small, dtype=np.float32) / np.float32(255.0)


def size(shape: tuple[int, ...]) -> Attribute:
    """The short side in px: full marks from 512 px."""
    side = min(shape[:2])
    value = measured("short_side", side, "px", "The image's short side is {}.", digits=0)
    fault = "The image is very small; fine detail cannot be judged." if side < _SMALL_SIDE_PX else ""
    if side < _STOP_SIDE_PX:
        fault = "The image is too small to show anything."
    return Attribute(
        score=scored("size", side / 512.0, of=("short_side",)), value=value, fault=fault, stops=side < _STOP_SIDE_PX
    )


def blank(grey: Grey) -> Attribute:
    """Whether there is anything but one tone. A black picture stops like an even one."""
    low, high = _ends(grey)
    fault = "The image is blank: one even tone without structure." if high - low < _BLANK_RANGE else ""
    if high < _BLACK_LEVEL:
        fault = "The image is nearly black."
    score = min(high / (2.0 * _BLACK_LEVEL), (high - low) / (2.0 * _BLANK_RANGE))
    return Attribute(score=scored("structure", 0.0 if fault else score), fault=fault, stops=bool(fault))


def contrast(grey: Grey) -> Attribute:
    """The range between the darkest and the brightest half per cent, in % of all brightness there is."""
    low, high = _ends(grey)
    value = measured("contrast", 100.0 * (high - low), "%", "The image uses {} of its brightness range.", digits=0)
    fault = "The image has very low contrast." if high - low < _FLAT_RANGE else ""
    return Attribute(score=scored("contrast", (high - low) / 0.5, of=("contrast",)), value=value, fault=fault)


def sharpness(grey: Grey) -> Attribute:
    """The variance of the second derivative at a scale of 1 px over the squared contrast, times 10,000.

    The scale keeps pixel noise and the steps of 8 bits, which blurring does not remove, from counting as detail.
    """
    import numpy as np
    from scipy import ndimage

    low, high = _ends(grey)
    index = 10_000.0 * float(ndimage.gaussian_laplace(grey, 1.0).var()) / max(high - low, 0.02) ** 2
    value = measured("sharpness", index, "1", "The image's sharpness index is {}.", digits=1)
    fault = "The image looks blurred or was enlarged from a smaller one." if index < _BLURRED else ""
    score = 0.5 + 0.25 * float(np.log10(max(index, 1e-6) / _BLURRED))  # a hundred times the limit is full marks
    return Attribute(score=scored("sharpness", score, of=("sharpness",)), value=value, fault=fault)


def noise(grey: Grey) -> Attribute:
    """The standard deviation of pixel noise in % of the contrast, where the picture is neither black nor white."""
    import numpy as np

    low, high = _ends(grey)
    even = grey[: grey.shape[0] // 2 * 2, : grey.shape[1] // 2 * 2]
    blocks = np.stack([even[::2, ::2], even[::2, 1::2], even[1::2, ::2], even[1::2, 1::2]])
    inside = (blocks.min(axis=0) > low + 0.05 * (high - low)) & (blocks.max(axis=0) < 0.998)
    detail = np.abs(blocks[0] - blocks[1] - blocks[2] + blocks[3])[inside] / 2.0
    found = float(np.median(detail)) / 0.6745 / max(high - low, 0.02) if detail.size >= 64 else 0.0
    value = measured("noise", 100.0 * found, "%", "Pixel noise is {} of the image's contrast.", digits=1)
    fault = "The image is very noisy; fine detail may be lost in it." if found > _NOISY else ""
    return Attribute(score=scored("noise", 1.0 - found / (2.0 * _NOISY), of=("noise",)), value=value, fault=fault)


def white(grey: Grey, *, hounsfield: bool) -> Attribute:
    """The share of the picture that is saturated to white. Hounsfield units have no such end."""
    share = 0.0 if hounsfield else float((grey >= 0.998).mean())
    value = measured("clipped", 100.0 * share, "%", "{} of the image is saturated to white.", digits=1)
    fault = "A large part of the image is over-exposed." if share > _WHITE_SHARE else ""
    return Attribute(
        score=scored("highlights", 1.0 - share / (2 * _WHITE_SHARE), of=("clipped",)), value=value, fault=fault
    )


def black(grey: Grey, *, hounsfield: bool) -> Attribute:
    """The share of what is shown that is lost in black. Black that reaches the border is background, not loss."""
    import numpy as np
    from scipy import ndimage

    share = 0.0
    if not hounsfield:
        dark = grey <= 0.004
        labels, _ = ndimage.label(dark)
        rim = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
        background = np.isin(labels, rim[rim > 0])
        shown = max(1, int((~background).sum()))
        share = float((dark & ~background).sum()) / shown
    value = measured("lost_in_black", 100.0 * share, "%", "{} of what the image shows is lost in black.", digits=1)
    fault = "A large part of the image is under-exposed: lost in black." if share > _BLACK_SHARE else ""
    return Attribute(
        score=scored("shadows", 1.0 - share / (2 * _BLACK_SHARE), of=("lost_in_black",)), value=value, fault=fault
    )


def _ends(grey: Grey) -> tuple[float, float]:
    import numpy as np

    low, high = (float(value) for value in np.percentile(grey, (0.5, 99.5)))
    return low, high
