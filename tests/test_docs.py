"""README.md and docs/ against the program: every block runs on a tiny model and a few items, or says why not and is read
by the command line or the config."""

from __future__ import annotations

import json
import re
import shutil

import pytest
import torch

from spillover.cli import main
from spillover.models import packaged_model
from spillover.models.registry import packaged_models
from spillover.tasks.wording import load_task
from tests.builders import save_model, small_data, write_rows
from tests.page_blocks import (
    LANGUAGES,
    PAGES,
    ROOT,
    SHELL,
    WIDTH,
    Block,
    blocks_of,
    fixed_lines,
    inline_code,
    problem_of_command,
    problem_of_inline_code,
    problem_of_yaml,
    run_page,
    same_output,
    spillover_commands,
    write_file,
)

MARKDOWN = [*sorted((ROOT / "docs").rglob("*.md")), *ROOT.glob("*.md")]
README_WORDS = 700


def name_of(page):
    return str(page.relative_to(ROOT))


each_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


def runs(page, *markers):
    """Whether something of the page is run, with one of these markers if any are given."""
    blocks = [block for block in blocks_of(page) if block.language in (*SHELL, "python") and block.marker != "not run"]
    return any(block.marker in markers for block in blocks) if markers else bool(blocks)


# What is not run


@each_page
def test_every_block_is_of_a_known_language(page):
    assert [block.place for block in blocks_of(page) if block.language not in LANGUAGES] == []


@each_page
def test_every_command_is_one_that_the_command_line_takes(page):
    problems = [
        f"{block.place}: spillover {' '.join(arguments)}: {problem}"
        for block in blocks_of(page)
        if block.language in SHELL
        for arguments in spillover_commands(block)
        if (problem := problem_of_command(arguments))
    ]
    assert problems == []


@each_page
def test_every_verb_option_and_key_in_the_text_exists(page):
    assert [problem for code in inline_code(page) if (problem := problem_of_inline_code(code))] == []


@each_page
def test_every_yaml_block_is_read_by_what_it_is_for(page, tmp_path):
    blocks = [block for block in blocks_of(page) if block.language == "yaml"]
    assert [f"{b.place}: {problem}" for b in blocks if (problem := problem_of_yaml(b, tmp_path))] == []


@each_page
def test_every_json_block_is_json(page):
    for block in blocks_of(page):
        if block.language == "json" and block.marker != "not run":
            for line in block.text.splitlines():
                json.loads(line)


@each_page
def test_what_a_page_makes_or_installs_exists(page):
    lines = [line for block in blocks_of(page) if block.language in SHELL for line, _ in block.steps]
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert {target for line in lines for target in re.findall(r"^make ([a-z-]+)", line)} <= set(targets)
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    extras = project.partition("[project.optional-dependencies]")[2].partition("[project.urls]")[0]
    for names in re.findall(r"(?:spillover|\.)\[([\w,]+)\]['\"]", page.read_text(encoding="utf-8")):
        for name in names.split(","):
            assert re.search(rf"^{name} = ", extras, flags=re.MULTILINE), name


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("evaluate --out runs/mine --lagn en", "--lagn"),
        ("evaluate --out runs/mine --calibration bacth", "bacth"),
        ("evaluate --out runs/mine --limit many", "--limit"),
        ("evaluate --out runs/mine --set evaluate.lables=native", "evaluate.lables"),
        ("evaulate --out runs/mine", "evaulate"),
        ("probe lens", "--text"),
        ("build", "--out"),
        ("ls task", "task"),
    ],
)
def test_a_wrong_command_is_seen_and_nothing_runs(command, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert said in problem_of_command(command.split())
    assert list(tmp_path.iterdir()) == []


def test_a_right_command_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for command in ("evaluate --out runs/mine --lang en", "probe lens --text hello", "ls tasks", "run --help-config"):
        assert problem_of_command(command.split()) == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("code", ["spillover evaulate", "spillover evaluate --lagn", "--lagn en", "train.rnak: 8"])
def test_a_wrong_name_in_the_text_is_seen(code):
    assert problem_of_inline_code(code)


@pytest.mark.parametrize(
    "code", ["spillover VERB --help", "spillover probe lens --text", "--lang zh,de", "train.rank: 8", "report.html"]
)
def test_a_right_name_in_the_text_is_not(code):
    assert problem_of_inline_code(code) == ""


def test_a_wrong_key_of_a_yaml_block_is_seen(tmp_path):
    def block(text):
        return Block(ROOT / "README.md", 1, "yaml", "", text, "", "")

    assert "rnak" in problem_of_yaml(block("train: {rnak: 8}\n"), tmp_path)
    assert "lables" in problem_of_yaml(block("grid: {evaluate.lables: [native]}\n"), tmp_path)
    assert problem_of_yaml(block("train: {rank: 8}\n"), tmp_path) == ""


def test_an_output_is_compared_line_by_line():
    assert same_output("a\n...\nd\n", "a\nb\nc\nd\n")
    assert same_output("a  \nb\n".replace("  ", ""), "a  \nb\n\n")
    assert not same_output("a\nb\n", "a\nb\nc\n")
    assert not same_output("a\n...\nd\n", "a\nb\nc\n")


# What is run


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("docs") / "model")


