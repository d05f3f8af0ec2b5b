"""The table of the sampler benchmark, from features whose distances are known."""

import numpy as np
import pytest

import samplers
from benchmarks.sampler_quality import curve_of, draw, held, steps, table, tried
from unetdiff.evaluation.distances import KernelDistance

REAL = np.random.default_rng(0).normal(size=(50, 3))


def features(shift, seed=1, count=50):
    return (np.random.default_rng(seed).normal(size=(count, 3)) + shift).astype(np.float32)


@pytest.fixture
def folder(tmp_path):
    for name, rows in {
        "heun_9_1": features(1.0),
        "heun_9_0.9": features(0.5),
        "heun_9_0.8": features(0.7),
        "dpmpp-2m_5_1": features(0.1),
        "heun_9_0.7": features(0.9, count=10),  # a fifth, not chosen
        "heun_7_1": features(1.0),
        "heun_7_0.9": features(0.5, count=10),  # chosen, unfinished
        "heun_9_0.6": features(0.1, count=9),  # the choice is unfinished
        "unipc_5_1": features(0.1, count=40),  # unfinished
        "euler_5_0.9": features(0.1),  # without its plain one
        "real-test-0123456789abcdef": REAL,
    }.items():
        np.save(tmp_path / f"{name}.npy", rows)
    return tmp_path


def test_complete_settings_are_found(folder):
    found = held(folder, 50)
    assert list(found) == [("dpmpp-2m", 5), ("heun", 7), ("heun", 9)]
    assert set(found["heun", 9]) == {1.0, 0.9, 0.8, 0.7}
    assert len(held(folder, 40)["heun", 9][0.9]) == 40


def test_a_row_for_each_setting_and_one_for_real_images(folder):
    header, _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table(
        held(folder, 50), REAL, features(0.0)
    ).splitlines()]  # fmt: skip
    assert [row[:2] for row in rows] == [["dpmpp-2m", "5"], ["heun", "7"], ["heun", "9"], ["real training images", ""]]
    cells = [dict(zip(header, row, strict=True)) for row in rows]
    assert [row["rho"] for row in cells] == ["", "", "0.9", ""]
    frechet = [float(row["Frechet, plain"].split()[0]) for row in cells]
    assert frechet[2] == pytest.approx(3 * 1.0**2, rel=0.3)  # three features, moved by 1
    assert frechet[3] < frechet[0] < frechet[2]
    assert float(cells[2]["Frechet, tuned"].split()[0]) < frechet[2]
    assert float(cells[2]["kernel gain"].split()[0]) > 0
    assert "noise" not in cells[2]["kernel gain"]


def test_a_gain_within_its_noise_is_called_that():
    luckily_chosen = np.concatenate([features(0.5, count=10), features(1.0, seed=2, count=40)])
    found = {("heun", 9): {1.0: features(1.0), 0.9: luckily_chosen}}
    assert table(found, REAL, REAL).count("(noise)") == 1


def test_the_best_setting_is_that_of_the_images_that_did_not_choose_it(folder):
    found, kernel = held(folder, 50), KernelDistance(REAL)
    assert [tried(curve, kernel) for curve in found.values()] == [False, False, True]
    curve = curve_of(("heun", 9), found["heun", 9], kernel)
    assert (curve.steps, curve.calls, curve.least) == (5, 9, 0.9)
    assert curve.plain.value == kernel(features(1.0)[10:]).value
    assert curve.tuned.value == kernel(features(0.5)[10:]).value
    assert curve.setting(site="concat", sigma="constant", n=40, weights="").rho_bottom == 0.9


@pytest.mark.parametrize(("name", "calls", "expected"), [("heun", 9, 5), ("heun", 1, 1), ("unipc", 9, 9)])
def test_steps_by_network_calls(name, calls, expected):
    sampler = samplers.SAMPLERS[name].make()
    assert steps(sampler, calls) == expected
    assert sampler.network_calls(samplers.karras(expected)) == calls


def test_calls_that_no_grid_gives():
    with pytest.raises(ValueError, match="calls: expected 1 and a multiple of 2, got 8"):
        steps(samplers.Heun(), 8)


def test_curves_are_drawn_where_there_is_more_than_one_rho(folder, tmp_path):
    draw(held(folder, 50), REAL, tmp_path / "curves.svg")
    drawn = (tmp_path / "curves.svg").read_text()
    assert "<!-- heun -->" in drawn
    assert "<!-- 9 calls -->" in drawn
    assert "<!-- dpmpp-2m -->" not in drawn


def test_curves_of_images_as_near_as_real_ones_are_drawn(tmp_path):
    """An unbiased distance is below zero for some of them."""
    plain = REAL.astype(np.float32)
    assert KernelDistance(REAL)(plain[:10]).value < 0
    draw({("heun", 9): {1.0: plain, 0.9: features(0.1)}}, REAL, tmp_path / "curves.svg")
    assert "<!-- 9 calls -->" in (tmp_path / "curves.svg").read_text()
