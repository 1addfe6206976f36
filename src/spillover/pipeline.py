"""All stages of one RunConfig, in order, skipping what is finished.

audit → build → train → merge → evaluate base and tuned → alternatives → probe base and tuned → compare → report
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from spillover.core.config import EvaluateConfig, RunConfig
from spillover.core.declared_measure import declare_measure
from spillover.core.errors import ConfigError, RunError
from spillover.core.files import atomic, hash_of, read_yaml, write_yaml
from spillover.core.languages import reference_language
from spillover.core.locks import is_locked, locked
from spillover.core.notebook import block, paragraph
from spillover.core.runs import MANIFEST, Run, open_run
from spillover.core.types import Progress, Prompt, TrainingPair, no_progress
from spillover.stages.alternatives.result import Alternatives
from spillover.stages.alternatives.result_files import FOLDER as ALTERNATIVES
from spillover.stages.alternatives.result_files import read_alternatives
from spillover.stages.audit import audit_run
from spillover.stages.audit.findings import refuse_errors
from spillover.stages.build.stage import build_run, source_languages
from spillover.stages.compare import compare_run
from spillover.stages.compare.comparison_files import FOLDER as COMPARE
from spillover.stages.compare.comparison_files import read_comparisons
from spillover.stages.compare.result import Comparison
from spillover.stages.compare.stage import training_languages
from spillover.stages.report import report
from spillover.stages.report.stage import PAGE
from spillover.tasks.benchmark import Benchmark, benchmark_of, training_benchmark
from spillover.tasks.wording import load_task

if TYPE_CHECKING:
    from spillover.models.load import Model
    from spillover.stages.train.in_training import InTrainingEvaluation

log = logging.getLogger(__name__)

BASE, TUNED = "base", "tuned"
GATE_ITEMS = 8
# The sections of a config that decide what an evaluation of the base is.
EVALUATED = {"model", "data", "tasks", "languages", "limit", "fold", "seed", "evaluate"}
# A trained token costs about as much as two and a half scored ones (experiments/2026-11-24-three-benches.md).
TRAINING_COST = 2.5


@dataclass(frozen=True)
class Result:
    """A finished run: its folder, its page, a comparison for each task, and a table of alternatives for each where the
    config has rows."""

    path: Path
    page: Path
    comparisons: tuple[Comparison, ...]
    alternatives: tuple[Alternatives, ...] = ()

    def _repr_html_(self) -> str:
        """For a notebook: where the run and its page are, and each comparison and table."""
        shown = [Markup(comparison._repr_html_()) for comparison in self.comparisons]
        shown += [Markup(table._repr_html_()) for table in self.alternatives]
        return block(self.path.name, paragraph(f"page: {self.page}"), *shown)


def run(
    config: RunConfig, out: Path | str, *, other_runs: Sequence[Path] = (), progress: Progress = no_progress
) -> Result:
    """Run every stage into the folder `out`; finished stages are skipped, an interrupted one resumes.

    other_runs: run folders beside it, whether they are there yet or not. Where they have trained, or scored the base or
    the tuned model, from the same inputs, that is taken over.

    RunError when the folder belongs to another config, or another process writes to it, and nothing in it is touched.
    """
    if config.model.server:
        raise ConfigError(
            "model.server: `spillover run` trains, which needs the model's weights",
            hint="score a served model with `spillover evaluate`, then `spillover compare`",
        )
    benchmarks = open_benchmarks(config)
    questions = open_training_benchmark(config)
    if config.alternatives.rows:
        from spillover.stages.alternatives.stage import rows_of_config

        rows_of_config(config, benchmarks, Path(out), trains=True)
    with open_run(out).locked():
        return _run_stages(config, Path(out), benchmarks, questions, other_runs, progress)


def _run_stages(
    config: RunConfig,
    out: Path,
    benchmarks: Sequence[Benchmark],
    questions: Benchmark,
    other_runs: Sequence[Path],
    progress: Progress,
) -> Result:
    from spillover.models.load import load_model
    from spillover.stages.alternatives.stage import alternatives
    from spillover.stages.probe.stage import probe

    folder = claim(config, out)
    findings = audit_run(folder, benchmarks, config=config.audit, progress=progress)
    if config.audit.stop:
        refuse_errors(findings)
    pairs = build_run(folder, questions, config.build, seed=config.seed)
    seen = training_languages(folder)
    evaluation = training_evaluation(config, benchmarks, seen)
    progress("load the model", 0, 1)
    base = load_model(**config.model.model_dump(), progress=progress)
    progress("load the model", 1, 1)
    if set(folder.manifest()["stages"]) <= {"audit", "build"}:
        log.info("about %.0f minutes from here", max(1, estimate_seconds(config, benchmarks, base, pairs) / 60))
    models = {BASE: base, TUNED: _tuned(config, folder, benchmarks, base, pairs, evaluation, other_runs, progress)}
    _evaluate_both(config, folder, benchmarks, models, other_runs, progress)
    tables: list[Alternatives] = []
    if config.alternatives.rows:
        tables = alternatives(base, benchmarks, out=folder.path, config=config, progress=progress)
    probed = probe_benchmark(config, benchmarks)
    for name, model in models.items():
        if probed is not None:
            probe(folder, model, probed, name=name, config=config.probe, evaluate=config.evaluate, progress=progress)
    tasks = [benchmark.task.name for benchmark in benchmarks]
    comparisons = compare_run(folder, tasks=tasks, config=config.compare, seed=config.seed)
    page = report(folder.path, title=config.report.title)
    return Result(folder.path, page, tuple(comparisons), tuple(tables))


def finished_result(config: RunConfig, out: Path) -> Result | None:
    """The result of a run of this config that is finished in the folder `out`, read from it; None where it is not."""
    page = out / PAGE
    if not (out / MANIFEST).exists() or not page.exists():
        return None
    folder = open_run(out)
    manifest = folder.manifest()
    unfinished = [stage for stage in manifest["stages"].values() if stage["state"] != "done"]
    if unfinished or manifest.get("config") != _config_key(config):
        return None
    tables = read_alternatives(out / ALTERNATIVES)
    return Result(out, page, tuple(read_comparisons(out / COMPARE)), tuple(tables))


def _evaluate_both(
    config: RunConfig,
    folder: Run,
    benchmarks: Sequence[Benchmark],
    models: Mapping[str, Model],
    other_runs: Sequence[Path],
    progress: Progress,
) -> None:
    """Score base and tuned. Of the runs that share the base's scores, one at a time scores the base; a run that finds
    another one at it scores its tuned model first."""
    from spillover.stages.evaluate.stage import evaluate

    def score(name: str) -> None:
        for benchmark in benchmarks:
            evaluate(
                models[name], benchmark, config=config.evaluate, out=folder.path, name=name, other_runs=other_runs,
                progress=progress,
            )  # fmt: skip

    if not other_runs:
        score(BASE)
        score(TUNED)
        return
    inputs = config.model_dump(include=EVALUATED, mode="json")
    lock = folder.path.parent / f"base-{hash_of(inputs)}.lock"
    tuned_first = is_locked(lock)
    if tuned_first:
        score(TUNED)
    with locked(lock, what=Path("scores of the base"), wait=True):
        for other in other_runs:
            _resume_base_scores(inputs, folder, other)
        score(BASE)
    if not tuned_first:
        score(TUNED)


def _resume_base_scores(inputs: Mapping[str, Any], folder: Run, other: Path) -> None:
    """Copy the tables and the finished batches of an interrupted evaluation of the base from a run with the same
    inputs. Each carries the key of all that went into it; one with another key is scored again."""
    recorded = other / "config.yaml"
    if not recorded.exists() or {k: v for k, v in read_yaml(recorded).items() if k in EVALUATED} != inputs:
        return
    for scored in Run(other).evaluations(BASE):
        if scored.finished:  # the stage takes it over
            continue
        for path in [*scored.tables, *sorted(scored.path.glob("*.batches.jsonl"))]:
            target = folder.path / path.relative_to(other)
            table = target.with_name(f"{target.name.partition('.')[0]}.parquet")
            if not target.exists() and not table.exists():
                with atomic(target) as partial:
                    shutil.copyfile(path, partial)


def open_benchmarks(config: RunConfig) -> tuple[Benchmark, ...]:
    """The benchmark of each task of the config. The mistakes that need no model are found here, before anything is
    written: tasks, languages, label sets, the scoring rule."""
    benchmarks = tuple(benchmark_of(config, task) for task in config.tasks)
    for benchmark in benchmarks:
        benchmark.check_labels(config.evaluate.labels)
        benchmark.resolved_shots(config.evaluate.shots)
        benchmark.check_rule(config.evaluate.rule)
    return benchmarks


def open_training_benchmark(config: RunConfig) -> Benchmark:
    """The benchmark whose training questions become pairs. Mistakes in the build section are found here, before
    anything is written."""
    questions = training_benchmark(config)
    if not config.build.files:
        source_languages(questions, config.build)
    if config.build.off_domain:
        load_task(config.build.off_domain)
    return questions


def claim(config: RunConfig, out: Path) -> Run:
    """The run folder, with the resolved config in it. RunError when it holds another config's run.

    A run that its audit stopped computed nothing yet: with repaired data or another config it takes the same folder.
    """
    folder = open_run(out)
    key = _config_key(config)
    recorded = folder.manifest().get("config")
    if recorded and recorded != key and set(folder.manifest()["stages"]) - {"audit"}:
        raise RunError(
            f"{out}: belongs to another config ({out / 'config.yaml'})", hint="choose another --out, or delete it"
        )
    if recorded != key:
        folder.update(config=key, name=config.name, seed=config.seed)
    declare_measure(folder, config.compare)
    if recorded != key or not (out / "config.yaml").exists():
        write_yaml(out / "config.yaml", config.model_dump())
    return folder


def _config_key(config: RunConfig) -> str:
    """A hash of all that decides what a run is; where it runs is no part of it."""
    return hash_of(config.model_dump(exclude={"ray"}))


def estimate_seconds(
    config: RunConfig, benchmarks: Sequence[Benchmark], base: Model, pairs: Sequence[TrainingPair]
) -> float:
    """How long training, scoring both models and probing will take on this machine, from one timed batch and the tokens
    that there are. Within a factor of two: machines are shared, and long items cost more than short ones."""
    from spillover.models.engine import open_engine
    from spillover.stages.train.tokenize import open_pair_chat, tokenize_pairs

    engine = open_engine(base, config.evaluate)
    probed = probe_benchmark(config, benchmarks)
    tokens, rate = 0, 0.0
    for benchmark in benchmarks:
        for prompts in benchmark.prompts(config.evaluate.labels, config.evaluate.shots).values():
            plan = engine.plan(prompts)
            rate = rate or engine.tokens_per_second(plan)
            tokens += plan.computed
            if benchmark is probed:
                tokens += round(plan.computed * min(1, config.probe.items / len(plan.items)))
    rows = tokenize_pairs(base, pairs, config.train, open_pair_chat(base, config.train, config.evaluate))
    trained = sum(len(row["input_ids"]) for row in rows) * config.train.epochs
    return (2 * tokens + TRAINING_COST * trained) / rate


def probe_benchmark(config: RunConfig, benchmarks: Sequence[Benchmark]) -> Benchmark | None:
    """The benchmark that the probe reads: that of `config.probe.task`, else the first with labels; None, and a line of
    the log, where no task has them."""
    from spillover.stages.probe.selection import undefined_reason

    if config.probe.task is None:
        with_labels = _with_labels(benchmarks)
        if with_labels is None:
            log.info("not probed: %s", undefined_reason(benchmarks[0].task))
        return with_labels
    opened = {benchmark.source: benchmark for benchmark in benchmarks}
    return opened.get(config.probe.task) or benchmark_of(config, config.probe.task)


def _with_labels(benchmarks: Sequence[Benchmark]) -> Benchmark | None:
    return next((benchmark for benchmark in benchmarks if benchmark.task.kind == "labels"), None)


def training_evaluation(
    config: RunConfig, benchmarks: Sequence[Benchmark], seen: Sequence[str]
) -> InTrainingEvaluation | None:
    """The in-training evaluation of a run, on its first benchmark with labels; None when the config asks for none.
    seen: the languages that are trained on. ConfigError where no task has labels."""
    from spillover.stages.train.in_training import in_training_evaluation

    if not config.train.eval_every:
        return None
    benchmark = _with_labels(benchmarks) or benchmarks[0]
    return in_training_evaluation(
        benchmark, seen=seen, config=config.train, evaluate=config.evaluate, compare=config.compare
    )


def _tuned(
    config: RunConfig,
    folder: Run,
    benchmarks: Sequence[Benchmark],
    base: Model,
    pairs: Sequence[TrainingPair],
    evaluation: InTrainingEvaluation | None,
    other_runs: Sequence[Path],
    progress: Progress,
) -> Model:
    """The merged weights where they are kept, else base plus adapter."""
    from spillover.models.load import load_model
    from spillover.stages.train.merging import merge_run
    from spillover.stages.train.stage import train

    tuned = train(
        base,
        pairs,
        out=folder.path,
        config=config.train,
        seed=config.seed,
        evaluation=evaluation,
        evaluate=config.evaluate,
        other_runs=other_runs,
        progress=progress,
    )
    if not config.train.keep_merged:
        return tuned
    gate = gate_prompts(benchmarks[0], config.evaluate)
    merged = merge_run(folder, config.model, gate, progress, evaluate=config.evaluate)
    kept = config.model.model_dump(include={"dtype", "device", "device_map", "max_memory", "quantise", "attention"})
    merged_model: Model = load_model(str(merged), **kept)
    # Tables carry the name; a path of this machine in them would make equal runs differ.
    return replace(merged_model, ref=replace(merged_model.ref, name=f"{config.model.name} + train/adapter"))


def gate_prompts(benchmark: Benchmark, config: EvaluateConfig) -> list[Prompt]:
    """A few real prompts in the reference language, or the first there is, for the merge gate."""
    available = tuple(benchmark.files)
    code = reference_language() if reference_language() in available else available[0]
    return benchmark.prompts(config.labels, config.shots, [code], limit=GATE_ITEMS)[code]
