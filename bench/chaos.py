"""`make chaos suite=saga`: what is left of the suite's promises when its processes are killed."""

import argparse
import asyncio
import sys
from collections.abc import Callable
from typing import Any

from bench import report, saga
from bench.load import WrongAnswer
from bench.suite import SuiteError
from chassis.embedded import EmbeddedServersError
from cli.api import ApiError

# By name: a module with `run`, `show` and `document`.
SUITES: dict[str, Any] = {"saga": saga}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description=__doc__)
    parser.add_argument("suite", choices=sorted(SUITES))
    parser.add_argument("--try", dest="trial", action="store_true", help="print only: keep RESULTS.md as it is")
    options = parser.parse_args()
    say: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True)  # noqa: E731
    suite = SUITES[options.suite]
    try:
        result = asyncio.run(suite.run(say))
    except (WrongAnswer, SuiteError, ApiError, EmbeddedServersError, TimeoutError) as failure:
        print(f"chaos: {type(failure).__name__}: {failure}", file=sys.stderr)
        return 1
    if not options.trial:
        report.renew(options.suite, suite.document(result))
    suite.show(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
