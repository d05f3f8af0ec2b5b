"""The text encoder that a training means: what its files say of it, before its weights are loaded.

a folder of transformers    weights, configuration and vocabulary side by side; as many tokens as asked for
a diffusers pipeline        `text_encoder/` and `tokenizer/`; as many tokens as the pipeline reads
"""

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import torch

from unetdiff.errors import InputError
from unetdiff.text.encoder import TextEncoder
from unetdiff.text.pipeline import load_text
from unetdiff.text.tokens import TokenEncoder, encoder_config, encoder_folder, encoder_hash, encoder_width
from unetdiff.weight_source import read_json

__all__ = ["EncoderSource", "find_encoder"]

INDEX = "model_index.json"
ENCODER = {"text_encoder": "CLIPTextModel"}
CONTEXT = 32


@dataclass(frozen=True, kw_only=True)
class EncoderSource(ABC):
    """The folder of an encoder, and `context`, the number of tokens that the network sees of it."""

    folder: Path
    context: int

    @property
    @abstractmethod
    def width(self) -> int:
        """Number of channels of a token."""

    @property
    @abstractmethod
    def sha256(self) -> str:
        """Of weights, configuration and vocabulary."""

    @abstractmethod
    def load(self, device: torch.device | str = "cpu") -> TextEncoder:
        """The encoder in float32 and without gradients.

        Raises:
            InputError: a file that is missing or damaged, or a context that is longer than the encoder's.
        """


def find_encoder(source: str, context: int | None = None) -> EncoderSource:
    """The encoder in a folder, or in the hub's repository of that name; a pipeline has to be a folder.

    Args:
        source: an encoder of transformers, or a pipeline of Stable Diffusion 1 or 2.
        context: number of tokens that the network is to see; without it the pipeline's own, 32 of other encoders.

    Raises:
        InputError: neither, a pipeline of several encoders, or a context that is not the pipeline's.
    """
    folder = encoder_folder(source)
    if not (folder / INDEX).is_file():
        return _Transformers(folder=folder, context=CONTEXT if context is None else context)
    _require_one_encoder(folder)
    own = _pipeline_context(folder)
    if context not in (None, own):
        raise InputError(f"text.context: null or the {own} tokens of {source} expected, got {context}")
    return _Pipeline(folder=folder, context=own)


@dataclass(frozen=True, kw_only=True)
class _Transformers(EncoderSource):
    @property
    def width(self) -> int:
        return encoder_width(self.folder)

    @property
    def sha256(self) -> str:
        return encoder_hash(self.folder)

    def load(self, device: torch.device | str = "cpu") -> TextEncoder:
        return TokenEncoder.load(self.folder, self.context, device)


@dataclass(frozen=True, kw_only=True)
class _Pipeline(EncoderSource):
    @property
    def width(self) -> int:
        return encoder_width(self.folder / "text_encoder")

    @property
    def sha256(self) -> str:
        parts = [encoder_hash(self.folder / name) for name in ("text_encoder", "tokenizer")]
        return hashlib.sha256("".join(parts).encode()).hexdigest()

    def load(self, device: torch.device | str = "cpu") -> TextEncoder:
        text = load_text(self.folder, device)
        assert text is not None, "its tokenizer has been read"
        return text


def _require_one_encoder(folder: Path) -> None:
    index = read_json(folder / INDEX)
    kinds = {name: index[name][1] for name in sorted(index) if name.startswith("text_encoder") and index[name][1]}
    if kinds != ENCODER:
        one = "the one text encoder of Stable Diffusion 1 or 2 expected for training"
        raise InputError(f"{folder}: a pipeline with {one}, {ENCODER}, got {kinds}")


def _pipeline_context(folder: Path) -> int:
    longest = encoder_config(folder / "text_encoder").max_position_embeddings
    tokenizer = read_json(folder / "tokenizer" / "tokenizer_config.json")
    return int(min(longest, tokenizer.get("model_max_length", longest)))
