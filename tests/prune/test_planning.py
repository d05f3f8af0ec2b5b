"""Plans: what is asked for holds, and what they say can be read and carried out again."""

import json
from dataclasses import replace

import pytest

from unetdiff.denoiser import Denoiser
from unetdiff.errors import InputError
from unetdiff.preconditioning import EDM
from unetdiff.prune.parts import parts_of
from unetdiff.prune.plan import Plan, architecture_hash
from unetdiff.prune.planning import PlanConfig, make_plan
from unetdiff.prune.savings import Probe
from unetdiff.prune.width import narrow, units

MID = "mid_block.attentions.0"


def planned(denoiser, calibration, **options):
    return make_plan(denoiser, calibration, PlanConfig(**{"criterion": "magnitude", **options}))


@pytest.mark.parametrize(
    ("select", "budget", "keep"),
    [
        ("knapsack", "parameters", 0.6),
        ("greedy", "parameters", 0.6),
        ("random", "macs", 0.8),
        ("knapsack", "macs", 0.8),
    ],
)
def test_budgets_are_kept(denoiser, calibration, select, budget, keep):
    plan = planned(denoiser, calibration, select=select, budget=budget, keep=keep)
    probe = Probe(config=denoiser.unet.config, size=(8, 8), context_tokens=4)
    whole, left = (getattr(probe.total(removed), budget) for removed in ({}, plan.removed))
    assert plan.budget.total == whole
    assert 0.4 * keep * whole < left <= keep * whole
    assert plan.apply(denoiser.unet).config.removed == plan.removed


@pytest.mark.parametrize("granularity", ["nodes", "blocks", "layers"])
def test_a_narrowed_network_can_be_pruned(denoiser, calibration, granularity):
    """The widths of what goes go with it; savings are the differences of whole networks."""
    halves = {
        name: range(part.units // 2) for name, part in units.parts(denoiser.unet.config).items() if part.units > 1
    }
    narrower = Denoiser(narrow(denoiser.unet, halves), denoiser.preconditioning)
    plan = planned(narrower, calibration, keep=0.5, parts=granularity)
    pruned = plan.apply(narrower.unet)
    assert 0 < len(pruned.config.widths) < len(narrower.unet.config.widths)
    left = Probe(config=narrower.unet.config, size=(8, 8), context_tokens=4).total(plan.removed).parameters
    assert left == pruned.num_parameters() <= 0.5 * narrower.unet.num_parameters()
    x, condition = calibration.x[:1], {name: value[:1] for name, value in calibration.condition.items()}
    assert Denoiser(pruned, EDM())(x, 1.0, **condition).isfinite().all()


def test_the_knapsacks_sum_is_the_least(denoiser, calibration):
    plans = {name: planned(denoiser, calibration, select=name, keep=0.7) for name in ("knapsack", "greedy", "random")}
    whole = {part.name: part for part in parts_of(denoiser.unet)}
    sums = {select: sum(plan.scores[name] for name in whole if name in plan.removed) for select, plan in plans.items()}
    assert sums["knapsack"] <= min(sums.values())


def test_measured_time_can_be_the_budget(denoiser, calibration):
    plan = planned(denoiser, calibration, budget="latency", keep=0.9)
    assert plan.removed
    assert plan.budget.total > 0


def test_all_that_is_not_protected_goes_at_the_smallest_budget(denoiser, calibration):
    with pytest.raises(InputError, match=r"keep: (0\.\d+) or more of the parameters expected, .*, got 0.01") as refused:
        planned(denoiser, calibration, keep=0.01, parts="blocks")
    smallest = float(str(refused.value).split()[1])
    plan = planned(denoiser, calibration, keep=smallest, parts="blocks")
    nodes = {node.name for node in denoiser.unet.nodes if node.kind in ("resnet", "attention", "transformer")}
    assert set(plan.removed) == nodes
    with pytest.raises(InputError, match="keep"):
        planned(denoiser, calibration, keep=smallest - 1e-3, parts="blocks")


def test_protected_parts_stay_and_forced_ones_go(denoiser, calibration):
    plan = planned(
        denoiser,
        calibration,
        keep=0.6,
        protect=("up_blocks", "conv_in"),
        force=("down_blocks.*.attentions.0", "mid_block"),
    )
    assert not any(name.startswith("up_blocks") for name in plan.removed)
    assert {"down_blocks.0.attentions.0", MID, "mid_block.resnets.0", "mid_block.resnets.1"} <= set(plan.removed)


def test_what_is_kept_whole_loses_what_is_forced(denoiser, calibration):
    plan = planned(denoiser, calibration, keep=1.0, force=(f"{MID}.transformer_blocks.1",))
    assert plan.removed == {f"{MID}.transformer_blocks.1": "identity"}
    assert planned(denoiser, calibration, keep=1.0).removed == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"protect": ("nothing",)}, "protect: expected a pattern of names in the network, got nothing"),
        ({"force": ("conv_in",)}, "force: expected a pattern of names in the network, got conv_in"),
        ({"protect": ("mid_block",), "force": ("mid_block.resnets.0",)}, "force: parts that are not protected"),
        ({"keep": 0.0}, "keep: expected a share above 0, at most 1, got 0.0"),
        ({"keep": 1.5}, "keep: expected a share above 0, at most 1, got 1.5"),
        ({"criterion": "luck"}, "criterion: expected one of .*'output-loss'.*, got 'luck'"),
    ],
)
def test_refusals(denoiser, calibration, options, message):
    with pytest.raises(ValueError, match=message):
        planned(denoiser, calibration, **options)


@pytest.fixture
def plan(denoiser, calibration):
    return planned(denoiser, calibration, keep=0.7)


def test_a_plan_is_read_as_it_was_written(plan, calibration, tmp_path):
    plan.write(tmp_path / "plan.json")
    assert Plan.read(tmp_path / "plan.json") == plan
    assert plan.calibration == calibration.sha256
    assert plan.settings["keep"] == 0.7


def test_the_size_of_images_is_not_architecture(denoiser):
    config = denoiser.unet.config
    assert architecture_hash(replace(config, sample_size=8)) == architecture_hash(config)
    assert architecture_hash(replace(config, num_classes=3)) != architecture_hash(config)


def test_another_network_is_refused(plan, denoiser):
    pruned = plan.apply(denoiser.unet)
    with pytest.raises(InputError, match="plan: a network of the architecture .* expected, .*, got one of"):
        plan.apply(pruned)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"removed": {"mid_block.resnets.0": "halved"}}, r"removed\.mid_block\.resnets\.0: expected one of"),
        ({"budget": {"unit": "parameters", "keep": 2.0, "total": 5}}, "keep: expected a share above 0"),
        ({"more": 1}, r"expected fields among .*, got \['more'\]"),
    ],
)
def test_damaged_plans_are_refused(plan, tmp_path, change, message):
    file = tmp_path / "plan.json"
    plan.write(file)
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(InputError, match=message):
        Plan.read(file)


def test_a_plan_of_parts_that_there_are_not_is_refused(plan, denoiser):
    with pytest.raises(InputError, match="plan: removed: expected names of parts .*, got 'conv_out'"):
        replace(plan, removed={"conv_out": "identity"}).apply(denoiser.unet)
