"""What one run does: a section per stage, read from YAML, with every mistake reported at once.

Order of precedence: defaults here < the file < `--set a.b=c` < flags (which `cli` passes as overrides too).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from spillover.core.errors import ConfigError, DataError
from spillover.core.file_names import name_problem
from spillover.core.files import read_yaml
from spillover.core.types import Fallback, Primary

log = logging.getLogger(__name__)


def _regular_expression(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    return text


DEVICE_MAPS = ("auto", "balanced", "balanced_low_0", "sequential")


def _device_map(value: str | dict[str, str | int]) -> str | dict[str, str | int]:
    if isinstance(value, str) and value not in DEVICE_MAPS:
        raise ValueError(f"expected {', '.join(DEVICE_MAPS)}, or a device by module")
    return value


KEY_VARIABLE = "SPILLOVER_API_KEY"
"""The environment variable that a server's key is read from; no file has it."""

Share = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
Languages = str | list[str]
SteeringMethod = Literal["mean-shift", "language-vector", "incline"]
Positions = Literal["all", "question", "last"]
"""Which tokens an intervention changes: all; those of the item, its label's too; or the last one before the label."""
Best = Literal[
    "validation_loss",
    "auroc.reference", "auroc.seen", "auroc.unseen", "auroc.all",
    "calibrated_accuracy.reference", "calibrated_accuracy.seen", "calibrated_accuracy.unseen",
    "calibrated_accuracy.all",
    "mexa.seen", "mexa.unseen", "mexa.all",
]  # fmt: skip


class Section(BaseModel):
    """Unknown keys are errors, and nothing changes after it was checked. Each key's docstring is its help text."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class ModelConfig(Section):
    """Which model, and how it is loaded."""

    name: str = "smollm2-135m"
    """A packaged model (`spillover ls models`), a Hugging Face id, a .gguf file, or a folder."""
    revision: str | None = None
    """Branch, tag or commit on the hub."""
    adapter: str | None = None
    """Folder of a LoRA adapter."""
    adapter_layers: str | None = None
    """Layers that keep the adapter: outer (the first quarter and the last), middle (the half between), or numbers from
    0 as in 0-3,10; null: all."""
    steer: str | None = None
    """Folder of an intervention that `spillover steer` made for this model."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """auto: bfloat16 where the hardware multiplies it, else float32 (float16 on older GPUs)."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps, ..."""
    device_map: Annotated[str | dict[str, str | int], AfterValidator(_device_map)] | None = None
    """Spread layers over devices: auto, balanced, balanced_low_0, sequential, or a device by module
    (docs/big-models.md); null: all on `device`."""
    max_memory: dict[str | int, Annotated[str, Field(pattern=r"^[0-9.]+ ?[KMGT]i?B$")]] = {}
    """Most that `device_map` may take of each device, as in {0: 20GiB, cpu: 60GiB}."""
    quantise: Literal["4bit", "8bit"] | None = None
    """Load linear layers in 4 or 8 bits, with bitsandbytes on a GPU; null: as `dtype` says."""
    attention: Literal["auto", "eager", "sdpa", "flash_attention_2"] = "auto"
    """Attention outside the shared prefix and packed training, by transformers' name for it."""
    ignore_weights: list[Annotated[str, AfterValidator(_regular_expression)]] = []
    """Regular expressions of weights that the files hold and the model has no place for; others are refused."""
    trust_remote_code: bool = False
    """Run code that comes with the model."""
    server: list[str] = []
    """Addresses of vLLM servers that hold the model, as in http://a:8000 (docs/server.md); `name` and `adapter` are
    then names that they serve. Empty: the model is loaded here."""
    tokenizer: str | None = None
    """Of a served model: hub id or folder of its tokenizer; null: its name."""
    in_flight: Count = 16
    """Requests at a time for each server, to begin with; adapted by the latency of its answers."""


