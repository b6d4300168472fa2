"""The door to pydicom: DICOM files to pixels and to the few facts that name nobody. It stores nothing."""

from __future__ import annotations

import io
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.case import pseudonym
from ...core.errors import InputError, MissingExtraError
from ...knowledge.sources.dicom import DicomFacts
from .apart import Apart
from .code_stream import stated_size
from .dicom_facts import frame_times, functional_group, header_facts, known_on
from .dicom_words import CT_STORAGE, MODALITIES, NOT_PICTURES
from .locate import read_bounded
from .pixels import Opened, Unit
from .raster import check_frame, check_size, damaged, decoding, without_equal_channels

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DEFLATED = "1.2.840.10008.1.2.1.99"
_STURDY_PLUGINS = ("pillow", "pyjpegls", "pylibjpeg", "pydicom")
_JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"


@dataclass(frozen=True, kw_only=True)
class DicomPicture:
    """A DICOM picture whose pixels are not decoded yet; `index` is the frame to read, counted from 0."""

    header: Any
    kind: str
    frames: int
    index: int
    patient: str | None


def is_dicom(data: bytes) -> bool:
    """Whether the bytes may be DICOM. Without the "DICM" mark only a data set of group 0008 is tried: it has no file
    meta, so it cannot be a deflated bomb."""
    return data[128:132] == b"DICM" or data[:2] in (b"\x08\x00", b"\x00\x08")


def read_dicom(
    data: bytes, path: Path, *, shown: str, frame: int | None, at_s: float | None = None, apart: Apart | None = None
) -> Opened:
    """One frame of a DICOM file: the one named by `frame` (from 1) or nearest to `at_s`, else the first.

    `apart` is the decoding process that several files share; without it a file that needs one has its own. Raises
    InputError for anything that is no usable picture.
    """
    opened = open_dicom(data, path, shown=shown, frame=frame, at_s=at_s)
    header, kind, index = opened.header, opened.kind, opened.index
    with decoding(shown) as caught, nullcontext(apart) if apart else Apart() as other:
        array = _decoded(data, header, index, caught, other, shown=shown)
        odd_pixels = bool(caught)
        array, unit, limitations = _meaningful(array, header, kind, index)
        if not _finite(array) or array.ndim not in (2, 3):
            raise damaged(shown)
        if odd_pixels:
            limitations.append("The header and the pixel data do not quite agree; the pixels may be incomplete.")
        facts = header_facts(header, kind, index, limitations)
        times = frame_times(header, opened.frames)
        facts["frame_time_s"] = times[index] if times else None
    what = f"DICOM {kind}" if kind in MODALITIES else "DICOM"
    return Opened(array=array, unit=unit, what=what, frames=opened.frames, frame=index, facts=facts,
                  limitations=tuple(limitations), patient_key=opened.patient)  # fmt: skip


def read_dicom_facts(path: Path) -> DicomFacts:
    """What the header of a DICOM picture says that names nobody. No pixel is decoded.

    Raises InputError, whose `expected` names no file, for anything that `read_dicom` would refuse by its header, and
    for uncompressed pixel data that is cut short.
    """
    opened = open_dicom(read_bounded(path, typed=path.name), path, shown=path.name, frame=None)
    with decoding(path.name):
        from pydicom.pixels.utils import get_expected_length

        header = opened.header
        compressed = header.file_meta.TransferSyntaxUID.is_compressed
        if not compressed and len(_pixels(header) or b"") < get_expected_length(header):
            raise damaged(path.name)
        facts, date = header_facts(header, opened.kind, opened.index, []), known_on(header)
    return DicomFacts(
        modality=facts["modality"], body_part=facts["body_part"], view=facts["view"], laterality=facts["laterality"],
        date=date, patient_id=pseudonym(opened.patient) if opened.patient else None,
    )  # fmt: skip


def open_header(data: bytes, path: Path, *, shown: str, pixels: bool = True) -> Any:
    """The data set of a DICOM file, unchecked; without `pixels` it ends before them. Raises InputError when deflated:
    such a file may unpack to any size."""
    try:
        import pydicom
        from pydicom.filereader import read_file_meta_info
    except ModuleNotFoundError:
        raise MissingExtraError.of("pydicom", "imaging") from None
    with decoding(shown):
        marked = data[128:132] == b"DICM"
        if marked and str(read_file_meta_info(path).get("TransferSyntaxUID", "")) == _DEFLATED:
            raise InputError(
                expected="a DICOM file whose size is known before it is unpacked",
                got=f"{shown!r}, which is deflated as a whole",
                fix="save it uncompressed, for example with dcmconv +te",
            )
        return pydicom.dcmread(io.BytesIO(data), force=not marked, stop_before_pixels=not pixels)


def kind_of(header: Any) -> str:
    """The code of the modality (CT, MR, DX …), or "" where the header does not say it."""
    return str(header.get("Modality") or "") or ("CT" if header.get("SOPClassUID") == CT_STORAGE else "")


def open_dicom(data: bytes, path: Path, *, shown: str, frame: int | None, at_s: float | None = None) -> DicomPicture:
    """The header of a picture, whose size and encoding are checked. Raises InputError."""
    header = open_header(data, path, shown=shown)
    with decoding(shown):
        kind = kind_of(header)
        if kind in NOT_PICTURES or "Rows" not in header or not _pixels(header):
            raise InputError(
                expected="a DICOM picture",
                got=f"{shown!r}, which holds {NOT_PICTURES.get(kind, 'no pixel data')}",
                fix="name the image object of the study instead",
            )
        frames = int(header.get("NumberOfFrames") or 1)
        check_size(int(header.Columns), int(header.Rows), frames, shown=shown)
        index = check_frame(frame, frames, shown=shown)
        if frame is None and at_s is not None:
            index = _frame_at(at_s, frame_times(header, frames), shown=shown)
        _check_encoding(header, index, frames, shown=shown)
        patient = str(header.get("PatientID") or "").strip() or None
    return DicomPicture(header=header, kind=kind, frames=frames, index=index, patient=patient)


