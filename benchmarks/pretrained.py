"""Pretrained networks: exactness of every layout, loading and forward of Stable Diffusion 1.5's size against diffusers.

python -m benchmarks.pretrained parity
python -m benchmarks.pretrained load --rounds 5
python -m benchmarks.pretrained forward --rounds 3

A ratio is our time over diffusers' within a round: below 1, we are faster. Memory is the greatest resident size of a
process that does nothing else, less what it had after its imports; loading includes reading every weight once, since
both map the file into memory.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import diffusers
import jsonargparse
import torch
from jsonargparse.typing import PositiveInt
from safetensors import safe_open
from torch import Tensor, nn

from benchmarks.agreement import randomise_zeros_
from benchmarks.layouts import LAYOUTS, build, inputs
from benchmarks.timing import Quartiles, interleaved, ratios
from unetdiff.interop import from_edm, from_guided_diffusion
from unetdiff.presets import sd15
from unetdiff.unet import UNet

__all__ = ["main"]

GOLDEN = Path("tests/golden")
KINDS = {"unetdiff": UNet, "diffusers": diffusers.UNet2DConditionModel}


def parity() -> str:
    """Greatest difference of each layout from the original class, relative to the greatest output."""
    lines = ["| layout | class | greatest relative error |", "|---|---|--:|"]
    for name, (kind, _) in LAYOUTS.items():
        theirs = build(name)
        with tempfile.TemporaryDirectory() as folder:
            theirs.save_pretrained(folder)  # type: ignore[operator]  # diffusers' models are untyped
            ours = UNet.from_pretrained(folder)
        arguments = inputs(name)
        with torch.no_grad():
            a, b = (network(**arguments, return_dict=False)[0] for network in (ours, theirs))
        lines.append(f"| {name} | {kind} | {relative(a, b):.1e} |")
    lines += [f"| {name} | {kind} | {error:.1e} |" for name, kind, error in foreign()]
    return "\n".join(lines)


@torch.no_grad()
def foreign() -> Iterator[tuple[str, str, float]]:
    """The same for the networks whose outputs are stored with the tests."""
    for path in [*sorted(GOLDEN.glob("edm_*_*.safetensors")), GOLDEN / "edm_ncsnpp.safetensors"]:
        weights, io, network = stored_outputs(path)
        denoiser = from_edm(weights, network)
        labels = {"class_labels": io["class_onehot"].argmax(dim=1)} if "class_onehot" in io else {}
        yield path.stem, str(network["model_type"]), relative(denoiser(io["x"], io["sigma"], **labels), io["D"])
    for path in sorted(GOLDEN.glob("guided_*.safetensors")):
        weights, io, network = stored_outputs(path)
        labels = {"class_labels": io["y"]} if network.get("num_classes") else {}
        out = from_guided_diffusion(weights, network).unet(io["x"], io["t"], **labels).sample
        yield path.stem, "UNetModel", relative(out, io["out"])


def stored_outputs(path: Path) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Any]]:
    """Weights, inputs and outputs, arguments of the original network."""
    with safe_open(path, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # not a mapping
        network = json.loads(file.metadata()["network"])
    weights = {key[4:]: tensor for key, tensor in tensors.items() if key.startswith("net.")}
    return weights, {key[3:]: tensor for key, tensor in tensors.items() if key.startswith("io.")}, network


def relative(ours: Tensor, theirs: Tensor) -> float:
    """Greatest difference, relative to the greatest value."""
    return float((ours - theirs).abs().max() / theirs.abs().max())


def stored(folder: Path) -> Path:
    """A folder with random weights of Stable Diffusion 1.5's size, as diffusers stores them; made once."""
    if not (folder / "config.json").exists():
        UNet(sd15()).to_diffusers().save_pretrained(folder)
    return folder


def size(folder: Path) -> int:
    """Bytes of the weights."""
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def resident(kind: str, folder: Path, work: str) -> float:
    """Greatest resident bytes of a fresh process that does `work`, less what its imports take."""
    command = [sys.executable, "-m", "benchmarks.resident", kind, str(folder), work]
    return float(json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)["bytes"])


def _read(kind: type[nn.Module], folder: Path) -> float:
    """Load a network and use each weight, which is when a mapped file is read."""
    network: nn.Module = kind.from_pretrained(folder)  # type: ignore[attr-defined]  # diffusers' models are untyped
    return sum(float(parameter.detach().sum()) for parameter in network.parameters())


def load(folder: Path, rounds: int) -> str:
    """Time and memory of `from_pretrained`."""
    works = {name: partial(_read, kind, folder) for name, kind in KINDS.items()}
    interleaved(works, rounds=1)
    times = interleaved(works, rounds)
    return table(times, {name: resident(name, folder, "load") / size(folder) for name in KINDS}, "of the weights")


def forward(folder: Path, rounds: int) -> str:
    """Time and memory of a call with batch 2 at 64x64 latents."""
    networks: dict[str, nn.Module] = {name: kind.from_pretrained(folder) for name, kind in KINDS.items()}
    randomise_zeros_(networks["unetdiff"])
    networks["diffusers"].load_state_dict(networks["unetdiff"].state_dict())
    arguments = {
        "sample": torch.randn(2, 4, 64, 64),
        "timestep": torch.tensor([10, 700]),
        "encoder_hidden_states": torch.randn(2, 77, 768),
    }
    outputs = {}

    @torch.no_grad()
    def call(name: str) -> None:
        outputs[name] = networks[name](**arguments, return_dict=False)[0]

    works = {name: partial(call, name) for name in networks}
    times = interleaved(works, rounds)
    a, b = outputs.values()
    memory = {name: resident(name, folder, "forward") / size(folder) for name in KINDS}
    return (
        f"{table(times, memory, 'of the weights')}\n\nGreatest relative difference of the outputs: {relative(a, b):.1e}"
    )


def table(times: dict[str, list[float]], memory: dict[str, float], unit: str) -> str:
    """Markdown."""
    ours = ratios(times["unetdiff"], times["diffusers"])
    lines = ["| | median | peak memory |", "|---|--:|--:|"]
    lines += [
        f"| {name} | {Quartiles.of(taken).median:.2f} s | {memory[name]:.2f} {unit} |" for name, taken in times.items()
    ]
    return "\n".join([*lines, "", f"Time ratio: {ours.median:.2f} ({ours.low:.2f} to {ours.high:.2f})"])


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = jsonargparse.ArgumentParser(description="Pretrained networks against diffusers, on the CPU.")
    parser.add_argument("what", choices=["parity", "load", "forward"])
    parser.add_argument("--rounds", type=PositiveInt, default=5, help="timed calls of each, in turns")
    parser.add_argument("--folder", type=Path, help="where the weights are kept; a temporary folder without it")
    options = parser.parse_args(argv)
    if options.what == "parity":
        print(parity())
        return
    measure = {"load": load, "forward": forward}[options.what]
    with tempfile.TemporaryDirectory() as temporary:
        print(measure(stored(options.folder or Path(temporary)), options.rounds))


if __name__ == "__main__":
    main()
