"""What a network is told, as one embedding for all its residual blocks: time, classes, vectors, augmentation.

emb = silu(MLP(features of time [+ augmentation] [+ labels]) [+ labels]): sinusoidal features of Vaswani et al. 2017 or
Fourier features of Song et al. 2021; labels before the MLP as in EDM (Karras et al. 2022) or behind it as in diffusers;
size numbers and pooled text as in SDXL (Podell et al. 2023).
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unetdiff.config import UNetConfig
from unetdiff.nn.class_embedding import ClassEmbedding, class_embedding
from unetdiff.nn.embeddings import EmbeddingMLP, SinusoidalEmbedding, time_projection

__all__ = ["Conditioned", "require_width"]


class Conditioned:
    """Part of a network's class: the embeddings beside its nodes, under the names that diffusers gives them."""

    _config: UNetConfig

    def _build_embeddings(self, config: UNetConfig) -> None:
        time, width = config.time, config.embedding_channels
        self.time_proj = time_projection(time, config.time_channels)
        self.time_embedding = EmbeddingMLP(config.time_channels, width, time.cond_channels)
        label_width = config.time_channels if time.labels == "before" else width
        if config.num_classes is not None or config.class_projection is not None:
            self.class_embedding = class_embedding(config, label_width)
        if config.vector_channels is not None:
            self.add_embedding = EmbeddingMLP(config.vector_channels, label_width)
        if config.vector_time_channels is not None:
            self.add_time_proj = SinusoidalEmbedding(config.vector_time_channels, time.order, time.freq_shift)
        if config.augment_channels is not None:
            self.augment_embedding = nn.Linear(config.augment_channels, config.time_channels, bias=False)

    def _embedding(
        self,
        x: Tensor,
        timestep: Tensor | float,
        timestep_cond: Tensor | None,
        augment_labels: Tensor | None,
        labels: Tensor | None,
    ) -> Tensor:
        """What all residual blocks receive: (N, embedding_channels), through the SiLU that they share."""
        values = torch.as_tensor(timestep, device=x.device).expand(x.shape[0])
        embedding = self.time_proj(values).to(x.dtype)
        if augment_labels is not None:
            _require_accepted("augment_labels", augment_labels, self._config.augment_channels)
            embedding = embedding + self.augment_embedding(augment_labels.to(x.dtype))
        if timestep_cond is not None:
            _require_accepted("timestep_cond", timestep_cond, self._config.time.cond_channels)
            timestep_cond = timestep_cond.to(x.dtype)
        if labels is not None and self._config.time.labels == "before":
            embedding = embedding + labels
        embedding = self.time_embedding(embedding, timestep_cond)
        if labels is not None and self._config.time.labels == "after":
            embedding = embedding + labels
        return F.silu(embedding)

    def _label_embedding(self, x: Tensor, labels: Tensor | None, vector: Tensor | None) -> Tensor | None:
        """Sum of class and vector embeddings."""
        _require_presence("class_labels", labels, self._config.num_classes or self._config.class_projection)
        vector_name = "vector" if self._config.vector_time_channels is None else "added_cond_kwargs or vector"
        _require_presence(vector_name, vector, self._config.vector_channels)
        parts = []
        if labels is not None:
            parts.append(self.class_embedding(self._class_input(x, labels)))
        if vector is not None:
            assert self._config.vector_channels is not None
            require_width(vector_name, vector, self._config.vector_channels, dim=1)
            parts.append(self.add_embedding(vector.to(x.dtype)))
        return sum(parts[1:], parts[0]) if parts else None

    def _class_input(self, x: Tensor, labels: Tensor) -> Tensor:
        """Class labels in the form that their embedding takes."""
        if isinstance(self.class_embedding, ClassEmbedding):
            return labels.expand(x.shape[0])
        if self._config.class_projection == "timestep":
            labels = self.time_proj(labels.expand(x.shape[0]))
        elif self._config.class_channels is not None:
            require_width("class_labels", labels, self._config.class_channels, dim=1)
        return labels.to(x.dtype)

    def _vector(self, vector: Tensor | None, added: Mapping[str, Tensor] | None) -> Tensor | None:
        """`vector`, or SDXL's: the pooled text embedding and the sinusoidal embeddings of the size numbers."""
        if not added:
            return vector
        if self._config.vector_time_channels is None or not {"text_embeds", "time_ids"} <= set(added):
            expected = "nothing" if self._config.vector_time_channels is None else "text_embeds and time_ids"
            raise ValueError(f"added_cond_kwargs: expected {expected}, got {sorted(added)}")
        text, numbers = added["text_embeds"], added["time_ids"]
        times = self.add_time_proj(numbers.flatten()).reshape(numbers.shape[0], -1)
        return torch.cat([text, times.to(text.dtype)], dim=-1)

    def _attention_bias(self, x: Tensor, context: Tensor | None, mask: Tensor | None) -> Tensor | None:
        """Additive bias (N, 1, 1, M) of a mask: large and finite, so that a fully masked row stays a number."""
        _require_presence("encoder_hidden_states", context, self._config.cross_attention_dim)
        if context is not None:
            assert self._config.cross_attention_dim is not None
            require_width("encoder_hidden_states", context, self._config.cross_attention_dim, dim=2)
        return None if mask is None else (1 - mask.to(x.dtype))[:, None, None, :] * -10_000.0


def require_width(name: str, x: Tensor, width: int, dim: int) -> None:
    """Refuse a tensor of another number of channels."""
    if x.ndim <= dim or x.shape[dim] != width:
        raise ValueError(f"{name}: expected {width} channels in dimension {dim}, got shape {tuple(x.shape)}")


def _require_accepted(name: str, value: Tensor, width: int | None) -> None:
    """A condition that may be left out: refuse it where the network has no place for it."""
    if width is None:
        raise ValueError(f"{name}: expected nothing, as this network's configuration says, got a tensor")
    require_width(name, value, width, dim=1)


def _require_presence(name: str, value: Tensor | None, place: object) -> None:
    if (value is None) != (place is None):
        expected, got = ("nothing", "a tensor") if place is None else ("a tensor", "None")
        raise ValueError(f"{name}: expected {expected}, as this network's configuration says, got {got}")
