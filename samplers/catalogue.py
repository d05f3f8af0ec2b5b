"""Every sampler and every grid by the name that commands and documents use, with where it comes from.

The table in docs/samplers.md is this one; a test compares them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from samplers.adams_bashforth import IPNDM, LMS
from samplers.consistency import Consistency
from samplers.ddim import DDIM, EulerAncestral
from samplers.ddpm import DDPM
from samplers.dpm2 import DPM2, DPM2Ancestral
from samplers.dpm_solver_pp import DPMSolverPP2M, DPMSolverPP3M
from samplers.dpm_solver_pp_2s import DPMSolverPP2SAncestral, DPMSolverPPSDE
from samplers.dpm_solver_pp_sde import DPMSolverPP2MSDE, DPMSolverPP3MSDE
from samplers.euler import Euler
from samplers.grids import exponential, given, karras, logsnr, polyexponential, uniform_timesteps, vp
from samplers.heun import Heun
from samplers.sampler import Sampler
from samplers.unipc import UniPC

__all__ = ["GRIDS", "SAMPLERS", "GridEntry", "SamplerEntry"]


@dataclass(frozen=True)
class SamplerEntry:
    """A sampler's class; without arguments it makes the sampler with its usual hyper-parameters."""

    make: type[Sampler[Any]]
    source: str


@dataclass(frozen=True)
class GridEntry:
    """A function that makes a grid; its first argument, n, is the number of steps, except for a table's."""

    make: Callable[..., Tensor]
    source: str


SAMPLERS: Mapping[str, SamplerEntry] = {
    "euler": SamplerEntry(Euler, "Karras et al. 2022, equations (1) and (3)"),
    "heun": SamplerEntry(Heun, "Karras et al. 2022, algorithm 1"),
    "ddpm": SamplerEntry(DDPM, "Ho et al. 2020, equations (6) and (7)"),
    "ddim": SamplerEntry(DDIM, "Song et al. 2021, equations (12) and (16)"),
    "dpm2": SamplerEntry(DPM2, "Lu et al. 2022 (DPM-Solver), algorithm 1; k-diffusion"),
    "euler-ancestral": SamplerEntry(EulerAncestral, "Song et al. 2021, equations (12) and (16); k-diffusion"),
    "dpm2-ancestral": SamplerEntry(DPM2Ancestral, "k-diffusion"),
    "lms": SamplerEntry(LMS, "k-diffusion (Adams-Bashforth)"),
    "ipndm": SamplerEntry(IPNDM, "Liu et al. 2022, equation (9); Zhang & Chen 2023"),
    "dpmpp-2m": SamplerEntry(DPMSolverPP2M, "Lu et al. 2022 (DPM-Solver++), algorithm 2"),
    "dpmpp-3m": SamplerEntry(DPMSolverPP3M, "Lu et al. 2022 (DPM-Solver++); k-diffusion"),
    "dpmpp-2s-ancestral": SamplerEntry(
        DPMSolverPP2SAncestral, "Lu et al. 2022 (DPM-Solver++), algorithm 1; k-diffusion"
    ),
    "dpmpp-sde": SamplerEntry(DPMSolverPPSDE, "Lu et al. 2022 (DPM-Solver++), algorithm 1; k-diffusion"),
    "dpmpp-2m-sde": SamplerEntry(DPMSolverPP2MSDE, "Lu et al. 2022 (SDE-DPM-Solver++); k-diffusion"),
    "dpmpp-3m-sde": SamplerEntry(DPMSolverPP3MSDE, "k-diffusion"),
    "unipc": SamplerEntry(UniPC, "Zhao et al. 2023, algorithms 1 and 2"),
    "consistency": SamplerEntry(Consistency, "Song et al. 2023, algorithm 1"),
}

GRIDS: Mapping[str, GridEntry] = {
    "karras": GridEntry(karras, "Karras et al. 2022, equation (5)"),
    "exponential": GridEntry(exponential, "k-diffusion"),
    "polyexponential": GridEntry(polyexponential, "k-diffusion"),
    "logsnr": GridEntry(logsnr, "Lu et al. 2022 (DPM-Solver)"),
    "vp": GridEntry(vp, "Karras et al. 2022, table 1"),
    "uniform-timesteps": GridEntry(uniform_timesteps, "Lin et al. 2024, table 2"),
    "given": GridEntry(given, "Sabour et al. 2024"),
}
