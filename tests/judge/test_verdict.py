"""The real judge on scripted figures: the rule's own example, and every word that it may say."""

import dataclasses
import math
from dataclasses import replace
from typing import Any, get_args

import pytest
from judge_cases import TERA, case, ceiling, codes, declared, device, estimate, figure, tier

from bench.errors import EvidenceInvalid
from bench.judge import catalog
from bench.judge.claims import parse_claim
from bench.judge.verdict import METHOD, METHODS, judge
from bench.terms import (
    Architecture,
    DeclaredWord,
    DeviceSpec,
    Fact,
    Reference,
    ThresholdWord,
    Verdict,
)

H100_PCIE = device("NVIDIA H100 PCIe")
L4 = device("NVIDIA L4")
UNKNOWN = device("Nobody's Accelerator 9000")
CPU = device("AMD EPYC 9B14", kind="cpu", family="cpu", selector="cpu")
NPU = device("Some NPU", kind="npu", family="ort", selector="ort:NPU")


# ------------------------------------------------------------------------------- the rule's own example


def example() -> Verdict:
    return judge(case(H100_PCIE, figures=[figure("fp32", 38.2, 0.3)]))


def test_the_example_is_declared_48_and_meets_the_inference_tier_by_its_data_sheet() -> None:
    row = tier(example(), "inference-server")
    assert row.declared is not None
    assert row.declared.ops_per_s == 48 * TERA
    assert (row.declared_word, row.headline) == ("threshold-met", "threshold-met")


def test_the_example_is_borne_out_with_share_080_against_074_to_082() -> None:
    row = declared(example(), "fp32", 48)
    assert row.word == "borne-out"
    assert row.share is not None
    assert row.reference is not None
    assert round(row.share.value, 2) == 0.80
    assert (round(row.reference.low, 2), round(row.reference.high, 2)) == (0.74, 0.82)


def test_the_example_does_not_meet_the_tier_by_what_it_delivered_alone() -> None:
    row = tier(example(), "inference-server")
    assert row.delivered_word == "threshold-not-met"
    assert row.kind == "gpu"


def test_a_data_sheet_meets_no_tier_for_a_machine_that_was_not_measured() -> None:
    row = tier(judge(case(H100_PCIE)), "inference-server")
    assert (row.declared_word, row.delivered_word) == ("threshold-met", "inconclusive")
    assert row.headline == "inconclusive"


def test_an_unverified_figure_that_a_tier_looks_at_is_said_even_unmeasured() -> None:
    assert "declared-not-verified" in codes(judge(case(H100_PCIE)))


def test_the_example_is_not_a_training_server() -> None:
    row = tier(example(), "training-server")
    assert (row.declared_word, row.delivered_word) == ("threshold-not-met", "threshold-not-met")


def test_the_later_figure_of_51_is_judged_beside_that_of_48() -> None:
    row = declared(example(), "fp32", 51)
    assert row.word == "borne-out"
    assert row.share is not None
    assert round(row.share.value, 2) == 0.75


def test_a_report_says_that_figure_and_reference_were_not_re_read() -> None:
    assert {"declared-not-verified", "reference-not-verified"} <= codes(example())


# ---------------------------------------------------------------------- is the declared figure borne out


def test_an_h100_that_delivers_half_of_what_others_reach_is_not_borne_out() -> None:
    verdict = judge(case(device("NVIDIA H100 80GB HBM3"), figures=[figure("bf16", 400, 2)]))
    assert declared(verdict, "bf16", 989).word == "not-borne-out"


def test_an_interval_that_crosses_the_reference_is_inconclusive() -> None:
    verdict = judge(case(device("NVIDIA H100 80GB HBM3"), figures=[figure("bf16", 754.8, 1)]))
    row = declared(verdict, "bf16", 989)
    assert (row.word, row.reason) == ("inconclusive", "interval-crosses")


def test_an_l4_at_030_of_its_declared_fp32_is_not_called_dishonest() -> None:
    row = declared(judge(case(L4, figures=[figure("fp32", 9.1)])), "fp32", 30.3)
    assert row.share is not None
    assert round(row.share.value, 2) == 0.30
    assert (row.word, row.reason, row.reference) == ("no-reference", "nobody-measured-it", None)