class AuditThresholds(Section):
    """Thresholds of the audit's checks; `spillover ls checks` says which check reads which."""

    ceiling: Share = 0.98
    """A perfect model that scores less than this in a language is an error."""
    label_gain: Share = 0.1
    """Share of the items whose labels must agree better when classes are exchanged."""
    consensus: Share = 0.75
    """Share of the other languages that must agree on a label, a number or a final mark."""
    shift_lines: Count = 5
    """Longest shift of lines that is searched for."""
    shift_items: Count = 8
    """Least run of consecutive rows that counts as shifted."""
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
    added_share: Share = 0.02
    """Least share of a language's rows that hold the same added text."""
    added_nats: Positive = 8.0
    """By how much lengths must fit the other languages' better without it, in nats."""
    exchange_odds: Positive = 100.0
    """Least odds that two fields of a row are exchanged, or the answers of an item in another order."""
    length_gain: Share = 0.1
    """By how much more often than in the other languages the longest (or shortest) answer must be the right one."""
    balance: Share = 0.05
    """Largest difference of a class's share from its share in the other languages."""
    label_pieces: Positive = 3.0
    """Tokens of a label word, in multiples of the reference language's or of the shortest label word's."""
    token_cost: Positive = 3.0
    """Tokens per item, in multiples of the reference language's."""
    encoder_margin: Share = 0.05
    """Margin in cosine similarity by which another reference item must be nearer."""


class AuditConfig(Section):
    """What the audit checks, and what counts as a fault."""

    stop: bool = True
    """An error in the data ends the run before anything is computed."""
    skip: list[str] = []
    """Checks that are not run, by id (`spillover ls checks`)."""
    tolerate: dict[str, Share] = {}
    """Up to which share of a language's rows a finding is a note, by check id."""
    thresholds: AuditThresholds = AuditThresholds()


class TranslatorConfig(Section):
    """What translates: one of seq2seq, server, causal and command (docs/translate.md)."""

    seq2seq: str | None = None
    """A translation model of transformers (NLLB, M2M100, MADLAD, opus-mt): a Hugging Face id or a folder."""
    server: str | None = None
    """Address of a chat or completion server with OpenAI's API, as in http://a:8000; its key is read from
    SPILLOVER_API_KEY."""
    name: str | None = None
    """Name under which the server serves its model."""
    api: Literal["chat", "completion"] = "chat"
    """Which of the server's interfaces is asked."""
    causal: str | None = None
    """A language model that translates by few-shot: a packaged model, a Hugging Face id, a .gguf file, or a folder."""
    command: list[Annotated[str, Field(min_length=1)]] = []
    """A program and its arguments, run without a shell: JSON lines with text, source and target in, JSON lines with
    translation out."""
    revision: str | None = None
    """Branch, tag or commit on the hub."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """As model.dtype."""
    device: str = "auto"
    """As model.device."""
    examples: str | None = None
    """File of few-shot examples for causal and server: JSON lines with a sentence by language code; null: the
    task's shots, then sentences that come with the package."""
    shots: Annotated[int, Field(ge=0)] = 4
    """Most few-shot examples in a prompt."""
    beams: Count | None = None
    """Beams of seq2seq; null: as the model's own settings for generation say."""
    batch: Count = 16
    """Texts at a time."""
    max_new_tokens: Count = 256
    """Most tokens of the translation of one line of text; one that does not end by then counts as cut."""
    timeout: Positive = 300.0
    """Seconds for an answer of the server, or of the command for a batch."""

    @model_validator(mode="after")
    def _one_translator(self) -> TranslatorConfig:
        given = [key for key in TRANSLATORS if getattr(self, key)]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} exclude each other")
        if self.server and not self.name:
            raise ValueError("server needs name, that of a model that it serves")
        if self.name and not self.server:
            raise ValueError("name goes with server")
        return self


TRANSLATORS = ("seq2seq", "server", "causal", "command")


