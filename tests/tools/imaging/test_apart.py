"""gdcm in a process of its own: what it reads, what it survives, and what it runs."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate, get_frame

from polyclinic.core.errors import InputError
from polyclinic.tools.imaging import apart, dicom
from polyclinic.tools.imaging.store import ImageStore, TakenIn, read_picture
from tests.tools.imaging.headers import ct_slice, header_bytes, jpeg_lossless

Take = Callable[..., TakenIn]
RAMP = np.arange(48 * 40, dtype=np.int16).reshape(48, 40)


def sample(name: str) -> Path:
    return Path(str(get_testdata_file(name, download=False)))


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands of the processes that are started."""
    commands: list[list[str]] = []
    real = subprocess.Popen

    def popen(command: list[str], **how: Any) -> subprocess.Popen[bytes]:
        commands.append(command)
        return real(command, **how)

    monkeypatch.setattr(apart.subprocess, "Popen", popen)
    return commands


def test_lossless_jpeg_gives_the_pixels_that_were_written(take: Take, store: ImageStore) -> None:
    plain, packed = (take(data) for data in (sample("CT_small.dcm").read_bytes(),
                                             jpeg_lossless(sample("CT_small.dcm").read_bytes())))  # fmt: skip
    assert packed.image.blob == plain.image.blob


def test_a_series_of_lossless_jpeg_has_one_decoding_process(
    take: Take, store: ImageStore, tmp_path: Path, started: list[list[str]]
) -> None:
    volumes: list[NDArray[Any]] = []
    for name, encode in (("plain", bytes), ("packed", jpeg_lossless)):
        folder = tmp_path / name
        folder.mkdir()
        for number in range(4):
            header = ct_slice(RAMP + number, ImagePositionPatient=[0.0, 0.0, 2.0 * number], InstanceNumber=number,
                              SOPInstanceUID=f"1.2.3.{number}")  # fmt: skip
            (folder / f"{number}.dcm").write_bytes(encode(header_bytes(header)))
        started.clear()
        volumes.append(store.open_volume(str(take(str(folder)).image.blob)).array)
    np.testing.assert_array_equal(*volumes)
    assert len(started) == 1


def test_no_file_of_the_current_folder_is_run(take: Take, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = jpeg_lossless(sample("CT_small.dcm").read_bytes())
    for name in ("numpy", "pydicom", "struct", "polyclinic"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'run')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    take(data)
    assert not (tmp_path / "run").exists()


def test_its_memory_is_bounded(take: Take, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="needs limits of processes")
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux counts what numpy asks for")
    code = (
        "import numpy, resource; from polyclinic.tools.imaging import apart; apart._limit_memory()\n"
        "print(resource.getrlimit(resource.RLIMIT_DATA)[0])\n"
        "try: numpy.ones(2**29)\n"
        "except MemoryError: print('refused')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    most = apart._MOST_BYTES if hard == resource.RLIM_INFINITY else min(hard, apart._MOST_BYTES)
    assert done.stdout.split() == [str(most), "refused"]


def test_a_process_that_ends_or_takes_too_long_gives_a_damaged_picture(
    take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = jpeg_lossless(sample("CT_small.dcm").read_bytes())
    with apart.Apart() as gdcm:
        with pytest.raises(InputError, match="damaged"):
            gdcm.stored_values(b"no picture", 0, shown="a")
        np.testing.assert_array_equal(gdcm.stored_values(data, 0, shown="a"), dcmread(io.BytesIO(data)).pixel_array)
    monkeypatch.setattr(apart, "_SECONDS", 0.0)
    with pytest.raises(InputError, match="damaged"):
        take(data)


def test_what_the_first_decoder_cannot_read_another_does(started: list[list[str]]) -> None:
    path = sample("GDCMJ2K_TextGBR.dcm")  # Pillow says "broken data stream"
    assert read_picture(path).shape == (400, 400, 3)
    assert not started


def test_gdcm_is_the_last_to_be_tried(take: Take, started: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    path = sample("GDCMJ2K_TextGBR.dcm")
    before = take(path.read_bytes())
    monkeypatch.setattr(dicom, "_STURDY_PLUGINS", ("pillow",))
    assert take(path.read_bytes()).image == before.image
    assert len(started) == 1


@pytest.mark.parametrize(
    "name", ["GDCMJ2K_TextGBR.dcm", "MR_small_jpeg_ls_lossless.dcm", "SC_rgb_jpeg_dcmtk.dcm", "CT_small.dcm"]
)
@pytest.mark.parametrize("part", [0.3, 0.9])
def test_pixels_that_are_cut_short_are_refused_by_every_decoder(name: str, part: float, take: Take) -> None:
    data = sample(name).read_bytes()
    header = dcmread(io.BytesIO(jpeg_lossless(data) if name == "CT_small.dcm" else data))
    frame = get_frame(header.PixelData, 0, number_of_frames=1)
    header.PixelData = encapsulate([frame[: int(len(frame) * part)]])
    with pytest.raises(InputError, match="damaged"):
        take(header_bytes(header))
