from __future__ import annotations

import pytest

from spillover.cli import main
from tests.builders import save_model, small_data
from tests.cli.builders import made_run


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A folder with a small model and small data."""
    root = tmp_path_factory.mktemp("cli")
    save_model(root / "model")
    small_data(root / "data")
    return root


@pytest.fixture
def call(capsys):
    """Run the command line: (exit code, stdout, stderr)."""

    def run(*arguments):
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
        output = capsys.readouterr()
        return caught.value.code or 0, output.out, output.err

    return run


@pytest.fixture
def run(tmp_path):
    """A run with both sides evaluated: 40 items in three languages."""
    return made_run(tmp_path / "run")
