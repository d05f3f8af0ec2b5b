"""The diffusion classifier against Bayes' rule, where classes are Gaussians and their denoisers are exact."""

import math

import pytest
import torch

from unetdiff.evaluation.diffusion_classifier import DiffusionClassifier, Likelihood, Rounds
from unetdiff.losses import EDMObjective

SHAPE = (1, 2, 3)
GENERATOR = torch.Generator().manual_seed(0)
MEANS = torch.randn(4, *SHAPE, generator=GENERATOR)
STDS = torch.tensor([0.5, 0.7, 1.0, 1.4])
IMAGES = MEANS.repeat(10, 1, 1, 1) + STDS.repeat(10).reshape(-1, 1, 1, 1) * torch.randn(40, *SHAPE, generator=GENERATOR)
LEVELS = Likelihood(least=0.01, greatest=100.0)


def exact(x, sigma, class_labels):
    """E[x0 | x] for x0 ~ N(m_c, s_c^2): (s^2 x + sigma^2 m) / (s^2 + sigma^2)."""
    s, sigma = STDS[class_labels].reshape(-1, 1, 1, 1), sigma.reshape(-1, 1, 1, 1)
    return (s**2 * x + sigma**2 * MEANS[class_labels]) / (s**2 + sigma**2)


def log_likelihoods(image):
    """(classes,)"""
    return torch.distributions.Normal(MEANS, STDS.reshape(-1, 1, 1, 1)).log_prob(image).flatten(1).sum(dim=1)


def classifier(draws=(2000,), keep=(1,), levels=LEVELS, denoise=exact, batch_size=4000):
    rounds = Rounds(draws=draws, keep=keep)
    return DiffusionClassifier(denoise=denoise, classes=4, levels=levels, rounds=rounds, batch_size=batch_size)


@pytest.mark.parametrize("index", range(4))
def test_differences_of_losses_are_those_of_log_likelihoods(index):
    losses = classifier(draws=(20_000,))(IMAGES[index], seed=index).losses
    measured = losses * math.prod(SHAPE) * math.log(LEVELS.greatest / LEVELS.least)
    expected = -log_likelihoods(IMAGES[index]).double()
    torch.testing.assert_close(measured - measured[0], expected - expected[0], rtol=0.03, atol=0.1)


@pytest.mark.parametrize(("draws", "keep"), [((2000,), (1,)), ((200, 2000), (2, 1))])
def test_decisions_are_those_of_bayes_rule(draws, keep):
    """Where that is clear by more than the error of as many draws."""
    bayes = torch.stack([log_likelihoods(image) for image in IMAGES])
    best = bayes.topk(2, dim=1).values
    clear = (best[:, 0] - best[:, 1] > 1).nonzero().flatten().tolist()
    assert len(clear) > 20
    assert len(set(bayes.argmax(dim=1)[clear].tolist())) == 4
    measure = classifier(draws, keep)
    assert [measure(IMAGES[i], seed=i).predicted for i in clear] == bayes.argmax(dim=1)[clear].tolist()


def test_the_weight_decides_where_classes_differ_in_spread():
    """EDM's weight is not that of the likelihood, and prefers another class for some images."""
    edm, likelihood = classifier(levels=EDMObjective()), classifier()
    assert any(edm(image, 0).predicted != likelihood(image, 0).predicted for image in IMAGES)


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_losses_do_not_depend_on_the_batch_size(batch_size):
    one = classifier((5, 12), (2, 1), batch_size=4)(IMAGES[0], seed=3)
    other = classifier((5, 12), (2, 1), batch_size=batch_size)(IMAGES[0], seed=3)
    assert torch.equal(one.draws, other.draws)
    torch.testing.assert_close(one.losses, other.losses, rtol=1e-6, atol=0)


def test_losses_depend_on_the_seed():
    few = classifier((5,))
    assert torch.equal(few(IMAGES[0], 3).losses, few(IMAGES[0], 3).losses)
    assert not torch.equal(few(IMAGES[0], 3).losses, few(IMAGES[0], 4).losses)


def test_all_classes_see_the_same_noise_and_later_rounds_go_on_with_it():
    calls = []

    def watched(x, sigma, class_labels):
        calls.append((class_labels, sigma, x))
        return exact(x, sigma, class_labels)

    result = classifier((3, 8), (2, 1), denoise=watched)(IMAGES[0], seed=1)
    (labels, sigmas, x), (late_labels, late_sigmas, late_x) = calls
    assert labels.tolist() == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
    assert all(torch.equal(x[:3], x[start : start + 3]) for start in (3, 6, 9))
    assert len(set(late_labels.tolist())) == 2
    assert len(late_labels) == 2 * 5
    assert result.draws.sort().values.tolist() == [3, 3, 8, 8]
    calls.clear()
    at_once = classifier((8,), (1,), denoise=watched)(IMAGES[0], seed=1)
    torch.testing.assert_close(result.losses[result.draws == 8], at_once.losses[result.draws == 8], rtol=1e-6, atol=0)
    ((_, all_sigmas, all_x),) = calls
    assert torch.equal(all_x[:8], torch.cat([x[:3], late_x[:5]]))
    assert torch.equal(all_sigmas[:8], torch.cat([sigmas[:3], late_sigmas[:5]]))


@pytest.mark.parametrize("draws", [5, 20, 101])
def test_the_first_draws_are_spread_evenly(draws):
    levels = Likelihood(least=math.exp(-1), greatest=1.0)
    seen = []

    def watched(x, sigma, class_labels):
        seen.append(1 + sigma.log())  # the quantiles
        return x

    classifier((draws,), levels=levels, denoise=watched)(IMAGES[0], seed=0)
    u = torch.cat(seen)[:draws].sort().values
    gaps = torch.cat([u, u[:1] + 1]).diff()
    assert gaps.max() < 2 / draws
    assert gaps.min() > 0.5 / draws


def test_a_class_that_was_eliminated_early_does_not_win_by_a_lucky_loss():
    """Its few draws may have been at noise levels of small losses."""

    def denoise(x, sigma, class_labels):
        late = sigma.reshape(-1, 1, 1, 1) != LEVELS.sigma(torch.tensor(0.5)).float()
        return IMAGES[0] + (0.1 * (class_labels + 1)).reshape(-1, 1, 1, 1) + 100.0 * late

    assert classifier((1, 3), (2, 1), denoise=denoise)(IMAGES[0], seed=0).predicted == 0


@pytest.mark.parametrize(
    ("draws", "keep", "message"),
    [
        ((20, 100), (1,), "keep: expected one number for each of draws"),
        ((20, 20), (2, 1), "draws: expected rising positive numbers"),
        ((0, 20), (2, 1), "draws: expected rising positive numbers"),
        ((20, 100), (1, 2), "keep: expected falling numbers down to 1"),
        ((20, 100), (3, 2), "keep: expected falling numbers down to 1"),
        ((), (), "keep: expected one number for each"),
    ],
)
def test_rounds_that_make_no_sense(draws, keep, message):
    with pytest.raises(ValueError, match=message):
        Rounds(draws=draws, keep=keep)


def test_levels_that_make_no_sense():
    with pytest.raises(ValueError, match="levels: expected 0 < least < greatest"):
        Likelihood(least=2.0, greatest=1.0)
