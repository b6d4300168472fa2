"""JPEG, JPEG-LS and JPEG 2000 code streams: the size they state. It decodes nothing."""

from __future__ import annotations

import struct


def stated_size(code: bytes) -> tuple[int, int]:
    """(width, height) that a code stream states; (0, 0) when it states none.

    A decoder believes the code stream, not the header around it, so a small file could ask for gigabytes.
    """
    start = code.find(b"\xff\x4f\xff\x51")  # JPEG 2000: SOC, then SIZ with Xsiz and Ysiz
    if 0 <= start <= len(code) - 16:
        width, height = struct.unpack(">II", code[start + 8 : start + 16])
        return width, height
    at = 2
    while at + 9 <= len(code) and code[at] == 0xFF:  # JPEG: walk the segments to the frame header
        marker, length = code[at + 1], struct.unpack(">H", code[at + 2 : at + 4])[0]
        if (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)) or marker == 0xF7:
            height, width = struct.unpack(">HH", code[at + 5 : at + 9])
            return width, height
        at += 2 + length
    return 0, 0
