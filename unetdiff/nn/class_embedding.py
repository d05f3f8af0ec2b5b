"""From class labels to a vector: a table of classes with a null class, or a projection of continuous labels."""

import torch
from torch import Tensor, nn

from unetdiff.config import UNetConfig
from unetdiff.nn.embeddings import EmbeddingMLP

__all__ = ["NULL_CLASS", "ClassEmbedding", "class_embedding"]

NULL_CLASS = -1


class ClassEmbedding(nn.Embedding):
    """One vector for each class, (N,) -> (N, channels); the null class adds nothing."""

    def forward(self, labels: Tensor) -> Tensor:
        self._check(labels)
        known = (labels != NULL_CLASS)[:, None]
        return super().forward(labels.clamp(min=0)) * known.to(self.weight.dtype)

    def _check(self, labels: Tensor) -> None:
        """Check the range, where looking at values costs nothing: eager, on the CPU."""
        if torch.compiler.is_compiling() or labels.device.type != "cpu":
            return
        wrong = labels[(labels < NULL_CLASS) | (labels >= self.num_embeddings)]
        if len(wrong):
            raise ValueError(f"class_labels: expected {NULL_CLASS} to {self.num_embeddings - 1}, got {int(wrong[0])}")


def class_embedding(config: UNetConfig, channels: int) -> nn.Module:
    """The module that a configuration asks for; a "timestep" label comes here through the timestep's embedding."""
    match config.class_projection:
        case None:
            assert config.num_classes is not None
            return ClassEmbedding(config.num_classes, channels)
        case "timestep":
            return EmbeddingMLP(config.time_channels, channels)
        case "mlp":
            assert config.class_channels is not None
            return EmbeddingMLP(config.class_channels, channels)
        case "linear":
            assert config.class_channels is not None
            return nn.Linear(config.class_channels, channels)
        case "identity":
            return nn.Identity()
