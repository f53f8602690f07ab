"""Typed words become a call. Each module holds one group of commands; each is imported when it is used.

The one broad `except` of the program stands here, so that a defect ends in a line and not a traceback.
"""

import os
import sys
from importlib import import_module

import click

import bench
from bench.cli.consoles import complain
from bench.errors import BenchError

# Commands in the order of help, and the module that holds each.
_COMMANDS = {
    "run": "bench.cli.run",
    "devices": "bench.cli.devices",
    "verify": "bench.cli.verify",
    "show": "bench.cli.verify",
    "rules": "bench.cli.rules",
    "key": "bench.cli.key",
}
# Shown by `bench --help` without importing the modules; a test holds them against the commands' own.
_SUMMARIES = {
    "run": "Measure this machine, judge the figures, sign the evidence.",
    "devices": "List what can be measured here, and why something cannot.",
    "verify": "Check evidence in numbered steps and recompute its verdict.",
    "show": "Print the report of evidence that verifies.",
    "rules": "List the rule sets, or print one with its reading.",
    "key": "Make, show and trust signing keys.",
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
    measure here; 4 evidence invalid; 5 signature not trusted; 6 challenge refused; 130 interrupted.
    """


def main() -> None:
    """Run the command line; every error becomes a line on stderr and an exit code."""
    try:
        code = cli.main(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except BenchError as error:
        complain(str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        complain("interrupted before anything was measured.")
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read our output has seen enough; the interpreter must not try to flush it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        if os.environ.get("BENCH_TRACEBACK"):
            raise
        complain(
            f"a defect of bench, not of your machine: {type(error).__name__}: {error}. "
            "Set BENCH_TRACEBACK=1 and type the command again for the details to report."
        )
        sys.exit(DEFECT)
