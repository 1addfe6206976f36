from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from spillover.core.errors import RunError
from spillover.core.ray_task import LogLine, Messages, Place, Step, relayed, shared_place


def test_log_lines_and_progress_are_sent():
    messages = Messages()
    actor = SimpleNamespace(add=SimpleNamespace(remote=messages.add))
    logger = logging.getLogger("spillover")
    before = logger.handlers, logger.level
    try:
        progress = relayed(actor, "cell")
        logging.getLogger("spillover.models").warning("slow: %s", "reason")
        for done in range(4):
            progress("train", done, 3)
    finally:
        logger.handlers, logger.level = before
    slow = LogLine("cell", logging.WARNING, "slow: reason")
    assert messages.take() == [slow, Step("cell", "train", 0, 3), Step("cell", "train", 3, 3)]
    assert messages.take() == []


def test_a_task_works_where_it_was_started_and_refuses_another_machines_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with shared_place(Path("runs")) as place:
        monkeypatch.chdir("/")
        place.enter()
        assert Path.cwd() == tmp_path
    for other in (place, Place(tmp_path / "elsewhere", place.token)):
        with pytest.raises(RunError, match="not the folder that this was started with") as caught:
            other.enter()
        assert "every node" in caught.value.hint
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_task_has_its_number_of_threads_whether_torch_is_loaded_or_not():
    code = (
        "from spillover.core.ray_task import use_threads\nimport sys\n{}\nuse_threads(1)\n"
        "import torch\nprint(torch.get_num_threads())"
    )
    for first in ("assert 'torch' not in sys.modules", "import torch"):
        answer = subprocess.run(
            [sys.executable, "-c", code.format(first)],
            capture_output=True, text=True, check=True, env=os.environ | {"OMP_NUM_THREADS": "2"},
        )  # fmt: skip
        assert answer.stdout == "1\n"
