"""Volumes: DICOM series sorted by place, NIfTI brought to one orientation, and how both are stored."""

from __future__ import annotations

import gzip
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from polyclinic.core.blobs import Blobs
from polyclinic.core.case import Image
from polyclinic.core.errors import InputError
from polyclinic.tools.imaging import nifti, pixels, series
from polyclinic.tools.imaging.pixels import Pixels, Volume, packed, unpacked
from polyclinic.tools.imaging.store import ImageStore, TakenIn, read_picture
from tests.tools.imaging.headers import ct_slice, header_bytes

Take = Callable[..., TakenIn]
AXIAL, SAGITTAL = (1, 0, 0, 0, 1, 0), (0, 1, 0, 0, 0, -1)


def a_series(folder: Path, places: list[float], **fields: Any) -> Path:
    """A folder of slices of 6 × 5 pixels whose values are their place, written in an order of no meaning."""
    folder.mkdir(parents=True, exist_ok=True)
    pose = fields.setdefault("ImageOrientationPatient", list(AXIAL))
    normal = np.cross(pose[:3], pose[3:])
    for number, place in enumerate(places):
        header = ct_slice(np.full((6, 5), round(place), np.int16), **fields)
        header.ImagePositionPatient = [float(step) for step in normal * place]
        header.InstanceNumber = number + 1
        header.SOPInstanceUID = f"1.2.3.{number + 1}"
        (folder / f"{7 * number % 5}-{number}.dcm").write_bytes(header_bytes(header))
    return folder


def volume_of(store: ImageStore, taken: TakenIn) -> Volume:
    return store.open_volume(str(taken.image.blob))


def test_a_series_is_sorted_by_place_and_measured_between_places(take: Take, store: ImageStore, tmp_path: Path) -> None:
    folder = a_series(tmp_path / "ct", [30, 10, 20, 0, 40], SliceThickness=5, PixelSpacing=[0.5, 0.7])
    taken = take(str(folder))
    volume = volume_of(store, taken)
    assert volume.array[:, 0, 0].tolist() == [-1024, -1014, -1004, -994, -984]
    assert (volume.unit, volume.spacing_mm, volume.axes) == ("HU", (10.0, 0.5, 0.7), "SPL")
    assert volume.array.dtype == np.int16
    assert (taken.image.slices, taken.image.slice_spacing_mm, taken.image.size_px) == (5, 10.0, (5, 6))
    assert taken.image.source == "DICOM CT 5×6×5"
    assert store.open(str(taken.image.blob)).array[0, 0] == -1004
    assert store.open(str(taken.image.blob)).array.dtype == np.float32
    assert store.png(str(taken.image.blob), most_pixels=None).startswith(b"\x89PNG")


def test_a_real_series_lies_as_radiologists_look_at_it(take: Take, store: ImageStore, data_dir: Path) -> None:
    volume = volume_of(store, take(str(data_dir / "ct_totalseg_example" / "dicom")))
    assert volume.array.shape == (20, 512, 512)
    assert volume.spacing_mm == (2.0, 0.9765625, 0.9765625)
    liver, spleen = volume.array[10, 250:350, 140:200], volume.array[10, 290:350, 340:380]
    assert 60 < np.median(liver) < 150  # the liver lies on the patient's right: on the left of the picture
    assert 60 < np.median(spleen) < 150
    assert np.median(volume.array[10, :60]) < -900


@pytest.mark.parametrize(
    ("pose", "axes"),
    [((-1, 0, 0, 0, 1, 0), "SPL"), ((-1, 0, 0, 0, -1, 0), "SPL"), (SAGITTAL, "RIP"), ((1, 0, 0, 0, 0, -1), "PIL")],
)
def test_axial_slices_are_turned_and_others_say_how_they_lie(
    pose: tuple[int, ...], axes: str, take: Take, store: ImageStore, tmp_path: Path
) -> None:
    folder = tmp_path / "mr"
    folder.mkdir()
    ramp = np.arange(30, dtype=np.int16).reshape(6, 5)
    normal = np.cross(pose[:3], pose[3:])
    for number in range(3):
        header = ct_slice(ramp + 100 * number, ImageOrientationPatient=list(pose))
        header.ImagePositionPatient = [float(step) for step in normal * number]
        (folder / f"{number}.dcm").write_bytes(header_bytes(header))
    volume = volume_of(store, take(str(folder)))
    assert volume.axes == axes
    expected = np.stack([ramp, ramp + 100, ramp + 200]) - 1024
    flips = [number for number, way in enumerate((normal[2], pose[4], pose[0])) if axes == "SPL" and way < 0]
    np.testing.assert_array_equal(volume.array, np.flip(expected, flips))


