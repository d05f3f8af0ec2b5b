"""The README.md of a model folder: how to use the model, what the network is, how it was trained."""

from collections.abc import Mapping

from unetdiff.config import UNetConfig
from unetdiff.model_info import ModelInfo

__all__ = ["model_card", "table"]

CARD = """\
---
library_name: unetdiff
tags: [diffusion, unet]
---
# A diffusion U-Net: {images}

On the command line, in the folder that holds this file:

    unetdiff sample . --steps 18 --out samples

In Python:

```python
from functools import partial

import torch

import samplers
from unetdiff import load_model

denoiser, info = load_model(".")
noise = samplers.PerImageNoise(seeds=range(8), shape=info.data.shape)
sigmas = samplers.karras(18, *info.preconditioning.sigma_range)
denoise = {denoise}
images = samplers.sample(denoise, sigmas[0].float() * noise(), sigmas, samplers.Heun())
```

## Network

{network}

## Training

{training}
"""


def model_card(config: UNetConfig, parameters: int, info: ModelInfo) -> str:
    """Markdown; it names neither folders nor machines, so it can be published as it is."""
    data = info.data
    images = f"{data.height}x{data.width} images, {data.channels} channel{'s' * (data.channels > 1)}"
    conditional = config.num_classes is not None
    return CARD.format(
        images=f"{images}, {config.num_classes} classes" if conditional else images,
        denoise=f"partial(denoiser, class_labels=torch.arange(8) % {config.num_classes})"
        if conditional
        else "denoiser",
        network=table(_network(config, parameters, info)),
        training=table(info.training) if info.training else "Not recorded.",
    )


def _network(config: UNetConfig, parameters: int, info: ModelInfo) -> dict[str, object]:
    levels = [
        f"{level.channels} channels x {level.depth}{' with attention' * (level.attention is not None)}"
        for level in config.levels
    ]
    lowest, highest = info.preconditioning.sigma_range
    return {
        "parameters": f"{parameters:,}",
        "levels, finest first": "; ".join(levels),
        **({"removed parts": ", ".join(config.removed)} if config.removed else {}),
        "preconditioning": info.preconditioning,
        "noise levels": f"{lowest:g} to {highest:g}",
        "pixel values": f"{info.data.value_range[0]:g} to {info.data.value_range[1]:g}",
        "classes": ", ".join(info.data.classes) or "no names",
    }


def table(rows: Mapping[str, object]) -> str:
    """Two columns of Markdown."""
    return "\n".join(["| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in rows.items())])
