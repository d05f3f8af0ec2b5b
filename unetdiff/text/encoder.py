"""What every text encoder offers: prompts in, the conditions of a network out."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

from torch import Tensor
from transformers import PreTrainedTokenizerBase
from typing_extensions import NotRequired

from unetdiff.errors import InputError
from unetdiff.plain import require

__all__ = [
    "Framing",
    "TextCondition",
    "TextEncoder",
    "layer",
    "require_prompts",
    "token_counts",
    "token_texts",
    "too_long",
]

SHOWN = 60


class TextCondition(TypedDict):
    """Keywords of a `Denoiser`, a row for each prompt."""

    encoder_hidden_states: Tensor
    encoder_attention_mask: NotRequired[Tensor]
    added_cond_kwargs: NotRequired[dict[str, Tensor]]


@dataclass(frozen=True, kw_only=True)
class Framing:
    """What SDXL is told of a picture beside the prompt: (height, width) and (top, left) in pixels.

    target: size of the picture to be made.
    original: size of the picture that it would have been cut from in training, small ones were blurred; the target's
        without it.
    crop: corner of the cut; 0, 0 centres the objects.
    aesthetic_score: 0 to 10, which the refiner is told in the place of the target.
    """

    target: tuple[int, int]
    original: tuple[int, int] | None = None
    crop: tuple[int, int] = (0, 0)
    aesthetic_score: float = 6.0


class TextEncoder(ABC):
    """Prompts to conditions."""

    @abstractmethod
    def encode(
        self, prompts: Sequence[str], framing: Framing | None = None, *, clip_skip: int = 0, truncate: bool = False
    ) -> TextCondition:
        """Encode prompts, empty ones and negative ones among them.

        Args:
            prompts: at least one.
            framing: needed by SDXL; other networks are not told.
            clip_skip: how many more of the last layers to leave out.
            truncate: cut prompts that are longer than the context instead of refusing them.

        Raises:
            InputError: a prompt too long, with its number of tokens and the limit; or a framing that is missing.
            ValueError: no prompts, or more layers left out than there are.
        """

    @abstractmethod
    def tokens(self, prompt: str) -> tuple[str, ...]:
        """The tokens of a prompt as texts, the marks of its beginning and end among them: those that attention sees."""

    @abstractmethod
    def unconditional(self, framing: Framing | None = None) -> TextCondition:
        """What stood for no prompt in training: one row, which `samplers.guided_in_one_call` lets serve for all."""

    @abstractmethod
    def lengths(self, prompts: Sequence[str]) -> list[int]:
        """Number of tokens of each prompt, uncut."""


def layer(states: Sequence[Tensor], last: int, clip_skip: int) -> Tensor:
    """The hidden state that is `clip_skip` layers before `states[last]`."""
    most = len(states) + last
    require(0 <= clip_skip <= most, "clip_skip", f"a number of layers from 0 to {most}", clip_skip)
    return states[last - clip_skip]


def require_prompts(prompts: Sequence[str]) -> None:
    """Refuse no prompts, and halves of characters, which no tokenizer reads."""
    require(not isinstance(prompts, str) and len(prompts) > 0, "prompts", "a list of at least one", prompts)
    for prompt in prompts:
        try:
            prompt.encode()
        except UnicodeEncodeError as error:
            raise InputError(f"prompt {prompt[:SHOWN]!r}: characters of Unicode expected, got half of one") from error


def too_long(prompt: str, context: int, length: int) -> InputError:
    """What is said of a prompt that does not fit."""
    shown = repr(prompt) if len(prompt) <= SHOWN else f"{prompt[:SHOWN]!r}..."
    return InputError(f"prompt {shown}: at most {context} tokens expected, got {length}")


def token_counts(tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str]) -> list[int]:
    """Number of tokens of each prompt, uncut."""
    require_prompts(prompts)
    return [len(row) for row in tokenizer(list(prompts), padding=False, truncation=False, verbose=False).input_ids]


def token_texts(tokenizer: PreTrainedTokenizerBase, prompt: str) -> tuple[str, ...]:
    """Each token of a prompt by itself, uncut."""
    numbers = tokenizer(prompt, padding=False, truncation=False, verbose=False).input_ids
    return tuple(tokenizer.decode([number]) for number in numbers)
