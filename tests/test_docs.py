"""What README.md and docs/ show runs as it stands there, on a tiny model and a few items."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
import torch

from spillover.cli import main
from spillover.models import packaged_model
from spillover.tasks.wording import load_task
from tests.builders import save_model, small_data, write_rows

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs").glob("*.md"))


def commands_of(text: str) -> list[list[str]]:
    """Every `spillover ...` line of the fenced bash blocks of a Markdown page, as arguments."""
    blocks = re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL)
    lines = [line.partition(" #")[0].strip() for block in blocks for line in block.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("spillover ")]


def write_files_of(text: str, folder: Path) -> None:
    """Write every fenced block of a Markdown page that names a file after its language, as in ```yaml a/b.yaml."""
    for name, content in re.findall(r"```\w+ (\S+)\n(.*?)```", text, flags=re.DOTALL):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


def run_command(*arguments: str) -> None:
    with pytest.raises(SystemExit) as exit_of_command:
        main([*arguments])
    assert not exit_of_command.value.code, arguments


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("docs") / "model")


def work_in(folder, monkeypatch, model_folder):
    """The folder to work in, with a tiny model in place of the packaged one."""
    monkeypatch.chdir(folder)
    # In float32: what a tiny model learns in a moment vanishes in bfloat16, and such an adapter is refused.
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict, raising=False)
    monkeypatch.setattr(packaged_model, "packaged_folder", lambda name, progress: model_folder)
    return folder


@pytest.fixture
def workplace(tmp_path, monkeypatch, model_folder):
    """An empty folder to work in, with a tiny model in place of the packaged one, the examples and the user's own data."""
    small_data(tmp_path / "my-data", ("en", "de"))
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    return work_in(tmp_path, monkeypatch, model_folder)


def test_every_command_of_the_readme_runs(workplace):
    commands = commands_of((ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(commands) >= 10
    for arguments in commands:
        run_command(*arguments)


def test_the_python_of_the_readme_runs(workplace):
    block = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    assert block
    code = block[1].replace('open_benchmark("sentiment")', 'open_benchmark("sentiment", languages="en,de", limit=4)')
    assert code != block[1]
    exec(compile(code, "README.md", "exec"), {})
    assert (workplace / "runs" / "es-de" / "report.html").exists()


@pytest.fixture(scope="module")
def made_once(tmp_path_factory, model_folder, tool_logs):
    """What `finished_runs` copies."""
    folder = tmp_path_factory.mktemp("finished")
    shutil.copytree(tool_logs / "lm-eval-exported" / "sentiment", folder / "logs" / "70b")
    small_data(folder / "my-data", ("en", "de"))
    for language in ("en", "de"):
        rows = [
            {"id": f"nli-{i}", "premise": f"premise {i}", "hypothesis": f"hypothesis {i}", "label": label}
            for i, label in enumerate(("entailment", "neutral", "contradiction") * 2)
        ]
        write_rows(folder / "my-data" / "nli" / "test" / f"{language}.jsonl", rows)
    mine = ("--out", "runs/mine")
    items = (*mine, "--data", "my-data", "--lang", "en,de")
    with pytest.MonkeyPatch.context() as patch:
        work_in(folder, patch, model_folder)
        run_command("build", *mine, "--source", "de", "--data", "my-data")
        run_command("train", *mine, "--set", "train.epochs=3")
        run_command("evaluate", *items)
        run_command("evaluate", *items, "--adapter", "runs/mine/train/adapter")
        run_command("evaluate", "--task", "nli", "--data", "my-data", "--lang", "en,de", "--out", "runs/other")
    return folder


@pytest.fixture
def finished_runs(workplace, made_once):
    """What the pages take for granted: runs/mine, trained and evaluated, parallel nli items in my-data, and the log of
    another model on my-data's sentiment."""
    shutil.copytree(made_once, workplace, dirs_exist_ok=True)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if commands_of(page.read_text(encoding="utf-8"))], ids=lambda page: page.name
)
def test_every_command_of_a_page_runs(page, finished_runs, workplace):
    text = page.read_text(encoding="utf-8")
    write_files_of(text, workplace)
    for arguments in commands_of(text):
        run_command(*arguments)


def test_the_tasks_of_the_page_are_what_it_says(tmp_path):
    write_files_of((ROOT / "docs" / "tasks.md").read_text(encoding="utf-8"), tmp_path)
    tasks = tmp_path / "my-tasks"
    assert len((tasks / "where" / "task.yaml").read_text(encoding="utf-8").splitlines()) <= 10
    kinds = {folder.name: load_task(str(folder)).kind for folder in sorted(tasks.iterdir())}
    assert kinds == {"grammar": "pairs", "letters": "labels", "where": "choices"}


@pytest.mark.parametrize("page", [*PAGES, *ROOT.glob("*.md")], ids=lambda page: page.name)
def test_every_link_to_a_file_leads_to_one(page):
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    files = [link for link in links if "://" not in link]
    assert [link for link in files if not (page.parent / link).exists()] == []
