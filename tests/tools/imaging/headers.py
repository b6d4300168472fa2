"""DICOM headers made up for tests: slices of a CT, and headers full of planted identifiers."""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

CT = "1.2.840.10008.5.1.4.1.1.2"


def ct_slice(pixels: np.ndarray[Any, Any], **fields: Any) -> FileDataset:
    """One axial slice of stored values, in HU after a rescale of 1 and -1024."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CT, "1.2.3"
    header = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    header.SOPClassUID, header.SOPInstanceUID, header.SeriesInstanceUID = CT, "1.2.3", "1.2.3.4"
    header.Modality, header.PatientID = "CT", "MRN-1"
    header.Rows, header.Columns = pixels.shape
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.BitsAllocated = header.BitsStored = 16
    header.HighBit, header.PixelRepresentation = 15, 1
    header.RescaleSlope, header.RescaleIntercept = 1, -1024
    header.PixelSpacing = [1.0, 1.0]
    header.ImagePositionPatient, header.ImageOrientationPatient = [0.0, 0.0, 0.0], [1, 0, 0, 0, 1, 0]
    header.PixelData = pixels.astype("<i2").tobytes()
    for name, value in fields.items():
        setattr(header, name, value)
    return header


def header_bytes(header: FileDataset) -> bytes:
    buffer = io.BytesIO()
    header.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def jpeg_lossless(data: bytes) -> bytes:
    """The DICOM file with its pixels as lossless JPEG (process 14), which gdcm alone reads; written by gdcm, apart."""
    code = (
        "import gdcm, sys; given, to = sys.argv[1:]\n"
        "read = gdcm.ImageReader(); read.SetFileName(given); assert read.Read()\n"
        "change = gdcm.ImageChangeTransferSyntax(); change.SetInput(read.GetImage())\n"
        "change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))\n"
        "assert change.Change()\n"
        "write = gdcm.ImageWriter(); write.SetFileName(to); write.SetFile(read.GetFile())\n"
        "write.SetImage(change.GetOutput()); assert write.Write()\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        given, to = Path(folder) / "given", Path(folder) / "to"
        given.write_bytes(data)
        subprocess.run([sys.executable, "-P", "-W", "ignore", "-c", code, str(given), str(to)], check=True)
        header, made = dcmread(given), dcmread(to)  # gdcm adds to the header what is not meant here
    header.PixelData, header.file_meta.TransferSyntaxUID = made.PixelData, made.file_meta.TransferSyntaxUID
    header["PixelData"].VR, header["PixelData"].is_undefined_length = "OB", True
    return header_bytes(header)


def planted(number: int) -> tuple[FileDataset, tuple[str, ...]]:
    """A picture whose header holds identifiers wherever one may stand, and these identifiers; no two are alike."""
    name, record, free = f"Zyxwvut{number:02}^Qponml", f"MRN{770_000 + number}", f"Saw Drkjihg{number:02}"
    day = f"19{60 + number % 30}{1 + number % 12:02}{1 + number % 28:02}"
    uid = f"1.3.6.1.4.1.{50_000 + number}.7.8"
    real = dcmread(str(get_testdata_file("CT_small.dcm", download=False))).pixel_array
    header = ct_slice(real.astype(np.int16) + number)
    for keyword in NAMES:
        setattr(header, keyword, name)
    for keyword in RECORDS:
        setattr(header, keyword, record[:16])
    for keyword in TEXTS:
        setattr(header, keyword, free)
    for keyword in CODES:
        setattr(header, keyword, name.partition("^")[0].upper())
    for keyword in DAYS:
        setattr(header, keyword, day)
    for keyword in TIMES:
        setattr(header, keyword, f"{day}123456")
    for keyword in UIDS:
        setattr(header, keyword, uid)
    header.file_meta.MediaStorageSOPInstanceUID, header.file_meta.SourceApplicationEntityTitle = uid, record
    header.preamble = name.encode().ljust(128, b"\0")
    block = header.private_block(0x0011, f"OWNER {name}", create=True)
    block.add_new(0x01, "LO", free)
    block.add_new(0x02, "PN", name)
    inner, outer, unknown = Dataset(), Dataset(), Dataset()
    inner.PersonName, inner.InstitutionName, inner.ReferencedSOPInstanceUID = name, free, uid
    outer.RequestAttributesSequence = [inner]
    outer.PatientName, outer.ScheduledProcedureStepDescription, outer.StudyDate = name, free, day
    unknown.TextValue, unknown.Date = free, day
    header.RequestAttributesSequence, header.ReferencedStudySequence = [outer], [inner]
    header.ContentSequence = [unknown]
    header.SharedFunctionalGroupsSequence = [_measures(outer)]
    header.add_new(0x60003000, "OW", name.encode().ljust(32, b"\0"))
    header.add_new(0x60000022, "LO", free)
    header.WindowCenterWidthExplanation = free
    header.PatientSex, header.PatientAge = "F", "047Y"
    family = name.partition("^")[0]
    return header, (name, family, family.upper(), record, free, free.removeprefix("Saw "), day, uid)


def _measures(item: Dataset) -> Dataset:
    group, measures = Dataset(), Dataset()
    measures.PixelSpacing, measures.PatientName = [1.0, 1.0], item.PatientName
    group.PixelMeasuresSequence, group.PatientComments = [measures], item.ScheduledProcedureStepDescription
    return group


NAMES = (
    "PatientName", "OtherPatientNames", "PatientBirthName", "PatientMotherBirthName", "ReferringPhysicianName",
    "PerformingPhysicianName", "OperatorsName", "NameOfPhysiciansReadingStudy", "RequestingPhysician",
    "ResponsiblePerson", "PhysiciansOfRecord",
)  # fmt: skip
RECORDS = (
    "PatientID", "OtherPatientIDs", "AccessionNumber", "StudyID", "AdmissionID", "IssuerOfPatientID",
    "DeviceSerialNumber", "FillerOrderNumberImagingServiceRequest", "StationName",
)  # fmt: skip
TEXTS = (
    "StudyDescription", "SeriesDescription", "ProtocolName", "InstitutionName", "InstitutionAddress", "PatientComments",
    "AdditionalPatientHistory", "ImageComments", "PatientAddress", "PatientTelephoneNumbers", "EthnicGroup",
    "Occupation", "MedicalAlerts", "RequestedProcedureDescription", "PerformedProcedureStepDescription",
    "DerivationDescription", "InstitutionalDepartmentName", "AcquisitionDeviceProcessingDescription",
    "CommentsOnThePerformedProcedureStep", "ReasonForStudy", "ContrastBolusAgent", "ConvolutionKernel",
)  # fmt: skip
CODES = ("BodyPartExamined", "ViewPosition", "ImageLaterality", "ImageType", "PatientPosition", "ScanOptions")
DAYS = (
    "StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate", "PatientBirthDate", "LastMenstrualDate",
    "PerformedProcedureStepStartDate", "InstanceCreationDate", "DateOfLastCalibration",
)  # fmt: skip
TIMES = ("AcquisitionDateTime", "FrameReferenceDateTime", "ScheduledProcedureStepStartDateTime")
UIDS = (
    "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "IrradiationEventUID",
    "DeviceUID", "SynchronizationFrameOfReferenceUID",
)  # fmt: skip
