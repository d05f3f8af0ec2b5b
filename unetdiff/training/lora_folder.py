"""What a training of adapters gives: a folder with their LoRA file and a card that says how to use it."""

import errno
from pathlib import Path

from safetensors import SafetensorError

from unetdiff.atomic import replacing_folder
from unetdiff.lora import LORA_FILE, save_lora
from unetdiff.model_card import table
from unetdiff.model_info import ModelInfo
from unetdiff.unet import UNet

__all__ = ["save_lora_folder"]

CARD = """\
---
library_name: diffusers
tags: [diffusion, lora]
---
# A LoRA for a diffusion U-Net

On the command line, with the model that it was trained on:

    unetdiff sample MODEL --lora . --out samples

In Python, with a U-Net of this package or of diffusers:

```python
unet.load_lora_adapter(".", weight_name="{file}", prefix="unet")
```

A Stable Diffusion pipeline takes it as `pipe.load_lora_weights(".")`.

## Training

{training}
"""


def save_lora_folder(folder: Path, unet: UNet, info: ModelInfo) -> None:
    """Write the adapters of a network; readers of an older folder find it complete throughout."""
    with replacing_folder(folder) as staged:
        try:
            save_lora(staged, unet)
        except SafetensorError as error:
            raise OSError(errno.EIO, str(error), str(folder)) from error
        card = CARD.format(file=LORA_FILE, training=table(info.training))
        (staged / "README.md").write_text(card, encoding="utf-8")
