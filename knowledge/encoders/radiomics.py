"""Pictures as vectors without a trained model: colour, texture, outline and layout. It knows nothing of anatomy.

After the classic hand-made descriptors: colour histograms (Swain and Ballard, IJCV 1991;7:11-32), local binary patterns
(Ojala et al., IEEE TPAMI 2002;24:971-987), grey-level co-occurrence (Haralick et al., IEEE TSMC 1973;3:610-621) and
histograms of oriented gradients (Dalal and Triggs, CVPR 2005), all at 128 × 128 pixels. What they find on real
pictures, block by block and beside thumbnails and histograms: `python bench/similar_images.py --data PATH`.

Counts are taken of whole numbers, and the gradient's sectors are cut where no whole-numbered gradient points: no
rounding can move a pixel from one bin to another, so that machines differ in a value's last digits at most.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from ...core.canonical import digest
from ..store import Picture
from .inputs import reads_no, resized, unit_rows
from .protocol import Reads, Vectors

SIDE = 128  # px, whatever the picture's proportions
GRID = 4  # texture and outline are counted in GRID × GRID cells
PATTERNS = 10  # rotation-invariant uniform patterns of 8 neighbours: 0 to 8 bits, and all that are not uniform
LEVELS = 8  # grey levels of the co-occurrence
DISTANCES = (1, 4)  # px
SECTORS = 8  # of a half turn
STRONGEST = 0.2  # what one sector may have of an outline block before it is cut
COARSE = 8  # layout: the means of COARSE × COARSE squares
WEIGHTS = {"colour": 1.0, "texture": 1.0, "co-occurrence": 1.0, "outline": 1.0, "layout": 0.25}
RECIPE = 1  # goes up whenever this file's arithmetic changes a vector

Whole = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Radiomics:
    """The image encoder that needs no model.

    Five blocks, each at unit length before it is weighted, so that none outweighs another by its number of values. A
    picture of one colour has no outline and no layout; colour and texture still give it a vector. Needs Pillow.
    """

    spec = "radiomics"
    dimension = 256 + GRID**2 * PATTERNS + len(DISTANCES) * LEVELS * (LEVELS + 1) // 2 + 288 + COARSE**2
    reads: frozenset[Reads] = frozenset({"image"})

    @property
    def identity(self) -> str:
        """The recipe's number and the hash of its constants."""
        numbers = [SIDE, GRID, PATTERNS, LEVELS, DISTANCES, SECTORS, STRONGEST, COARSE, WEIGHTS, self.dimension]
        return f"radiomics/{RECIPE}/{digest(numbers)[:16]}"

    def encode_texts(self, texts: Sequence[str], *, query: bool = False) -> Vectors:
        raise reads_no("text", self.spec)

    def encode_pictures(self, pictures: Sequence[Picture]) -> Vectors:
        """float32 [n, dimension], unit norm. Raises InputError for what is no picture."""
        rows = np.zeros((len(pictures), self.dimension))
        for row, picture in zip(rows, pictures, strict=True):
            found = blocks(picture)
            row[:] = np.concatenate([WEIGHTS[name] ** 0.5 * block for name, block in found.items()])
        return unit_rows(rows)


def blocks(picture: Picture) -> dict[str, Floats]:
    """The five blocks by name, each of unit length, or all zero where the picture has none of it."""
    rgb = resized(picture, SIDE, SIDE).astype(np.int64)
    grey = (299 * rgb[..., 0] + 587 * rgb[..., 1] + 114 * rgb[..., 2] + 500) // 1000  # ITU-R BT.601
    return {
        "colour": _colour(rgb, grey),
        "texture": _texture(grey),
        "co-occurrence": _co_occurrence(grey),
        "outline": _outline(grey),
        "layout": _layout(grey),
    }


