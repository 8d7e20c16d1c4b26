"""Two processes, one with each engine, which are asked the same: a process has one engine for all its life."""

import faulthandler
import os
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

from kernbench import compiled
from kernbench.garbage import rarely_collected
from kernbench.wording import quoted

ENGINES = ("reference", "native")
MOST_S = 240  # of one question, on a busy computer; whatever takes longer hangs, and its process ends with where it was


def begin(engine: str) -> None:
    """Give this process its engine, and all that it starts."""
    os.environ[compiled.VARIABLE] = engine
    compiled.choose(engine)


def answer(subject: Callable[..., Any], question: tuple[Any, ...]) -> Any:
    """What ``subject`` answers, or the text of its error; a process that gets stuck here ends."""
    faulthandler.dump_traceback_later(MOST_S, exit=True, file=sys.__stderr__)
    try:
        with rarely_collected():
            return subject(*question)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    finally:
        faulthandler.cancel_dump_traceback_later()


class Twins:
    """A process of each engine. A ``subject`` is a function that both can import."""

    def __init__(self) -> None:
        spawn = get_context("spawn")
        self.pools = [
            ProcessPoolExecutor(1, spawn, initializer=begin, initargs=(engine,)) for engine in ENGINES
        ]

    def ask(self, subject: Callable[..., Any], *question: Any) -> tuple[Any, Any]:
        """The answers of both, reference first."""
        asked = [pool.submit(answer, subject, question) for pool in self.pools]
        reference, native = (future.result() for future in asked)
        return reference, native

    def agreed(self, subject: Callable[..., Any], questions: Iterable[tuple[Any, ...]]) -> list[Any]:
        """What both answer to each question; AssertionError at the first that they do not agree on."""
        questions = list(questions)
        asked = [[pool.submit(answer, subject, question) for question in questions] for pool in self.pools]
        answers = []
        for question, *futures in zip(questions, *asked, strict=True):
            reference, native = (future.result() for future in futures)
            assert native == reference, f"{subject.__name__}{question}: {difference(reference, native)}"
            answers.append(reference)
        return answers

    def close(self) -> None:
        """End both processes, once what they were asked is over."""
        for pool in self.pools:
            pool.shutdown(cancel_futures=True)


def difference(reference: Any, native: Any) -> str:
    """Where two answers begin to differ."""
    if isinstance(reference, dict) and isinstance(native, dict) and reference.keys() == native.keys():
        key = next(key for key in reference if reference[key] != native[key])
        return f"{key}: {difference(reference[key], native[key])}"
    if isinstance(reference, list) and isinstance(native, list):
        at = next((i for i, pair in enumerate(zip(reference, native)) if pair[0] != pair[1]), None)
        if at is None:
            return f"reference has {len(reference)} entries, native {len(native)}"
        return f"entry {at}: reference {quoted(reference[at])}, native {quoted(native[at])}"
    return f"reference {quoted(reference)}, native {quoted(native)}"
