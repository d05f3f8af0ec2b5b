"""Training of a network: the rows it sees, its rates, the epoch that it keeps."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from unetdiff.errors import InputError
from unetdiff.probes.fitting import Course, Group, Training, accuracy_on, fit_network, seeded

ROWS = np.arange(10)
NONE = np.arange(0)


class Points:
    """A number for each row, and which of two classes it has; remembers what was read."""

    def __init__(self):
        self.values = torch.linspace(-1, 1, 10)[:, None]
        self.read = []

    def batch(self, rows, epoch):
        self.read.append((epoch, rows.tolist()))
        return self.values[rows], (self.values[rows, 0] > 0.3).long()


def network(seed=0):
    with seeded(seed):
        return nn.Linear(1, 2)


def test_an_epoch_reads_every_row_once_and_leaves_over_what_makes_no_batch():
    points = Points()
    fit_network(network(), points, Training(batch=3, epochs=4, least_steps=1), kept=ROWS, held_out=NONE)
    for epoch in range(1, 5):
        batches = [rows for number, rows in points.read if number == epoch]
        assert [len(rows) for rows in batches] == [3, 3, 3]
        assert len({row for rows in batches for row in rows}) == 9
    assert [rows for epoch, rows in points.read if epoch == 1] != [rows for epoch, rows in points.read if epoch == 2]


def test_fewer_rows_than_a_batch_are_one_and_few_steps_mean_more_epochs():
    points = Points()
    fit_network(network(), points, Training(batch=64, epochs=2, least_steps=5), kept=ROWS, held_out=NONE)
    assert points.read == [(epoch, list(range(10))) for epoch in range(1, 6)]


def test_training_reads_no_held_out_row_and_keeps_the_first_best_epoch():
    points, states = Points(), []

    class Watched(nn.Linear):
        def eval(self):  # called behind every epoch
            states.append({name: tensor.clone() for name, tensor in self.state_dict().items()})
            return super().eval()

    model = Watched(1, 2)
    model.weight.data, model.bias.data = torch.tensor([[1.0], [-1.0]]), torch.zeros(2)  # the wrong way round
    kept, held_out = ROWS[::2], ROWS[1::8]  # these are told early, and then always
    training = Training(batch=5, epochs=6, least_steps=1, learning_rate=0.7)
    course = fit_network(model, points, training, kept=kept, held_out=held_out)
    assert all(set(rows) <= set(kept if epoch else held_out) for epoch, rows in points.read)
    kept_state, validation = model.state_dict(), []
    for state in states[:6]:
        other = nn.Linear(1, 2)
        other.load_state_dict(state)
        validation.append(accuracy_on(other, points, held_out, batch=2))
    assert len(set(validation)) > 1
    assert (course.epoch, course.validation) == (validation.index(max(validation)) + 1, max(validation))
    assert validation.count(max(validation)) > 1  # so that the first is a choice
    assert all(torch.equal(kept_state[name], tensor) for name, tensor in states[course.epoch - 1].items())
    assert not model.training


def test_the_learning_rate_is_a_cosine_and_that_of_a_group_its_share():
    """SGD without decay on a constant gradient: the steps are the rates."""

    class Slope(nn.Module):
        def __init__(self):
            super().__init__()
            self.fast, self.slow = (nn.Parameter(torch.zeros(())) for _ in range(2))
            self.places = []

        def forward(self, x):
            self.places.append((self.fast.item(), self.slow.item()))
            shift = self.fast + self.slow
            return torch.stack([shift.expand(len(x)) - shift.detach(), torch.zeros(len(x))], dim=1)

    slope = Slope()
    training = Training(optimizer="sgd", weight_decay=0, learning_rate=0.5, batch=10, epochs=4, least_steps=1)
    groups = [Group([slope.fast], 1.0), Group([slope.slow], 0.1)]
    fit_network(slope, Points(), training, kept=ROWS, held_out=NONE, groups=groups)
    fast, slow = np.diff([*slope.places, (slope.fast.item(), slope.slow.item())], axis=0).T
    cosine = [(1 + math.cos(math.pi * step / 4)) / 2 for step in range(4)]
    np.testing.assert_allclose(fast / fast[0], cosine, atol=1e-5)
    np.testing.assert_allclose(slow, 0.1 * fast, atol=1e-7)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_the_same_training_gives_the_same_weights_and_another_seed_others(optimizer):
    def trained(seed):
        model = nn.Sequential(network(), nn.Dropout(0.5))
        training = Training(optimizer=optimizer, batch=4, epochs=3, least_steps=1, seed=seed, learning_rate=0.1)
        fit_network(model, Points(), training, kept=ROWS, held_out=NONE)
        torch.rand(3)  # what others draw changes nothing
        return model[0].weight

    first = trained(0)
    assert torch.equal(trained(0), first)
    assert not torch.equal(trained(1), first)


def test_nothing_is_drawn_from_the_generator_of_others():
    state = torch.get_rng_state()
    fit_network(network(), Points(), Training(epochs=1, least_steps=1), kept=ROWS, held_out=ROWS)
    assert torch.equal(torch.get_rng_state(), state)


def test_without_held_out_rows_the_last_epoch_is_kept():
    course = fit_network(network(), Points(), Training(epochs=3, least_steps=1), kept=ROWS, held_out=NONE)
    assert course == Course(epoch=3, validation=None)


def test_a_loss_that_is_not_finite_is_refused():
    points = Points()
    points.values = points.values * 1e30
    with pytest.raises(InputError, match=r"learning_rate: one with a finite loss expected, got .* in epoch 2 at"):
        fit_network(
            network(), points, Training(optimizer="sgd", learning_rate=1e30, least_steps=1), kept=ROWS, held_out=NONE
        )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer": "adam"}, "optimizer: expected adamw or sgd, got 'adam'"),
        ({"learning_rate": 0}, "learning_rate: expected more than 0"),
        ({"weight_decay": -1}, "weight_decay: expected at least 0"),
        ({"batch": 1}, "batch: expected at least 2 rows"),
        ({"epochs": 0}, "epochs: expected at least 1"),
        ({"least_steps": 0}, "least_steps: expected at least 1"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Training(**settings)
