"""Skip-tuning of the networks that diffusers' own classes compute, for pipelines that hold one of them."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from unetdiff.diffusers_config import read_config
from unetdiff.nn.skip import SkipScale, SkipSite, over_channels, skip_factors
from unetdiff.nodes import Node
from unetdiff.plain import require

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel, UNet2DModel

__all__ = ["applied_to"]


@contextmanager
def applied_to(
    unet: "UNet2DModel | UNet2DConditionModel", skip_scale: SkipScale, skip_site: SkipSite = "concat"
) -> Iterator[None]:
    """Inside this context `unet` computes what our `UNet` computes with `skip_scale` and `skip_site`.

        with applied_to(pipe.unet, 0.9):
            image = pipe(prompt).images[0]

    The network is left as it was, also by an error. A pipeline that holds our `UNet` takes
    `cross_attention_kwargs={"skip_scale": 0.9}` instead.

    Raises:
        ValueError: a network or factors that `UNet` would refuse.
    """
    from diffusers import UNet2DConditionModel, UNet2DModel  # half a second of imports, which whoever has one has made

    theirs = isinstance(unet, (UNet2DModel, UNet2DConditionModel))
    require(theirs, "unet", "a UNet2DModel or UNet2DConditionModel of diffusers", type(unet).__name__)
    require(skip_site in _ATTACH, "skip_site", f"one of {list(_ATTACH)}", skip_site)
    config = read_config({**unet.config, "_class_name": type(unet).__name__})
    factors = skip_factors(skip_scale, config.skips())
    with ExitStack() as hooks:
        for node in config.nodes():
            if node.skip_from is not None and node.skip_from in factors:
                block = unet.get_submodule(node.name)
                hooks.callback(_ATTACH[skip_site](block, node, factors[node.skip_from]).remove)
        yield


def _at_concatenation(block: nn.Module, node: Node, factor: float | Tensor) -> RemovableHandle:
    return block.register_forward_pre_hook(lambda module, inputs: (_scaled(inputs[0], node, factor), *inputs[1:]))


def _at_shortcut(block: nn.Module, node: Node, factor: float | Tensor) -> RemovableHandle:
    return _at_concatenation(block.get_submodule("conv_shortcut"), node, factor)


def _at_norm(block: nn.Module, node: Node, factor: float | Tensor) -> RemovableHandle:
    return block.get_submodule("norm1").register_forward_hook(
        lambda module, inputs, output: _scaled(output, node, factor)
    )


def _scaled(x: Tensor, node: Node, factor: float | Tensor) -> Tensor:
    """[u, rho d]."""
    return x * over_channels(factor, node.in_channels, x[:, node.in_channels :])


_ATTACH = {"concat": _at_concatenation, "residual": _at_shortcut, "norm": _at_norm}
