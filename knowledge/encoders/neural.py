"""Trained encoders from a local folder: sentences, CLIP and SigLIP, DINO and its like. The door to torch.

torch, transformers and huggingface_hub are imported on first use; a model is loaded when it is first asked, and from
then on one thread at a time uses it. Nothing of a folder is ever executed: weights are safetensors, or read by torch
with `weights_only=True`; code that a folder brings is not looked at (`trust_remote_code=False`). A model of which a
weight is missing is refused, for transformers would make the weight up.

Vectors are float32 and of unit length, also where a model's own example takes the bare inner product (MedCPT): an index
compares by cosine.
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.canonical import digest
from ...core.errors import InputError, MissingExtraError, SetupError
from ..store import Picture
from .folder import ModelFolder, Pooling
from .inputs import batches, reads_no, unit_rows
from .preprocess import preprocessing
from .protocol import Reads, Vectors

RECIPE = 1  # goes up whenever this file's or preprocess.py's arithmetic changes a vector
TEXTS_AT_ONCE = 32
PICTURES_AT_ONCE = 16
QUESTION_TOKENS = 64  # how much of a question the encoders of a pair read, as MedCPT's were trained
WITHOUT_POOLER = frozenset({"albert", "bert", "camembert", "mpnet", "roberta", "vit", "xlm-roberta"})
LOWERED = frozenset(
    {"GemmaTokenizer", "GemmaTokenizerFast"}
)  # SigLIP 2 was trained on lower case; Siglip2Tokenizer knows
# torch comes first and by itself: what the extra asks for would bring the CUDA build and its gigabytes.
HOW_TO_INSTALL = (
    "type: pip install torch==2.13.0 (without a GPU from PyTorch's CPU builds), then: pip install 'polyclinic[experts]'"
)
FROM_HUB = ["*.json", "*.txt", "*.model", "*.safetensors", "1_Pooling/*"]

Floats = npt.NDArray[np.float32]


class SentenceEncoder:
    """A text model, or a pair of them: one for questions, one for passages (MedCPT, DPR).

    Token vectors become one as the folder's `1_Pooling/config.json` says; without it by their mean, in a pair by the
    first token. A prompt that the folder gives for questions or passages is put before them. Texts longer than the
    model reads are cut.
    """

    reads: frozenset[Reads] = frozenset({"text"})

    def __init__(self, spec: str, passages: ModelFolder, questions: ModelFolder | None = None) -> None:
        self.spec = spec
        pair = questions is not None and questions.path != passages.path
        self._passages = TextModel(passages, passages.pooling or ("cls" if pair else "mean"))
        self._questions = self._passages
        if questions is not None and pair:
            self._questions = TextModel(questions, questions.pooling or "cls", QUESTION_TOKENS)
        self.dimension = passages.dimension
        if self._questions.folder.dimension != self.dimension:
            raise InputError(
                expected="two encoders whose vectors have one length",
                got=f"{self._questions.folder.dimension} and {self.dimension} in {spec!r}",
                fix="name the two folders of one pair, QUERY,ARTICLE",
            )

    @cached_property
    def identity(self) -> str:
        return f"sentences/{self._passages.folder.model_type}/" + _identity(self._questions.key, self._passages.key)

    def encode_texts(self, texts: Sequence[str], *, query: bool = False) -> Vectors:
        model = self._questions if query else self._passages
        prompt = model.prompts[0 if query else 1]
        return model([prompt + text for text in texts])

    def encode_pictures(self, pictures: Sequence[Picture]) -> Vectors:
        raise reads_no("image", self.spec)


class ClipEncoder:
    """CLIP or SigLIP (SigLIP 2 and MedSigLIP are of its type): text and pictures in one space."""

    reads: frozenset[Reads] = frozenset({"text", "image"})

    def __init__(self, spec: str, folder: ModelFolder) -> None:
        self.spec, self.dimension, self._model = spec, folder.dimension, Model(folder)
        self._prepare = preprocessing(folder)
        # SigLIP attends to its padding: it was trained on texts that all have 64 tokens, without a mask.
        self._filled = folder.model_type == "siglip"

    @cached_property
    def identity(self) -> str:
        folder = self._model.folder
        return f"text and image/{folder.model_type}/" + _identity([folder.hash(), folder.longest])

    def encode_texts(self, texts: Sequence[str], *, query: bool = False) -> Vectors:
        padding = "max_length" if self._filled else "longest"

        def encode(some: Sequence[str]) -> Floats:
            if self._filled and type(self._model.tokenizer).__name__ in LOWERED:
                some = [text.lower() for text in some]
            inputs = self._model.tokens(some, self._model.folder.longest, padding)
            if self._filled:
                inputs = {"input_ids": inputs["input_ids"]}
            return _numbers(self._model.network.get_text_features(**inputs).pooler_output)

        return self._model.each(texts, TEXTS_AT_ONCE, encode, self.dimension)

    def encode_pictures(self, pictures: Sequence[Picture]) -> Vectors:
        def encode(some: Sequence[Picture]) -> Floats:
            pixels = self._model.tensor(np.stack([self._prepare(picture) for picture in some]))
            return _numbers(self._model.network.get_image_features(pixel_values=pixels).pooler_output)

        return self._model.each(pictures, PICTURES_AT_ONCE, encode, self.dimension)


class DinoEncoder:
    """DINOv2, DINOv3 or another vision transformer (RAD-DINO): a picture is its first token after the last norm."""

    reads: frozenset[Reads] = frozenset({"image"})

    def __init__(self, spec: str, folder: ModelFolder) -> None:
        self.spec, self.dimension, self._model = spec, folder.dimension, Model(folder)
        self._prepare = preprocessing(folder)

    @cached_property
    def identity(self) -> str:
        return f"image/{self._model.folder.model_type}/" + _identity(self._model.folder.hash())

    def encode_texts(self, texts: Sequence[str], *, query: bool = False) -> Vectors:
        raise reads_no("text", self.spec)

    def encode_pictures(self, pictures: Sequence[Picture]) -> Vectors:
        def encode(some: Sequence[Picture]) -> Floats:
            pixels = self._model.tensor(np.stack([self._prepare(picture) for picture in some]))
            return _numbers(self._model.network(pixel_values=pixels).last_hidden_state[:, 0])

        return self._model.each(pictures, PICTURES_AT_ONCE, encode, self.dimension)


class Model:
    """A network with its tokenizer, loaded when first asked for; one thread at a time has it."""

    def __init__(self, folder: ModelFolder) -> None:
        self.folder = folder
        self._lock = threading.RLock()

    @cached_property
    def network(self) -> Any:
        import torch
        from transformers import AutoModel

        kind = self.folder.model_type
        with self._lock, _said_of(self.folder):
            network, report = AutoModel.from_pretrained(
                self.folder.path,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=self.folder.safe,
                weights_only=True,
                dtype=torch.float32,
                output_loading_info=True,
                **({"add_pooling_layer": False} if kind in WITHOUT_POOLER else {}),
            )
            unfit = sorted(report["missing_keys"]) + sorted(str(key[0]) for key in report["mismatched_keys"])
            if unfit:
                raise ValueError(f"{len(unfit)} weights are missing or of another size, such as {unfit[0]}")
        return network.eval().to("cuda" if torch.cuda.is_available() else "cpu")

    @cached_property
    def tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        with self._lock, _said_of(self.folder):
            return AutoTokenizer.from_pretrained(self.folder.path, local_files_only=True, trust_remote_code=False)

    def tokens(self, texts: Sequence[str], longest: int, padding: str) -> Mapping[str, Any]:
        """What the network takes of texts, on its device."""
        found = self.tokenizer(list(texts), padding=padding, truncation=True, max_length=longest, return_tensors="pt")
        return {name: found[name].to(self.network.device) for name in found if name != "token_type_ids"}

    def tensor(self, values: Floats) -> Any:
        import torch

        return torch.from_numpy(values).to(self.network.device)

    def each(self, items: Sequence[Any], size: int, encode: Callable[[Any], Floats], dimension: int) -> Vectors:
        """The unit vectors of `items`, some at a time, without gradients and in full float32."""
        import torch

        parts = [np.zeros((0, dimension), dtype=np.float32)]
        exact = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
        with self._lock, torch.inference_mode(), exact:
            parts += [encode(some) for some in batches(items, size)]
        return unit_rows(np.concatenate(parts))


class TextModel(Model):
    """A model of texts alone, with how its token vectors become one."""

    def __init__(self, folder: ModelFolder, pooling: Pooling, longest: int | None = None) -> None:
        super().__init__(folder)
        self.pooling, self.longest = pooling, min(folder.longest, longest or folder.longest)
        self.prompts = folder.prompts()

    @property
    def key(self) -> list[Any]:
        """What the vectors depend on."""
        return [self.folder.hash(), self.pooling, self.longest]

    def __call__(self, texts: Sequence[str]) -> Vectors:
        # Texts of like length share a batch, so that little is spent on padding.
        order = sorted(range(len(texts)), key=lambda number: (len(texts[number]), number))
        found = self.each([texts[number] for number in order], TEXTS_AT_ONCE, self._encode, self.folder.dimension)
        vectors = np.empty_like(found)
        vectors[order] = found
        return vectors

    def _encode(self, texts: Sequence[str]) -> Floats:
        inputs = self.tokens(texts, self.longest, "longest")
        states = self.network(**inputs).last_hidden_state
        if self.pooling == "cls":
            return _numbers(states[:, 0])
        weights = inputs["attention_mask"].unsqueeze(-1).to(states.dtype)
        return _numbers((states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1))


def fetched(name: str) -> Path:
    """The folder of a model on the hub, downloaded unless the local cache has it. Raises SetupError."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        folder = Path(snapshot_download(name, allow_patterns=FROM_HUB))
        if not any(folder.glob("*.safetensors")):
            folder = Path(snapshot_download(name, allow_patterns=[*FROM_HUB, "pytorch_model*.bin"]))
    except (OSError, ValueError, HfHubHTTPError, HFValidationError) as error:
        raise SetupError(
            expected=f"the model {name!r} from the hub or its local cache",
            got=f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}",
            fix="check the name and the network, or copy the model and name its folder",
        ) from error
    return folder


def check_installed() -> None:
    """Raises MissingExtraError unless torch and transformers can be imported; imports neither."""
    for package in ("torch", "transformers"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(
                expected=f"the package {package}", got="no such package installed", fix=HOW_TO_INSTALL
            )


def _identity(*parts: Any) -> str:
    return digest([RECIPE, *parts])


def _numbers(tensor: Any) -> Floats:
    return np.asarray(tensor.float().cpu().numpy(), dtype=np.float32)


@contextmanager
def _said_of(folder: ModelFolder) -> Iterator[None]:
    """Quiet while a folder is read, and what transformers raises on its files in our words."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    except ImportError as error:
        raise MissingExtraError(
            expected=f"what the model in {folder.path} needs",
            got=str(error).strip().partition("\n")[0],
            fix="type: pip install sentencepiece protobuf",
        ) from error
    except Exception as error:  # a border: readers raise anything on damaged files, unpickling its own
        raise InputError(
            expected=f"a whole {folder.model_type} model whose files execute nothing",
            got=f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:200]} in {str(folder.path)!r}",
            fix="copy the model's files again, its weights as safetensors",
        ) from error
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
