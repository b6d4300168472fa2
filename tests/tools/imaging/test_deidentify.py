"""Identifiers of DICOM headers: none of them reaches what a consult writes, sends or says."""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from polyclinic import Case, Clinic, Image, Visit
from polyclinic.agents.engines.embedded.engine import EmbeddedEngine
from polyclinic.agents.prompts import messages
from polyclinic.core.case import pseudonym
from polyclinic.core.errors import InputError, StorageError
from polyclinic.tools.imaging.deidentify import SECRET_FILE, days_back, secret_in, states_dates
from polyclinic.tools.imaging.store import ImageStore, TakenIn
from tests.tools.imaging.headers import ct_slice, header_bytes, planted

Take = Callable[..., TakenIn]
SECRET = b"0" * 64
TEXTUAL = ("PN", "LO", "SH", "ST", "LT", "UT", "UC", "DA", "DT", "UI", "AE")


class Overheard(EmbeddedEngine):
    """The embedded engine, which keeps the prompt that a model would have been sent."""

    def __init__(self) -> None:
        super().__init__()
        self.prompts: list[str] = []

    async def decide(self, task: Any) -> Any:
        self.prompts.append(json.dumps(messages(task), ensure_ascii=False))
        return await super().decide(task)


def left_behind(runs: Path, words: set[str], *said: str) -> set[str]:
    """Which of the words stand in any file under `runs`, in a name of one, or in `said`."""
    files = [file for file in runs.rglob("*") if file.is_file()]
    held = b"\n".join(
        [*(file.read_bytes() for file in files), *(str(file.relative_to(runs)).encode() for file in files)]
    )
    held += "\n".join(said).encode()
    dashed = {f"{word[:4]}-{word[4:6]}-{word[6:]}" for word in words if re.fullmatch(r"(19|20)\d{6}", word)}
    return {word for word in words | dashed if _stands_in(word.encode(), held)}


def _stands_in(word: bytes, held: bytes) -> bool:
    """Whether the word occurs; digits alone only where they are no part of a hash or of a longer number."""
    if not word.isdigit():
        return word in held
    return re.search(rb"(?<![0-9a-f.])" + word + rb"(?![0-9a-f])", held) is not None


def consulted(runs: Path, images: tuple[Image, ...], caplog: pytest.LogCaptureFixture) -> tuple[str, ...]:
    """A whole consult on the images: the report, the prompts and the log."""
    engine = Overheard()
    with caplog.at_level(logging.DEBUG):
        report = Clinic(runs=runs, engine=engine).consult_sync(Case(question="What is seen?", images=images))
    assert report.status in ("answered", "abstained", "needs_human")
    return report.model_dump_json(), *engine.prompts, caplog.text


def test_of_fifty_planted_headers_nothing_is_written_sent_or_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    words: set[str] = set()
    asked = 0
    for number in range(50):
        header, secrets = planted(number)
        path = tmp_path / "in" / f"{secrets[1]} {secrets[3]}.dcm"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(header_bytes(header))
        words |= set(secrets)
        runs = tmp_path / f"runs-{number}"
        images = (Image(path=str(path)),)
        caplog.clear()
        said = consulted(runs, images, caplog)
        asked += len(said) > 2
        assert not left_behind(runs, set(secrets), *said)  # a moved date may be another patient's date
    assert len(words) > 300
    assert asked == 50
    printed = capfd.readouterr()
    assert not left_behind(tmp_path / "none", words, printed.out, printed.err)


