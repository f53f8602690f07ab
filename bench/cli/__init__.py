"""Typed words become a call. Each module holds one group of commands; each is imported when it is used.

The one broad `except` of the program stands here, so that a defect ends in a line and not a traceback.
"""

import os
import signal
import sys
import traceback
from importlib import import_module

import click

import bench
from bench.cli.consoles import StdoutFailed, complain, open_streams
from bench.errors import BenchError, Interrupted

# Commands in the order of help, and the module that holds each.
_COMMANDS = {
    "run": "bench.cli.run",
    "devices": "bench.cli.devices",
    "verify": "bench.cli.verify",
    "show": "bench.cli.verify",
    "sign": "bench.cli.sign",
    "stamp": "bench.cli.stamp",
    "params": "bench.cli.params",
    "rules": "bench.cli.rules",
    "key": "bench.cli.key",
    "challenge": "bench.cli.challenge",
}
# Shown by `bench --help` without importing the modules; a test holds them against the commands' own.
_SUMMARIES = {
    "run": "Measure this machine, judge the figures, sign the evidence.",
    "devices": "List what can be measured here, and why something cannot.",
    "verify": "Check evidence in numbered steps and recompute its verdict.",
    "show": "Print evidence that verifies, or a signed verdict.",
    "sign": "Add your signature to evidence, or sign what verify found.",
    "stamp": "Have a time stamping authority say when evidence was signed.",
    "params": "Count a model's parameters from its files, and sign the count.",
    "rules": "List the rule sets, or print one with its reading.",
    "key": "Make, show, trust and revoke signing keys.",
    "challenge": "Pose challenges to vendors, and close them.",
}

DEFECT = 70


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        command = getattr(import_module(_COMMANDS[cmd_name]), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(_SUMMARIES.items()))


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(bench.__version__, prog_name="bench")
def cli() -> None:
    """Measure the AI compute that this machine really delivers.

    Exit codes: 0 valid or done; 1 valid, but what --require asked is not met; 2 usage; 3 cannot
    measure here, or cannot write; 4 evidence invalid; 5 signature not trusted; 6 challenge refused;
    7 a model's files invalid; 70 a defect of bench; 130 interrupted; 141 nobody read the output to its end.
    """


def main() -> None:
    """Run the command line; every error becomes a line on stderr and an exit code."""
    open_streams()
    try:
        code = cli.main(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except (click.exceptions.Abort, KeyboardInterrupt):
        complain("interrupted.")
        sys.exit(Interrupted.exit_code)
    except click.ClickException as error:
        error.show(file=sys.stderr)
        sys.exit(2)
    except Interrupted as error:
        # The program is ending with its own exit code: a late SIGTERM must not put its own in that place.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        complain(_words(error))
        sys.exit(error.exit_code)
    except BenchError as error:
        complain(_words(error))
        sys.exit(error.exit_code)
    except StdoutFailed as error:
        # Whoever closed the pipe knows; what was noted (where evidence lies) is told all the same.
        if not error.reader_gone or hasattr(error, "__notes__"):
            complain(_words(error))
        sys.exit(error.exit_code)
    except Exception as error:  # noqa: BLE001 - the one place
        if os.environ.get("BENCH_TRACEBACK"):
            traceback.print_exc()
            sys.exit(DEFECT)
        complain(
            f"a defect of bench, not of your machine: {type(error).__name__}: {_words(error)}. "
            "Set BENCH_TRACEBACK=1 and type the command again for the details to report."
        )
        sys.exit(DEFECT)


def _words(error: Exception) -> str:
    """What an error says, and what was noted on its way up."""
    return " ".join([str(error), *getattr(error, "__notes__", ())])
