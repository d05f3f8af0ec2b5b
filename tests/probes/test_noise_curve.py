import pytest

from unetdiff.probes.noise_curve import form_of


@pytest.mark.parametrize(
    ("curve", "form"),
    [
        ([0.5, 0.7, 0.9, 0.6], "rises, then falls"),
        ([0.5, 0.7, 0.9], "rises"),
        ([0.9, 0.7, 0.7], "falls"),
        ([0.9], "flat"),
        ([0.5, 0.5], "flat"),
        ([0.5, 0.9, 0.6, 0.8], "neither rises then falls nor is monotone"),
        ([0.8, 0.6, 0.9], "neither rises then falls nor is monotone"),
    ],
)
def test_form(curve, form):
    assert form_of(curve) == form


def test_differences_within_the_tolerance_do_not_count():
    curve = [0.5, 0.8, 0.79, 0.8, 0.6, 0.61]
    assert form_of(curve) == "neither rises then falls nor is monotone"
    assert form_of(curve, tolerance=0.02) == "rises, then falls"
    assert form_of([0.80, 0.81, 0.6], tolerance=0.02) == "falls"
