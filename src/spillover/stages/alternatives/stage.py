"""Rows → evaluations → one table: did I need to train?

1. The interventions of steered rows, with their nulls; settings by a rule, or on held-out items (`steer`).
2. Rows that translate: the items in the reference language's words (`translations`).
3. Every row and null is evaluated once, as an ordinary evaluation of the run, on the items that all share. Rows that
   need no forward pass of their own (the calibrated base, the bound) read the base's.
4. The table and its verdict (`table`, `verdict`), written into <run>/alternatives.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from spillover.core.config import ModelConfig, RunConfig, TranslatorConfig
from spillover.core.declared_measure import declare_measure, declared_measure
from spillover.core.errors import ConfigError, RunError
from spillover.core.languages import language, reference_language
from spillover.core.runs import Run, existing_run, open_run
from spillover.core.types import Evaluation, Experiment, ModelRef, Progress, no_progress
from spillover.models.fingerprint import ADAPTER_CONFIG
from spillover.models.intervention import NULLS, Intervention, null_name, read_intervention
from spillover.models.load import Model, attach_adapter, attach_intervention
from spillover.models.served_model import check_no_server
from spillover.models.translators import Translator, open_translator
from spillover.models.translators.causal import CausalTranslator
from spillover.stages.alternatives.result import Alternatives
from spillover.stages.alternatives.result_files import FOLDER, write_alternatives
from spillover.stages.alternatives.rows import BASE, SELF_TRANSLATE, TUNED, Row, RowKind, planned_rows
from spillover.stages.alternatives.table import Cost, ScoredRow, alternatives_of, in_reference_language
from spillover.stages.alternatives.translation_quality import check_sacrebleu
from spillover.stages.alternatives.translations import Translations, reason_not_translated, translate_items
from spillover.stages.compare.stage import training_languages
from spillover.stages.evaluate.score_tables import read_evaluation
from spillover.stages.evaluate.stage import evaluate
from spillover.stages.steer import held_out
from spillover.stages.steer.stage import SHARED_SECONDS, steer
from spillover.stages.steer.text_states import TextStates
from spillover.tasks.benchmark import Benchmark
from spillover.tasks.shots import shot_sentences

OWN_ADAPTER = "train/adapter"


@dataclass(frozen=True)
class _Setup:
    """What every row shares. translators: by the name of the row that they translate for, and the task."""

    base: Model
    run: Run
    config: RunConfig
    progress: Progress
    translators: Mapping[tuple[str, str], Translator] = field(default_factory=dict)


@dataclass(frozen=True)
class _Scored:
    """One task. left_out: rows that cannot be made on it, with the reason. translations: by the row's name."""

    rows: list[ScoredRow]
    left_out: list[Row]
    translations: dict[str, Translations]


def alternatives(
    base: Model,
    benchmarks: Sequence[Benchmark],
    *,
    out: Path | str,
    config: RunConfig,
    progress: Progress = no_progress,
) -> list[Alternatives]:
    """The table of each benchmark for a base model, written into <out>/alternatives and returned.

    out: a run folder; its evaluations are used where they are finished, and those that lack are made. config: its
    sections alternatives, steer, evaluate and compare.

    ConfigError for rows that cannot be, before anything is computed.
    """
    run = open_run(out)
    rows = rows_of_config(config, benchmarks, run.path)
    _check_base(base.ref)
    setup = _Setup(base, run, config, progress)
    with run.locked():
        declare_measure(run, config.compare)
        for row in rows:
            if row.adapter:  # one that does not fit is found before anything is computed
                _model(setup, row)
        setup = replace(setup, translators=_translators(setup, rows, benchmarks))
        all_rows, interventions = _with_interventions(setup, rows, benchmarks)
        scored = [_scored(setup, all_rows, benchmark, interventions) for benchmark in benchmarks]
        keys = [{one.row.name: one.evaluation.key for one in own.rows} for own in scored]
        settings = {"evaluations": keys, "compare": config.compare.model_dump()}
        with run.stage(FOLDER, settings, replace=True) as stage:
            results = [
                alternatives_of(
                    own.rows,
                    left_out=own.left_out,
                    translations={name: made.quality for name, made in own.translations.items()},
                    seen=_seen(rows),
                    held_out=_held_out(benchmark, interventions),
                    config=config.compare,
                    declared=declared_measure(run),
                )
                for benchmark, own in zip(benchmarks, scored, strict=True)
            ]
            write_alternatives(run.path / FOLDER, results)
            stage.facts["tasks"] = [result.task for result in results]
    return results