@pytest.fixture(scope="module")
def tiny_model(model_folder):
    """A tiny model in place of every packaged one."""
    with pytest.MonkeyPatch.context() as patch:
        # In float32: what a tiny model learns in a moment vanishes in bfloat16, and such an adapter is refused.
        patch.setattr(torch.cpu, "get_capabilities", dict, raising=False)
        patch.setattr(packaged_model, "packaged_folder", lambda name, progress: model_folder)
        patch.setenv("COLUMNS", WIDTH)
        yield


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, tiny_model, tool_logs):
    """What the pages take for granted: the examples, the reader's own data in my-data (sentiment and nli), runs/mine,
    trained and evaluated, runs/other, and the log of another model on my-data's sentiment."""
    folder = tmp_path_factory.mktemp("prepared")
    small_data(folder / "my-data", ("en", "de"))
    shutil.copytree(ROOT / "examples", folder / "examples")
    shutil.copytree(tool_logs / "lm-eval-exported" / "sentiment", folder / "logs" / "70b")
    for language in ("en", "de"):
        rows = [
            {"id": f"nli-{i}", "premise": f"premise {i}", "hypothesis": f"hypothesis {i}", "label": label}
            for i, label in enumerate(("entailment", "neutral", "contradiction") * 2)
        ]
        write_rows(folder / "my-data" / "nli" / "test" / f"{language}.jsonl", rows)
    mine = ("--out", "runs/mine")
    items = (*mine, "--data", "my-data", "--lang", "en,de")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_command("build", *mine, "--source", "de", "--data", "my-data")
        run_command("train", *mine, "--set", "train.epochs=3")
        run_command("evaluate", *items)
        run_command("evaluate", *items, "--adapter", "runs/mine/train/adapter")
        run_command("evaluate", "--task", "nli", "--data", "my-data", "--lang", "en,de", "--out", "runs/other")
    return folder


def run_command(*arguments):
    with pytest.raises(SystemExit) as end:
        main([*arguments])
    assert not end.value.code, arguments


@pytest.fixture
def workplace(prepared, tmp_path, monkeypatch):
    """A copy of it to work in."""
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", [page for page in PAGES if runs(page)], ids=name_of)
def test_a_page_runs_and_prints_what_it_shows(page, workplace):
    for block, outputs in run_page(page).items():
        if block.language == "console" and block.marker != "output":
            for (command, shown), printed in zip(block.steps, outputs, strict=True):
                assert same_output(shown, printed), f"{block.place}: {command}\n{printed}"


def test_most_commands_of_the_pages_are_run():
    blocks = [block for page in PAGES for block in blocks_of(page) if block.language in SHELL]
    commands = {marker: [one for b in blocks if (b.marker == "not run") == marker for one in spillover_commands(b)]
                for marker in (True, False)}  # fmt: skip
    assert len(commands[False]) > 60
    assert len(commands[True]) < len(commands[False]) / 2


@pytest.mark.packaged
@pytest.mark.parametrize("page", [page for page in PAGES if runs(page, "output")], ids=name_of)
def test_the_packaged_model_prints_what_a_page_shows(page, tmp_path, monkeypatch):
    """Lines without a digit, that is: the last digits of scores differ between processors."""
    if not all(packaged_models()["smollm2-135m"].files()):
        pytest.skip("smollm2-135m is not installed")
    torch.set_num_threads(torch.get_num_threads())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", WIDTH)
    for block, outputs in run_page(page).items():
        if block.marker == "output" and block.language == "console":
            for (command, shown), printed in zip(block.steps, outputs, strict=True):
                lines = [line.strip() for line in printed.splitlines()]
                missing = [line for line in fixed_lines(shown) if line not in lines]
                assert missing == [], f"{block.place}: {command}\n{printed}"


# The pages as they are


def test_the_readme_is_short():
    text = re.sub(r"^```.*?^```$", "", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    assert len(text.split()) <= README_WORDS


def test_the_tasks_of_the_page_are_what_it_says(tmp_path):
    for block in blocks_of(ROOT / "docs" / "tasks.md"):
        if block.title:
            write_file(block, tmp_path)
    tasks = tmp_path / "my-tasks"
    assert len((tasks / "where" / "task.yaml").read_text(encoding="utf-8").splitlines()) <= 10
    kinds = {folder.name: load_task(str(folder)).kind for folder in sorted(tasks.iterdir())}
    assert kinds == {"grammar": "pairs", "letters": "labels", "where": "choices"}


@pytest.mark.parametrize("page", MARKDOWN, ids=name_of)
def test_every_link_to_a_file_leads_to_one(page):
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    files = [link for link in links if "://" not in link]
    assert [link for link in files if not (page.parent / link).exists()] == []
