"""Repeated pictures: copies are found in every position, other pictures are not taken for copies."""

from __future__ import annotations

import io

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyclinic.tools.gate.attributes import averaged
from polyclinic.tools.gate.duplicate import SIDE, duplicates, fingerprint


def of(picture: PIL.Image.Image) -> str:
    return fingerprint(averaged(np.asarray(picture.convert("L"), dtype=np.float32) / 255.0))


def scene(seed: int) -> PIL.Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 255, (9, 9), dtype=np.uint8)
    return PIL.Image.fromarray(coarse).resize((300, 260), PIL.Image.Resampling.BICUBIC)


@pytest.mark.parametrize(
    ("turn", "how"),
    [
        (None, ""),
        (PIL.Image.Transpose.ROTATE_90, "turned by a quarter to the left"),
        (PIL.Image.Transpose.ROTATE_180, "turned by a half"),
        (PIL.Image.Transpose.ROTATE_270, "turned by a quarter to the right"),
        (PIL.Image.Transpose.FLIP_LEFT_RIGHT, "mirrored"),
        (PIL.Image.Transpose.FLIP_TOP_BOTTOM, "mirrored and turned by a half"),
    ],
)
def test_a_scaled_compressed_copy_is_found_with_its_position(turn: PIL.Image.Transpose | None, how: str) -> None:
    first = scene(1)
    copy = first.resize((200, 173)) if turn is None else first.resize((200, 173)).transpose(turn)
    buffer = io.BytesIO()
    copy.save(buffer, "JPEG", quality=40)
    found = duplicates({"image-1": of(first), "image-2": of(scene(2)), "image-3": of(PIL.Image.open(buffer))})
    assert [(one.name, one.of, one.how) for one in found] == [("image-3", "image-1", how)]


def test_a_third_copy_repeats_the_first() -> None:
    print_ = of(scene(3))
    assert [one.of for one in duplicates({"a": print_, "b": print_, "c": print_})] == ["a", "a"]


def test_pictures_of_one_tone_repeat_nothing() -> None:
    even = of(PIL.Image.new("L", (64, 64), 90))
    assert duplicates({"a": even, "b": even}) == ()


@given(st.dictionaries(st.sampled_from("abcd"), st.binary(min_size=SIDE * SIDE, max_size=SIDE * SIDE).map(bytes.hex)))
def test_whatever_the_bytes_a_duplicate_names_an_earlier_image(prints: dict[str, str]) -> None:
    order = list(prints)
    for one in duplicates(prints):
        assert order.index(one.of) < order.index(one.name)
