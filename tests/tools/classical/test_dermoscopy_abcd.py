"""The ABCD rule on drawn moles whose asymmetry, border and colours are known, and refusals."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from polyclinic.core.errors import ToolRefusedError
from polyclinic.tools.card import ScaledImageArguments
from polyclinic.tools.classical.dermoscopy_abcd import TOOL, DermoscopyAbcd, asymmetry, border, colours, find_lesion
from polyclinic.tools.imaging.store import ImageStore, TakenIn

Take = Callable[..., TakenIn]
SKIN, LIGHT, DARK, BLACK, BLUE = (222, 178, 156), (165, 110, 70), (90, 55, 40), (22, 18, 18), (95, 105, 135)


def skin() -> NDArray[np.float64]:
    return np.full((300, 360, 3), SKIN, dtype=np.float64)


def finished(picture: NDArray[np.float64], blur: float = 1.0) -> NDArray[np.uint8]:
    smooth = ndimage.gaussian_filter(picture, (blur, blur, 0))
    return (smooth + np.random.default_rng(0).normal(0, 3, picture.shape)).clip(0, 255).astype(np.uint8)


def around(x: float = 180, y: float = 150, across: float = 80, down: float = 60) -> NDArray[np.bool_]:
    rows, columns = np.mgrid[:300, :360]
    return np.asarray(((columns - x) / across) ** 2 + ((rows - y) / down) ** 2 <= 1)


def mole(blur: float = 1.0) -> NDArray[np.uint8]:
    picture = skin()
    picture[around()] = LIGHT
    return finished(picture, blur)


def melanoma() -> NDArray[np.uint8]:
    """A notched, lop-sided shape of four colours with a sharp border."""
    picture = skin()
    shape = (around() | around(240, 110, 50, 35)) & ~around(150, 205, 45, 30)
    picture[shape] = LIGHT
    picture[shape & around(130, 130, 45, 50)] = DARK
    picture[shape & around(240, 110, 40, 30)] = BLACK
    picture[shape & around(190, 160, 30, 25)] = BLUE
    return finished(picture)


def run(picture: NDArray[np.uint8], take: Take, store: ImageStore, **stated: object) -> DermoscopyAbcd:
    blob = str(take(picture).image.blob)
    output = TOOL.run(ScaledImageArguments.model_validate({"image": blob, **stated}), store)
    assert isinstance(output, DermoscopyAbcd)
    return output


def test_a_round_even_mole_scores_low() -> None:
    lesion = find_lesion(mole())
    assert asymmetry(lesion)[0] == 0
    assert colours(lesion) == ("light brown",)
    expected = around()
    assert 2 * (lesion.mask & expected).sum() / (lesion.mask.sum() + expected.sum()) > 0.95


def test_a_lopsided_many_coloured_one_scores_high() -> None:
    lesion = find_lesion(melanoma())
    assert asymmetry(lesion)[0] == 2
    assert set(colours(lesion)) == {"light brown", "dark brown", "black", "blue-grey"}


def test_a_sharp_border_scores_more_than_a_faded_one() -> None:
    sharp, faded = border(find_lesion(mole(1.0))), border(find_lesion(mole(18.0)))
    assert sharp == 8
    assert faded == 0


def test_the_score_is_a_range_over_the_structures_that_were_not_measured(take: Take, store: ImageStore) -> None:
    output = run(melanoma(), take, store)
    a, b, c = (part.value for part in (output.asymmetry, output.border, output.colours))
    assert output.lowest_score.value == pytest.approx(1.3 * a + 0.1 * b + 0.5 * c + 0.5, abs=0.01)
    assert output.highest_score.value - output.lowest_score.value == pytest.approx(2.0, abs=0.01)
    assert output.lowest_score.of == (output.asymmetry.name, output.border.name, output.colours.name)


def test_the_score_itself_is_given_only_where_the_range_leaves_no_doubt(take: Take, store: ImageStore) -> None:
    benign, suspicious = run(mole(), take, store), run(melanoma(), take, store)
    assert benign.score is not None
    assert benign.score.value < 4.75
    assert "at most" in benign.score.text
    for output in (benign, suspicious):
        sure = output.lowest_score.value > 5.45 or output.highest_score.value < 4.75
        assert (output.score is not None) == sure
        assert any("(D)" in text for text in output.limitations)


def test_the_diameter_is_in_millimetres_where_the_spacing_is_known(take: Take, store: ImageStore) -> None:
    output = run(mole(), take, store, spacing_mm=(0.05, 0.05))
    assert output.diameter is not None
    assert output.diameter.value == pytest.approx(8.0, abs=0.3)
    assert run(mole(), take, store).diameter is None


def test_hairs_do_not_change_the_shape() -> None:
    hairy = mole().copy()
    for column in range(20, 360, 60):
        hairy[:, column : column + 2] = (40, 30, 30)
    lesion, bald = find_lesion(hairy), find_lesion(mole())
    assert 2 * (lesion.mask & bald.mask).sum() / (lesion.mask.sum() + bald.mask.sum()) > 0.95


def test_bare_skin_and_cut_lesions_are_refused(take: Take, store: ImageStore) -> None:
    with pytest.raises(ToolRefusedError, match="stands out"):
        run(finished(skin()), take, store)
    cut = skin()
    cut[around(0, 150, 120, 90)] = DARK
    with pytest.raises(ToolRefusedError, match="cuts off"):
        run(finished(cut), take, store)


@pytest.mark.parametrize("name", ["retina.jpg", "ihc.png", "coins.png", "astronaut.png", "microaneurysms.png"])
def test_other_pictures_are_refused(name: str, take: Take, store: ImageStore) -> None:
    blob = str(take(f"package://skimage/data/{name}").image.blob)
    with pytest.raises(ToolRefusedError):
        TOOL.run(ScaledImageArguments(image=blob), store)