def test_a_precision_that_was_not_measured_is_inconclusive() -> None:
    row = declared(example(), "bf16", 756)
    assert (row.word, row.reason, row.share) == ("inconclusive", "precision-not-measured", None)


def test_why_no_row_counts_is_passed_on() -> None:
    verdict = judge(case(H100_PCIE, figures=[figure("fp32", None, reason="arithmetic-differs")]))
    assert declared(verdict, "fp32", 48).reason == "arithmetic-differs"
    assert tier(verdict, "inference-server").delivered_reason == "arithmetic-differs"


@pytest.mark.parametrize(
    ("precision", "tera", "reason"),
    [("bf16", 1513, "sparse"), ("fp64_tc", 51, "precision-unknown")],
)
def test_sparse_and_unknown_figures_of_a_data_sheet_are_not_comparable(
    precision: str, tera: float, reason: str
) -> None:
    row = declared(judge(case(H100_PCIE, figures=[figure("bf16", 600)])), precision, tera)
    assert (row.word, row.reason, row.share) == ("not-comparable", reason, None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("int8=10TOPS,sparse", "sparse"),
        ("int8=10TOPS,dense,gpu+npu", "sum-of-engines"),
        ("int8=10TOPS,dense,cpu+gpu+npu", "sum-of-engines"),
        ("int8=10TOPS,dense,npu", "other-engine"),
        ("int4=10TOPS,dense,cpu", "precision-unknown"),
        ("unstated=10TOPS,dense,cpu", "precision-unstated"),
    ],
)
def test_a_claim_that_is_not_like_for_like_is_not_comparable(text: str, reason: str) -> None:
    verdict = judge(case(CPU, figures=[figure("int8", 11, of="cpu")], claims=[parse_claim(text)]))
    (row,) = verdict.declared
    assert (row.word, row.reason, row.share, row.reference) == ("not-comparable", reason, None, None)


def test_a_claim_in_a_format_that_nobody_measures_opens_no_tier() -> None:
    verdict = judge(case(UNKNOWN, figures=[figure("fp16", 9)], claims=[parse_claim("fp4=2PFLOPS,dense")]))
    assert {row.precision for row in verdict.thresholds if row.tier == "edge-device"} == {"int8"}


def test_a_claim_in_a_format_that_no_vendor_can_type_is_refused() -> None:
    claim = replace(parse_claim("int4=10TOPS"), precision="int3")
    with pytest.raises(ValueError, match="int3"):
        case(CPU, claims=[claim])


def of_a_board(**changes: Any) -> DeviceSpec:
    """An NPU for which a source declares 5 dense TOPS, of which others reached 4."""
    spec = next(spec for spec in catalog.specs() if spec.id == "a311d")
    (row,) = spec.declared
    first_hand = replace(row, density="dense", provenance="S1", verified=True, source="data sheet p. 1")
    reached = Reference(
        precision="int8",
        ops_per_s=4e12,
        low_ops_per_s=3.9e12,
        high_ops_per_s=4.1e12,
        source="a table",
        verified=True,
    )
    facts: dict[str, Any] = {"declared": (first_hand,), "references": (reached,), "architecture": ()}
    return replace(spec, **(facts | changes))


@pytest.mark.parametrize(
    ("text", "word", "reason"),
    [
        ("int8=5TOPS,dense,npu", "not-borne-out", None),
        ("int8=5TOPS,dense", "inconclusive", "engines-unstated"),
        ("int8=5TOPS,npu", "inconclusive", "density-unstated"),
    ],
)
def test_what_a_claim_leaves_unsaid_lowers_a_word_against_it(
    text: str, word: str, reason: str | None
) -> None:
    # By a route of its own: through a provider or a runner a low figure refutes nothing.
    external = replace(NPU, family="cuda")
    slow = [figure("int8", 1, of="ort:NPU")]
    found = case(external, figures=slow, claims=[parse_claim(text)], specs={"ort:NPU": of_a_board()})
    (row,) = (row for row in judge(found).declared if row.declared.provenance == "stated")
    assert (row.word, row.reason) == (word, reason)


