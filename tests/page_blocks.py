"""The fenced blocks of README.md and docs/, and what is checked of those that are not run.

A marker in front of a block says what is done with it:

    <!-- not run: needs a GPU -->     its commands are parsed by the real command line, and nothing more
    <!-- output: of a model -->       its commands run on a tiny model; `make test-packaged` compares what they print
    <!-- exit: 3 -->                  its commands end with this exit code

`console` blocks have commands behind `$` and what they print: all of it, where no marker stands in front. A line `...`
in the output stands for any lines. `python -m tests.page_blocks docs/PAGE.md` runs the page with the packaged model in an
empty folder and writes what its commands print into it.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import typer

from spillover.cli import VERBS, app, main
from spillover.core.config import RunConfig, load_config
from spillover.core.config_reference import config_keys
from spillover.core.errors import ConfigError
from spillover.core.files import read_yaml
from spillover.stages.report.claims import read_claims
from spillover.sweep import load_grid
from spillover.tasks.importers.hub import read_source

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(path for path in (ROOT / "docs").rglob("*.md") if path.name not in ("config.md", "tables.md")),
]
SHELL = ("bash", "console")
LANGUAGES = (*SHELL, "python", "yaml", "json", "csv", "text")
FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)(?: title=\"(?P<title>[^\"]+)\")? *$")
MARKER = re.compile(r"^ *<!-- (?P<kind>not run|output|exit): (?P<reason>.+) -->$")
WIDTH = "80"


@dataclass(frozen=True)
class Block:
    """One fenced block. line: its first line's number in the page. title: the file that it is, "" for none. marker: "not
    run", "output", "exit" or "", and its reason."""

    page: Path
    line: int
    language: str
    title: str
    text: str
    marker: str
    reason: str

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def exit_code(self) -> int:
        return int(self.reason) if self.marker == "exit" else 0

    @property
    def steps(self) -> list[tuple[str, str]]:
        """(command, what is shown of its output) of a shell block; a command over several lines is one."""
        text = re.sub(r"\\\n\s*", " ", self.text)
        if self.language == "bash":
            lines = [line.strip() for line in text.splitlines()]
            return [(line, "") for line in lines if line and not line.startswith("#")]
        parts = re.split(r"^\$ ", text, flags=re.MULTILINE)
        assert not parts[0].strip(), f"{self.place}: output before the first command"
        return [(command, output) for command, _, output in (part.partition("\n") for part in parts[1:])]


def blocks_of(page: Path) -> list[Block]:
    """The fenced blocks of a page, in their order; those in a list are as far to the left as the list's text."""
    found: list[Block] = []
    before, opened, lines = "", None, []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        if opened is None:
            fence = FENCE.match(line)
            assert fence or not line.strip().startswith("```"), f"{page.relative_to(ROOT)}:{number}: {line.strip()}"
            if fence:
                opened, lines = (number, fence, MARKER.match(before)), []
            elif line.strip():
                before = line
        elif line.strip() == "```":
            start, fence, marker = opened
            text = "".join(inner.removeprefix(fence["indent"]) + "\n" for inner in lines)
            kind, reason = (marker["kind"], marker["reason"]) if marker else ("", "")
            found.append(Block(page, start, fence["language"], fence["title"] or "", text, kind, reason))
            opened, before = None, ""
        else:
            lines.append(line)
    assert opened is None, f"{page.relative_to(ROOT)}: a block without an end"
    return found


def spillover_commands(block: Block) -> Iterator[list[str]]:
    """The arguments of every `spillover ...` of a shell block, also behind `srun`, within a loop or after `-m`."""
    for line, _ in block.steps:
        for part in re.split(r"\s*(?:&&|;|\|(?!\|)|\bdo\b)\s*", line):
            if command := re.match(r"(?:.*? -m )?spillover (.*)", part):
                yield shlex.split(command[1].split(" > ")[0], comments=True)