def rows_of_config(
    config: RunConfig, benchmarks: Sequence[Benchmark], out: Path, *, trains: bool = False
) -> tuple[Row, ...]:
    """The rows of a config, checked: no model is needed. trains: the run makes its own adapter before.

    ConfigError for unknown rows, an adapter that is not there, or fewer than 20 items to score. MissingExtra where a
    row translates and sacrebleu is not installed.
    """
    check_no_server(config.model.server, "alternatives")
    _check_base(config.model)
    rows = planned_rows(config.alternatives, benchmarks, config.evaluate.shots, str(out / OWN_ADAPTER))
    if any(row.translations and not row.reason for row in rows):
        check_sacrebleu()
    for row in rows:
        own = row.adapter == str(out / OWN_ADAPTER)
        if row.adapter and not (own and trains) and not (Path(row.adapter) / ADAPTER_CONFIG).is_file():
            raise ConfigError(
                f"alternatives.rows: {row.name}: no adapter in {row.adapter}",
                hint="alternatives.adapter (or placebos) names its folder; or `spillover train` first, or leave it out",
            )
    chooses = any(row.steer for row in rows) and config.steer.choose == "held-out"
    for benchmark in benchmarks:
        if chooses and benchmark is benchmarks[0]:
            held_out.held_out_ids(benchmark, config.steer.held_out)
        for code, items in benchmark.examples().items():
            if len(items) < held_out.LEAST_ITEMS:
                raise ConfigError(
                    f"alternatives: {benchmark.task.name} in {code}: {len(items)} items to score, at least "
                    f"{held_out.LEAST_ITEMS} are needed",
                    hint="a higher limit, or more data",
                )
    return rows


def _check_base(model: ModelRef | ModelConfig) -> None:
    if model.adapter or model.steer:
        raise ConfigError(
            f"alternatives: {model.name} is tuned or steered already: every row starts from the base",
            hint="leave model.adapter and model.steer out, and give alternatives.adapter",
        )


def _with_interventions(
    setup: _Setup, rows: Sequence[Row], benchmarks: Sequence[Benchmark]
) -> tuple[list[Row], dict[str, Intervention]]:
    """(the rows with the nulls of interventions, the interventions by name), after all were made."""
    config = setup.config
    result: list[Row] = []
    interventions: dict[str, Intervention] = {}
    states: list[TextStates] = []  # one forward pass over the parallel text serves all methods
    for row in rows:
        result.append(row)
        if row.steer is None:
            continue
        folder = steer(
            setup.base, benchmarks[0], out=setup.run.path, further=benchmarks[1:],
            config=config.steer.model_copy(update={"method": row.steer}), evaluate=config.evaluate,
            compare=config.compare, seed=config.seed, states=states, progress=setup.progress,
        )  # fmt: skip
        for null in (None, *NULLS):
            name = null_name(row.steer, null) if null else row.steer
            if null and not folder.with_name(name).is_dir():
                continue  # a single language has no other language's vector
            interventions[name] = read_intervention(folder.with_name(name))
            if null:
                result.append(Row(f"{row.name} {null}", RowKind.NULL, name, (row.name,), steer=name))
        _check_languages(row, interventions[row.steer], benchmarks)
    return result, interventions


def _check_languages(row: Row, intervention: Intervention, benchmarks: Sequence[Benchmark]) -> None:
    known = {*intervention.description.languages, intervention.description.reference}
    for benchmark in benchmarks:
        if lacking := [code for code in benchmark.languages if code not in known]:
            raise ConfigError(
                f"alternatives.rows: {row.name}: no parallel text in {', '.join(lacking)}, which {benchmark.task.name} "
                "is scored in",
                hint="other steer.text, fewer languages, or leave the row out",
            )


