"""The networks that `benchmarks.pruned_quality` compares: one model pruned in several ways, and distilled again.

Each is kept in a folder of its own, and a training that was stopped goes on from its checkpoint:

    KEEP/METHOD-SEED/plan.json, pruned/          what is gone, and what is left
    KEEP/METHOD-SEED/normalised/, plain/         the runs that distil the whole model into it, by the loss of features
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from unetdiff.data import DataConfig
from unetdiff.data.config import Split
from unetdiff.denoiser import Denoiser
from unetdiff.distillation import FeatureLoss, KnowledgeDistillation, NormalisedFeatures, PlainFeatures
from unetdiff.evaluation.generated import FeatureMaker
from unetdiff.losses import continuing_objective
from unetdiff.model_folder import load_model, save_model
from unetdiff.prune.budget import Budget
from unetdiff.prune.calibration import Calibration
from unetdiff.prune.parts import Part, parts_of
from unetdiff.prune.plan import Plan
from unetdiff.prune.planning import PlanConfig, make_plan
from unetdiff.prune.savings import Probe
from unetdiff.training.averages import WarmupEMA
from unetdiff.training.checkpoint import checkpoints, step_of
from unetdiff.training.config import OptimizerConfig, PreviewConfig, TrainConfig, ValidationConfig
from unetdiff.training.images import prepare_images
from unetdiff.training.loop import Trainer
from unetdiff.training.resume import starting_points
from unetdiff.training.run_folder import RunFolder
from unetdiff.unet import UNet

__all__ = ["Case", "Method", "Networks", "Stage", "Teaching", "handcrafted"]

Method = Literal["output-loss", "magnitude", "taylor", "random", "handcrafted"]
Teaching = Literal["normalised", "plain"]
Stage = Literal["pruned"] | Teaching
"""What a network has been through."""

LOSSES: Mapping[Teaching, FeatureLoss] = {"normalised": NormalisedFeatures(), "plain": PlainFeatures()}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A way to take out all but the share `keep` of the parameters, and how what is left is taught."""

    keep: float
    method: Method
    seed: int = 0
    teaching: Teaching = "normalised"

    @property
    def place(self) -> Path:
        """Its folder, the same for all ways to teach it."""
        return Path(f"{self.keep:g}", f"{self.method}-{self.seed}")

    @property
    def stages(self) -> tuple[Stage, Stage]:
        """Before and after it is taught."""
        return "pruned", self.teaching

    @property
    def label(self) -> str:
        """The same for all seeds."""
        return self.method if self.teaching == "normalised" else f"{self.method}, {self.teaching} features"


