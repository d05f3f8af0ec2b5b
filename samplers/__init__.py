"""Samplers for diffusion models: grid -> noise -> solver, over one contract.

`denoise(x, sigma) -> x0` is all that is known of a network. Everything is in variance-exploding coordinates,
x = x0 + sigma * eps (Karras et al. 2022, https://arxiv.org/abs/2206.00364), and depends on torch alone.

    noise = PerImageNoise(seeds=range(16), shape=(3, 32, 32))
    sigmas = karras(18)
    images = sample(denoise, sigmas[0] * noise(), sigmas, Heun())
"""

from samplers.adams_bashforth import IPNDM, LMS
from samplers.catalogue import GRIDS, SAMPLERS
from samplers.consistency import Consistency
from samplers.ddim import DDIM, EulerAncestral
from samplers.ddpm import DDPM
from samplers.dpm2 import DPM2, DPM2Ancestral
from samplers.dpm_solver_pp import DPMSolverPP2M, DPMSolverPP3M
from samplers.dpm_solver_pp_2s import DPMSolverPP2SAncestral, DPMSolverPPSDE
from samplers.dpm_solver_pp_sde import DPMSolverPP2MSDE, DPMSolverPP3MSDE
from samplers.driver import Churn, Step, sample
from samplers.euler import Euler
from samplers.grids import (
    AYS_SD,
    AYS_SDXL,
    AYS_SVD,
    exponential,
    given,
    karras,
    logsnr,
    polyexponential,
    uniform_timesteps,
    vp,
)
from samplers.guidance import Guidance, guided, guided_in_one_call
from samplers.heun import Heun
from samplers.inpainting import inpainted
from samplers.interpolation import slerp, slerp_grid, slerp_row
from samplers.inversion import DDIMInversion
from samplers.noise import PerImageNoise
from samplers.restart import Restart, with_restarts
from samplers.sampler import Denoise, Noise, Sampler
from samplers.start import start_at, start_from
from samplers.thresholding import clamped, dynamically_thresholded
from samplers.unipc import UniPC

__all__ = [
    "AYS_SD",
    "AYS_SDXL",
    "AYS_SVD",
    "DDIM",
    "DDPM",
    "DPM2",
    "GRIDS",
    "IPNDM",
    "LMS",
    "SAMPLERS",
    "Churn",
    "Consistency",
    "DDIMInversion",
    "DPM2Ancestral",
    "DPMSolverPP2M",
    "DPMSolverPP2MSDE",
    "DPMSolverPP2SAncestral",
    "DPMSolverPP3M",
    "DPMSolverPP3MSDE",
    "DPMSolverPPSDE",
    "Denoise",
    "Euler",
    "EulerAncestral",
    "Guidance",
    "Heun",
    "Noise",
    "PerImageNoise",
    "Restart",
    "Sampler",
    "Step",
    "UniPC",
    "clamped",
    "dynamically_thresholded",
    "exponential",
    "given",
    "guided",
    "guided_in_one_call",
    "inpainted",
    "karras",
    "logsnr",
    "polyexponential",
    "sample",
    "slerp",
    "slerp_grid",
    "slerp_row",
    "start_at",
    "start_from",
    "uniform_timesteps",
    "vp",
    "with_restarts",
]
