"""Two dates of one view: a known transform is found again, a planted change is seen, and strangers are refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from polyclinic.core.errors import ToolRefusedError
from polyclinic.tools.card import ComparedImagesArguments
from polyclinic.tools.classical.alignment import align
from polyclinic.tools.classical.registration_difference import TOOL, Difference
from polyclinic.tools.imaging.raster import resized
from polyclinic.tools.imaging.store import ImageStore, TakenIn

Take = Callable[..., TakenIn]


@pytest.fixture
def retina(take: Take, store: ImageStore) -> NDArray[np.uint8]:
    pixels = store.open(str(take("package://skimage/data/retina.jpg").image.blob))
    return np.asarray(resized(pixels.array.astype(np.uint8), (700, 700)))


def moved(
    picture: NDArray[np.uint8], *, turn: float = 5.0, scale: float = 1.04, shift: tuple[float, float] = (18.0, -12.0)
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """The picture turned (degrees), scaled and shifted, darker and noisy; and the matrix from its places to there."""
    angle = np.radians(turn)
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.array(picture.shape[1::-1]) / 2.0
    matrix = np.hstack([linear, (middle + shift - linear @ middle)[:, None]])
    back = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2][::-1, [1, 0, 2]]
    planes = [ndimage.affine_transform(plane, back[:, :2], back[:, 2], order=1) for plane in
              picture.astype(float).transpose(2, 0, 1)]  # fmt: skip
    copy = 0.9 * np.stack(planes, axis=2) + np.random.default_rng(0).normal(0, 2, picture.shape)
    return copy.clip(0, 255).astype(np.uint8), matrix


def run(present: NDArray[np.uint8], earlier: NDArray[np.uint8], take: Take, store: ImageStore) -> Difference:
    blobs = [str(take(picture).image.blob) for picture in (present, earlier)]
    output = TOOL.run(ComparedImagesArguments(image=blobs[0], earlier=blobs[1]), store)
    assert isinstance(output, Difference)
    return output


@pytest.mark.parametrize(
    ("turn", "scale", "shift"), [(0.0, 1.0, (0.0, 0.0)), (7.0, 0.95, (30.0, 20.0)), (-6.0, 1.07, (-25.0, 8.0))]
)
def test_a_known_transform_is_found_within_a_pixel(
    turn: float, scale: float, shift: tuple[float, float], retina: NDArray[np.uint8]
) -> None:
    small = np.asarray(resized(retina, (384, 384)))
    copy, matrix = moved(small, turn=turn, scale=scale, shift=shift)
    found = align(*(picture.astype(np.float32).mean(axis=2) for picture in (small, copy)))
    y, x = np.mgrid[60:324:9j, 60:324:9j]
    places = np.stack([x.ravel(), y.ravel()])
    error = (found.matrix[:, :2] - matrix[:, :2]) @ places + found.matrix[:, 2:] - matrix[:, 2:]
    assert float(np.median(np.hypot(*error))) < 1.0
    assert found.similarity > 0.8


def test_what_was_done_to_the_copy_is_said(retina: NDArray[np.uint8], take: Take, store: ImageStore) -> None:
    copy, _ = moved(retina)
    output = run(retina, copy, take, store)
    assert output.turn.value == pytest.approx(5.0, abs=0.3)
    assert output.scale.value == pytest.approx(1 / 1.04, abs=0.01)
    assert output.shift.value == pytest.approx(np.hypot(18, 12), abs=3)
    assert output.overlap.value > 85


def test_nothing_changed_between_a_picture_and_its_moved_copy(
    retina: NDArray[np.uint8], take: Take, store: ImageStore
) -> None:
    output = run(retina, moved(retina)[0], take, store)
    assert output.changed_area.value == 0
    assert output.regions == ()


@pytest.mark.parametrize(("step", "said"), [(50, "brighter"), (-50, "darker")])
def test_a_planted_lesion_is_found(
    step: int, said: str, retina: NDArray[np.uint8], take: Take, store: ImageStore
) -> None:
    copy, _ = moved(retina)
    y, x = np.mgrid[:700, :700]
    spot = np.exp(-((y - 420) ** 2 + (x - 450) ** 2) / (2 * 20.0**2))
    present = (retina + step * spot[..., None]).clip(0, 255).astype(np.uint8)
    output = run(present, copy, take, store)
    (region,) = output.regions
    assert said in region.text
    assert region.box_px is not None
    left, top, right, bottom = region.box_px
    assert left < 450 < right
    assert top < 420 < bottom
    assert right - left < 120
    assert region.of == ("changed area",)
    mask = store.open(str(region.mask)).array > 0
    assert mask[420, 450]
    assert mask.shape == (700, 700)


def test_another_person_is_refused(retina: NDArray[np.uint8], take: Take, store: ImageStore) -> None:
    mirrored = np.ascontiguousarray(retina[:, ::-1])
    with pytest.raises(ToolRefusedError, match="detail agrees only"):
        run(retina, mirrored, take, store)


def test_unlike_and_blank_pictures_are_refused(retina: NDArray[np.uint8], take: Take, store: ImageStore) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (300, 300, 3)).astype(np.uint8)
    with pytest.raises(ToolRefusedError):
        run(retina, noise, take, store)
    with pytest.raises(ToolRefusedError, match="blank"):
        run(retina, np.zeros((300, 300, 3), np.uint8), take, store)


def test_pictures_of_different_sizes_are_compared(retina: NDArray[np.uint8], take: Take, store: ImageStore) -> None:
    smaller = np.asarray(resized(retina, (500, 500)))
    output = run(retina, smaller, take, store)
    assert output.similarity.value > 0.9
    assert output.shift.value < 4
    assert output.changed_area.value < 0.5
