"""`unetdiff verify-resume`: the moments, the refusals, and one real training that is killed."""

import os
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.processes import Forked
from unetdiff.cli.main import main
from unetdiff.cli.verify_resume import attempt, command
from unetdiff.cli.verify_resume.attempt import Attempt
from unetdiff.cli.verify_resume.moments import InStep, Pace, Starting, WhileSaving, draw_moment
from unetdiff.errors import InputError
from unetdiff.training.run_comparison import Comparison
from unetdiff.training.run_folder import RunFolder

YAML = """
steps: 12
batch_size: 8
num_workers: 1
accumulation: 2
checkpoint_every: 2
model:
  in_channels: 1
  out_channels: 1
  num_classes: 10
  levels: [{channels: 8, depth: 1}]
  mid: {depth: 0}
  resnet: {dropout: 0.1}
preview: {every: 0}
"""


@pytest.fixture
def options(tmp_path, fashion_mnist):
    (tmp_path / "small.yaml").write_text(YAML)
    return ["verify-resume", "--config", str(tmp_path / "small.yaml"), "--out", str(tmp_path / "out")]


def moments(*, every, kills=20, steps=100, start=30):
    random = np.random.default_rng(0)
    config, pace = SimpleNamespace(steps=steps, checkpoint_every=every), Pace(startup=5.0, step=0.5)
    return [
        draw_moment(random, config, pace, start=start, kill=kill, kills=kills)
        for _ in range(20)
        for kill in range(kills)
    ]


@pytest.fixture
def forked(monkeypatch):
    """Attempts start without the seconds that Python needs."""

    def start(command, *, env, stdout, stderr, start_new_session):
        assert command[1:3] == ["-m", "unetdiff"]
        assert start_new_session
        return Forked(main, command[3:], env, stderr.name)

    monkeypatch.setattr(attempt, "subprocess", SimpleNamespace(Popen=start, DEVNULL=None))


@pytest.mark.slow
def test_kills_change_no_bit(options, tmp_path, capsys, forked):
    assert main([*options, "--kills", "2"]) == 0
    printed = capsys.readouterr().out
    assert "verified: 2 kills changed no bit" in printed
    assert printed.count("different") == 0
    for name in ("whole", "killed"):
        assert (tmp_path / "out" / name / "checkpoints" / "step-0000012" / "weights.safetensors").exists()


def test_half_of_the_kills_meet_a_writer_and_some_the_start():
    assert Counter(map(type, moments(every=10))) == {WhileSaving: 200, InStep: 160, Starting: 40}


@pytest.mark.parametrize(("every", "last"), [(10, 90), (7, 98), (0, 100), (1000, 100)])
def test_a_checkpoint_to_interrupt_comes_later_and_is_not_the_last_if_there_is_another(every, last):
    steps = {moment.step for moment in moments(every=every, kills=1) if isinstance(moment, WhileSaving)}
    assert min(steps) > 30
    assert max(steps) <= last
    assert all(step == 100 or step % every == 0 for step in steps)


def test_no_attempt_takes_what_the_later_ones_need():
    for moment in moments(every=10):
        if isinstance(moment, InStep):
            assert 30 <= moment.step + moment.delay / 0.5 <= 100
            assert 0 <= moment.delay < 0.5


def test_a_writer_is_seen_by_its_hidden_folder(tmp_path):
    attempt = SimpleNamespace(folder=RunFolder(tmp_path), pid=7)
    moment = WhileSaving(step=4, files=1)
    (tmp_path / "checkpoints" / ".tmp-6-step-0000004").mkdir(parents=True)  # left by an attempt before
    (tmp_path / "checkpoints" / ".tmp-6-step-0000004" / "a").touch()
    (tmp_path / "checkpoints" / ".tmp-6-step-0000004" / "b").touch()
    staged = tmp_path / "checkpoints" / ".tmp-7-step-0000004"
    staged.mkdir()
    (staged / "a").touch()
    assert not moment.reached(attempt)
    (staged / "b").touch()
    assert moment.reached(attempt)


@pytest.mark.slow
def test_what_went_wrong_is_in_the_log(tmp_path):
    log = tmp_path / "log"
    with Attempt(Path("no-such.yaml"), RunFolder(tmp_path / "run"), 1, log) as attempt:
        os.waitid(os.P_PID, attempt.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(InputError, match=f"got status 2; see {log}"):
            attempt.finished()
        assert attempt.step is None
    assert "no-such.yaml" in log.read_text()


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (["--kills", "0"], "kills: expected a positive number, got 0"),
        (["--processes", "3"], "batch_size: expected a multiple of 6 (accumulation x processes), got 8"),
        (["--kill_seed", "-1"], "kill_seed: expected 0 or more, got -1"),
        (["--resume", "never"], "resume"),
        (["--model.num_classes", "5"], "model.num_classes: expected labels 0 to 9"),
    ],
)
def test_bad_settings_are_named_and_nothing_is_written(options, tmp_path, refused, extra, words):
    assert words in refused([*options, *extra])
    assert not (tmp_path / "out").exists()


def test_a_folder_that_exists_is_left_alone(options, tmp_path, refused):
    (tmp_path / "out").mkdir()
    assert "out: expected a folder that does not exist yet" in refused(options)


class TestVerdict:
    @pytest.fixture
    def status(self):
        def call(difference, *, made=3, exact=True, name="loss of each step"):
            same = Comparison(name="weights", count=1, equal=exact, difference=0.0 if exact else 1.0)
            other = Comparison(name=name, count=9, equal=difference == 0, difference=difference)
            try:
                command._verdict(made, 3, [same, other], exact=exact)
            except SystemExit as end:
                return end.code
            return 0

        return call

    def test_on_one_process_a_bit_is_too_much(self, status):
        assert status(0.0) == 0
        assert status(1e-12) == 1

    def test_on_several_processes_the_loss_curve_decides(self, status):
        assert status(1e-6, exact=False) == 0
        assert status(1e-3, exact=False) == 1
        assert status(float("inf"), exact=False, name="samples and noise of each step") == 1

    def test_fewer_kills_than_asked_prove_nothing(self, status, capsys):
        assert status(0.0, made=2) == 1
        assert "after 2 of 3 kills" in capsys.readouterr().out
