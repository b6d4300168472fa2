"""The door to pydicom and the store of pixels: files come in, identifiers stay out. It judges no image."""

from __future__ import annotations

import io
import math
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ...core.blobs import Blobs
from ...core.case import Image, pseudonym
from ...core.errors import InputError, MissingExtraError, TraceError
from ...knowledge.sources.dicom import DicomFacts
from .dicom_facts import functional_group, header_facts, known_on
from .dicom_words import CT_STORAGE, MODALITIES, NOT_PICTURES
from .locate import locate, read_bounded
from .raster import check_frame, check_size, damaged, decoding, png_bytes, read_raster, resized, without_equal_channels

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Unit: TypeAlias = Literal["HU", "rgb", "intensity"]
_PNG, _NUMPY = b"\x89PNG\r\n\x1a\n", b"\x93NUMPY"
_DEFLATED = "1.2.840.10008.1.2.1.99"
_STURDY_PLUGINS = ("pillow", "pyjpegls", "pylibjpeg", "pydicom")
_APART_S = 60.0
_JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
_OTHER_FORMATS = {
    b"\x1f\x8b": "a gzip archive", b"II*\0": "a TIFF", b"MM\0*": "a TIFF", b"GIF8": "a GIF", b"BM": "a BMP",
    b"RIFF": "a WebP", b"%PDF": "a PDF", b"PK": "a zip archive", b"\x5c\x01\0\0": "a NIfTI volume",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """One picture: float32 or uint8, (H, W), or uint8 (H, W, 3) when `unit` is "rgb"."""

    array: NDArray[np.float32] | NDArray[np.uint8]
    unit: Unit


@dataclass(frozen=True, kw_only=True)
class TakenIn:
    """An image whose pixels are stored. `patient_key` is the DICOM patient id as read: compare it, never store it."""

    image: Image
    limitations: tuple[str, ...] = ()
    patient_key: str | None = None


@dataclass(frozen=True, kw_only=True)
class _Read:
    """What one file held, before it is stored: pixels, and the few facts of the header that name nobody."""

    array: NDArray[Any]
    unit: Unit
    what: str
    frames: int = 1
    frame: int = 0
    facts: dict[str, Any]
    limitations: tuple[str, ...] = ()
    patient_key: str | None = None


@dataclass(frozen=True, kw_only=True)
class _Dicom:
    """A DICOM picture whose pixels are not decoded yet; `index` is the frame to read, counted from 0."""

    header: Any
    kind: str
    frames: int
    index: int
    patient: str | None


class ImageStore:
    """De-identified pixels under their sha256. 8-bit pictures are PNG; others are .npy whose field names the unit."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def take_in(self, image: Image, *, base: Path, root: Path | None) -> TakenIn:
        """Read the image's file (see `locate`), store its pixels and describe them.

        What the user stated wins over the DICOM header. An image that has a blob already is only checked. Raises
        InputError for anything that is no usable picture.
        """
        if image.blob is not None:
            try:
                self.open(image.blob)
            except TraceError as error:
                raise InputError(
                    expected="an image whose pixels were taken in before", got=str(error.got), fix="give its path again"
                ) from error
            return TakenIn(image=image)
        assert image.path is not None  # Image has a path or a blob
        read = _read(image.path, base=base, root=root, frame=image.frame)
        stated = image.model_dump(exclude={"path"}, exclude_none=True)
        height, width = read.array.shape[:2]
        one_of = f", frame {read.frame + 1} of {read.frames}" if read.frames > 1 else ""
        known = {key: value for key, value in read.facts.items() if value is not None} | stated
        if read.frames > 1:
            known["frame"] = read.frame + 1
        known |= {"blob": self._put(read.array, read.unit), "size_px": (width, height)}
        known["source"] = f"{read.what} {width}×{height}{one_of}"
        unseen = (f"{read.frames - 1} of {read.frames} frames were not looked at.",) if read.frames > 1 else ()
        return TakenIn(image=Image(**known), limitations=(*read.limitations, *unseen), patient_key=read.patient_key)

    def open(self, blob: str) -> Pixels:
        """The pixels stored as `blob`. Raises TraceError when they are gone or changed, InputError for no picture."""
        import numpy as np

        data = self._blobs.get(blob)
        if data.startswith(_PNG):
            array = read_raster(data, shown=blob[:12], frame=None).array
            return Pixels(array=array, unit="rgb" if array.ndim == 3 else "intensity")
        if data.startswith(_NUMPY):
            with decoding(blob[:12]):
                packed = np.load(io.BytesIO(data), allow_pickle=False)
                unit: Unit = "HU" if packed.dtype.names == ("HU",) else "intensity"
                return Pixels(array=packed[unit].astype(np.float32), unit=unit)
        raise InputError(expected="a stored picture", got=f"the blob {blob[:12]}…, which is none", fix="check the id")

    def png(self, blob: str, *, most_pixels: int | None) -> bytes:
        """The picture stored as `blob` as an 8-bit PNG that a model can be shown, scaled down to `most_pixels`.

        Raises what `open` raises.
        """
        import numpy as np

        from ..pictures import as_picture

        data = self._blobs.get(blob)
        if data.startswith(_PNG):
            width, height = struct.unpack(">II", data[16:24])
            if (most_pixels is None or width * height <= most_pixels) and data[24] <= 8:
                return data
        pixels = self.open(blob)
        array = pixels.array if pixels.array.dtype == np.uint8 else as_picture(pixels)
        height, width = array.shape[:2]
        scale = 1.0 if most_pixels is None else min(1.0, math.sqrt(most_pixels / (width * height)))
        return png_bytes(resized(array, (max(1, math.floor(height * scale)), max(1, math.floor(width * scale)))))

    def put_mask(self, mask: NDArray[np.bool_]) -> str:
        """Store a mask (H, W) as a PNG of 0 and 255 and return its sha256."""
        import numpy as np

        return self._blobs.put(png_bytes(np.where(mask, 255, 0).astype(np.uint8)))

    def put_picture(self, picture: NDArray[np.uint8]) -> str:
        """Store a uint8 RGB picture (H, W, 3) as a PNG and return its sha256."""
        return self._blobs.put(png_bytes(picture))

    def _put(self, array: NDArray[Any], unit: Unit) -> str:
        import numpy as np

        if array.dtype == np.uint8:
            return self._blobs.put(png_bytes(array))
        buffer = io.BytesIO()
        np.save(buffer, array.astype("<f4").view([(unit, "<f4")]), allow_pickle=False)
        return self._blobs.put(buffer.getvalue())


def _read(typed: str, *, base: Path, root: Path | None, frame: int | None) -> _Read:
    path = locate(typed, base=base, root=root)
    data = read_bounded(path, typed=typed)
    if data.startswith((_PNG, b"\xff\xd8\xff")):
        raster = read_raster(data, shown=typed, frame=frame)
        unit: Unit = "rgb" if raster.array.ndim == 3 else "intensity"
        index = check_frame(frame, raster.frames, shown=typed)
        return _Read(array=raster.array, unit=unit, what=raster.format, facts={}, frames=raster.frames, frame=index,
                     limitations=raster.limitations)  # fmt: skip
    # Without the "DICM" mark only a data set of group 0008 is tried: no file meta, so it cannot be a deflated bomb.
    if data[128:132] == b"DICM" or data[:2] in (b"\x08\x00", b"\x00\x08"):
        return _read_dicom(data, path, shown=typed, frame=frame)
    other = next((name for magic, name in _OTHER_FORMATS.items() if data.startswith(magic)), "something else")
    raise InputError(
        expected="a PNG, JPEG or DICOM picture (judged by content, not by name)",
        got=f"{typed!r}, which holds {other}",
        fix="export the picture as PNG or DICOM",
    )


def read_picture(path: Path) -> NDArray[np.uint8]:
    """The picture in a PNG, JPEG or DICOM file as people see it: uint8 RGB (H, W, 3), the first of several frames.

    Raises InputError for anything that is no usable picture.
    """
    from ..pictures import as_picture

    read = _read(str(path), base=Path.cwd(), root=None, frame=None)
    return as_picture(Pixels(array=read.array, unit=read.unit))


def read_dicom_facts(path: Path) -> DicomFacts:
    """What the header of a DICOM picture says that names nobody. No pixel is decoded.

    Raises InputError, whose `expected` names no file, for anything that `take_in` would refuse by its header, and for
    uncompressed pixel data that is cut short.
    """
    opened = _open_dicom(read_bounded(path, typed=path.name), path, shown=path.name, frame=None)
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


def _read_dicom(data: bytes, path: Path, *, shown: str, frame: int | None) -> _Read:
    opened = _open_dicom(data, path, shown=shown, frame=frame)
    header, kind, index = opened.header, opened.kind, opened.index
    with decoding(shown) as caught:
        array = _decoded(data, header, index, shown=shown)
        odd_pixels = bool(caught)
        array, unit, limitations = _meaningful(array, header, kind, index)
        if not _finite(array) or array.ndim not in (2, 3):
            raise damaged(shown)
        if odd_pixels:
            limitations.append("The header and the pixel data do not quite agree; the pixels may be incomplete.")
        facts = header_facts(header, kind, index, limitations)
    what = f"DICOM {kind}" if kind in MODALITIES else "DICOM"
    return _Read(array=array, unit=unit, what=what, frames=opened.frames, frame=index, facts=facts,
                 limitations=tuple(limitations), patient_key=opened.patient)  # fmt: skip


def _open_dicom(data: bytes, path: Path, *, shown: str, frame: int | None) -> _Dicom:
    """The header of a picture, whose size and encoding are checked. Raises InputError."""
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
        header = pydicom.dcmread(io.BytesIO(data), force=not marked)
        kind = str(header.get("Modality") or "") or ("CT" if header.get("SOPClassUID") == CT_STORAGE else "")
        if kind in NOT_PICTURES or "Rows" not in header or not _pixels(header):
            raise InputError(
                expected="a DICOM picture",
                got=f"{shown!r}, which holds {NOT_PICTURES.get(kind, 'no pixel data')}",
                fix="name the image object of the study instead",
            )
        frames = int(header.get("NumberOfFrames") or 1)
        check_size(int(header.Columns), int(header.Rows), frames, shown=shown)
        index = check_frame(frame, frames, shown=shown)
        _check_encoding(header, index, frames, shown=shown)
        patient = str(header.get("PatientID") or "").strip() or None
    return _Dicom(header=header, kind=kind, frames=frames, index=index, patient=patient)


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
    width, height = _stated_size(get_frame(header.PixelData, index, number_of_frames=frames))
    if width * height and (width, height) != (int(header.Columns), int(header.Rows)):
        raise damaged(shown)


def _decoded(data: bytes, header: Any, index: int, *, shown: str) -> NDArray[Any]:
    """The stored values of one frame, decoded by a plug-in that survives damaged bytes where there is one."""
    from pydicom.pixels import get_decoder, pixel_array

    syntax = header.file_meta.TransferSyntaxUID
    if not syntax.is_compressed:
        return pixel_array(header, index=index)
    plugins = get_decoder(syntax).available_plugins
    sturdy = next((name for name in _STURDY_PLUGINS if name in plugins), None)
    if sturdy is not None:
        return pixel_array(header, index=index, decoding_plugin=sturdy)
    return _decoded_apart(data, index, shown=shown)


def _decoded_apart(data: bytes, index: int, *, shown: str) -> NDArray[Any]:
    """Decode with gdcm in a process of its own: on damaged bytes gdcm ends the process it runs in."""
    import numpy as np

    code = f"from {__name__} import decode_standard_input as d; d({int(index)})"
    try:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code], input=data, capture_output=True, timeout=_APART_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        raise damaged(shown) from None
    return np.asarray(np.load(io.BytesIO(done.stdout), allow_pickle=False))


def decode_standard_input(index: int) -> None:
    """What the decoding process runs: DICOM bytes on standard input, the frame's stored values as .npy on output."""
    import numpy as np
    from pydicom import dcmread
    from pydicom.pixels import pixel_array

    header = dcmread(io.BytesIO(sys.stdin.buffer.read()))
    buffer = io.BytesIO()
    np.save(buffer, pixel_array(header, index=index), allow_pickle=False)
    sys.stdout.buffer.write(buffer.getvalue())


def _stated_size(code: bytes) -> tuple[int, int]:
    """(width, height) that a JPEG, JPEG-LS or JPEG 2000 code stream states; (0, 0) when it states none.

    A decoder believes the code stream, not the DICOM header, so a small file could ask for gigabytes.
    """
    start = code.find(b"\xff\x4f\xff\x51")  # JPEG 2000: SOC, then SIZ with Xsiz and Ysiz
    if 0 <= start <= len(code) - 16:
        width, height = struct.unpack(">II", code[start + 8 : start + 16])
        return width, height
    at = 2
    while at + 9 <= len(code) and code[at] == 0xFF:  # JPEG: walk the segments to the frame header
        marker, length = code[at + 1], struct.unpack(">H", code[at + 2 : at + 4])[0]
        if (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)) or marker == 0xF7:
            height, width = struct.unpack(">HH", code[at + 5 : at + 9])
            return width, height
        at += 2 + length
    return 0, 0


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
