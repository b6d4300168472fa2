"""The embedded image encoder: what moves a vector, what does not, and that like finds like on real pictures."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from skimage import data as samples

from polyclinic.core.errors import InputError
from polyclinic.knowledge.encoders.inputs import resized, unit_rows
from polyclinic.knowledge.encoders.radiomics import WEIGHTS, Radiomics, blocks
from polyclinic.knowledge.store import Picture

SIZES = st.one_of(
    st.tuples(st.integers(1, 40), st.integers(1, 40)), st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(3))
)

PINNED = {
    "colour": [0.223443, 0.228841, 0.236449],
    "texture": [0.217911, 0.218191, 0.21861],
    "co-occurrence": [0.334114, 0.334237, 0.33442],
    "outline": [0.150543, 0.150543, 0.150543],
    "layout": [0.196541, 0.200624, 0.204707],
}


def cosine(one: Picture, other: Picture) -> float:
    first, second = Radiomics().encode_pictures([one, other])
    return float(first @ second)


@given(arrays.arrays(np.uint8, SIZES))
def test_any_picture_has_a_unit_vector_and_blocks_of_length_one_or_none(picture: Picture) -> None:
    (vector,) = Radiomics().encode_pictures([picture])
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)
    lengths = {name: np.linalg.norm(block) for name, block in blocks(picture).items()}
    assert list(lengths) == list(WEIGHTS)
    assert all(length == pytest.approx(1) or length == 0 for length in lengths.values())
    assert lengths["colour"] > 0
    assert lengths["texture"] > 0


@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 30), st.integers(1, 30))))
def test_grey_is_the_colour_with_equal_channels(grey: Picture) -> None:
    one, other = Radiomics().encode_pictures([grey, np.stack([grey] * 3, axis=2)])
    np.testing.assert_array_equal(one, other)


def test_a_plain_picture_has_neither_outline_nor_layout() -> None:
    found = blocks(np.full((30, 50), 90, dtype=np.uint8))
    assert not found["outline"].any()
    assert not found["layout"].any()


def test_each_block_sees_what_it_is_named_for() -> None:
    lines = np.tile(np.repeat([40, 200], 8), 8).astype(np.uint8)[None].repeat(128, axis=0)
    upright, flat = blocks(lines), blocks(np.ascontiguousarray(lines.T))
    np.testing.assert_allclose(upright["colour"], flat["colour"])
    np.testing.assert_allclose(upright["co-occurrence"], flat["co-occurrence"], atol=1e-12)
    assert upright["outline"] @ flat["outline"] == pytest.approx(0, abs=1e-12)
    red, blue = (blocks(np.full((9, 9, 3), colour, dtype=np.uint8)) for colour in ((200, 20, 20), (20, 20, 200)))
    assert red["colour"] @ blue["colour"] == 0
    left = blocks(np.repeat(np.repeat([[250, 5]], 64, axis=1), 128, axis=0).astype(np.uint8))["layout"]
    right = blocks(np.repeat(np.repeat([[5, 250]], 64, axis=1), 128, axis=0).astype(np.uint8))["layout"]
    assert left @ right == pytest.approx(-1)


def test_values_are_those_of_every_machine() -> None:
    slope = (np.add.outer(np.arange(64), 2 * np.arange(96)) % 256).astype(np.uint8)
    found = blocks(np.stack([slope, slope[::-1], slope[:, ::-1]], axis=2))
    pinned = {name: [round(float(value), 6) for value in np.sort(block)[-3:]] for name, block in found.items()}
    assert pinned == PINNED


def test_a_smaller_copy_and_a_compressed_one_are_near_and_found_first() -> None:
    pictures = [samples.retina(), samples.astronaut(), samples.coffee(), samples.moon(), samples.immunohistochemistry()]
    vectors = Radiomics().encode_pictures(pictures)
    for number, picture in enumerate(pictures):
        half = resized(picture, picture.shape[0] // 2, picture.shape[1] // 2)
        buffer = io.BytesIO()
        Image.fromarray(half).save(buffer, "JPEG", quality=50)
        copy = np.asarray(Image.open(buffer).convert("RGB"))
        similar = vectors @ Radiomics().encode_pictures([copy])[0]
        assert int(similar.argmax()) == number
        assert similar[number] > 0.95


def test_sorts_of_pictures_find_their_own(data_dir: Path) -> None:
    patterns = [
        "us_breast_busi_cls/*/*.png", "mri_brisc_seg/images/*.png", "endo_kvasirseg/images/*.jpg",
        "bccd_blood/JPEGImages/*.jpg", "fundus_drive/training/images/*", "cxr_nih_pneumonia_normal/images/*",
    ]  # fmt: skip
    files = {pattern: sorted(data_dir.glob(pattern))[:12] for pattern in patterns}
    if not all(files.values()):
        pytest.skip(f"no pictures under {[pattern for pattern in patterns if not files[pattern]]} in {data_dir}")
    labels = np.array([pattern for pattern, found in files.items() for _ in found])
    pictures = []
    for path in (path for found in files.values() for path in found):
        with Image.open(path) as image:
            pictures.append(np.asarray(image.convert("RGB")))
    vectors = Radiomics().encode_pictures(pictures)
    similar = vectors @ vectors.T
    np.fill_diagonal(similar, -1)
    assert (labels[similar.argmax(axis=1)] == labels).mean() >= 0.9


def test_identity_names_the_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Radiomics().identity
    assert before.startswith("radiomics/1/")
    monkeypatch.setitem(WEIGHTS, "layout", 0.5)
    assert Radiomics().identity != before


def test_a_closer_picture_is_more_alike() -> None:
    retina = samples.retina()
    noise = np.random.default_rng(0).integers(-25, 25, retina.shape)
    noisy = np.clip(retina + noise, 0, 255).astype(np.uint8)
    assert 1 > cosine(retina, noisy) > cosine(retina, samples.moon())


def test_a_row_of_zeros_becomes_the_even_one() -> None:
    rows = unit_rows(np.array([[0.0, 0, 0, 0], [3, 4, 0, 0]]))
    np.testing.assert_allclose(rows, [[0.5] * 4, [0.6, 0.8, 0, 0]], atol=1e-7)
    assert rows.dtype == np.float32


def test_what_is_no_picture_is_named() -> None:
    with pytest.raises(InputError, match=r"ndarray of int64 \[2, 2\]; bring the picture to 8 bits"):
        resized(np.zeros((2, 2), dtype=np.int64), 4, 4)  # type: ignore[arg-type]
