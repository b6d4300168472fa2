"""What lies in a model's folder and says how it is used: configuration, pooling, lengths, and the hash of it all.

Reads JSON and hashes bytes; it knows neither torch nor transformers. The files are those of transformers
(`config.json`, weights, tokenizer, preprocessor) and of sentence-transformers (`modules.json`, `1_Pooling/config.json`,
`sentence_bert_config.json`, `config_sentence_transformers.json`).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

from ...core.canonical import digest
from ...core.errors import InputError
from .protocol import Reads

Pooling: TypeAlias = Literal["mean", "cls"]

SAFE_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
OTHER_WEIGHTS = ("pytorch_model.bin", "pytorch_model.bin.index.json")
SAYS_HOW = (
    "config.json", "modules.json", "sentence_bert_config.json", "config_sentence_transformers.json",
    "preprocessor_config.json", "processor_config.json", "tokenizer.json", "tokenizer_config.json",
    "special_tokens_map.json", "added_tokens.json", "vocab.txt", "vocab.json", "merges.txt", "spiece.model",
    "tokenizer.model", "sentencepiece.bpe.model",
)  # fmt: skip
TEXT_TYPES = frozenset(
    "albert bert camembert deberta-v2 distilbert electra modernbert mpnet roberta xlm-roberta".split()
)
BOTH_TYPES = frozenset({"clip", "siglip"})
IMAGE_TYPES = frozenset({"dinov2", "dinov2_with_registers", "dinov3_vit", "vit"})
COUNTS_FROM_PADDING = frozenset({"camembert", "mpnet", "roberta", "xlm-roberta"})  # positions start after the pad id


@dataclass(frozen=True)
class ModelFolder:
    """One model on disk. Making it reads `config.json`; raises InputError where that is missing or of no known type."""

    path: Path

    def __post_init__(self) -> None:
        if not (self.path / "config.json").is_file():
            raise _unfit(
                self.path, "a model's folder with config.json", "a folder without one", "name the folder that holds it"
            )
        known = TEXT_TYPES | BOTH_TYPES | IMAGE_TYPES
        if self.model_type not in known:
            raise _unfit(
                self.path, f"a model of type {', '.join(sorted(known))}", f"the type {self.model_type!r}",
                "name a model of one of these types",
            )  # fmt: skip
        _ = self.weights

    @cached_property
    def config(self) -> dict[str, Any]:
        config = self.json("config.json")
        return config if isinstance(config, dict) else {}

    @property
    def model_type(self) -> str:
        return str(self.config.get("model_type", ""))

    @property
    def reads(self) -> frozenset[Reads]:
        if self.model_type in BOTH_TYPES:
            return frozenset({"text", "image"})
        return frozenset({"text"}) if self.model_type in TEXT_TYPES else frozenset({"image"})

    @property
    def safe(self) -> bool:
        """Whether the weights are safetensors, which hold numbers and nothing else."""
        return any((self.path / name).is_file() for name in SAFE_WEIGHTS)

    @cached_property
    def weights(self) -> tuple[str, ...]:
        """The names of the files that hold the weights, safetensors wherever there are any."""
        for name in SAFE_WEIGHTS if self.safe else OTHER_WEIGHTS:
            if (self.path / name).is_file():
                parts = self.json(name).get("weight_map", {}).values() if name.endswith(".json") else ()
                return tuple(sorted({name, *map(str, parts)}))
        raise _unfit(
            self.path, "weights in model.safetensors or pytorch_model.bin", "a folder without them",
            "copy the model's weights into it",
        )  # fmt: skip

    @cached_property
    def pooling(self) -> Pooling | None:
        """How token vectors become one, as sentence-transformers' files say; None where there are none."""
        modules = [str(module.get("type", "")).rpartition(".")[2] for module in self.optional("modules.json", [])]
        strange = sorted(set(modules) - {"Transformer", "Pooling", "Normalize"})
        if strange:
            raise _unfit(
                self.path, "the modules Transformer, Pooling and Normalize", f"{strange[0]} in modules.json",
                "name a model without it",
            )  # fmt: skip
        said = self.optional("1_Pooling/config.json", None)
        if said is None:
            return None
        chosen = {name for name, on in said.items() if name.startswith("pooling_mode_") and on}
        if chosen == {"pooling_mode_cls_token"} or said.get("pooling_mode") == "cls":
            return "cls"
        if chosen == {"pooling_mode_mean_tokens"} or said.get("pooling_mode") == "mean":
            return "mean"
        raise _unfit(
            self.path, "pooling by mean or by the first token", f"{sorted(chosen)} in 1_Pooling/config.json",
            "name a model that pools by one of the two",
        )  # fmt: skip

    @cached_property
    def longest(self) -> int:
        """How many tokens of a text are read, the special ones among them."""
        text = self.config.get("text_config", self.config)
        positions = int(text.get("max_position_embeddings", {"clip": 77, "siglip": 64}.get(self.model_type, 512)))
        if self.model_type in COUNTS_FROM_PADDING:
            positions -= int(text.get("pad_token_id", 1)) + 1
        said = self.optional("sentence_bert_config.json", {}).get("max_seq_length")
        return min(positions, int(said)) if said else positions

    @property
    def dimension(self) -> int:
        """The length of the model's vectors."""
        if self.model_type == "clip":
            return int(self.config.get("projection_dim", 512))
        part = self.config.get("text_config", {}) if self.model_type == "siglip" else self.config
        size = part.get("projection_size") or part.get("hidden_size") or part.get("dim")  # dim: DistilBERT's word
        return int(size or 768)

    def prompts(self) -> tuple[str, str]:
        """What stands before a question and before a passage, as sentence-transformers' files say."""
        said = self.optional("config_sentence_transformers.json", {}).get("prompts") or {}
        return str(said.get("query") or ""), str(said.get("document") or said.get("passage") or "")

    def json(self, name: str) -> Any:
        """A JSON file of the folder. Raises InputError where it cannot be read."""
        try:
            return json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise _unfit(self.path, f"JSON in {name}", str(error).partition("\n")[0], "copy the file again") from None

    def optional(self, name: str, default: Any) -> Any:
        return self.json(name) if (self.path / name).is_file() else default

    def hash(self) -> str:
        """sha256 over the names and the bytes of every file that a vector depends on; computed once a process."""
        names = sorted({*self.weights, *SAYS_HOW, "1_Pooling/config.json"})
        files = [(name, self.path / name) for name in names]
        return digest([[name, _sha256(file, *_state(file))] for name, file in files if file.is_file()])


def _state(file: Path) -> tuple[int, int]:
    stat = file.stat()
    return stat.st_size, stat.st_mtime_ns


@lru_cache(maxsize=1024)
def _sha256(file: Path, size: int, changed_ns: int) -> str:
    """Of a file's bytes; its size and time are in the cache's key, so that a file written anew is read again."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _unfit(path: Path, expected: str, got: str, fix: str) -> InputError:
    return InputError(expected=expected, got=f"{got}: {str(path)!r}", fix=fix)
