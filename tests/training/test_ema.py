import torch
from torch import nn

from unetdiff.training.ema import EMA


def test_the_average_follows_a_constant_in_closed_form():
    model = nn.Linear(3, 2).double()
    start = model.weight.detach().clone()
    ema = EMA(model, decay=0.5)
    nn.init.constant_(model.weight, 7.0)
    for t in range(12):
        ema.update(model, t)
    # The factors are 1/10, 2/11, 3/12, ... until they reach the decay at t = 8: (1 + 8) / (10 + 8) = 1/2.
    factor = torch.tensor([(1 + t) / (10 + t) for t in range(8)] + [0.5] * 4, dtype=torch.float64).prod()
    torch.testing.assert_close(ema.model.weight, 7 + factor * (start - 7), rtol=1e-14, atol=0)


def test_it_starts_as_the_model_and_never_touches_it():
    model = nn.Linear(3, 2)
    ema = EMA(model, decay=0.9)
    assert torch.equal(ema.model.weight, model.weight)
    before = model.weight.detach().clone()
    ema.update(model, 0)
    ema.model.weight.add_(1)
    assert torch.equal(model.weight, before)


def test_the_average_neither_trains_nor_drops_out():
    ema = EMA(nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5)).train(), decay=0.9)
    assert not ema.model.training
    assert not any(parameter.requires_grad for parameter in ema.model.parameters())
