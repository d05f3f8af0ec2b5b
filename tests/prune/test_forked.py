"""One pass gives what as many pruned networks as there are parts give, and computes no prefix twice."""

from collections import Counter
from dataclasses import replace

import pytest
import torch

from unetdiff.denoiser import Denoiser
from unetdiff.prune import prune
from unetdiff.prune.forked import outputs_without
from unetdiff.prune.parts import parts_of
from unetdiff.prune.scores import CRITERIA


@pytest.mark.parametrize(("granularity", "zero"), [("nodes", True), ("blocks", False), ("layers", False)])
def test_the_outputs_are_those_of_the_pruned_networks_to_the_bit(denoiser, calibration, granularity, zero):
    parts = parts_of(denoiser.unet, granularity, zero)
    whole, without = outputs_without(denoiser, parts, calibration)
    condition = calibration.condition
    assert torch.equal(whole, denoiser.output(calibration.x, calibration.sigma, **condition))
    assert list(without) == [part.name for part in parts]
    for part in parts[::3]:
        pruned = Denoiser(prune(denoiser.unet, {part.name: part.way}), denoiser.preconditioning)
        expected = pruned.output(calibration.x, calibration.sigma, **condition)
        assert torch.equal(without[part.name], expected), part.name
        assert not torch.equal(expected, whole), part.name


def test_each_node_runs_once_and_once_for_each_part_before_it(denoiser, calibration):
    unet, runs = denoiser.unet, Counter()
    parts = parts_of(unet, "layers")
    for node in unet.nodes:
        unet.get_submodule(node.name).register_forward_hook(lambda *_, name=node.name: runs.update([name]))
    outputs_without(denoiser, parts, calibration)
    order = [node.name for node in unet.nodes]
    for index, name in enumerate(order):
        assert runs[name] == 1 + sum(order.index(part.node) < index for part in parts), name


@pytest.mark.parametrize("criterion", CRITERIA)
def test_scores_do_not_depend_on_the_batches(denoiser, calibration, criterion):
    denoiser.double()
    tokens = calibration.condition["encoder_hidden_states"].double()
    images, noise = calibration.images.double(), calibration.noise.double()
    batches = replace(calibration, images=images, noise=noise, condition={"encoder_hidden_states": tokens})
    score, parts = CRITERIA[criterion].make(), parts_of(denoiser.unet)
    batched = score(denoiser, parts, batches)
    at_once = score(denoiser, parts, replace(batches, batch_size=len(batches)))
    assert batched == pytest.approx(at_once, rel=1e-6, abs=1e-9 * max(at_once.values()))
    assert min(batched.values()) >= 0
    assert max(batched.values()) > 0
