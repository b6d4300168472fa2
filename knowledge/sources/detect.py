"""Which format a file or folder is in, judged by what it holds. It reads the beginnings of a few files and no more."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal, TypeAlias

from ...core.errors import InputError
from .labelled import PICTURES
from .markup import root_of
from .place import plain_suffix, walk
from .pubmed import ROOTS
from .reading import opened
from .texts import Texts

Kind: TypeAlias = Literal[
    "bioasq", "captions", "dicom", "fhir", "labelled", "medquad", "medrag", "pubmed", "shipped", "text"
]
KINDS: dict[Kind, str] = {
    "bioasq": "BioASQ questions with golden snippets (.json)",
    "captions": "pictures with captions, listed in JSONL with the keys image and caption",
    "dicom": "DICOM pictures",
    "fhir": "patients' records as FHIR R4 Bundles (.json)",
    "labelled": "folders of PNG or JPEG pictures, a folder per class",
    "medquad": "MedQuAD questions and answers (.jsonl)",
    "medrag": "MedRAG snippets (.jsonl with the keys title and content)",
    "pubmed": "PubMed or MEDLINE articles (.xml)",
    "shipped": "the passages that ship with polyclinic; type shipped, without a path",
    "text": "plain text, Markdown and PDF",
}

_HEAD_BYTES = 2**18
_FILES_OPENED = 200
_FILES_LISTED = 100_000
_NO_CLASSES = {"annotations", "image", "images", "img", "jpegimages", "label", "labels", "mask", "masks"}
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"?|[{}\[\]:,]|[^\s"{}\[\]:,]+')


@dataclass(frozen=True, kw_only=True)
class Detected:
    """A format and what it was known by."""

    kind: Kind
    reason: str


def detect(path: Path) -> Detected:
    """The format of a file or folder. Raises InputError that lists the kinds when it is none of them, or several."""
    seen: Counter[Kind] = Counter()
    reasons: dict[Kind, str] = {}
    files = list(islice(walk(path), _FILES_LISTED))
    for file in files[:_FILES_OPENED]:
        found = _of_file(file, alone=file == path)
        if found is not None:
            seen[found.kind] += 1
            reasons.setdefault(found.kind, found.reason)
    if "captions" in seen or not _are_classes({file.parent.name for file in files if file.suffix.lower() in PICTURES}):
        seen.pop("labelled", None)  # a list says which pictures are meant; or these are the halves of something else
    if len(seen) == 1:
        (kind,) = seen
        return Detected(kind=kind, reason=reasons[kind])
    if not files:
        raise InputError(
            expected=f"{str(path)!r} to hold files", got="a folder that is empty", fix="check the path, or fill it"
        )
    if files == [path] and path.suffix.lower() in PICTURES:
        raise InputError(
            expected="more than a single picture", got=repr(str(path)),
            fix="put pictures into one folder per label, or captions into a JSONL",
        )  # fmt: skip
    got = " and ".join(f"{kind} ({seen[kind]} files)" for kind in sorted(seen)) if seen else "nothing that is known"
    raise InputError(
        expected=f"{str(path)!r} to hold one kind of source",
        got=f"{got}, in {len(files)} files",
        fix=f"type KIND:{path} with one of the kinds: " + "; ".join(f"{kind} ({KINDS[kind]})" for kind in KINDS),
    )


def _are_classes(folders: set[str]) -> bool:
    return len(folders) > 1 and not {folder.lower() for folder in folders} & _NO_CLASSES


def _of_file(path: Path, *, alone: bool) -> Detected | None:
    with opened(path) as file:
        head = file.read(_HEAD_BYTES)
    if head[128:132] == b"DICM" or path.suffix.lower() == ".dcm":
        return Detected(kind="dicom", reason=f"{path.name} is DICOM")
    if path.suffix.lower() in PICTURES and not alone:
        return Detected(kind="labelled", reason=f"{path.parent.name}/{path.name} is a picture")
    if head.startswith(b"%PDF") or plain_suffix(path) in Texts.suffixes:
        return Detected(kind="text", reason=f"{path.name} is a text")
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"<"):
        root = root_of(path)
        return Detected(kind="pubmed", reason=f"{path.name} has the root {root}") if root in ROOTS else None
    if start.startswith(b"{"):
        return _of_object(top_level(start.decode("utf-8", "replace")), path)
    return None


def _of_object(keys: dict[str, str], path: Path) -> Detected | None:
    """By the keys of the file's first object."""
    kind: Kind | None = None
    if keys.get("resourceType") == '"Bundle"':
        kind = "fhir"
    elif keys.get("questions") == "[":
        kind = "bioasq"
    elif {"id", "focus", "question", "answer"} <= keys.keys():
        kind = "medquad"
    elif {"image", "caption"} <= keys.keys():
        kind = "captions"
    elif "title" in keys and keys.keys() & {"content", "contents"}:
        kind = "medrag"
    if kind is None:
        return None
    return Detected(kind=kind, reason=f"the first object of {path.name} has the keys " + ", ".join(list(keys)[:8]))


def top_level(head: str) -> dict[str, str]:
    """The keys of the first object in `head`, which may be cut short, each with the first token of its value."""
    keys: dict[str, str] = {}
    depth, key, last = 0, None, ""
    for match in _TOKEN.finditer(head):
        sign = match[0]
        if key is not None and sign != ":":
            keys[key], key = sign, None
        if sign == ":" and depth == 1 and last.startswith('"'):
            key = last[1:-1]
        depth += (sign in "{[") - (sign in "}]")
        if not depth:
            break
        last = sign
    return keys
