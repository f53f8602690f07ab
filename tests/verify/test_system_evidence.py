"""Two ranks on this machine's processor, started by torchrun: one file, and what is refused about it."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from forging import Answer, Change, Forgery, all_verified, changed, sealed, set_at, trusted_key, write
from program import Made

from bench.evidence import envelope, keys, statement
from bench.evidence.strict_json import to_bytes
from bench.evidence.verify_system import read_parts
from bench.judge import catalog, system
from bench.terms import Exchange, SystemEvidence


def of(made: Made) -> Any:
    return json.loads(made.payload)["predicate"]


def test_the_file_of_two_ranks_verifies(two_ranks: Made) -> None:
    said = two_ranks.bench("verify", two_ranks.file)
    assert (said.code, said.err) == (0, "")
    assert "compute evidence of a system" in said.out
    assert "the reports of 2 of 2 ranks verified by themselves" in said.out


def test_the_systems_figure_is_at_most_the_sum_and_at_least_0_8_of_it(two_ranks: Made) -> None:
    figures = of(two_ranks)["figures"]
    assert [figure["precision"] for figure in figures] == ["fp32", "int8"]
    for figure in figures:
        assert figure["reason"] is None
        assert 0.8 * figure["total"] <= figure["estimate"]["value"] <= figure["total"]
        assert [share["rank"] for share in figure["shares"]] == [0, 1]
        assert [share["alone"] is None for share in figure["shares"]] == [False, True]


def test_each_rank_signed_its_own_part_of_one_run(two_ranks: Made) -> None:
    evidence = of(two_ranks)
    for member in evidence["members"]:
        signed = envelope.parse(base64.b64decode(member["report"]))
        key = keys.parse_public(member["key"], "a member")
        message = envelope.pae(signed.payload_type, signed.payload)
        assert keys.verify(key, signed.signatures[0].sig, message)
        part = json.loads(signed.payload)["predicate"]
        assert part["rank"] == {"number": member["rank"], "of": 2, "node": 0}
        assert part["nonce"] == evidence["nonce"]


def test_ranks_on_one_processor_take_cores_of_their_own(two_ranks: Made) -> None:
    told = {finding["code"] for finding in of(two_ranks)["verdict"]["findings"]}
    parts = [
        json.loads(envelope.parse(base64.b64decode(m["report"])).payload) for m in of(two_ranks)["members"]
    ]
    facts = [{f["name"]: f["value"] for f in part["predicate"]["devices"][0]["facts"]} for part in parts]
    used = sum(fact["cores-usable"] for fact in facts)
    assert ("ranks-share-cores" in told) == (used > facts[0]["cores"])


def test_show_json_and_report_work_on_it(two_ranks: Made, tmp_path: Path) -> None:
    shown = two_ranks.bench("show", two_ranks.file)
    assert shown.code == 0, shown.err
    assert "All at once" in shown.out
    said = two_ranks.bench("show", "--json", two_ranks.file)
    assert [figure["precision"] for figure in said.json["figures"]] == ["fp32", "int8"]
    page = tmp_path / "system.html"
    assert two_ranks.bench("report", two_ranks.file, "-o", page).code == 0
    assert "rank 1" in page.read_text("utf-8").lower()


# ------------------------------------------------------------------------------------ what is refused


def inner(change: Callable[[Any], object], *, rank: int = 1) -> Callable[[Made], bytes]:
    """One rank's report changed and signed again by the rank's own key."""

    def forge(made: Made) -> bytes:
        key = trusted_key(made)

        def in_member(predicate: Any) -> None:
            member = predicate["members"][rank]
            payload = json.loads(envelope.parse(base64.b64decode(member["report"])).payload)
            change(payload["predicate"])
            subjects = statement.subjects(payload["predicate"])
            payload["subject"] = [{"name": s.name, "digest": {"sha256": s.digest.sha256}} for s in subjects]
            member["report"] = base64.b64encode(sealed(to_bytes(payload), key)).decode()

        return changed(made, in_member)

    return forge


def swapped(predicate: Any) -> None:
    first, second = predicate["members"]
    first["report"], second["report"] = second["report"], first["report"]


def other_key(predicate: Any) -> None:
    """Not even its own: the key of RFC 8032's first test, as OpenSSH writes it."""
    predicate["members"][1]["key"] = (
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea"
    )


def early_answer(predicate: Any) -> None:
    asked = predicate["members"][1]["exchanges"][0]
    asked["backNs"] = asked["sentNs"] - 1


def moved_clock(by_ns: int) -> Change:
    """The second rank's windows moved against the first one's."""

    def move(predicate: Any) -> None:
        for asked in predicate["members"][1]["exchanges"]:
            asked["receivedNs"] += by_ns
            asked["answeredNs"] += by_ns

    return move