def test_what_is_odd_about_a_series_is_said(take: Take, store: ImageStore, tmp_path: Path) -> None:
    gap = take(str(a_series(tmp_path / "gap", [0, 1, 2, 4, 5])))
    assert "slices are missing" in gap.limitations[0]
    assert (gap.image.slice_spacing_mm, volume_of(store, gap).spacing_mm) == (None, None)
    folder = a_series(tmp_path / "extras", [*range(12), 4])
    (folder / "notes.txt").write_text("DOE^JANE")
    scout = header_bytes(ct_slice(np.zeros((9, 9), np.int16), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]))
    (folder / "scout.dcm").write_bytes(scout)
    said = take(str(folder)).limitations
    assert "1 of 14 files" not in said[0]
    assert "no DICOM pictures" in said[0]
    assert "1 localizer" in said[1]
    assert "1 picture(s) lie where another one does" in said[2]
    tilted = tmp_path / "tilted"
    tilted.mkdir()
    for number in range(3):
        header = ct_slice(np.zeros((4, 4), np.int16), ImagePositionPatient=[0.0, 0.3 * number, 1.0 * number])
        (tilted / f"{number}.dcm").write_bytes(header_bytes(header))
    assert any("tilted gantry" in note for note in take(str(tilted)).limitations)


def test_slices_without_a_place_are_in_the_order_of_their_numbers(
    take: Take, store: ImageStore, tmp_path: Path
) -> None:
    folder = tmp_path / "placeless"
    folder.mkdir()
    for number in (2, 10, 1):
        header = ct_slice(np.full((4, 4), number, np.int16), InstanceNumber=number)
        del header.ImagePositionPatient
        (folder / f"{number}.dcm").write_bytes(header_bytes(header))
    taken = take(str(folder))
    assert volume_of(store, taken).array[:, 0, 0].tolist() == [-1023, -1022, -1014]
    assert volume_of(store, taken).axes == "SPL"
    assert "in the order of their numbers" in taken.limitations[0]
    assert taken.image.slice_spacing_mm is None


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ({"SeriesInstanceUID": "1.9"}, "one series per folder"), ({"PatientID": "other"}, "one patient per folder"),
        ({"ImageOrientationPatient": list(SAGITTAL)}, "slices of one orientation"),
        ({"NumberOfFrames": 2}, "a series of single slices"), ({"RescaleType": "US"}, "grey values of one kind"),
    ],
)  # fmt: skip
def test_what_makes_no_volume_is_refused(other: dict[str, Any], expected: str, take: Take, tmp_path: Path) -> None:
    folder = a_series(tmp_path / "mixed", [0, 1, 2])
    stranger = ct_slice(np.zeros((6, 5), np.int16), ImagePositionPatient=[0.0, 0.0, 3.0], **other)
    (folder / "zz DOE^JANE.dcm").write_bytes(header_bytes(stranger))
    with pytest.raises(InputError, match=expected) as raised:
        take(str(folder))
    assert "DOE" not in str(raised.value)


def test_phases_at_the_same_places_and_sizes_that_differ_are_refused(take: Take, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="one picture at each place"):
        take(str(a_series(tmp_path / "phases", [0, 1, 2, 0, 1, 2])))
    folder = a_series(tmp_path / "sizes", [0, 1])
    large = ct_slice(np.zeros((9, 9), np.int16), ImagePositionPatient=[0.0, 0.0, 3.0])
    (folder / "large.dcm").write_bytes(header_bytes(large))
    with pytest.raises(InputError, match="slices of one size"):
        take(str(folder))


def test_limits_of_a_series_are_checked_before_any_pixel_is_decoded(
    take: Take, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = a_series(tmp_path / "many", [0, 1, 2])
    monkeypatch.setattr(series, "read_dicom", lambda *_, **__: pytest.fail("decoded"))
    with monkeypatch.context() as patch:
        patch.setattr(pixels, "MAX_VOXELS", 80)
        with pytest.raises(InputError, match="5 × 6 × 3 voxels"):
            take(str(folder))
    with monkeypatch.context() as patch:
        patch.setattr(series, "MAX_FRAMES", 2)
        with pytest.raises(InputError, match="at most 2 files"):
            take(str(folder))
    with monkeypatch.context() as patch:
        patch.setattr(series, "_SECONDS", -1.0)
        with pytest.raises(InputError, match="takes longer"):
            take(str(folder))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="which holds none"):
        take(str(tmp_path / "empty"))


def test_a_link_out_of_the_folder_is_refused(take: Take, tmp_path: Path) -> None:
    folder = a_series(tmp_path / "linked", [0, 1])
    shutil.copy(next(folder.iterdir()), tmp_path / "outside.dcm")
    (folder / "in.dcm").symlink_to(tmp_path / "outside.dcm")
    with pytest.raises(InputError, match="a link out of it"):
        take(str(folder))