def problem_of_command(arguments: list[str]) -> str:
    """What the real command line has against these arguments, without running anything; "" for nothing."""
    context = next(kind for kind in reversed(typer.Context.__mro__) if "invoke" in vars(kind))
    output, errors = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        patch.setattr(context, "invoke", check_overrides)
        with pytest.raises(SystemExit) as end:
            main(arguments)
    return errors.getvalue().strip() if end.value.code else ""


def check_overrides(_context: object, _verb: object, *_: object, **values: object) -> None:
    """In place of the verb: what --set gives must be a config."""
    load_config(None, values.get("set_") or ())


@cache
def options_by_verb() -> dict[str, set[str]]:
    """Every option of every verb, those of its own verbs too: {"probe lens": {"--text", ...}}."""
    known: dict[str, set[str]] = {}

    def add(name: str, command: typer.core.TyperCommand) -> None:
        known[name] = {flag for option in command.params for flag in (*option.opts, *option.secondary_opts)}
        for inner, verb in getattr(command, "commands", {}).items():
            add(f"{name} {inner}", verb)

    group = typer.main.get_command(app)
    for verb in VERBS:
        add(verb, group.get_command(None, verb))
    return known


KEYS = {key.name for key in config_keys()}
KEYS |= {key.rpartition(".")[0] for key in KEYS}  # sections too
SECTIONS = [name for name in RunConfig.model_fields if any(key.startswith(f"{name}.") for key in KEYS)]
KEY = re.compile(rf"(?:{'|'.join(SECTIONS)})\.[a-z][a-z_.-]*(?![\w/(<*])")
FLAG = re.compile(r"(?<![\w-])--[a-z][\w-]*")
FILES = (".html", ".json", ".jsonl", ".md", ".parquet", ".py", ".safetensors", ".tex", ".txt", ".yaml")
# Options of vLLM, lm-evaluation-harness, inspect_ai and pip that pages name.
OTHER_TOOLS = {
    "--apply_chat_template", "--block-size", "--enable-lora", "--enable-prefix-caching", "--enable-prompt-tokens-details", "--log_samples", "--logprobs-mode",
    "--lora-modules", "--max-logprobs", "--max-model-len", "--output_path", "--requests-per-second",
    "--served-model-name", "--tasks", "--tokens-per-second",
}  # fmt: skip


def problem_of_yaml(block: Block, folder: Path) -> str:
    """What is wrong with a YAML block: of a config, a sweep, claims, a data set's row or a workflow; "" for nothing. Tasks and
    their wording are checked where the page uses them."""
    path = folder / "block.yaml"
    path.write_text(block.text, encoding="utf-8")
    values = read_yaml(path)
    try:
        if "jobs" in values:
            steps = [step["run"] for job in values["jobs"].values() for step in job["steps"] if "run" in step]
            commands = [Block(block.page, block.line, "bash", "", run, "", "") for run in steps]
            problems = [problem_of_command(one) for run in commands for one in spillover_commands(run)]
            return "\n".join(filter(None, problems))
        if "grid" in values:
            load_grid(path)
        elif "claims" in values:
            read_claims(path)
        elif "splits" in values:
            read_source(str(path))
        elif not {"version", "provenance"} & set(values):
            load_config(path)
    except ConfigError as error:
        return str(error)
    return ""


def problem_of_inline_code(code: str) -> str:
    """What is wrong with `code` of a page's text, where it is a command, an option or a config key of ours; "" for
    nothing, and for all else."""
    options = options_by_verb()
    if code.startswith("spillover ") and not code.split()[1].isupper():
        words = code.split()[1:]
        verbs = [name for name in (" ".join(words[:2]), words[0]) if name in options]
        if not verbs:
            return f"{code}: no such verb"
        wrong = set(FLAG.findall(code)) - options[verbs[0]]
        return f"{code}: no option {', '.join(sorted(wrong))}" if wrong else ""
    if flag := FLAG.match(code):
        known = flag[0] in OTHER_TOOLS or any(flag[0] in flags for flags in options.values())
        return "" if known else f"{code}: no verb has this option"
    if (key := KEY.match(code)) and Path(key[0]).suffix not in FILES:
        parts = key[0].split(".")
        known = any(".".join(parts[:length]) in KEYS for length in range(2, len(parts) + 1))
        return "" if known else f"{code}: no key of the config"
    return ""


