"""Whether two images of a case are one picture: the same, scaled, recompressed, mirrored or turned. It opens no file.

A fingerprint is the picture's brightness at 24 × 24, which is recorded with the gate's result: pictures are compared
by the correlation of their fingerprints in all eight positions of a square. Neighbouring slices of a series correlate
as copies do; cropped copies are not found.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..imaging.raster import resized

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIDE = 24
SAME = 0.997
"""Correlation from which two fingerprints are one picture."""

_POSITIONS = (
    "", "turned by a quarter to the left", "turned by a half", "turned by a quarter to the right", "mirrored",
    "mirrored and turned by a quarter to the left", "mirrored and turned by a half",
    "mirrored and turned by a quarter to the right",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Duplicate:
    """`name` is the same picture as the earlier named `of`, `how` says in which position ("" for the same)."""

    name: str
    of: str
    how: str = ""


def fingerprint(grey: NDArray[np.float32]) -> str:
    """The picture (H, W), 0 to 1, as 24 × 24 bytes in hexadecimal, stretched to its own range."""
    import numpy as np

    low, high = float(grey.min()), float(grey.max())
    stretched = (255.0 * (grey - low) / max(high - low, 1e-6)).round().astype(np.uint8)
    return resized(stretched, (SIDE, SIDE)).tobytes().hex()


def duplicates(fingerprints: Mapping[str, str]) -> tuple[Duplicate, ...]:
    """Each image, in their order, that repeats one before it. Fingerprints without structure repeat nothing."""
    seen: dict[str, NDArray[np.float64]] = {}
    found = []
    for name, text in fingerprints.items():
        square = _normalised(text)
        if square is None:
            continue
        matches = ((_best(square, other), first) for first, other in seen.items())
        (match, how), first = max(matches, key=lambda one: one[0][0], default=((0.0, ""), ""))
        if match >= SAME:
            found.append(Duplicate(name=name, of=first, how=how))
        else:
            seen[name] = square
    return tuple(found)


def _best(one: NDArray[np.float64], other: NDArray[np.float64]) -> tuple[float, str]:
    """The highest correlation over the eight positions of `one`, and the position; the plain one wins ties."""
    import numpy as np

    positions = [np.rot90(base, -turn) for base in (other, other[:, ::-1]) for turn in (0, 3, 2, 1)]
    matches = [float((one * position).sum()) for position in positions]
    best = int(np.argmax(matches))
    return matches[best], _POSITIONS[best]


def _normalised(text: str) -> NDArray[np.float64] | None:
    import numpy as np

    values = np.frombuffer(bytes.fromhex(text), dtype=np.uint8).astype(np.float64)
    if len(values) != SIDE * SIDE or values.std() < 1.0:
        return None
    values -= values.mean()
    return np.asarray((values / np.linalg.norm(values)).reshape(SIDE, SIDE))
