"""Where a run's evidence goes, while it measures and when it has ended."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bench.evidence import envelope, store
from bench.terms import Envelope


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where evidence goes: to `output` if that is given, else to a file named by its number.

    While the run goes on it is saved beside it, in a file called partial, which goes when the run ends.
    """

    output: Path | None
    folder: Path
    stem: str

    @property
    def partial(self) -> Path:
        if self.output is None:
            return self.folder / f"{self.stem}-partial.evidence.json"
        name = self.output.name
        suffix = next((end for end in (".evidence.json", ".json") if name.endswith(end)), "")
        return self.output.with_name(f"{name.removesuffix(suffix)}-partial{suffix}")

    def check(self) -> None:
        """Try the place before anything is measured; raises CannotMeasure."""
        store.check_writable(self.output or self.partial)

    def save(self, signed: Envelope) -> None:
        store.write_atomic(self.partial, envelope.to_json(signed))

    def finish(self, signed: Envelope, *, whole: bool) -> Path:
        """Save for good and return where: an interrupted run does not replace what stands there already."""
        number = envelope.report_number(signed)
        path = self.output or self.folder / f"{self.stem}-{number}.evidence.json"
        if not whole and path.exists():
            self.save(signed)
            return self.partial
        store.write_atomic(path, envelope.to_json(signed))
        with suppress(OSError):
            self.partial.unlink()
        return path


def destination(output: Path | None, subject: str, now: datetime) -> Destination:
    """`results/<UTC time>-<subject>-<report number>.evidence.json`, or the path that was asked for.

    The subject of a run is its first device's selector.
    """
    name = "".join(c if c.isalnum() else "-" for c in subject)
    return Destination(output=output, folder=Path("results"), stem=f"{now:%Y%m%dT%H%M%SZ}-{name}")
