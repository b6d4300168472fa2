"""Dates of DICOM headers: the secret they hang on, and how they move. It opens no picture.

Everything here hangs on a secret of the installation, a file beside the pixels: whoever holds a trace and not the
secret can undo nothing. Intervals between the dates of one patient survive, since all are moved by the same number of
days (docs/decisions/0008). Which other facts of a header are read, and none that names anybody, says `dicom_facts`.
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

from ...core.case import Case, pseudonym
from ...core.errors import StorageError

SECRET_FILE = ".salt"  # noqa: S105 - the name of the file
_WEEKS_AT_LEAST, _WEEKS_AT_MOST = 52, 520
_SECRET = re.compile(rb"[0-9a-f]{64}")


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
