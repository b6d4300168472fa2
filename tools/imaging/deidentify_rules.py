"""What may stay in a DICOM header that is handed on: an allow-list by attribute. It changes no header itself.

In the spirit of the Basic Application Level Confidentiality Profile (DICOM PS3.15 Annex E) with its option to keep
modified dates, and stricter: what is not named here is removed, so an attribute nobody thought of is removed too.

    keep        numbers that say how pixels are arranged, scaled, windowed, placed and timed, and binary tables
    word        a code that stays where it is one of a closed list, and is removed otherwise
    uid         a unique identifier, replaced by another one; the same for the same one
    date        a day, moved back by a number of days that is the same for all of a patient's days
    pseudonym   what stands for the patient
    blank       stays, without a value, since the standard wants it there
    items       a sequence whose items are treated by these same rules
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from .dicom_words import BODY_PARTS, LATERALITIES, MODALITIES, VIEWS

Rule: TypeAlias = Literal["keep", "word", "uid", "date", "pseudonym", "blank", "items"]

_KEPT = """
    SamplesPerPixel NumberOfFrames Rows Columns PlanarConfiguration BitsAllocated BitsStored HighBit PixelRepresentation
    SmallestImagePixelValue LargestImagePixelValue PixelPaddingValue PixelPaddingRangeLimit PixelAspectRatio
    RedPaletteColorLookupTableDescriptor GreenPaletteColorLookupTableDescriptor BluePaletteColorLookupTableDescriptor
    RedPaletteColorLookupTableData GreenPaletteColorLookupTableData BluePaletteColorLookupTableData
    PixelData FloatPixelData DoubleFloatPixelData LUTDescriptor LUTData
    RescaleSlope RescaleIntercept WindowCenter WindowWidth
    PixelSpacing ImagerPixelSpacing NominalScannedPixelSpacing SpacingBetweenSlices SliceThickness SliceLocation
    ImagePositionPatient ImageOrientationPatient InstanceNumber AcquisitionNumber SeriesNumber ImagesInAcquisition
    FrameTime FrameTimeVector CineRate RecommendedDisplayFrameRate FrameIncrementPointer
    KVP XRayTubeCurrent ExposureTime Exposure DistanceSourceToDetector DistanceSourceToPatient GantryDetectorTilt
    ReconstructionDiameter TableHeight SpiralPitchFactor RepetitionTime EchoTime InversionTime FlipAngle
    MagneticFieldStrength EchoNumbers EchoTrainLength NumberOfAverages PixelBandwidth LossyImageCompressionRatio
    PhysicalDeltaX PhysicalDeltaY PhysicalUnitsXDirection PhysicalUnitsYDirection RegionSpatialFormat RegionDataType
    RegionFlags RegionLocationMinX0 RegionLocationMinY0 RegionLocationMaxX1 RegionLocationMaxY1
"""
_UIDS = """
    SOPInstanceUID StudyInstanceUID SeriesInstanceUID FrameOfReferenceUID ReferencedSOPInstanceUID
"""
_DATES = "StudyDate SeriesDate AcquisitionDate ContentDate AcquisitionDateTime"
_ITEMS = """
    SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence PixelMeasuresSequence PlanePositionSequence
    PlaneOrientationSequence PixelValueTransformationSequence FrameVOILUTSequence ModalityLUTSequence VOILUTSequence
    SequenceOfUltrasoundRegions
"""
_IMAGE_TYPES = """
    ORIGINAL DERIVED PRIMARY SECONDARY AXIAL LOCALIZER REFORMATTED MPR PROJECTION OTHER VOLUME M ND NORM FFE SE
"""

WORDS: dict[str, frozenset[str]] = {
    "Modality": frozenset(MODALITIES) | {"OT", "SC"},
    "PhotometricInterpretation": frozenset({
        "MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT",
    }),
    "BodyPartExamined": frozenset(BODY_PARTS),
    "ViewPosition": VIEWS,
    "Laterality": frozenset(LATERALITIES),
    "ImageLaterality": frozenset(LATERALITIES),
    "PatientSex": frozenset("MFO"),
    "PatientPosition": frozenset({"HFP", "HFS", "HFDR", "HFDL", "FFP", "FFS", "FFDR", "FFDL"}),
    "RescaleType": frozenset({"HU", "US", "OD"}),
    "VOILUTFunction": frozenset({"LINEAR", "LINEAR_EXACT", "SIGMOID"}),
    "BurnedInAnnotation": frozenset({"YES", "NO"}),
    "ConversionType": frozenset({"DV", "DI", "DF", "WSD", "SD", "SI", "DRW", "SYN"}),
    "LossyImageCompression": frozenset({"00", "01"}),
    "PresentationLUTShape": frozenset({"IDENTITY", "INVERSE"}),
    "ImageType": frozenset(_IMAGE_TYPES.split()),
    "Units": frozenset({"CNTS", "BQML", "NONE"}),
}  # fmt: skip

RULES: dict[str, Rule] = {
    **dict.fromkeys(_KEPT.split(), "keep"),
    **dict.fromkeys(WORDS, "word"),
    **dict.fromkeys(_UIDS.split(), "uid"),
    "SOPClassUID": "uid",
    **dict.fromkeys(_DATES.split(), "date"),
    "PatientID": "pseudonym",
    "PatientName": "pseudonym",
    "PatientBirthDate": "blank",
    "StudyTime": "blank",
    "StudyID": "blank",
    "AccessionNumber": "blank",
    "ReferringPhysicianName": "blank",
    **dict.fromkeys(_ITEMS.split(), "items"),
}

NUMBERS = frozenset({"DS", "IS", "US", "SS", "UL", "SL", "UV", "SV", "FL", "FD", "AT"})
BINARY = frozenset({"OB", "OW", "OF", "OD", "OL", "OV"})
STANDARD_UIDS = "1.2.840.10008."