class BuildConfig(Section):
    """Question-translation pairs, or a placebo arm of them."""

    task: str = "sentiment"
    """Task whose training questions are paired: a bundled name or a folder."""
    questions: Literal["train", "unscored"] = "train"
    """train: the task's training questions; unscored: those of its test items that are not scored, all where the task
    is not among `tasks`, else those outside `fold`."""
    sources: Languages = "all"
    """Source languages, as in zh,sw; all: every language with questions but the target."""
    target: str | None = None
    """Target language; null: the reference language."""
    pairs: Count | None = None
    """Pairs per source language, on average; null: all."""
    arm: Literal["translate", "shuffled", "copy", "template", "off-domain", "labelled"] = "translate"
    """translate, or a placebo arm."""
    off_domain: str | None = None
    """The other task of the off-domain arm."""
    overlap: Literal["refuse", "drop"] = "refuse"
    """Training questions that are test items."""
    missing_items: Literal["refuse", "pairwise"] = "refuse"
    """pairwise: each source uses the questions that it shares with the target."""
    mix: Literal["proportional", "equal", "temperature"] = "proportional"
    """Shares of the source languages."""
    temperature: Annotated[float, Field(ge=1)] = 3.0
    """Sampling temperature of the shares; 1 is proportional."""
    replay: Share = 0.0
    """Share of replay rows: plain text in the reference language, against forgetting."""
    replay_text: str | None = None
    """File whose lines are replayed; null: the task's questions in the reference language."""
    files: list[str] = []
    """Ready-made pairs instead: the paper's, TRL's or LLaMA-Factory's files (its dataset_info.json). A system prompt
    stands in front of its prompt; rows with earlier turns, tools or weights are refused."""


class TranslateConfig(Section):
    """Questions of one's own → training questions in more languages, for `build` (docs/translate.md)."""

    task: str = "sentiment"
    """Task whose fields the questions have: a bundled name or a folder."""
    source: str | None = None
    """Language of the questions; null: the reference language."""
    targets: list[str] = []
    """Languages to translate into, by code."""
    translator: TranslatorConfig = TranslatorConfig()
    shortest: Share = 0.35
    """Least length of a translation, as a share of its text's; a character of Chinese, Japanese or Korean counts as
    three."""
    longest: Annotated[float, Field(gt=1)] = 3.0
    """Largest length of a translation, in multiples of its text's."""
    give_up: Count = 16
    """Rows in succession that may fail: with more, the translator is to blame, and nothing further is asked of it."""
    missing_items: Literal["intersection", "pairwise"] = "intersection"
    """Rows that were left out of a language: intersection leaves them out of all, pairwise out of that one alone (then
    build.missing_items is pairwise too)."""


class TrainConfig(Section):
    """LoRA tuning. The defaults are the gentlest recipe measured on the packaged model; examples/paper.yaml has the
    paper's."""

    method: Literal["lora", "rslora", "dora"] = "lora"
    """Adapter, by peft's name for it."""
    rank: Count = 8
    """Rank of the adapter."""
    alpha: Positive = 16.0
    """LoRA's alpha: updates are scaled by alpha / rank."""
    dropout: Share = 0.0
    """Dropout of the adapter's input."""
    targets: list[str] | Literal["all-linear"] = ["q_proj", "v_proj"]
    """Names of the linear layers that get an adapter, or all-linear."""
    layers: str | None = None
    """Layers that get an adapter, as in model.adapter_layers: outer, middle, or numbers from 0; null: all."""
    align: Count | None = None
    """Layer, as the probe counts, in which both questions of a pair are drawn together by InfoNCE on their mean states,
    every second step in place of translation (docs/layers.md); null: none."""
    learning_rate: Positive = 2e-4
    """Peak learning rate of AdamW."""
    schedule: Literal["cosine", "linear", "constant_with_warmup"] = "cosine"
    """Learning-rate schedule."""
    warmup: Share = 0.1
    """Share of the steps for warm-up."""
    epochs: Positive = 1.0
    """Passes over the pairs."""
    batch: Count = 16
    """Effective batch: pairs a step, over all processes."""
    batch_tokens: Count = 1024
    """Most tokens in a micro-batch; a batch is split into micro-batches (gradient accumulation)."""
    max_tokens: Count = 2048
    """Longest pair, in tokens."""
    long_pairs: Literal["refuse", "drop", "cut"] = "refuse"
    """Pairs of more than max_tokens tokens; cut shortens the completion."""
    validation: Share = 0.05
    """Share of the pairs held out for validation loss."""
    checkpoint_steps: Count = 50
    """Steps between checkpoints."""
    end_of_text: bool = True
    """Train the end-of-text token after each completion."""
    chat_template: bool | None = None
    """Wrap each pair in the model's own chat template; null: as evaluate.chat."""
    report_to: list[str] = []
    """Experiment trackers, as transformers names them: tensorboard, wandb, ..."""
    keep_merged: bool = True
    """Also write the merged weights."""
    eval_every: Count | None = None
    """Steps between in-training evaluations on a few items of the first task; null: none."""
    guard: Literal["reference"] | None = "reference"
    """reference: stop when the reference language has lost more than compare.margin; null: never."""
    best: Best = "validation_loss"
    """Metric that selects the checkpoint to keep."""
    eval_items: Count = 32
    """Items per language in in-training evaluation."""
    eval_reference_items: Count = 400
    """Items of the reference language in in-training evaluation; more, so that the guard has power."""
    eval_languages: Languages | None = None
    """Languages of in-training evaluation; null: the reference language, those trained on and three others."""
    seed: Annotated[int, Field(ge=0)] | None = None
    """Seed of the training alone; null: the run's. Seeds then share their pairs and test items."""


