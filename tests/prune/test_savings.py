import pytest

from unetdiff.prune import latency, prune
from unetdiff.prune.latency import milliseconds, nanoseconds_saved
from unetdiff.prune.parts import parts_of
from unetdiff.prune.savings import Probe

BLOCK = "mid_block.attentions.0.transformer_blocks.0"


@pytest.mark.parametrize("granularity", ["blocks", "layers"])
def test_savings_are_the_differences_of_whole_networks(unet, granularity):
    probe = Probe(config=unet.config, size=(8, 8), context_tokens=5)
    parts, whole = parts_of(unet, granularity), probe.total({})
    assert whole.parameters == unet.num_parameters()
    savings = probe.savings(parts)
    assert list(savings) == [part.name for part in parts]
    for part in parts[::5]:
        rest = probe.total({part.name: part.way})
        assert savings[part.name].parameters == whole.parameters - rest.parameters
        assert savings[part.name].macs == whole.macs - rest.macs
        assert savings[part.name].parameters == sum(parameter.numel() for parameter in part.gone(unet))


def test_a_pruned_network_saves_what_is_left_of_it(unet):
    pruned = prune(unet, {f"{BLOCK}.ff": "identity", "mid_block.resnets.0": "identity"})
    probe = Probe(config=pruned.config, size=(8, 8))
    assert probe.total({}).parameters == pruned.num_parameters()
    (block,) = (part for part in parts_of(pruned) if part.name == BLOCK)
    expected = prune(pruned, {BLOCK: "identity"}).num_parameters()
    assert probe.savings([block])[BLOCK].parameters == pruned.num_parameters() - expected


def test_time_begins_when_the_device_has_done_all_before(monkeypatch):
    done = []
    monkeypatch.setattr(latency, "_wait_for", lambda device: done.append(device))
    latency._nanoseconds(lambda: done.append("work"), "device")
    assert done == ["device", "work", "device"]


def test_measured_time_is_of_every_part_and_never_negative(denoiser, calibration):
    parts = parts_of(denoiser.unet)
    saved = nanoseconds_saved(denoiser, parts, calibration, rounds=1)
    assert list(saved) == [part.name for part in parts]
    assert min(saved.values()) >= 0
    assert max(saved.values()) > 0
    taken = milliseconds({"one": denoiser, "other": denoiser}, calibration, rounds=1)
    assert list(taken) == ["one", "other"]
    assert min(taken.values()) > 0
