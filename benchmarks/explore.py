"""How long the questions of `spillover explore` take: loading, the first answer of a language and later ones, the lens,
one item in all languages.

    python -m benchmarks.explore --model gemma3-270m --repeats 5 --languages
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import replace

import torch

from spillover.explore.asked_question import Question
from spillover.explore.session import open_session, question_of


def seconds(work) -> tuple[float, float]:
    """(by the clock, of the processor): on a busy machine only the second says what the work costs."""
    started, used = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - started, time.process_time() - used


def show(name: str, *took: tuple[float, float]) -> None:
    clock, processor = (statistics.median(times) for times in zip(*took, strict=True))
    print(f"{name}: median {clock:.2f} s, processor {processor:.2f} s, worst {max(took)[0]:.2f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="gemma3-270m")
    parser.add_argument("--task", default="sentiment")
    parser.add_argument("--lang", default="sw")
    parser.add_argument("--tokens", type=int, default=300, help="least length of the prompt")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--languages", action="store_true", help="also one item in all languages")
    arguments = parser.parse_args()

    opened = []
    show("load", seconds(lambda: opened.append(open_session(arguments.model))))
    session = opened[0]
    examples = session.examples(arguments.task, [arguments.lang])[arguments.lang]
    question = question_of(Question(arguments.task, arguments.lang, ()), examples[0])
    tokenizer = session.sides[0].model.tokenizer
    words = " ".join(text for example in examples for text in example.fields.values()).split()
    for count in range(1, len(words)):
        question = replace(question, texts=(" ".join(words[:count]), *question.texts[1:]), item="")
        tokens = len(tokenizer(session.asked(question).prompt.text)["input_ids"])
        if tokens >= arguments.tokens:
            break
    print(f"prompt: {tokens} tokens, {session.sides[0].model.dtype}, {torch.get_num_threads()} threads")
    show("first answer", seconds(lambda: list(session.answers(question))))
    others = [
        replace(question, texts=(f"{question.texts[0]} {i}", *question.texts[1:])) for i in range(arguments.repeats)
    ]
    show("later answers", *(seconds(lambda asked=asked: list(session.answers(asked))) for asked in others))
    show("first lens", seconds(lambda: list(session.lens(question))))
    show("later lenses", *(seconds(lambda asked=asked: list(session.lens(asked))) for asked in others))
    if arguments.languages:
        item = question_of(question, examples[0])
        texts = session.in_languages(item)
        for which in ("first", "second"):
            show(f"{len(texts)} languages, {which} time", seconds(lambda: list(session.languages(item, texts))))


if __name__ == "__main__":
    main()