def inline_code(page: Path) -> list[str]:
    """Every `code` of a page's text, outside its blocks."""
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text)


def write_file(block: Block, folder: Path) -> None:
    """A block with a title is a file of the reader's."""
    path = folder / block.title
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(block.text, encoding="utf-8")


def output_of(command: str, exit_code: int) -> str:
    """What one line of a page prints on stdout; it must end with this exit code. `spillover` runs in this process, `python FILE` in
    another; nothing else is run."""
    program, *arguments = shlex.split(command, comments=True)
    if program == "python":
        done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True)
        assert done.returncode == exit_code, f"{command}\n{done.stderr}"
        return done.stdout
    assert program == "spillover", f"{command}: say why it is not run: <!-- not run: ... -->"
    output = io.StringIO()
    with contextlib.redirect_stdout(output), pytest.raises(SystemExit) as end:
        main(arguments)
    assert (end.value.code or 0) == exit_code, command
    return output.getvalue()


def same_output(shown: str, printed: str) -> bool:
    """Whether `printed` is what the page shows; `...` on a line of its own stands for any lines."""
    parts = [re.escape(part.strip("\n")) for part in re.split(r"^\.\.\.$", shown.strip("\n"), flags=re.MULTILINE)]
    text = "\n".join(line.rstrip() for line in printed.strip("\n").splitlines())
    pattern = r"(?:\n|\A)(?:.*(?:\n|\Z))?".join(parts)
    return re.fullmatch(pattern, text, flags=re.DOTALL) is not None


def fixed_lines(shown: str) -> list[str]:
    """Of an output that depends on the last digits of a model's scores, the lines without a digit: headings and notes."""
    return [line.strip() for line in shown.splitlines() if line.strip() and not re.search(r"\d|^\.\.\.$|–", line)]


def run_python(block: Block, names: dict[str, object]) -> str:
    """Run a block of Python with the names of those before it; what it prints."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(block.text, block.place, "exec"), names)
    return output.getvalue()


def run_page(page: Path) -> dict[Block, list[str]]:
    """Write the page's files and run its blocks in their order, in this folder; what each command printed."""
    printed: dict[Block, list[str]] = {}
    names: dict[str, object] = {}
    for block in blocks_of(page):
        if block.title:
            write_file(block, Path())
        if block.marker == "not run":
            continue
        if block.language in SHELL:
            printed[block] = [output_of(command, block.exit_code) for command, _ in block.steps]
        elif block.language == "python" and not block.title:
            printed[block] = [run_python(block, names)]
    return printed


def with_outputs(page: Path, printed: dict[Block, list[str]]) -> str:
    """The page's text with what its `console` blocks printed; `...` in a block keeps what it shows."""
    text = page.read_text(encoding="utf-8")
    for block, outputs in printed.items():
        if block.language != "console" or re.search(r"^\.\.\.$", block.text, flags=re.MULTILINE):
            continue
        commands = re.findall(r"^\$ (?:.*\\\n)*.*\n", block.text, flags=re.MULTILINE)
        shown = ["".join(f"{line.rstrip()}\n" for line in output.strip("\n").splitlines()) for output in outputs]
        new = "".join(command + output for command, output in zip(commands, shown, strict=True))
        text = text.replace(f"```console\n{block.text}```", f"```console\n{new}```", 1)
    return text


def write_outputs(page: Path) -> None:
    """Run a page with the packaged model in an empty folder and write into it what its commands print."""
    os.environ["COLUMNS"] = WIDTH
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("examples").symlink_to(ROOT / "examples")
        page.write_text(with_outputs(page, run_page(page)), encoding="utf-8")
        os.chdir(ROOT)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        write_outputs(Path(argument).resolve())
        print(f"wrote {argument}")
