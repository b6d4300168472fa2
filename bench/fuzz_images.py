"""Opens damaged pictures by the thousand and counts what happens, in every format that is read. Changes nothing.

    python bench/fuzz_images.py --data PATH [--count 10000] [--seed 0] [--limit-s 20]

PATH holds the sample sets; pictures of them are made small, written in every format, and each file then damaged in one
to four ways: bytes changed (in the header more often), a number of 2 or 4 bytes replaced by a telling one, the end cut
off, two pieces exchanged, a piece doubled or dropped, a piece of another file put in. What is inside a gzip file is
damaged before it is packed, and a PNG's checksums are mended, each every other time: else damage goes no deeper.

Of the formats, "region" is a part of a TIFF file, "lossless" DICOM with lossless JPEG, which is decoded by gdcm in a
process of its own, and "series" a folder of slices, one or two of them damaged, plain or lossless.

File N is the same in every run. A worker process opens one file after the other with the image store; when one ends
the process, or takes longer than the limit, it is counted and the next process goes on behind it. Counted for each
format: opened; refused with an error of ours; another error; the process ended (crash); beyond the limit. Exit code 1
when one of the last three occurred.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import random
import resource
import selectors
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import warnings
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import PIL.Image
import tifffile
from pydicom import dcmread
from pydicom.data import get_testdata_file

from polyclinic.core.blobs import Blobs
from polyclinic.core.case import Image
from polyclinic.core.errors import PolyclinicError
from polyclinic.tools.imaging.store import ImageStore

FORMATS = ("PNG", "JPEG", "TIFF", "region", "DICOM", "lossless", "series", "NIfTI")
OUTCOMES = ("opened", "typed error", "other error", "crash", "beyond limit")
BAD = OUTCOMES[2:]
PICTURES = (
    "fundus_chasedb1/Image_01L.jpg", "bccd_blood/JPEGImages/*.jpg", "cxr_nih_pneumonia_normal/images/*",
    "nuclei_dsb2018/**/*.png",
)  # fmt: skip
SHIPPED = (  # in pydicom, for the encodings that the sample sets lack
    "MR_small_RLE.dcm", "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm", "SC_rgb_jpeg_dcmtk.dcm",
    "ExplVR_LitEndNoMeta.dcm", "SC_rgb_rle_2frame.dcm", "SC_rgb_small_odd_jpeg.dcm", "badVR.dcm",
)  # fmt: skip
MAX_SEED_BYTES = 600_000
SLICES, SLICE_PX = 6, 64
STARTING_S = 120.0
NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF, 100_000)


def seeds(data: Path) -> dict[str, list[bytes]]:
    """Small undamaged files of each format."""
    found = [sorted(data.glob(pattern))[:2] for pattern in PICTURES]
    pictures = [_small(path) for paths in found for path in paths]
    if not pictures:
        raise SystemExit(f"no sample pictures under {data}")
    tiffs, slices = _tiffs(pictures), _slices()
    packed = [_lossless(one) for one in slices]
    return {
        "PNG": [_written(p, "PNG") for p in pictures] + [_written(p.convert("P"), "PNG") for p in pictures[:2]],
        "JPEG": [_written(p.convert("RGB"), "JPEG", exif=_exif()) for p in pictures]
        + [_written(pictures[0].convert("RGB"), "JPEG", progressive=True)],
        "TIFF": tiffs,
        "region": tiffs,
        "DICOM": _dicoms(data),
        "lossless": [packed[0], *(_lossless(shipped(name)) for name in ("CT_small.dcm", "examples_rgb_color.dcm"))],
        "series": [*slices, *packed],
        "NIfTI": _niftis(data),
    }


def _small(path: Path) -> PIL.Image.Image:
    with PIL.Image.open(path) as picture:
        picture.thumbnail((120, 120))
        return picture.convert("RGB" if picture.mode not in ("L", "I;16") else "L")


def _exif() -> PIL.Image.Exif:
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    return exif


def _written(picture: PIL.Image.Image, form: str, **how: Any) -> bytes:
    buffer = io.BytesIO()
    plain = (
        picture if picture.mode == "P" else PIL.Image.fromarray(np.asarray(picture))
    )  # without another format's settings
    plain.save(buffer, form, **how)
    return buffer.getvalue()


def _tiffs(pictures: list[PIL.Image.Image]) -> list[bytes]:
    colour = pictures[0].convert("RGB")
    files = [
        _written(colour, "TIFF", compression=name)
        for name in ("tiff_lzw", "packbits", "jpeg", "tiff_adobe_deflate", "lzma")
    ]
    files.append(_written(colour.convert("1"), "TIFF", compression="group4"))
    files.append(_written(colour.quantize(64), "TIFF"))
    files.append(
        _written(
            colour, "TIFF", save_all=True, append_images=[PIL.Image.fromarray(np.asarray(p)) for p in pictures[1:4]]
        )
    )
    grey = np.asarray(colour.convert("L"))
    plans: tuple[tuple[Any, dict[str, Any]], ...] = (
        (np.asarray(colour), {"tile": (32, 32), "compression": "zlib", "photometric": "rgb"}),
        (grey.astype(np.uint16) * 100, {"bigtiff": True, "predictor": True, "compression": "zlib"}),
        (grey.astype(np.float32), {"byteorder": ">", "rowsperstrip": 5}),
        (np.moveaxis(np.asarray(colour), -1, 0), {"planarconfig": "separate", "photometric": "rgb"}),
    )
    for array, how in plans:
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, array, **how)
        files.append(buffer.getvalue())
    return files


def _dicoms(data: Path) -> list[bytes]:
    named = [
        *sorted((data / "dicom_samples").glob("*.dcm")),
        *sorted((data / "ct_totalseg_example/dicom").glob("*"))[:1],
    ]
    files = [path.read_bytes() for path in named if path.stat().st_size <= MAX_SEED_BYTES]
    return files + [shipped(name) for name in SHIPPED]


def shipped(name: str) -> bytes:
    return Path(str(get_testdata_file(name, download=False))).read_bytes()


def _slices() -> list[bytes]:
    """A series: small parts of one CT slice, one above the other."""
    found = []
    for number in range(SLICES):
        header = dcmread(io.BytesIO(shipped("CT_small.dcm")))
        part = header.pixel_array[number : number + SLICE_PX, :SLICE_PX]
        header.Rows, header.Columns, header.PixelData = *part.shape, part.tobytes()
        x, y, z = header.ImagePositionPatient
        header.ImagePositionPatient, header.InstanceNumber = [x, y, z + 5 * number], number + 1
        header.SOPInstanceUID += f".{number}"
        found.append(_saved(header))
    return found


def _lossless(data: bytes) -> bytes:
    """The DICOM file with its pixels as lossless JPEG (process 14)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # gdcm's own, about how it was made
        import gdcm
    with tempfile.TemporaryDirectory() as folder:
        given, to = Path(folder) / "given", Path(folder) / "to"
        given.write_bytes(data)
        read, change, write = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
        read.SetFileName(str(given))
        done = read.Read()
        change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
        change.SetInput(read.GetImage())
        done = done and change.Change()
        write.SetFileName(str(to))
        write.SetFile(read.GetFile())
        write.SetImage(change.GetOutput())
        if not (done and write.Write()):
            raise SystemExit("gdcm could not write a picture as lossless JPEG")
        header, made = dcmread(given), dcmread(to)  # gdcm adds to the header what is not meant here
    header.PixelData, header.file_meta.TransferSyntaxUID = made.PixelData, made.file_meta.TransferSyntaxUID
    if "PlanarConfiguration" in made:
        header.PlanarConfiguration = made.PlanarConfiguration
    header["PixelData"].VR, header["PixelData"].is_undefined_length = "OB", True
    return _saved(header)


