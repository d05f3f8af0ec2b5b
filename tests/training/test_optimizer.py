import pytest
import torch
from torch import nn

from unetdiff.training.config import OptimizerConfig
from unetdiff.training.optimizer import build_optimizer, learning_rate, optimizer_tensors


def test_warm_up_is_a_line_through_the_origin_that_ends_at_the_full_rate():
    config = OptimizerConfig(lr=2.0, warmup_steps=4)
    assert [learning_rate(config, step, 100) for step in range(6)] == [0.5, 1.0, 1.5, 2.0, 2.0, 2.0]


@pytest.mark.parametrize(
    ("decay", "quarter", "half"), [("none", 1.0, 1.0), ("linear", 0.75, 0.5), ("cosine", (1 + 0.5**0.5) / 2, 0.5)]
)
def test_decay_starts_after_warm_up_and_reaches_zero_at_the_end(decay, quarter, half):
    config = OptimizerConfig(lr=1.0, warmup_steps=20, decay=decay)
    steps = 100
    assert learning_rate(config, 20, steps) == 1.0
    assert learning_rate(config, 40, steps) == pytest.approx(quarter, rel=1e-12)
    assert learning_rate(config, 60, steps) == pytest.approx(half, rel=1e-12)
    if decay != "none":
        assert 0 < learning_rate(config, 99, steps) < 0.02
        assert learning_rate(config, 100, steps) == pytest.approx(0, abs=1e-12)


def test_weight_decay_shrinks_matrices_and_leaves_vectors():
    model = nn.Linear(4, 4)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimizer = build_optimizer(OptimizerConfig(kind="adamw", lr=0.1, weight_decay=0.5), model.named_parameters())
    model(torch.zeros(1, 4)).sum().mul(0).backward()  # no gradient: what moves is decay
    optimizer.step()
    torch.testing.assert_close(model.weight.detach(), before["weight"] * (1 - 0.1 * 0.5), rtol=1e-6, atol=0)
    assert torch.equal(model.bias, before["bias"])


@pytest.mark.parametrize(("kind", "reference"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)])
def test_moments_that_exist_from_the_start_change_nothing(kind, reference):
    config = OptimizerConfig(kind=kind, lr=1e-2, weight_decay=0.0)
    models = [nn.Linear(5, 3) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    optimizers = [
        build_optimizer(config, models[0].named_parameters()),
        reference(models[1].parameters(), lr=1e-2, weight_decay=0.0, fused=True),
    ]
    for model, optimizer in zip(models, optimizers, strict=True):
        for step in range(3):
            optimizer.zero_grad()
            model(torch.full((2, 5), 1.0 + step)).square().sum().backward()
            optimizer.step()
    assert torch.equal(models[0].weight, models[1].weight)


def test_the_memory_is_named_after_the_parameters():
    names = set(optimizer_tensors(build_optimizer(OptimizerConfig(), nn.Linear(2, 2).named_parameters())))
    expected = {f"{name}:{key}" for name in ("weight", "bias") for key in ("step", "exp_avg", "exp_avg_sq")}
    assert names == expected
