"""Going on from in front of a node, with other modules in its place."""

import pytest
import torch
from torch import nn

from benchmarks.layouts import LAYOUTS, build, inputs
from unetdiff.diffusers_config import read_config
from unetdiff.unet import UNet
from unetdiff.walk import SkipCache

KINDS = ("Stable Diffusion 1.5", "ADM without a norm before the middle's attention", "SDXL base")


class Doubled(nn.Module):
    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, *arguments, **options):
        return 2 * self.module(*arguments, **options)


@pytest.fixture(params=KINDS)
def network(request):
    kind, fields = LAYOUTS[request.param]
    unet = UNet(read_config({"_class_name": kind, **fields})).eval().requires_grad_(False)
    unet.load_state_dict(build(request.param).state_dict())
    return unet, inputs(request.param, size=(14, 16))


def test_the_nodes_own_modules_give_the_output_and_the_call_goes_on_unchanged(network):
    unet, values = network
    plain = unet(**values, capture=[node.name for node in unet.nodes])
    visited, outputs, features = [], [], []

    def fork(at):
        visited.append(at.node)
        outputs.append(at.output(unet.get_submodule(at.node.name)))
        features.append(at.feature(unet.get_submodule(at.node.name)))

    forked = unet(**values, fork=fork, capture=list(plain.features))
    assert tuple(visited) == unet.nodes
    assert all(torch.equal(output, plain.sample) for output in (forked.sample, *outputs))
    assert all(torch.equal(a, b) for a, b in zip(features, plain.features.values(), strict=True))
    assert all(torch.equal(forked.features[name], feature) for name, feature in plain.features.items())


def test_another_module_changes_what_is_behind_it(network):
    unet, values = network
    names = ["conv_in", "conv_out", "conv_norm_out"]
    outputs = {}

    def fork(at):
        if at.node.name in names:
            outputs[at.node.name] = at.output(Doubled(unet.get_submodule(at.node.name)))

    plain = unet(**values, fork=fork).sample
    for name in names:
        hook = unet.get_submodule(name).register_forward_hook(lambda module, args, output: 2 * output)
        expected = unet(**values).sample
        hook.remove()
        assert torch.equal(outputs[name], expected)
        assert not torch.equal(expected, plain)


def test_edits_reach_forks_and_residuals_of_a_control_network_too(network):
    unet, values = network
    edits = {unet.nodes[-2].name: lambda x: x + 1, unet.nodes[0].name: lambda x: x / 2}
    added = {"mid_block_additional_residual": torch.ones(1)}
    outputs = []
    plain = unet(
        **values, **added, replace=edits, fork=lambda at: outputs.append(at.output(unet.get_submodule(at.node.name)))
    )
    assert all(torch.equal(output, plain.sample) for output in outputs)


@pytest.mark.parametrize(
    ("other", "name"),
    [({"stop": True, "capture": ["conv_in"]}, "stop"), ({"skip_cache": SkipCache(skip="conv_in")}, "skip_cache")],
)
def test_all_nodes_have_to_run(network, other, name):
    unet, values = network
    with pytest.raises(ValueError, match=f"fork: expected no {name} beside it, got one"):
        unet(**values, **other, fork=lambda at: None)
