"""What one run does: a section per stage, read from YAML, with every mistake reported at once.

Order of precedence: defaults here < the file < `--set a.b=c` < flags (which `cli` passes as overrides too).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from spillover.core.errors import ConfigError, DataError
from spillover.core.files import read_yaml, resources

log = logging.getLogger(__name__)

Share = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
Languages = str | list[str]
Best = Literal[
    "validation_loss",
    "auroc.reference", "auroc.seen", "auroc.unseen", "auroc.all",
    "calibrated_accuracy.reference", "calibrated_accuracy.seen", "calibrated_accuracy.unseen",
    "calibrated_accuracy.all",
    "mexa.seen", "mexa.unseen", "mexa.all",
]  # fmt: skip


class Section(BaseModel):
    """Unknown keys are mistakes, and nothing is changed after it was checked."""

    model_config = ConfigDict(extra="forbid", frozen=True)


REAL_ARM: Final = "translate"  # the arm of `build` that is no placebo


def on_hub(name: str) -> tuple[str, str | None]:
    """(a model's name on the hub, its licence where it is known): a short name of ours stands for one there."""
    known = read_yaml(resources() / "models.yaml").get(name)
    return (known["hub"], known["licence"]) if known else (name, None)


class ModelConfig(Section):
    """Which model, and how it is loaded. `name`: smollm2-135m, a Hugging Face id or a path."""

    name: str = "smollm2-135m"
    revision: str | None = None
    adapter: str | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: str = "auto"
    load_in_4bit: bool = False
    trust_remote_code: bool = False


class AuditConfig(Section):
    """What counts as a fault. `spillover ls checks` says what each check sees; `skip` leaves checks out by id;
    `tolerate` says by id up to which share of a language's rows a finding is but a note.

    stop: an error found in the data ends the run before anything is computed. ceiling: a perfect model below it is an
    error. label_gain: share of items that another assignment of label words must win. consensus: share of the other
    languages that must agree on a label or a number. shift_lines, shift_items: how far, and how many rows in a row.
    text_letters, language_letters: shorter texts are not judged. script_share: least share of the own script.
    language_confidence: least certainty of another language. length_ratio, length_spread: how short a translation may
    be, as a share of what the others say and in robust standard deviations; cut_ratio, cut_spread: the same where the
    mark at its end is gone. number_digits: shorter ones may be written out. near_duplicate: least Jaccard similarity
    of character 4-grams. balance: largest shift of class shares. label_pieces, token_cost: tokens against the
    reference language's. encoder_margin: in cosine.
    """

    stop: bool = True
    skip: list[str] = []
    tolerate: dict[str, Share] = {}
    ceiling: Share = 0.98
    label_gain: Share = 0.1
    consensus: Share = 0.75
    shift_lines: Count = 5
    shift_items: Count = 8
    text_letters: Count = 10
    language_letters: Count = 40
    script_share: Share = 0.5
    language_confidence: Share = 0.9
    length_ratio: Share = 0.6
    length_spread: Positive = 5.0
    cut_ratio: Share = 0.8
    cut_spread: Positive = 2.0
    number_digits: Count = 2
    near_duplicate: Share = 0.8
    balance: Share = 0.05
    label_pieces: Positive = 3.0
    token_cost: Positive = 3.0
    encoder_margin: Share = 0.05


class BuildConfig(Section):
    """Question-translation pairs. `sources`: "all" for every language with questions but the target, which is the
    reference language when null. `pairs`: per source language on the average, null for all. `files`: ready-made pairs
    instead (build/exchange.py says which).

    `mix`, `temperature`: shares of the source languages. `replay`: share of rows that are plain text in the reference
    language, its questions or the lines of the file `replay_text` (build/mix.py). `missing_items`: pairwise lets each
    source use the questions that it shares with the target.

    `arm`: translate, or a placebo (build/arms.py says what each is). `off_domain`: the other task of that arm.
    """

    task: str = "sentiment"
    sources: Languages = "all"
    target: str | None = None
    pairs: Count | None = None
    arm: Literal["translate", "shuffled", "copy", "template", "off-domain", "labelled"] = REAL_ARM
    off_domain: str | None = None
    overlap: Literal["refuse", "drop"] = "refuse"
    missing_items: Literal["refuse", "pairwise"] = "refuse"
    mix: Literal["proportional", "equal", "temperature"] = "proportional"
    temperature: Annotated[float, Field(ge=1)] = 3.0
    replay: Share = 0.0
    replay_text: str | None = None
    files: list[str] = []


class TrainConfig(Section):
    """LoRA tuning. The defaults are the gentlest recipe of those measured on the packaged model (EXPERIMENTS.md); the
    paper's own, with 5e-5 and three epochs, is examples/paper.yaml.

    `batch`: pairs a step, over all processes; it is computed in parts of at most `batch_tokens` tokens.
    `method`: which adapter, by peft's name for it; those that change the base's weights (pissa, olora) are saved as
    plain LoRA of twice the rank. `targets`: names of linear layers, or all-linear. `long_pairs`: what becomes of a pair
    of more than `max_tokens` tokens; cut takes them off the end of its completion.

    `chat_template`: wrap each pair in the model's own chat template. `keep_merged`: also write the merged weights.
    `seed`: of the training alone, null for the run's own: seeds then share their pairs and test items.

    `eval_every`: steps between two in-training evaluations on a few items of the first task, null for none. `guard`:
    reference stops when the reference language has lost more than `compare.margin`, null never does. `best`: what the
    kept checkpoint is best in. `eval_items`: of each language, and `eval_reference_items` of the reference language,
    whose fall must stand out from noise. `eval_languages`: null for the reference language, those trained on and three
    others.
    """

    method: Literal["lora", "rslora", "dora", "pissa", "olora", "orthogonal"] = "lora"
    rank: Count = 8
    alpha: Positive = 16.0
    dropout: Share = 0.0
    targets: list[str] | Literal["all-linear"] = ["q_proj", "v_proj"]
    learning_rate: Positive = 2e-4
    schedule: Literal["cosine", "linear", "constant_with_warmup"] = "cosine"
    warmup: Share = 0.1
    epochs: Positive = 1.0
    batch: Count = 16
    batch_tokens: Count = 1024
    max_tokens: Count = 2048
    long_pairs: Literal["refuse", "drop", "cut"] = "refuse"
    validation: Share = 0.05
    checkpoint_steps: Count = 50
    end_of_text: bool = True
    chat_template: bool = False
    report_to: list[str] = []
    keep_merged: bool = True
    eval_every: Count | None = None
    guard: Literal["reference"] | None = "reference"
    best: Best = "validation_loss"
    eval_items: Count = 32
    eval_reference_items: Count = 400
    eval_languages: Languages | None = None
    seed: Annotated[int, Field(ge=0)] | None = None


class EvaluateConfig(Section):
    """`labels`: native, english or another label set of the task. `shots`: own, or the language of all shots.

    `rule`: exact, or paper for the paper's own (for comparison alone). `budget_minutes`: as many items as this machine
    scores in that time with one model on one task, the same in every language; null for all.
    `content_free`: inputs without content, scored beside the items for contextual calibration.
    """

    labels: str = "english"
    shots: str = "own"
    rule: Literal["exact", "paper"] = "exact"
    budget_minutes: Positive | None = None
    content_free: list[str] = ["N/A", "", "[MASK]"]
    batch_tokens: Count = 4096
    prefix_cache: bool = True
    missing_items: Literal["refuse", "intersection"] = "refuse"
    disagreeing_labels: Literal["refuse", "keep"] = "refuse"


class CompareConfig(Section):
    """`draws`: bootstrap resamples. `level`: coverage of the intervals; 1 - level is the size of the tests.

    `length`: the rule for labels of several tokens, summed log-probability or its mean per token or byte, for all
    numbers. `calibration`: what calibrated accuracy and prior repair rest on. Neither needs the model.
    `margin`: what the reference language may lose. `effect`: the smallest change in accuracy that matters; what cannot
    find it with `power` is called underpowered. `groups`: your own lists of languages. `against`: other run folders,
    placebo arms or further seeds, that this run is compared with.
    """

    draws: Count = 2000
    level: Annotated[float, Field(gt=0, lt=1)] = 0.95
    margin: Annotated[float, Field(gt=0, lt=1)] = 0.02
    effect: Annotated[float, Field(gt=0, lt=1)] = 0.05
    power: Annotated[float, Field(gt=0, lt=1)] = 0.8
    calibration: Literal["none", "batch", "contextual", "pmi"] = "batch"
    length: Literal["sum", "token", "byte"] = "sum"
    groups: dict[str, list[str]] = {}
    against: list[str] = []
    missing_items: Literal["refuse", "intersection"] = "refuse"


class ProbeConfig(Section):
    """Which items to look at, of those that were evaluated. null: the first task, all languages.

    `layers`: whose states to keep, 0 is the embedding; null for all. `rule`: which tokens the lens counts as a label's
    first, exact or the paper's.
    `pairs`: alignment of each language with the reference language, or of all with all. `draws`: shuffles of its null.
    `random_weights`: also pass the items through the same architecture before any training, which needs a second model
    in memory.
    """

    task: str | None = None
    languages: Languages = "all"
    items: Count = 24
    layers: list[Annotated[int, Field(ge=0)]] | None = None
    rule: Literal["exact", "paper"] = "exact"
    pairs: Literal["reference", "all"] = "reference"
    draws: Count = 200
    random_weights: bool = True


class ReportConfig(Section):
    """`title`: the page's heading, null for the run's name."""

    title: str | None = None


class RunConfig(Section):
    """Everything one run does. `data`: demo or a folder in our format. `limit`: items per language, null for all."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] = "run"
    seed: Annotated[int, Field(ge=0)] = 0
    data: str = "demo"
    tasks: Annotated[list[str], Field(min_length=1)] = ["sentiment"]
    languages: Languages = "all"
    limit: Count | None = None
    model: ModelConfig = ModelConfig()
    audit: AuditConfig = AuditConfig()
    build: BuildConfig = BuildConfig()
    train: TrainConfig = TrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    compare: CompareConfig = CompareConfig()
    probe: ProbeConfig = ProbeConfig()
    report: ReportConfig = ReportConfig()


# Keys of before, still read: the old key, and the new one. Values likewise.
RENAMED_KEYS = {
    "train.watch_items": "train.eval_items",
    "train.watch_reference_items": "train.eval_reference_items",
    "train.watch_languages": "train.eval_languages",
}
RENAMED_VALUES = {
    "train.guard": {"english": "reference"},
    "train.best": {"auroc.english": "auroc.reference", "calibrated_accuracy.english": "calibrated_accuracy.reference"},
}


def with_new_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` of a config with the keys and values of before under their new names; the log names each."""
    renamed: dict[str, Any] = {
        key: dict(value) if isinstance(value, Mapping) else value for key, value in values.items()
    }
    for old, new in RENAMED_KEYS.items():
        section, key = old.split(".")
        held = renamed.get(section)
        if isinstance(held, dict) and key in held:
            put(renamed, new.split("."), held.pop(key), [])
            log.info("config: %s is called %s now", old, new)
    for dotted, names in RENAMED_VALUES.items():
        section, key = dotted.split(".")
        held = renamed.get(section)
        if isinstance(held, dict) and isinstance(held.get(key), str) and held[key] in names:
            log.info("config: %s: %s is called %s now", dotted, held[key], names[held[key]])
            held[key] = names[held[key]]
    return renamed


def load_config(path: Path | None = None, overrides: Iterable[str] = (), **flags: Any) -> RunConfig:
    """A checked config from a file, `a.b=c` overrides and flags (`build__task="nli"` sets build.task; None is unset).

    ConfigError lists every unknown key, wrong type and impossible value at once.
    """
    try:
        values = dict(read_yaml(path)) if path else {}
    except DataError as error:
        raise ConfigError(error.message, hint=error.hint) from None
    problems: list[str] = []
    for override in overrides:
        _apply_override(values, override, problems)
    for flag, value in flags.items():
        if value is not None:
            put(values, flag.split("__"), value, problems)
    return check_config(values, source=str(path or "options"), problems=problems)


def check_config(values: Mapping[str, Any], *, source: str, problems: list[str]) -> RunConfig:
    """`values` as a config; ConfigError lists `problems` and everything that the checks add."""
    try:
        config = RunConfig.model_validate(with_new_names(values))
    except ValidationError as error:
        problems = problems + [_describe(row, source) for row in error.errors()]
    if problems:
        raise ConfigError(problems, hint="`spillover run --help-config` lists every key with its default")
    return config


def _apply_override(values: dict[str, Any], override: str, problems: list[str]) -> None:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        problems.append(f"--set {override}: expected key=value, as in --set train.rank=16")
        return
    try:
        value = YAML(typ="safe", pure=True).load(text)
    except YAMLError:
        problems.append(f"--set {override}: the value is not YAML")
        return
    put(values, key.strip().split("."), value, problems)


def put(values: dict[str, Any], keys: list[str], value: Any, problems: list[str]) -> None:
    """Set a nested key, copying the sections on the way; what cannot be set is added to `problems`."""
    place = values
    for key in keys[:-1]:
        inner = place.setdefault(key, {})
        if not isinstance(inner, dict):
            problems.append(f"{'.'.join(keys)}: {key!r} is not a section")
            return
        place[key] = place = dict(inner)
    place[keys[-1]] = value


def _describe(row: Any, source: str) -> str:
    """One of pydantic's errors as `source: key: what is wrong, with the value`."""
    place = ".".join(str(part) for part in row["loc"])
    if row["type"] == "extra_forbidden":
        return f"{source}: unknown key {place!r}"
    return f"{source}: {place}: {row['msg'][:1].lower()}{row['msg'][1:]}, found {row['input']!r}"


def config_lines(section: type[BaseModel] = RunConfig, prefix: str = "") -> list[tuple[str, str, str]]:
    """(key, default, what the section says of it) for every key there is, for `--help-config` and the docs."""
    lines = []
    for name, field in section.model_fields.items():
        if isinstance(field.default, Section):
            lines += config_lines(type(field.default), f"{prefix}{name}.")
        else:
            default = "null" if field.default is None else str(field.default)
            # A part of a type that carries its range prints as half a page: dict[str, Annotated[float, ...]].
            plain = re.sub(r"Annotated\[(\w+), FieldInfo\(.*?\)\]\)\]", r"\1", str(field.annotation))
            kind = plain.replace("typing.", "").replace("<class '", "").replace("'>", "")
            lines.append((prefix + name, default, kind))
    return lines
