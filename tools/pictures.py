"""Pixels as pictures that people and models can look at: grey levels, outlines, overlays. It measures nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from .card import Box

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.ImageDraw import ImageDraw

    from .imaging.store import Pixels

Colour: TypeAlias = tuple[int, int, int]
Point: TypeAlias = tuple[float, float]
"""(x, y) in pixels."""

SOFT_TISSUE_HU = (-160.0, 240.0)
COLOURS: tuple[Colour, ...] = (
    (86, 180, 233), (230, 159, 0), (240, 228, 66), (204, 121, 167), (0, 190, 140), (230, 110, 20), (255, 255, 255),
)  # fmt: skip
"""After Okabe and Ito (Color universal design, 2008), lightened: told apart by colour-blind people, seen on black."""

_LEGEND_FROM = 4
_TEXT_SHARE = 0.2
_BAR_SHARE = 0.25


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """One thing to show: a region's `mask` (H, W), `instances` (H, W) numbered from 1, a `box`, the `line` through two
    or more points, or single `points`. Without a `colour` it gets one of its label's own."""

    mask: NDArray[np.bool_] | None = None
    instances: NDArray[np.integer[Any]] | None = None
    box: Box | None = None
    line: tuple[Point, ...] = ()
    points: tuple[Point, ...] = ()
    label: str = ""
    colour: Colour | None = None


def as_picture(pixels: Pixels) -> NDArray[np.uint8]:
    """`pixels` as uint8 RGB (H, W, 3): HU in a soft-tissue window, other float data between its 0.5th and 99.5th
    percentile, 8-bit data as it is."""
    import numpy as np

    array: NDArray[Any] = pixels.array
    if array.dtype != np.uint8:
        low, high = SOFT_TISSUE_HU if pixels.unit == "HU" else np.percentile(array, (0.5, 99.5))
        scaled = (array.astype(np.float32) - low) / max(float(high - low), 1e-6)
        array = (np.clip(scaled, 0.0, 1.0) * 255.0).round().astype(np.uint8)
    if array.ndim == 2:
        array = np.repeat(array[..., None], 3, axis=2)
    return array.astype(np.uint8, copy=False)


def enlarged(labels: NDArray[np.integer[Any]], shape: tuple[int, int]) -> NDArray[np.integer[Any]]:
    """Labels (h, w) of a picture that was scaled down, at the size `shape` (H, W) of the picture itself."""
    import numpy as np

    rows, columns = (
        np.minimum(((np.arange(side) + 0.5) * small / side).astype(int), small - 1)
        for side, small in zip(shape, labels.shape, strict=True)
    )
    return np.asarray(labels[rows[:, None], columns[None]])


