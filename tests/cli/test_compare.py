"""`bench compare`: real runs side by side, what it refuses, and the exit code that a CI goes by."""

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import forging
import pytest
from program import Made, Program, one_line

from bench.evidence import statement
from bench.terms import Evidence, Measurement, Visit
from bench.workload import sampling


def measured_again(made: Made, folder: Path, *words: str) -> Path:
    file = folder / "again.evidence.json"
    said = made.bench("run", "--device", "cpu", *words, "-o", file)
    assert said.code == 0, said.err
    return file


@pytest.fixture(scope="module")
def again(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second smoke test by the same user, of one of the two precisions."""
    return measured_again(made, tmp_path_factory.mktemp("again"), "--quick", "--precision", "fp32")


@pytest.fixture(scope="module")
def whole(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A measurement that is no smoke test, as short as they are."""
    return measured_again(made, tmp_path_factory.mktemp("whole"), "--precision", "fp64", "--time", "5s")


def calm(evidence: Evidence, part: float) -> Evidence:
    """The measurement as it were on a calm machine that did `part` of the work in the same windows."""

    def visit(old: Visit, number: int) -> Visit:
        # A window of the least samples is full with whatever fills it; they scatter by 0.1 %.
        ns = evidence.schedule.window_ns // 8 + 10_000
        samples = []
        for index, sample in enumerate(old.samples[:8]):
            taken = ns + (index * index + number) % 5 * 10_000
            start = old.samples[0].start_ns + index * (ns + 50_000)
            cpu = sample.cpu_ns * taken // sample.host_ns
            times = {"start_ns": start, "host_ns": taken, "raw_ns": taken, "cpu_ns": cpu}
            samples.append(replace(sample, **times, launches=round(10 * part)))
        return replace(old, samples=tuple(samples))

    def row(old: Measurement) -> Measurement:
        visits = tuple(visit(each, number) for number, each in enumerate(old.visits[:5]))
        looked = sampling.timed_counts([sample.real for each in visits for sample in each.samples])
        assert old.timed is not None
        counts = {name: getattr(looked, name) for name in ("launches", "compared", "real_compared")}
        return replace(old, visits=visits, timed=replace(old.timed, **counts), ended="precise")

    return forging.concluded(evidence, measurements=tuple(map(row, evidence.measurements)))


@pytest.fixture(scope="module")
def calmed(made: Made, whole: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The measurement on a calm machine, once more a little otherwise, and on one that does 7/10 of it."""
    folder = tmp_path_factory.mktemp("calmed")
    evidence = statement.parse(Made(file=whole, bench=made.bench, said=made.said).payload)
    usual, slow = calm(evidence, 1.0), calm(evidence, 0.7)
    later = replace(usual, created="2026-01-02T03:04:05Z")
    return {
        name: forging.write(folder, name, forging.built(made, each))
        for name, each in (("usual", usual), ("slow", slow), ("later", later))
    }


# ----------------------------------------------------------------------------------------- smoke tests


def test_two_smoke_tests_are_compared_and_marked(made: Made, again: Path) -> None:
    said = made.bench("compare", made.file, again)
    assert (said.code, said.err) == (0, "")
    assert said.out.count("· smoke test") == 2
    assert "A smoke test decides nothing" in said.out
    assert "cpu fp32" in said.out
    assert "2 did not measure it" in said.out


def test_a_ci_is_not_told_anything_by_smoke_tests(made: Made, again: Path) -> None:
    said = made.bench("compare", made.file, again, "--fail-if-slower", "3%")
    assert (said.code, said.out) == (2, "")
    assert "is a smoke test, which decides nothing" in one_line(said.err)


def test_every_row_is_compared_when_asked_for(made: Made, again: Path) -> None:
    base = statement.parse(made.payload)
    (found,) = made.bench("compare", made.file, again, "--all", "--json").json["compared"]
    rows = {each["row"] for each in found["comparisons"]}
    assert rows == {None, *(row.row for row in base.delivered)}
    (fewer,) = made.bench("compare", made.file, again, "--json").json["compared"]
    assert {each["row"] for each in fewer["comparisons"]} == {None}


# -------------------------------------------------------------------------------------- the exit code


def test_a_run_that_is_slower_than_allowed_ends_with_1_and_a_line(
    made: Made, calmed: dict[str, Path]
) -> None:
    said = made.bench("compare", calmed["usual"], calmed["slow"], "--fail-if-slower", "3%")
    assert said.code == 1, said.err
    assert "slower" in said.out
    assert "fp64 on cpu is slower than the base by more than 3 %: 0." in one_line(said.err)
    allowed = made.bench("compare", calmed["usual"], calmed["slow"], "--fail-if-slower", "60%")
    assert (allowed.code, allowed.err) == (0, "")
    assert made.bench("compare", calmed["usual"], calmed["slow"]).code == 0


def test_a_run_that_is_the_same_or_faster_ends_with_0(made: Made, calmed: dict[str, Path]) -> None:
    said = made.bench(
        *("compare", calmed["slow"], calmed["usual"], "--fail-if-slower", "3%"),
        *("--json",),
    )
    assert (said.code, said.err, said.json["exitCode"]) == (0, "", 0)
    (found,) = said.json["compared"][0]["comparisons"]
    assert (found["word"], found["ratio"]["low"] > 1) == ("faster", True)
    said = made.bench("compare", calmed["usual"], calmed["later"], "--fail-if-slower", "0.03")
    assert (said.code, said.err) == (0, "")
    assert " same" in said.out


def test_any_of_several_files_fails_them_all(made: Made, calmed: dict[str, Path]) -> None:
    files = (calmed["usual"], calmed["later"], calmed["slow"])
    said = made.bench("compare", *files, "--fail-if-slower", "3%", "--json")
    assert (said.code, said.json["exitCode"]) == (1, 1)
    assert [len(each["comparisons"]) for each in said.json["compared"]] == [1, 1]
    assert str(calmed["slow"]) in one_line(said.err)


def test_what_was_compared_in_nothing_does_not_pass(made: Made, calmed: dict[str, Path], whole: Path) -> None:
    evidence = statement.parse(Made(file=whole, bench=made.bench, said=made.said).payload)
    # A run that was ended before any row was visited has no figure.
    nothing = forging.concluded(
        evidence,
        interrupted=True,
        measurements=tuple(
            replace(m, visits=(), probe=None, timed=None, before=None, ended="not-started")
            for m in evidence.measurements
        ),
        openings=(),
        diagnostics=(),
    )
    file = forging.write(calmed["usual"].parent, "nothing", forging.built(made, nothing))
    said = made.bench("compare", calmed["usual"], file, "--fail-if-slower", "3%")
    assert said.code == 1, said.err
    assert "none of its figures could be compared" in said.err
    lost = f"fp64 on cpu could not be compared with the base: {file} has no figure: "
    assert lost in said.err
    assert "2 has no figure" in said.out
    assert made.bench("compare", calmed["usual"], file).code == 0


# ------------------------------------------------------------------------------------------- written


def test_it_is_written_as_a_page_or_a_table_by_the_files_ending(
    made: Made, again: Path, tmp_path: Path
) -> None:
    page, table = tmp_path / "compared.HTML", tmp_path / "compared.csv"
    said = made.bench("compare", made.file, again, "-o", page)
    assert said.out.endswith(f"written to {page}\n")
    text = page.read_text("utf-8")
    assert text.startswith("<!doctype html>")
    assert "<script" not in text
    assert made.bench("compare", made.file, again, "-o", table).code == 0
    assert table.read_bytes().startswith(b"\xef\xbb\xbfbase_report")
    with table.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert [row["precision"] for row in rows] == ["fp32", "int8"]
    assert {row["other_file"] for row in rows} == {str(again)}


# ------------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--margin", "3"), ("--margin", "'3'", "3% or 0.03")),
        (("--margin", "-1%"), ("--margin", "'-1%'", "5% or 0.05")),
        (("--fail-if-slower", "100%"), ("--fail-if-slower", "'100%'")),
        (("--fail-if-slower", "much"), ("--fail-if-slower", "'much'")),
        (("-o", "compared.pdf"), ("compared.pdf", ".html, .csv", "-o compared.html")),
        (("-o", "compared"), ("compared", ".html, .csv")),
    ],
)
def test_words_that_cannot_be_acted_on_are_refused_with_what_to_type(
    made: Made, again: Path, words: Sequence[str], told: Sequence[str]
) -> None:
    said = made.bench("compare", made.file, again, *words)
    assert (said.code, said.out) == (2, "")
    for part in told:
        assert part in one_line(said.err)


def test_what_is_compared_is_not_written_over(made: Made, again: Path, tmp_path: Path) -> None:
    named, other = tmp_path / "own.csv", tmp_path / "other.csv"
    named.write_bytes(again.read_bytes())
    other.symlink_to(named)
    for output in (named, other, "./own.csv"):
        said = replace(made.bench, folder=tmp_path)("compare", made.file, named, "-o", output)
        assert (said.code, said.out) == (2, "")
        assert "a file that this command reads: give another name" in one_line(said.err)
    assert named.read_bytes() == again.read_bytes()


@pytest.mark.parametrize("number", [1, 51])
def test_it_takes_2_to_50_files(made: Made, number: int) -> None:
    said = made.bench("compare", *[made.file] * number)
    assert (said.code, said.out) == (2, "")
    assert f"2 to 50 evidence files, got {number}" in one_line(said.err)


def test_a_report_is_not_compared_with_itself(made: Made) -> None:
    said = made.bench("compare", made.file, made.file)
    assert (said.code, said.out) == (2, "")
    assert "the same report" in one_line(said.err)


def test_a_file_that_does_not_verify_ends_it_with_its_step_and_code(
    made: Made, again: Path, tmp_path: Path
) -> None:
    change = forging.set_at("figures", 0, "estimate", "high", to=1e15)
    forged = forging.write(tmp_path, "forged", forging.changed(made, change))
    alone = made.bench("verify", forged)
    said = made.bench("compare", again, forged)
    assert (said.code, said.out) == (4, "")
    assert one_line(said.err) == alone.err
    assert "step 6" in said.err


def test_a_stranger_compares_nothing(made: Made, again: Path, bench: Program) -> None:
    said = bench("compare", made.file, again)
    assert (said.code, said.out) == (5, "")
    assert f"{made.file}: step 2: " in one_line(said.err)


def test_a_count_of_parameters_is_refused(made: Made, tmp_path: Path) -> None:
    counted = tmp_path / "counted.evidence.json"
    said = made.bench("params", "--hosted", "A service", "--claim", "params=3B", "-o", counted)
    assert said.code == 0, said.err
    said = made.bench("compare", made.file, counted)
    assert (said.code, said.out) == (2, "")
    assert "a count of a model's parameters, and has no rates to compare" in one_line(said.err)
