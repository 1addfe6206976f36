"""Whether an adapter was made for the base it shall go onto; peft would load one onto any base of the same shape.

1. Adapters trained here carry their base's fingerprint, which decides.
2. Else the base that the adapter names, where it is a folder that is there, is hashed and compared.
3. Else two names on the hub, and their revisions, must be the same.
4. Else nothing tells whether a folder was moved or holds another model: a warning.

A tokenizer beside the adapter must give the base's tokens the same ids.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import peft
from transformers import PreTrainedTokenizerFast

from spillover.core.errors import ModelError
from spillover.core.files import read_json
from spillover.core.types import ModelRef
from spillover.models.fingerprint import hash_weights
from spillover.models.registry import on_hub

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

log = logging.getLogger(__name__)

BASE_FILE = "spillover.json"
TOKENIZER_FILE = "tokenizer.json"


def check_base(
    ref: ModelRef, tokenizer: PreTrainedTokenizerBase, adapter: str, folder: Path, config: peft.PeftConfig
) -> None:
    """ModelError when the adapter in `folder`, called `adapter`, was made for another base than the model `ref`.

    config: its adapter_config.json."""
    if (folder / TOKENIZER_FILE).is_file():
        trained_with = PreTrainedTokenizerFast(tokenizer_file=str(folder / TOKENIZER_FILE)).get_vocab()
        _check_vocabulary(adapter, ref.name, trained_with, tokenizer.get_vocab())
    if (folder / BASE_FILE).is_file():
        base = read_json(folder / BASE_FILE)["base"]
        if base["fingerprint"] != ref.fingerprint:
            raise _wrong_base(ref, adapter, f"{base['name']} ({base['fingerprint']})", base["name"])
        return
    if config.base_model_name_or_path:
        _check_named_base(ref, adapter, config.base_model_name_or_path, config.revision)
    else:
        log.warning("adapter %s does not say which base it was made for", adapter)


def _check_named_base(ref: ModelRef, adapter: str, named: str, revision: str | None) -> None:
    if Path(named).is_dir():
        fingerprint = hash_weights(Path(named))
        if fingerprint != ref.fingerprint:
            raise _wrong_base(ref, adapter, f"{named} ({fingerprint})", named)
    elif Path(ref.name).is_dir() or Path(named).is_absolute():
        log.warning(
            "adapter %s was made for %s; whether %s holds the same weights is unknown", adapter, named, ref.name
        )
    elif named not in (ref.name, on_hub(ref.name)):
        raise _wrong_base(ref, adapter, named, named)
    elif revision and ref.revision and revision != ref.revision:
        raise _wrong_base(ref, adapter, f"revision {revision} of {named}", f"{named} --revision {revision}")


def _check_vocabulary(adapter: str, base: str, trained_with: dict[str, int], vocabulary: dict[str, int]) -> None:
    moved = [token for token, number in trained_with.items() if vocabulary.get(token, number) != number]
    if moved:
        token = min(moved, key=lambda text: trained_with[text])
        raise ModelError(
            f"adapter {adapter}: its tokenizer is not that of {base}: {len(moved)} tokens have other ids "
            f"({token!r} is {trained_with[token]} there, {vocabulary[token]} here)",
            hint="give the base that the adapter was trained on",
        )


def _wrong_base(ref: ModelRef, adapter: str, base: str, name: str) -> ModelError:
    return ModelError(
        f"adapter {adapter}: made for {base}, not for {ref.name} ({ref.fingerprint})", hint=f"--model {name}"
    )