def _translators(
    setup: _Setup, rows: Sequence[Row], benchmarks: Sequence[Benchmark]
) -> dict[tuple[str, str], Translator]:
    """The translator of each row that translates and each task. What it cannot translate is found here, before anything
    is scored. Few-shot examples are the task's own shots, where they are parallel."""
    config, reference = setup.config.alternatives.translator, language(reference_language())
    translators: dict[tuple[str, str], Translator] = {}
    others: Translator | None = None  # loaded once, with the shots of the first task
    for row in rows:
        for benchmark in benchmarks if row.translations and not (row.reason or row.shuffled) else ():
            if reason_not_translated(benchmark):
                continue
            sentences = shot_sentences(benchmark.task)
            if row.translations == SELF_TRANSLATE:
                translator: Translator = CausalTranslator(setup.base, _settings_of_base(config), sentences=sentences)
            else:
                others = others or open_translator(config, sentences=sentences, progress=setup.progress)
                translator = others
            for code in benchmark.languages:
                if code != reference.code:
                    translator.prompt(language(code), reference)
            translators[row.name, benchmark.task.name] = translator
    return translators


def _settings_of_base(config: TranslatorConfig) -> TranslatorConfig:
    """What self-translate takes of the translator's settings."""
    return TranslatorConfig(**config.model_dump(include={"examples", "shots", "batch", "max_new_tokens"}))


def _scored(
    setup: _Setup, rows: Sequence[Row], benchmark: Benchmark, interventions: Mapping[str, Intervention]
) -> _Scored:
    """Every row with its scores on a benchmark; each evaluation is made once."""
    evaluations: dict[str, Evaluation] = {}
    done = _Scored([], [], {})
    for row in rows:
        if reason := row.reason or (reason_not_translated(benchmark) if row.translations else ""):
            done.left_out.append(replace(row, reason=reason))
            continue
        translations = _translations(setup, row, benchmark, done.translations)
        if row.evaluation not in evaluations:
            evaluations[row.evaluation] = _evaluation(setup, row, _asked_benchmark(setup, row, benchmark, translations))
            cost = _cost(setup, row, benchmark, translations)
        else:
            cost = Cost()
        evaluation = evaluations[row.evaluation]
        if row.kind is RowKind.BOUND:
            evaluation = in_reference_language(evaluation)
        done.rows.append(ScoredRow(row, evaluation, cost, _setting(row, evaluation, interventions, translations)))
    _check_same_question(setup.run, evaluations)
    return done


def _translations(setup: _Setup, row: Row, benchmark: Benchmark, made: dict[str, Translations]) -> Translations | None:
    """The translations that a row is asked in, those `made` before for another row; None for one that does not
    translate."""
    name = row.translations
    if name is None:
        return None
    if name not in made:
        config = setup.config.alternatives.translator
        # A budget has decided by now how many items the base was scored on.
        budget = setup.run.manifest().get("budget", {}).get(benchmark.task.name)
        if budget and (benchmark.limit is None or budget < benchmark.limit):
            benchmark = replace(benchmark, limit=budget)
        made[name] = translate_items(
            benchmark,
            setup.translators[name, benchmark.task.name],
            out=setup.run.path,
            name=name,
            config=_settings_of_base(config) if name == SELF_TRANSLATE else config,
            progress=setup.progress,
        )
    return made[name]


def _asked_benchmark(setup: _Setup, row: Row, benchmark: Benchmark, translations: Translations | None) -> Benchmark:
    """The benchmark as the row is asked it."""
    if translations is None:
        return benchmark
    return translations.shuffled(setup.config.seed) if row.shuffled else translations.benchmark


def _evaluation(setup: _Setup, row: Row, benchmark: Benchmark) -> Evaluation:
    """The row's scores: those that the run has of its own tuned model, else by `evaluate`, which computes
    none again."""
    own = setup.run.path / "evaluate" / row.evaluation / benchmark.task.name
    finished = any(folder.path == own and folder.finished for folder in setup.run.evaluations(row.evaluation))
    if row.name == TUNED and setup.config.alternatives.adapter is None and finished:
        return read_evaluation(own)
    config = setup.config.evaluate
    return evaluate(
        _model(setup, row), benchmark, out=setup.run.path, name=row.evaluation, compare=setup.config.compare,
        config=config if row.shots is None else config.model_copy(update={"shots": row.shots}),
        progress=setup.progress,
    )  # fmt: skip


