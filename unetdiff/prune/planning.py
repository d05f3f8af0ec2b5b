"""From a network to a plan: find its parts, score them, choose among them within a budget."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from unetdiff.denoiser import Denoiser
from unetdiff.errors import InputError
from unetdiff.name_patterns import matching
from unetdiff.plain import require, to_plain
from unetdiff.prune.budget import Budget, Unit
from unetdiff.prune.calibration import Calibration
from unetdiff.prune.latency import milliseconds, nanoseconds_saved
from unetdiff.prune.parts import Granularity, Part, canonical, parts_of
from unetdiff.prune.plan import Plan, architecture_hash
from unetdiff.prune.savings import Probe
from unetdiff.prune.scores import CRITERIA
from unetdiff.prune.select import Candidate, greedy, knapsack, shuffled
from unetdiff.removal import Removal, also_removed
from unetdiff.unet import UNet

__all__ = ["PlanConfig", "make_plan"]


@dataclass(frozen=True, kw_only=True)
class PlanConfig:
    """How it is decided which parts go.

    Attributes:
        keep: share of the network that is to be left, of what `budget` counts.
        budget: parameters, multiply-accumulates, or measured time.
        criterion: the score, by its name in `scores.CRITERIA`.
        select: parts of the least sum of scores, one after the other by score per saving, or at random.
        parts: what of a transformer is a part: all of it, its blocks, or their layers.
        zero: keep EDM's factor on the sum of a block where its branch goes.
        protect: patterns of names that stay.
        force: patterns of names that go in any case.
        seed: of a random choice.
    """

    keep: float = 0.5
    budget: Unit = "parameters"
    criterion: str = "output-loss"
    select: Literal["knapsack", "greedy", "random"] = "knapsack"
    parts: Granularity = "blocks"
    zero: bool = False
    protect: tuple[str, ...] = ()
    force: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        require(0 < self.keep <= 1, "keep", "a share above 0, at most 1", self.keep)
        require(self.criterion in CRITERIA, "criterion", f"one of {list(CRITERIA)}", self.criterion)
        require(self.seed >= 0, "seed", "0 or more", self.seed)

    @property
    def settings(self) -> dict[str, str | int | float | bool]:
        """As plain values; patterns have commas between."""
        plain = to_plain(self).items()
        return {name: ",".join(value) if isinstance(value, list) else value for name, value in plain}


def make_plan(denoiser: Denoiser, calibration: Calibration, config: PlanConfig) -> Plan:
    """Decide which parts of a network go; nothing is changed.

    Raises:
        InputError: a budget that cannot be met (the message has the smallest that can), or a pattern of no part.
    """
    unet = denoiser.unet
    parts = parts_of(unet, config.parts, config.zero)
    free, forced = _asked(unet, parts, config)
    budget, savings, most = _prices(denoiser, (*free, *forced), calibration, config)
    budget.require_reachable(most)
    scores = CRITERIA[config.criterion].make()(denoiser, parts, calibration)
    candidates = [Candidate(name=part.name, saving=savings[part.name], score=scores[part.name]) for part in free]
    least = max(budget.least - sum(savings[part.name] for part in forced), 0)
    chosen = {*_chosen(candidates, least, config), *(part.name for part in forced)}
    return Plan(
        architecture=architecture_hash(unet.config),
        removed=_removed(unet, [part for part in parts if part.name in chosen]),
        budget=budget,
        settings=config.settings,
        calibration=calibration.sha256,
        scores=scores,
    )


def _asked(unet: UNet, parts: Sequence[Part], config: PlanConfig) -> tuple[list[Part], list[Part]]:
    """The parts that may go, and those that have to."""
    names = [part.name for part in parts]
    protected = set(matching([*names, *(node.name for node in unet.nodes)], config.protect, "protect"))
    forced = set(matching(names, config.force, "force"))
    for name in forced & protected:
        raise InputError(f"force: parts that are not protected expected, got {name}")
    return [part for part in parts if part.name not in protected | forced], [p for p in parts if p.name in forced]


def _prices(
    denoiser: Denoiser, parts: Sequence[Part], calibration: Calibration, config: PlanConfig
) -> tuple[Budget, dict[str, int], int]:
    """The budget, what each of the parts saves of it, and what all of them do together."""
    if config.budget == "latency":
        batch = next(calibration.batches)
        total = round(milliseconds({"whole": denoiser}, batch)["whole"] * 1e6)
        savings = nanoseconds_saved(denoiser, parts, batch)
        return Budget(unit="latency", keep=config.keep, total=total), savings, sum(savings.values())
    context = calibration.condition.get("encoder_hidden_states")
    height, width = calibration.images.shape[2:]
    tokens = context.shape[1] if isinstance(context, Tensor) else 1
    probe = Probe(config=denoiser.unet.config, size=(height, width), context_tokens=tokens)
    savings = {name: getattr(cost, config.budget) for name, cost in probe.savings(parts).items()}
    total, least = (getattr(probe.total(gone), config.budget) for gone in ({}, _removed(denoiser.unet, parts)))
    return Budget(unit=config.budget, keep=config.keep, total=total), savings, total - least


def _chosen(candidates: Sequence[Candidate], least: int, config: PlanConfig) -> tuple[str, ...]:
    if least > sum(candidate.saving for candidate in candidates):  # the projections of transformers make up for it
        return tuple(candidate.name for candidate in candidates)
    if config.select == "random":
        return shuffled(candidates, least, config.seed)
    return (knapsack if config.select == "knapsack" else greedy)(candidates, least)


def _removed(unet: UNet, parts: Sequence[Part]) -> dict[str, Removal]:
    """All that is then gone, in its smallest form."""
    removed = also_removed(unet.config.removed, {part.name: part.way for part in parts})
    return canonical(removed, unet.nodes, cross_attention=unet.config.cross_attention_dim is not None)