def test_what_a_claim_leaves_unsaid_does_not_lower_a_word_for_it() -> None:
    fast = [figure("int8", 4.2, of="ort:NPU")]
    claims = [parse_claim("int8=5TOPS")]
    verdict = judge(case(NPU, figures=fast, claims=claims, specs={"ort:NPU": of_a_board()}))
    assert {row.word for row in verdict.declared} == {"borne-out"}


def test_the_words_do_not_accuse_a_board_whose_figure_is_third_hand() -> None:
    spec = next(spec for spec in catalog.specs() if spec.id == "a311d")
    slow = [figure("int8", 0.5, 0.01, of="ort:NPU")]
    verdict = judge(case(NPU, figures=slow, specs={"ort:NPU": spec}))
    assert declared(verdict, "int8", 5).word == "no-reference"
    assert "declared-not-verified" in codes(verdict)
    (note,) = (finding for finding in verdict.findings if finding.code == "architecture-not-verified")
    assert note.status == "info"
    assert (note.numbers["architecture"], note.numbers["declared"]) == (1.2288e12, 5e12)
    assert "architecture-below-claim" not in codes(verdict)


def test_a_route_that_falls_short_demonstrates_nothing() -> None:
    spec = catalog.device_spec(device("NVIDIA H100 80GB HBM3"))
    through_ort = device("NVIDIA H100 80GB HBM3", family="ort")
    verdict = judge(case(through_ort, figures=[figure("bf16", 200)], specs={"cuda:0": spec}))
    assert declared(verdict, "bf16", 989).word == "not-demonstrated"


def test_documents_of_one_vendor_that_disagree_contradict_the_figure() -> None:
    spec = catalog.device_spec(H100_PCIE)
    assert spec is not None
    rows = tuple(dataclasses.replace(row, contradicted_by="NVIDIA, page 2") for row in spec.declared)
    specs = {"cuda:0": dataclasses.replace(spec, declared=rows)}
    verdict = judge(case(H100_PCIE, figures=[figure("fp32", 38.2)], specs=specs))
    assert declared(verdict, "fp32", 48).word == "contradicted"
    assert tier(verdict, "inference-server").declared_word == "inconclusive"


def of_macs(macs_per_cycle: int, **changes: Any) -> Architecture:
    """An NPU at 1 GHz: 2,450 multiply-adds a cycle are 4.9 TOPS."""
    read: dict[str, Any] = {"provenance": "S2", "verified": True}
    return Architecture(
        engine="npu",
        precision="int8",
        macs_per_cycle=macs_per_cycle,
        clock_hz=10**9,
        source="reference manual p. 99",
        **(read | changes),
    )


@pytest.mark.parametrize(("macs_per_cycle", "contradicted"), [(2449, True), (2450, False), (2600, False)])
def test_macs_times_clock_times_two_below_the_claim_contradict_it_beyond_rounding(
    macs_per_cycle: int, contradicted: bool
) -> None:
    spec = of_a_board(architecture=(of_macs(macs_per_cycle),))
    fast = [figure("int8", 4.2, of="ort:NPU")]
    verdict = judge(case(NPU, figures=fast, specs={"ort:NPU": spec}))
    row = declared(verdict, "int8", 5)
    threshold = tier(verdict, "edge-device", "int8", of="ort:NPU")
    if contradicted:
        assert (row.word, row.reason) == ("contradicted", "architecture-below-claim")
        assert (threshold.declared_word, threshold.declared_reason) == (
            "inconclusive",
            "architecture-below-claim",
        )
    else:
        assert (row.word, threshold.declared_word) == ("borne-out", "threshold-met")
    assert ("architecture-below-claim" in codes(verdict)) is contradicted


def test_a_contradiction_is_told_with_both_figures_and_both_sources() -> None:
    verdict = judge(case(NPU, specs={"ort:NPU": of_a_board(architecture=(of_macs(600),))}))
    assert declared(verdict, "int8", 5).word == "contradicted"
    (finding,) = (finding for finding in verdict.findings if finding.code == "architecture-below-claim")
    assert (finding.status, finding.numbers) == (
        "warning",
        {
            "macs": 600,
            "clock_hz": 10**9,
            "architecture": 1.2e12,
            "source": "reference manual p. 99",
            "declared": 5e12,
            "declared_source": "data sheet p. 1",
        },
    )


