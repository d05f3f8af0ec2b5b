"""Prompts as the conditions of a network from a diffusers pipeline, computed as its `encode_prompt` does.

CLIP's text encoder gives the hidden states h_0 (the embedded tokens) to h_L, (N, M, D) each. The network sees

    Stable Diffusion 1 and 2    norm(h_L)
    Stable Diffusion XL         h_(L-1) of two encoders side by side; what the second projects from the end of the
                                prompt, (N, P); and sizes in pixels, (N, 6)

Rombach et al. 2022, section 3.3 (https://arxiv.org/abs/2112.10752); Podell et al. 2023, sections 2.1 and 2.2
(https://arxiv.org/abs/2307.01952).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import ModelOutput

from unetdiff.errors import InputError
from unetdiff.frozen import load_frozen
from unetdiff.text.encoder import (
    Framing,
    TextCondition,
    TextEncoder,
    layer,
    require_prompts,
    token_counts,
    token_texts,
    too_long,
)
from unetdiff.weight_source import read_json, refusal

__all__ = ["load_text"]

TOKENIZERS = ("CLIPTokenizer", "CLIPTokenizerFast")
ENCODERS = {"text_encoder": "CLIPTextModel", "text_encoder_2": "CLIPTextModelWithProjection"}


def load_text(
    folder: Path, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> TextEncoder | None:
    """The text encoders of a diffusers pipeline; the conditions have their `dtype` and no gradients.

    Returns:
        None where there is no `tokenizer/`, nor the `tokenizer_2/` that SDXL's refiner has alone.

    Raises:
        InputError: a component of another class, or a file that is missing or damaged.
    """
    if not any((folder / name).is_dir() for name in ("tokenizer", "tokenizer_2")):
        return None
    index = read_json(folder / "model_index.json")
    names = [name for name in index if name.startswith("text_encoder") and index[name][1] is not None]
    towers = [_tower(folder, index, name, dtype, device) for name in sorted(names)]
    if names == ["text_encoder"]:
        return _StableDiffusion(tower=towers[0])
    return _StableDiffusionXL(
        towers=towers,
        zeros_for_nothing=index.get("force_zeros_for_empty_prompt", True),
        scored=index.get("requires_aesthetics_score", False),
    )


@dataclass(frozen=True, kw_only=True)
class _Tower:
    """A tokenizer and the encoder of its tokens."""

    tokenizer: PreTrainedTokenizerBase
    model: PreTrainedModel

    def __call__(self, prompts: Sequence[str], truncate: bool, masked: bool = False) -> ModelOutput:
        """The encoder's output with all hidden states; `masked` hides the tokens that fill up a prompt."""
        require_prompts(prompts)
        context = min(self.tokenizer.model_max_length, self.model.config.max_position_embeddings)
        tokens = self.tokenizer(
            list(prompts), padding="max_length", max_length=context, truncation=truncate, verbose=False
        )
        for prompt, row in zip(prompts, tokens["input_ids"], strict=True):
            if len(row) > context:
                raise too_long(prompt, context, len(row))
        ids, mask = (torch.tensor(tokens[name], device=self.model.device) for name in ("input_ids", "attention_mask"))
        return self.model(ids, attention_mask=mask if masked else None, output_hidden_states=True)


@dataclass(frozen=True, kw_only=True)
class _StableDiffusion(TextEncoder):
    """Versions 1 and 2."""

    tower: _Tower

    def encode(
        self, prompts: Sequence[str], framing: Framing | None = None, *, clip_skip: int = 0, truncate: bool = False
    ) -> TextCondition:
        model = self.tower.model
        output = self.tower(prompts, truncate, masked=getattr(model.config, "use_attention_mask", False))
        norm = getattr(model, "text_model", model).final_layer_norm  # transformers 4 has `text_model` in between
        return {"encoder_hidden_states": norm(layer(output.hidden_states, -1, clip_skip))}

    def tokens(self, prompt: str) -> tuple[str, ...]:
        return token_texts(self.tower.tokenizer, prompt)

    def unconditional(self, framing: Framing | None = None) -> TextCondition:
        return self.encode([""])

    def lengths(self, prompts: Sequence[str]) -> list[int]:
        return token_counts(self.tower.tokenizer, prompts)


@dataclass(frozen=True, kw_only=True)
class _StableDiffusionXL(TextEncoder):
    """The base model with two towers, and the refiner, which has the second alone and is told a score."""

    towers: Sequence[_Tower]
    zeros_for_nothing: bool
    scored: bool

    def encode(
        self, prompts: Sequence[str], framing: Framing | None = None, *, clip_skip: int = 0, truncate: bool = False
    ) -> TextCondition:
        numbers = self._numbers(framing)
        outputs = [tower(prompts, truncate) for tower in self.towers]
        tokens = torch.cat([layer(output.hidden_states, -2, clip_skip) for output in outputs], dim=-1)
        pooled = outputs[-1].text_embeds
        time_ids = pooled.new_tensor([numbers]).expand(len(prompts), -1)
        return {"encoder_hidden_states": tokens, "added_cond_kwargs": {"text_embeds": pooled, "time_ids": time_ids}}

    def tokens(self, prompt: str) -> tuple[str, ...]:
        return token_texts(self.towers[0].tokenizer, prompt)  # the towers have the same tokens

    def unconditional(self, framing: Framing | None = None) -> TextCondition:
        empty = self.encode([""], framing)
        if not self.zeros_for_nothing:
            return empty
        added = empty["added_cond_kwargs"]
        added = added | {"text_embeds": torch.zeros_like(added["text_embeds"])}
        return {"encoder_hidden_states": torch.zeros_like(empty["encoder_hidden_states"]), "added_cond_kwargs": added}

    def lengths(self, prompts: Sequence[str]) -> list[int]:
        counts_by_tower = [token_counts(tower.tokenizer, prompts) for tower in self.towers]
        return [max(counts) for counts in zip(*counts_by_tower, strict=True)]

    def _numbers(self, framing: Framing | None) -> tuple[float, ...]:
        if framing is None:
            raise InputError("framing: the size of the picture expected, which this network is told, got None")
        source = (*(framing.original or framing.target), *framing.crop)
        return (*source, framing.aesthetic_score) if self.scored else (*source, *framing.target)


def _tower(folder: Path, index: Mapping[str, Any], name: str, dtype: torch.dtype, device: torch.device | str) -> _Tower:
    """The encoder of this name in a pipeline's index, with its tokenizer."""
    library, kind = index[name]
    if library != "transformers" or kind != ENCODERS.get(name):
        raise InputError(f"{folder}: {name}: one of {ENCODERS} expected, got {kind} of {library}")
    tokenizer = _tokenizer(folder / name.replace("text_encoder", "tokenizer"), index)
    return _Tower(tokenizer=tokenizer, model=load_frozen(getattr(transformers, kind), folder / name, dtype).to(device))


def _tokenizer(place: Path, index: Mapping[str, Any]) -> PreTrainedTokenizerBase:
    _, kind = index.get(place.name, (None, None))
    if kind not in TOKENIZERS:
        raise InputError(f"{place}: one of {TOKENIZERS} expected, got {kind}")
    if not any((place / name).is_file() for name in ("tokenizer.json", "vocab.json")):  # transformers would go on
        raise InputError(f"{place}: a vocabulary in tokenizer.json or vocab.json expected, got none")
    try:
        return getattr(transformers, kind).from_pretrained(place, local_files_only=True)
    except Exception as error:  # tokenizers has none of its own
        raise refusal(place, error) from error
