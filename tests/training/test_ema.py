"""Averages of the weights in closed form, in a run, and across a stop; the snapshots that a run stores of them."""

import errno
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from unetdiff.errors import InputError
from unetdiff.training import checkpoint
from unetdiff.training.averages import AveragedWeights, HalfLifeEMA, InversePowerEMA, PowerEMA, WarmupEMA, snapshots
from unetdiff.training.averages.power import exponent
from unetdiff.training.averages.snapshots import add_snapshots, find_snapshots, rewind
from unetdiff.training.loop import Trainer

EVERY_EMA = [
    WarmupEMA(decay=0.5),
    InversePowerEMA(decay=0.9, power=0.75),
    HalfLifeEMA(half_life=3, rampup=0.5),
    PowerEMA(widths=(0.05, 0.10, 0.2), model_width=0.2),
]
every_ema = pytest.mark.parametrize("ema", EVERY_EMA, ids=lambda ema: type(ema).__name__)


def average(ema, trajectory):
    """Averages, by name, of a scalar weight that takes the values of `trajectory` after a start at -1000."""
    model = nn.Linear(1, 1, bias=False).double()
    nn.init.constant_(model.weight, -1000.0)
    averages = AveragedWeights(model, ema)
    for t, value in enumerate(trajectory):
        nn.init.constant_(model.weight, value)
        averages.update(model, t)
    return {name: one.weight.item() for name, one in averages.models.items()}


class TestClosedForms:
    def test_the_warm_up_follows_a_constant(self):
        # The factors are 1/10, 2/11, 3/12, ... until they reach the decay at t = 8: (1 + 8) / (10 + 8) = 1/2.
        factor = torch.tensor([(1 + t) / (10 + t) for t in range(8)] + [0.5] * 4, dtype=torch.float64).prod().item()
        averages = average(WarmupEMA(decay=0.5), [7.0] * 12)
        assert averages == {"ema": pytest.approx(7 + factor * (-1000 - 7), rel=1e-14)}

    def test_inverse_power_1_is_the_plain_mean_until_the_decay_is_reached(self):
        values = torch.randn(10, dtype=torch.float64)
        ema = InversePowerEMA(decay=0.9, power=1.0)  # 1 - 1 / (1 + t) is 0.9 at t = 9, the tenth update
        assert average(ema, values.tolist())["ema"] == pytest.approx(values.mean().item(), rel=1e-13)
        assert ema.decays(9) == pytest.approx((0.9,), rel=1e-15)
        assert ema.decays(50) == (0.9,)

    def test_the_half_life_halves_the_distance_and_ramps_up(self):
        ema = HalfLifeEMA(half_life=4, rampup=0.5)
        assert [ema.decays(t)[0] for t in (0, 1, 2, 4, 8, 100)] == pytest.approx(
            [0, 2**-2, 2**-1, 2**-0.5, 2**-0.25, 2**-0.25], rel=1e-15
        )
        ends = [average(ema, [0.0] * 10 + [1.0] * n)["ema"] for n in (4, 8)]
        assert ends == pytest.approx([1 / 2, 3 / 4], rel=1e-13)

    @pytest.mark.parametrize("width", [0.05, 0.10, 0.25])
    @pytest.mark.parametrize("steps", [1, 2, 100])
    def test_the_power_function_average_of_a_ramp(self, width, steps):
        # Shares (i^p - (i - 1)^p) / T^p with p = gamma + 1; by parts, the mean of i is T - sum_{i<T} (i / T)^p.
        expected = steps - sum((i / steps) ** (exponent(width) + 1) for i in range(1, steps))
        averages = average(PowerEMA(widths=(width,)), range(1, steps + 1))
        assert averages == {f"ema-{width:g}": pytest.approx(expected, rel=1e-13)}

    def test_gamma_1_weighs_a_ramp_linearly(self):
        width, T = 18**-0.5, 30  # sigma_rel^2 = 2 / (3^2 4); the shares are (2 i - 1) / T^2
        (value,) = average(PowerEMA(widths=(width,)), range(1, T + 1)).values()
        assert value == pytest.approx((T + 1) * (4 * T - 1) / (6 * T), rel=1e-13)

    @pytest.mark.parametrize("width", [0.01, 0.05, 0.10, 0.2, 0.288])
    def test_the_exponent_has_the_width(self, width):
        gamma = exponent(width)
        assert ((gamma + 1) / ((gamma + 2) ** 2 * (gamma + 3))) ** 0.5 == pytest.approx(width, rel=1e-12)
        assert gamma > 0

    def test_the_exponents_of_the_paper(self):
        assert [exponent(0.05), exponent(0.10)] == pytest.approx([16.97, 6.94], abs=0.005)

    def test_the_width_is_the_standard_deviation_of_the_shares(self):
        steps = torch.arange(2001, dtype=torch.float64) / 2000
        share = (steps ** (exponent(0.1) + 1)).diff()
        mean = (share * steps[1:]).sum()
        assert (share * (steps[1:] - mean) ** 2).sum().sqrt().item() == pytest.approx(0.1, rel=1e-4)


