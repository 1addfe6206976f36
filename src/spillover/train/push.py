"""A run's adapter or merged weights → a model repository on the Hugging Face hub, with a model card.

The card is made from the run folder alone: base, languages, pairs, hashes, recipe, and the verdict where there is one.
Paths of the machine it was trained on are not published: a base from a local folder is known by the folder's name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from spillover.core.errors import ModelError, RunError
from spillover.core.files import plain, read_json
from spillover.core.languages import language
from spillover.core.runs import Run

Weights = Literal["merged", "adapter"]
CARD = "README.md"
RECIPE = ("rank", "alpha", "targets", "learning_rate", "schedule", "warmup", "epochs", "batch", "seed")
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


def push(run: Run, repository: str, *, weights: Weights = "merged", private: bool = False) -> str:
    """Commit `<run>/train/<weights>` with its card to a hub repository, made when it is not there; returns its address.

    The token is huggingface_hub's own (`hf auth login`, or HF_TOKEN). RunError when the weights are not there or the
    name is none; ModelError when the hub refuses."""
    folder = run.path / "train" / weights
    if not folder.is_dir():
        raise RunError(f"{run.path}: no train/{weights} here", hint="`spillover merge` or `spillover train` first")
    if not REPOSITORY.fullmatch(repository):
        raise RunError(f"--push {repository}: not a repository", hint="owner/name, as on the hub")
    files = published(run, folder, weights, repository)
    from huggingface_hub import CommitOperationAdd, HfApi, errors
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError

    api = HfApi()
    try:
        address = api.create_repo(repository, private=private, exist_ok=True)
        api.create_commit(
            repository,
            [CommitOperationAdd(path_in_repo=name, path_or_fileobj=content) for name, content in files.items()],
            commit_message=f"{weights} weights of a spillover run",
        )
    except LocalTokenNotFoundError:
        raise ModelError(
            f"--push {repository}: no token for the hub", hint="`hf auth login`, or set HF_TOKEN"
        ) from None
    except HFValidationError as error:
        raise ModelError(f"--push {repository}: {_first_line(error)}", hint="owner/name, as on the hub") from None
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else None
        if status == 401:
            raise ModelError(f"--push {repository}: the hub knows no such token", hint="`hf auth login`") from None
        if status in (403, 404):
            raise ModelError(
                f"--push {repository}: the token may not write there",
                hint="a token with write access, or your own name",
            ) from None
        raise ModelError(f"--push {repository}: the hub answers {status}", hint="again later goes on") from None
    except (OSError, vars(errors)["HTTPError"]) as error:  # no network, as the hub's own client says it
        raise ModelError(f"--push {repository}: the hub is not reached ({_first_line(error)})", hint="again") from None
    return str(address)


def published(run: Run, folder: Path, weights: Weights, repository: str) -> dict[str, str | bytes]:
    """What is uploaded, by name: a path on disk for weights and tokenizer, bytes for what is written anew."""
    base = _base(folder)
    files: dict[str, str | bytes] = {}
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name != CARD:
            files[path.name] = str(path)
            if path.suffix == ".json" and path.name in ("adapter_config.json", "spillover.json", "merge.json"):
                text = json.dumps(_without_paths(read_json(path), public_name(base)), ensure_ascii=False, indent=2)
                files[path.name] = text.encode()
    files[CARD] = model_card(run, weights, repository).encode()
    return files


def model_card(run: Run, weights: Weights, repository: str) -> str:
    """README.md: what was trained on what, by which recipe, what it showed, and whose licence holds."""
    stages = run.manifest()["stages"]
    if "train" not in stages:
        raise RunError(f"{run.path}: the training is not in its run.json", hint="`spillover train` again")
    trained, built = stages["train"], stages.get("build", {})
    facts, settings = trained.get("facts", {}), trained["settings"]
    base = public_name(_base(run.path / "train" / weights))
    codes = list(built.get("facts", {}).get("languages", ()))
    names = ", ".join(language(code).name for code in codes) or "not recorded"
    recipe = ", ".join(f"{key} {settings[key]}" for key in RECIPE if key in settings)
    lines = [
        *_front_matter(base, weights, codes),
        f"# {repository.partition('/')[2]}",
        "",
        f"{_article(weights)} of `{base}`, tuned on question translations with "
        f"[spillover](https://arxiv.org/abs/2405.13816): translation of a task's questions, no labelled answers.",
        "",
        f"- Base: `{base}` (fingerprint {settings['model']})",
        f"- Languages of the pairs: {names}",
        f"- Pairs: {facts.get('pairs')} (hash {settings['pairs']}), arm {built.get('facts', {}).get('arm', 'unknown')}",
        f"- Recipe: {recipe}",
        f"- Steps: {facts.get('steps')}, loss {_short(facts.get('loss'))}, validation loss "
        f"{_short(facts.get('validation_loss'))}",
        f"- Versions: {', '.join(f'{name} {value}' for name, value in run.manifest()['versions'].items())}",
    ]
    if "stopped" in facts:
        lines.append(f"- Stopped by its guard at step {facts['stopped']['step']}: {facts['stopped']['why']}")
    lines += ["", "## Does it work?", "", *_verdict(run), "", "## Licence", ""]
    lines.append(
        f"These weights are derived from `{base}`: its licence holds for them too, and so may that of the data."
    )
    return "\n".join(lines) + "\n"


def _front_matter(base: str, weights: Weights, codes: list[str]) -> list[str]:
    head = [
        "---",
        f"library_name: {'peft' if weights == 'adapter' else 'transformers'}",
        "pipeline_tag: text-generation",
    ]
    if "/" in base:  # the hub refuses a base that is no repository
        head += [f"base_model: {base}", f"base_model_relation: {'adapter' if weights == 'adapter' else 'finetune'}"]
    # Quoted: a bare Norwegian code is a truth value to some readers of YAML.
    head += ["language:", *(f'- "{code}"' for code in codes)] if codes else []
    return [*head, "tags:", "- spillover", "- question-translation", "---", ""]


def _verdict(run: Run) -> list[str]:
    path = run.path / "compare" / "verdict.json"
    if not path.exists():
        return ["Not compared with its base in this run: nobody has shown that it is better."]
    lines = []
    for comparison in read_json(path):
        lines += [f"On {comparison['task']}:", ""]
        lines += [f"- {sentence['text']}" for sentence in comparison["verdict"]]
        lines.append("")
    return lines[:-1]


def public_name(name: str) -> str:
    """A model's name without the path of this machine."""
    return Path(name).name if Path(name).exists() or Path(name).is_absolute() else name


def _base(folder: Path) -> str:
    """The base's name, as the note beside the weights has it."""
    note = next((path for name in ("spillover.json", "merge.json") if (path := folder / name).is_file()), None)
    if note is None:
        raise RunError(f"{folder}: nothing says its base", hint="`spillover train` or `spillover merge` writes it")
    return str(read_json(note)["base"]["name"])


def _without_paths(value: Any, base: str) -> Any:
    """The same JSON with the base under its public name, and other paths of this machine cut to their last part."""
    if isinstance(value, Mapping):
        return {
            key: base if key == "base_model_name_or_path" else _without_paths(item, base) for key, item in value.items()
        }
    if isinstance(value, list):
        return [_without_paths(item, base) for item in value]
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else plain(value)


def _article(weights: Weights) -> str:
    return "A LoRA adapter" if weights == "adapter" else "Full weights"


def _short(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.3f}"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
