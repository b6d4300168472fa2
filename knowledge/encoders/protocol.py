"""What every encoder does, whatever it is made of: texts and pictures in, unit vectors out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from ..store import Picture

Vectors: TypeAlias = npt.NDArray[np.float32]
Reads: TypeAlias = Literal["text", "image"]


class Encoder(Protocol):
    """Texts, pictures or both as vectors of one space.

    `spec` is what `load_encoder` takes to make it again; `identity` is made of the kind, the weights' and the
    preprocessing's hash: it changes whenever a vector could. An encoder that `reads` both puts text and image into
    the same space, so that one finds the other. Thread-safe.
    """

    @property
    def spec(self) -> str: ...

    @property
    def identity(self) -> str: ...

    @property
    def dimension(self) -> int: ...

    @property
    def reads(self) -> frozenset[Reads]: ...

    def encode_texts(self, texts: Sequence[str], *, query: bool = False) -> Vectors:
        """float32 [n, dimension], unit norm; `query` says that these are questions, not passages (models such as
        MedCPT have an encoder for each). Raises InputError where the encoder reads no text."""
        ...

    def encode_pictures(self, pictures: Sequence[Picture]) -> Vectors:
        """float32 [n, dimension], unit norm, for pictures of any sizes. Raises InputError where it reads none."""
        ...
