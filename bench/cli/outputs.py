"""What a command may write over: never evidence, and none of the files that it reads."""

from collections.abc import Iterable
from pathlib import Path

from bench.errors import UsageError
from bench.report.language import tr

_SIGNED = (".evidence.json", ".verdict.json")


def require_no_evidence(output: Path | None, inputs: Iterable[Path | None]) -> None:
    """UsageError when `output` is one of `inputs`, or is named as evidence or a verdict is.

    What is signed cannot be made again by whoever destroys it.
    """
    if output is None:
        return
    if output.name.casefold().endswith(_SIGNED):
        raise UsageError(
            tr(
                "-o {file}: a name of evidence or a verdict: give one that ends in none of {endings}.",
                file=output,
                endings=", ".join(_SIGNED),
            )
        )
    for path in inputs:
        if path is not None and _is_one(output, path):
            raise UsageError(
                tr("-o {file} is a file that this command reads: give another name.", file=output)
            )


def require_apart(output: Path | None, model: Path | None) -> None:
    """UsageError when evidence about a model would lie among its files under a name that could be theirs."""
    if model is None or output is None:
        return
    folder = model.resolve() if model.is_dir() else model.resolve().parent
    named = output.name.casefold().endswith(_SIGNED)
    if _is_one(output, model) or (output.resolve().parent == folder and not named):
        raise UsageError(
            f"-o {output} lies beside the model's files, where it could pass for one of them. "
            "Give a file in another folder, or one that ends in .evidence.json."
        )


def _is_one(output: Path, path: Path) -> bool:
    """Whether both are one file, by whatever names, links included."""
    try:
        return output.samefile(path)
    except (OSError, ValueError):
        return output.absolute() == path.absolute()