def test_a_folder_with_one_picture_is_that_picture(take: Take, store: ImageStore, tmp_path: Path) -> None:
    taken = take(str(a_series(tmp_path / "one", [7])))
    assert taken.image.slices is None
    with pytest.raises(InputError, match="a single picture"):
        volume_of(store, taken)
    assert read_picture(tmp_path / "one").shape == (6, 5, 3)


def nii(array: NDArray[Any], affine: Any = None, kind: Any = nibabel.Nifti1Image, **fields: Any) -> bytes:
    image = kind(array, np.eye(4) if affine is None else affine)
    image.header.set_xyzt_units("mm", "sec")
    for name, value in fields.items():
        image.header[name] = value
    return bytes(image.to_bytes())


def with_header(data: bytes, **fields: Any) -> bytes:
    """The file with other fields in its header, whether or not they fit what follows."""
    header = nibabel.Nifti1Header(data[:348], check=False)
    for name, value in fields.items():
        header[name] = value
    return bytes(header.binaryblock) + data[348:]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    order=st.permutations(range(3)), flips=st.tuples(*[st.booleans()] * 3), packing=st.booleans(),
    kind=st.sampled_from([nibabel.Nifti1Image, nibabel.Nifti2Image]),
)  # fmt: skip
def test_however_a_nifti_is_stored_it_comes_out_lying_the_same(
    order: list[int], flips: tuple[bool, ...], packing: bool, kind: Any, take: Take, store: ImageStore
) -> None:
    lps = np.arange(2 * 3 * 4, dtype=np.int16).reshape(2, 3, 4) - 1000  # indices rise to the left, back and head
    steps = (0.5, 0.7, 3.0)
    affine = np.diag([-steps[0], -steps[1], steps[2], 1.0])
    array, turned = lps, affine
    for axis, flip in enumerate(flips):
        if flip:
            array = np.flip(array, axis)
            turned = turned @ _flipping(axis, lps.shape[axis])
    array = array.transpose(order)
    turned = turned[:, [*order, 3]]
    data = nii(array, turned, kind)
    taken = take(gzip.compress(data) if packing else data, modality="ct")
    volume = volume_of(store, taken)
    np.testing.assert_array_equal(volume.array, lps.transpose(2, 1, 0))
    np.testing.assert_allclose(volume.spacing_mm or (), (3.0, 0.7, 0.5), rtol=1e-6)
    assert (volume.unit, volume.axes, taken.image.slices) == ("HU", "SPL", 4)
    assert taken.limitations == ("Of 4 slices, what looks at a single picture sees the one in the middle.",)


def _flipping(axis: int, size: int) -> NDArray[np.float64]:
    matrix = np.eye(4)
    matrix[axis, axis], matrix[axis, 3] = -1, size - 1
    return matrix


def test_values_are_hounsfield_units_only_where_ct_is_stated(take: Take, store: ImageStore) -> None:
    air = nii(np.arange(60, dtype=np.int16).reshape(3, 4, 5) * 40 - 1000)
    assert volume_of(store, take(air, modality="ct")).unit == "HU"
    for stated in (None, "mr"):
        assert volume_of(store, take(air, modality=stated)).unit == "intensity"
    windowed = take(nii(np.arange(60, dtype=np.uint8).reshape(3, 4, 5)), modality="ct")
    assert volume_of(store, windowed).unit == "intensity"
    assert "no Hounsfield scale" in windowed.limitations[0]


def test_a_scale_is_applied_and_missing_numbers_are_zero(take: Take, store: ImageStore) -> None:
    ramp = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    scaled = volume_of(store, take(nii(ramp, scl_slope=0.5, scl_inter=-10), modality="mr"))
    np.testing.assert_allclose(scaled.array, (ramp * 0.5 - 10).transpose(2, 1, 0)[:, ::-1, ::-1])
    holes = ramp.astype(np.float32)
    holes[0, 0, 0] = np.nan
    assert "set to 0" in take(nii(holes), modality="mr").limitations[0]


def test_of_several_volumes_one_is_chosen_by_number_or_time(take: Take, store: ImageStore) -> None:
    ramp = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    data = gzip.compress(nii(np.stack([ramp, ramp + 100, ramp + 200], axis=-1), pixdim=[1, 1, 1, 1, 2.5, 0, 0, 0]))
    with pytest.raises(InputError, match="name one of them with frame: 1 to 3"):
        take(data, modality="mr")
    third, second = take(data, modality="mr", frame=3), take(data, modality="mr", frame_time_s=2.4)
    assert volume_of(store, third).array.min() == 200
    assert (second.image.frame, second.image.frames, second.image.frame_time_s) == (2, 3, 2.5)