FORGERIES = [
    Forgery(
        name="a figure raised",
        change=set_at("figures", 0, "estimate", "high", to=9e15),
        step=6,
        reason="figures in the file",
    ),
    Forgery(
        name="a sum raised",
        change=set_at("figures", 0, "total", to=9e15),
        step=6,
        reason="figures in the file",
    ),
    Forgery(
        name="a loss left out",
        change=set_at("figures", 0, "loss", to=None),
        step=6,
        reason="figures in the file",
    ),
    Forgery(name="a clock moved", change=moved_clock(10**6), step=6, reason="figures in the file"),
    Forgery(name="not alone", change=moved_clock(-4 * 10**9), step=6, reason="it was not alone"),
    Forgery(name="an answer before its question", change=early_answer, step=6, reason="before its question"),
    Forgery(name="ranks swapped", change=swapped, step=6, reason="another rank"),
    Forgery(name="a rank left out", change=lambda p: p["members"].pop(), step=6, reason="2 to 1024 ranks"),
    Forgery(
        name="a rank left open", change=set_at("members", 1, "rank", to=2), step=6, reason="not all there"
    ),
    Forgery(
        name="a rank added",
        change=lambda p: p["members"].append({**p["members"][1], "rank": 2}),
        step=6,
        reason="another rank",
    ),
    Forgery(name="another node", change=set_at("members", 1, "node", to=1), step=6, reason="another rank"),
    Forgery(
        name="another device",
        change=set_at("members", 1, "device", to="cuda:0"),
        step=6,
        reason="another device",
    ),
    Forgery(name="another's key", change=other_key, step=3, reason="not signed by the key"),
    Forgery(name="another run", change=set_at("nonce", to="0" * 64), step=6, reason="another run: nonce"),
    Forgery(name="a default run", change=set_at("mode", to="default"), step=6, reason="another run: mode"),
    Forgery(name="interrupted", change=set_at("interrupted", to=True), step=6, reason="through to its end"),
    Forgery(name="a higher level", change=set_at("assurance", to="A1"), step=6, reason="claims assurance A1"),
    Forgery(name="a limit left out", change=lambda p: p["doesNotShow"].pop(), step=6, reason="does not show"),
    Forgery(
        name="a kind word",
        change=set_at("verdict", "thresholds", 0, "headline", to="threshold-met"),
        step=8,
        reason="verdict",
    ),
]


@pytest.fixture(scope="module")
def answers(two_ranks: Made, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Answer]:
    forged = {forgery.name: changed(two_ranks, forgery.change) for forgery in FORGERIES}
    forged |= {name: forge(two_ranks) for name, (forge, _, _) in INNER.items()}
    return all_verified(two_ranks, tmp_path_factory.mktemp("systems"), forged)


def faster(predicate: Any) -> None:
    row = next(row for row in predicate["measurements"] if row["held"])
    times = row["held"]["samples"]["hostNs"].split()
    times[0] = str(int(times[0]) // 2)
    row["held"]["samples"]["hostNs"] = " ".join(times)


# A rank's own report, changed and signed again by its key.
INNER = {
    "a rank's sample shortened": (inner(faster), 6, "rank 1: "),
    "a rank alone among none": (inner(set_at("rank", to=None)), 6, "another rank"),
    "a rank asked for less": (inner(set_at("asked", to=["int8"])), 6, "ran differently"),
    "a rank's own claim": (
        inner(
            set_at(
                "claims",
                to=[{"precision": "fp32", "opsPerS": 1e12, "density": "dense", "engines": []}],
            )
        ),
        6,
        "a claim is about the system",
    ),
}


@pytest.mark.parametrize("forgery", FORGERIES, ids=lambda forgery: forgery.name)
def test_a_forged_system_is_refused_at_its_step(forgery: Forgery, answers: dict[str, Answer]) -> None:
    code, step, error = answers[forgery.name]
    assert (code, step) == (4, forgery.step), error
    assert forgery.reason in error


@pytest.mark.parametrize("name", INNER)
def test_a_forged_rank_is_refused_and_named(name: str, answers: dict[str, Answer]) -> None:
    code, step, error = answers[name]
    assert (code, step) == (4, INNER[name][1]), error
    assert INNER[name][2] in error


def test_a_window_alone_needs_another_device(made: Made, tmp_path: Path) -> None:
    """A run by itself cannot say that it waited for others."""

    def alone(predicate: Any) -> None:
        row = next(row for row in predicate["measurements"] if row["visits"])
        row["alone"] = row["visits"][-1]

    code, step, error = all_verified(made, tmp_path, {"alone": changed(made, alone)})["alone"]
    assert (code, step) == (4, 6), error


# -------------------------------------------------------------------------------- what is not caught


def told_wrong(exchange: Exchange) -> Exchange:
    ahead_ns = 10_000_000
    received, answered = exchange.received_ns + ahead_ns, exchange.answered_ns + ahead_ns
    return replace(exchange, received_ns=received, answered_ns=answered)


def test_not_caught_windows_that_were_moved_onto_each_other(two_ranks: Made, tmp_path: Path) -> None:
    """Rank 0 signs for all clocks. Moved by more than pauses last, windows fall into those alone: caught.

    Whoever leaves such pauses has ranks in turn look like all at once. Only somebody beside the machines sees
    which of them work; a wall meter over all of them shows it too.
    """
    evidence = statement.parse(two_ranks.payload)
    assert isinstance(evidence, SystemEvidence)
    members = tuple(
        replace(member, exchanges=tuple(map(told_wrong, member.exchanges))) for member in evidence.members
    )
    rules = catalog.rules(evidence.rules.name)
    concluded = system.conclude(read_parts(members), rules, evidence.claims, quick=True)
    assert concluded.figures != evidence.figures
    forged = replace(evidence, members=members, figures=concluded.figures, verdict=concluded.verdict)
    file = write(tmp_path, "moved", sealed(statement.build(forged), trusted_key(two_ranks)))
    said = two_ranks.bench("verify", "--json", file)
    assert said.code == 0, said.err
    assert "time-by-own-clock" in said.json[0]["doesNotShow"]
