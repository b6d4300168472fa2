"""Whether text seems to be burnt into a picture: small shapes of one size on one line. It reads none of it.

Letters are strokes of even brightness, brighter or darker than what is around them, of nearly the same height, that
stand on one line. A name, a date or a watermark makes such a row; cells, vessels and ribs hardly do. Single side marks
("L", "R") are no row and are not counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Grey = NDArray[np.float32]

LONG_SIDE_PX = 1024
_STROKE = 0.14  # brightness apart from the surroundings
_WIDEST_STROKE_PX = 9
_LEAST_LETTERS = 5
_HEIGHTS_PX = (5, 48)

Box = tuple[int, int, int, int]


def rows_of_letters(grey: Grey) -> list[Box]:
    """Boxes (x0, y0, x1, y1) of rows of at least five letter-like shapes in `grey` (H, W), 0 to 1."""
    found: list[Box] = []
    for sign in (1.0, -1.0):
        found += _rows(_letters(sign * grey))
    return sorted(set(found), key=lambda box: (box[1], box[0]))


def _letters(grey: Grey) -> NDArray[np.int64]:
    """Boxes (N, 4) of shapes that could be letters: brighter than their surroundings, of even brightness."""
    import numpy as np
    from scipy import ndimage

    strokes = ndimage.white_tophat(grey, size=(_WIDEST_STROKE_PX, _WIDEST_STROKE_PX)) > _STROKE
    labels, _ = ndimage.label(strokes, structure=np.ones((3, 3)))
    boxes = []
    sizes = np.bincount(labels.ravel())
    for number, place in enumerate(ndimage.find_objects(labels), start=1):
        height, width = place[0].stop - place[0].start, place[1].stop - place[1].start
        if not (_HEIGHTS_PX[0] <= height <= _HEIGHTS_PX[1] and width <= 1.6 * height):
            continue
        if 0.12 <= sizes[number] / (height * width) <= 0.9 and sizes[number] >= 6:
            boxes.append((place[1].start, place[0].start, place[1].stop, place[0].stop))
    return np.array(boxes, dtype=np.int64).reshape(-1, 4)


def _rows(boxes: NDArray[np.int64]) -> list[Box]:
    """The boxes of letters that stand side by side on one line, joined."""
    import numpy as np

    if len(boxes) < _LEAST_LETTERS:
        return []
    boxes = boxes[np.argsort(boxes[:, 0], kind="stable")]
    left, top, right, bottom = boxes.T
    height = bottom - top
    row = np.arange(len(boxes))
    for number in range(len(boxes)):
        gap = left - right[number]
        near = (gap >= -1) & (gap <= 0.9 * height[number])
        level = np.abs(bottom - bottom[number]) <= np.maximum(1, 0.12 * height[number])
        alike = np.maximum(height, height[number]) <= 1.7 * np.minimum(height, height[number])
        for other in np.flatnonzero(near & level & alike):
            row[row == row[other]] = row[number]
    joined = [boxes[row == name] for name in np.unique(row) if (row == name).sum() >= _LEAST_LETTERS]
    return [
        (int(b[:, 0].min()), int(b[:, 1].min()), int(b[:, 2].max()), int(b[:, 3].max())) for b in joined if _written(b)
    ]


def _written(boxes: NDArray[np.int64]) -> bool:
    """Whether the boxes of one row are as even as type: most feet on one line, most letters of one or two heights."""
    import numpy as np

    height = boxes[:, 3] - boxes[:, 1]
    typical = float(np.median(height))
    on_line = np.abs(boxes[:, 3] - np.median(boxes[:, 3])) <= max(1.0, 0.12 * typical)
    apart = boxes[1:, 0] - boxes[:-1, 2]
    return bool(on_line.mean() >= 0.7 and np.median(np.abs(apart)) <= 0.6 * typical)