@every_ema
class TestEveryEMA:
    def test_weights_that_do_not_change_stay(self, ema):
        model = nn.Linear(3, 2)
        averages = AveragedWeights(model, ema)
        for t in range(20):
            averages.update(model, t)
        for one in averages.models.values():
            assert torch.equal(one.weight, model.weight)

    def test_the_average_never_touches_the_model(self, ema):
        model = nn.Linear(3, 2)
        before = model.weight.detach().clone()
        averages = AveragedWeights(model, ema)
        averages.update(model, 0)
        for one in averages.models.values():
            one.weight.add_(1)
        assert torch.equal(model.weight, before)

    def test_the_average_neither_trains_nor_drops_out(self, ema):
        averages = AveragedWeights(nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5)).train(), ema)
        for one in averages.models.values():
            assert not one.training
            assert not any(parameter.requires_grad for parameter in one.parameters())

    def test_going_on_from_a_checkpoint_is_exact(self, ema, small_run, data):
        config = small_run(ema=ema, steps=3)
        whole = Trainer(config, data)
        batches = whole._batches()
        for _ in range(2):
            whole.optimizer_step(batches)
        path = checkpoint.save(whole.folder.checkpoints, whole.state, whole.identity)
        whole.optimizer_step(batches)
        resumed = Trainer(config, data, starts=[path])
        resumed.optimizer_step(resumed._batches())
        for name in ema.names:
            expected = whole.state.ema.models[name].state_dict()
            for key, tensor in resumed.state.ema.models[name].state_dict().items():
                assert torch.equal(tensor, expected[key]), f"{name} {key}"
        assert not torch.equal(whole.state.ema.model.conv_in.weight, whole.state.unet.conv_in.weight)


@pytest.mark.parametrize("parts", [1, 2])
def test_there_is_one_update_for_each_optimiser_step(small_run, data, parts):
    trainer = Trainer(small_run(accumulation=parts, ema=InversePowerEMA(power=1.0)), data)
    batches, weights = trainer._batches(), []
    for _ in range(4):
        trainer.optimizer_step(batches)
        weights.append(trainer.state.unet.conv_in.weight.detach().double())
    mean = torch.stack(weights).mean(dim=0)
    torch.testing.assert_close(trainer.state.ema.model.conv_in.weight.double(), mean, rtol=0, atol=1e-7)


def test_the_first_width_is_the_model_unless_another_is_chosen():
    model = nn.Linear(1, 1)
    for model_width, name in ((None, "ema-0.05"), (0.05, "ema-0.05"), (0.1, "ema-0.1")):
        averages = AveragedWeights(model, PowerEMA(model_width=model_width))
        assert averages.model is averages.models[name]


@pytest.mark.parametrize(
    ("kind", "fields", "words"),
    [
        (WarmupEMA, {"decay": 1.0}, "ema.decay: expected a number in"),
        (InversePowerEMA, {"decay": -0.1}, "ema.decay: expected a number in"),
        (InversePowerEMA, {"power": 0.0}, "ema.power: expected a positive number"),
        (HalfLifeEMA, {"half_life": 0.0}, "ema.half_life: expected a positive number"),
        (HalfLifeEMA, {"rampup": 0.0}, "ema.rampup: expected a positive number"),
        (PowerEMA, {"widths": ()}, "ema.widths: expected one or more different numbers"),
        (PowerEMA, {"widths": (0.1, 0.1)}, "ema.widths: expected one or more different numbers"),
        (PowerEMA, {"widths": (0.1, 0.29)}, "ema.widths: expected a width above 0 and below 0.2887, got 0.29"),
        (PowerEMA, {"widths": (0.0,)}, "ema.widths: expected a width above 0"),
        (PowerEMA, {"model_width": 0.07}, "ema.model_width: expected one of the widths"),
        (PowerEMA, {"snapshot_every": -1}, "ema.snapshot_every: expected 0 or more"),
    ],
)
def test_bad_fields_are_named(kind, fields, words):
    with pytest.raises(ValueError, match=words):
        kind(**fields)


