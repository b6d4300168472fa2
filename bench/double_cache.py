"""The prompt as the double counts it, and a prefix cache over it that works like vLLM's.

A token is a piece of four characters. The text of a chat is one string: each message opens with `<|role|>` and a
newline and closes with a newline, its text parts are joined by newlines, and `<|assistant|>` with a newline ends it. An
image ends the text before it (the last piece may be shorter than four) and counts `image_tokens` tokens, all of which
are its sha256. The module does not know what is asked or answered.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

TOKEN_CHARACTERS = 4
BLOCK_TOKENS = 16
_TOKEN_BYTES = 4 * TOKEN_CHARACTERS  # UTF-32, so that every token is as wide and a block is a slice
_BLOCK_BYTES = BLOCK_TOKENS * _TOKEN_BYTES
SHARED = "\n# Shared evidence"


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A chat as runs of text and digests of images, with what the log and the replies read off it."""

    runs: tuple[str | bytes, ...]
    first_user_text: str

    @cached_property
    def text(self) -> str:
        return "".join(run for run in self.runs if isinstance(run, str))

    @property
    def images(self) -> int:
        return sum(isinstance(run, bytes) for run in self.runs)

    @cached_property
    def case(self) -> str:
        """Short hash of all that comes before the shared evidence; without such a part, of the first user text."""
        before = hashlib.sha256()
        for run in self.runs:
            if isinstance(run, bytes):
                before.update(run)
                continue
            head, found, _ = run.partition(SHARED)
            before.update(head.encode("utf-8", "surrogatepass"))
            if found:
                return before.hexdigest()[:12]
        return hashlib.sha256(self.first_user_text.encode("utf-8", "surrogatepass")).hexdigest()[:12]

    def tokens(self, image_tokens: int) -> bytes:
        """All tokens behind one another, sixteen bytes each."""
        stream = bytearray()
        for run in self.runs:
            if isinstance(run, bytes):
                stream += run[:_TOKEN_BYTES] * image_tokens
            else:
                stream += run.encode("utf-32-le", "surrogatepass")
                stream += b"\0" * (-len(stream) % _TOKEN_BYTES)
        return bytes(stream)


def read_chat(messages: list[dict[str, Any]]) -> Prompt:
    """The messages of a request as one prompt; parts that are neither text nor image are left out."""
    runs: list[str | bytes] = []
    pending: list[str] = []
    first_user_text = ""
    for message in messages:
        pending.append(f"<|{message.get('role', 'user')}|>\n")
        content = message.get("content") or ""
        for part in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            if part.get("type") == "text":
                pending += (part["text"], "\n")
                if not first_user_text and message.get("role") == "user":
                    first_user_text = part["text"]
            elif part.get("type") == "image_url":
                runs += ("".join(pending), hashlib.sha256(part["image_url"]["url"].encode()).digest())
                pending = ["\n"]  # keeps what follows at the start of a line
    runs.append("".join([*pending, "<|assistant|>\n"]))
    return Prompt(runs=tuple(runs), first_user_text=first_user_text)


def count(tokens: bytes) -> int:
    return len(tokens) // _TOKEN_BYTES


class PrefixCache:
    """Blocks of sixteen tokens, each known by its content and by the block before it; nothing is ever evicted.

    Blocks can be hit from the moment their request is admitted to service: vLLM V1 too registers them when it
    schedules their computation, not when that has finished (long prompts it schedules in chunks; that is left out, and
    so are the blocks of generated text).
    """

    def __init__(self) -> None:
        self._blocks: dict[tuple[int, bytes], int] = {}

    def admit(self, tokens: bytes) -> int:
        """How many tokens of a prompt are already there; from now on all its full blocks are."""
        # The last token is always computed: its output is wanted. So a prompt never hits as a whole.
        most = (count(tokens) - 1) // BLOCK_TOKENS
        before = hits = 0
        for number in range(len(tokens) // _BLOCK_BYTES):
            key = (before, tokens[number * _BLOCK_BYTES : (number + 1) * _BLOCK_BYTES])
            block = self._blocks.get(key)
            if block is None:
                block = self._blocks[key] = len(self._blocks) + 1
            elif number < most:
                hits += 1
            before = block
        return hits * BLOCK_TOKENS