@pytest.mark.parametrize("third_hand", ["claim", "architecture", "both"])
def test_a_third_hand_figure_contradicts_nothing_and_is_a_note(third_hand: str) -> None:
    spec = of_a_board(architecture=(of_macs(600),))
    if third_hand != "architecture":
        rows = tuple(replace(row, provenance="S3", verified=False) for row in spec.declared)
        spec = replace(spec, declared=rows)
    if third_hand != "claim":
        spec = replace(spec, architecture=(of_macs(600, provenance="M", verified=False),))
    verdict = judge(case(NPU, figures=[figure("int8", 4.2, of="ort:NPU")], specs={"ort:NPU": spec}))
    assert declared(verdict, "int8", 5).word == "borne-out"
    (note,) = (finding for finding in verdict.findings if finding.code.startswith("architecture-"))
    assert (note.code, note.status) == ("architecture-not-verified", "info")


def test_a_claim_that_may_be_of_sparse_operations_is_not_contradicted() -> None:
    spec = of_a_board(architecture=(of_macs(1250),))
    rows = tuple(replace(row, density="unstated") for row in spec.declared)
    verdict = judge(case(NPU, specs={"ort:NPU": replace(spec, declared=rows)}))
    assert declared(verdict, "int8", 5).word == "inconclusive"
    (note,) = (finding for finding in verdict.findings if finding.code.startswith("architecture-"))
    assert (note.code, note.status) == ("architecture-below-claim", "info")


@pytest.mark.parametrize("changes", [{"density": "sparse"}, {"engines": ("gpu", "npu")}])
def test_a_figure_of_another_kind_is_held_against_no_architecture(changes: dict[str, Any]) -> None:
    spec = of_a_board(architecture=(of_macs(600),))
    rows = tuple(replace(row, **changes) for row in spec.declared)
    verdict = judge(case(NPU, specs={"ort:NPU": replace(spec, declared=rows)}))
    assert declared(verdict, "int8", 5).word == "not-comparable"
    assert not any(code.startswith("architecture-") for code in codes(verdict))


def test_a_typed_claim_is_not_the_vendors_document() -> None:
    spec = of_a_board(declared=(), references=(), architecture=(of_macs(600),))
    claims = [parse_claim("int8=5TOPS,dense,npu")]
    verdict = judge(
        case(NPU, figures=[figure("int8", 1, of="ort:NPU")], claims=claims, specs={"ort:NPU": spec})
    )
    assert declared(verdict, "int8", 5).word == "no-reference"
    assert not any(code.startswith("architecture-") for code in codes(verdict))


def test_a_figure_above_the_ceiling_is_implausible_and_meets_nothing() -> None:
    verdict = judge(case(H100_PCIE, figures=[figure("fp32", 60)], delivered=[ceiling("fp32", 52)]))
    assert declared(verdict, "fp32", 48).word == "implausible"
    row = tier(verdict, "inference-server")
    assert (row.delivered_word, row.delivered_reason) == ("inconclusive", "above-ceiling")
    assert "delivered-above-ceiling" in codes(verdict)


def test_a_ceiling_with_a_reservation_accuses_nobody() -> None:
    reserved = replace(ceiling("fp32", 30), ceiling_reason="may-hide-wider-cores")
    verdict = judge(case(H100_PCIE, figures=[figure("fp32", 38.2)], delivered=[reserved]))
    assert "delivered-above-ceiling" not in codes(verdict)
    assert declared(verdict, "fp32", 48).word == "borne-out"


