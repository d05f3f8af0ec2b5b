"""The time-conditioned diffusion U-Net: train it, sample from it, study its features, prune and distil it."""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unetdiff.config import UNetConfig
    from unetdiff.denoiser import Denoiser
    from unetdiff.errors import InputError
    from unetdiff.model_folder import load_model, save_model
    from unetdiff.model_info import DataInfo, ModelInfo
    from unetdiff.unet import UNet

__all__ = [
    "DataInfo",
    "Denoiser",
    "InputError",
    "ModelInfo",
    "UNet",
    "UNetConfig",
    "__version__",
    "load_model",
    "save_model",
]

__version__ = version("unetdiff")

_HOME = {
    "DataInfo": "model_info",
    "Denoiser": "denoiser",
    "InputError": "errors",
    "ModelInfo": "model_info",
    "UNet": "unet",
    "UNetConfig": "config",
    "load_model": "model_folder",
    "save_model": "model_folder",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used: `unetdiff --help` should not wait for torch and diffusers."""
    if name not in _HOME:
        raise AttributeError(f"module 'unetdiff' has no attribute {name!r}")
    return getattr(import_module(f"unetdiff.{_HOME[name]}"), name)