def test_of_the_real_headers_at_hand_nothing_is_written_sent_or_said(
    tmp_path: Path, data_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    series = data_dir / "ct_totalseg_example" / "dicom"
    answered, count = 0, 0
    for path in (*sorted((data_dir / "dicom_samples").glob("*.dcm")), series):
        words = identifiers(path if path.is_file() else min(path.iterdir()))
        runs = tmp_path / f"runs-{answered}"
        caplog.clear()
        try:
            said = consulted(runs, (Image(path=str(path)),), caplog)
        except InputError:
            continue
        assert left_behind(runs, words, *said) == set()
        answered, count = answered + 1, count + len(words)
    assert answered >= 10
    assert count > 60


def identifiers(path: Path) -> set[str]:
    """Every text of a real header long enough to be somebody's, but for words that say what kind of picture it is."""
    found: set[str] = set()

    def collect(_: Dataset, element: Any) -> None:
        if element.VR in TEXTUAL and element.keyword not in (
            "SOPClassUID",
            "ReferencedSOPClassUID",
            "TransferSyntaxUID",
        ):
            values = element.value if isinstance(element.value, pydicom.multival.MultiValue) else [element.value]
            found.update(str(value).strip() for value in values if element.keyword in PERSONAL or element.VR != "LO")

    with contextlib.suppress(Exception):
        pydicom.dcmread(path, stop_before_pixels=True, force=True).walk(collect)
    common = ("1.2.840.10008", "DICOM", "000000")  # the standard's own names, and what any hash may hold
    return {text for text in found if len(text) > 5 and not any(word in text for word in common)}


PERSONAL = ("PatientID", "OtherPatientIDs", "InstitutionName", "PatientAddress", "StudyDescription")


def dated(number: int, day: str, patient: str = "MRN-7") -> bytes:
    pixels = np.full((40, 40), 100 * number, np.int16)
    return header_bytes(ct_slice(pixels, AcquisitionDate=day, PatientID=patient))


def test_intervals_survive_and_days_do_not(take: Take) -> None:
    first, second = (take(dated(number, day)).image.acquired for number, day in ((1, "20200131"), (2, "20210301")))
    assert first is not None
    assert second is not None
    assert second - first == datetime.date(2021, 3, 1) - datetime.date(2020, 1, 31)
    assert first.weekday() == datetime.date(2020, 1, 31).weekday()
    assert (datetime.date(2020, 1, 31) - first).days >= 364


def test_each_patient_has_a_number_of_days_and_each_installation_another(store: ImageStore, tmp_path: Path) -> None:
    days = {days_back(SECRET, f"patient {number}") for number in range(200)}
    assert len(days) > 100
    assert {number % 7 for number in days} == {0}
    assert days_back(SECRET, "MRN-7") == days_back(SECRET, pseudonym("MRN-7"))
    assert days_back(SECRET, "MRN-7") != days_back(b"1" * 64, "MRN-7")


def test_a_stated_date_is_not_moved_and_keeps_the_header_out(take: Take, store: ImageStore, tmp_path: Path) -> None:
    stated = take(dated(1, "20200131"), acquired=datetime.date(2019, 5, 6))
    assert stated.image.acquired == datetime.date(2019, 5, 6)
    assert not any("moved" in note for note in stated.limitations)
    path = tmp_path / "x.dcm"
    path.write_bytes(dated(2, "20200131"))
    image = Image(path=str(path))
    assert store.take_in(image, base=tmp_path, root=None, header_dates=False).image.acquired is None
    day = datetime.date(2020, 1, 1)
    assert not states_dates(Case(question="?", images=(image,)))
    for more in ({"date": day}, {"visits": (Visit(date=day),)}, {"images": (Image(path="a", acquired=day),)}):
        assert states_dates(Case.model_validate({"question": "?", **more}))


def test_the_date_of_a_header_that_names_nobody_is_left_out(take: Take, store: ImageStore, tmp_path: Path) -> None:
    taken = take(dated(1, "20200131", patient=""))
    assert taken.image.acquired is None
    assert "names no patient" in taken.limitations[0]
    path = tmp_path / "x.dcm"
    path.write_bytes(dated(1, "20200131", patient=""))
    known = store.take_in(Image(path=str(path)), base=tmp_path, root=None, patient_id="MRN-7").image.acquired
    assert known == take(dated(2, "20200131")).image.acquired


def test_the_secret_is_made_once_and_kept_from_others(tmp_path: Path) -> None:
    secret = secret_in(tmp_path / "runs")
    path = tmp_path / "runs" / SECRET_FILE
    assert secret_in(tmp_path / "runs") == secret
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == [SECRET_FILE]
    path.write_text("short")
    with pytest.raises(StorageError, match="64 hexadecimal digits"):
        secret_in(tmp_path / "runs")
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="keep a secret"):
        secret_in(tmp_path / "file")
