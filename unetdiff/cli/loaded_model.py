"""Everything in a model folder that sampling needs: the denoiser, and of a pipeline its text encoder and its codec."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from unetdiff.conditioning.concat import Concat, described_concat
from unetdiff.conditioning.text_encoder import load_encoder
from unetdiff.denoiser import Denoiser
from unetdiff.errors import InputError
from unetdiff.latent_images import load_described_codec
from unetdiff.latents import Codec, load_codec
from unetdiff.model_folder import ModelInfo, find_model, load_model, weights_hash
from unetdiff.nn.class_embedding import NULL_CLASS
from unetdiff.sample_identity import Subject
from unetdiff.selection import read_vector
from unetdiff.text import Framing, TextEncoder, load_text

__all__ = ["Condition", "LoadedModel"]

Condition = dict[str, object]
"""Keyword arguments of a denoiser, with a row for each image."""

CODED_RANGE = (-1.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model on its device."""

    folder: Path
    denoiser: Denoiser
    info: ModelInfo
    text: TextEncoder | None
    codec: Codec | None

    @classmethod
    def load(
        cls,
        name_or_folder: str | Path | None,
        device: torch.device | str,
        text_encoder: str | None = None,
        codec: str | None = None,
    ) -> "LoadedModel":
        """What `find_model` finds; `text_encoder` and `codec` lie there now, if not where they were in training.

        Raises:
            InputError: a file that is missing, damaged, or of another kind of model.
        """
        folder = find_model(name_or_folder)
        denoiser, info = load_model(folder, device)
        text = load_text(folder, device) if info.text is None else load_encoder(info.text, text_encoder, device)
        decoder = load_codec(folder, device) if info.codec is None else load_described_codec(info.codec, codec, device)
        if text is None and denoiser.unet.config.cross_attention_dim is not None:
            raise InputError(f"{folder}: a text encoder expected, which this network attends to, got none")
        return cls(folder=folder, denoiser=denoiser, info=info, text=text, codec=decoder)

    @cached_property
    def weights(self) -> str:
        """The weights' hash."""
        return weights_hash(self.folder)

    @cached_property
    def concat(self) -> Concat | None:
        """What it is told of a picture, if anything."""
        return None if self.info.concat is None else described_concat(self.info.concat)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        device: torch.device = self.denoiser.unet.device
        return device

    @property
    def classes(self) -> tuple[str, ...]:
        """Their names, or their numbers where they have none."""
        count, names = self.denoiser.unet.config.num_classes, self.info.data.classes
        return names if count and names else tuple(map(str, range(count or 0)))

    @property
    def conditional(self) -> bool:
        """Whether it can be told what to show."""
        return bool(self.classes) or self.text is not None or self.vector_channels is not None

    @property
    def vector_channels(self) -> int | None:
        """Width of the vector that says what to show; SDXL's is made of the prompt."""
        config = self.denoiser.unet.config
        return None if config.vector_time_channels is not None else config.vector_channels

    @property
    def value_range(self) -> tuple[float, float]:
        """Of the pictures' values."""
        return self.info.data.value_range if self.codec is None else CODED_RANGE

    @property
    def picture_size(self) -> tuple[int, int]:
        """Height and width of the pictures."""
        factor = 1 if self.codec is None else self.codec.factor
        return factor * self.info.data.height, factor * self.info.data.width

    @property
    def given_size(self) -> tuple[int, int]:
        """Height and width of the pictures that it starts from or is told."""
        return self.picture_size if self.concat is None else self.concat.given_size(*self.picture_size)

    @property
    def picture_channels(self) -> int:
        """Of the pictures."""
        return self.info.data.channels if self.codec is None else 3

    def condition(self, subjects: Sequence[Subject], labels: Sequence[Subject] = ()) -> Condition:
        """What makes the network show the subjects, one in each row, and beside prompts or vectors the classes."""
        if not subjects:
            return {}
        if self.vector_channels is not None:
            vectors = [read_vector(subject.name) for subject in subjects]
            return {"vector": torch.tensor(vectors, device=self.device), **self._class_labels(labels)}
        if self.text is None:
            return self._class_labels(subjects)
        return {
            **self.text.encode([subject.name for subject in subjects], self._framing()),
            **self._class_labels(labels),
        }

    def null_condition(self, subjects: Sequence[Subject], negative_prompt: str | None) -> Condition:
        """What guidance leads away from: no class, no text or an unwanted one, a vector of zeros."""
        rows = len(subjects)
        label = {"class_labels": torch.full((rows,), NULL_CLASS, device=self.device)} if self.classes else {}
        if self.vector_channels is not None:
            return {"vector": torch.zeros(rows, self.vector_channels, device=self.device), **label}
        if self.text is None:
            return {**label}
        if negative_prompt is None:
            return {**self.text.unconditional(self._framing()), **label}
        return {**self.text.encode([negative_prompt], self._framing()), **label}

    def encoded(self, pictures: Tensor) -> Tensor:
        """The network's own images of pictures."""
        return pictures if self.codec is None else self.codec.encode(pictures)

    def decoded(self, images: Tensor) -> Tensor:
        """Pictures of the network's own images."""
        return images if self.codec is None else self.codec.decode(images)

    def _class_labels(self, classes: Sequence[Subject]) -> Condition:
        if not classes:
            return {}
        return {"class_labels": torch.tensor([one.number for one in classes], device=self.device)}

    def _framing(self) -> Framing:
        return Framing(target=self.picture_size)
