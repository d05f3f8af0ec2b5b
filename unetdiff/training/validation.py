"""Validation: the denoising loss on a frozen grid of held-out (image, noise) and noise levels.

Level j of n is the quantile (j + 1/2) / n of the objective's noise levels: the mean over all is then an estimate of the
training loss. A learned uncertainty has no part in it.
"""

import torch
from accelerate import Accelerator
from torch import Tensor

from unetdiff.data import PackedDataset, SampleStream
from unetdiff.denoiser import Denoiser
from unetdiff.losses.noise_grid import NoiseGrid
from unetdiff.training.checkpoint import TrainingState
from unetdiff.training.conditions import row_conditions, told_pictures
from unetdiff.training.config import TrainConfig
from unetdiff.training.records import ValidationRecord
from unetdiff.unet import UNet

__all__ = ["Validation"]


class Validation:
    """Calling it measures a state's weights and their averages: together, so every process has to.

    Nothing is drawn from torch's generators, so training goes on as if it had not happened. `batch_size` is what a
    process takes at a time.
    """

    def __init__(self, config: TrainConfig, data: PackedDataset, accelerator: Accelerator) -> None:
        self.objective, self.accelerator = config.objective, accelerator
        levels, images = config.validation.sigmas, min(config.validation.images, len(data))
        rows = row_conditions(config, data)
        seed, pictures = config.validation.seed, told_pictures(config)
        batch = SampleStream(data, seed=seed, global_batch=images, steps=1, rows=rows, pictures=pictures)[0]
        sigmas = config.objective.sigma((torch.arange(levels) + 0.5) / levels)
        self.grid = NoiseGrid(images=batch.images, noise=batch.noise, condition=batch.condition, sigmas=sigmas)

    def __call__(self, state: TrainingState, batch_size: int) -> ValidationRecord:
        """Mean losses after the steps made so far."""
        training = state.unet.training
        networks = {"weights": state.unet.eval(), **state.ema.models}
        losses = {name: self._losses(network, batch_size) for name, network in networks.items()}
        state.unet.train(training)
        return ValidationRecord(
            step=state.step,
            images=len(self.grid.images),
            loss={name: loss.mean().item() for name, loss in losses.items()},
            loss_by_sigma={
                name: {
                    f"{sigma:.4g}": value for sigma, value in zip(self.grid.sigmas.tolist(), loss.tolist(), strict=True)
                }
                for name, loss in losses.items()
            },
        )

    @torch.no_grad()
    def _losses(self, unet: UNet, size: int) -> Tensor:
        """(levels,), in float64. Each process computes a share of the grid."""
        denoiser = Denoiser(unet.to(self.accelerator.device), self.objective.preconditioning)
        processes, rank = self.accelerator.num_processes, self.accelerator.process_index
        cells = len(self.grid)
        share = size * -(-cells // (size * processes))  # the same for all, and only whole batches
        own = (torch.arange(share) + rank * share) % cells
        losses = torch.cat([self._cell_losses(denoiser, part) for part in own.split(size)])
        grid: Tensor = self.accelerator.gather(losses)[:cells].cpu().double()
        return grid.reshape(len(self.grid.sigmas), -1).mean(dim=1)

    def _cell_losses(self, denoiser: Denoiser, cells: Tensor) -> Tensor:
        with self.accelerator.autocast():
            return self.grid.losses(denoiser, self.objective, cells, self.accelerator.device).float()