def _saved(header: Any) -> bytes:
    buffer = io.BytesIO()
    header.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _niftis(data: Path) -> list[bytes]:
    files = []
    for path in sorted((data / "ct_totalseg_example").glob("example_*_sm.nii.gz")):
        volume = nibabel.load(path)
        part = np.asarray(volume.dataobj)[:24, :20, :10]
        kinds = ((nibabel.Nifti1Image, np.int16), (nibabel.Nifti1Image, np.float32), (nibabel.Nifti2Image, np.int16))
        for kind, number in kinds:
            plain = kind(part.astype(number), volume.affine).to_bytes()
            files += [plain, gzip.compress(plain, mtime=0)]
        several = nibabel.Nifti1Image(np.stack([part, part], axis=-1), volume.affine)
        files.append(gzip.compress(several.to_bytes(), mtime=0))
    return files


def damaged(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """`data` damaged in one to four ways."""
    inside = data.startswith(b"\x1f\x8b") and rng.random() < 0.5
    out = bytearray(gzip.decompress(data) if inside else data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        if len(out) > 1:
            rng.choice(WAYS)(out, other, rng)
    if out.startswith(b"\x89PNG") and rng.random() < 0.5:
        _mend_checksums(out)
    return gzip.compress(bytes(out), mtime=0) if inside else bytes(out)


def _place(out: bytearray, rng: random.Random) -> int:
    return rng.randrange(min(len(out), rng.choice((200, 1_500, len(out)))))


def _flip(out: bytearray, _: bytes, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 2, 8, 32))):
        out[_place(out, rng)] ^= 1 << rng.randrange(8)


