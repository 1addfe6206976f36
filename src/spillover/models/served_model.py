"""A model that servers hold: who they are, and what stands in for its weights.

`open_served_model` asks every server who it is, and refuses what cannot give exact scores (`server_admission`). Servers
give no hidden states and no weights: probing and training refuse them.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

from spillover.core.config import KEY_VARIABLE
from spillover.core.errors import ConfigError, ModelError, RunError, first_line
from spillover.core.files import hash_of
from spillover.core.types import ModelRef
from spillover.models.fingerprint import vocabulary_key

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from spillover.models.server_client import ServerClient
    from spillover.models.server_pool import ServerPool

log = logging.getLogger(__name__)

FIRST_CONTACT_RETRIES = 2
FIRST_CONTACT_REQUESTS = 20
AS_SERVED = "as served"
ADDRESS = re.compile(r"https?://[^/@?#\s]+(/[^@?#\s]*)?")
LOCAL = "give the model itself: --model with a hub id or a folder, without --server"


@dataclass(frozen=True)
class ServedModel:
    """A model on servers. context: longest prompt with its answer, in tokens. dtype: as the config states it, since no
    server tells. engine: kind, version and addresses. probe: log-probabilities after a fixed text."""

    ref: ModelRef
    tokenizer: PreTrainedTokenizerBase
    generation_config: Any
    pool: ServerPool
    context: int
    dtype: str
    engine: str
    probe: tuple[float, ...]

    @cached_property
    def vocabulary(self) -> str:
        """A hash of every token and its id."""
        return vocabulary_key(self.tokenizer)

    @property
    def served_name(self) -> str:
        """The name that requests carry: the adapter's where there is one."""
        return self.ref.adapter or self.ref.name


def open_served_model(
    name: str,
    servers: Sequence[str],
    *,
    tokenizer: str | None = None,
    revision: str | None = None,
    adapter: str | None = None,
    dtype: str = "auto",
    in_flight: int = 16,
    trust_remote_code: bool = False,
    timeout: float | None = None,
    backoff: float = 1.0,
) -> ServedModel:
    """The model `name`, or its LoRA adapter by its served name, on servers that all hold the same.

    tokenizer: hub id or folder; the name unless given. revision: which one is served, where you know; it goes into the
    fingerprint. dtype: what the servers compute in, where you know. in_flight: requests at a time for each server, to
    begin with. timeout: seconds for a request. backoff: seconds before the first retry.

    A server that does not answer is left out with a warning while another does. ModelError or ConfigError where none
    does, or where one cannot give exact scores of this model.
    """
    from spillover.models.server_admission import Admitted, admit, tolerance
    from spillover.models.server_client import TIMEOUT, ServerClient, address_of
    from spillover.models.server_pool import ServerPool

    for number, url in enumerate(servers, start=1):
        check_address(url, f"model.server: number {number}")
    timeout = timeout or TIMEOUT
    loaded, generation = _tokenizer(tokenizer or name, trust_remote_code)
    admitted: dict[ServerClient, Admitted] = {}
    reasons = []
    for url in dict.fromkeys(servers):
        client = ServerClient(url, timeout=timeout)
        first = ServerPool([client], retries=FIRST_CONTACT_RETRIES, backoff=backoff, timeout=timeout)
        try:
            (admitted[client],) = first.on_each(
                lambda client: admit(client, name, adapter, loaded, within=tolerance(dtype)),
                requests=FIRST_CONTACT_REQUESTS,
            )
        except RunError as error:
            reasons.append(error.message.partition(": ")[2])
    if not admitted:
        raise ModelError(f"no server answers: {'; '.join(reasons)}", hint="is it up, and is the port right?")
    for reason in reasons:
        log.warning("left out: %s", reason)
    first_one = next(iter(admitted.values()))
    for client, other in admitted.items():
        if (other.root, other.version) != (first_one.root, first_one.version):
            raise ConfigError(
                f"model.server: {client.url} serves {other.root} (version {other.version}), {next(iter(admitted)).url} "
                f"{first_one.root} (version {first_one.version}): scores of both would be mixed",
                hint="give servers of one model and one version, or evaluate each by itself",
            )
    # Of what was asked for, not of what answered: the tables of a run say the same while one server is down.
    addresses = ", ".join(sorted({address_of(url) for url in servers}))
    version = f"vllm {first_one.version}" if first_one.version else "server of unknown version"
    facts = ["server", name, adapter, revision, first_one.root, first_one.version, vocabulary_key(loaded)]
    return ServedModel(
        ModelRef(name, revision, adapter, hash_of(facts)),
        loaded,
        generation,
        ServerPool(list(admitted), in_flight=in_flight, timeout=timeout, backoff=backoff),
        # The answer's last token is sent too where a whole text is read, and one more is always generated.
        min(server.context for server in admitted.values()) - 2,
        AS_SERVED if dtype == "auto" else dtype,
        f"{version} at {addresses}",
        first_one.probe,
    )


