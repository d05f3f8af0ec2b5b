"""The console command: what it lists, how it refuses, what it imports."""

import errno
import re
import runpy
import subprocess
import sys
from pathlib import Path

import jsonargparse
import numpy as np
import pytest

from samplers import GRIDS, SAMPLERS
from tests.processes import share
from unetdiff.cli import main as cli
from unetdiff.cli.main import COMMANDS, Command, main
from unetdiff.errors import InputError
from unetdiff.probes.catalogue import PROBES

ROOT = Path(__file__).parents[2]


@pytest.fixture
def command(monkeypatch):
    """Give a function that makes `unetdiff try` raise its argument when it runs."""

    def install(error=None):
        class Module:
            @staticmethod
            def parser():
                result = jsonargparse.ArgumentParser()
                result.add_argument("--number", type=int, default=1)
                result.add_argument("--file_name", default="")
                return result

            @staticmethod
            def run(args):
                if error is not None:
                    raise error
                sys.stdout.write(f"{args.number} {args.file_name}\n")

        monkeypatch.setitem(COMMANDS, "try", Command(module="none", summary="for tests"))
        monkeypatch.setattr(Command, "load", lambda self: Module)

    return install


def status(arguments):
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    return exit_.value.code


def test_success_is_status_zero(command, capsys):
    command()
    assert main(["try", "--number", "3"]) == 0
    assert capsys.readouterr().out == "3 \n"


@pytest.mark.parametrize("options", [["--file-name", "a-b"], ["--file_name=a-b"], ["--file-name=a-b"]])
def test_dashes_in_options_are_underscores(command, capsys, options):
    command()
    main(["try", *options])
    assert capsys.readouterr().out == "1 a-b\n"


def test_bad_input_is_one_sentence_and_status_2(command, capsys):
    command(InputError("number: at least 1 expected,\n    got 0"))
    assert status(["try"]) == 2
    captured = capsys.readouterr()
    assert captured.err == "unetdiff try: error: number: at least 1 expected, got 0\n"
    assert captured.out == ""


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "runs/a"), "runs/a: Permission denied"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "a.npz"), "a.npz: No such file or directory"),
    ],
)
def test_trouble_with_files_is_bad_input(command, capsys, error, sentence):
    command(error)
    assert status(["try"]) == 2
    assert capsys.readouterr().err == f"unetdiff try: error: {sentence}\n"


@pytest.mark.parametrize("error", [ValueError("a defect"), OSError(errno.EIO, "Input/output error"), ConnectionError()])
def test_other_errors_keep_their_traceback(command, error):
    command(error)
    with pytest.raises(type(error)):
        main(["try"])


def test_a_reader_that_goes_away_is_no_error(tmp_path):
    np.save(tmp_path / "images.npy", np.zeros((2, 4, 4), np.uint8))
    arguments = [sys.executable, "-m", "unetdiff", "data", "pack", str(tmp_path / "images.npy")]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) as process:
        process.stdout.close()
        message = process.stderr.read()
    assert process.returncode == 141
    assert b"Error" not in message


def test_ctrl_c_is_status_130(command):
    command(KeyboardInterrupt())
    assert status(["try"]) == 130


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--nmber", "3"], "unetdiff try: error: .*--nmber"),
        (["--number", "three"], "unetdiff try: error: .*number.*three"),
        (["--number"], "unetdiff try: error: .*number"),
    ],
)
def test_wrong_options_are_one_sentence(command, capsys, options, sentence):
    command()
    assert status(["try", *options]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.match(sentence, error)


def test_help_of_a_command_names_it(command, capsys):
    command()
    assert status(["try", "--help"]) == 0
    assert capsys.readouterr().out.startswith("usage: unetdiff try ")


def test_help_lists_every_command(capsys):
    assert status(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, command in COMMANDS.items():
        assert f"  {name:<22}{command.summary}" in lines


def test_version(capsys):
    assert status(["--version"]) == 0
    assert capsys.readouterr().out == f"unetdiff {cli.__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["no-such-command"]])
def test_without_a_command_there_is_nothing_to_do(arguments, capsys):
    assert status(arguments) == 2
    assert "usage: unetdiff" in capsys.readouterr().err


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "try"])
def test_every_command_has_help(name, capsys):
    assert status([name, "--help"]) == 0
    assert f"usage: unetdiff {name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "listed"),
    [*((name, [*SAMPLERS, *GRIDS]) for name in ("sample", "eval", "compare", "attention")), ("probe", PROBES)],
)
def test_help_has_a_line_for_each_name_that_options_take(name, listed, capsys):
    assert status([name, "--help"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    for entry in listed:
        assert any(line and line[0] == entry for line in lines), entry


def test_help_imports_neither_torch_nor_diffusers():
    code = "import sys, unetdiff.cli.main; print({'torch', 'diffusers', 'numpy'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"


def load_all(arguments):
    for command in COMMANDS.values():
        command.load()
    assert not set(arguments) & set(sys.modules)


def test_commands_import_nothing_that_only_some_models_need(tmp_path):
    heavy = ("diffusers.models.autoencoders", "diffusers.models.transformers", "diffusers.pipelines")
    optional = ("datasets", "matplotlib", "sklearn.linear_model", "torchmetrics")
    share(load_all, [*heavy, *optional], tmp_path / "log", processes=1)


def test_as_a_module(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["unetdiff", "--version"])
    with pytest.raises(SystemExit) as exit_:
        runpy.run_module("unetdiff", run_name="__main__")
    assert exit_.value.code == 0
    assert capsys.readouterr().out.startswith("unetdiff ")


@pytest.mark.parametrize(("script", "name"), [("sample.py", "sample"), ("train.py", "train")])
def test_the_scripts_are_commands(monkeypatch, capsys, script, name):
    monkeypatch.setattr(sys, "argv", [script, "--no-such-option"])
    with pytest.raises(SystemExit) as exit_:
        runpy.run_path(str(ROOT / script), run_name="__main__")
    assert exit_.value.code == 2
    assert capsys.readouterr().err.startswith(f"unetdiff {name}: error: ")
