"""The parts of docs/results.md that commands print: what `benchmarks.results` runs, in the order of the page."""

from dataclasses import dataclass

__all__ = ["PARTS", "Part"]


@dataclass(frozen=True, kw_only=True)
class Part:
    """Commands that are run one after the other; what the last one prints is shown.

    Attributes:
        name: As the page has it in `<!-- part NAME -->`.
        commands: Each goes on where it was stopped, or is short.
        hours: That they take on two cores, roughly.
        shipped: Whether they measure the shipped model, so that another one makes them out of date.
    """

    name: str
    commands: tuple[str, ...]
    hours: float
    shipped: bool = True


PARTS = (
    Part(
        name="guidance",
        commands=(
            "unetdiff compare fashion-mnist --n 2000 --sampler dpmpp-2m --steps 13 --guidance 1,1.15,1.3,1.6"
            " --out results/guidance",
        ),
        hours=0.7,
    ),
    Part(
        name="guidance-interval",
        commands=(
            "unetdiff compare fashion-mnist --n 2000 --sampler dpmpp-2m --steps 13 --guidance 1.3,1.6,2"
            " --guidance_interval 0.2,5 --out results/guidance-interval",
        ),
        hours=0.3,
    ),
    Part(
        name="quality",
        commands=(
            "torchrun --nproc_per_node 2 -m -- unetdiff compare fashion-mnist --n 10000 --steps 18 --guidance 1,1.6"
            " --guidance_interval 0.2,5 --out results/quality",
        ),
        hours=1,
    ),
    Part(
        name="quality-fewer-calls",
        commands=(
            "unetdiff compare fashion-mnist --n 10000 --sampler dpmpp-2m --steps 13 --guidance 1.6"
            " --guidance_interval 0.2,5 --out results/quality-fewer-calls",
        ),
        hours=0.4,
    ),
    Part(
        name="scale",
        commands=("python -m benchmarks.distance_scale --folder results/features",),
        hours=0.1,
        shipped=False,
    ),
    Part(name="speed", commands=("python -m benchmarks.unet --rounds 7",), hours=0.6, shipped=False),
    Part(
        name="speed-eager",
        commands=("python -m benchmarks.unet --rounds 15 --batches 8 --eager_only",),
        hours=0.1,
        shipped=False,
    ),
    Part(name="parity", commands=("python -m benchmarks.pretrained parity",), hours=0.1, shipped=False),
    Part(
        name="pretrained-load",
        commands=("python -m benchmarks.pretrained load --rounds 3",),
        hours=0.1,
        shipped=False,
    ),
    Part(
        name="pretrained-forward",
        commands=("python -m benchmarks.pretrained forward --rounds 5",),
        hours=0.1,
        shipped=False,
    ),
    Part(
        name="skip-tuning",
        commands=(
            'python -m benchmarks.sampler_quality --folder results/features --images 2000 --samplers "[dpmpp-2m,unipc]"'
            ' --calls "[5,7,9,13,19]" --rhos "[1,0.95,0.9,0.8]"',
            'python -m benchmarks.sampler_quality --folder results/features --images 2000 --samplers "[heun]"'
            ' --calls "[9,19]" --rhos "[1,0.95,0.9,0.8]"',
            'python -m benchmarks.sampler_quality --folder results/features --images 2000 --samplers "[heun,unipc]"'
            ' --calls "[9]" --rhos "[0.8,0.7,0.6]"',
            'python -m benchmarks.sampler_quality --folder results/features --images 2000 --samplers "[unipc]"'
            ' --calls "[13]" --rhos "[0.8,0.7,0.6]"',
            "python -m benchmarks.sampler_quality --folder results/features --images 2000 --table"
            " --plot docs/images/skip-tuning.png --settings unetdiff/assets/fashion-mnist/skip.json",
        ),
        hours=1.5,
    ),
    *(
        Part(
            name=f"skip-site-{site}",
            commands=(
                f"unetdiff skip-search --sampler unipc,heun --steps 5,9 --n 200 --rhos 0.8,0.6,0.4 --refine 0"
                f" --site {site} --folder results/skip-site-{site} --out results/skip-site-{site}.best.json",
            ),
            hours=0.15,
        )
        for site in ("concat", "residual", "norm")
    ),
    Part(name="skip-report", commands=("unetdiff skip-report --n 64",), hours=0.05),
    Part(name="extraction", commands=("python -m benchmarks.features",), hours=0.2),
    Part(
        name="sweep",
        commands=("unetdiff sweep fashion-mnist --pool 2 --out results/sweep --plot docs/images/sweep.png",),
        hours=1.5,
    ),
    Part(
        name="baselines",
        commands=("unetdiff sweep fashion-mnist --sigmas 0.06 --pool 2 --baselines --out results/baselines",),
        hours=0.5,
    ),
    Part(
        name="maps-linear",
        commands=(
            "unetdiff features fashion-mnist --nodes up_blocks.0.resnets.0,up_blocks.0.attentions.1 --sigmas 0.06,0.2"
            " --pool none --out results/maps",
            "unetdiff probe results/maps --head linear --epochs 5",
        ),
        hours=0.3,
    ),
    Part(
        name="maps-attention",
        commands=("unetdiff probe results/maps --cells up_blocks.0.attentions.1@0.06 --head attention --epochs 10",),
        hours=0.5,
    ),
    Part(
        name="maps-fusion",
        commands=("unetdiff probe results/maps --cells up_blocks.0.attentions.1 --head fusion --epochs 7",),
        hours=0.7,
    ),
    Part(name="scoring", commands=("python -m benchmarks.pruning --threads 1",), hours=0.4),
    Part(
        name="pruned-quality",
        commands=(
            "python -m benchmarks.pruned_quality --folder results/pruned",
            "python -m benchmarks.pruned_quality --folder results/pruned --table --plot docs/images/pruned-quality.png",
        ),
        hours=1,
    ),
    Part(name="endurance", commands=("python -m benchmarks.endurance --calls 2000 --threads 1",), hours=0.05),
    Part(
        name="kills",
        commands=(
            "unetdiff verify-resume --config configs/fashion-mnist.yaml --batch_size 16 --accumulation 2"
            " --model.levels '[{channels: 32, depth: 1}, {channels: 64, depth: 1}]' --checkpoint_every 10"
            " --preview.every 0 --validation.every 0 --steps 1200 --kills 20 --out results/kills",
        ),
        hours=0.6,
        shipped=False,
    ),
    Part(name="caching", commands=('python -m benchmarks.sampling --parts "[caching]"',), hours=0.3),
    Part(
        name="overhead",
        commands=('python -m benchmarks.sampling --parts "[overhead]" --rounds 7 --threads 1',),
        hours=0.2,
    ),
    Part(name="training", commands=("python -m benchmarks.training --rounds 20",), hours=0.1, shipped=False),
    Part(name="checkpointing", commands=("python -m benchmarks.checkpointing",), hours=0.1, shipped=False),
    Part(name="data-loading", commands=("python -m benchmarks.data_loading",), hours=0.02, shipped=False),
    Part(name="exactness", commands=('python -m benchmarks.sampling --parts "[exactness]"',), hours=0.1),
)
