"""DICOM pictures become documents that name nobody; what is no picture or is damaged is counted."""

from __future__ import annotations

import datetime
import shutil
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from polyclinic.core.case import pseudonym
from polyclinic.core.errors import InputError
from polyclinic.knowledge.sources.dicom import Dicom, DicomFacts, described
from polyclinic.tools.imaging.store import read_dicom_facts


def source(path: Path) -> Dicom:
    return Dicom(path=path, name="dicom", licence="private record", read_facts=read_dicom_facts)


def write(path: Path, **fields: Any) -> None:
    """A small radiograph with what a hospital writes into a header."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1", "1.2.3"
    header = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    header.SOPClassUID, header.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    header.PatientName, header.PatientID, header.PatientBirthDate = "DOE^JANE", "MRN-4711", "19500101"
    header.InstitutionName, header.StudyDescription = "St Elsewhere", "Chest for Dr Roe"
    header.Modality, header.BodyPartExamined, header.ViewPosition, header.StudyDate = "DX", "CHEST", "PA", "20240331"
    header.Rows, header.Columns, header.SamplesPerPixel = 4, 6, 1
    header.PhotometricInterpretation, header.PixelRepresentation = "MONOCHROME2", 0
    header.BitsAllocated = header.BitsStored = 8
    header.HighBit = 7
    header.PixelData = bytes(24)
    for name, value in fields.items():
        setattr(header, name, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    header.save_as(path, enforce_file_format=True)


def test_a_picture_is_said_in_the_closed_words_of_its_header(tmp_path: Path) -> None:
    write(tmp_path / "DOE_JANE" / "chest_of_jane_doe.dcm")
    (document,) = source(tmp_path).documents()
    assert (document.title, document.text) == ("X-ray, chest, PA view", "X-ray, chest, PA view")
    assert (document.modalities, document.date) == (("xray",), datetime.date(2024, 3, 31))
    assert document.patient_id == pseudonym("MRN-4711")
    assert document.picture == tmp_path / "DOE_JANE" / "chest_of_jane_doe.dcm"
    said = " ".join([document.id, document.title, document.text, document.citation, str(document.patient_id)])
    for secret in ("doe", "jane", "4711", "elsewhere", "roe", "1950", ".dcm"):
        assert secret not in said.lower()


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"BodyPartExamined": "JANE DOE KNEE", "ViewPosition": "AS DOE LIKES"}, "X-ray"),
        ({"BodyPartExamined": "KNEE", "ImageLaterality": "L", "ViewPosition": ""}, "X-ray, left knee"),
        ({"Modality": "MR", "BodyPartExamined": "BRAIN", "ViewPosition": ""}, "MRI, brain"),
        ({"Modality": "OT", "BodyPartExamined": "", "ViewPosition": "", "PatientID": "", "StudyDate": ""}, "picture"),
    ],
)
def test_free_text_of_a_header_says_nothing(tmp_path: Path, fields: dict[str, str], text: str) -> None:
    write(tmp_path / "a.dcm", **fields)
    (document,) = source(tmp_path).documents()
    assert document.text == text
    assert (document.patient_id is None) == (fields.get("PatientID") == "")


def test_dicom_is_known_by_its_mark_and_ids_stay_the_same(tmp_path: Path) -> None:
    write(tmp_path / "IM0001")
    write(tmp_path / "b" / "IM0002", ViewPosition="AP")
    (tmp_path / "DICOMDIR.txt").write_text("an index of the disc")
    first, second = source(tmp_path).documents()
    assert first.id != second.id
    shutil.copytree(tmp_path, tmp_path / "copy")
    assert [document.id for document in source(tmp_path / "copy").documents()] == [first.id, second.id]


def test_what_is_no_picture_or_damaged_is_counted(tmp_path: Path) -> None:
    write(tmp_path / "good.dcm")
    write(tmp_path / "cut.dcm", Rows=4000)
    write(tmp_path / "vast.dcm", Rows=60_000, Columns=60_000)
    write(tmp_path / "plan.dcm", Modality="RTPLAN")
    (tmp_path / "text.dcm").write_bytes(b"not DICOM at all")
    (tmp_path / "empty.dcm").write_bytes(b"")
    whole = (tmp_path / "good.dcm").read_bytes()
    (tmp_path / "half.dcm").write_bytes(whole[:200])
    found = source(tmp_path)
    assert len(list(found.documents())) == 1
    assert found.skipped.total() == 6
    assert all(".dcm" not in reason for reason in found.skipped)
    assert found.skipped["not a DICOM picture"] >= 2


def test_facts_are_those_of_the_header() -> None:
    path = Path(str(get_testdata_file("CT_small.dcm", download=False)))
    facts = read_dicom_facts(path)
    header = pydicom.dcmread(path)
    assert header.AcquisitionDate < header.StudyDate  # the later one: nothing is found before it was there
    assert facts == DicomFacts(
        modality="ct",
        date=datetime.datetime.strptime(header.StudyDate, "%Y%m%d").date(),
        patient_id=pseudonym(str(header.PatientID)),
    )
    assert described(facts, facts.modality) == "CT"


def test_the_real_samples_are_documents_or_counted(data_dir: Path) -> None:
    folder = data_dir / "dicom_samples"
    files = sorted(folder.glob("*.dcm"))
    if not files:
        pytest.skip(f"no DICOM files: {folder} holds none")
    found = source(folder)
    documents = list(found.documents())
    assert len(documents) + found.skipped.total() == len(files)
    named = {document.picture.name for document in documents if document.picture}
    assert {"CT_small.dcm", "MR_small.dcm", "JPEG2000.dcm"} <= named
    assert named.isdisjoint({"MR_truncated.dcm", "rtplan.dcm", "test-SR.dcm", "liver_1frame.dcm"})
    for document in documents:
        header = pydicom.dcmread(str(document.picture))
        for secret in (str(header.get("PatientID") or ""), str(header.get("PatientName") or "")):
            assert not secret or secret not in (document.id + document.text + document.citation)


def test_errors_of_the_reader_that_are_no_input_errors_are_bugs(tmp_path: Path) -> None:
    write(tmp_path / "a.dcm")

    def broken(path: Path) -> DicomFacts:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(Dicom(path=tmp_path, name="x", licence="x", read_facts=broken).documents())


def test_facts_of_what_is_no_dicom_are_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "JANE_DOE.png").write_bytes(b"\x89PNG")
    with pytest.raises(InputError) as raised:
        read_dicom_facts(tmp_path / "JANE_DOE.png")
    assert "JANE" not in raised.value.expected
