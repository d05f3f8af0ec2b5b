"""Which sampler, with its hyper-parameters."""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

import samplers
from unetdiff.cli.recipe.accepted import require_accepted, require_known

__all__ = ["SamplerOptions"]


@dataclass(frozen=True, kw_only=True)
class SamplerOptions:
    """Sampler.

    Attributes:
        sampler: A name of the list below; behind it the options that it takes of those that follow.
        order: Order of a multistep method.
        variant: Weights of UniPC.
        lower_order_final: UniPC takes no higher order than there are steps left.
        eta: Share of fresh noise, from 0, none, to 1.
        solver: Weights of an SDE solver.
        variance: Variance of ddpm.
        epsilon: Noise level that a consistency model ends at.
    """

    sampler: str = "heun"
    order: int | None = None
    variant: Literal["bh1", "bh2"] | None = None
    lower_order_final: bool | None = None
    eta: float | None = None
    solver: Literal["midpoint", "heun"] | None = None
    variance: Literal["posterior", "beta"] | None = None
    epsilon: float | None = None

    def __post_init__(self) -> None:
        require_known("sampler", self.sampler, samplers.SAMPLERS)
        self.make()

    def make(self) -> samplers.Sampler[Any]:
        """The sampler.

        Raises:
            ValueError: a hyper-parameter that it lacks, or of a value that it cannot take.
        """
        given = {name: value for name, value in asdict(self).items() if name != "sampler" and value is not None}
        require_accepted(given, self.options_of(self.sampler), f"the sampler {self.sampler}")
        return samplers.SAMPLERS[self.sampler].make(**given)

    def resolved(self) -> "SamplerOptions":
        """With every hyper-parameter that the sampler has."""
        sampler = self.make()
        return replace(self, **{name: getattr(sampler, name) for name in self.options_of(self.sampler)})

    @staticmethod
    def options_of(name: str) -> list[str]:
        """The hyper-parameters of a sampler."""
        return [field.name for field in fields(samplers.SAMPLERS[name].make)]  # type: ignore[arg-type]  # a dataclass