@pytest.mark.parametrize(("usable", "found"), [(64, True), (4, False)])
def test_a_claim_for_a_whole_processor_is_not_held_against_a_part_of_its_cores(
    usable: int, found: bool
) -> None:
    facts = (
        Fact(name="cores", value=64, source="typed"),
        Fact(name="cores-usable", value=usable, source="typed"),
    )
    cpu = replace(device("A CPU", kind="cpu", family="cpu", selector="cpu"), facts=facts)
    claims = [parse_claim("fp32=9TFLOPS,dense")]
    figures, most = [figure("fp32", 0.4, of="cpu")], [ceiling("fp32", 0.5, of="cpu")]
    verdict = judge(case(cpu, figures=figures, claims=claims, delivered=most))
    assert ("claim-above-ceiling" in codes(verdict)) == found


def test_a_figure_above_the_declared_one_and_below_the_ceiling_is_honest_boost() -> None:
    verdict = judge(case(H100_PCIE, figures=[figure("fp32", 49)], delivered=[ceiling("fp32", 52)]))
    assert declared(verdict, "fp32", 48).word == "borne-out"


# ------------------------------------------------------------------------------------------ typed claims


def test_a_typed_claim_of_1000_tflops_meets_nothing() -> None:
    claims = [parse_claim("fp32=1,000TFLOPS")]
    verdict = judge(case(UNKNOWN, figures=[figure("fp32", 38.2)], claims=claims))
    for name in ("training-server", "inference-server", "edge-device"):
        row = tier(verdict, name)
        assert (row.declared_word, row.headline) == ("stated-only", "stated-only")


def test_of_several_typed_claims_a_tier_shows_the_highest_that_is_comparable() -> None:
    texts = ("int8=34TOPS,dense,cpu+gpu+npu", "int8=26TOPS,sparse,npu", "int8=13TOPS", "int8=11TOPS,npu")
    claims = [parse_claim(text) for text in texts]
    row = tier(judge(case(NPU, claims=claims)), "edge-device", "int8", of="ort:NPU")
    assert row.declared is not None
    assert (row.declared.ops_per_s, row.declared_word) == (13e12, "stated-only")
    row = tier(judge(case(NPU, claims=claims[:2])), "edge-device", "int8", of="ort:NPU")
    assert row.declared is not None
    assert (row.declared.ops_per_s, row.declared_word) == (34e12, "stated-only")


def test_a_typed_claim_leaves_the_sourced_figure_in_its_place() -> None:
    claims = [parse_claim("fp32=1,000TFLOPS")]
    verdict = judge(case(H100_PCIE, figures=[figure("fp32", 38.2)], claims=claims))
    row = tier(verdict, "training-server")
    assert row.declared is not None
    assert (row.declared.ops_per_s, row.declared_word) == (48 * TERA, "threshold-not-met")


def test_a_claim_of_1000_tflops_is_shown_against_the_ceiling_and_what_was_delivered() -> None:
    claims = [parse_claim("fp32=1,000TFLOPS,dense")]
    verdict = judge(
        case(H100_PCIE, figures=[figure("fp32", 38.2)], claims=claims, delivered=[ceiling("fp32", 52)])
    )
    row = declared(verdict, "fp32", 1000)
    assert row.share is not None
    assert round(row.share.value, 3) == 0.038
    assert row.word == "not-borne-out"
    (finding,) = (finding for finding in verdict.findings if finding.code == "claim-above-ceiling")
    assert finding.numbers == {"claimed": 1000 * TERA, "ceiling": 52 * TERA}


def test_an_unstated_density_lowers_a_bad_verdict_to_inconclusive() -> None:
    claims = [parse_claim("fp32=1,000TFLOPS")]
    verdict = judge(case(H100_PCIE, figures=[figure("fp32", 38.2)], claims=claims))
    row = declared(verdict, "fp32", 1000)
    assert (row.word, row.reason) == ("inconclusive", "density-unstated")


@pytest.mark.parametrize(("claimed", "found"), [(1513, True), (756, False), (1800, False)])
def test_a_claim_of_twice_the_dense_figure_is_probably_the_sparse_one(claimed: int, found: bool) -> None:
    verdict = judge(case(H100_PCIE, claims=[parse_claim(f"bf16={claimed}TFLOPS")]))
    assert ("claim-probably-sparse" in codes(verdict)) is found


# ------------------------------------------------------------------------------------------------- tiers


