"""What the user types as a source, made one: `PATH` or `KIND:PATH`. It reads no documents."""

from __future__ import annotations

import re
from pathlib import Path
from typing import cast

from ...core.canonical import digest
from ...core.case import Modality
from ...core.errors import InputError, SetupError
from . import bioasq, dicom, fhir, medquad
from .captions import MODALITIES, Captions
from .detect import KINDS, Kind, detect
from .labelled import Labelled
from .licence import licence_for
from .medrag import MedRag
from .place import FileSource, plain_name
from .protocol import Source
from .pubmed import PubMed
from .shipped import Shipped
from .texts import Texts

_READERS: dict[Kind, type[FileSource]] = {
    "bioasq": bioasq.BioAsq, "captions": Captions, "fhir": fhir.Fhir, "labelled": Labelled,
    "medquad": medquad.MedQuad, "medrag": MedRag, "pubmed": PubMed, "text": Texts,
}  # fmt: skip
_KNOWN_LICENCES: dict[Kind, str] = {
    "bioasq": bioasq.LICENCE, "dicom": dicom.LICENCE, "fhir": fhir.LICENCE, "medquad": medquad.LICENCE,
}  # fmt: skip
_RECORDS: frozenset[Kind] = frozenset({"dicom", "fhir"})
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")


def open_source(
    spec: str,
    *,
    licence: str | None = None,
    citation: str | None = None,
    modality: str | None = None,
    name: str | None = None,
    read_facts: dicom.ReadFacts | None = None,
) -> Source:
    """The source that `spec` means; its `kind` says what it was taken for.

    `licence`, `citation` and `modality` are of the source as a whole; `read_facts` is asked for DICOM headers. Raises
    InputError for a path that holds no source, an ambiguous one, a modality or a name that is none, and where no
    licence is known.
    """
    kind, path = _split(spec)
    if kind == "shipped":
        return Shipped()
    kind = kind or detect(path).kind
    if name is not None and not _NAME.fullmatch(name):
        raise InputError(
            expected="a name of lower case letters, digits and hyphens", got=repr(name), fix="type --name my-source"
        )
    if modality is not None and modality not in MODALITIES:
        raise InputError(expected="a modality", got=repr(modality), fix="type one of " + ", ".join(MODALITIES))
    known = cast(Modality | None, modality)
    named, cited = name or _name(kind, path), (citation or "").strip()
    allowed = licence_for(path, licence, _KNOWN_LICENCES.get(kind))
    if kind == "dicom":
        if read_facts is None:
            raise SetupError(
                expected="a reader of DICOM headers", got="none", fix="pass read_facts=tools.imaging.read_dicom_facts"
            )
        source: FileSource = dicom.Dicom(
            path=path, name=named, licence=allowed, citation=cited, modality=known, read_facts=read_facts
        )
    else:
        source = _READERS[kind](path=path, name=named, licence=allowed, citation=cited, modality=known)
    source.files()  # a source without files is refused here, not in the middle of a build
    return source


def _split(spec: str) -> tuple[Kind | None, Path]:
    """The kind that was typed, if any, and the path. A file may have a colon in its name; a kind goes before it."""
    before, colon, after = spec.partition(":")
    if spec == "shipped" or (before == "shipped" and not after):
        return "shipped", Path()
    if colon and before in KINDS:
        return before, _there(after, spec)
    if colon and re.fullmatch(r"[a-z]{2,}", before) and not Path(spec).exists():
        raise InputError(
            expected="a kind of source before the colon",
            got=repr(before),
            fix="type one of " + "; ".join(f"{kind} ({KINDS[kind]})" for kind in KINDS),
        )
    return None, _there(spec, spec)


def _there(typed: str, spec: str) -> Path:
    path = Path(typed).expanduser()
    if "\0" in typed or not typed or not path.exists():
        raise InputError(
            expected="the path of a file or folder, or KIND:PATH",
            got=f"{spec!r}, where nothing is",
            fix="check the path; the kinds are " + ", ".join(KINDS),
        )
    return path


def _name(kind: Kind, path: Path) -> str:
    """From the file or folder; a hash of it for patients' records, whose names tend to name the patient."""
    plain = plain_name(path)
    return f"{kind}-{digest(['source', plain])[:6]}" if kind in _RECORDS else plain
