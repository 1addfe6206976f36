"""What one run does: a section per stage, read from YAML, with every mistake reported at once.

Order of precedence: defaults here < the file < `--set a.b=c` < flags (which `cli` passes as overrides too).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from copy import deepcopy
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

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


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


class AuditThresholds(Section):
    """From where on a check of the audit reports. `spillover ls checks` says which check reads which."""

    ceiling: Share = 0.98
    """A perfect model that scores less than this in a language is an error."""
    label_gain: Share = 0.1
    """Share of the items whose labels must agree better when classes are exchanged."""
    consensus: Share = 0.75
    """Share of the other languages that must agree on a label, a number or a final mark."""
    shift_lines: Count = 5
    """Longest shift of lines that is looked for."""
    shift_items: Count = 8
    """Fewest rows in a row that count as shifted."""
    text_letters: Count = 10
    """Shorter texts are not judged by script, nor as untranslated; in letters."""
    language_letters: Count = 40
    """Shorter texts are not given to the language identifier; in letters."""
    script_share: Share = 0.5
    """Least share of letters in the language's own script."""
    language_confidence: Share = 0.9
    """Least confidence of the identifier that a text is in another language."""
    length_ratio: Share = 0.6
    """A translation shorter than this share of its expected length is truncated."""
    length_spread: Positive = 5.0
    """And it must be shorter by so many robust standard deviations."""
    cut_ratio: Share = 0.8
    """As `length_ratio`, where the final punctuation is missing too."""
    cut_spread: Positive = 2.0
    """As `length_spread`, where the final punctuation is missing too."""
    number_digits: Count = 2
    """Shorter numbers may be written out in words; in digits."""
    near_duplicate: Share = 0.8
    """Least Jaccard similarity of character 4-grams of two near duplicates."""
    balance: Share = 0.05
    """Largest difference of a class's share from its share in the other languages."""
    label_pieces: Positive = 3.0
    """Tokens of a label word, in multiples of the reference language's or of the shortest label word's."""
    token_cost: Positive = 3.0
    """Tokens per item, in multiples of the reference language's."""
    encoder_margin: Share = 0.05
    """By how much another reference item must be nearer, in cosine similarity."""


class AuditConfig(Section):
    """What the audit checks, and what counts as a fault."""

    stop: bool = True
    """An error in the data ends the run before anything is computed."""
    skip: list[str] = []
    """Checks that are not run, by id (`spillover ls checks`)."""
    tolerate: dict[str, Share] = {}
    """Up to which share of a language's rows a finding is a note, by check id."""
    thresholds: AuditThresholds = AuditThresholds()


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


# Of earlier versions, still read: dotted key → its name now, and values of a key → theirs.
RENAMED_KEYS: Mapping[str, str] = {
    **{f"audit.{key}": f"audit.thresholds.{key}" for key in AuditThresholds.model_fields},
    "train.watch_items": "train.eval_items",
    "train.watch_reference_items": "train.eval_reference_items",
    "train.watch_languages": "train.eval_languages",
}
RENAMED_VALUES: Mapping[str, Mapping[str, str]] = {
    "train.guard": {"english": "reference"},
    "train.best": {"auroc.english": "auroc.reference", "calibrated_accuracy.english": "calibrated_accuracy.reference"},
}


def with_new_names(values: Mapping[str, Any], source: str, problems: list[str]) -> dict[str, Any]:
    """A copy of a config's `values` with the keys and values of earlier versions under their new names, which one line
    of the log lists. A key that stands there under both names is added to `problems`."""
    renamed, moved = deepcopy(dict(values)), []
    for old, new in RENAMED_KEYS.items():
        section, key = _section_of(renamed, old)
        if key not in section:
            continue
        new_section, new_key = _section_of(renamed, new)
        if new_key in new_section:
            problems.append(f"{source}: {old} is now called {new}: give one of them")
        value = section.pop(key)
        put(renamed, new.split("."), value, problems)
        moved.append(f"{old} is now {new}")
    for dotted, names in RENAMED_VALUES.items():
        section, key = _section_of(renamed, dotted)
        value = section.get(key)
        if isinstance(value, str) and value in names:
            section[key] = names[value]
            moved.append(f"{dotted} {value} is now {names[value]}")
    if moved:
        log.info("%s: read names of an earlier version: %s", source, ", ".join(moved))
    return renamed


def _section_of(values: dict[str, Any], dotted: str) -> tuple[dict[str, Any], str]:
    """(the section that holds a key, empty where there is none, and the key's last part)."""
    *names, key = dotted.split(".")
    section: Any = values
    for name in names:
        section = section.get(name) if isinstance(section, dict) else None
    return (section if isinstance(section, dict) else {}), key


def load_config(path: Path | None = None, overrides: Iterable[str] = (), **flags: Any) -> RunConfig:
    """A checked config from a file, `a.b=c` overrides and flags (`build__task="nli"` sets build.task; None is unset).

    ConfigError lists every unknown key, wrong type and impossible value at once.
    """
    try:
        values = dict(read_yaml(path)) if path else {}
    except DataError as error:
        raise ConfigError(error.message, hint=error.hint) from None
    problems: list[str] = []
    values = with_new_names(values, str(path), problems)
    for override in overrides:
        _apply_override(values, override, problems)
    for flag, value in flags.items():
        if value is not None:
            put(values, flag.split("__"), value, problems)
    return check_config(values, source=str(path or "options"), problems=problems)


def check_config(values: Mapping[str, Any], *, source: str, problems: list[str]) -> RunConfig:
    """`values` as a config; ConfigError lists `problems` and everything that the checks add. Keys of earlier versions
    are read under their new names."""
    renamed = with_new_names(values, source, problems)
    try:
        config = RunConfig.model_validate(renamed)
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
    """Set a nested key, copying the sections on the way; what cannot be set is added to `problems`. The key of an
    earlier version sets the key of its new name."""
    keys = RENAMED_KEYS.get(".".join(keys), ".".join(keys)).split(".")
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
