import pytest

from unetdiff.training.meter import Meter
from unetdiff.training.step import Update


def update(loss, grad_norm=1.0):
    return Update(loss=loss, grad_norm=grad_norm, lr=0.1)


def test_a_record_averages_since_the_last_one():
    meter = Meter(batch_size=10, seconds=100.0)
    meter.add(update(1.0, 2.0), seconds=1.0, waited=0.5)
    meter.add(update(3.0, 4.0), seconds=3.0, waited=0.5)
    record = meter.record(7, 0.1)
    assert (record.step, record.loss, record.grad_norm, record.lr) == (7, 2.0, 3.0, 0.1)
    assert (record.images_per_s, record.step_seconds, record.data_wait_share) == (5.0, 2.0, 0.25)
    assert record.seconds == 104.0
    meter.add(update(5.0), seconds=1.0, waited=0.0)
    assert meter.record(8, 0.1).loss == pytest.approx(5.0)


def test_a_gradient_that_overflowed_is_null():
    meter = Meter(batch_size=10, seconds=0.0)
    meter.add(update(1.0, float("inf")), seconds=1.0, waited=0.0)
    assert meter.record(1, 0.1).grad_norm is None
