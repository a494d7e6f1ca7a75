"""`make chaos suite=saga` or `suite=locks`: what is left of our promises when processes are killed."""

import argparse
import asyncio
import sys
from collections.abc import Callable
from typing import Any

from bench import report, saga
from bench.load import WrongAnswer
from bench.locks_chaos import suite as locks
from bench.suite import SuiteError
from chassis.embedded import EmbeddedServersError
from cli.api import ApiError

# By name: a module with `run`, `show` and `document`.
SUITES: dict[str, Any] = {"saga": saga, "locks": locks}
# Their chapters of `bench/RESULTS.md`.
CHAPTERS = {"saga": "saga", "locks": "locks_chaos"}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description=__doc__)
    parser.add_argument("suite", choices=sorted(SUITES))
    parser.add_argument("--try", dest="trial", action="store_true", help="print only: keep RESULTS.md as it is")
    parser.add_argument("--seeds", type=_numbers, default=(), help="of locks: these runs alone, and print only: 3,7")
    options = parser.parse_args()
    say: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True)  # noqa: E731
    suite = SUITES[options.suite]
    try:
        result = asyncio.run(suite.run(say, options.seeds) if options.seeds else suite.run(say))
    except (WrongAnswer, SuiteError, ApiError, EmbeddedServersError, TimeoutError) as failure:
        print(f"chaos: {type(failure).__name__}: {failure}", file=sys.stderr)
        return 1
    if not (options.trial or options.seeds):
        report.renew(CHAPTERS[options.suite], suite.document(result))
    suite.show(result)
    return 0


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(each) for each in text.split(","))


if __name__ == "__main__":
    sys.exit(main())
