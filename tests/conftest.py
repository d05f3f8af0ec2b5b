"""What all tests share: one thread, fixed seeds, caches of their own, and a small real part of Fashion-MNIST."""

import re
import shlex
from itertools import count
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from unetdiff.cli.main import main

settings.register_profile("unetdiff", deadline=None)  # a busy machine is no failure
settings.load_profile("unetdiff")

DATA = Path(__file__).parent / "data"


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def _caches(tmp_path_factory):
    """Names of folders; thousands made by `mktemp`, which looks at all that are there, would take seconds."""
    root = tmp_path_factory.mktemp("caches")
    return (root / str(number) for number in count())


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, _caches):
    monkeypatch.setenv("UNETDIFF_CACHE", str(next(_caches)))


@pytest.fixture
def fashion_mnist(monkeypatch):
    """Make "fashion-mnist" mean 400 training and 100 test images; gives their folder."""
    monkeypatch.setenv("UNETDIFF_DATA", str(DATA))
    return DATA / "fashion-mnist"


@pytest.fixture
def run_page(monkeypatch, tmp_path):
    """Give a function that runs a page's Python, and its commands in `bash`, in their order in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(page):
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        names = {}
        for language, block in re.findall(r"^```(python|bash)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL):
            if language == "python":
                exec(compile(block, str(page), "exec"), names)
                continue
            for line in block.splitlines():
                program, *arguments = shlex.split(line, comments=True)
                assert program == "unetdiff", line
                assert main(arguments) == 0, line

    return run


@pytest.fixture
def refused(capsys):
    """Give a function that runs a command, sees it exit with status 2 and no traceback, and gives what it said."""

    def run(arguments):
        with pytest.raises(SystemExit) as exit_:
            main(arguments)
        assert exit_.value.code == 2
        message = capsys.readouterr().err
        assert "Traceback" not in message
        return message

    return run