class SteerConfig(Section):
    """An intervention without training: what parallel text says to add to hidden states, with its nulls."""

    method: SteeringMethod = "mean-shift"
    """mean-shift: into the reference language's mean state and back; language-vector: the mean difference to the
    reference language; incline: a ridge map to the reference language's states (docs/steer.md)."""
    text: str = "sentiment"
    """Task whose training questions are the parallel text: a bundled name or a folder."""
    questions: Literal["train", "unscored"] = "train"
    """train: the task's training questions; unscored: those of its test items that are not scored, as in `build`."""
    languages: Languages = "all"
    """Languages with a vector, of those with training questions."""
    sentences: Count | None = None
    """Sentences per language; null: all."""
    overlap: Literal["refuse", "drop"] = "refuse"
    """Sentences that are items of the scored tasks."""
    choose: Literal["rule", "held-out"] = "rule"
    """rule: layers by retrieval on the parallel text, strength as given; held-out: both by the scores of held-out
    items, which are not scored again."""
    layers: list[Annotated[int, Field(ge=0)]] | None = None
    """Hidden states to change, the input of block l being l (mean-shift: two); with held-out, those to choose from;
    null: by the rule, or every inner one."""
    strength: float = 1.0
    """Multiplies what is added; the rule's."""
    strengths: Annotated[list[float], Field(min_length=1)] = [0.5, 1.0, 2.0]
    """Strengths that held-out items choose from."""
    positions: Positions | None = None
    """Tokens that are changed: all, question (the item's and its label's), last (before the label); null: the method's
    own."""
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """Share of the first task's items that held-out takes, by a hash of their id."""


class EvaluateConfig(Section):
    """Log-probability of every label for every item."""

    labels: str = "english"
    """Label set: native, english, irrelevant, or another of the task."""
    shots: str = "own"
    """Languages of the few-shot examples: own (the item's), a code for all, mixed (each in another, in turn by the
    seed; mixed:zh,de,... chooses among which), or CODE+unrelated, its placebo: each behind an unrelated sentence of
    another language (docs/shots.md)."""
    wording: str | None = None
    """Language whose wording (template, label words, shots) languages without their own get; null: they are left out,
    or refused where they are named."""
    chat: Literal["auto", "off", "single", "turns"] = "auto"
    """Chat template: off; single, the shots and the item in one user turn; turns, each shot a user and an assistant
    turn. auto: turns for a model tuned for chat, else off. Training follows it."""
    system_prompt: str | None = None
    """System prompt of the chat; null: none but what the template writes itself."""
    rule: Literal["exact", "paper"] = "exact"
    """exact: whole label words; paper: the paper's first-token rule, for comparison alone."""
    budget_minutes: Positive | None = None
    """Time limit that sets the number of items, the same in every language, for one model on one task; null: none."""
    content_free: list[str] = ["N/A", "", "[MASK]"]
    """Content-free inputs of contextual calibration, scored beside the items."""
    batch_tokens: Count = 4096
    """Most tokens in a forward pass."""
    prefix_cache: bool = True
    """Compute the shared few-shot prefix once."""
    missing_items: Literal["refuse", "intersection"] = "refuse"
    """Items missing in some language; intersection leaves them out of all."""
    disagreeing_labels: Literal["refuse", "keep"] = "refuse"
    """Items whose label differs between languages."""


