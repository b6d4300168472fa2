"""The two lung fields on a frontal chest radiograph, found without training. It measures nothing in them.

Method: a pair of lung outlines (drawn by hand, with a narrow and a wide heart) is matched to the picture by normalised
correlation over place, width and height; each field then follows its own local contrast (local region fitting after
Li et al., IEEE Trans Image Process 2008;17:1940-1949) while the outline holds it back where disease hides the border.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..imaging.raster import resized

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SIDE_PX = 160
_COARSE, _FINE = 3, 2
_RIM = 0.1
_SIZES = tuple(share / 20.0 for share in range(8, 22, 2))
_HEARTS = (0.0, 0.12)
_SIZE_BONUS = 0.2
_OUTER = ((0.42, 0.0), (0.64, 0.08), (0.80, 0.2), (0.90, 0.35), (0.97, 0.55), (1.0, 0.75), (0.985, 0.9), (0.93, 1.0))
_RIGHT_INNER = ((0.75, 0.9), (0.55, 0.84), (0.33, 0.86), (0.28, 0.7), (0.26, 0.5), (0.17, 0.3), (0.2, 0.1), (0.36, 0.0))
_LEFT_INNER = ((0.26, 0.3), (0.22, 0.1), (0.36, 0.0))
_ROUNDS, _REACH_PX, _HOLD = 15, 5.0, 0.1


@dataclass(frozen=True, kw_only=True)
class Lungs:
    """The lung fields (H, W), right first as the patient has it, and how well the outlines matched (to 1)."""

    right: NDArray[np.bool_]
    left: NDArray[np.bool_]
    match: float


def lung_fields(grey: NDArray[np.uint8]) -> Lungs:
    """The lung fields in a radiograph, uint8 (H, W), air dark. Worked out at a long side of 160 px."""
    import numpy as np
    from skimage.transform import resize

    rows, columns = _content(grey)
    part = grey[rows, columns]
    scale = min(1.0, _SIDE_PX / max(part.shape))
    shape = tuple(max(16, round(side * scale)) for side in part.shape)
    small = resized(part, (shape[0], shape[1])).astype(np.float32)
    match, outlines = _matched(_standardised(small, 2.5), small.shape)
    local = _blocks(_standardised(small, 1.0), _FINE)
    fields = _followed(local, [_blocks(outline.astype(np.float32), _FINE) > 0.5 for outline in outlines])
    whole = []
    for field in fields:
        mask = np.zeros(grey.shape, dtype=np.bool_)
        mask[rows, columns] = resize(field.astype(np.float32), part.shape, order=1, mode="edge") > 0.5
        whole.append(mask)
    return Lungs(right=whole[0], left=whole[1], match=match)


def _content(grey: NDArray[np.uint8]) -> tuple[slice, slice]:
    """The rows and columns that show more than a black frame."""
    import numpy as np

    lit = grey > max(6.0, 0.06 * float(np.percentile(grey, 98)))
    rows, columns = (np.flatnonzero(lit.mean(axis=axis) > 0.2) for axis in (1, 0))
    if len(rows) < 0.3 * grey.shape[0] or len(columns) < 0.3 * grey.shape[1]:
        return slice(0, grey.shape[0]), slice(0, grey.shape[1])
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _standardised(grey: NDArray[np.float32], smooth: float) -> NDArray[np.float32]:
    """Grey levels against their wide surroundings, in units of the spread there."""
    import numpy as np
    from scipy import ndimage

    side = max(grey.shape)
    above = grey - ndimage.gaussian_filter(grey, 0.3 * side, truncate=2.0)
    spread = np.sqrt(ndimage.gaussian_filter(above**2, 0.25 * side, truncate=2.0))
    even = above / np.maximum(spread, 0.02 * float(np.ptp(grey)) + 1e-6)
    return np.asarray(ndimage.gaussian_filter(even, smooth), dtype=np.float32)


def _blocks(values: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Means of `size` × `size` blocks; the last rows and columns are repeated to fill them."""
    import numpy as np

    padded = np.pad(values, [(0, -side % size) for side in values.shape], mode="edge")
    rows, columns = (side // size for side in padded.shape)
    return np.asarray(padded.reshape(rows, size, columns, size).mean(axis=(1, 3)), dtype=np.float32)


def _outlines(width: float, height: float, heart: float) -> list[NDArray[np.bool_]]:
    """The outlines of both lungs in a frame around them, for a heart that reaches `heart` farther to the left."""
    import numpy as np
    from skimage.draw import polygon2mask

    shape = (round(height * (1 + 1.6 * _RIM)), round(width * (1 + 2 * _RIM)))
    base = (
        (0.85, 0.95),
        (0.62 + heart, 0.9),
        (0.58 + heart, 0.8),
        (0.44 + 0.7 * heart, 0.65),
        (0.31 + 0.3 * heart, 0.5),
    )
    lungs = ([(-x, y) for x, y in (*_OUTER, *_RIGHT_INNER)], [*_OUTER, *base, *_LEFT_INNER])
    corners = (np.array([((y + 0.8 * _RIM) * height, ((x + 1) / 2 + _RIM) * width) for x, y in lung]) for lung in lungs)
    return [np.asarray(polygon2mask(shape, lung), dtype=np.bool_) for lung in corners]


def _matched(even: NDArray[np.float32], shape: tuple[int, ...]) -> tuple[float, list[NDArray[np.bool_]]]:
    """The best correlation of the outlines with `even`, and the outlines (H, W) there. A larger pair is preferred:
    half a lung correlates as well as a whole one."""
    import numpy as np
    from skimage.feature import match_template

    coarse = _blocks(even, _COARSE)
    rows, columns = coarse.shape
    margin = round(0.12 * min(rows, columns))
    field = np.pad(coarse, margin)
    best: tuple[float, Any] = (-np.inf, None)
    for across in _SIZES:
        for down in _SIZES:
            width, height = across * columns, down * rows
            if not 0.65 < height / width < 1.4:
                continue
            for heart in _HEARTS:
                right, left = _outlines(width, height, heart)
                if any(side > room for side, room in zip(right.shape, field.shape, strict=True)):
                    continue
                answer = match_template(field, (~(right | left)).astype(np.float32))
                top, start = np.unravel_index(int(answer.argmax()), answer.shape)
                score = float(answer[top, start]) + _SIZE_BONUS * float(np.log(across * down))
                if score > best[0]:
                    best = (score, (float(answer[top, start]), int(top), int(start), width, height, heart))
    if best[1] is None:
        return 0.0, [np.zeros(shape, dtype=np.bool_)] * 2
    match, top, start, width, height, heart = best[1]
    placed = []
    for lung in _outlines(width * _COARSE, height * _COARSE, heart):
        page = np.zeros([side + sum(lung.shape) for side in shape], dtype=np.bool_)
        row, column = (_COARSE * (place - margin) + side for place, side in zip((top, start), lung.shape, strict=True))
        page[row : row + lung.shape[0], column : column + lung.shape[1]] = lung
        placed.append(page[lung.shape[0] :, lung.shape[1] :][: shape[0], : shape[1]])
    return match, placed


def _followed(even: NDArray[np.float32], outlines: list[NDArray[np.bool_]]) -> list[NDArray[np.bool_]]:
    """The outlines moved to where the local mean inside and that outside are told apart best."""
    import numpy as np
    from scipy import ndimage

    if not all(outline.any() for outline in outlines):
        return outlines

    def mean(where: NDArray[np.bool_]) -> NDArray[np.float32]:
        weight = where.astype(np.float32)
        total = np.maximum(ndimage.gaussian_filter(weight, _REACH_PX, truncate=2.5), 1e-2)
        return np.asarray(ndimage.gaussian_filter(even * weight, _REACH_PX, truncate=2.5) / total, dtype=np.float32)

    depth = [ndimage.distance_transform_edt(one) - ndimage.distance_transform_edt(~one) for one in outlines]
    fields = outlines
    for _ in range(_ROUNDS):
        outside = mean(~(fields[0] | fields[1]))
        moved = []
        for field, inward, outline in zip(fields, depth, outlines, strict=True):
            inside = mean(field)
            gain = np.where(outside > inside, (even - outside) ** 2 - (even - inside) ** 2, -0.3)
            gain = ndimage.gaussian_filter(np.clip(gain, -1.0, 1.0), 1.2) + _HOLD * np.clip(inward, -8.0, 8.0)
            moved.append(_whole((gain > 0) & (inward > -9.0), outline))
        fields = moved
    return fields


def _whole(mask: NDArray[np.bool_], otherwise: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest piece of `mask`, its notches and holes filled; `otherwise` where nothing is left."""
    import numpy as np
    from scipy import ndimage

    labels, count = ndimage.label(ndimage.binary_opening(mask))
    if not count:
        return otherwise
    piece = np.pad(labels == 1 + int(np.bincount(labels.ravel())[1:].argmax()), 4)
    closed = ndimage.binary_fill_holes(ndimage.binary_closing(piece, iterations=4))
    return np.asarray(closed[4:-4, 4:-4], dtype=np.bool_)
