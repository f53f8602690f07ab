"""Evidence that was changed after it was signed: refused at a numbered step, in one line."""

import base64
import json
import os
import re
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import forging
import pytest
from forging import (
    Answer,
    Change,
    Forgery,
    all_verified,
    delete_at,
    in_first_row,
    measured,
    numbers,
    set_at,
    set_number,
    verified,
)
from program import Made, Program, Said, one_line

from bench.evidence import keys
from bench.evidence.codec import decode
from bench.evidence.statement import parse
from bench.judge import catalog
from bench.terms import Evidence

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


# ------------------------------------------------------------------------------ without the key


def test_a_changed_character_anywhere_in_the_payload_is_refused(made: Made, tmp_path: Path) -> None:
    outer = json.loads(made.file.read_bytes())
    text = outer["payload"]
    files = []
    for index in (*range(0, len(text) - 1, len(text) // 58), len(text) - 2, len(text) - 1):
        other = ALPHABET[(ALPHABET.find(text[index]) + 1) % 64]
        outer["payload"] = text[:index] + other + text[index + 1 :]
        files.append(forging.write(tmp_path, str(index), json.dumps(outer).encode()))
    assert len(files) >= 60
    found = verified(made.bench, files)
    assert {(code, step) for code, step, _ in found} <= {(5, 2), (4, 1)}
    # But for the characters next to the padding, each is another payload, and the signature tells.
    assert sum(code == 5 for code, _, _ in found) >= len(files) - 2


def test_a_flipped_bit_anywhere_in_the_file_is_refused(made: Made, tmp_path: Path) -> None:
    data = made.file.read_bytes()
    files = []
    # But for the key's name, which is a hint: every trusted key is tried.
    hint = range(data.index(b'"keyid":"') + 9, data.index(b'","sig"'))
    places = (*range(0, len(data) - 200, len(data) // 40), *range(len(data) - 190, len(data) - 1, 5))
    for index in (place for place in places if place not in hint):
        flipped = bytearray(data)
        flipped[index] ^= 1
        files.append(forging.write(tmp_path, str(index), bytes(flipped)))
    for path, (code, step, _) in zip(files, verified(made.bench, files), strict=True):
        assert (code, step) in {(4, 1), (5, 2)}, path


def test_an_edited_number_is_refused_by_the_signature(made: Made, tmp_path: Path) -> None:
    outer = json.loads(made.file.read_bytes())
    statement = json.loads(base64.b64decode(outer["payload"]))
    statement["predicate"]["figures"][0]["estimate"]["value"] *= 2
    edited = json.dumps(statement, ensure_ascii=False, separators=(",", ":")).encode()
    outer["payload"] = base64.b64encode(edited).decode()
    said = made.bench("verify", forging.write(tmp_path, "edited", json.dumps(outer).encode()))
    assert said.code == 5
    assert "step 2: no signature can be trusted: SHA256:" in one_line(said.err)
    assert "they were changed after signing" in said.err


def test_evidence_signed_by_an_unknown_key_is_refused(made: Made, tmp_path: Path) -> None:
    stranger = keys.new(tmp_path / "stranger", None)
    path = forging.write(tmp_path, "unknown", forging.sealed(made.payload, stranger))
    said = made.bench("verify", path)
    assert said.code == 5
    assert f"step 2: no signature can be trusted: {stranger.fingerprint}" in one_line(said.err)
    assert "bench key trust PRINCIPAL FILE.pub" in said.err
    assert "valid" not in said.out


def test_an_unknown_key_under_a_trusted_name_is_refused(made: Made, tmp_path: Path) -> None:
    stranger = keys.new(tmp_path / "stranger", None)
    outer = json.loads(forging.sealed(made.payload, stranger))
    outer["signatures"][0]["keyid"] = forging.trusted_key(made).fingerprint
    said = made.bench("verify", forging.write(tmp_path, "named", json.dumps(outer).encode()))
    assert said.code == 5
    assert "step 2: " in one_line(said.err)


def test_a_file_that_was_cut_short_is_refused_at_any_length(made: Made, tmp_path: Path) -> None:
    data = made.file.read_bytes()
    # The last byte is the line end, and not missed.
    lengths = [*range(3), *range(3, len(data), len(data) // 30), len(data) - 50, len(data) - 2]
    files = [forging.write(tmp_path, f"{length}", data[:length]) for length in lengths]
    assert {(code, step) for code, step, _ in verified(made.bench, files)} == {(4, 1)}


SPELLED_OUTSIDE: tuple[tuple[Callable[[bytes], bytes], str], ...] = (
    (lambda data: b'{"payload":"e30=",' + data[1:], 'the key "payload" stands twice'),
    (lambda data: data[:-1] + b',"payload":"e30="}', '"payload" stands twice'),
    (lambda data: b'{"Payload":"e30=",' + data[1:], '"Payload" and "payload" differ only in case'),
    (lambda data: data.replace(b'"payload"', b'"Payload"'), '"Payload", it must be written "payload"'),
    (lambda data: data[:-1] + b',"note":NaN}', "NaN is not a number"),
    (lambda data: data[:-1] + b',"note":1e999}', "larger than a double"),
    (lambda data: data[:-1] + b',"note":1}', 'the key "note"'),
    (lambda data: data + b"{}", "this is not JSON, or not all of it"),
    (lambda data: b"\xef\xbb\xbf" + data, "byte order mark"),
    (lambda data: b"[" * 100_000 + data, "nested deeper than 32 levels"),
    (lambda _: b"bench evidence", "this is not JSON"),
    (lambda _: b"", "this is not JSON"),
    (lambda _: b"\x00" * 1000, "this is not JSON"),
    (lambda _: b"\xff\xfe\x00", "not JSON that can be accepted"),
    (lambda _: b"[]", "the envelope is not an object"),
    (lambda _: b"9" * 100_000, "a number of 100000 characters"),
)


def test_an_envelope_that_two_readers_could_read_in_two_ways_is_refused(made: Made, tmp_path: Path) -> None:
    whole = made.file.read_bytes().strip()
    forged = {str(index): spell(whole) for index, (spell, _) in enumerate(SPELLED_OUTSIDE)}
    answers = all_verified(made, tmp_path, forged).values()
    for (code, step, error), (_, reason) in zip(answers, SPELLED_OUTSIDE, strict=True):
        assert (code, step) == (4, 1), reason
        assert reason in error


# ------------------------------------------------------------------------------- what is no file


def measured_run(bench: Program, *words: str | Path) -> tuple[Said, float, int]:
    """What a command said, the seconds it took, and the most memory it had in KiB."""
    script = (
        "import resource, subprocess, sys; code = subprocess.call(sys.argv[1:]); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(code)"
    )
    begun = time.monotonic()
    said = bench(*words, launcher=(sys.executable, "-c", script, sys.executable, "-m", "bench"))
    return said, time.monotonic() - begun, int(said.out.splitlines()[-1])


def test_a_file_of_300_mb_is_refused_at_once_and_without_reading_it(made: Made, tmp_path: Path) -> None:
    huge = tmp_path / "huge.evidence.json"
    with huge.open("wb") as file:
        file.truncate(300 * 10**6)
    _, _, usual_kib = measured_run(made.bench, "verify", made.file)
    said, seconds, most_kib = measured_run(made.bench, "verify", huge)
    assert said.code == 4
    assert "step 0: " in one_line(said.err)
    assert "300000000 bytes, at most 67108864 are read" in said.err
    assert seconds < 5
    assert most_kib < usual_kib + 20_000


def test_a_folder_is_no_evidence(made: Made, tmp_path: Path) -> None:
    said = made.bench("verify", tmp_path)
    assert said.code == 4
    assert "step 0: " in one_line(said.err)
    assert "not a regular file" in said.err


def test_a_fifo_is_no_evidence_and_nobody_waits_for_it(made: Made, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    said = made.bench("verify", tmp_path / "fifo")
    assert said.code == 4
    assert "step 0: " in one_line(said.err)


def test_a_missing_file_is_a_usage_error(made: Made, tmp_path: Path) -> None:
    for command in ("verify", "show"):
        said = made.bench(command, tmp_path / "none")
        assert said.code == 2
        assert "no such file" in one_line(said.err)


# ------------------------------------------------------------ signed again, spelled in another way


SPELLED_INSIDE = (
    (b'"format":"6"', b'"format":"6","format":"6"', '"format" stands twice'),
    (b'"format":"6"', b'"format":"6","Format":"3"', "differ only in case"),
    (b'"format":"6"', b'"format":"6","extra":1', "unknown keys: extra"),
    (b'"format":"6",', b"", "missing keys: format"),
    (b'"format":"6"', b'"format":"7"', 'format "7" is not known'),
    (b'"interrupted":false', b'"interrupted":NaN', "NaN is not a number"),
    (b'"interrupted":false', b'"interrupted":Infinity', "Infinity is not a number"),
    (b'"interrupted":false', b'"interrupted":-Infinity', "-Infinity is not a number"),
    (b'"interrupted":false', b'"interrupted":1e999', "larger than a double"),
    (b'"interrupted":false', b'"interrupted":0', "expected true or false"),
    (b'"compared":', b'"compared":9007199254740993', "9007199254740993384 is beyond 9007199254740991"),
    (b'"compared":', b'"compared":1' + b"0" * 5000, "a number of 500"),
    (b'"compared":', b'"compared":' + b"[" * 50, "nested deeper than 32 levels"),
    (b'"hostNs":"', b'"hostNs":"' + b"9" * 40 + b" ", "expected decimals separated by single spaces"),
    (b"/compute-evidence/v1", b"/compute-evidence/v9", "its predicateType is"),
    (b"https://in-toto.io/Statement/v1", b"https://in-toto.io/Statement/v0", "_type"),
)


def test_a_payload_that_is_spelled_in_another_way_is_refused_at_step_3(made: Made, tmp_path: Path) -> None:
    forged = {
        str(index): forging.spelled(made, old, new) for index, (old, new, _) in enumerate(SPELLED_INSIDE)
    }
    answers = all_verified(made, tmp_path, forged).values()
    for (code, step, error), (*_, reason) in zip(answers, SPELLED_INSIDE, strict=True):
        assert (code, step) == (4, 3), reason
        assert reason in error


def test_a_payload_of_another_kind_is_refused_at_step_3(made: Made, tmp_path: Path) -> None:
    payloads = {"list": b"[]", "text": b"text", "other": b'{"_type":"x","predicateType":"y"}'}
    key = forging.trusted_key(made)
    forged = {name: forging.sealed(payload, key) for name, payload in payloads.items()}
    assert {answer[:2] for answer in all_verified(made, tmp_path, forged).values()} == {(4, 3)}


def test_samples_that_the_subject_does_not_name_by_digest_are_refused(made: Made, tmp_path: Path) -> None:
    digest = json.loads(made.payload)["subject"][0]["digest"]["sha256"].encode()
    data = forging.spelled(made, digest, b"0" * 64)
    said = made.bench("verify", forging.write(tmp_path, "subject", data))
    assert said.code == 4
    assert "step 3: the subjects do not match the predicate: samples/cpu/" in one_line(said.err)


# --------------------------------------------- signed again by the trusted key, with other contents


def _sample(column: str, value: Callable[[int], int]) -> Change:
    """Change a sample that counts: one on real-valued operands, which is in the figure in any case."""

    def change(predicate: Any) -> None:
        series = measured(predicate)["visits"][0]["samples"]
        index = numbers(series, "real").index(1)
        set_number(series, column, index, value(numbers(series, column)[index]))

    return change


def _drop_row_and_its_figure(predicate: Any) -> None:
    """The device's fp32 figure would be another one without its best row."""
    best = next(figure["row"] for figure in predicate["figures"] if figure["precision"] == "fp32")
    index = next(i for i, row in enumerate(predicate["delivered"]) if row["row"] == best)
    del predicate["measurements"][index]
    del predicate["delivered"][index]


def _rename_row(predicate: Any) -> None:
    """A form that no kernel has, everywhere it is named."""
    workload = measured(predicate)["workload"]
    old = f"{workload['kernel']}/{workload['form']['precision']}/{workload['form']['name']}"
    workload["form"]["name"] = "Sparse"
    new = f"{workload['kernel']}/{workload['form']['precision']}/Sparse"
    for row in (*predicate["delivered"], *predicate["figures"]):
        row["row"] = new if row["row"] == old else row["row"]


def _overlap(predicate: Any) -> None:
    """The second sample starts when the first does."""
    series = measured(predicate)["visits"][0]["samples"]
    set_number(series, "startNs", 1, numbers(series, "startNs")[0])


def _at_once(predicate: Any) -> None:
    """Two rows' samples lie at the same times, as if the device had done both at once."""
    first, second = [row for row in predicate["measurements"] if row["visits"]][:2]
    for target, source in zip(first["visits"], second["visits"], strict=True):
        shift = numbers(source["samples"], "startNs")[0] - numbers(target["samples"], "startNs")[0]
        for part in ("settle", "samples"):
            moved = [start + shift for start in numbers(target[part], "startNs")]
            target[part]["startNs"] = " ".join(map(str, moved))


def _backwards(predicate: Any) -> None:
    moments = predicate["telemetry"]["readings"]["atNs"].split()
    moments[1], moments[2] = moments[2], moments[1]
    predicate["telemetry"]["readings"]["atNs"] = " ".join(moments)


def _other_device(predicate: Any) -> None:
    """A processor that calls itself a GPU, with the profile that goes by that name."""
    spec = next(spec for spec in catalog.specs() if spec.id == "h100-pcie")
    predicate["devices"][0].update(name=spec.names[0], kind="gpu")
    predicate["profiles"].append({"name": f"devices/{spec.id}", "sha256": spec.digest})


def _other_family(predicate: Any) -> None:
    predicate["devices"][0].update(family="cuda", kind="gpu")
    predicate["profiles"] = []


def _huge_image(predicate: Any) -> None:
    """An image that no ladder has."""
    row = next(r for r in predicate["measurements"] if r["workload"]["operation"] == "conv")
    row["workload"]["shape"].update(height=2**53 - 1, width=2**53 - 1)


def _huge_times(predicate: Any) -> None:
    series = measured(predicate)["visits"][0]["samples"]
    for name in ("hostNs", "rawNs", "startNs"):
        set_number(series, name, 0, 10**29)


A_PROFILE = {"name": "h100-pcie", "sha256": "0" * 64}


def _fact(name: str, value: object) -> Change:
    def change(predicate: Any) -> None:
        next(f for f in predicate["devices"][0]["facts"] if f["name"] == name)["value"] = value

    return change


FIGURES = "figures in the file are not the ones that follow"
COUNTS = "count of operations is not that"
VALUES = "values that nothing can be computed from"
VERDICT = "verdict in the file is not the one"
RUNG = "its shape is none that the search tried"
NO_ROW = "is no row that this version of bench plans"
MISSING = "rows to be measured on cpu are not there"

NO_TELEMETRY = {
    "originUnixUs": 0,
    "periodNs": 100_000_000,
    "readings": {"atNs": "", "busyUs": "", "ownUs": "", "stealUs": ""},
    "sensors": [],
    "meter": None,
}

NO_PAIRS = {"usualNs": "", "otherNs": ""}
ADMISSION = {
    "graph": "0" * 64,
    "placements": [],
    "fused": None,
    "dispatchNs": [],
    "times": 1,
    "depthPairs": NO_PAIRS,
    "cpuPairs": NO_PAIRS,
    "cpuReason": None,
}

FORGERIES = (
    # figures and what they follow from
    Forgery(
        name="a figure raised",
        change=set_at("figures", 0, "estimate", "value", to=lambda value: value * 1.0001),
        step=6,
        reason=FIGURES,
    ),
    Forgery(
        name="a row's figure raised",
        change=set_at("delivered", 0, "estimate", "high", to=lambda value: value * 2),
        step=6,
        reason=FIGURES,
    ),
    Forgery(
        name="a row made to count",
        change=set_at("delivered", 1, "counts", to=lambda c: not c),
        step=6,
        reason=FIGURES,
    ),
    Forgery(
        name="the arithmetic renamed",
        change=set_at("delivered", 0, "measured", to="fp64"),
        step=6,
        reason=FIGURES,
    ),
    Forgery(
        name="a sample's time shortened",
        change=_sample("hostNs", lambda _: 1),
        step=6,
        reason="",  # the window ends before its time, or the figures are others
    ),
    Forgery(
        name="a sample's launches raised",
        change=_sample("launches", lambda n: n + 1),
        step=6,
        reason="",  # the figures are others, or the visits would have gone on
    ),
    Forgery(
        name="a sample without time", change=_sample("hostNs", lambda _: 0), step=6, reason="no time or no"
    ),
    Forgery(
        name="a sample with negative time", change=_sample("hostNs", lambda ns: -ns), step=6, reason="no time"
    ),
    Forgery(
        name="a sample of no launches", change=_sample("launches", lambda _: 0), step=6, reason="no launches"
    ),
    Forgery(
        name="a sample of other operands",
        change=_sample("real", lambda _: 7),
        step=6,
        reason="did not run on the operands that the nonce chose",
    ),
    Forgery(name="a sample longer than the ages", change=_huge_times, step=6, reason="no measurement brings"),
    Forgery(
        name="the operations counted twice",
        change=in_first_row("cost", "ops", to=lambda ops: str(2 * int(ops))),
        step=6,
        reason=COUNTS,
    ),
    Forgery(
        name="a larger shape",
        change=in_first_row(
            "workload",
            "shape",
            to=lambda shape: {k: 2 * v for k, v in shape.items()} | {"depth": 1, "streams": 1},
        ),
        step=6,
        reason=RUNG,
    ),
    Forgery(
        name="layers that were not run",
        change=in_first_row("workload", "shape", to=lambda shape: shape | {"padding": 1, "depth": 2}),
        step=6,
        reason=RUNG,
    ),
    Forgery(
        name="inputs that were not run",
        change=in_first_row("workload", "shape", to=lambda shape: shape | {"streams": 2}),
        step=6,
        reason=RUNG,
    ),
    Forgery(
        name="a processor's row admitted through a provider",
        change=in_first_row("admission", to=ADMISSION),
        step=6,
        reason="admitted through a provider, and ran through none",
    ),
    Forgery(name="an endless image", change=_huge_image, step=6, reason=RUNG),
    Forgery(name="a form made up", change=_rename_row, step=6, reason=NO_ROW),
    Forgery(
        name="a kernel made up",
        change=in_first_row("workload", "backend", to="cublas"),
        step=6,
        reason=NO_ROW,
    ),
    Forgery(
        name="another seed",
        change=in_first_row("workload", "seed", to="00" * 32),
        step=6,
        reason="not seeded by",
    ),
    Forgery(name="another nonce", change=set_at("nonce", to="00" * 32), step=6, reason="not seeded by"),
    Forgery(
        name="a device that is not described",
        change=in_first_row("workload", "device", to="cuda:0"),
        step=6,
        reason="a device that the evidence does not describe",
    ),
    Forgery(
        name="kernels of another family", change=_other_family, step=4, reason="the device profiles named"
    ),
    Forgery(name="a row dropped", change=delete_at("measurements", -1), step=6, reason=MISSING),
    Forgery(name="the best row dropped everywhere", change=_drop_row_and_its_figure, step=6, reason=MISSING),
    Forgery(
        name="a row twice",
        change=lambda p: p["measurements"].append({**p["measurements"][0], "visits": []}),
        step=6,
        reason="in the order of the plan, each once",
    ),
    Forgery(name="a delivered row dropped", change=delete_at("delivered", -1), step=6, reason=FIGURES),
    Forgery(
        name="wrong outputs in a check that passed",
        change=in_first_row("before", "wrong", to=1),
        step=6,
        reason=FIGURES,
    ),
    Forgery(
        name="a check with an error of nothing",
        change=in_first_row("probe", to=lambda check: {**check, "realCompared": 0, "realErrorPpm": 0.2}),
        step=6,
        reason="do not add up",
    ),
    Forgery(
        name="a check with more wrong than compared",
        change=in_first_row("timed", to=lambda check: {**check, "offByOne": 10**9}),
        step=6,
        reason="do not add up",
    ),
    Forgery(
        name="a row still to be visited in a run that says it was not interrupted",
        change=in_first_row("ended", to="interrupted"),
        step=6,
        reason="does not say that it was interrupted",
    ),
    Forgery(
        name="a machine without processors",
        change=_fact("logical-cpus", 0),
        step=6,
        reason="its logical-cpus",
    ),
    Forgery(
        name="a claim in a precision made up",
        change=set_at(
            "claims",
            to=[{"precision": "fp3", "opsPerS": 1e12, "density": "dense", "engines": []}],
        ),
        step=6,
        reason=VALUES,
    ),
    Forgery(
        name="a claim of nothing",
        change=set_at(
            "claims", to=[{"precision": "fp32", "opsPerS": 0.0, "density": "dense", "engines": []}]
        ),
        step=6,
        reason=VALUES,
    ),
    # rules, profiles, sections
    Forgery(
        name="another rule set's digest",
        change=set_at("rules", "sha256", to="0" * 64),
        step=4,
        reason="digest 000",
    ),
    Forgery(
        name="another rule set",
        change=set_at("rules", "name", to="softer-2024"),
        step=4,
        reason="not shipped",
    ),
    Forgery(
        name="another profile's digest",
        change=set_at("profiles", to=[A_PROFILE]),
        step=4,
        reason="profiles named",
    ),
    Forgery(name="a processor as a GPU", change=_other_device, step=6, reason="says it is of the kind gpu"),
    *(
        Forgery(
            name=f"no {name}", change=set_at(key, to=empty), step=4, reason=f"requires the section {name}"
        )
        for name, key, empty in (
            ("system", "system", []),
            ("devices", "devices", []),
            ("measurements", "measurements", []),
            ("telemetry", "telemetry", NO_TELEMETRY),
            ("delivered", "delivered", []),
            ("figures", "figures", []),
            ("does_not_show", "doesNotShow", []),
        )
    ),
    # what it says about itself
    Forgery(
        name="a limit left out", change=delete_at("doesNotShow", 0), step=6, reason="no-challenge left out"
    ),
    Forgery(
        name="a higher assurance", change=set_at("assurance", to="A3"), step=6, reason="claims assurance A3"
    ),
    Forgery(
        name="an assurance made up", change=set_at("assurance", to="A9"), step=6, reason="claims assurance A9"
    ),
    # the verdict
    Forgery(
        name="a verdict's word",
        change=set_at("verdict", "thresholds", 0, "headline", to="threshold-met"),
        step=8,
        reason=VERDICT,
    ),
    Forgery(
        name="a verdict's other word",
        change=set_at("verdict", "thresholds", 0, "deliveredWord", to="threshold-met"),
        step=8,
        reason=VERDICT,
    ),
    Forgery(
        name="a verdict's limit",
        change=set_at("verdict", "thresholds", 0, "limit", to=1.0),
        step=8,
        reason=VERDICT,
    ),
    Forgery(name="a tier dropped", change=delete_at("verdict", "thresholds", 0), step=8, reason=VERDICT),
    Forgery(name="a finding dropped", change=delete_at("verdict", "findings", -1), step=8, reason=VERDICT),
    Forgery(
        name="a finding made milder",
        change=set_at("verdict", "findings", -1, "numbers", to={"nothing": 0}),
        step=8,
        reason=VERDICT,
    ),
    Forgery(
        name="a row's own finding added",
        change=in_first_row(
            "findings", to=[{"subject": "cpu", "status": "info", "code": "fine", "numbers": {}}]
        ),
        step=6,
        reason="a row that was refused says why, and no other does",
    ),
    Forgery(
        name="a method made up",
        change=set_at("verdict", "method", to="verdict/9"),
        step=8,
        reason="judging method",
    ),
    Forgery(
        name="a smoke test as a measurement", change=set_at("mode", to="default"), step=6, reason=MISSING
    ),
    # times
    Forgery(name="samples that overlap", change=_overlap, step=9, reason="overlap"),
    Forgery(name="telemetry that runs backwards", change=_backwards, step=9, reason="run backwards"),
    Forgery(
        name="made in the future",
        change=set_at("created", to="2999-01-01T00:00:00Z"),
        step=9,
        reason="future",
    ),
    Forgery(
        name="made at no time",
        change=set_at("created", to="yesterday"),
        step=9,
        reason="yesterday is no time",
    ),
)


@pytest.fixture(scope="module")
def answers(made: Made, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Answer]:
    """What one command said to all the forgeries."""
    forged = {forgery.name: forging.changed(made, forgery.change) for forgery in FORGERIES}
    assert len(forged) == len(FORGERIES)
    return all_verified(made, tmp_path_factory.mktemp("forged"), forged)


@pytest.mark.parametrize("forgery", FORGERIES, ids=lambda forgery: forgery.name.replace(" ", "-"))
def test_what_the_trusted_key_signed_again_is_refused_where_it_does_not_follow(
    answers: dict[str, Answer], forgery: Forgery
) -> None:
    code, step, error = answers[forgery.name]
    assert (code, step) == (4, forgery.step), error
    assert forgery.reason in error


def test_a_forgery_that_changes_nothing_verifies(made: Made, tmp_path: Path) -> None:
    """So that it is the changes which are refused, and not the way in which they are made."""
    path = forging.write(tmp_path, "same", forging.changed(made, lambda _: None))
    assert made.bench("verify", path).code == 0
    same = forging.concluded(parse(made.payload))
    assert forging.built(made, same) == path.read_bytes()


# ------------------------------------------- all figures and words follow, and yet it cannot have been


def refusal(made: Made, folder: Path, **changes: Any) -> str:
    """Why evidence is refused from which everything follows honestly."""
    forged = forging.concluded(parse(made.payload), **changes)
    said = made.bench("verify", forging.write(folder, "concluded", forging.built(made, forged)))
    assert said.code == 4
    return one_line(said.err)


def test_rows_that_ran_at_the_same_time_on_one_device_are_refused(made: Made, tmp_path: Path) -> None:
    forged = json.loads(made.payload)["predicate"]
    _at_once(forged)
    rows = decode(Evidence, forged, step=3).measurements
    assert "step 9: " in (error := refusal(made, tmp_path, measurements=rows))
    assert "samples overlap in time" in error


def test_telemetry_that_ends_before_the_samples_do_is_refused(made: Made, tmp_path: Path) -> None:
    telemetry = parse(made.payload).telemetry
    cut = replace(telemetry, readings=telemetry.readings[:1], sensors=())
    error = refusal(made, tmp_path, telemetry=cut)
    assert re.search("step 9: .*the telemetry does not cover its samples", error)


def test_a_processor_under_a_gpus_name_is_refused(made: Made, tmp_path: Path) -> None:
    """Else its data sheet's figure would meet the tier, whatever was measured."""
    spec = next(spec for spec in catalog.specs() if spec.id == "h100-pcie")
    device = replace(parse(made.payload).devices[0], name=spec.names[0], kind="gpu")
    error = refusal(made, tmp_path, devices=(device,))
    assert re.search("step 6: cpu is of the family cpu and says it is of the kind gpu", error)
