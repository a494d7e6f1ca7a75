"""Starts processes of a service, many of them, each in the time of a fork: `python -m bench.fleet.samples`.

For each line that it reads it starts one, and writes its process id. The service has been imported and nothing of it
runs here; a child goes on as `python -m services.<name>` would. Ends with its input, and its children with it.
"""

import gc
import importlib
import os
import signal
import sys
from typing import Any

from chassis.service import Service
from chassis.settings import ServiceSettings

SERVICE = "tenants"


def main(log: str) -> None:
    module = importlib.import_module(f"services.{SERVICE}.__main__")
    # What the children share is not copied because somebody counts it.
    gc.freeze()
    children: set[int] = set()
    for _ in sys.stdin:
        children -= _ended(children)
        pid = os.fork()
        if not pid:
            _become(module, log)
        children.add(pid)
        print(pid, flush=True)
    for pid in children - _ended(children):
        os.kill(pid, signal.SIGKILL)


def _ended(children: set[int]) -> set[int]:
    return {pid for pid in children if os.waitpid(pid, os.WNOHANG)[0]}


def _become(module: Any, log: str) -> None:
    """Go on as a process of its own. Does not return."""
    out, nothing = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), os.open(os.devnull, os.O_RDONLY)
    for number, file in enumerate((nothing, out, out)):
        os.dup2(file, number)
    code = 1
    try:
        Service(SERVICE, ServiceSettings.load()).run(module.build)
        code = 0
    finally:
        os._exit(code)


if __name__ == "__main__":
    main(sys.argv[1])
