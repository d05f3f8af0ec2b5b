"""skip.json: what is written is read back by those it is meant for."""

import json
from dataclasses import replace

import pytest

import samplers
from unetdiff.errors import InputError
from unetdiff.evaluation.skip_settings import FILE, SkipSetting
from unetdiff.model_folder import SHIPPED, weights_hash

SETTING = SkipSetting(
    sampler="heun",
    steps=5,
    calls=9,
    rho_bottom=0.5,
    rho_top=1.0,
    site="concat",
    sigma="constant",
    distance=0.03,
    plain_distance=0.04,
    standard_error=0.001,
    gain_error=0.0005,
    n=100,
    weights="abc",
)


def test_the_latest_of_each_sampler_and_number_of_steps_is_kept(tmp_path):
    others = [replace(SETTING, steps=9, calls=17), replace(SETTING, sampler="unipc"), replace(SETTING, rho_bottom=0.7)]
    SkipSetting.write(tmp_path / FILE, [SETTING, *others])
    assert SkipSetting.read(tmp_path / FILE, "abc") == [others[2], others[0], others[1]]


def test_those_of_other_weights_are_not_read(tmp_path):
    other = replace(SETTING, steps=9, weights="def")
    SkipSetting.write(tmp_path / FILE, [SETTING, other])
    assert SkipSetting.read(tmp_path / FILE, "def") == [other]


def test_no_file_has_no_settings(tmp_path):
    assert SkipSetting.read(tmp_path / FILE, "abc") == []


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"settings": 3}', '{"settings": [{"sampler": "heun"}]}'])
def test_something_else_is_refused(tmp_path, content):
    (tmp_path / FILE).write_text(content)
    with pytest.raises(InputError, match=r"skip.json: expected what skip-search writes, got something else"):
        SkipSetting.read(tmp_path / FILE, "abc")


def test_the_shipped_model_has_some():
    found = SkipSetting.read(SHIPPED / FILE, weights_hash(SHIPPED))
    content = json.loads((SHIPPED / FILE).read_text())
    assert len(found) == len(content["settings"]) > 0
    assert {"heun", "unipc", "dpmpp-2m"} == {setting.sampler for setting in found}
    for setting in found:
        solver = samplers.SAMPLERS[setting.sampler].make()
        assert solver.network_calls(samplers.karras(setting.steps)) == setting.calls
        assert setting.distance <= setting.plain_distance
