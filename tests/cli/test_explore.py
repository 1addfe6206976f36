"""`spillover explore` as a command: what is wrong is found before a model is loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest


def test_without_the_extra_it_says_what_to_install(tmp_path):
    code = "import sys\nsys.modules['gradio'] = None\nfrom spillover.cli import main\nmain(['explore'])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert answer.returncode == 4
    assert "pip install 'spillover[explore]'" in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_a_wrong_port_or_run_is_found_first(call, tmp_path):
    code, _, error = call("explore", "--port", "99999")
    assert (code, error.splitlines()[0]) == (2, "error: --port 99999: not a port")
    code, _, error = call("explore", "--run", tmp_path / "nothing")
    assert code == 3
    assert "not a run folder" in error
    code, _, error = call("explore", "--task", "nonsense", "--model", tmp_path)
    assert code == 2
    assert "neither bundled" in error


def test_help_says_that_sharing_is_off(call):
    code, output, _ = call("explore", "--help")
    assert code == 0
    assert "--share" in output
    assert "127.0.0.1" in output or "this machine" in output
