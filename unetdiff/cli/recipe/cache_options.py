"""Skip caching: deep feature maps that serve several network calls."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor

from unetdiff.caching import cached
from unetdiff.config import UNetConfig
from unetdiff.plain import require

__all__ = ["CacheOptions"]


@dataclass(frozen=True, kw_only=True)
class CacheOptions:
    """Skip caching.

    Attributes:
        cache_interval: Compute what lies inside a skip connection at every N-th network call only.
        cache_skip: The name of that skip connection; without it everything but the outermost level lies inside.
    """

    cache_interval: int = 1
    cache_skip: str | None = None

    def __post_init__(self) -> None:
        require(self.cache_interval >= 1, "cache_interval", "at least 1", self.cache_interval)

    def cached(self, network: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """A network that remembers, for one run; itself without caching."""
        if self.cache_interval == 1 or self.cache_skip is None:
            return network
        return cached(network, self.cache_interval, self.cache_skip)

    def resolved(self, config: UNetConfig) -> "CacheOptions":
        """With the skip that is meant.

        Raises:
            ValueError: the name of no skip.
        """
        if self.cache_interval == 1:
            return self
        skips = config.skips()
        require(self.cache_skip in (None, *skips), "cache_skip", f"one of {', '.join(skips)}", self.cache_skip)
        outer = next(node.skip_from for node in config.nodes() if node.skip_from is not None and node.level == 0)
        return replace(self, cache_skip=self.cache_skip or outer)
