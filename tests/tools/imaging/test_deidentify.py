"""Identifiers of DICOM headers: none of them reaches what a consult writes, sends or says, nor a file handed on."""

from __future__ import annotations

import contextlib
import datetime
import io
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
from hypothesis import given
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from polyclinic import Case, Clinic, Image, Visit
from polyclinic.agents.engines.embedded.engine import EmbeddedEngine
from polyclinic.agents.prompts import messages
from polyclinic.core.case import pseudonym
from polyclinic.core.errors import InputError, StorageError
from polyclinic.tools.imaging.code_stream import without_comments
from polyclinic.tools.imaging.deidentify import (
    SECRET_FILE,
    days_back,
    replaced_uid,
    secret_in,
    states_dates,
    write_deidentified,
)
from polyclinic.tools.imaging.deidentify_rules import RULES
from polyclinic.tools.imaging.store import ImageStore, TakenIn, read_picture
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


def test_a_file_handed_on_holds_no_identifier_and_the_same_picture(tmp_path: Path) -> None:
    uids = set()
    for number in range(10):
        header, words = planted(number)
        path, to = tmp_path / f"{number}.dcm", tmp_path / f"{number}.out.dcm"
        path.write_bytes(header_bytes(header))
        assert write_deidentified(path, to, secret=SECRET) == ()
        written = to.read_bytes()
        assert [word for word in words if word.encode() in written] == []
        found = pydicom.dcmread(to)
        assert (found.PatientIdentityRemoved, found.LongitudinalTemporalInformationModified) == ("YES", "MODIFIED")
        assert found.PatientID == pseudonym(header.PatientID)
        assert found.PatientSex == "F"
        assert found.SOPInstanceUID == replaced_uid(SECRET, header.SOPInstanceUID)
        assert found.file_meta.MediaStorageSOPInstanceUID == found.SOPInstanceUID
        moved = datetime.datetime.strptime(found.StudyDate, "%Y%m%d") - datetime.datetime.strptime(
            header.StudyDate, "%Y%m%d"
        )
        assert -moved.days == days_back(SECRET, header.PatientID)
        assert not [element for element in found if element.tag.is_private or element.tag.group == 0x6000]
        np.testing.assert_array_equal(read_picture(path), read_picture(to))
        uids.add(str(found.SOPInstanceUID))
    assert len(uids) == 10
    with pytest.raises(InputError, match="does not exist yet"):
        write_deidentified(path, to, secret=SECRET)


@pytest.mark.parametrize(
    "name",
    ["MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm", "MR_small_RLE.dcm", "SC_rgb_jpeg_dcmtk.dcm",
     "examples_ybr_color.dcm", "examples_palette.dcm", "MR_small_bigendian.dcm", "ExplVR_LitEndNoMeta.dcm"],
)  # fmt: skip
def test_encoded_pixels_are_handed_on_as_they_are(name: str, tmp_path: Path) -> None:
    given_file, to = Path(str(get_testdata_file(name, download=False))), tmp_path / "out.dcm"
    if name == "ExplVR_LitEndNoMeta.dcm":
        with pytest.raises(InputError):  # a treatment plan, no picture
            write_deidentified(given_file, to, secret=SECRET)
        return
    said = write_deidentified(given_file, to, secret=SECRET)
    np.testing.assert_array_equal(read_picture(given_file), read_picture(to))
    header = pydicom.dcmread(to)
    assert all(not element.keyword or element.keyword in RULES or element.keyword in ADDED for element in header)
    assert bool(said) == (header.Modality in ("US", "OT", "SC"))


ADDED = (
    "PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence",
    "LongitudinalTemporalInformationModified",
)  # fmt: skip


def test_comments_inside_a_code_stream_are_removed() -> None:
    picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    import PIL.Image

    buffer = io.BytesIO()
    PIL.Image.fromarray(picture).save(buffer, "JPEG", comment=b"DOE^JANE", exif=b"Exif\0\0DOE")
    plain = without_comments(buffer.getvalue())
    assert b"DOE" not in plain
    np.testing.assert_array_equal(
        np.asarray(PIL.Image.open(io.BytesIO(plain))), np.asarray(PIL.Image.open(io.BytesIO(buffer.getvalue())))
    )
    buffer = io.BytesIO()
    PIL.Image.fromarray(picture).save(buffer, "JPEG2000", no_jp2=True, comment="DOE^JANE")
    plain = without_comments(buffer.getvalue())
    assert b"DOE" not in plain
    np.testing.assert_array_equal(np.asarray(PIL.Image.open(io.BytesIO(plain))), picture)


@given(st.binary(max_size=80), st.sampled_from([b"", b"\xff\xd8", b"\xff\x4f"]))
def test_any_bytes_may_be_asked_for_their_comments(tail: bytes, head: bytes) -> None:
    assert len(without_comments(head + tail)) <= len(head + tail)


@given(st.from_regex(r"\A1\.[0-9]{1,9}(\.[1-9][0-9]{0,5}){1,5}\Z"))
def test_replaced_identifiers_are_valid_and_the_same_for_the_same(uid: str) -> None:
    other = replaced_uid(SECRET, uid)
    assert re.fullmatch(r"2\.25\.(0|[1-9][0-9]*)", other)
    assert len(other) <= 64
    assert other == replaced_uid(SECRET, uid) != replaced_uid(b"1" * 64, uid)
    assert replaced_uid(SECRET, "1.2.840.10008.1.2") == "1.2.840.10008.1.2"