def overlay(
    picture: NDArray[np.uint8], regions: Sequence[Drawn], *, spacing_mm: tuple[float, float] | None = None
) -> NDArray[np.uint8]:
    """A copy of `picture` (H, W, 3) with `regions`, their labels and a scale bar: in mm when `spacing_mm` (row,
    column) is known, else in pixels.

    Lines have a dark casing and words a dark rim, so both are read on any background. A label is written beside its
    region, or once in a corner with the number of its regions where there are many; one that finds no free room is
    left out, and words never take more than a fifth of the picture.
    """
    import numpy as np
    from PIL import Image
    from PIL.ImageDraw import Draw
    from scipy import ndimage

    if picture.ndim != 3 or any(
        array.shape != picture.shape[:2]
        for region in regions
        for array in (region.mask, region.instances)
        if array is not None
    ):
        raise ValueError("a picture (H, W, 3) and masks (H, W) of one size")
    colours = _colours(regions)
    ink = np.zeros(picture.shape[:2], dtype=np.uint8)
    width = max(1, round(max(ink.shape) / 600))
    palette = [(0, 0, 0), *dict.fromkeys(colours)]  # ink 0 is none
    for region, colour in zip(regions, colours, strict=True):
        _draw_areas(ink, region, width, palette.index(colour, 1))
    sheet = Image.fromarray(ink)
    for region, colour in zip(regions, colours, strict=True):
        _draw_lines(Draw(sheet), region, width, palette.index(colour, 1))
    ink = np.asarray(sheet)
    drawn = picture.copy()
    if min(ink.shape) >= 100:  # on a tiny picture a casing would hide more than it shows
        casing = ndimage.binary_dilation(ink > 0, np.ones((3, 3)), iterations=max(1, width // 2))
        drawn[casing] //= 2 if width == 1 else 4
    drawn[ink > 0] = np.array(palette, dtype=np.uint8)[ink[ink > 0]]
    page = Image.fromarray(drawn)
    words = _Words(Draw(page), page.size)
    words.scale_bar(None if spacing_mm is None else spacing_mm[1], width)
    words.labels(regions, colours)
    return np.asarray(page, dtype=np.uint8).copy()


def _colours(regions: Sequence[Drawn]) -> list[Colour]:
    """A colour for each region: its own, or the one that its label has, in the order of COLOURS."""
    chosen: dict[str, Colour] = {}
    for number, region in enumerate(regions):
        chosen.setdefault(region.label or f"\0{number}", COLOURS[len(chosen) % len(COLOURS)])
    return [region.colour or chosen[region.label or f"\0{number}"] for number, region in enumerate(regions)]


def _draw_areas(ink: NDArray[np.uint8], region: Drawn, width: int, value: int) -> None:
    """Write `value` on the borders of a mask, and of each instance, at least one pixel inside them."""
    import numpy as np
    from scipy import ndimage

    if region.mask is not None and region.mask.any():
        rows, columns = (np.flatnonzero(region.mask.any(axis=axis)) for axis in (1, 0))
        part = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        mask = np.pad(region.mask[part], width)
        border = mask & ~ndimage.binary_erosion(mask, iterations=width)
        ink[part][border[width:-width, width:-width]] = value
    if region.instances is not None:
        labels = np.pad(region.instances, 1)
        middle = labels[1:-1, 1:-1]
        others = (labels[:-2, 1:-1], labels[2:, 1:-1], labels[1:-1, :-2], labels[1:-1, 2:])
        border = np.logical_or.reduce([middle != other for other in others]) & (middle > 0)
        if width > 1:
            border = ndimage.binary_dilation(border, iterations=width // 2) & (middle > 0)
        ink[border] = value


def _draw_lines(draw: ImageDraw, region: Drawn, width: int, value: int) -> None:
    if region.box is not None:
        left, top, right, bottom = region.box
        draw.rectangle((left, top, max(left, right - 1), max(top, bottom - 1)), outline=value, width=width)
    if len(region.line) > 1:
        draw.line([*region.line], fill=value, width=width)
    arm = 2 * width + 1
    for x, y in region.points:
        draw.line((x - arm, y, x + arm, y), fill=value, width=width)
        draw.line((x, y - arm, x, y + arm), fill=value, width=width)


def _extent(region: Drawn) -> Box | None:
    """The box around all that is drawn of a region."""
    import numpy as np

    boxes = [region.box] if region.box is not None else []
    for array in (region.mask, region.instances):
        if array is not None and array.any():
            rows, columns = (np.flatnonzero((array > 0).any(axis=axis)) for axis in (1, 0))
            boxes.append((int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1))
    for x, y in (*region.line, *region.points):
        boxes.append((int(x), int(y), int(x) + 1, int(y) + 1))
    if not boxes:
        return None
    left, top, right, bottom = zip(*boxes, strict=True)
    return min(left), min(top), max(right), max(bottom)


class _Words:
    """Writes on a picture where there is room, and remembers where it has written."""

    def __init__(self, draw: ImageDraw, size: tuple[int, int]) -> None:
        from PIL import ImageFont

        self._draw, self._size = draw, size
        self._height = max(9, round(min(size) / 32))
        self._font = ImageFont.load_default(self._height)
        self._rim = max(1, self._height // 9)
        self._taken: list[Box] = []
        self._room = _TEXT_SHARE * size[0] * size[1]

    def scale_bar(self, column_mm: float | None, width: int) -> None:
        """A bar of a round length, at most a quarter of the picture's width, in its lower right corner."""
        page_width, page_height = self._size
        unit, per_px = ("px", 1.0) if column_mm is None else ("mm", column_mm)
        length = _round_below(_BAR_SHARE * page_width * per_px)
        pixels = round(length / per_px)
        thick, margin = max(2, 2 * width), max(2, round(min(self._size) / 50))
        box = (page_width - margin - pixels, page_height - margin - thick, page_width - margin, page_height - margin)
        if pixels < 4 or box[0] < 0 or box[1] < 0:
            return
        self._draw.rectangle((box[0] - 1, box[1] - 1, box[2], box[3]), fill=(0, 0, 0))
        self._draw.rectangle((box[0], box[1], box[2] - 1, box[3] - 1), fill=(255, 255, 255))
        self._taken.append(box)
        text = f"{length:g} {unit}"
        wide, high = self._measure(text)
        self._write(text, (255, 255, 255), [(box[2] - wide, box[1] - high - 1)])

    def labels(self, regions: Sequence[Drawn], colours: Sequence[Colour]) -> None:
        often: Counter[str] = Counter()
        for region in regions:
            often[region.label] += 1 if region.instances is None else int((_sizes(region.instances) > 0).sum())
        corner = 2
        for region, colour in zip(regions, colours, strict=True):
            if often[region.label] >= _LEGEND_FROM and region.label:
                wanted = f"{region.label} ({often.pop(region.label)})"
                if self._write(wanted, colour, [(2, corner)]):
                    corner += self._measure(wanted)[1] + 1
        for region, colour in zip(regions, colours, strict=True):
            extent = _extent(region)
            if 0 < often[region.label] < _LEGEND_FROM and region.label and extent is not None:
                self._write(region.label, colour, list(self._places(extent, *self._measure(region.label))))

    def _places(self, extent: Box, wide: int, high: int) -> Iterator[tuple[int, int]]:
        """Where the words of a region may stand, best first: above, below, beside it, and last inside it."""
        left, top, right, bottom = extent
        yield left, top - high - 2
        yield left, bottom + 2
        yield right + 2, top
        yield left - wide - 2, top
        yield (left + right - wide) // 2, (top + bottom - high) // 2
        yield left + 2, top + 2

    def _measure(self, text: str) -> tuple[int, int]:
        left, _, right, bottom = self._draw.textbbox((0, 0), text, font=self._font, stroke_width=self._rim)
        return int(right - left) + 1, int(bottom) + 1 + self._rim

    def _write(self, text: str, colour: Colour, places: Sequence[tuple[int, int]]) -> bool:
        wide, high = self._measure(text)
        page_width, page_height = self._size
        if wide > page_width or high > page_height or wide * high > self._room:
            return False
        for left, top in places:
            x, y = min(max(0, left), page_width - wide), min(max(0, top), page_height - high)
            box = (x, y, x + wide, y + high)
            if any(_overlap(box, other) for other in self._taken):
                continue
            self._taken.append(box)
            self._room -= wide * high
            self._draw.text(
                (x + self._rim, y), text, fill=colour, font=self._font, stroke_width=self._rim, stroke_fill=(0, 0, 0)
            )
            return True
        return False


def _sizes(instances: NDArray[np.integer[Any]]) -> NDArray[np.intp]:
    import numpy as np

    return np.bincount(np.asarray(instances).ravel())[1:]


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _round_below(length: float) -> float:
    """The largest of 1, 2 or 5 times a power of ten that is not above `length`."""
    import math

    power = 10.0 ** math.floor(math.log10(length))
    return max(step * power for step in (1.0, 2.0, 5.0) if step * power <= length * (1 + 1e-9))