def _model(setup: _Setup, row: Row) -> Model:
    if row.steer:
        return attach_intervention(setup.base, setup.run.path / "steer" / row.steer)
    return attach_adapter(setup.base, row.adapter, layers=row.layers) if row.adapter else setup.base


def _check_same_question(run: Run, evaluations: Mapping[str, Evaluation]) -> None:
    """RunError where the run's own tuned model was asked otherwise than the base."""
    if TUNED in evaluations:
        base, tuned = (_asked(evaluations[name].experiment) for name in (BASE, TUNED))
        if base != tuned:
            raise RunError(
                f"{run.path}: tuned was evaluated with other prompts or rules than the base",
                hint="choose another --out, and give alternatives.adapter",
            )


def _asked(experiment: Experiment | None) -> tuple[object, ...]:
    assert experiment is not None  # both were just evaluated
    return (
        experiment.wording, experiment.template, experiment.labels, experiment.shots, experiment.rule, experiment.chat
    )  # fmt: skip


def _cost(setup: _Setup, row: Row, benchmark: Benchmark, translations: Translations | None) -> Cost:
    """Of scoring, and of translating too; a null is asked what was translated for its row."""
    stages = setup.run.manifest()["stages"]
    evaluated = stages.get(f"evaluate/{row.evaluation}/{benchmark.task.name}", {})
    tokens = evaluated.get("facts", {}).get("computed_tokens", math.nan)
    before = 0.0
    if row.steer and row.kind is not RowKind.NULL:
        made = stages.get(f"steer/{row.steer}", {})
        before = _seconds(made) + made.get("facts", {}).get(SHARED_SECONDS, 0.0)
    elif row.adapter:
        run = _run_of(row.adapter)
        before = _seconds(run.manifest()["stages"].get("train", {})) if run else math.nan
    if translations and row.kind is not RowKind.NULL:
        return Cost(tokens + translations.tokens, _seconds(evaluated) + translations.seconds, before)
    return Cost(float(tokens), _seconds(evaluated), before)


def _seconds(record: Mapping[str, object]) -> float:
    seconds = record.get("seconds")
    return float(seconds) if isinstance(seconds, int | float) else math.nan


def _setting(
    row: Row, evaluation: Evaluation, interventions: Mapping[str, Intervention], translations: Translations | None
) -> str:
    if translations:
        made = translations.benchmark.translated
        quality = "" if math.isnan(translations.chrf) else f", chrF {translations.chrf:.1f}"
        return f"by {made.by if made else ''}{', of other items' if row.shuffled else quality}"
    if row.steer:
        description = interventions[row.steer].description
        chosen = "held-out items" if description.held_out else "rule"
        layers = ",".join(map(str, description.layers))
        return f"layers {layers}, strength {description.strength:g}, by {chosen}"
    if row.layers:
        return f"layers {evaluation.model.adapter_layers or 'all'}"
    return f"shots {evaluation.experiment.shots}" if row.shots and evaluation.experiment else ""


def _run_of(adapter: str) -> Run | None:
    """The run that trained an adapter; None where it lies elsewhere."""
    folder = Path(adapter).parent.parent
    return existing_run(folder) if (folder / "run.json").is_file() else None


def _seen(rows: Sequence[Row]) -> tuple[str, ...]:
    """The languages that the tuned model was trained on; none without one."""
    trained = next((row for row in rows if row.kind is RowKind.TRAINED), None)
    run = _run_of(trained.adapter) if trained and trained.adapter else None
    return training_languages(run) if run else ()


def _held_out(benchmark: Benchmark, interventions: Mapping[str, Intervention]) -> frozenset[str]:
    """Ids of the benchmark's items that settings were chosen on."""
    chosen = [own.description.held_out for own in interventions.values()]
    return frozenset(name for own in chosen if own and own.task == benchmark.task.name for name in own.ids)
