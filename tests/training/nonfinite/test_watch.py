"""The first module whose numbers break is named, on the images where they do, and no hook stays."""

import pytest
import torch

from unetdiff import Denoiser, UNet
from unetdiff.losses import DenoisingLoss, EDMObjective, Uncertainty
from unetdiff.training.nonfinite import watching

INF, NAN = float("inf"), float("nan")
ROWS = (0, 1, 2, 3)


class Explode(torch.autograd.Function):
    """The identity, with a gradient that is not finite in row 2."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        gradient = gradient.clone()
        gradient[2] = INF
        return gradient


@pytest.fixture
def loss(model):
    """A denoising loss away from the initialisation, where much of the gradient is zero."""
    objective = EDMObjective(uncertainty=Uncertainty(channels=4))
    unet = UNet(model).train()
    with torch.no_grad():
        for parameter in unet.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return DenoisingLoss(Denoiser(unet, objective.preconditioning), objective, objective.uncertainty.build())


@pytest.fixture
def batch():
    return {"images": torch.randn(4, 1, 12, 12), "noise": torch.randn(4, 1, 12, 12), "sigma": torch.rand(4) + 0.1}


def watched(loss, batch):
    with watching(loss) as watch:
        loss(*batch.values(), class_labels=torch.tensor([1, 2, 3, 4])).mean().backward()
    watch.look_at_gradients(loss)
    return watch


def exploding(unet, name):
    """Make a module's gradient break inside it."""
    module = unet.get_submodule(name)
    plain = module.forward
    module.forward = lambda *args: Explode.apply(plain(*args))


def test_watching_changes_no_number(loss, batch):
    def passed():
        loss.zero_grad()
        value = loss.eval()(*batch.values(), class_labels=torch.tensor([1, 2, 3, 4]))
        value.mean().backward()
        return value.detach(), [parameter.grad.clone() for parameter in loss.parameters()]

    plain, gradients = passed()
    with watching(loss) as watch:
        seen, same = passed()
    assert torch.equal(seen, plain)
    assert torch.equal(watch.losses, plain)
    scale = max(float(gradient.abs().max()) for gradient in gradients)
    for gradient, other in zip(gradients, same, strict=True):  # what several modules give a tensor adds up in any order
        torch.testing.assert_close(other, gradient, rtol=0, atol=1e-6 * scale)


@pytest.mark.parametrize("checkpointed", [False, True])
@pytest.mark.parametrize(
    ("parameter", "module"),
    [
        ("conv_in.weight", "conv_in"),
        ("down_blocks.0.resnets.0.norm2.weight", "down_blocks.0.resnets.0.norm2"),
        ("up_blocks.1.resnets.0.conv1.bias", "up_blocks.1.resnets.0.conv1"),
        ("conv_out.bias", "conv_out"),
    ],
)
def test_a_broken_weight_is_found_where_it_is(loss, batch, parameter, module, checkpointed):
    if checkpointed:
        loss.denoiser.unet.enable_gradient_checkpointing()
    with torch.no_grad():
        loss.denoiser.unet.get_parameter(parameter).fill_(INF)
    finding = watched(loss, batch).finding
    assert (finding.kind, finding.name, finding.rows) == ("output", module, ROWS)
    assert finding.broken_weights == (parameter.rpartition(".")[2],)


def test_an_image_that_is_broken_is_found_by_its_row(loss, batch):
    batch["images"][1, 0, 3, 4] = NAN
    finding = watched(loss, batch).finding
    assert (finding.kind, finding.name, finding.rows) == ("values", "images", (1,))


def test_an_overflow_in_the_weighting_is_that_of_the_loss(loss, batch):
    batch["sigma"][3] = 1e-30
    finding = watched(loss, batch).finding
    assert (finding.kind, finding.name, finding.rows) == ("output", "the loss", (3,))


def test_a_broken_uncertainty_has_its_own_name(loss, batch):
    with torch.no_grad():
        loss.log_variance.weight[0] = NAN
    assert str(watched(loss, batch).finding) == "the output of log_variance (whose weight is not)"


@pytest.mark.parametrize("checkpointed", [False, True])
@pytest.mark.parametrize("name", ["down_blocks.0.resnets.0.conv2", "up_blocks.0.resnets.1.norm1", "conv_out"])
def test_a_gradient_that_breaks_inside_a_module_has_its_name(loss, batch, name, checkpointed):
    if checkpointed:
        loss.denoiser.unet.enable_gradient_checkpointing()
    exploding(loss.denoiser.unet, name)
    finding = watched(loss, batch).finding
    assert (finding.kind, finding.name, finding.rows) == ("gradient at the input", name, (2,))


def test_a_gradient_that_breaks_between_modules_names_the_one_before(loss, batch):
    hook = loss.denoiser.unet.conv_out.register_forward_pre_hook(lambda module, args: Explode.apply(*args))
    finding = watched(loss, batch).finding
    hook.remove()
    assert (finding.kind, finding.name, finding.rows) == ("gradient at the output", "conv_norm_out", (2,))


def test_a_gradient_that_breaks_in_a_parameter_has_its_name(loss, batch):
    loss.denoiser.unet.conv_in.weight.register_hook(lambda gradient: gradient * INF)
    finding = watched(loss, batch).finding
    assert (finding.kind, finding.name) == ("gradient", "conv_in.weight")


def test_a_norm_that_overflows_names_the_largest_gradient(loss, batch):
    loss.denoiser.unet.conv_out.weight.register_hook(lambda gradient: gradient.sign() * 1e30)
    finding = watched(loss, batch).finding
    assert str(finding).endswith("though each number is finite; the largest is that of conv_out.weight")


@pytest.mark.parametrize("error", [False, True])
def test_no_hook_stays(loss, batch, error):
    def hooks():
        return [len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in loss.modules()]

    before = hooks()
    if error:
        batch["images"] = batch["images"][:, :, :, None]
        with pytest.raises((RuntimeError, ValueError)):
            watched(loss, batch)
    else:
        watched(loss, batch)
    assert hooks() == before
