"""XML read safely and piece by piece: nothing is declared, nothing outside is fetched, no record is too large.

It knows no format. A document type may name a DTD, which is not read, and declare nothing itself: entities and
attributes with default values make gigabytes of a few bytes. They stand before the root element, so that part is read
first.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast
from xml.etree.ElementTree import Element, ParseError, XMLPullParser
from xml.parsers import expat

from .reading import MAX_RECORD_BYTES, damaged, opened, too_large

_CHUNK = 2**16
_MAX_PROLOG_BYTES = 2**20


class _RootMet(Exception):  # noqa: N818 - it ends the reading of the prolog and is no error
    pass


def root_of(path: Path) -> str:
    """The name of the root element. Raises InputError when something is declared before it, or this is no XML."""
    found: list[str] = []

    def start(name: str, _attributes: Any) -> None:
        found.append(name)
        raise _RootMet

    def doctype(_name: str, _system: str | None, _public: str | None, declares: int) -> None:
        if declares:
            raise damaged(
                str(path), expected="XML without declarations of its own", got="entities or the like declared"
            )

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.StartDoctypeDeclHandler = doctype
    with opened(path) as file:
        prolog = file.read(_MAX_PROLOG_BYTES)
        try:
            parser.Parse(prolog, False)
        except _RootMet:
            return found[0].rpartition(":")[2]
        except (expat.ExpatError, ValueError, LookupError) as error:  # an encoding that Python does not know
            raise damaged(str(path), expected="XML", got=f"something else: {error}") from None
    raise damaged(str(path), expected="XML with a root element at its beginning", got="none")


def elements(path: Path, *, roots: tuple[str, ...], records: frozenset[str]) -> Iterator[Element]:
    """The root's children named in `records`, each valid until the next is asked for. Raises InputError."""
    root = root_of(path)
    if root not in roots:
        raise damaged(str(path), expected="the root element " + " or ".join(roots), got=f"<{root}>")
    reader: XMLPullParser[Any] = XMLPullParser(["start", "end"])
    top: Element | None = None
    depth, since, number = 0, 0, 0
    with opened(path) as file:
        while chunk := file.read(_CHUNK):
            since += len(chunk)
            if since > MAX_RECORD_BYTES:
                raise too_large(f"{path}, after record {number}")
            for event, element in _fed(reader, chunk, f"{path}, after record {number}"):
                top = element if top is None else top
                depth += 1 if event == "start" else -1
                if event == "end" and depth == 1 and element.tag in records:
                    number, since = number + 1, 0
                    yield element
                    top.clear()
    if depth or top is None:
        raise damaged(f"{path}, after record {number}", expected="XML to its last tag", got="a file cut short")


def _fed(reader: XMLPullParser[Any], chunk: bytes, where: str) -> Iterator[tuple[str, Element]]:
    try:
        reader.feed(chunk)
        yield from cast(Iterator[tuple[str, Element]], reader.read_events())
    except (ParseError, ValueError, LookupError) as error:
        raise damaged(where, expected="XML", got=f"something else: {error}") from None