def test_a_device_without_fp32_is_inconclusive_for_the_server_tiers() -> None:
    spec = next(spec for spec in catalog.specs() if spec.id == "gaudi2")
    gaudi = device("Gaudi 2", kind="accelerator")
    verdict = judge(case(gaudi, figures=[figure("bf16", 400)], specs={"cuda:0": spec}))
    for name in ("training-server", "inference-server"):
        row = tier(verdict, name)
        assert (row.declared_word, row.declared_reason) == ("inconclusive", "precision-not-declared")
        assert (row.delivered_word, row.delivered_reason) == ("inconclusive", "precision-not-measured")
        assert row.headline == "inconclusive"


def test_an_unknown_device_has_no_declared_figure_and_its_delivered_one_is_still_judged() -> None:
    verdict = judge(case(UNKNOWN, figures=[figure("fp32", 50)]))
    row = tier(verdict, "inference-server")
    assert verdict.declared == ()
    assert (row.declared, row.declared_word, row.declared_reason) == (
        None,
        "inconclusive",
        "no-declared-figure",
    )
    assert (row.delivered_word, row.headline) == ("threshold-met", "inconclusive")
    assert "no-declared-figure" in codes(verdict)


def test_an_interval_across_the_line_is_inconclusive() -> None:
    row = tier(judge(case(UNKNOWN, figures=[figure("fp32", 45.1, 0.3)])), "inference-server")
    assert (row.delivered_word, row.delivered_reason) == ("inconclusive", "interval-crosses")


def test_figures_are_compared_unrounded() -> None:
    below = tier(judge(case(UNKNOWN, figures=[figure("fp32", 44.9999, 0)])), "inference-server")
    exact = tier(judge(case(UNKNOWN, figures=[figure("fp32", 45, 0)])), "inference-server")
    assert (below.delivered_word, exact.delivered_word) == ("threshold-not-met", "threshold-met")


def test_a_decided_by_delivered_rule_takes_its_headline_from_the_measurement() -> None:
    rules = dataclasses.replace(catalog.rules("tw-ai-hardware-2024"), decided_by="delivered")
    verdict = judge(case(H100_PCIE, figures=[figure("fp32", 38.2)], rules=rules))
    assert tier(verdict, "inference-server").headline == "threshold-not-met"


def test_declarations_on_both_sides_of_the_line_are_inconclusive() -> None:
    spec = catalog.device_spec(H100_PCIE)
    assert spec is not None
    rows = tuple(
        dataclasses.replace(row, ops_per_s=44 * TERA) if row.ops_per_s == 48 * TERA else row
        for row in spec.declared
    )
    verdict = judge(case(H100_PCIE, specs={"cuda:0": dataclasses.replace(spec, declared=rows)}))
    row = tier(verdict, "inference-server")
    assert (row.declared_word, row.declared_reason) == ("inconclusive", "declarations-differ")


def test_a_density_that_nobody_stated_does_not_meet_a_tier() -> None:
    spec = next(spec for spec in catalog.specs() if spec.id == "rk3588")
    row = tier(judge(case(NPU, specs={"ort:NPU": spec})), "edge-device", "int8", of="ort:NPU")
    assert (row.declared_word, row.declared_reason) == ("inconclusive", "density-unstated")


def test_a_cpu_that_passes_the_edge_tier_says_nothing_about_an_npu() -> None:
    verdict = judge(case(CPU, figures=[figure("int8", 6, of="cpu")]))
    row = tier(verdict, "edge-device", "int8", of="cpu")
    assert (row.kind, row.delivered_word) == ("cpu", "threshold-met")
    assert "cpu-not-npu" in codes(verdict)


def test_a_claim_for_the_npu_is_not_the_cpus_declared_figure() -> None:
    verdict = judge(case(CPU, claims=[parse_claim("int8=5TOPS,dense,npu")]))
    row = tier(verdict, "edge-device", "int8", of="cpu")
    assert (row.declared, row.declared_reason) == (None, "no-declared-figure")


def test_a_cpu_cannot_be_a_gpu_server_however_fast() -> None:
    row = tier(judge(case(CPU, figures=[figure("fp32", 50, of="cpu")])), "inference-server", of="cpu")
    assert (row.delivered_word, row.delivered_reason) == ("inconclusive", "kind-not-named")
    slow = tier(judge(case(CPU, figures=[figure("fp32", 0.2, of="cpu")])), "inference-server", of="cpu")
    assert slow.delivered_word == "threshold-not-met"


