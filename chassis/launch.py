"""Become another program, after arranging that it dies with its parent and never runs as root.

`chassis.processes` runs this file as a script (`python -I -S launch.py OPTIONS -- PROGRAM ARGS...`). A separate script
instead of a `preexec_fn`, because Python code between fork and exec can deadlock in a process that has threads, which
gRPC gives to each of ours. It imports the standard library alone, so that it costs 20 ms.
"""

import ctypes
import os
import pwd
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
CLONE_NEWUSER = 0x10000000
# The ids that root is given inside its user namespace. PostgreSQL asks only that they are not 0.
NAMESPACE_ID = 1000
UNPRIVILEGED_USER = "nobody"


def enter_user_namespace() -> None:
    """Become an ordinary user inside a namespace while files stay owned by the real one. Linux only.

    Raises OSError where the kernel or a container's seccomp profile forbids it.
    """
    uid, gid = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWUSER) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"unshare: {os.strerror(code)}")
    # user_namespaces(7): an unprivileged process may map its gid only after it has given up setgroups.
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{NAMESPACE_ID} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{NAMESPACE_ID} {gid} 1")


def become_unprivileged() -> None:
    """Give root up for good and become `nobody`."""
    user = pwd.getpwnam(UNPRIVILEGED_USER)
    os.setgroups([])
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)


def die_with_parent(signal_number: int, parent_pid: int) -> None:
    """Have the kernel send this process a signal when its parent is gone, however that ended. Linux only.

    Elsewhere a left-over is ended by the next start, from its pid file.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
    if os.getppid() != parent_pid:
        # The parent died before the request was made, so no signal will come.
        sys.exit(1)


def main(arguments: list[str]) -> None:
    """Apply `DEATH_SIGNAL PARENT_PID RUN_AS -- PROGRAM ARGS...` and exec the program. Does not return."""
    death_signal, parent_pid, run_as, separator, *program = arguments
    if separator != "--" or not program:
        sys.exit("usage: launch.py DEATH_SIGNAL PARENT_PID self|namespace|nobody -- PROGRAM ARGS...")
    if run_as == "namespace":
        enter_user_namespace()
    elif run_as == "nobody":
        become_unprivileged()
    # After the change of user, which would clear the request.
    die_with_parent(int(death_signal), int(parent_pid))
    os.execvp(program[0], program)  # noqa: S606 - the one purpose of this script; there is no shell in it


if __name__ == "__main__":
    main(sys.argv[1:])
