"""A model card from a run folder: front matter as the Hugging Face hub reads it, with the results, and what they show.

Paths of the machine it was trained on are not told: a base from a local folder is known by the folder's name.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from spillover.core.config import on_hub
from spillover.core.errors import RunError
from spillover.core.files import atomic
from spillover.core.languages import language
from spillover.core.runs import Run, existing_run
from spillover.stages.compare.comparison_files import FOLDER as COMPARE
from spillover.stages.compare.comparison_files import read_comparisons
from spillover.stages.compare.format import p_value, percent, points
from spillover.stages.compare.result import Comparison
from spillover.stages.compare.stage import training_languages
from spillover.stages.report.score_summaries import read_all_evaluations
from spillover.stages.train.push import Weights, base_name, public_name

RECIPE = ("rank", "alpha", "targets", "learning_rate", "schedule", "warmup", "epochs", "batch", "seed")
METRICS = {"accuracy": "accuracy", "calibrated_accuracy": "calibrated accuracy", "auroc": "AUROC"}
GROUPS = {"all": "all languages", "seen": "languages trained on", "unseen": "languages not trained on"}


def write_card(path: Path | str, *, licence: str | None = None) -> Path:
    """Write `<run>/model-card.md`, and return its path. licence: by the hub's name for it, as in apache-2.0."""
    run = existing_run(path)
    kinds: tuple[Weights, ...] = ("merged", "adapter")
    weights = next((kind for kind in kinds if (run.path / "train" / kind).is_dir()), None)
    target = run.path / "model-card.md"
    text = model_card(run, weights, str(run.manifest().get("name") or run.path.name), licence=licence)
    with atomic(target) as partial:
        partial.write_text(text, encoding="utf-8")
    return target


def model_card(run: Run, weights: Weights | None, name: str, *, licence: str | None = None) -> str:
    """The card as Markdown: what was trained on what, by which recipe, what it showed, and whose licence holds.

    weights: which of the run's, None when it holds none. RunError when nothing says what the base is.
    """
    base = _base(run, weights)
    found = read_comparisons(run.path / COMPARE) if (run.path / COMPARE / "verdict.json").exists() else []
    codes = list(training_languages(run))
    shown, known = on_hub(base)
    licence = licence or known
    lines = [*_front_matter(name, shown, weights, codes, found, licence), f"# {name}", ""]
    lines += [
        f"{_article(weights)} of `{shown}`, tuned on question translations with "
        "[spillover](https://arxiv.org/abs/2405.13816): translation of a task's questions, no labelled answers.",
        "",
        *_training(run, shown, codes),
        "",
        "## Does it work?",
        "",
        *_verdict(found),
        "",
        "## Licence",
        "",
        f"These weights are derived from `{shown}`: its licence holds for them too, and so may that of the data.",
    ]
    return "\n".join(lines) + "\n"


def _base(run: Run, weights: Weights | None) -> str:
    """The base's public name: from the note beside the weights, else from what was evaluated before."""
    if weights is not None:
        return public_name(base_name(run.path / "train" / weights))
    held = read_all_evaluations(run)
    if not held:
        raise RunError(f"{run.path}: neither weights nor scores, so no card", hint="`spillover train` first")
    return public_name(next(iter(held.values())).model.name)


def _training(run: Run, base: str, codes: Sequence[str]) -> list[str]:
    manifest = run.manifest()
    trained, built = manifest["stages"].get("train"), manifest["stages"].get("build", {})
    if trained is None:
        return [f"- Base: `{base}`", "- The training is not in this run."]
    facts, settings = trained.get("facts", {}), trained["settings"]
    names = ", ".join(language(code).name for code in codes) or "not recorded"
    lines = [
        f"- Base: `{base}` (fingerprint {settings['model']})",
        f"- Languages of the pairs: {names}",
        f"- Pairs: {facts.get('pairs')} (hash {settings['pairs']}), arm {built.get('facts', {}).get('arm', 'unknown')}",
        f"- Recipe: {', '.join(f'{key} {settings[key]}' for key in RECIPE if key in settings)}",
        f"- Steps: {facts.get('steps')}, loss {_short(facts.get('loss'))}, validation loss "
        f"{_short(facts.get('validation_loss'))}",
        f"- Versions: {', '.join(f'{name} {value}' for name, value in manifest['versions'].items())}",
    ]
    if "stopped" in facts:
        lines.append(f"- Stopped by its guard at step {facts['stopped']['step']}: {facts['stopped']['why']}")
    return lines