def test_the_edge_tier_takes_the_floating_precision_that_the_claim_names() -> None:
    verdict = judge(case(UNKNOWN, figures=[figure("fp16", 9)], claims=[parse_claim("fp16=11TFLOPS")]))
    assert tier(verdict, "edge-device", "fp16").delivered_word == "threshold-met"
    without = judge(case(UNKNOWN, figures=[figure("fp16", 9)]))
    assert {row.precision for row in without.thresholds if row.tier == "edge-device"} == {"int8"}


def test_accelerators_measured_one_by_one_do_not_make_a_system() -> None:
    two = [device("NVIDIA L40S"), device("NVIDIA L40S", selector="cuda:1")]
    figures = [figure("fp32", 60), figure("fp32", 60, of="cuda:1")]
    row = tier(judge(case(*two, figures=figures)), "inference-server", of="cuda:1")
    assert (row.delivered_word, row.delivered_reason) == ("inconclusive", "not-measured-at-once")


def test_a_server_is_judged_by_its_accelerator_and_not_by_the_cpu_beside_it() -> None:
    verdict = judge(case(H100_PCIE, CPU, figures=[figure("fp32", 38.2), figure("fp32", 1, of="cpu")]))
    assert {row.device for row in verdict.thresholds if row.tier == "inference-server"} == {"cuda:0"}
    assert tier(verdict, "inference-server").headline == "threshold-met"


# ------------------------------------------------------------------------------------ what may be said


def test_quick_never_yields_a_positive_verdict() -> None:
    figures = [figure("fp32", 60), figure("int8", 1400)]
    verdict = judge(case(H100_PCIE, figures=figures, quick=True))
    words = {row.word for row in verdict.declared}
    words |= {
        word for row in verdict.thresholds for word in (row.declared_word, row.delivered_word, row.headline)
    }
    assert "smoke-test" in words
    assert not words & {"borne-out", "not-borne-out", "threshold-met", "threshold-not-met"}


def test_a_report_below_the_assurance_of_the_rule_is_never_positive() -> None:
    rules = dataclasses.replace(catalog.rules("tw-ai-hardware-2024"), minimum_assurance="A1")
    verdict = judge(case(H100_PCIE, figures=[figure("fp32", 60)], rules=rules))
    row = tier(verdict, "inference-server")
    assert (row.headline, row.declared_reason) == ("inconclusive", "assurance-below-minimum")
    assert declared(verdict, "fp32", 48).word == "inconclusive"


def test_the_words_are_those_of_the_page_and_eligible_is_none_of_them() -> None:
    assert set(get_args(DeclaredWord)) == {
        "borne-out",
        "not-borne-out",
        "no-reference",
        "not-demonstrated",
        "not-comparable",
        "contradicted",
        "implausible",
        "inconclusive",
        "smoke-test",
    }
    assert set(get_args(ThresholdWord)) == {
        "threshold-met",
        "threshold-not-met",
        "inconclusive",
        "stated-only",
        "smoke-test",
    }


def test_findings_carry_codes_and_numbers_and_no_sentences() -> None:
    claims = [parse_claim("fp32=100TFLOPS")]
    verdict = judge(
        case(H100_PCIE, figures=[figure("fp32", 60)], claims=claims, delivered=[ceiling("fp32", 52)])
    )
    for finding in verdict.findings:
        assert " " not in finding.code
        assert all(math.isfinite(value) for value in finding.numbers.values())


def test_every_version_of_the_method_stays_in_the_table() -> None:
    assert METHOD in METHODS
    assert judge(case(UNKNOWN)).method == METHOD
    with pytest.raises(EvidenceInvalid, match=r"verdict/0.*known are verdict/1"):
        judge(case(UNKNOWN), method="verdict/0")


def test_scripted_estimates_hold_what_they_say() -> None:
    assert estimate(38.2, 0.3).low == pytest.approx(37.9 * TERA)
