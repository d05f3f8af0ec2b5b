"""Captions as tokens, encoded once and kept beside the packed images: different captions share nothing, equal ones all.

    text-<key>/tokens.npy (U,L,D) float16, mapped    mask.npy (U,L) uint8    rows.npy (N,): each image's text

The first of the U texts is the empty one, which stands for no caption. A pipeline's network reads all tokens: there is
no mask. The key is a hash of captions, encoder and context.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from unetdiff.atomic import replacing_folder
from unetdiff.conditioning.text_encoder import load_encoder
from unetdiff.data import PackedDataset
from unetdiff.model_info import TextInfo
from unetdiff.text import TextCondition, TextEncoder

__all__ = ["Captions", "prepare_captions"]

NULL = 0
BATCH = 64
FORMAT = 1

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Captions:
    """The tokens of each text with their mask, and the number of each image's text; see the module."""

    folder: Path
    tokens: NDArray[np.float16]
    mask: NDArray[np.uint8] | None
    rows: NDArray[np.int64]

    @classmethod
    def open(cls, folder: Path) -> "Captions":
        """What `prepare_captions` wrote."""
        mask = folder / "mask.npy"
        return cls(
            folder=folder,
            tokens=np.load(folder / "tokens.npy", mmap_mode="r"),
            mask=np.load(mask) if mask.is_file() else None,
            rows=np.load(folder / "rows.npy"),
        )

    def take(self, rows: NDArray[np.int64], dropped: NDArray[np.bool_]) -> Mapping[str, Tensor]:
        """`encoder_hidden_states` (B, L, D), and `encoder_attention_mask` (B, L) where there is one, float32."""
        texts = np.where(dropped, NULL, self.rows[rows])
        tables = {"encoder_hidden_states": self.tokens, "encoder_attention_mask": self.mask}
        return {
            name: torch.from_numpy(table[texts].astype(np.float32))
            for name, table in tables.items()
            if table is not None
        }

    def __reduce__(self) -> tuple[Callable[[Path], "Captions"], tuple[Path]]:
        return Captions.open, (self.folder,)  # spawned workers map the file again


def prepare_captions(data: PackedDataset, info: TextInfo) -> Captions:
    """The captions of `data`, encoded on first use."""
    assert data.captions is not None
    key = json.dumps([FORMAT, info.sha256, info.context, data.captions]).encode()
    folder = data.folder / f"text-{hashlib.sha256(key).hexdigest()[:16]}"
    if not folder.is_dir():
        texts = [
            "",
            *sorted(set(data.captions) - {""}, key=lambda text: (len(text), text)),
        ]  # little padding in a batch
        numbers = {text: number for number, text in enumerate(texts)}
        with replacing_folder(folder) as staged:
            _write_tokens(staged, texts, load_encoder(info), info.context)
            np.save(staged / "rows.npy", np.array([numbers[text] for text in data.captions], dtype=np.int64))
    return Captions.open(folder)


def _write_tokens(folder: Path, texts: Sequence[str], encoder: TextEncoder, context: int) -> None:
    long = sum(length > context for length in encoder.lengths(texts))
    if long:
        logger.warning("%d of %d captions are longer than %d tokens and are cut", long, len(texts), context)
    null = encoder.unconditional()
    shape = (len(texts), *null["encoder_hidden_states"].shape[1:])
    tokens = open_memmap(folder / "tokens.npy", mode="w+", dtype=np.float16, shape=shape)
    masks = []
    for rows, condition in chain([(slice(0, 1), null)], _encoded(encoder, texts, start=1)):
        tokens[rows] = condition["encoder_hidden_states"].numpy()
        if "encoder_attention_mask" in condition:
            masks.append(condition["encoder_attention_mask"].numpy().astype(np.uint8))
    tokens.flush()
    if masks:
        np.save(folder / "mask.npy", np.concatenate(masks))


def _encoded(encoder: TextEncoder, texts: Sequence[str], start: int) -> Iterator[tuple[slice, TextCondition]]:
    """The conditions of the texts from `start` on, batch by batch."""
    starts = range(start, len(texts), BATCH)
    for first in tqdm(starts, desc="encoding captions", unit=" batches", disable=None):
        rows = slice(first, first + BATCH)
        yield rows, encoder.encode(texts[rows], truncate=True)