def _front_matter(
    name: str,
    base: str,
    weights: Weights | None,
    codes: Sequence[str],
    found: Sequence[Comparison],
    licence: str | None,
) -> list[str]:
    """YAML between two lines of dashes. Texts are quoted: a bare Norwegian code is a truth value to some readers."""
    head = [
        "---",
        f"library_name: {'peft' if weights == 'adapter' else 'transformers'}",
        "pipeline_tag: text-generation",
    ]
    if licence:
        head.append(f"license: {json.dumps(licence)}")
    else:
        head += ["license: other", f"license_name: {json.dumps('that of the base, ' + base)}"]
    if "/" in base:  # the hub refuses a base that is no repository
        head += [f"base_model: {base}", f"base_model_relation: {'adapter' if weights == 'adapter' else 'finetune'}"]
    evaluated = dict.fromkeys([*codes, *(code for one in found for code in one.languages["language"])])
    head += ["language:", *(f'- "{code}"' for code in evaluated)] if evaluated else []
    head += ["tags:", "- spillover", "- question-translation"]
    results = [row for one in found for row in _results(one)]
    if results:
        head += ["model-index:", f"- name: {json.dumps(name, ensure_ascii=False)}", "  results:", *results]
    return [*head, "---", ""]


def _results(found: Comparison) -> list[str]:
    """The results block of one task: after tuning, the means over groups and each language's accuracy."""
    rows: list[tuple[str, str, str, float]] = []
    for row in found.groups.to_dict("records"):
        if row["group"] in GROUPS and row["metric"] in METRICS:
            text = f"{METRICS[row['metric']]}, mean over {GROUPS[row['group']]} ({row['languages']})"
            rows.append((row["group"], row["metric"], text, row["after"]))
    for row in found.languages.to_dict("records"):
        rows.append(
            (row["language"], "accuracy", f"accuracy in {language(row['language']).name}", row["accuracy_after"])
        )
    lines: list[str] = []
    for config in dict.fromkeys(row[0] for row in rows):
        lines += [
            "  - task:", "      type: text-classification", f"      name: {json.dumps(found.task, ensure_ascii=False)}",
            "    dataset:", f"      type: {json.dumps(found.task, ensure_ascii=False)}",
            f"      name: {json.dumps(f'{found.task}, {GROUPS.get(config, config)}', ensure_ascii=False)}",
            f"      config: {json.dumps(config)}", "      split: test", "    metrics:",
        ]  # fmt: skip
        for _, metric, text, value in (row for row in rows if row[0] == config and row[3] == row[3]):
            lines += [f"    - type: {metric}", f"      name: {json.dumps(text)}", f"      value: {value:.4f}"]
    return lines


def _verdict(found: Sequence[Comparison]) -> list[str]:
    if not found:
        return ["Not compared with its base in this run: nobody has shown that it is better."]
    lines: list[str] = []
    for one in found:
        lines += [f"On {one.task}:", "", *(f"- {sentence.text}" for sentence in one.verdict), ""]
        lines += [*_table(one), ""]
    return lines[:-1]


def _table(found: Comparison) -> list[str]:
    """Before and after by language, as Markdown."""
    lines = ["| Language | Items | Before (%) | After (%) | Change (interval) | Holm p |", "|---|---|---|---|---|---|"]
    for row in found.languages.to_dict("records"):
        mark = " (trained on)" if row["seen"] else ""
        cells = [percent(row[f"accuracy_{key}"]) for key in ("before", "after")]
        delta, low, high = (points(row[f"accuracy_{end}"]) for end in ("delta", "low", "high"))
        name = f"{language(row['language']).name}{mark}"
        cells = [name, str(row["n"]), *cells, f"{delta} ({low} to {high})", p_value(row["holm_p"])]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _article(weights: Weights | None) -> str:
    return {"adapter": "A LoRA adapter", "merged": "Full weights", None: "A tuned version"}[weights]


def _short(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.3f}"
