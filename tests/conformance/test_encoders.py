"""One suite that every encoder passes: the embedded one, and a tiny model of each architecture where torch is there."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import pytest

from polyclinic.core.errors import InputError
from polyclinic.knowledge.encoders.load import load_encoder
from polyclinic.knowledge.encoders.protocol import Encoder, Vectors
from polyclinic.knowledge.store import Picture

NEURAL = ["bert", "bert pair", "mpnet", "clip", "siglip", "siglip2", "dinov2", "dinov3", "vit"]
TEXTS = [
    "the optic disc is pale",
    "A pulmonary nodule: what follows?",
    "",
    "μ ± 3 mmol/l, naïve; 未知",
    "glaucoma " * 3,
    "?",
    "the optic disc is pale and cupped, " * 9,
] * 6  # more than a batch


@dataclass(frozen=True, kw_only=True)
class Subject:
    """An encoder, how to make it again, and how to make one whose weights are others."""

    encoder: Encoder
    again: Callable[[], Encoder]
    changed: Callable[[], Encoder] | None


@pytest.fixture(scope="module", params=["radiomics", *NEURAL])
def subject(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    if request.param == "radiomics":
        return Subject(encoder=load_encoder("radiomics"), again=lambda: load_encoder("radiomics"), changed=None)
    models: ModuleType = request.getfixturevalue("tiny_models")
    assert set(NEURAL) == set(models.WRITE)
    folder = tmp_path_factory.mktemp("models")

    def made(seed: int) -> Encoder:
        out = folder / str(seed)
        if not out.exists():
            models.WRITE[request.param](out, seed)
        return load_encoder(f"{out / 'query'},{out / 'article'}" if request.param == "bert pair" else str(out))

    return Subject(encoder=made(0), again=lambda: made(0), changed=lambda: made(7))


@pytest.fixture(scope="module")
def pictures() -> list[Picture]:
    """Pictures of odd sizes, grey and in colour, of noise and of one colour: more than a batch."""
    chance = np.random.default_rng(0)
    sizes = [(1, 1), (1, 500), (500, 1, 3), (40, 60), (61, 33, 3), (200, 300, 3), (2, 2, 3), (29, 28)]
    noise = [chance.integers(0, 256, size).astype(np.uint8) for size in sizes]
    even = [np.full((50, 40), level, dtype=np.uint8) for level in (0, 128, 255)]
    slope = np.linspace(0, 255, 90 * 70).reshape(90, 70).astype(np.uint8)
    return [*noise, *even, slope, np.full((9, 9, 3), (200, 30, 30), dtype=np.uint8), slope.T, slope[::2, ::3]] * 2


def of_texts(encoder: Encoder, *, query: bool = False) -> Vectors:
    return encoder.encode_texts(TEXTS, query=query)


def check_unit(vectors: Vectors, count: int, encoder: Encoder) -> None:
    assert vectors.dtype == np.float32
    assert vectors.shape == (count, encoder.dimension)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_vectors_are_unit_float32_of_the_stated_dimension(subject: Subject, pictures: list[Picture]) -> None:
    encoder = subject.encoder
    if "text" in encoder.reads:
        check_unit(of_texts(encoder), len(TEXTS), encoder)
        check_unit(of_texts(encoder, query=True), len(TEXTS), encoder)
        check_unit(encoder.encode_texts([]), 0, encoder)
    if "image" in encoder.reads:
        check_unit(encoder.encode_pictures(pictures), len(pictures), encoder)
        check_unit(encoder.encode_pictures([]), 0, encoder)


def test_a_batch_says_what_each_says_alone_in_the_same_order(subject: Subject, pictures: list[Picture]) -> None:
    encoder = subject.encoder
    if "text" in encoder.reads:
        for query in (False, True):
            alone = [encoder.encode_texts([text], query=query)[0] for text in TEXTS]
            np.testing.assert_allclose(of_texts(encoder, query=query), alone, atol=1e-5)
        np.testing.assert_allclose(encoder.encode_texts(TEXTS[::-1])[::-1], of_texts(encoder), atol=1e-5)
    if "image" in encoder.reads:
        alone = [encoder.encode_pictures([picture])[0] for picture in pictures]
        np.testing.assert_allclose(encoder.encode_pictures(pictures), alone, atol=1e-5)


def test_different_things_have_different_vectors(subject: Subject, pictures: list[Picture]) -> None:
    encoder = subject.encoder
    if "text" in encoder.reads:
        one, other = encoder.encode_texts(TEXTS[:2])
        assert one @ other < 0.99
    if "image" in encoder.reads:
        noise, slope = encoder.encode_pictures([pictures[3], pictures[11]])
        assert noise @ slope < 0.99


def test_vectors_and_identity_are_the_same_from_one_instance_to_the_next(
    subject: Subject, pictures: list[Picture]
) -> None:
    one, other = subject.encoder, subject.again()
    assert (one.spec, one.identity, one.dimension, one.reads) == (
        other.spec, other.identity, other.dimension, other.reads
    )  # fmt: skip
    for encoder in (one, other):
        if "text" in one.reads:
            np.testing.assert_array_equal(of_texts(one), of_texts(encoder))
        if "image" in one.reads:
            np.testing.assert_array_equal(one.encode_pictures(pictures), encoder.encode_pictures(pictures))


def test_other_weights_have_another_identity(subject: Subject) -> None:
    if subject.changed is None:
        pytest.skip("it has no weights")
    assert subject.changed().identity != subject.encoder.identity


def test_it_refuses_what_it_does_not_read(subject: Subject, pictures: list[Picture]) -> None:
    encoder = subject.encoder
    assert encoder.reads
    assert encoder.reads <= {"text", "image"}
    if "text" not in encoder.reads:
        with pytest.raises(InputError, match=r"an encoder that reads texts"):
            encoder.encode_texts(["a"])
    if "image" not in encoder.reads:
        with pytest.raises(InputError, match=r"an encoder that reads pictures"):
            encoder.encode_pictures(pictures[:1])


def test_eight_threads_get_what_one_gets(subject: Subject, pictures: list[Picture]) -> None:
    encoder = subject.again()  # nothing is loaded yet: the threads meet there as well

    def ask(number: int) -> list[Vectors]:
        found = []
        if "text" in encoder.reads:
            found.append(encoder.encode_texts(TEXTS[number:] + TEXTS[:number]))
        if "image" in encoder.reads:
            found.append(encoder.encode_pictures(pictures[number:] + pictures[:number]))
        return [np.roll(vectors, number, axis=0) for vectors in found]

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(ask, range(8)))
    for answer in answers:
        for vectors, first in zip(answer, answers[0], strict=True):
            np.testing.assert_allclose(vectors, first, atol=1e-5)


def test_long_texts_are_cut(subject: Subject) -> None:
    encoder = subject.encoder
    if "text" not in encoder.reads:
        pytest.skip("it reads no text")
    start = "the optic disc is pale. " * 4000
    for query in (False, True):
        one, other = encoder.encode_texts([start + "glaucoma", start + "nodule ct"], query=query)
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize(
    "odd",
    [
        np.zeros((4, 4), dtype=np.float32),
        np.zeros((4, 4, 4), dtype=np.uint8),
        np.zeros((0, 4), dtype=np.uint8),
        np.zeros(4, dtype=np.uint8),
        [[1, 2], [3, 4]],
    ],
    ids=["float", "four channels", "no rows", "one axis", "a list"],
)
def test_what_is_no_picture_is_refused(subject: Subject, odd: Picture) -> None:
    if "image" not in subject.encoder.reads:
        pytest.skip("it reads no picture")
    with pytest.raises(InputError, match=r"uint8 \[height, width\]"):
        subject.encoder.encode_pictures([odd])
