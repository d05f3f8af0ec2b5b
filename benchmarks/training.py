"""Training loops side by side: ours, that of diffusers' unconditional example, a plain one of PyTorch; on the CPU.

python -m benchmarks.training
python -m benchmarks.training --config configs/fashion-mnist.yaml --rounds 10

All have the same network without classes and with as many groups at every width, the same images and the same batch
size, and predict the noise of a linear schedule; each in the way it is meant to be used:

    unetdiff    packed images, exactly resumable noise, fused AdamW, average of all weights
    diffusers   examples/unconditional_image_generation as of diffusers 0.39: PNG files decoded and brought to [-1, 1]
                by a DataLoader, DDPMScheduler, accelerate, AdamW, EMAModel
    plain       images as float32 in memory, AdamW, no average

A round is an optimiser step of each, its batch included, all without worker processes, so that nobody prepares data in
another's time. A ratio is diffusers' time over the row's, within a round: above 1, the row is faster.
"""

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import jsonargparse
import numpy as np
import torch
from accelerate import Accelerator
from diffusers import DDPMScheduler, UNet2DModel
from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel
from jsonargparse.typing import PositiveInt
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, TensorDataset

from benchmarks.run_step import RunStep
from benchmarks.timing import Quartiles, Work, interleaved, ratios
from unetdiff.cli import train
from unetdiff.data import PackedDataset, prepare
from unetdiff.losses import EpsilonObjective
from unetdiff.training.averages import WarmupEMA
from unetdiff.training.config import OptimizerConfig, TrainConfig
from unetdiff.unet import UNet

__all__ = ["main"]

PEER = "diffusers"
TIMESTEPS = 1000


def parser() -> jsonargparse.ArgumentParser:
    """What to measure."""
    result = jsonargparse.ArgumentParser(description="Training loops side by side, on the CPU.")
    result.add_argument(
        "--config",
        type=Path,
        default=Path("configs/fashion-mnist.yaml"),
        help="the run whose data, network, batch to take",
    )
    result.add_argument("--rounds", type=PositiveInt, default=20, help="optimiser steps of each, in turns")
    result.add_argument("--threads", type=PositiveInt, default=torch.get_num_threads(), help="of torch")
    result.add_argument("--quick", action="store_true", help="one round with four images, to see that it works")
    return result


def ours(config: TrainConfig, data: PackedDataset) -> Work:
    """An optimiser step as `unetdiff train` makes it."""
    run = RunStep(config, data)
    return lambda: run.make(run.batch())


class Pictures(Dataset[Tensor]):
    """PNG files in memory, decoded when they are asked for, as a folder of images is."""

    def __init__(self, images: np.ndarray) -> None:
        self.files = [_png(pixels) for pixels in images]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Tensor:
        pixels = np.atleast_3d(np.asarray(Image.open(io.BytesIO(self.files[index]))))
        return torch.from_numpy(pixels.transpose(2, 0, 1) / np.float32(127.5) - 1)


def theirs(config: TrainConfig, data: PackedDataset, images: int) -> Work:
    """An optimiser step of diffusers' example, with its defaults."""
    accelerator, schedule = Accelerator(cpu=True), DDPMScheduler(num_train_timesteps=TIMESTEPS)
    model = UNet(config.model).to_diffusers().train()
    ema = EMAModel(model.parameters(), decay=0.9999, use_ema_warmup=True, model_cls=UNet2DModel)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.95, 0.999), weight_decay=1e-6)
    warmup = get_scheduler("cosine", optimizer, num_warmup_steps=500, num_training_steps=config.steps)
    loader = DataLoader(Pictures(data.images[:images]), config.batch_size, shuffle=True)
    model, optimizer, loader, warmup = accelerator.prepare(model, optimizer, loader, warmup)
    batches = endless(loader)

    def work() -> None:
        clean = next(batches)
        noise = torch.randn_like(clean)
        timesteps = torch.randint(0, TIMESTEPS, (len(clean),))
        with accelerator.accumulate(model):
            output = model(schedule.add_noise(clean, noise, timesteps), timesteps).sample
            loss = F.mse_loss(output.float(), noise.float())
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            warmup.step()
            optimizer.zero_grad()
        ema.step(model.parameters())
        loss.detach().item()

    return work


def plain(config: TrainConfig, data: PackedDataset, images: int) -> Work:
    """The least that trains."""
    model: nn.Module = UNet(config.model).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    pixels = torch.from_numpy(data.images[:images].astype(np.float32) / 127.5 - 1)
    batches = endless(DataLoader(TensorDataset(pixels), config.batch_size, shuffle=True))
    alphas_cumprod = DDPMScheduler(num_train_timesteps=TIMESTEPS).alphas_cumprod

    def work() -> None:
        (clean,) = next(batches)
        noise, timesteps = torch.randn_like(clean), torch.randint(0, TIMESTEPS, (len(clean),))
        alpha = alphas_cumprod[timesteps].reshape(-1, 1, 1, 1)
        output = model(alpha.sqrt() * clean + (1 - alpha).sqrt() * noise, timesteps, return_dict=False)[0]
        loss = F.mse_loss(output, noise)
        torch.autograd.backward(loss)
        optimizer.step()
        optimizer.zero_grad()

    return work


def endless(loader: Iterable[Tensor]) -> Iterator[Tensor]:
    """Epoch after epoch."""
    while True:
        yield from loader


def measure(config: TrainConfig, rounds: int) -> dict[str, list[float]]:
    """Seconds of each loop in each round, after one that is not counted."""
    data = prepare(config.data)
    images = min(len(data), config.batch_size * (rounds + 1))
    loops: dict[str, Callable[[], Work]] = {
        "unetdiff": lambda: ours(config, data),
        PEER: lambda: theirs(config, data, images),
        "plain PyTorch": lambda: plain(config, data, images),
    }
    works: dict[str, Work] = {}
    for name, build in loops.items():
        torch.manual_seed(config.seed)
        works[name] = build()
    interleaved(works, rounds=1)
    return interleaved(works, rounds)


def main(argv: Sequence[str] | None = None) -> None:
    """Print a table."""
    options = parser().parse_args(argv)
    torch.set_num_threads(options.threads)
    config, rounds = train.train_config(train.parser().parse_args(["--config", str(options.config)])), options.rounds
    resnet = replace(config.model.resnet, norm_min_channels=1)  # the peer has as many groups at every width
    config = replace(
        config,
        model=replace(config.model, num_classes=None, resnet=resnet),
        objective=EpsilonObjective(),
        optimizer=OptimizerConfig(),
        ema=WarmupEMA(),
        batch_size=4 if options.quick else config.batch_size,
    )
    times = measure(config, 1 if options.quick else rounds)
    print(f"| loop, batch {config.batch_size} | images/s | {PEER}' time over it (quartiles) |\n|---|--:|--:|")
    for name, taken in times.items():
        ratio = ratios(times[PEER], taken)
        speed = config.batch_size / Quartiles.of(taken).median
        print(f"| {name} | {speed:.1f} | {ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f}) |")


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels.transpose(1, 2, 0).squeeze()).save(file, "PNG")
    return file.getvalue()


if __name__ == "__main__":
    main()
