"""A stochastic method without its noise is the deterministic method it comes from."""

import pytest
import torch

from samplers import (
    DPM2,
    IPNDM,
    LMS,
    DPM2Ancestral,
    DPMSolverPP2M,
    DPMSolverPP2MSDE,
    DPMSolverPP2SAncestral,
    DPMSolverPP3M,
    DPMSolverPP3MSDE,
    DPMSolverPPSDE,
    Euler,
    EulerAncestral,
    UniPC,
    sample,
)

WITHOUT_NOISE = [
    (EulerAncestral(eta=0.0), Euler()),
    (DPM2Ancestral(eta=0.0), DPM2()),
    (DPMSolverPP2SAncestral(eta=0.0), DPMSolverPPSDE(eta=0.0)),
    (DPMSolverPP2MSDE(eta=0.0), DPMSolverPP2M()),
    (DPMSolverPP3MSDE(eta=0.0), DPMSolverPP3M()),
]


@pytest.mark.parametrize(("sampler", "sibling"), WITHOUT_NOISE, ids=str)
def test_eta_0_is_the_deterministic_sibling(golden, mixture, sampler, sibling):
    sigmas = golden["sigmas_karras_12_0.02_20"]
    assert not sampler.stochastic
    torch.testing.assert_close(
        sample(mixture, golden["x_init"], sigmas, sampler),
        sample(mixture, golden["x_init"], sigmas, sibling),
        rtol=0,
        atol=1e-12,
    )


@pytest.mark.parametrize("sampler", [LMS(order=1), IPNDM(order=1)], ids=repr)
def test_adams_bashforth_of_first_order_is_euler(golden, mixture, sampler):
    sigmas = golden["sigmas_karras_12_0.02_20"]
    assert torch.equal(
        sample(mixture, golden["x_init"], sigmas, sampler), sample(mixture, golden["x_init"], sigmas, Euler())
    )


@pytest.mark.parametrize("order", [2, 3, 4])
def test_lms_on_equal_steps_is_ipndm(golden, mixture, order):
    """The integrals of the Lagrange polynomials on equal steps are Adams' and Bashforth's numbers."""
    sigmas = torch.linspace(20.0, 0.0, 13, dtype=torch.float64)
    torch.testing.assert_close(
        sample(mixture, golden["x_init"], sigmas, LMS(order=order)),
        sample(mixture, golden["x_init"], sigmas, IPNDM(order=order)),
        rtol=0,
        atol=1e-11,
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        *((lambda make=make: make(eta=1.5), r"eta: expected a number in \[0, 1\], got 1.5") for make in (
            EulerAncestral, DPM2Ancestral, DPMSolverPP2SAncestral, DPMSolverPPSDE, DPMSolverPP2MSDE, DPMSolverPP3MSDE,
        )),
        (lambda: LMS(order=5), "order: expected a whole number from 1 to 4, got 5"),
        (lambda: IPNDM(order=0), "order: expected a whole number from 1 to 4, got 0"),
        (lambda: UniPC(order=4), "order: expected a whole number from 1 to 3, got 4"),
        (lambda: UniPC(variant="bh3"), r"variant: expected one of \('bh1', 'bh2'\), got 'bh3'"),
        (lambda: DPMSolverPP2MSDE(solver="rk4"), r"solver: expected one of \('midpoint', 'heun'\), got 'rk4'"),
    ],
)  # fmt: skip
def test_bad_hyper_parameters_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
