import json

from unetdiff.training.metrics import MetricsLog


def steps(path):
    return [json.loads(line)["step"] for line in path.read_text().splitlines()]


def test_going_on_drops_what_was_logged_after_the_checkpoint(tmp_path):
    path = tmp_path / "metrics.jsonl"
    log = MetricsLog(path, 0)
    for step in (10, 20, 30):
        log.append({"step": step, "loss": 0.5})
    MetricsLog(path, 20).append({"step": 25, "loss": 0.25})
    assert steps(path) == [10, 20, 25]


def test_a_line_that_a_kill_cut_off_goes(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 10}\n{"step": 20, "lo')
    MetricsLog(path, 30).append({"step": 40})
    assert steps(path) == [10, 40]