def test_label_maps_are_no_pictures(take: Take, data_dir: Path) -> None:
    folder = data_dir / "ct_totalseg_example"
    for name in ("example_seg.nii.gz", "example_seg_dicom.nii.gz"):
        with pytest.raises(InputError, match="map of labels"):
            take(str(folder / name))
    assert take(str(folder / "example_ct_sm.nii.gz"), modality="ct").image.source == "NIfTI 122×101×30"
    with pytest.raises(InputError, match="map of labels"):
        take(nii(np.arange(60, dtype=np.int16).reshape(3, 4, 5), intent_code=1002))


@pytest.mark.parametrize(
    ("fields", "got"),
    [
        ({"dim": [3, 30_000, 30_000, 30_000, 1, 1, 1, 1]}, "voxels"), ({"dim": [4, 3, 4, 5, 30_000, 1, 1, 1]}, "30000"),
        ({"dim": [9, 3, 4, 5, 1, 1, 1, 1]}, "damaged"), ({"vox_offset": 1e9}, "damaged|larger"),
        ({"dim": [3, 30, 40, 50, 1, 1, 1, 1]}, "damaged"), ({"datatype": 128, "bitpix": 24}, "of another kind"),
        ({"magic": b"ni1"}, "the header of a pair"), ({"srow_x": [0, 0, 0, 0]}, "damaged"),
    ],
)  # fmt: skip
def test_headers_that_promise_too_much_are_refused(fields: dict[str, Any], got: str, take: Take) -> None:
    with pytest.raises(InputError, match=got):
        take(gzip.compress(with_header(nii(np.arange(60, dtype=np.int16).reshape(3, 4, 5)), **fields)))


def test_a_gzip_bomb_is_unpacked_no_further_than_the_header_states(take: Take, monkeypatch: pytest.MonkeyPatch) -> None:
    small = nii(np.arange(60, dtype=np.int16).reshape(3, 4, 5) - 50)
    unpacked_sizes = []
    real = zlib.decompressobj

    class Counted:
        def __init__(self, bits: int) -> None:
            self.real = real(bits)

        def decompress(self, data: bytes, size: int) -> bytes:
            found = self.real.decompress(data, size)
            unpacked_sizes.append(len(found))
            return found

        def __getattr__(self, name: str) -> Any:
            return getattr(self.real, name)

    bomb = gzip.compress(small + bytes(200_000_000), compresslevel=1)
    vast = gzip.compress(with_header(small, dim=[3, 20_000, 20_000, 2_000, 1, 1, 1, 1]) + bytes(50_000_000))
    monkeypatch.setattr(nifti.zlib, "decompressobj", Counted)
    assert take(bomb, modality="ct").image.slices == 5
    assert max(unpacked_sizes) <= 544
    unpacked_sizes.clear()
    with pytest.raises(InputError, match="voxels"):
        take(vast)
    assert max(unpacked_sizes) <= 544


@given(array=hnp.arrays(st.sampled_from([np.uint8, np.int16, np.float32]), hnp.array_shapes(min_dims=3, max_dims=3),
                        elements={"allow_nan": False}),
       spacing=st.none() | st.tuples(*[st.floats(0.001, 999)] * 3), axes=st.sampled_from(["", "SPL", "RIP"]),
       unit=st.sampled_from(["HU", "intensity"]))  # fmt: skip
def test_a_volume_is_read_back_as_it_was_packed(array: NDArray[Any], spacing: Any, axes: str, unit: Any) -> None:
    volume = unpacked(packed(array, unit, spacing_mm=spacing, axes=axes), shown="it")
    assert isinstance(volume, Volume)
    np.testing.assert_array_equal(volume.array, array)
    assert (volume.unit, volume.spacing_mm, volume.axes, volume.array.dtype) == (unit, spacing, axes, array.dtype)
    assert not volume.array.flags.writeable


def test_a_picture_is_packed_as_numpy_saves_it(store: ImageStore, blobs: Blobs) -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    data = packed(array, "HU")
    assert data.startswith(b"\x93NUMPY")
    found = store.open(blobs.put(data))
    assert isinstance(found, Pixels)
    np.testing.assert_array_equal(found.array, array)
    with pytest.raises(InputError, match="damaged"):
        store.open(blobs.put(data[:-1]))


def test_stated_spacing_wins_and_is_stored_with_the_volume(take: Take, store: ImageStore) -> None:
    air = nii(np.arange(60, dtype=np.int16).reshape(3, 4, 5) - 1000)
    taken = take(air, modality="ct", spacing_mm=(0.4, 0.5), slice_spacing_mm=2.0)
    assert volume_of(store, taken).spacing_mm == (2.0, 0.4, 0.5)


def test_fields_that_most_images_lack_do_not_show_in_them() -> None:
    plain = Image(path="a.png").model_dump()
    assert not {"slices", "slice_spacing_mm", "region_px", "frames", "frame_time_s"} & set(plain)
    assert Image.model_validate({"path": "a", "slices": 3}).model_dump(mode="json")["slices"] == 3
