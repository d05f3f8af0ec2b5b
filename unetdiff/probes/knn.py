"""Weighted k nearest neighbours: sum over neighbours i of the class of exp(cos(x, x_i) / T).

Caron et al. 2021 (DINO, arXiv 2104.14294, appendix); Wu et al. 2018. scikit-learn's classifier can weight neighbours,
but it finds them by a distance matrix on the CPU; here it is one product of unit vectors, on the GPU if there is one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from unetdiff.plain import require
from unetdiff.probes.probe import CellProbe, Fitted, Predictor, Scores, accuracy, best_of, require_fit
from unetdiff.probes.rows import Rows, Selected, blocks
from unetdiff.probes.task import Labels, Task

__all__ = ["NearestNeighbours"]


@dataclass(frozen=True, kw_only=True)
class NearestNeighbours(CellProbe):
    """Classes of the nearest training rows by cosine similarity.

    Attributes:
        neighbours: Numbers k of neighbours to choose from.
        temperature: T; the smaller, the more the nearest count.
    """

    neighbours: tuple[int, ...] = (10, 20, 100, 200)
    temperature: float = 0.07

    def __post_init__(self) -> None:
        valid = bool(self.neighbours) and all(k >= 1 for k in self.neighbours)
        require(valid, "neighbours", "numbers of at least 1", self.neighbours)
        require(self.temperature > 0, "temperature", "a positive number", self.temperature)

    def fit(self, rows: Rows, task: Task) -> Fitted:
        """Keep all rows; k is the one that tells the held-out rows best from the others."""
        require_fit([rows], task)
        validation = self._validation(rows, task)
        best = best_of(validation)
        return Fitted(
            inputs=(0,),
            predictor=self._voting(rows, task.labels, task.classes, self.neighbours[best]),
            validation=validation[best],
            chosen={"k": self.neighbours[best]},
        )

    def for_shots(self, count: int) -> "NearestNeighbours":
        """No more neighbours than a class has rows."""
        return replace(self, neighbours=tuple(sorted({min(k, count) for k in self.neighbours})))

    def _validation(self, rows: Rows, task: Task) -> list[float | None]:
        """Accuracy on the held-out rows for each k."""
        if len(task.held_out) == 0:
            return [None] * len(self.neighbours)
        kept = Selected(rows, task.kept)
        voting = self._voting(kept, task.labels[task.kept], task.classes, max(self.neighbours))
        similarity, labels = voting.nearest(Selected(rows, task.held_out))
        truth = task.labels[task.held_out]
        return [accuracy(voting.votes(similarity[:, :k], labels[:, :k]), truth) for k in self.neighbours]

    def _voting(self, rows: Rows, labels: Labels, classes: int, k: int) -> "Voting":
        return Voting(rows=rows, labels=labels, classes=classes, k=k, temperature=self.temperature)


@dataclass(frozen=True, kw_only=True, eq=False)
class Voting(Predictor):
    """The training rows themselves, read block by block for each block of rows that are asked about."""

    rows: Rows
    labels: Labels
    classes: int
    k: int
    temperature: float

    def scores(self, features: Sequence[Rows]) -> Scores:
        """Votes for each class."""
        [rows] = features
        return self.votes(*self.nearest(rows))

    def votes(self, similarity: Tensor, labels: Tensor) -> Scores:
        """Of neighbours, nearest first; relative to the nearest's, which changes no order and cannot overflow."""
        weights = ((similarity - similarity[:, :1]) / self.temperature).exp()
        votes = weights.new_zeros(len(weights), self.classes).scatter_add_(1, labels, weights)
        scores: Scores = votes.cpu().numpy()
        return scores

    def nearest(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Similarity and label of the k nearest training rows of each row, nearest first: each (n, k)."""
        found = [self._nearest(F.normalize(queries)) for queries in blocks(rows)]
        similarity, labels = zip(*found, strict=True)
        return torch.cat(similarity), torch.cat(labels)

    def _nearest(self, queries: Tensor) -> tuple[Tensor, Tensor]:
        similarity = queries.new_empty(len(queries), 0)
        labels = torch.empty_like(similarity, dtype=torch.int64)
        every_label = torch.from_numpy(self.labels).to(queries.device)
        seen = 0
        for bank in blocks(self.rows):
            block_labels = every_label[seen : seen + len(bank)].expand(len(queries), -1)
            seen += len(bank)
            similarity = torch.cat([similarity, queries @ F.normalize(bank).T], dim=1)
            labels = torch.cat([labels, block_labels], dim=1)
            similarity, order = similarity.topk(min(self.k, seen), dim=1)
            labels = labels.gather(1, order)
        return similarity, labels