def _colour(rgb: Whole, grey: Whole) -> Floats:
    """How much of the picture has each of 8 × 8 opponent colours at 4 brightnesses."""
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    red_green = np.clip((red - green + 128) // 32, 0, 7)
    yellow_blue = np.clip((red + green - 2 * blue + 256) // 64, 0, 7)
    return _shares(np.bincount(((red_green * 8 + yellow_blue) * 4 + grey // 64).ravel(), minlength=256))


def _texture(grey: Whole) -> Floats:
    """Local binary patterns, counted cell by cell."""
    wide = np.pad(grey, 1, mode="edge")
    around = ((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0))
    code = np.zeros_like(grey)
    for bit, (down, right) in enumerate(around):
        code |= (wide[down : down + SIDE, right : right + SIDE] >= grey).astype(np.int64) << bit
    counts = np.bincount((_cells() * PATTERNS + _uniform()[code]).ravel(), minlength=GRID**2 * PATTERNS)
    return _shares(counts)


def _co_occurrence(grey: Whole) -> Floats:
    """Which grey levels lie beside each other, in four directions together, at each distance."""
    level = grey * LEVELS // 256
    counts = []
    for far in DISTANCES:
        pairs = np.zeros((LEVELS, LEVELS), dtype=np.int64)
        for down, right in ((0, far), (far, 0), (far, far), (far, -far)):
            one = level[: SIDE - down, max(0, -right) : SIDE - max(0, right)]
            other = level[down:, max(0, right) : SIDE - max(0, -right)]
            pairs += np.bincount((one * LEVELS + other).ravel(), minlength=LEVELS**2).reshape(LEVELS, LEVELS)
        counts.append((pairs + pairs.T)[np.triu_indices(LEVELS)])
    return _shares(np.concatenate(counts))


def _outline(grey: Whole) -> Floats:
    """Gradient strength by direction in each cell, evened out over overlapping blocks of 2 × 2 cells."""
    down, right = np.zeros_like(grey), np.zeros_like(grey)
    down[1:-1] = grey[2:] - grey[:-2]
    right[:, 1:-1] = grey[:, 2:] - grey[:, :-2]
    sector = np.floor(np.arctan2(down, right) * (SECTORS / np.pi) + 0.5).astype(np.int64) % SECTORS
    strength = np.sqrt(down**2 + right**2)
    sums = np.bincount((_cells() * SECTORS + sector).ravel(), strength.ravel(), GRID**2 * SECTORS)
    cells = np.asarray(sums, dtype=np.float64).reshape(GRID, GRID, SECTORS)
    corners = [(top, left) for top in range(GRID - 1) for left in range(GRID - 1)]
    parts = [_unit(cells[top : top + 2, left : left + 2].ravel()) for top, left in corners]
    return _unit(np.concatenate([_unit(np.minimum(part, STRONGEST)) for part in parts]))


def _layout(grey: Whole) -> Floats:
    """Where the picture is brighter or darker than its mean."""
    square = SIDE // COARSE
    sums = grey.reshape(COARSE, square, COARSE, square).sum(axis=(1, 3)).ravel()
    return _unit(np.asarray(sums * COARSE**2 - sums.sum(), dtype=np.float64))


def _shares(counts: Whole) -> Floats:
    """Roots of counts at unit length: their inner product is the Bhattacharyya coefficient of two histograms."""
    return _unit(np.sqrt(counts, dtype=np.float64))


def _unit(values: Floats) -> Floats:
    length = float(np.linalg.norm(values))
    return values / length if length > 0 else values


@cache
def _cells() -> Whole:
    """The number of each pixel's cell, row by row."""
    place = np.arange(SIDE) // (SIDE // GRID)
    return np.add.outer(place * GRID, place)


@cache
def _uniform() -> Whole:
    """The pattern's number for each of the 256 codes: its ones, if they stand together on the circle, else 9."""
    codes = np.arange(256)
    bits = (codes[:, None] >> np.arange(8)) & 1
    turns = (bits != np.roll(bits, 1, axis=1)).sum(axis=1)
    return np.where(turns <= 2, bits.sum(axis=1), PATTERNS - 1)
