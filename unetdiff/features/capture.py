"""Reading and changing feature maps of a network that something else calls: a denoiser, a sampler, a pipeline.

with capture(unet, ["mid_block.resnets.1"], stop=True) as features:
    denoiser(x, sigma)
features["mid_block.resnets.1"]
"""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from unetdiff.nn.taps import Edit
from unetdiff.unet import UNet, UNetOutput

__all__ = ["capture"]


@contextmanager
def capture(
    unet: UNet, names: Sequence[str] = (), *, replace: Mapping[str, Edit] | None = None, stop: bool = False
) -> Iterator[dict[str, Tensor]]:
    """Within the block, calls of this network fill a dict by name of the tap, with the last call's feature maps.

    Calls return what they always do. Nothing is left behind when the block ends, however it does.

    Args:
        unet: the network, maybe with compiled blocks, but not itself compiled.
        names: of taps, among `unet.taps`.
        replace: functions by name of a tap; the network goes on with what they return for what it has there.
        stop: end the block at its first call, with no node run behind the last one of `names`.

    Raises:
        ValueError: a name that is no tap, or a tap that is not computed; no call of the network in the block, or one
            inside another capture.
    """
    features: dict[str, Tensor] = {}
    asked = {"capture": tuple(names), "replace": replace, "stop": stop}
    signature = inspect.signature(unet.forward)
    returns_dict = True
    called = False

    def before(_: UNet, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        nonlocal returns_dict, called
        given = signature.bind(*args, **kwargs).arguments
        if asked.keys() & given.keys():
            raise ValueError("capture: expected one for a call of the network, got another one inside it")
        returns_dict, called = given.get("return_dict", True), True
        return (), {**given, **asked, "return_dict": True}

    def after(_: UNet, args: tuple[Any, ...], output: UNetOutput) -> UNetOutput | tuple[Tensor | None, ...]:
        features.update(output.features or {})
        if stop:
            raise _StoppedError
        plain = UNetOutput(sample=output.sample)
        return plain if returns_dict else plain.to_tuple()

    hooks = [unet.register_forward_pre_hook(before, with_kwargs=True), unet.register_forward_hook(after)]
    try:
        yield features
    except _StoppedError:
        pass
    finally:
        for hook in hooks:
            hook.remove()
    if not called:
        raise ValueError("capture: expected a call of the network in the block, got none, or one of a compiled network")


class _StoppedError(Exception):
    """The network has computed what was asked for."""