class CompareConfig(Section):
    """Intervals, tests and the verdict. Nothing here needs the model."""

    primary: Primary = "auto"
    """Measure of verdict, placebo contrast and power, declared before scoring; the others are secondary. auto: what the
    run declares, else auroc for label words and accuracy for choices and pairs."""
    fallback: Fallback | None = None
    """Primary measure of a task in which `primary` is undefined for a language, such as AUROC with one class; null:
    none, that task is not tested."""
    draws: Count = 2000
    """Bootstrap resamples."""
    level: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """Coverage of the intervals; 1 - level is the significance level."""
    margin: Annotated[float, Field(gt=0, lt=1)] = 0.02
    """Non-inferiority margin of the reference language; 0.02 is 2 points."""
    effect: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Smallest change in the primary measure that matters; 0.05 is 5 points, or 0.05 of AUROC."""
    power: Annotated[float, Field(gt=0, lt=1)] = 0.8
    """Power below which a test for `effect` is called underpowered."""
    calibration: Literal["none", "batch", "contextual", "pmi"] = "batch"
    """Calibration of calibrated accuracy and the label-bias component."""
    length: Literal["sum", "token", "byte"] | None = None
    """Length rule for answers of several tokens: summed log-probability, or its mean per token or byte; null: the
    task's, sum unless it says otherwise."""
    groups: dict[str, list[str]] = {}
    """Custom groups of languages: name to codes."""
    against: list[str] = []
    """Other run folders, placebo arms or further seeds, that this run is compared with."""
    missing_items: Literal["refuse", "intersection"] = "refuse"
    """Items missing on one side; intersection leaves them out."""


class AlternativesConfig(Section):
    """What is free, beside a tuned model, in one table (docs/alternatives.md)."""

    rows: list[str] = []
    """Rows beside the base and the calibrated base: bound (the reference language's score), shots:FORM as in
    evaluate.shots, self-translate and translate-test (the items in the reference language, by the model itself and by
    the translator), steer:METHOD by the steer section, layers:LAYERS of the adapter, tuned; empty: no table."""
    adapter: str | None = None
    """Folder of the tuned model's adapter; null: the run's own."""
    placebos: dict[str, str] = {}
    """Placebo arms, name to the folder of an adapter: the nulls of tuned and of its layers."""
    translator: TranslatorConfig = TranslatorConfig()
    """What translates for translate-test: one of seq2seq, server, causal, command, and its settings. Of these,
    self-translate takes examples, shots, batch and max_new_tokens."""


class ProbeConfig(Section):
    """Logit lens, PCA, alignment and language identity, by layer, beside their nulls."""

    task: str | None = None
    """Task whose items are probed; null: the first."""
    languages: Languages = "all"
    """Languages, of those evaluated."""
    items: Count = 24
    """Items per language, of those evaluated."""
    layers: list[Annotated[int, Field(ge=0)]] | None = None
    """Layers whose hidden states are kept, as in 0,8,16 (0 is the embedding); null: all."""
    rule: Literal["exact", "paper"] = "exact"
    """Which tokens the lens counts as a label's first: exact, or the paper's."""
    pairs: Literal["reference", "all"] = "reference"
    """Alignment of each language with the reference language, or of all pairs."""
    draws: Count = 200
    """Permutations of the alignment null."""
    random_weights: bool = True
    """Also probe the same architecture with random weights, as a null: a second model in memory, and doubles the
    runtime."""


