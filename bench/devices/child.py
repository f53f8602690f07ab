"""A program of somebody else's, asked line by line over its standard streams, each time with a limit.

It may hang, die, talk too much or too early: each becomes an error with words, and then nothing of it
stays behind. What its lines mean is the caller's business.
"""

import os
import re
import selectors
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO

from bench.errors import CannotMeasure
from bench.printable import printable

# An answer of one request; 100 000 runs with a digest each have 9 MB.
LINE_MOST = 16 * 2**20
# What it last said on standard error is quoted, and no more than this is kept of it.
_LAST_WORDS = 2048
_CHUNK = 2**16
# From the end of its standard output to its own end; and from SIGKILL to its end, for which a process
# that stands in a driver can take for ever.
_EXIT_S, _KILL_S = 2.0, 10.0
_POLL_S = 0.01
# What a pipe can hold (pipe(7): 64 kB, and 1 MB at most for users): something that it has started may
# go on writing for ever.
_PARTS = 16

# The folders of a path that begins at the root or at home: they may hold a user's name.
_FOLDERS = re.compile(r"(?<![\w./])(?:~[\w-]*|\.{1,2})?/+(?:[^\s/:\"']+/+)*")


@dataclass(slots=True, kw_only=True)
class Child:
    """The running program; `name` stands for it in errors. See `start`."""

    name: str
    _process: subprocess.Popen[bytes]
    _last_words: bytes = b""
    _ended: str | None = field(default=None)

    def ask(self, request: bytes, *, task: str, limit_s: float) -> bytes:
        """Its one line of answer, without the line's end; `request` is one line with its end.

        Raises CannotMeasure where the answer is not one line in time. The program is then killed, as it
        is on Ctrl-C: a late answer would be taken for that of the next request.
        """
        if self._ended is not None:
            raise CannotMeasure(f"{self.name} was asked to {task} and does not run any more: {self._ended}")
        try:
            return self._exchange(request, task, limit_s)
        except BaseException as error:
            self.kill(str(error) or "it was stopped.")
            raise

    def end(self, limit_s: float) -> None:
        """Close its standard input and give it this long to end by itself; then it is killed."""
        if self._ended is None:
            try:
                _stream(self._process.stdin).close()
                self._exit(limit_s)
            finally:
                self.kill("it was ended.")

    def kill(self, why: str) -> None:
        """End it and all it has started; what is asked of it later is refused with `why`."""
        if self._ended is not None:
            return
        self._ended = why
        # Before wait(): until then the group's number is not given to anybody else.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_KILL_S)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            _stream(stream).close()

    def _exchange(self, request: bytes, task: str, limit_s: float) -> bytes:
        asked, answers, words = map(
            _stream, (self._process.stdin, self._process.stdout, self._process.stderr)
        )
        deadline = time.monotonic() + limit_s
        left, line = memoryview(request), bytearray()
        with selectors.DefaultSelector() as waiting:
            waiting.register(answers, selectors.EVENT_READ)
            if waiting.select(0):
                raise self._unasked(task, os.read(answers.fileno(), _CHUNK))
            waiting.register(words, selectors.EVENT_READ)
            waiting.register(asked, selectors.EVENT_WRITE)
            while True:
                rest_s = deadline - time.monotonic()
                ready = {key.fileobj for key, _ in waiting.select(max(rest_s, 0))}
                if rest_s <= 0:
                    raise self._hung(task, limit_s, bytes(line))
                if words in ready and not self._overhear():
                    waiting.unregister(words)
                if asked in ready:
                    left = left[self._write(left, task) :]
                    if not left:
                        waiting.unregister(asked)
                if answers in ready:
                    part = os.read(answers.fileno(), _CHUNK)
                    line += part
                    if not part:
                        raise self._died(task)
                    if len(line) > LINE_MOST:
                        raise self._wrong(task, bytes(line), f"a line of at most {LINE_MOST} bytes")
                    if b"\n" in part:
                        return self._one_line(bytes(line), task, whole=not left)

    def _write(self, left: memoryview, task: str) -> int:
        try:
            return os.write(_stream(self._process.stdin).fileno(), left)
        except BlockingIOError:
            return 0
        except BrokenPipeError as error:
            raise self._died(task) from error

    def _overhear(self) -> bool:
        """Keep the end of what it says on standard error; False where there is nothing to read."""
        try:
            part = os.read(_stream(self._process.stderr).fileno(), _CHUNK)
        except BlockingIOError:
            return False
        self._last_words = (self._last_words + part)[-_LAST_WORDS:]
        return bool(part)

    def _one_line(self, said: bytes, task: str, *, whole: bool) -> bytes:
        line, _, more = said.partition(b"\n")
        if not whole:
            raise self._wrong(task, said, "an answer after the whole request")
        if more:
            raise self._wrong(task, said, "one line and nothing after it")
        return line

    # ------------------------------------------------------------------------------------- errors

    def _unasked(self, task: str, said: bytes) -> CannotMeasure:
        return self._wrong(task, said, "nothing before the request") if said else self._died(task)

    def _wrong(self, task: str, said: bytes, expected: str) -> CannotMeasure:
        return CannotMeasure(
            f"{self.name} was asked to {task}: expected {expected}, got {quoted(said)}. Let it write answers "
            f"alone to standard output, and all else to standard error.{self._quoted_words()}"
        )

    def _hung(self, task: str, limit_s: float, said: bytes) -> CannotMeasure:
        so_far = f"it said {quoted(said)} without a line's end" if said else "it said nothing"
        return CannotMeasure(
            f"{self.name} was asked to {task}: expected an answer within {limit_s:g} s, {so_far}, and was "
            "killed. See whether the device answers; flush standard output after each line."
            f"{self._quoted_words()}"
        )

    def _died(self, task: str) -> CannotMeasure:
        ended = self._exit(_EXIT_S)
        for _ in range(_PARTS):
            if not self._overhear():
                break
        if ended is None:
            how = "it closed its standard output or input"
        elif ended.si_code == os.CLD_EXITED:
            how = f"it ended with exit status {ended.si_status}"
        else:
            how = f"signal {ended.si_status} ({signal.strsignal(ended.si_status)}) ended it"
        return CannotMeasure(
            f"{self.name} was asked to {task}: expected an answer, but {how}. Start it by hand and type the "
            f"requests of docs/runner.md.{self._quoted_words()}"
        )

    def _exit(self, limit_s: float) -> os.waitid_result | None:
        """How it ended, or None if it has not within the limit. It is left to kill() to be reaped."""
        deadline = time.monotonic() + limit_s
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        while (ended := os.waitid(os.P_PID, self._process.pid, flags)) is None:
            if time.monotonic() > deadline:
                return None
            time.sleep(_POLL_S)
        return ended

    def _quoted_words(self) -> str:
        words = quoted(self._last_words, limit=_LAST_WORDS)
        return f" It last said on standard error: {words}" if self._last_words.strip() else ""


def start(command: Sequence[str], name: str) -> Child:
    """Start a program in a session of its own, without a shell. Raises CannotMeasure."""
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            # Ctrl-C is for us, who then end the whole of its group.
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise CannotMeasure(
            f"{name} cannot be started: {reason(error)}. Give --runner the command of a program that is "
            "there and may be executed; it is not read by a shell."
        ) from error
    for stream in (process.stdin, process.stdout, process.stderr):
        os.set_blocking(_stream(stream).fileno(), False)
    return Child(name=name, _process=process)


def quoted(said: str | bytes, *, limit: int = 120) -> str:
    """A program's words on one line, without the folders of paths."""
    # Cut first, so that a huge line costs nothing.
    part = said[: 8 * limit]
    text = part if isinstance(part, str) else part.decode(errors="replace")
    return f"'{printable(_FOLDERS.sub('', text).strip(), limit=limit)}'"


def reason(error: OSError | ValueError) -> str:
    """The system's own words, which name no file."""
    return (getattr(error, "strerror", None) or str(error)).lower()


def _stream(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream
