"""What scoring a served model costs: requests, tokens and hours, from numbers that you know or measured.

    python examples/serving/cost.py --languages 20 --items 500 --prefix 350 --body 60 --nodes 3

Nothing is measured here. `--tokens-per-second` and `--requests-per-second` are your server's: take them from its log
while it scores (`--limit 20`), not from a data sheet. The defaults are round numbers to show the arithmetic, of no
machine that this project has measured.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """requests: sent. sent: tokens in them. computed: tokens that the server computes, the rest comes from its cache.
    uncached: tokens that it would compute without one. hours: of the slower of the two limits."""

    requests: int
    sent: int
    computed: int
    uncached: int
    hours: float


def cost(
    *,
    languages: int,
    items: int,
    prefix: int,
    body: int,
    nodes: int,
    models: int = 1,
    block: int = 16,
    tokens_per_second: float,
    requests_per_second: float,
) -> Cost:
    """Of `models` models (base, adapters) on `items` items in each language.

    prefix: tokens of the shared few-shot examples. body: tokens of an item after it. nodes: inner nodes of the tree of
    its label tokens, one request each; labels of one token have one. block: tokens of a block of the server's cache; of
    a prompt that was seen, what lies behind its last whole block is computed again, half a block on average.
    """
    scored = models * languages * items
    requests = scored * nodes + models * languages
    sent = scored * nodes * (prefix + body) + scored * sum(range(nodes)) + models * languages * prefix
    computed = models * languages * prefix + scored * (body + block // 2) + scored * (nodes - 1) * (1 + block // 2)
    seconds = max(computed / tokens_per_second, requests / requests_per_second)
    return Cost(requests, sent, computed, sent, seconds / 3600)


def main() -> None:
    """Print the cost of what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    numbers = {"languages": 20, "items": 500, "prefix": 350, "body": 60, "nodes": 3, "models": 2, "block": 16}
    for name, value in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--tokens-per-second", type=float, default=2000)
    parser.add_argument("--requests-per-second", type=float, default=50)
    result = cost(**vars(parser.parse_args()))
    print(f"requests            {result.requests:>14,}")
    print(f"tokens sent         {result.sent:>14,}")
    print(f"tokens computed     {result.computed:>14,}")
    print(f"without the cache   {result.uncached:>14,}")
    print(f"hours               {result.hours:>14.2f}")


if __name__ == "__main__":
    main()