class ReportConfig(Section):
    """The page."""

    title: str | None = None
    """Heading of the page; null: the run's name."""


class RayConfig(Section):
    """Tasks of `--on ray` (docs/sweep.md). Nothing here changes what a run is."""

    num_cpus: Count = 1
    """CPUs of a task or worker, and its threads."""
    num_gpus: Annotated[float, Field(ge=0)] = 0.0
    """GPUs of a task or worker; 0.5: two share one."""
    retries: Annotated[int, Field(ge=0)] = 2
    """How often a task is started again whose worker died."""


def _file_name(name: str) -> str:
    if problem := name_problem(name):
        raise ValueError(problem)
    return name


def _fold(text: str) -> str:
    number, count = map(int, text.split("/"))
    if not (number <= count and count > 1):
        raise ValueError("not a part of two or more, as in 1/2 and 2/2")
    return text


class RunConfig(Section):
    """Everything one run does."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$"), AfterValidator(_file_name)] = "run"
    """Name of the run, and of its folder under runs/."""
    seed: Annotated[int, Field(ge=0)] = 0
    """The same seed gives the same result."""
    data: str = "demo"
    """demo, or a folder with `<task>/<split>/<language>.jsonl`."""
    tasks: Annotated[list[str], Field(min_length=1)] = ["sentiment"]
    """Bundled tasks (`spillover ls tasks`), or task folders."""
    languages: Languages = "all"
    """Languages: all, or codes as in zh,de."""
    limit: Count | None = None
    """Items per language; null: all."""
    fold: Annotated[str, Field(pattern=r"^[1-9][0-9]*/[1-9][0-9]*$"), AfterValidator(_fold)] | None = None
    """Part of the items that is scored, by a hash of their id, as in 1/2; build.questions: unscored trains on the
    questions of the others (docs/cross-fitting.md); null: all."""
    model: ModelConfig = ModelConfig()
    audit: AuditConfig = AuditConfig()
    translate: TranslateConfig = TranslateConfig()
    build: BuildConfig = BuildConfig()
    train: TrainConfig = TrainConfig()
    steer: SteerConfig = SteerConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    compare: CompareConfig = CompareConfig()
    alternatives: AlternativesConfig = AlternativesConfig()
    probe: ProbeConfig = ProbeConfig()
    report: ReportConfig = ReportConfig()
    ray: RayConfig = RayConfig()


RENAMED_KEYS: Mapping[str, str] = {
    **{f"audit.{key}": f"audit.thresholds.{key}" for key in AuditThresholds.model_fields},
    "model.load_in_4bit": "model.quantise",
    "train.watch_items": "train.eval_items",
    "train.watch_reference_items": "train.eval_reference_items",
    "train.watch_languages": "train.eval_languages",
}
RENAMED_VALUES: Mapping[str, Mapping[str | bool, str | None]] = {
    "model.quantise": {True: "4bit", False: None},
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
        if isinstance(value, str | bool) and value in names:
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
        raise ConfigError(error.problems, hint=error.hint) from None
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
        is_grid = not {"grid", "cases"}.isdisjoint(values)
        hint = (
            "`spillover sweep` runs a config with a grid" if is_grid else "`spillover run --help-config` lists all keys"
        )
        raise ConfigError(problems, hint=hint)
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
    section = values
    for key in keys[:-1]:
        inner = section.setdefault(key, {})
        if not isinstance(inner, dict):
            problems.append(f"{'.'.join(keys)}: {key!r} is not a section")
            return
        section[key] = section = dict(inner)
    section[keys[-1]] = value


def _describe(row: Any, source: str) -> str:
    """One of pydantic's errors as `source: key: what is wrong, with the value`."""
    key = ".".join(str(part) for part in row["loc"])
    if row["type"] == "extra_forbidden":
        return f"{source}: unknown key {key!r}"
    return f"{source}: {key}: {row['msg'][:1].lower()}{row['msg'][1:]}, found {row['input']!r}"
