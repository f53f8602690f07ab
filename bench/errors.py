"""Every error that `bench` raises on purpose, and the exit code each ends the program with.

BenchError
├── UsageError            2   the words typed cannot be acted on
├── CannotMeasure         3   this machine or this output cannot serve the run
│   ├── NotAdmitted           a graph that a provider would not run as it says (carries the check's code)
│   └── RankLost              one of several processes that measure a system is gone
├── EvidenceInvalid       4   the file is not valid evidence (carries the step that found it)
├── SignatureNotTrusted   5   signed, but not by a key that is trusted now
├── ChallengeRefused      6   replayed, expired, or not for this challenge
├── ModelInvalid          7   a model's files contradict themselves, or would have code run
└── Interrupted         130   stopped by the operator; what was measured is written

Exit 0 is success, and exit 1 means: the evidence is valid, but what `--require` asked is not met.
Two codes have no error here: 70, a defect of `bench` itself, and 141, whoever read the output closed it
before its end (both in `bench.cli`). SIGTERM ends a run as Ctrl-C does, with 130.
Messages say what was wrong, what was got and expected, and what to type next.
"""


class BenchError(Exception):
    """Base of the family; never raised itself."""

    exit_code = 3


class UsageError(BenchError):
    exit_code = 2


class CannotMeasure(BenchError):
    exit_code = 3


class NotAdmitted(CannotMeasure):
    """A graph that an execution provider would not run as it says; `code` is the check that it failed."""

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class RankLost(CannotMeasure):
    pass


class EvidenceInvalid(BenchError):
    """The file is not valid evidence; `step` is the number of the verification step that found it."""

    exit_code = 4

    def __init__(self, message: str, *, step: int) -> None:
        super().__init__(message)
        self.step = step


class SignatureNotTrusted(BenchError):
    exit_code = 5
    step = 2


class ChallengeRefused(BenchError):
    exit_code = 6
    step = 5


class ModelInvalid(BenchError):
    exit_code = 7


class Interrupted(BenchError):
    exit_code = 130


NOT_MET = 1