def _number(out: bytearray, _: bytes, rng: random.Random) -> None:
    number, at = rng.choice(NUMBERS), _place(out, rng)
    size, order = rng.choice((2, 4)), rng.choice("<>")
    out[at : at + size] = struct.pack(f"{order}{'H' if size == 2 else 'I'}", number & (2 ** (8 * size) - 1))


def _cut(out: bytearray, _: bytes, rng: random.Random) -> None:
    del out[max(1, rng.choice((_place(out, rng), rng.randrange(len(out))))) :]


def _exchange(out: bytearray, _: bytes, rng: random.Random) -> None:
    size = rng.choice((2, 8, 64, 512))
    a, b = sorted((_place(out, rng), rng.randrange(len(out))))
    if b >= a + size:
        out[a : a + size], out[b : b + size] = out[b : b + size], out[a : a + size]


def _double(out: bytearray, _: bytes, rng: random.Random) -> None:
    at, size = _place(out, rng), rng.choice((1, 4, 64, 1_024))
    out[at:at] = out[at : at + size]


def _drop(out: bytearray, _: bytes, rng: random.Random) -> None:
    at = _place(out, rng)
    del out[at : at + rng.choice((1, 2, 4, 64, 1_024))]


def _graft(out: bytearray, other: bytes, rng: random.Random) -> None:
    at, start, size = _place(out, rng), rng.randrange(len(other)), rng.choice((4, 16, 256))
    out[at : at + size] = other[start : start + size]


WAYS: tuple[Callable[[bytearray, bytes, random.Random], None], ...] = (
    _flip, _flip, _number, _number, _cut, _exchange, _double, _drop, _graft,
)  # fmt: skip


def _mend_checksums(out: bytearray) -> None:
    at = 8
    while at + 12 <= len(out):
        size = struct.unpack_from(">I", out, at)[0]
        if at + 12 + size > len(out):
            return
        struct.pack_into(">I", out, at + 8 + size, zlib.crc32(out[at + 4 : at + 8 + size]))
        at += 12 + size


