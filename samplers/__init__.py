"""Samplers for diffusion models: grid -> noise -> solver, over one contract.

`denoise(x, sigma) -> x0` is all that is known of a network. Everything is in variance-exploding coordinates,
x = x0 + sigma * eps (Karras et al. 2022, https://arxiv.org/abs/2206.00364), and depends on torch alone.

    noise = PerImageNoise(seeds=range(16), shape=(3, 32, 32))
    sigmas = karras(18)
    images = sample(denoise, sigmas[0] * noise(), sigmas, Heun())
"""

from samplers.ddim import DDIM
from samplers.ddpm import DDPM
from samplers.driver import Churn, Step, sample
from samplers.euler import Euler
from samplers.grids import exponential, karras, polyexponential, uniform_timesteps, vp
from samplers.guidance import classifier_free
from samplers.heun import Heun
from samplers.noise import PerImageNoise
from samplers.sampler import Denoise, Noise, Sampler

__all__ = [
    "DDIM",
    "DDPM",
    "Churn",
    "Denoise",
    "Euler",
    "Heun",
    "Noise",
    "PerImageNoise",
    "Sampler",
    "Step",
    "classifier_free",
    "exponential",
    "karras",
    "polyexponential",
    "sample",
    "uniform_timesteps",
    "vp",
]