def _frame_at(at_s: float, times: tuple[float, ...], *, shown: str) -> int:
    if not times or at_s > times[-1] + (times[-1] - times[-2] if len(times) > 1 else 0.0):
        raise InputError(
            expected="a time within the film" if times else "a film whose header says when its frames were taken",
            got=f"{at_s:g} s of {shown!r}, which " + (f"ends at {times[-1]:g} s" if times else "does not say it"),
            fix="name a time it has" if times else "choose a frame by its number",
        )
    return min(range(len(times)), key=lambda index: abs(times[index] - at_s))


def _pixels(header: Any) -> Any:
    named = (header.get(name) for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData"))
    return next((found for found in named if found), None)


def _check_encoding(header: Any, index: int, frames: int, *, shown: str) -> None:
    """Refuse encodings no decoder is installed for, and code streams that state another size than the header."""
    from pydicom.encaps import get_frame
    from pydicom.pixels import get_decoder
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    syntax = header.file_meta.get("TransferSyntaxUID")
    if syntax is None:  # files older than the "DICM" mark: how the data set itself was read says it
        implicit, little = header.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        header.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
        return
    if not syntax.is_compressed:
        return
    try:
        available = get_decoder(syntax).is_available
    except NotImplementedError:
        available = False
    if not available or (syntax == _JPEG_EXTENDED and int(header.BitsStored) > 8):  # 12 bits: only GPL codecs read it
        raise InputError(
            expected="pixel data in an encoding that can be decoded here",
            got=f"{shown!r}, encoded as {syntax.name if not syntax.is_private else 'a private encoding'}",
            fix="save it uncompressed, for example with gdcmconv --raw",
        )
    width, height = stated_size(get_frame(header.PixelData, index, number_of_frames=frames))
    if width * height and (width, height) != (int(header.Columns), int(header.Rows)):
        raise damaged(shown)


def _decoded(data: bytes, header: Any, index: int, caught: list[Any], apart: Apart, *, shown: str) -> NDArray[Any]:
    """The stored values of one frame, by the first plug-in that can: those that survive damaged bytes, then gdcm.

    `caught` is left with the warnings of that one.
    """
    from pydicom.pixels import get_decoder, pixel_array

    syntax = header.file_meta.TransferSyntaxUID
    if not syntax.is_compressed:
        return pixel_array(header, index=index)
    available = get_decoder(syntax).available_plugins
    for name in _STURDY_PLUGINS:
        if name in available:
            try:
                return pixel_array(header, index=index, decoding_plugin=name)
            except Exception:  # noqa: BLE001 - decoders raise anything; what one cannot read another may
                caught.clear()
    if "gdcm" in available:
        return apart.stored_values(data, index, shown=shown)
    raise damaged(shown)


def values_by_gdcm(data: bytes, index: int) -> NDArray[Any]:
    """The stored values of one frame of a DICOM file, for a process of its own: damaged bytes may end it."""
    from pydicom import dcmread
    from pydicom.pixels import pixel_array

    return pixel_array(dcmread(io.BytesIO(data)), index=index, decoding_plugin="gdcm")


def _meaningful(array: NDArray[Any], header: Any, kind: str, index: int) -> tuple[NDArray[Any], Unit, list[str]]:
    """Stored values as HU, RGB or intensity, with what has to be said about them."""
    import numpy as np
    from pydicom.pixels import apply_color_lut, apply_rescale, apply_voi_lut

    limitations: list[str] = []
    photometric = str(header.get("PhotometricInterpretation") or "")
    if photometric == "PALETTE COLOR":
        array = apply_color_lut(array, header)
    if array.ndim == 3:
        if photometric == "PALETTE COLOR":
            array = array >> 8 * (array.dtype.itemsize - 1)
        elif int(header.BitsStored) > 8:
            array = array >> (int(header.BitsStored) - 8)
            limitations.append("The picture has more than 8 bits per colour; it was read with 8.")
        grey = without_equal_channels(array.astype(np.uint8))
        return grey, "rgb" if grey.ndim == 3 else "intensity", limitations
    values = functional_group(header, index, "PixelValueTransformationSequence") or header
    scout = "LOCALIZER" in [str(word).strip() for word in (header.get("ImageType") or ())]
    if kind == "CT" and not scout and "RescaleSlope" in values and values.get("RescaleType", "HU") in ("HU", ""):
        return apply_rescale(array, values).astype(np.float32), "HU", limitations
    if kind == "CT":
        limitations.append("The CT values carry no Hounsfield scale; they are grey levels only.")
    if "RescaleSlope" in values:
        array = apply_rescale(array, values)
    if kind in ("CR", "DX", "MG", "RG"):  # their VOI table is part of how the picture was made
        array = apply_voi_lut(array, header)
    if photometric == "MONOCHROME1":
        array = array.max() - array.astype(np.float32) + array.min()
    if array.dtype == np.uint8 or (int(header.BitsAllocated) == 8 and array.min() >= 0 and array.max() <= 255):
        return array.astype(np.uint8), "intensity", limitations
    return array.astype(np.float32), "intensity", limitations


def _finite(array: NDArray[Any]) -> bool:
    import numpy as np

    return bool(np.isfinite(array).all())