def file_number(number: int, made: dict[str, list[bytes]], seed: int, path: Path) -> Image:
    """Damaged file `number`, written to `path`, as it is asked for; of a series, the folder `path`."""
    rng = random.Random(f"{seed}-{number}")  # noqa: S311 - repeatable, not secret
    form = FORMATS[number % len(FORMATS)]
    other = rng.choice(made[rng.choice(FORMATS)])
    if form == "series":
        first = rng.choice((0, SLICES))
        files = made[form][first : first + SLICES]
        for hit in rng.sample(range(SLICES), rng.choice((1, 2))):
            files[hit] = damaged(files[hit], other, rng)
        path.mkdir()
        for place, file in enumerate(files):
            (path / str(place)).write_bytes(file)
        return Image(path=str(path))
    path.write_bytes(damaged(rng.choice(made[form]), other, rng))
    if form == "region":
        x, y, width, height = (rng.randrange(least, 60) for least in (0, 0, 1, 1))
        return Image(path=str(path), region_px=(x, y, width, height))
    return Image(path=str(path), modality="ct")


def outcome(store: ImageStore, image: Image) -> tuple[str, str]:
    """What taking in the file ends with, and more words where it is something that must not be."""
    try:
        store.take_in(image, base=Path.cwd(), root=None)
    except PolyclinicError as error:
        return ("other error", "more than one line") if "\n" in str(error) else ("typed error", "")
    except BaseException as error:  # noqa: BLE001 - to be counted, whatever it is
        return "other error", repr(error)[:200]
    return "opened", ""


def work(arguments: argparse.Namespace) -> None:
    """What a worker process does: one line of JSON for each file."""
    made = seeds(arguments.data)
    print("ready", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        store = ImageStore(Blobs(Path(folder) / "blobs"))
        for number in range(arguments.first, arguments.count):
            path = Path(folder) / str(number)
            image = file_number(number, made, arguments.seed, path)
            started = time.perf_counter()
            found, words = outcome(store, image)
            took, form = time.perf_counter() - started, FORMATS[number % len(FORMATS)]
            peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
            said = {"number": number, "form": form, "outcome": found, "words": words, "s": took}
            print(json.dumps({**said, "peak_mb": peak // 1024}), flush=True)
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def run_from(first: int, arguments: argparse.Namespace, said: list[dict[str, Any]]) -> str | None:
    """Run a worker from file `first` on, adding what it says; how it ended before its time, or None when it is done."""
    command = [sys.executable, __file__, "--data", str(arguments.data), "--count", str(arguments.count)]
    command += ["--seed", str(arguments.seed), "--first", str(first)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as worker:
        assert worker.stdout is not None
        with selectors.DefaultSelector() as waiting:
            waiting.register(worker.stdout, selectors.EVENT_READ)
            ready = False
            while True:
                if not waiting.select(timeout=arguments.limit_s if ready else STARTING_S):
                    worker.kill()
                    return "beyond limit"
                line = worker.stdout.readline()
                if not line and not ready:
                    raise SystemExit("the worker process does not start: run it with --first 0 to see why")
                if not line:
                    return None if worker.wait() == 0 else "crash"
                if ready:
                    said.append(json.loads(line))
                ready = True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit-s", type=float, default=20.0)
    parser.add_argument("--first", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.first is not None:
        work(arguments)
        return
    said: list[dict[str, Any]] = []
    while len(said) < arguments.count:
        ended = run_from(len(said), arguments, said)
        if ended is not None:
            number = len(said)
            said.append({"number": number, "form": FORMATS[number % len(FORMATS)], "outcome": ended, "words": ended})
    counts = Counter((one["form"], one["outcome"]) for one in said)
    print(f"{'':8}" + "".join(f"{name:>14}" for name in OUTCOMES))
    for form in FORMATS:
        print(f"{form:8}" + "".join(f"{counts[form, name]:>14}" for name in OUTCOMES))
    print(f"{'all':8}" + "".join(f"{sum(counts[form, name] for form in FORMATS):>14}" for name in OUTCOMES))
    slowest = max((one for one in said if "s" in one), key=lambda one: one["s"])
    print(f"slowest: file {slowest['number']} ({slowest['form']}), {slowest['s']:.2f} s;", end=" ")
    print(f"largest process: {max(one.get('peak_mb', 0) for one in said)} MB")
    wrong = [one for one in said if one["outcome"] in BAD]
    for one in wrong[:20]:
        print(f"file {one['number']} ({one['form']}): {one['outcome']} {one['words']}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
