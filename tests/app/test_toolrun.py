"""A tool run by hand leaves nothing behind: no picture, and no secret that moves dates."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from polyclinic.app.toolrun import Request, run
from polyclinic.tools.card import ComparedImagesArguments, Measurement, Tool, ToolCard, ToolOutput, measured
from polyclinic.tools.imaging.store import ImageStore
from polyclinic.tools.registry import TOOLS, Toolbox
from tests.tools.imaging.headers import ct_slice, header_bytes


class Change(ToolOutput):
    change: Measurement


def compare(given: ComparedImagesArguments, images: ImageStore) -> Change:
    now, then = (float(images.open(one).array.mean()) for one in (given.image, given.earlier))
    return Change(change=measured("change", now - then, "HU", "It changed by {}.", digits=0))


CARD = ToolCard(name="compare", version="1.0.0", summary="For tests.", measures=("change",), modalities=("ct",))
COMPARE = Tool(card=CARD, arguments=ComparedImagesArguments, output=Change, run=compare)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, empty."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def dated(tmp_path: Path) -> tuple[str, str]:
    """Two CT slices of one patient, nine days apart, the later one first."""
    paths = []
    for name, day, level in (("now", "20200310", 1_100), ("then", "20200301", 1_050)):
        path = tmp_path / f"{name}.dcm"
        pixels = np.arange(4_096, dtype=np.int16).reshape(64, 64) % 7 + level
        path.write_bytes(header_bytes(ct_slice(pixels, AcquisitionDate=day)))
        paths.append(str(path))
    return paths[0], paths[1]


def request(name: str, *paths: str, **more: Any) -> Request:
    return Request(name=name, paths=paths, arguments={}, stated={}, out=None, **more)


def test_nothing_stays_beside_the_pictures_of_a_run(temporary: Path, dated: tuple[str, str]) -> None:
    result = run(Toolbox((*TOOLS, COMPARE)), request("compare", *dated))
    assert result["measurements"][0]["value"] == 50
    assert list(temporary.iterdir()) == []


def test_the_days_between_two_pictures_survive_and_a_single_one_has_no_date(
    temporary: Path, dated: tuple[str, str]
) -> None:
    box = Toolbox((*TOOLS, COMPARE))
    both = run(box, request("compare", *dated))
    days = [np.datetime64(both[name]["acquired"]) for name in ("image", "earlier")]
    assert days[0] - days[1] == np.timedelta64(9, "D")
    assert days[0] < np.datetime64("2020-01-01")
    first, second = (run(box, request("image_quality", dated[0])) for _ in range(2))
    assert first == second
    assert "acquired" not in first["image"]


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_a_run_that_is_terminated_leaves_nothing_behind(temporary: Path) -> None:
    code = (
        "import time; from polyclinic.app.toolrun import scratch_blobs\n"
        "with scratch_blobs() as blobs: blobs.put(b'a'); print('began', flush=True); time.sleep(60)"
    )
    environment = {**os.environ, "TMPDIR": str(temporary)}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"began\n"
        assert [path.name for path in temporary.glob("*/*")] == ["blobs"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 128 + signal.SIGTERM
    assert list(temporary.iterdir()) == []
