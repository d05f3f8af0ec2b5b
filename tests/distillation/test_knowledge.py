"""What a student is trained on: its terms, who has the gradient, and where it vanishes."""

import pytest
import torch

from unetdiff.denoiser import Denoiser
from unetdiff.distillation import KnowledgeDistillation, PlainFeatures
from unetdiff.losses import denoising_loss


@pytest.fixture
def build(student, teacher, objective):
    """Give a function that makes the loss."""

    def make(denoiser=student, **settings):
        return KnowledgeDistillation(teacher="", **settings).loss(denoiser, objective, teacher, teacher)

    return make


def test_the_terms_sum_up_to_the_loss(build, batch):
    loss = build(task=0.5, output=2.0, features=0.1)
    losses = loss(**batch)
    assert losses.shape == (4,)
    names = list(loss.terms)
    assert names[:3] == ["task", "output", "features.conv_in"]
    assert "features.mid_block.attentions.0" not in names
    assert sum(loss.terms.values()).item() == pytest.approx(losses.mean().item(), rel=1e-6)
    assert not any(term.requires_grad for term in loss.terms.values())


def test_weights_are_factors(build, batch):
    once, other = build(), build(task=3.0, output=0.25, features=0.5)
    once(**batch), other(**batch)
    for name, term in once.terms.items():
        factor = {"task": 3.0, "output": 0.25}.get(name, 0.5)
        torch.testing.assert_close(other.terms[name], factor * term)


def test_the_task_alone_is_the_denoising_loss(build, batch, student, objective):
    losses = build(output=0.0, features=0.0)(**batch)
    assert torch.equal(losses, denoising_loss(student, objective, **batch))


def test_a_student_that_is_its_teacher_has_nothing_to_learn_from_it(build, batch, network, objective):
    loss = build(Denoiser(network, objective.preconditioning), task=0.0, feature_loss=PlainFeatures())
    assert torch.equal(loss(**batch), torch.zeros(4))
    assert all(term == 0 for term in loss.terms.values())


def test_the_output_term_is_the_error_of_the_network_itself(build, batch, student, teacher, objective):
    """(F_S - F_T)^2 = (D_S - D_T)^2 / c_out^2, since c_skip x is the same."""
    loss = build(task=0.0, features=0.0)(**batch)
    x = batch["images"] + batch["sigma"].reshape(-1, 1, 1, 1) * batch["noise"]
    condition = {"class_labels": batch["class_labels"]}
    error = student(x, batch["sigma"], **condition) - teacher(x, batch["sigma"], **condition)
    c_out = objective.preconditioning.c_out(batch["sigma"])
    expected = error.square().mean((1, 2, 3)) / c_out**2
    torch.testing.assert_close(loss, expected, rtol=1e-3, atol=0)


def test_gradients_reach_the_student_alone(build, batch, network):
    loss = build()
    assert {id(parameter) for parameter in loss.parameters()}.isdisjoint(map(id, network.parameters()))
    loss(**batch).mean().backward()
    assert all(parameter.grad is not None for parameter in loss.parameters())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not network.training


@pytest.mark.parametrize("settings", [{"task": 0.0, "features": 0.0}, {"task": 0.0, "output": 1e-9}])
def test_each_term_trains_by_itself(build, batch, settings):
    loss = build(**settings)
    loss(**batch).mean().backward()
    assert loss.denoiser.unet.get_parameter("down_blocks.1.resnets.0.conv1.weight").grad.abs().max() > 0


def test_dropped_conditions_are_dropped_for_both(build, batch, network, objective):
    """With the same weights and the same labels nothing differs, whatever the labels are."""
    loss = build(Denoiser(network, objective.preconditioning), task=0.0)
    for labels in ([-1] * 4, [0, 1, 2, -1]):
        assert torch.equal(loss(**{**batch, "class_labels": torch.tensor(labels)}), torch.zeros(4))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"task": -1.0}, "distill.task: expected 0 or more, got -1.0"),
        ({"task": 0.0, "output": 0.0}, "distill.output: expected above 0 where task is 0"),
    ],
)
def test_bad_weights_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        KnowledgeDistillation(teacher="", **settings)