@dataclass(frozen=True, kw_only=True)
class Networks:
    """What is kept in `folder`, made when it is missing, from the model in `teacher` and images of `source`.

    `calibration` images are scored on; a distillation takes `steps` with `batch_size` images each, at rates up to `lr`.
    """

    folder: Path
    source: str
    teacher: Path
    maker: FeatureMaker
    calibration: int = 256
    steps: int = 150
    batch_size: int = 16
    lr: float = 1e-3

    def network(self, case: Case, stage: Stage) -> Denoiser:
        """The network of a case at one stage of its life."""
        device = self.maker.denoiser.unet.device
        pruned = self.folder / case.place / "pruned"
        if not pruned.exists():
            save_model(pruned, self.plan(case).apply(self.maker.denoiser.unet), self.maker.info)
        if stage == "pruned":
            return load_model(pruned, device)[0]
        run = RunFolder(self.folder / case.place / stage)
        if [step_of(path) for path in checkpoints(run.checkpoints)][-1:] != [self.steps]:
            self._distil(self._run(pruned, run.root, stage))
        return load_model(run.model, device)[0]

    def plan(self, case: Case) -> Plan:
        """What goes."""
        path = self.folder / case.place / "plan.json"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            make_plan(self.maker.denoiser, self.images("train"), plan_config(self.maker, case)).write(path)
        return Plan.read(path)

    def images(self, split: Split) -> Calibration:
        """Real ones with noise: those of the training split are chosen on, those of the test split judged on."""
        data = self.maker.real_data(split, self.source)
        rows = np.random.default_rng(0).choice(len(data), min(self.calibration, len(data)), replace=False)
        labels = torch.from_numpy(np.asarray(data.labels)[rows]).long().to(self.maker.denoiser.unet.device)
        sigma = continuing_objective(self.maker.info.preconditioning).sigma
        return Calibration.spread(self.maker.real_images(data, rows), rows, {"class_labels": labels}, sigma)

    def _run(self, student: Path, out: Path, teaching: Teaching) -> TrainConfig:
        """The same for all; the learning rate ends at zero, so that the average need not reach far back."""
        return TrainConfig(
            out=out,
            data=DataConfig(source=self.source),
            model=load_model(student)[0].unet.config,
            init=str(student),
            distill=KnowledgeDistillation(teacher=str(self.teacher), feature_loss=LOSSES[teaching]),
            objective=continuing_objective(self.maker.info.preconditioning),
            optimizer=OptimizerConfig(
                lr=self.lr, betas=(0.9, 0.99), warmup_steps=min(10, self.steps // 2), decay="cosine"
            ),
            ema=WarmupEMA(decay=0.9),
            preview=PreviewConfig(every=0),
            validation=ValidationConfig(every=0),
            steps=self.steps,
            batch_size=self.batch_size,
            num_workers=0,
            log_every=10,
            checkpoint_every=50,
            keep_checkpoints=1,
        )

    def _distil(self, config: TrainConfig) -> None:
        """Go on to the end of the run.

        Raises:
            KeyboardInterrupt: a signal stopped it; its last step is kept.
        """
        folder = RunFolder(config.out)
        folder.prepare()
        trainer = Trainer(config, prepare_images(config), starts=starting_points(folder.checkpoints, "auto"))
        if not trainer.fit():
            raise KeyboardInterrupt


def plan_config(maker: FeatureMaker, case: Case) -> PlanConfig:
    """Random and handcrafted choices look at no score; magnitude is the one that takes no time."""
    match case.method:
        case "random":
            return PlanConfig(keep=case.keep, criterion="magnitude", select="random", seed=case.seed)
        case "handcrafted":
            force = handcrafted(maker.denoiser.unet, case.keep, (maker.info.data.height, maker.info.data.width))
            return PlanConfig(keep=case.keep, criterion="magnitude", force=force)
        case criterion:
            return PlanConfig(keep=case.keep, criterion=criterion)


def handcrafted(unet: UNet, keep: float, size: tuple[int, int]) -> tuple[str, ...]:
    """The same place in every level: the last residual block with what follows it, then the one before, until enough.

    Levels take turns from the end of the network to its start: decoder, middle, encoder.
    """
    probe, parts = Probe(config=unet.config, size=size), parts_of(unet)
    saved = {name: cost.parameters for name, cost in probe.savings(parts).items()}
    least = Budget(unit="parameters", keep=keep, total=probe.total({}).parameters).least
    chosen: list[str] = []
    for place in _from_the_last(parts):
        if sum(saved[name] for name in chosen) >= least:
            break
        chosen += place
    return tuple(chosen)


def _from_the_last(parts: Sequence[Part]) -> list[list[str]]:
    """Parts by their places in their levels: `up_blocks.0.resnets.1` and `up_blocks.0.attentions.1` share one."""
    levels: dict[str, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
    for part in parts:
        level, _, index = part.node.rsplit(".", 2)
        levels[level][int(index)].append(part.name)
    last_first = [[places[index] for index in sorted(places, reverse=True)] for places in levels.values()][::-1]
    most = max(map(len, last_first))
    return [places[turn] for turn in range(most) for places in last_first if turn < len(places)]
