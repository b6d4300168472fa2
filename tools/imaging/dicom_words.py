"""The closed lists of DICOM words that may leave a header: codes to our own words. It reads no file.

Free text in a header may hold a name, so body parts and views outside these lists are dropped. Sources: DICOM
PS3.3 C.7.3.1.1.1 (modality), PS3.16 Annex L (body parts), PS3.3 C.8.1.1 and C.8.11.7 (view position, laterality).
"""

from __future__ import annotations

from ...core.case import Laterality, Modality

CT_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
WRITTEN_ON = frozenset({"US", "IVUS", "ES", "SC", "OT", "XC", "GM"})

MODALITIES: dict[str, Modality] = {
    "CT": "ct", "MR": "mr", "CR": "xray", "DX": "xray", "RG": "xray", "RF": "xray", "XA": "xray", "PX": "xray",
    "IO": "xray", "MG": "mammography", "US": "ultrasound", "IVUS": "ultrasound", "NM": "nuclear", "PT": "nuclear",
    "ES": "endoscopy", "OCT": "oct", "OPT": "oct", "OP": "fundus", "XC": "photograph", "SM": "histology",
    "GM": "microscopy", "DMS": "dermoscopy", "ECG": "ecg",
}  # fmt: skip

NOT_PICTURES = {
    "SEG": "a segmentation, not a picture of the patient", "RTDOSE": "a dose map, not a picture of the patient",
    "RTPLAN": "a treatment plan", "RTSTRUCT": "contours", "SR": "a structured report", "PR": "a presentation state",
    "KO": "a key object selection", "REG": "a registration", "DOC": "a document",
}  # fmt: skip

BODY_PARTS = {
    "ABDOMEN": "abdomen", "ANKLE": "ankle", "ARM": "arm", "BRAIN": "brain", "BREAST": "breast", "CHEST": "chest",
    "CLAVICLE": "clavicle", "COLON": "colon", "CSPINE": "cervical spine", "ELBOW": "elbow", "EYE": "eye",
    "FEMUR": "femur", "FINGER": "finger", "FOOT": "foot", "HAND": "hand", "HEAD": "head", "HEART": "heart",
    "HIP": "hip", "HUMERUS": "humerus", "KIDNEY": "kidney", "KNEE": "knee", "LEG": "leg", "LIVER": "liver",
    "LSPINE": "lumbar spine", "LUNG": "chest", "NECK": "neck", "PELVIS": "pelvis", "RETINA": "retina",
    "SHOULDER": "shoulder", "SKULL": "skull", "SPINE": "spine", "STOMACH": "stomach", "THORAX": "chest",
    "THYROID": "thyroid", "TSPINE": "thoracic spine", "WHOLEBODY": "whole body", "WHOLE BODY": "whole body",
    "WRIST": "wrist",
}  # fmt: skip

VIEWS = frozenset({
    "AP", "PA", "LL", "RL", "LLD", "RLD", "LLO", "RLO", "LATERAL", "CC", "MLO", "ML", "LM", "LMO", "XCCL", "XCCM",
})  # fmt: skip

LATERALITIES: dict[str, Laterality] = {"L": "left", "R": "right", "B": "bilateral"}
