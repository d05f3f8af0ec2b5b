"""Linear heads on cells with equally many values, as one batched product for all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unetdiff.probes.probe import Fitted, Predictor, Scores, best_of
from unetdiff.probes.rows import BLOCK, Indices, Rows, blocks, compute_device, read_flat, width_of
from unetdiff.probes.standardisation import Standardisation
from unetdiff.probes.task import Task

__all__ = ["LinearPredictor", "LinearStack"]

ALL, KEPT = 0, 1  # the copies of a head: one learns from all rows, one from those that are not held out


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearPredictor(Predictor):
    """standardise(x) W + b, with W (C h w, classes)."""

    standardisation: Standardisation
    weight: Tensor
    bias: Tensor

    def scores(self, features: Sequence[Rows]) -> Scores:
        """Logits."""
        [rows] = features
        scores = torch.cat([self.standardisation(x) @ self.weight + self.bias for x in blocks(rows)])
        return scores.cpu().numpy()


class StackedLinear(nn.Module):
    """(G, n, D) -> (G, n, columns): a linear layer for each of G cells, which starts at 0."""

    def __init__(self, cells: int, width: int, columns: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(cells, width, columns, device=compute_device()))
        self.bias = nn.Parameter(torch.zeros(cells, 1, columns, device=compute_device()))

    def forward(self, x: Tensor) -> Tensor:
        """Of standardised features."""
        return torch.baddbmm(self.bias, x, self.weight)


class LinearStack:
    """Heads of G cells of D values: for each learning rate a layer of all, in two copies where rows are held out."""

    def __init__(self, cells: Mapping[int, Rows], task: Task, rates: Sequence[float]) -> None:
        self.cells, self.rates, self.classes = cells, rates, task.classes
        self.copies = 2 if len(task.held_out) else 1
        self.standardisations = [Standardisation.of(rows) for rows in cells.values()]
        width = width_of(next(iter(cells.values())))
        self.layers = [StackedLinear(len(cells), width, self.copies * self.classes) for _ in rates]
        self.values_of_row = len(cells) * width

    def read(self, index: Indices) -> Tensor:
        """Standardised features of some rows, (G, n, D)."""
        pairs = zip(self.standardisations, self.cells.values(), strict=True)
        return torch.stack([standardise(read_flat(rows, index)) for standardise, rows in pairs])

    def loss(self, x: Tensor, labels: Tensor, shares: Tensor) -> Tensor:
        """Sum of the mean cross-entropies of all heads; `shares` (n, copies) are the weights in a copy's mean."""
        targets = labels[None, :, None].expand(len(x), -1, self.copies).flatten()
        losses = [F.cross_entropy(self._logits(layer, x), targets, reduction="none") for layer in self.layers]
        return (torch.stack(losses).view(len(losses), *x.shape[:2], self.copies) * shares).sum()

    def _logits(self, layer: nn.Module, x: Tensor) -> Tensor:
        """(G n copies, classes)."""
        logits: Tensor = layer(x)
        return logits.view(-1, self.classes)

    @torch.no_grad()
    def fitted(self, task: Task) -> list[Fitted]:
        """The heads of the learning rates that are best on the held-out rows."""
        validation = self._validation(task)
        return [
            self._fitted(number, place, [of_rate[number] for of_rate in validation])
            for number, place in enumerate(self.cells)
        ]

    def _fitted(self, number: int, place: int, validation: Sequence[float | None]) -> Fitted:
        best = best_of(validation)
        layer, columns = self.layers[best], slice(ALL * self.classes, (ALL + 1) * self.classes)
        predictor = LinearPredictor(
            standardisation=self.standardisations[number],
            weight=layer.weight[number, :, columns].clone(),
            bias=layer.bias[number, 0, columns].clone(),
        )
        chosen = {"rate": self.rates[best]}
        return Fitted(inputs=(place,), predictor=predictor, validation=validation[best], chosen=chosen)

    def _validation(self, task: Task) -> list[list[float | None]]:
        """For each learning rate the accuracy of each cell's head on the held-out rows."""
        if self.copies == 1:
            return [[None] * len(self.cells) for _ in self.rates]
        correct = torch.zeros(len(self.rates), len(self.cells), dtype=torch.float64)
        for rows in np.split(task.held_out, range(BLOCK, len(task.held_out), BLOCK)):
            x, labels = self.read(rows), torch.from_numpy(task.labels[rows])
            for rate, layer in enumerate(self.layers):
                logits = layer(x).view(*x.shape[:2], self.copies, self.classes)[:, :, KEPT]
                correct[rate] += (logits.argmax(dim=-1).cpu() == labels).sum(dim=1)
        return (correct / len(task.held_out)).tolist()