def checked_probes(model: ServedModel, recorded: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """`recorded`, a run's probes by fingerprint, with that of the model. RunError where another one is recorded: names
    and paths are all that a server tells of its weights, and other weights may stand under them."""
    from spillover.models.server_admission import tolerance

    earlier = recorded.get(model.ref.fingerprint, model.probe)
    worst = max(abs(a - b) for a, b in zip(earlier, model.probe, strict=True))
    # Each of the two may be off by the tolerance.
    if not worst <= 2 * tolerance(model.dtype):
        raise RunError(
            f"{model.engine}: another model answers to {model.served_name!r} than when this run began: after the same "
            f"text, log-probabilities differ by {worst:.3g}",
            hint="serve the model of before, or choose another --out",
        )
    return {**{key: list(values) for key, values in recorded.items()}, model.ref.fingerprint: list(earlier)}


def check_served_options(servers: Sequence[str] | None, **options: Any) -> None:
    """ConfigError without a server, and for options that say how a model is loaded: that is the server's affair."""
    if not servers:
        raise ConfigError("model.tokenizer: a model that is loaded here has its own", hint="it goes with --server")
    given = [f"model.{key} {value}" for key, value in options.items() if value not in (None, "auto")]
    if given:
        raise ConfigError(
            f"{', '.join(given)}: does not go with model.server", hint="leave it out, and give it to the server"
        )


def check_address(url: str, where: str) -> None:
    """ConfigError, which starts with `where`, for what is no address of a server. It is not shown: a key or a password
    may stand in it."""
    if not ADDRESS.fullmatch(url):
        raise ConfigError(
            f"{where} is no address of a server, or holds a password",
            hint=f"http://host:port; a key goes into {KEY_VARIABLE}",
        )


def refuse_server(what: str) -> NoReturn:
    """ConfigError for what needs weights or hidden states."""
    raise ConfigError(f"{what}: needs the model's weights, which a server does not give", hint=LOCAL)


def check_no_server(servers: Sequence[str] | None, what: str) -> None:
    """As `refuse_server`, where there are addresses: before one of them is asked."""
    if servers:
        refuse_server(what)


def _tokenizer(name: str, trust_remote_code: bool) -> tuple[PreTrainedTokenizerBase, Any]:
    """(tokenizer, settings for generation or None) from a folder or the hub. ModelError where there is none."""
    import transformers

    from spillover.models.packaged_model import local_path

    try:
        path = local_path(name)
        tokenizer = transformers.AutoTokenizer.from_pretrained(path, trust_remote_code=trust_remote_code)
    except ModelError:
        raise
    except Exception as error:  # noqa: BLE001  # tokenizers raises types of its own
        raise ModelError(
            f"tokenizer {name!r}: {first_line(error)}",
            hint="--tokenizer HUB-ID or folder: the one that the server was started with",
        ) from None
    if not tokenizer.is_fast:
        raise ModelError(
            f"tokenizer {name!r}: returns no character offsets", hint="convert it to a fast one (tokenizer.json)"
        )
    try:
        return tokenizer, transformers.GenerationConfig.from_pretrained(path)
    except (OSError, ValueError):
        return tokenizer, None
