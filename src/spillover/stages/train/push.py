"""A run's adapter or merged weights → a model repository on the Hugging Face hub, with the model card that it is given.

Paths of the machine it was trained on are not published: a base from a local folder is known by the folder's name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spillover.core.errors import ModelError, RunError
from spillover.core.files import plain, read_json
from spillover.core.model_names import Weights, base_name, public_name
from spillover.core.runs import Run

CARD = "README.md"
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


def push(run: Run, repository: str, *, card: str, weights: Weights = "merged", private: bool = False) -> str:
    """Commit `<run>/train/<weights>` with its card to a hub repository, created if needed; returns its URL. card: its
    README.md, see `report.model_card`.

    The token is huggingface_hub's own (`hf auth login`, or HF_TOKEN). RunError when the weights do not exist or the
    repository's name is not valid; ModelError when the hub refuses."""
    folder = run.path / "train" / weights
    if not folder.is_dir():
        raise RunError(f"{run.path}: no train/{weights} found", hint="`spillover merge` or `spillover train` first")
    if not REPOSITORY.fullmatch(repository):
        raise RunError(f"--push {repository}: not a repository name", hint="owner/name, as on the hub")
    files = published(folder, card)
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
            raise ModelError(
                f"--push {repository}: the hub does not accept the token", hint="`hf auth login`"
            ) from None
        if status in (403, 404):
            raise ModelError(
                f"--push {repository}: the token may not write there",
                hint="use a token with write access, or your own account as owner",
            ) from None
        raise ModelError(f"--push {repository}: the hub answered {status}", hint="retry later") from None
    except (OSError, vars(errors)["HTTPError"]) as error:  # no network, as the hub's own client says it
        raise ModelError(
            f"--push {repository}: the hub cannot be reached ({_first_line(error)})",
            hint="check your connection and retry",
        ) from None
    return str(address)


def published(folder: Path, card: str) -> dict[str, str | bytes]:
    """The files to upload, by name: a path on disk for weights and tokenizer, bytes for what is rewritten."""
    base = base_name(folder)
    files: dict[str, str | bytes] = {}
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name != CARD:
            files[path.name] = str(path)
            if path.suffix == ".json" and path.name in ("adapter_config.json", "spillover.json", "merge.json"):
                text = json.dumps(_without_paths(read_json(path), public_name(base)), ensure_ascii=False, indent=2)
                files[path.name] = text.encode()
    files[CARD] = card.encode()
    return files


def _without_paths(value: Any, base: str) -> Any:
    """The same JSON with the base under its public name, and other paths of this machine cut to their last part."""
    if isinstance(value, Mapping):
        return {
            key: base if key == "base_model_name_or_path" else _without_paths(item, base) for key, item in value.items()
        }
    if isinstance(value, list):
        return [_without_paths(item, base) for item in value]
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else plain(value)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
