"""Networks beside the U-Net, text encoders and autoencoders: loaded whole or refused, and never trained."""

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError
from torch import nn

from unetdiff.fit import require_fit
from unetdiff.weight_source import contained, refusal

__all__ = ["load_frozen"]

NOTHING = r"(?!)"

Network = TypeVar("Network", bound=nn.Module)


def load_frozen(
    kind: type[Network], folder: Path, dtype: torch.dtype = torch.float32, *, not_used: str = NOTHING
) -> Network:
    """A network of diffusers or transformers: in evaluation mode, without gradients of its weights.

    Args:
        kind: its class.
        folder: where its configuration and weights are.
        dtype: of the weights.
        not_used: pattern of the names of tensors that may be missing or too many, since nothing is asked of them.

    Raises:
        InputError: a file that is missing or damaged, or weights that do not fit the configuration.
    """
    try:
        with contained(), _without_report(kind):
            network, found = kind.from_pretrained(  # type: ignore[attr-defined]  # which both libraries give it
                folder,
                **{"dtype" if _of_transformers(kind) else "torch_dtype": dtype},
                local_files_only=True,
                ignore_mismatched_sizes=True,  # so that they are counted, and refused below
                output_loading_info=True,
            )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise refusal(folder, error) from error
    misshaped = [_misshaped(entry) for entry in found["mismatched_keys"]]
    missing, unexpected = (
        [name for name in found[keys] if not re.match(not_used, name)] for keys in ("missing_keys", "unexpected_keys")
    )
    require_fit(str(folder), missing, unexpected, misshaped)
    frozen: Network = network.eval().requires_grad_(False)
    return frozen


def _misshaped(entry: str | tuple[str, Sequence[int], Sequence[int]]) -> str:
    """A tensor with both shapes; transformers 4 tells its name alone."""
    if isinstance(entry, str):
        return entry
    name, got, own = entry
    return f"{name} {tuple(got)} instead of {tuple(own)}"


def _of_transformers(kind: type[nn.Module]) -> bool:
    return kind.__module__.partition(".")[0] == "transformers"


@contextmanager
def _without_report(kind: type[nn.Module]) -> Iterator[None]:
    """Keep in transformers' table of misfits, which are refused with a message of their own, and its progress bar."""
    if not _of_transformers(kind):
        yield
        return
    from transformers.utils import logging as transformers_logging  # that such a class comes from

    log, shown = logging.getLogger("transformers.modeling_utils"), transformers_logging.is_progress_bar_enabled()
    log.addFilter(_is_no_report)
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        log.removeFilter(_is_no_report)
        if shown:
            transformers_logging.enable_progress_bar()


def _is_no_report(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    return "LOAD REPORT" not in message and not message.startswith("Some weights of")