def test_other_widths_cannot_go_on(small_run, data):
    config = small_run(ema=PowerEMA(widths=(0.05,)))
    trainer = Trainer(config, data)
    path = checkpoint.save(trainer.folder.checkpoints, trainer.state, trainer.identity)
    with pytest.raises(InputError, match=r"0\.06"):
        Trainer(replace(config, ema=PowerEMA(widths=(0.06,))), data, starts=[path])


class TestSnapshots:
    @pytest.fixture
    def averages(self):
        return {0.05: nn.Linear(3, 2), 0.1: nn.Linear(3, 2)}

    def test_a_run_stores_every_average_in_half_precision(self, small_run, data):
        trainer = Trainer(small_run(ema=PowerEMA(snapshot_every=2), steps=3), data)
        trainer.fit()
        stored = find_snapshots(trainer.folder.averages)
        assert [(one.step, one.width, one.dtype) for one in stored] == [
            (step, width, "float16") for step in (2, 3) for width in (0.05, 0.1)
        ]
        for one in stored[2:]:
            current = trainer.state.ema.models[f"ema-{one.width:g}"].state_dict()
            tensors = load_file(one.path)
            assert tensors.keys() == current.keys()
            assert all(torch.equal(tensors[key], current[key].half()) for key in current)

    def test_no_snapshots_are_stored_unless_asked_for(self, small_run, data):
        trainer = Trainer(small_run(ema=PowerEMA(), steps=3), data)
        trainer.fit()
        assert not (trainer.folder.averages).exists()

    def test_a_run_that_was_killed_stores_the_same(self, small_run, data):
        config = small_run(ema=PowerEMA(snapshot_every=1), steps=3)
        killed = Trainer(config, data)
        batches = killed._batches()
        for _ in range(3):
            killed.optimizer_step(batches)
            killed._add_snapshots()
            if killed.state.step == 1:
                path = checkpoint.save(killed.folder.checkpoints, killed.state, killed.identity)
        folder = killed.folder.averages
        before = {one.path.name: load_file(one.path) for one in find_snapshots(folder)}
        (folder / ".tmp-1-step-0000004").touch()
        find_snapshots(folder)[-1].path.unlink()
        resumed = Trainer(config, data, starts=[path])
        resumed.fit()
        assert before.keys() == {file.name for file in folder.iterdir()}
        for name, tensors in before.items():
            again = load_file(folder / name)
            assert all(torch.equal(again[key], tensors[key]) for key in tensors), name

    def test_going_back_removes_what_came_later(self, tmp_path, averages):
        for step in (1, 2, 3):
            add_snapshots(tmp_path, averages, step, torch.float32)
        (tmp_path / "step-0000003-width-0.05.safetensors").write_bytes(b"")  # cut off by the disk
        rewind(tmp_path, 2)
        assert [(one.step, one.width) for one in find_snapshots(tmp_path)] == [(1, 0.05), (1, 0.1), (2, 0.05), (2, 0.1)]

    @pytest.mark.parametrize("damage", [lambda content: content[:-9], lambda content: b""])
    def test_a_damaged_file_is_named(self, tmp_path, averages, damage):
        add_snapshots(tmp_path, averages, 7, torch.float32)
        file = tmp_path / "step-0000007-width-0.1.safetensors"
        file.write_bytes(damage(file.read_bytes()))
        with pytest.raises(InputError, match=f"{file}: expected a whole snapshot"):
            find_snapshots(tmp_path)

    def test_a_full_disk_keeps_what_is_there_and_says_so(self, small_run, data, monkeypatch):
        trainer = Trainer(small_run(ema=PowerEMA(snapshot_every=2), steps=3), data)
        save_file = snapshots.save_file

        def full(tensors, path, metadata):
            if metadata["step"] == "3":
                raise OSError(errno.ENOSPC, "No space left on device")
            save_file(tensors, path, metadata)

        monkeypatch.setattr(snapshots, "save_file", full)
        with pytest.raises(
            InputError, match=r"step 3: expected room for snapshots.*No space left.*step-0000002 is intact"
        ):
            trainer.fit()
        assert [one.step for one in find_snapshots(trainer.folder.averages)] == [2, 2]
        assert len(list((trainer.folder.averages).iterdir())) == 2
