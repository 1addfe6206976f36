"""How long the questions of `spillover explore` take: loading, the first answer of a language and later ones, the lens,
one item in all languages.

    python -m benchmarks.explore --model gemma3-270m --repeats 5
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import replace

from spillover.explore.questions import Question
from spillover.explore.session import open_session, question_of


def seconds(work) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="gemma3-270m")
    parser.add_argument("--task", default="sentiment")
    parser.add_argument("--lang", default="sw")
    parser.add_argument("--tokens", type=int, default=300, help="least length of the prompt")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()

    started = time.perf_counter()
    session = open_session(arguments.model)
    print(f"load: {time.perf_counter() - started:.2f} s")
    examples = session.examples(arguments.task, [arguments.lang])[arguments.lang]
    question = question_of(Question(arguments.task, arguments.lang, ()), examples[0])
    words = " ".join(text for example in examples for text in example.fields.values()).split()
    count, tokens = 0, 0
    while tokens < arguments.tokens:
        count += 5
        question = replace(question, texts=(" ".join(words[:count]), *question.texts[1:]), item="")
        tokens = next(iter(session.answers(question))).tokens if count % 20 == 0 else tokens
    fresh = open_session(arguments.model)
    print(f"prompt: {tokens} tokens, dtype {fresh.sides[0].model.dtype}")
    print(f"first answer: {seconds(lambda: list(fresh.answers(question))):.2f} s")
    others = [replace(question, texts=(f"{text} {i}", *question.texts[1:])) for i, text in
              enumerate([question.texts[0]] * arguments.repeats)]  # fmt: skip
    later = [seconds(lambda asked=asked: list(fresh.answers(asked))) for asked in others]
    print(f"later answers: median {statistics.median(later):.2f} s, worst {max(later):.2f} s")
    print(f"first lens: {seconds(lambda: list(fresh.lens(question))):.2f} s")
    lens = [seconds(lambda asked=asked: list(fresh.lens(asked))) for asked in others]
    print(f"later lenses: median {statistics.median(lens):.2f} s, worst {max(lens):.2f} s")
    item = question_of(Question(arguments.task, arguments.lang, ()), examples[0])
    texts = fresh.in_languages(item)
    for which in ("first", "second"):
        took = seconds(lambda: list(fresh.languages(item, texts)))
        print(f"{len(texts)} languages, {which} time: {took:.2f} s")


if __name__ == "__main__":
    main()
