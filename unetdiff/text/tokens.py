"""Prompts as what any text encoder of transformers says of their tokens (Rombach et al. 2022, section 3.3).

    encoder_hidden_states    (N, context, width): the last layer, zero after the end of a prompt
    encoder_attention_mask   (N, context): 1 up to there

https://arxiv.org/abs/2112.10752
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import (
    MODEL_FOR_TEXT_ENCODING_MAPPING,
    AutoConfig,
    AutoModel,
    AutoModelForTextEncoding,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

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
from unetdiff.weight_source import local_folder, refusal

__all__ = ["TokenEncoder", "encoder_config", "encoder_folder", "encoder_hash", "encoder_width"]

FILES = ("*.safetensors", "config.json", "tokenizer*", "vocab*", "merges.txt", "*.model")
"""Weights and vocabulary, in the names that transformers gives them."""

NOT_USED = r"(pooler|cls|lm_head|decoder|.*\.position_ids)\b"
"""Parts that only other uses of the same checkpoint have."""


@dataclass(frozen=True, kw_only=True)
class TokenEncoder(TextEncoder):
    """A tokenizer and the encoder of its tokens, `context` of which the network sees."""

    tokenizer: PreTrainedTokenizerBase
    model: PreTrainedModel
    context: int

    @classmethod
    def load(cls, folder: Path, context: int, device: torch.device | str = "cpu") -> "TokenEncoder":
        """The encoder in a folder (see `encoder_folder`), in float32 and without gradients; no code of it is run.

        Raises:
            InputError: a file that is missing or damaged, a kind that transformers does not know, or a context that is
                longer than the encoder's.
        """
        config = encoder_config(folder)
        if not any(folder.glob("*.safetensors")):
            raise InputError(f"{folder}: weights in *.safetensors expected, got none")
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except Exception as error:  # tokenizers has none of its own
            raise refusal(folder, error) from error
        longest = min(tokenizer.model_max_length, getattr(config, "max_position_embeddings", context))
        if not 1 <= context <= longest:
            raise InputError(f"context: 1 to {longest} tokens expected, which {folder} can read, got {context}")
        if tokenizer.pad_token is None:
            raise InputError(f"{folder}: a tokenizer with a padding token expected, got none")
        kind = AutoModelForTextEncoding if type(config) in MODEL_FOR_TEXT_ENCODING_MAPPING else AutoModel
        model = load_frozen(kind, folder, not_used=NOT_USED).to(device)
        return cls(tokenizer=tokenizer, model=model, context=context)

    def encode(
        self, prompts: Sequence[str], framing: Framing | None = None, *, clip_skip: int = 0, truncate: bool = False
    ) -> TextCondition:
        """As every `TextEncoder`; the framing is not told."""
        require_prompts(prompts)
        if not truncate:
            self._require_short(prompts)
        tokens = self.tokenizer(
            list(prompts), padding="longest", max_length=self.context, truncation=True, return_tensors="pt"
        ).to(self.model.device)
        mask = tokens["attention_mask"]
        output = self.model(tokens["input_ids"], attention_mask=mask, output_hidden_states=clip_skip > 0)
        states = layer(output.hidden_states, -1, clip_skip) if clip_skip else output.last_hidden_state
        rest = self.context - mask.shape[1]
        return {
            "encoder_hidden_states": F.pad(states * mask[..., None], (0, 0, 0, rest)),
            "encoder_attention_mask": F.pad(mask, (0, rest)),
        }

    def tokens(self, prompt: str) -> tuple[str, ...]:
        """Parts of words, as the encoder's vocabulary has them."""
        return token_texts(self.tokenizer, prompt)

    def unconditional(self, framing: Framing | None = None) -> TextCondition:
        """The empty prompt."""
        return self.encode([""])

    def embed(self, prompts: Sequence[str]) -> Tensor:
        """(N, width): the mean of each prompt's tokens, of length 1; long prompts are cut.

        Reimers and Gurevych 2019, section 3. https://arxiv.org/abs/1908.10084
        """
        tokens = self.encode(prompts, truncate=True)["encoder_hidden_states"]
        return F.normalize(tokens.sum(dim=1))  # what is behind the end is zero, and the length of no account

    def lengths(self, prompts: Sequence[str]) -> list[int]:
        """As every `TextEncoder`."""
        return token_counts(self.tokenizer, prompts)

    def _require_short(self, prompts: Sequence[str]) -> None:
        for prompt, length in zip(prompts, self.lengths(prompts), strict=True):
            if length > self.context:
                raise too_long(prompt, self.context, length)


def encoder_folder(source: str) -> Path:
    """The folder of a text encoder: `source`, or where the hub's repository of that name is kept.

    Raises:
        InputError: neither.
    """
    return local_folder(source, FILES, "a text encoder")


def encoder_hash(folder: Path) -> str:
    """SHA-256 of an encoder's weights, configuration and vocabulary, with the names of the files."""
    digest = hashlib.sha256()
    for path in sorted({path for pattern in FILES for path in folder.glob(pattern) if path.is_file()}):
        digest.update(path.name.encode())
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def encoder_width(folder: Path) -> int:
    """Number of channels of a token."""
    width = getattr(encoder_config(folder), "hidden_size", None)
    if not isinstance(width, int):
        raise InputError(f"{folder}: a text encoder's hidden_size expected in config.json, got {width}")
    return width


def encoder_config(folder: Path) -> PretrainedConfig:
    """What `config.json` says; InputError where it says nothing that transformers knows."""
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder}: a text encoder's config.json expected, got none")
    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise refusal(folder, error) from error
