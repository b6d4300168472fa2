"""Nuclei by the trained network: parting of known maps, drawn discs of both polarities, and what it must refuse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from polyclinic.core.errors import ToolRefusedError
from polyclinic.tools.card import ImageArguments
from polyclinic.tools.imaging.store import ImageStore, TakenIn
from polyclinic.tools.learned.network import Network
from polyclinic.tools.learned.nuclei import (
    TOOL,
    Nuclei,
    bright_ground,
    inscribed_diameter,
    median_diameter,
    nuclei,
    parted,
    signal,
    surety,
    touching,
)

Take = Callable[..., TakenIn]


def run(taken: TakenIn, store: ImageStore) -> Nuclei:
    output = TOOL.run(ImageArguments(image=str(taken.image.blob)), store)
    assert isinstance(output, Nuclei)
    return output


def discs(radius: float, *, side: int = 256, step: float = 3.2) -> NDArray[np.float64]:
    """How much of each pixel a lattice of discs covers, 0 to 1, a little blurred."""
    rows, columns = np.mgrid[:side, :side]
    pitch = step * radius
    offsets = [np.abs((axis - pitch / 2) % pitch - pitch / 2) for axis in (rows, columns)]
    centred = np.hypot(*(np.minimum(offset, pitch - offset) for offset in offsets))
    return np.asarray(ndimage.gaussian_filter((centred < radius).astype(float), 0.8))


def fluorescent(radius: float, **how: float) -> NDArray[np.uint8]:
    noise = np.random.default_rng(0).normal(0.0, 2.0, (256, 256))
    return np.clip(12 + 90 * discs(radius, **how) + noise, 0, 255).astype(np.uint8)


def stained(radius: float) -> NDArray[np.uint8]:
    cover = discs(radius)[..., None]
    noise = np.random.default_rng(0).normal(0.0, 2.0, (256, 256, 3))
    ground, nucleus = np.array([205.0, 180.0, 220.0]), np.array([90.0, 50.0, 160.0])
    return np.clip(ground + (nucleus - ground) * cover + noise, 0, 255).astype(np.uint8)


def whole_discs(radius: float) -> int:
    return int(ndimage.label(discs(radius) > 0.5)[1])


def logits_of(labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """The maps a perfect network gives for `labels`."""
    depth = np.zeros(labels.shape)
    for number in range(1, int(labels.max()) + 1):
        inside = ndimage.distance_transform_edt(labels == number)
        depth = np.maximum(depth, inside / max(1.0, inside.max()))
    return np.where(np.stack([labels > 0, depth > 0.4]), 4.0, -4.0).astype(np.float32)


def test_touching_nuclei_are_parted() -> None:
    rows, columns = np.mgrid[:60, :100]
    left, right = np.hypot(rows - 30, columns - 35), np.hypot(rows - 30, columns - 62)
    labels = np.where((left < 15) & (left <= right), 1, np.where(right < 15, 2, 0))
    found = parted(logits_of(labels))
    assert found.max() == 2
    for number in (1, 2):
        same = found == np.bincount(found[labels == number]).argmax()
        assert (same & (labels == number)).sum() / (same | (labels == number)).sum() > 0.95


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(6, 10)), unique_by=lambda d: d[:2]))
def test_apart_nuclei_are_counted_whatever_their_places(places: list[tuple[int, int, int]]) -> None:
    rows, columns = np.mgrid[:130, :130]
    labels = np.zeros((130, 130), np.int64)
    for number, (row, column, radius) in enumerate(places, 1):
        labels[np.hypot(rows - 13 - 26 * row, columns - 13 - 26 * column) < radius] = number
    found = parted(logits_of(labels))
    assert sorted(np.unique(found)) == list(range(len(places) + 1))
    assert ((found > 0) == (labels > 0)).all()


def test_a_line_parts_what_touches_and_nothing_else() -> None:
    labels = np.zeros((20, 30), np.int32)
    labels[2:10, 2:10], labels[2:10, 10:18], labels[10:14, 18:22], labels[15:18, 2:6] = 1, 2, 3, 4
    line = touching(labels)
    regions, count = ndimage.label((labels > 0) & ~line, structure=np.ones((3, 3)))
    assert count == 4
    assert line.sum() == 9
    assert not line[labels == 4].any()
    for number in range(1, 5):
        assert len(np.unique(regions[(labels == number) & ~line])) == 1


def test_crumbs_are_no_nuclei() -> None:
    labels = np.zeros((80, 80), np.int64)
    labels[10:30, 10:30], labels[50:70, 50:70], labels[5:8, 60:63] = 1, 2, 3
    assert parted(logits_of(labels)).max() == 2


@pytest.mark.parametrize("radius", [6.0, 10.0, 20.0])
@pytest.mark.parametrize("kind", [fluorescent, stained])
def test_discs_of_both_polarities_and_several_sizes_are_counted(
    kind: Callable[[float], NDArray[np.uint8]], radius: float
) -> None:
    found = nuclei(kind(radius), Network.shipped("nuclei"))
    assert int(found.max()) == pytest.approx(whole_discs(radius), rel=0.12)
    truth = discs(radius) > 0.5
    assert 2 * (truth & (found > 0)).sum() / (truth.sum() + (found > 0).sum()) > 0.85


def test_the_signal_is_bright_on_dark_whatever_the_picture() -> None:
    cover = discs(10.0) > 0.5
    for picture in (
        fluorescent(10.0),
        stained(10.0),
        fluorescent(10.0).astype(np.float32) * 200.0,
        255 - fluorescent(10.0),
    ):
        x = signal(picture)
        assert x.shape == (3, 256, 256)
        assert x[:, cover].mean() > 0.5 + x[:, ~cover].mean()
    assert bright_ground(stained(10.0))
    assert not bright_ground(fluorescent(10.0))


def test_the_diameter_is_that_of_the_median_disc() -> None:
    labels = np.zeros((90, 90), np.int32)
    rows, columns = np.mgrid[:90, :90]
    for number, (centre, radius) in enumerate([(12, 8), (40, 12), (75, 13)], 1):
        labels[np.hypot(rows - centre, columns - centre) < radius] = number
    assert median_diameter(labels) == pytest.approx(24, abs=0.6)
    assert median_diameter(np.zeros((5, 5), np.int32)) == 0.0


@pytest.mark.parametrize("radius", [5.0, 10.0, 25.0])
def test_the_size_is_seen_without_parting_what_touches(radius: float) -> None:
    rows, columns = np.mgrid[:200, :300]
    pair = np.hypot(rows - 100, columns - 100) < radius
    pair |= np.hypot(rows - 100, columns - 100 - 1.8 * radius) < radius
    assert inscribed_diameter(pair) == pytest.approx(2 * radius, rel=0.2)
    assert inscribed_diameter(np.zeros((9, 9), np.bool_)) == 0.0


def test_what_is_said_is_what_the_mask_shows(take: Take, store: ImageStore) -> None:
    taken = take(stained(12.0))
    output = run(taken, store)
    mask = store.open(str(output.nuclei_count.mask)).array > 0
    assert output.nuclei_area.value == pytest.approx(100.0 * mask.mean(), rel=0.05)
    assert ndimage.label(mask, structure=np.ones((3, 3)))[1] == output.nuclei_count.value == len(output.detections)
    for found in output.detections:
        left, top, right, bottom = found.box_px
        assert mask[top:bottom, left:right].mean() > 0.4
        assert found.score > 0.5
    assert output.nuclei_density.value == pytest.approx(output.nuclei_count.value / 0.065536, abs=0.6)
    assert output.nuclei_count.text == f"{output.nuclei_count.value:.0f} nuclei were counted in the picture."
    assert output.overlay is not None
    assert run(taken, store) == output


def test_surety_is_the_mean_share_where_nuclei_were_found() -> None:
    logits = np.array([[0.0, 50.0], [-50.0, 9.0]], np.float32)
    assert surety(logits, np.array([[True, True], [False, False]])) == pytest.approx(0.75)


def test_speckle_is_refused_as_no_nuclei(take: Take, store: ImageStore) -> None:
    speckle = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(256, 256)), 6.0)
    ragged = np.clip(60 + 60 * speckle / speckle.std(), 0, 255).astype(np.uint8)
    with pytest.raises(ToolRefusedError, match=r"not round or oval|unsure|as wide as"):
        run(take(ragged), store)


def test_brown_stain_and_a_fundus_are_refused(take: Take, store: ImageStore) -> None:
    for name in ("ihc.png", "retina.jpg"):
        with pytest.raises(ToolRefusedError, match=r"not blue or purple"):
            run(take(f"package://skimage/data/{name}"), store)


@pytest.mark.parametrize(
    ("picture", "got"),
    [
        (np.full((200, 200), 40, np.uint8), "one even tone"),
        (fluorescent(8.0)[:40], "less than 64 px"),
    ],
)
def test_what_shows_no_nuclei_is_refused(picture: NDArray[np.uint8], got: str, take: Take, store: ImageStore) -> None:
    with pytest.raises(ToolRefusedError, match=got):
        run(take(picture), store)


def test_real_pictures_are_counted_nearly_as_by_hand(data_dir: Path) -> None:
    """Pictures it was trained on, so this shows that the parts fit together; the card's figures are cross-validated."""
    folder = data_dir / "nuclei_dsb2018"
    if not folder.is_dir():
        pytest.skip(f"no BBBC038: {folder} is not a folder")
    for name in ("4590d7d47f521df6", "dad607a203483439", "0532c64c2fd0c4d3"):
        picture = np.asarray(PIL.Image.open(folder / f"images/{name}.png").convert("RGB"))
        truth = np.asarray(PIL.Image.open(folder / f"instance_labels/{name}.png"))
        found = nuclei(picture, Network.shipped("nuclei"))
        assert int(found.max()) == pytest.approx(len(np.unique(truth)) - 1, rel=0.25)
        assert 2 * ((found > 0) & (truth > 0)).sum() / ((found > 0).sum() + (truth > 0).sum()) > 0.85
