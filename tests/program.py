"""The program as its users start it: `python -m bench` in a process of its own, with its own keys."""

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parent.parent

# Nothing of the caller's may decide a test: neither keys and passphrases nor the terminal's size.
_NOT_PASSED_ON = ("BENCH_", "COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "PYTHONPATH", "XDG_")


def environment(home: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_PASSED_ON)}
    return {**kept, "BENCH_HOME": str(home), "BENCH_LANG": "en", **more}


@dataclass(frozen=True, kw_only=True)
class Said:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True, kw_only=True)
class Program:
    """`bench` for one user: keys in `home`, started in `folder`."""

    home: Path
    folder: Path

    def __call__(
        self,
        *words: str | Path,
        env: Mapping[str, str] | None = None,
        launcher: Sequence[str | Path] = (sys.executable, "-m", "bench"),
    ) -> Said:
        done = subprocess.run(
            [*launcher, *words],
            cwd=self.folder,
            env=environment(self.home, **(env or {})),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=120,
            check=False,
        )
        return Said(code=done.returncode, out=done.stdout.decode(), err=done.stderr.decode())

    def start(self, *words: str | Path) -> subprocess.Popen[str]:
        """Running, with its stderr to be read line by line."""
        return subprocess.Popen(
            [sys.executable, "-m", "bench", *words],
            cwd=self.folder,
            env=environment(self.home),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@dataclass(frozen=True, kw_only=True)
class Made:
    """Evidence that a real run made, the user who made it, and what the run said."""

    file: Path
    bench: Program
    said: Said

    @property
    def payload(self) -> bytes:
        return base64.b64decode(json.loads(self.file.read_bytes())["payload"])


@dataclass(frozen=True, kw_only=True)
class Answered:
    """A report that a vendor's real run made under an auditor's challenge; each trusts the other's key."""

    made: Made
    challenge: Path
    auditor: Program

    @property
    def vendor(self) -> Program:
        return self.made.bench


def acquainted(folder: Path) -> tuple[Program, Program]:
    """An auditor and a vendor who have handed over their keys."""
    auditor = Program(home=folder / "auditor", folder=folder)
    vendor = Program(home=folder / "vendor", folder=folder)
    for user in (auditor, vendor):
        assert user("key", "new").code == 0
    assert auditor("key", "trust", "vendor@example.org", vendor.home / "key.pub").code == 0
    assert vendor("key", "trust", "--auditor", "auditor@example.org", auditor.home / "key.pub").code == 0
    return auditor, vendor


def one_line(err: str) -> str:
    """The only line of stderr: an error that is told in one sentence and no traceback."""
    assert re.fullmatch(r"bench: [^\n]+\n", err), err
    assert "Traceback" not in err
    assert "defect of bench" not in err
    return err
