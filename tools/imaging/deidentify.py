"""Identifiers out of DICOM: how dates move, how identifiers are replaced, and a file that may be handed on.

Everything here hangs on a secret of the installation, a file beside the pixels: whoever holds a trace and not the
secret can undo nothing. Intervals between the dates of one patient survive, since all are moved by the same number of
days (docs/decisions/0008). Text burnt into the pixels stays where it is: it is flagged, and not claimed removed.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import hmac
import os
import re
import secrets
from pathlib import Path
from typing import Any

from ...core.case import Case, pseudonym
from ...core.errors import InputError, StorageError
from .deidentify_rules import BINARY, NUMBERS, RULES, STANDARD_UIDS, WORDS
from .dicom import coded, in_header_only, open_dicom, saved
from .dicom_facts import burnt_in
from .locate import read_bounded
from .raster import decoding

SECRET_FILE = ".salt"  # noqa: S105 - the name of the file
_WEEKS_AT_LEAST, _WEEKS_AT_MOST = 52, 520
_SECRET = re.compile(rb"[0-9a-f]{64}")
_METHODS = (
    ("113100", "Basic Application Confidentiality Profile"),
    ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
)


def secret_in(folder: Path) -> bytes:
    """The secret of the installation that keeps its runs in `folder`; made on first use, readable by its owner alone.

    Raises StorageError when it cannot be written, or when the file holds something else.
    """
    path = folder / SECRET_FILE
    try:
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f"{SECRET_FILE}.{os.getpid()}.{secrets.token_hex(4)}.part")
            try:
                with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                    file.write(secrets.token_hex(32).encode())
                with contextlib.suppress(FileExistsError):  # another process was first: its secret is the secret
                    os.link(part, path)
            finally:
                part.unlink(missing_ok=True)
        found = path.read_bytes().strip()
    except OSError as error:
        raise StorageError(
            expected=f"room and permission to keep a secret in {folder}",
            got=error.strerror or type(error).__name__,
            fix="free some space or name another folder with --runs",
        ) from error
    if not _SECRET.fullmatch(found):
        raise StorageError(
            expected=f"64 hexadecimal digits in {path}",
            got="something else",
            fix="restore the file from a copy; without it dates of earlier runs cannot be compared with later ones",
        )
    return found


def days_back(secret: bytes, patient_id: str) -> int:
    """By how many days the dates of a patient are moved back: whole weeks, one to ten years, the same for the same id.

    A pseudonym and the id it stands for give the same number.
    """
    code = hmac.digest(secret, b"days " + pseudonym(patient_id).encode(), hashlib.sha256)
    weeks = _WEEKS_AT_LEAST + int.from_bytes(code) % (_WEEKS_AT_MOST - _WEEKS_AT_LEAST + 1)
    return 7 * weeks


def shifted(date: datetime.date, days: int) -> datetime.date | None:
    """`date` moved back by `days`; None where the calendar does not go that far."""
    try:
        return date - datetime.timedelta(days=days)
    except OverflowError:
        return None


def states_dates(case: Case) -> bool:
    """Whether the case has a timeline of its own: dates that its user states are not moved, so that no date of a
    header, moved or not, may stand beside them."""
    return bool(case.date or case.visits or any(image.acquired for image in case.all_images()))


def replaced_uid(secret: bytes, uid: str) -> str:
    """Another identifier, the same for the same one; what the standard itself defines stays as it is.

    Source: DICOM PS3.5 B.2 (UUID derived identifiers under 2.25).
    """
    if uid.startswith(STANDARD_UIDS):
        return uid
    return f"2.25.{int.from_bytes(hmac.digest(secret, b'uid ' + uid.encode(), hashlib.sha256)[:16])}"


def write_deidentified(given: Path, to: Path, *, secret: bytes) -> tuple[str, ...]:
    """Write the DICOM picture `given` to `to` without identifiers, and return what has to be said about it.

    Pixels stay as they are encoded; comments inside code streams are removed. Raises InputError for anything that is
    no DICOM picture, and when `to` exists already.
    """
    if to.exists():
        raise InputError(expected="a file that does not exist yet", got=f"{str(to)!r}", fix="name another file")
    opened = open_dicom(read_bounded(given, typed=given.name), given, shown=given.name, frame=None)
    with decoding(given.name):
        limitations = deidentify(opened.header, secret=secret)
        data = saved(opened.header)
    to.write_bytes(data)
    return limitations


def deidentify(header: Any, *, secret: bytes) -> tuple[str, ...]:
    """Take every identifier out of a data set, in place, and return what has to be said about it.

    What `deidentify_rules` does not name is removed, private attributes and overlays first of all.
    """
    patient = str(header.get("PatientID") or "").strip()
    said = burnt_in(header)
    _apply_rules(header, secret, patient)
    header.PatientIdentityRemoved = "YES"
    header.LongitudinalTemporalInformationModified = "MODIFIED"
    header.DeidentificationMethod = "Allow-list after DICOM PS3.15 Annex E"
    header.DeidentificationMethodCodeSequence = [coded(code, "DCM", meaning) for code, meaning in _METHODS]
    in_header_only(header)
    return said


def _apply_rules(items: Any, secret: bytes, patient: str) -> None:
    for tag in list(items.keys()):
        element = items[tag]
        rule = None if tag.is_private else RULES.get(element.keyword)
        if rule == "items" and element.VR == "SQ":
            for item in element.value:
                _apply_rules(item, secret, patient)
            continue
        value = None if rule is None else _ruled(rule, element, secret, patient)
        if value is None:
            del items[tag]
        else:
            element.value = value


def _ruled(rule: str, element: Any, secret: bytes, patient: str) -> Any:
    """The value that stays; None where none does."""
    if rule == "blank":
        return ""
    if rule == "pseudonym":
        return pseudonym(patient) if patient else ""
    if rule == "date":
        return _moved(element, secret, patient)
    if rule == "uid":
        return replaced_uid(secret, str(element.value)) if element.VR == "UI" and element.value else None
    if rule == "word":
        words = [str(word).upper().strip() for word in _listed(element.value)]
        kept = [word for word in words if word in WORDS[element.keyword]]
        return (kept if len(kept) > 1 else kept[0]) if kept and element.VR in ("CS", "LO", "SH") else None
    if element.VR in NUMBERS:
        return _plain_numbers(element)
    return element.value if element.VR in BINARY else None


def _moved(element: Any, secret: bytes, patient: str) -> str | None:
    """The day of a date or date-time, moved; "" where the header names no patient whose days would move together."""
    try:
        day = datetime.datetime.strptime(str(element.value)[:8], "%Y%m%d").date()
    except ValueError:
        return ""
    moved = shifted(day, days_back(secret, patient)) if patient else None
    return f"{moved:%Y%m%d}" if moved else ""


def _plain_numbers(element: Any) -> Any:
    """The numbers as numbers: as text they could carry more than a number."""
    if element.VR not in ("DS", "IS"):
        return element.value
    numbers = [int(number) if element.VR == "IS" else float(f"{float(number):.9g}")
               for number in _listed(element.value)]  # fmt: skip
    return numbers if len(numbers) != 1 else numbers[0]


def _listed(value: Any) -> list[Any]:
    if value is None or value == "":
        return []
    return list(value) if hasattr(value, "__iter__") and not isinstance(value, str | bytes) else [value]
