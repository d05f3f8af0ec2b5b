import json
from dataclasses import dataclass

from unetdiff.training.metrics import MetricsLog
from unetdiff.training.records import Record


@dataclass(frozen=True, kw_only=True)
class Seen(Record):
    kind = "seen"
    loss: float = 0.5


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_going_on_drops_what_was_logged_after_the_checkpoint(tmp_path):
    path = tmp_path / "metrics.jsonl"
    log = MetricsLog(path, 0)
    for step in (10, 20, 20, 30, 30):
        log.append(Seen(step=step))
    MetricsLog(path, 20).append(Seen(step=25, loss=0.25))
    assert [line["step"] for line in lines(path)] == [10, 20, 20, 25]
    assert lines(path)[-1] == {"kind": "seen", "step": 25, "loss": 0.25}


def test_a_line_that_a_kill_cut_off_goes(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 10}\n{"step": 20, "lo')
    MetricsLog(path, 30).append(Seen(step=40))
    assert [line["step"] for line in lines(path)] == [10, 40]


def test_a_damaged_line_goes_and_the_file_as_it_was_is_kept(tmp_path, capsys):
    path = tmp_path / "metrics.jsonl"
    damaged = b'{"step": 10}\n\0\0\0\n{"step": 20}\n[1]\n{"step": null}\n{"step": 30, "found": "\xff"}\n{"step": 40}\n'
    path.write_bytes(damaged)
    MetricsLog(path, 30)
    assert [line["step"] for line in lines(path)] == [10, 20]
    assert (tmp_path / "damaged-metrics.jsonl").read_bytes() == damaged
    told = (
        f"{path}: expected a record in every line, got others in 2, 4, 5, 6; kept as {tmp_path}/damaged-metrics.jsonl"
    )
    assert capsys.readouterr().err.strip() == told
