"""Tiny random models and tokenizers, made here: no test loads anything but what it makes or what the package holds.

Heavy packages are imported by what needs them: with `pytest -n`, the process that only hands out tests starts the others when
it has read this file.
"""

from __future__ import annotations

import gc
import os
import shutil
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from spillover.models.load import Model

# A busy machine is no failure: no test is judged by how long an example took.
settings.register_profile("spillover", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("spillover")

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "chrome")


@pytest.fixture(scope="session")
def browser():
    """One for all tests. Skipped where there is none; an error where CI says there must be one."""
    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        program = None
    if program is None:
        assert os.environ.get("SPILLOVER_BROWSER") != "required", "no Chromium, or no playwright to drive it"
        pytest.skip("no Chromium here, or no playwright to drive it: apt-get install chromium, pip install playwright")
    with sync_playwright() as driver:
        # Its own sandbox needs what containers forbid, and the page is our own.
        chromium = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def tiny() -> Model:
    from tests.builders import make_model

    return make_model()


@pytest.fixture
def tiny_folder(tmp_path: Path) -> Path:
    """A tiny model on disk, as a user's own folder."""
    from tests.builders import save_model

    return save_model(tmp_path / "tiny-model")


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory, tiny) -> str:
    """The tokenizer of `tiny` alone, as somebody has it whose model is on a server."""
    folder = tmp_path_factory.mktemp("tokenizer")
    tiny.tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def demo_prompts():
    """Prompts of the demo data by (task, language, label set)."""
    from spillover.tasks.examples import load_parallel
    from spillover.tasks.prompts import render
    from spillover.tasks.wording import load_task

    def prompts(task: str, language: str, label_set: str = "english", limit: int | None = 6):
        wording = load_task(task)
        examples = load_parallel("demo", wording, "test", [language], limit=limit)
        return render(wording, examples[language], label_set=label_set)

    return prompts


@pytest.fixture(scope="session")
def all_languages() -> list[str]:
    from spillover.tasks.examples import language_files
    from spillover.tasks.wording import load_task

    return list(language_files("demo", load_task("sentiment"), "test"))


@pytest.fixture
def bfloat16_attention():
    """Skips where torch has the processor's AMX but was told not to use AVX-512: its own attention then raises."""
    import torch

    states = torch.zeros(1, 1, 64, 32, dtype=torch.bfloat16)
    try:
        torch.nn.functional.scaled_dot_product_attention(states, states, states)
    except RuntimeError as error:
        pytest.skip(f"torch has no bfloat16 attention here: {error}")


@pytest.fixture(scope="session")
def tool_logs(tmp_path_factory) -> Path:
    """What lm-evaluation-harness and inspect_ai wrote, see tests/data/make_harness_logs.py and make_inspect_logs.py."""
    folder = tmp_path_factory.mktemp("tool-logs")
    for name in ("lm-eval", "lm-eval-exported", "inspect-ai"):
        with zipfile.ZipFile(Path(__file__).with_name("data") / f"{name}.zip") as archive:
            archive.extractall(folder / name)
    return folder


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that drive a browser are marked as such, before `-m` selects."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.browser)


def pytest_collection_finish() -> None:
    import torch

    # The models here are so small that threads cost more than they save; the packaged one is scored with all of them.
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
    # What was imported stays: no garbage collection, of which each training makes two, needs to walk through it again.
    gc.freeze()
