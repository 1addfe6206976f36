from __future__ import annotations

import subprocess
import sys


def test_the_package_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "spillover", "ls", "tasks"], capture_output=True, text=True, check=True
    )
    assert "sentiment" in done.stdout
