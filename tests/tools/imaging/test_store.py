"""The image store on real files: what is kept, what is left behind, what is refused."""

from __future__ import annotations

import datetime
import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from polyclinic.core.blobs import Blobs
from polyclinic.core.case import Image
from polyclinic.core.errors import InputError, MissingExtraError
from polyclinic.tools.imaging import dicom as door
from polyclinic.tools.imaging.store import ImageStore, TakenIn

Take = Callable[..., TakenIn]


def sample(name: str) -> str:
    return str(get_testdata_file(name, download=False))


def dicom(pixels: np.ndarray[Any, Any], **fields: Any) -> bytes:
    """A DICOM file that holds `pixels`, with what a scanner would write about the patient."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = fields.pop("syntax", ExplicitVRLittleEndian)
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    meta.MediaStorageSOPInstanceUID = header_uid = "1.2.3"
    header = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    header.SOPClassUID, header.SOPInstanceUID = meta.MediaStorageSOPClassUID, header_uid
    header.PatientName, header.PatientID, header.InstitutionName = "DOE^JANE", "MRN-4711", "St Elsewhere"
    colour = pixels.ndim == 3 and pixels.shape[-1] == 3
    header.Rows, header.Columns = pixels.shape[:2] if colour else pixels.shape[-2:]
    header.SamplesPerPixel = 3 if colour else 1
    header.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        header.PlanarConfiguration = 0
    header.BitsAllocated = header.BitsStored = 8 * pixels.dtype.itemsize
    header.HighBit = header.BitsStored - 1
    header.PixelRepresentation = int(pixels.dtype.kind == "i")
    header.PixelData = pixels.tobytes()
    for name, value in fields.items():
        setattr(header, name, value)
    buffer = io.BytesIO()
    header.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def test_a_ct_slice_is_kept_in_hounsfield_units(take: Take, store: ImageStore) -> None:
    taken = take(sample("CT_small.dcm"))
    pixels = store.open(str(taken.image.blob))
    expected = pydicom.dcmread(sample("CT_small.dcm")).pixel_array.astype(np.float32) - 1024
    assert pixels.unit == "HU"
    np.testing.assert_array_equal(pixels.array, expected)
    assert taken.image.modality == "ct"
    assert taken.image.spacing_mm == (0.661468, 0.661468)
    acquired = taken.image.acquired
    assert acquired is not None
    assert 364 <= (datetime.date(1997, 4, 30) - acquired).days <= 3640
    assert taken.image.source == "DICOM CT 128×128"
    assert taken.image.path is None


def test_what_the_user_stated_wins_over_the_header(take: Take) -> None:
    image = take(sample("CT_small.dcm"), modality="mr", spacing_mm=(2.0, 3.0), view="oblique").image
    assert (image.modality, image.spacing_mm, image.view) == ("mr", (2.0, 3.0), "oblique")


def test_no_identifier_is_written_anywhere(take: Take, blobs: Blobs) -> None:
    pixels = np.arange(64, dtype=np.uint16).reshape(8, 8)
    taken = take(
        dicom(pixels, Modality="MR", BodyPartExamined="DOE JANE", ViewPosition="JANE", ImageLaterality="L",
              StudyDescription="DOE")
    )  # fmt: skip
    assert taken.patient_key == "MRN-4711"
    assert (taken.image.body_part, taken.image.view, taken.image.laterality) == (None, None, "left")
    written = b"".join(file.read_bytes() for file in blobs.folder.rglob("*") if file.is_file())
    for secret in ("DOE", "JANE", "MRN-4711", "Elsewhere", "given-1"):
        assert secret not in taken.image.model_dump_json()
        assert secret.encode() not in written


def test_eight_bit_pictures_are_stored_as_bare_png(take: Take, blobs: Blobs) -> None:
    image = take("package://skimage/data/retina.jpg").image
    data = blobs.get(str(image.blob))
    assert data.startswith(b"\x89PNG")
    assert b"Exif" not in data
    assert b"tEXt" not in data
    assert image.size_px == (1411, 1411)
    assert image.source == "JPEG 1411×1411"


def test_the_same_picture_gets_the_same_name(take: Take) -> None:
    picture = np.arange(100, dtype=np.uint8).reshape(10, 10)
    assert take(picture).image == take(picture).image


def test_of_many_frames_the_first_or_the_named_one_is_read(take: Take) -> None:
    first, third = (take(sample("examples_ybr_color.dcm"), frame=frame) for frame in (None, 3))
    assert first.image.frame == 1
    assert third.image.source == "DICOM US 320×240, frame 3 of 30"
    assert first.image.blob != third.image.blob
    assert "29 of 30 frames were not looked at." in first.limitations
    assert "may hold burnt-in text" in first.limitations[0]
    assert (first.image.frames, first.image.frame_time_s) == (30, 0.0)
    with pytest.raises(InputError, match="a frame from 1 to 30"):
        take(sample("examples_ybr_color.dcm"), frame=31)


def test_monochrome1_is_inverted_but_hounsfield_units_are_not(take: Take, store: ImageStore) -> None:
    ramp = np.arange(0, 4096, 64, dtype=np.int16).reshape(8, 8)
    light = {"PhotometricInterpretation": "MONOCHROME1"}
    xray = store.open(str(take(dicom(ramp, Modality="DX", **light)).image.blob)).array
    assert xray[0, 0] == ramp.max()
    ct = take(dicom(ramp, Modality="CT", RescaleSlope=1, RescaleIntercept=-1024, **light))
    assert store.open(str(ct.image.blob)).array[0, 0] == -1024


def test_a_ct_without_a_rescale_is_grey_levels_and_says_so(take: Take, store: ImageStore) -> None:
    ramp = np.arange(64, dtype=np.int16).reshape(8, 8)
    for fields in ({}, {"RescaleSlope": 1, "RescaleIntercept": 0, "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}):
        taken = take(dicom(ramp, Modality="CT", **fields))
        assert store.open(str(taken.image.blob)).unit == "intensity"
        assert "grey levels only" in taken.limitations[0]


def test_palette_and_ybr_become_rgb(take: Take, store: ImageStore) -> None:
    palette = store.open(str(take(sample("examples_palette.dcm")).image.blob))
    assert palette.unit == "rgb"
    assert palette.array.max() == 255
    ybr = store.open(str(take(sample("SC_ybr_full_422_uncompressed.dcm")).image.blob))
    rgb = store.open(str(take(sample("SC_rgb_dcmtk_+eb+cr.dcm")).image.blob))
    assert np.abs(ybr.array.astype(int) - rgb.array).mean() < 8


def test_deep_colour_is_reduced_to_eight_bits(take: Take, store: ImageStore) -> None:
    deep = np.full((4, 4, 3), (0x1234, 0xFFFF, 0), dtype=np.uint16)
    taken = take(dicom(deep))
    assert store.open(str(taken.image.blob)).array[0, 0].tolist() == [0x12, 0xFF, 0]
    assert "more than 8 bits" in taken.limitations[0]


@pytest.mark.parametrize(
    "name", ["MR_small_RLE.dcm", "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm", "MR_small_bigendian.dcm"]
)
def test_every_lossless_encoding_gives_the_same_pixels(name: str, take: Take) -> None:
    assert take(sample(name)).image.blob == take(sample("MR_small.dcm")).image.blob


def test_a_decoder_that_may_crash_runs_in_a_process_of_its_own(take: Take, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = take(sample("MR_small.dcm")).image.blob
    monkeypatch.setattr(door, "_STURDY_PLUGINS", ())
    assert take(sample("MR_small_jp2klossless.dcm")).image.blob == plain
    data = Path(sample("MR_small_jp2klossless.dcm")).read_bytes()
    start = data.index(b"\xff\x4f\xff\x51") + 40
    with pytest.raises(InputError, match="damaged"):
        take(data[:start] + b"\xff" * 400 + data[start + 400 :])


@pytest.mark.parametrize(
    ("name", "got"),
    [
        ("rtplan.dcm", "a treatment plan"), ("test-SR.dcm", "a structured report"), ("rtdose.dcm", "a dose map"),
        ("liver_1frame.dcm", "a segmentation"), ("nested_priv_SQ.dcm", "no pixel data"),
        ("MR_truncated.dcm", "damaged or cut short"), ("JPEG-lossy.dcm", "encoded as JPEG Extended"),
        ("image_dfl.dcm", "deflated as a whole"),
    ],
)  # fmt: skip
def test_what_is_no_readable_picture_is_refused(name: str, got: str, take: Take) -> None:
    with pytest.raises(InputError, match=got):
        take(sample(name))


def test_a_deflated_bomb_is_refused_before_it_is_unpacked(take: Take) -> None:
    with pytest.raises(InputError, match="deflated"):
        take(dicom(np.zeros((4000, 4000), np.uint8), syntax=DeflatedExplicitVRLittleEndian))


@pytest.mark.parametrize("fields", [{"Rows": 60_000, "Columns": 60_000}, {"NumberOfFrames": 5_001}, {"Columns": 0}])
def test_stated_sizes_beyond_the_limits_are_refused(fields: dict[str, int], take: Take) -> None:
    with pytest.raises(InputError, match="megapixels"):
        take(dicom(np.zeros((8, 8), np.uint8), **fields))


def test_a_code_stream_that_states_another_size_than_the_header_is_refused(take: Take) -> None:
    for name, marker, at in (("693_J2KI.dcm", b"\xff\x4f\xff\x51", 8), ("SC_rgb_small_odd_jpeg.dcm", b"\xff\xc0", 5)):
        data = bytearray(Path(sample(name)).read_bytes())
        start = data.index(marker, 500) + at
        data[start : start + 2] = b"\x7f\xff"
        with pytest.raises(InputError, match="damaged"):
            take(bytes(data))


@pytest.mark.parametrize(
    ("data", "got"),
    [
        (b"hello, I am a text", "something else"), (b"%PDF-1.7", "a PDF"),
        (b"\x1f\x8b" + b"\0" * 20, "a gzip archive"),
    ],
)  # fmt: skip
def test_content_decides_not_the_name(data: bytes, got: str, take: Take, tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_bytes(data)
    with pytest.raises(InputError, match=f"'picture.png', which holds {got}"):
        take("picture.png")


def test_functional_groups_of_enhanced_objects_are_read(take: Take, store: ImageStore) -> None:
    measures, values, shared = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = [0.5, 0.25]
    values.RescaleSlope, values.RescaleIntercept, values.RescaleType = 2, -100, "HU"
    shared.PixelMeasuresSequence, shared.PixelValueTransformationSequence = [measures], [values]
    taken = take(dicom(np.ones((4, 4), np.int16), Modality="CT", SharedFunctionalGroupsSequence=[shared]))
    assert taken.image.spacing_mm == (0.5, 0.25)
    assert store.open(str(taken.image.blob)).array[0, 0] == -98


def test_doubtful_headers_become_limitations(take: Take) -> None:
    taken = take(
        dicom(np.zeros((8, 8), np.uint8), Modality="DX", ImagerPixelSpacing=[0.1, 0.1], BurnedInAnnotation="YES",
              PixelSpacing=[0, -1], BodyPartExamined="CHEST", ViewPosition="PA", AcquisitionDate="")
    )  # fmt: skip
    assert taken.image.spacing_mm == (0.1, 0.1)
    assert (taken.image.body_part, taken.image.view, taken.image.modality) == ("chest", "PA", "xray")
    assert taken.image.acquired is None
    assert len(taken.limitations) == 2


def test_more_pixel_data_than_the_header_says_is_a_limitation(take: Take) -> None:
    assert "do not quite agree" in take(sample("MR_small_padded.dcm")).limitations[0]


def test_values_that_are_no_numbers_are_refused(take: Take) -> None:
    data = dicom(np.ones((4, 4), np.int16), Modality="CT", RescaleSlope="1e308", RescaleIntercept="1e308")
    with pytest.raises(InputError, match="damaged"):
        take(data)


def test_an_image_that_is_stored_already_is_only_checked(store: ImageStore, take: Take) -> None:
    image = take(np.eye(20, dtype=np.uint8)).image
    assert store.take_in(image, base=Path(), root=None) == TakenIn(image=image)
    with pytest.raises(InputError):
        store.take_in(Image(blob="0" * 64), base=Path(), root=None)


def test_a_blob_that_is_no_picture_is_refused(store: ImageStore, blobs: Blobs) -> None:
    with pytest.raises(InputError, match="which is none"):
        store.open(blobs.put(b"words"))
    with pytest.raises(InputError, match="damaged"):
        store.open(blobs.put(b"\x93NUMPY but not really"))


def test_masks_are_black_and_white(store: ImageStore) -> None:
    mask = np.eye(5, dtype=bool)
    np.testing.assert_array_equal(store.open(store.put_mask(mask)).array, np.where(mask, 255, 0))


def test_without_pydicom_the_extra_is_named(take: Take, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(MissingExtraError, match=r"polyclinic\[imaging\]"):
        take(sample("CT_small.dcm"))


def test_importing_the_door_does_not_open_it() -> None:
    heavy = "('pydicom', 'nibabel', 'PIL', 'numpy')"
    code = f"import polyclinic.tools.imaging.store, sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
