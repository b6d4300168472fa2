"""Burnt-in text: rows of letters are found on dark and bright ground, and cells are no letters."""

from __future__ import annotations

import numpy as np
import PIL.Image
import PIL.ImageDraw
import pytest

from polyclinic.tools.gate.lettering import rows_of_letters


def written(text: str, *, ground: int, ink: int, size: int = 18) -> PIL.Image.Image:
    picture = PIL.Image.new("L", (400, 300), ground)
    PIL.ImageDraw.Draw(picture).text((20, 40), text, fill=ink, font_size=size)
    return picture


def rows(picture: PIL.Image.Image) -> list[tuple[int, int, int, int]]:
    return rows_of_letters(np.asarray(picture, dtype=np.float32) / 255.0)


@pytest.mark.parametrize(("ground", "ink"), [(0, 255), (0, 120), (255, 0), (120, 250)])
@pytest.mark.parametrize("size", [12, 18, 28])
def test_a_name_is_found_where_it_stands(ground: int, ink: int, size: int) -> None:
    found = rows(written("MUSTER ANNA 19610403", ground=ground, ink=ink, size=size))
    assert found
    left, top, right, bottom = found[0]
    assert 15 <= left < right <= 400
    assert 40 <= top < bottom <= 40 + 1.5 * size


@pytest.mark.parametrize("text", ["", "L", "R PA"])
def test_nothing_and_side_marks_are_no_rows(text: str) -> None:
    assert rows(written(text, ground=0, ink=255)) == []


def test_scattered_discs_are_no_rows() -> None:
    generator = np.random.default_rng(0)
    picture = PIL.Image.new("L", (600, 600), 20)
    pen = PIL.ImageDraw.Draw(picture)
    for x, y in generator.integers(20, 580, (120, 2)):
        pen.ellipse((x - 6, y - 6, x + 6, y + 6), fill=200)
    assert rows(picture) == []
