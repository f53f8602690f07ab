"""Every code that evidence, devices and verification carry has its sentence, and no sentence is unused.

Codes are found in the sources where they are given away: as `code=` and `reason=`, as the argument of the
few functions that take one, and in what the judge's functions return. So that none slips through, every
word with a hyphen in the sources must be a code or stand in one of the lists below.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from string import Formatter
from typing import get_args

import pytest
from program import TOP

from bench import terms
from bench.evidence import steps, verify_run
from bench.judge import system
from bench.judge.assurance import does_not_show
from bench.parameters import conclusion
from bench.report import sentences
from bench.workload import openings
from bench.workload.operands import OPERAND_SETS

SOURCES = {
    path.relative_to(TOP).as_posix(): ast.parse(path.read_text("utf-8"))
    for folder in ("bench", "kernels")
    for path in sorted((TOP / folder).rglob("*.py"))
    if path.name != "sentences.py"
}

WORDS = {
    *get_args(terms.DeclaredWord),
    *get_args(terms.ThresholdWord),
    *get_args(terms.CountWord),
    *get_args(terms.ItemWord),
    *get_args(terms.ClaimWord),
    *get_args(terms.Role),
    *get_args(terms.ItemCondition),
}

# Why a row, a visit or a settling ended, and why a shape was not tried: for whoever reads the samples.
# No report shows them.
WHY_ENDED = {
    *("not-started", "time-limit", "window-full", "settle-limit", "backend-failed", "wrong-outputs"),
    *("too-slow", "no-memory"),
}
# A form that the plan leaves out for another one of its kind: no row, no report.
NEVER_A_ROW = {"not-applicable"}
# Names of arithmetic, shown as they are in the column "measured".
ARITHMETIC = {
    *("floating-point", "int8-or-fp16-sums", "int8-saturating"),
    *("tf32-or-fp16", "tf32-truncated"),
}
# Other words with a hyphen that are no codes: layouts, facts, key types, names of files and formats.
NO_CODES = {
    *("channels-last", "row-major", "logical-cpus", "threads-usable", "threads-affinity", "instruction-sets"),
    *("cert-authority", "valid-after", "valid-before", "ssh-ed25519", "ecdsa-sha2-nistp256"),
    *(
        "mm-f32",
        "memory-free-bytes",
        "compute-capability",
        "energy-cuda",
        "gcn-arch",
        "gpu-uuid",
        "l2-bytes",
        "memory-bytes",
        "sm-count",
    ),
    *("triton-globaltimer", "nvml-sm-clock", "amdsmi-gfx-clock"),
    *("compute-evidence", "utf-8", "utf-8-sig", "tw-ai-hardware-2024", "cores-usable", "energy-package"),
    *(
        "cpu-family",
        "cpu-part",
        "ecdsa-p256",
        "tsa-roots",
        "compute-evidence-challenge",
        "compute-evidence-verdict",
    ),
    # Names under which a model's configuration states something.
    *(
        "adapter-type",
        "experts-used",
        "quantisation-bits",
        "quantisation-group",
        "tensors-in-all",
        "tied-embeddings",
    ),
    # A fact, and what the nonce chooses.
    *("hardware-type", "left-over"),
    # What a chart is made of.
    *("aria-labelledby", "font-family", "over-time", "stroke-linejoin"),
    # Names of diagnostics, and of the chain that a clock is measured by.
    *("cold-caches", "one-thread", "other-pool", "imul-chain"),
}

# Modules of bench/parameters that say under which names something is stated.
STATING = ("stated", "gguf", "onnx", "pytorch", "safetensors")

CODE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
HYPHENATED = re.compile(r"[a-z0-9]+(-[a-z0-9]+)+")


def texts(node: ast.AST | None) -> set[str]:
    """The string constants in an expression that can be codes: `"a" if x else "b"` has two."""
    if node is None:
        return set()
    found = (n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str))
    return {text for text in found if CODE.fullmatch(text)}


def called(call: ast.Call) -> str:
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def calls(name: str, inside: str = "") -> Iterator[ast.Call]:
    for path, tree in SOURCES.items():
        if path.startswith(inside):
            for node in ast.walk(tree):
                if isinstance(node, ast.Call) and called(node) == name:
                    yield node


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((word.value for word in call.keywords if word.arg == name), None)


def argument(name: str, index: int, inside: str = "") -> set[str]:
    """Codes given to a function at a place, or as `code=`."""
    found: set[str] = set()
    for call in calls(name, inside):
        found |= texts(call.args[index] if len(call.args) > index else keyword(call, "code"))
    return found


def looped(variable: str, inside: str) -> set[str]:
    """Codes that a loop over a written-out table gives to a variable: `for code, x in (("a", 1), ...)`."""
    found: set[str] = set()
    for path, tree in SOURCES.items():
        for node in ast.walk(tree) if path.startswith(inside) else ():
            if isinstance(node, ast.For) and isinstance(node.target, ast.Tuple):
                names = [getattr(target, "id", "") for target in node.target.elts]
                if variable in names and isinstance(node.iter, ast.Tuple):
                    rows = [row.elts[names.index(variable)] for row in node.iter.elts]  # type: ignore[attr-defined]
                    found |= set().union(*map(texts, rows))
    return found


def defaults(field: str, inside: str) -> set[str]:
    """What a field holds from the first: `code: str = "a"`."""
    nodes = ast.walk(SOURCES[inside])
    fields = (n for n in nodes if isinstance(n, ast.AnnAssign) and ast.unparse(n.target) == field)
    return set().union(*(texts(node.value) for node in fields))


def returned(inside: str) -> set[str]:
    """What the functions that return `str | None` return besides the words of a verdict."""
    found: set[str] = set()
    for path, tree in SOURCES.items():
        for node in ast.walk(tree) if path.startswith(inside) else ():
            if isinstance(node, ast.FunctionDef) and node.returns is not None:
                if "str | None" not in ast.unparse(node.returns):
                    continue
                for end in ast.walk(node):
                    if isinstance(end, ast.Return):
                        found |= results(end.value)
    return found - WORDS


def results(value: ast.expr | None) -> set[str]:
    """Of a returned expression the strings that are its value, and not those it is computed from."""
    if isinstance(value, ast.Tuple):
        return set().union(*(results(part) for part in value.elts))
    if isinstance(value, ast.IfExp):
        return results(value.body) | results(value.orelse)
    if isinstance(value, ast.Call) and called(value) == "next":
        return results(value.args[1])  # what it gives where nothing was found
    return texts(value) if isinstance(value, ast.Constant) else set()


def nvml_reasons() -> set[str]:
    from bench.devices.nvml import REASONS

    return {*REASONS.values()}


def finding_codes() -> set[str]:
    return (
        argument("Finding", 2)
        | argument("finding", 1, "bench/judge")
        | argument("_finding", 3, "bench/judge")
        | argument("refuse", 0)
        | admission_codes()
        | defaults("code", "bench/measure/search.py")
        | looped("code", "bench/judge")
        | argument("_finding", 1, "bench/parameters")
        | doubt_codes()
        | returned("bench/parameters/count.py")
        # What a kernel says to the plan becomes the row's finding.
        | (argument("Unavailable", 1, "kernels") - NEVER_A_ROW)
    )


def admission_codes() -> set[str]:
    """Why what a provider or a runner says is not believed: a refused row's finding, and its reason."""
    return argument("NotAdmitted", 1)


def doubt_codes() -> set[str]:
    """Why parameters are in doubt: told beside the figures and among the findings."""
    return looped("code", "bench/parameters/count.py") | argument("Doubt", 0, "bench/parameters/count.py")


def reason_codes() -> set[str]:
    keywords = {
        *("reason", "declared_reason", "delivered_reason", "ceiling_reason"),
        *("roof_reason", "energy_reason"),
    }
    found = clock_codes() | doubt_codes() | admission_codes() | system_codes()
    for room in ("verdict", "delivered", "rows", "ceiling", "energy", "admission"):
        found |= returned(f"bench/judge/{room}.py")
    for name in ("Delivered", "Figure", "BorneOut", "Threshold", "Consumed"):
        for call in calls(name):
            for word in keywords:
                found |= results(keyword(call, word))
    return found


def system_codes() -> set[str]:
    """Why a system has no figure, and why a rank's part is missing or cut off."""
    judged = "bench/judge/system.py"
    of_ranks = argument("_left_by", 1, "bench/fleet/meeting.py")
    return argument("_without", 1, judged) | results_of("_held", judged) | of_ranks


def clock_codes() -> set[str]:
    """Why the clock was not measured: told beside the ceilings that it leaves unknown."""
    found = argument("Unavailable", 1, "kernels/clock.py") | argument("Unavailable", 1, "bench/core_clock.py")
    for room in ("bench/judge", "bench/core_clock.py"):
        found |= {code for call in calls("Fact", room) for code in results(keyword(call, "reason"))}
    return found


def beside_codes() -> set[str]:
    """Why a size of memory, a condition of a diagnosis or a rate beside the processor's is not there."""
    files = ("bench/measure/diagnostics.py", "kernels/memory.py")
    found = argument("_NotHere", 0) | argument("_without", 3) | results_of("flusher", files[0])
    for file in files:
        for node in ast.walk(SOURCES[file]):
            if isinstance(node, ast.Assign) and "reason" in ast.unparse(node.targets[0]):
                value = node.value
                found |= results(value.elts[0] if isinstance(value, ast.Tuple) else value)
        for call in calls("Transfer", file):
            found |= results(keyword(call, "reason"))
    return found | results_of("_beside_cpu", "bench/measure/admission.py") | opening_codes()


def opening_codes() -> set[str]:
    """Why a row's outputs were not opened."""
    return {openings.NO_EXACT_WINDOW, openings.OUTPUTS_DIFFER, openings.ROUNDED_OTHERWISE}


def unavailable_codes() -> set[str]:
    return (
        argument("Unavailable", 1, "bench/devices")
        | argument("_none", 0, "bench/devices")
        | (argument("none", 0, "bench/devices") - {"not-nvidia"})
        | argument("_refused", 1, "bench/devices/cuda.py")
        | results_of("reason", "bench/devices/nvml.py")
        | nvml_reasons()
    )


def results_of(function: str, inside: str) -> set[str]:
    """Codes in what one function returns: here `next((...), "nvml-error")`."""
    found: set[str] = set()
    for node in ast.walk(SOURCES[inside]):
        if isinstance(node, ast.FunctionDef) and node.name == function:
            ends = [end for end in ast.walk(node) if isinstance(end, ast.Return)]
            found |= set().union(*(results(end.value) for end in ends))
    return found


def fact_codes() -> set[str]:
    found = argument("absent", 2, "bench/devices") | results_of("reason", "bench/devices/nvml.py")
    found |= (
        nvml_reasons() | argument("Refused", 0, "bench/devices") | returned("bench/devices/cuda_telemetry.py")
    )
    for room in ("bench/devices", "bench/evidence"):
        for call in calls("Fact", room):
            found |= results(keyword(call, "reason"))
    # With these codes NVML as a whole is not there: no GPU, and so no fact of one.
    return found - {"no-nvml", "no-driver", "driver-mismatch"}


def step_codes() -> set[str]:
    """What is given as it stands, or chosen just before; a signature's code is put together of parts."""
    signed = {f"signed{own}{stamp}" for own in ("", "-by-self") for stamp in STAMPS}
    chosen: set[str] = set()
    for file in ("verify", "verify_run"):
        for node in ast.walk(SOURCES[f"bench/evidence/{file}.py"]):
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in ("code", "known", "kind"):
                chosen |= results(node.value)
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
                chosen |= texts(node.value) if ast.unparse(node.targets[0]) == "kinds" else set()
    of_models = argument("_step", 1, "bench/evidence/verify_model.py")
    read = {f"model-read-{covers}" for covers in ("full", "sampled")}
    return argument("Step", 1) | signed | chosen | of_models | read | {verify_run.NOT_GIVEN}


STAMPS = ("", "-stamped", "-stamp-unchecked", "-stamp-of-others")


def limit_codes() -> set[str]:
    """What reports of either level do not show, and what is added where the challenge is not at hand."""
    figure = terms.Figure(device="cpu", precision="fp32", row="a", estimate=None, reason=None)
    covers = terms.Coverage(committed=1, timed=1, skipped_share=0.05, confidence=0.999)
    opening = terms.Opening(
        device="cpu",
        row="a",
        stays=(0,),
        leaves=1,
        opened=1,
        root="",
        siblings="",
        covers=covers,
        reason=None,
    )
    asked = terms.Digest(name="challenge", sha256="")
    return {
        *system_limits(),
        *does_not_show(None, [figure], [], with_case=True, external=True),
        *does_not_show(asked, [figure], [opening], with_case=False, external=False),
        verify_run.NOT_GIVEN,
        *conclusion.does_not_show(None),
        *conclusion.does_not_show(a_model()),
    }


def system_limits() -> set[str]:
    """What a system's report does not show beyond its ranks', where these are on two machines."""
    ranks = [
        terms.Member(
            rank=node, node=node, device="cpu", key="", report=None, exchanges=(), reason="rank-lost"
        )
        for node in range(2)
    ]
    return {*system._does_not_show([system.Part(member=member, evidence=None) for member in ranks])}


def a_model() -> terms.Model:
    """One whose files are digested in part."""
    file = terms.ModelFile(name="a", size=1, covers="sampled", sha256="")
    sample = terms.ContentSample(blocks=0, block_bytes=1, groups=())
    return terms.Model(
        format="gguf", files=(file,), listing="", groups=(), stated=(), findings=(), sample=sample
    )


KINDS = {
    "findings": (finding_codes, sentences.FINDINGS),
    "reasons": (reason_codes, sentences.REASONS),
    "unavailable": (unavailable_codes, sentences.UNAVAILABLE),
    "facts": (fact_codes, sentences.ABSENT),
    "beside": (beside_codes, sentences.BESIDE),
    "steps": (step_codes, sentences.STEPS),
    "limits": (limit_codes, sentences.DOES_NOT_SHOW),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_code_has_a_sentence(kind: str) -> None:
    collect, table = KINDS[kind]
    codes = collect()
    assert len(codes) >= 5, "the search for codes has lost its way"
    # A row that failed gives its failure as the reason: that is told among the findings.
    known = {*table} | ({*sentences.FINDINGS} if kind == "reasons" else set())
    assert codes - known == set()


@pytest.mark.parametrize("kind", KINDS)
def test_no_sentence_is_unused(kind: str) -> None:
    collect, table = KINDS[kind]
    assert {*table} - collect() == set()


def test_every_hyphenated_word_in_the_sources_is_a_code_or_known_to_be_none() -> None:
    codes = set().union(*(collect() for collect, _ in KINDS.values()))
    known = (
        codes
        | WORDS
        | WHY_ENDED
        | NEVER_A_ROW
        | ARITHMETIC
        | NO_CODES
        | {*OPERAND_SETS}
        | {*steps.NAMES, *steps.MODEL_NAMES}
    )
    strange: dict[str, str] = {}
    for path, tree in SOURCES.items():
        # Names of facts lie as thick there as codes, whose every way out is searched above.
        if path.startswith(("bench/devices/", *(f"bench/parameters/{name}.py" for name in STATING))):
            continue
        for node in ast.walk(tree):
            word = node.value if isinstance(node, ast.Constant) else None
            if isinstance(word, str) and HYPHENATED.fullmatch(word) and word not in known:
                strange[word] = path
    assert strange == {}


# ------------------------------------------------------------------------------------ their numbers


def given_numbers() -> Mapping[str, set[str]]:
    """The names of the numbers that come with each finding, where the source spells them."""
    found: dict[str, set[str]] = {}
    for path, tree in SOURCES.items():
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef):
                for call in ast.walk(function):
                    if isinstance(call, ast.Call):
                        for code in codes_of(call, path):
                            found.setdefault(code, set()).update(names_of(call, function))
    return found


def codes_of(call: ast.Call, path: str) -> set[str]:
    name = called(call)
    if name == "Finding":
        code = keyword(call, "code")
        if isinstance(code, ast.Attribute) and path == "bench/parameters/conclusion.py":
            return doubt_codes()
        return looped("code", path) if isinstance(code, ast.Name) and code.id == "code" else texts(code)
    index = {"finding": 1, "_finding": 1 if path.startswith("bench/parameters") else 3}.get(name)
    return texts(call.args[index]) if index is not None and len(call.args) > index else set()


def names_of(call: ast.Call, function: ast.FunctionDef) -> set[str]:
    names: set[str] = set()
    for word in call.keywords:
        if word.arg in ("numbers", None):
            names |= keys_of(word.value, function)
        elif called(call) != "Finding":
            names.add(str(word.arg))
    return names


def keys_of(value: ast.expr, function: ast.FunctionDef) -> set[str]:
    """The keys of a written-out dict, or of those that the function assigns to the name."""
    if isinstance(value, ast.Dict):
        return set().union(*(texts_of_key(key) for key in value.keys))
    keys: set[str] = set()
    if isinstance(value, ast.Name):
        for node in ast.walk(function):
            target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
            assigned = getattr(node, "value", None)
            if isinstance(target, ast.Name) and target.id == value.id and isinstance(assigned, ast.Dict):
                keys |= keys_of(assigned, function)
            elif (
                isinstance(target, ast.Name) and target.id == value.id and isinstance(assigned, ast.DictComp)
            ):
                keys |= texts(assigned.generators[0].iter)
    return keys


def texts_of_key(key: ast.expr | None) -> set[str]:
    return {key.value} if isinstance(key, ast.Constant) and isinstance(key.value, str) else set()


def test_every_number_that_a_finding_is_told_with_is_there() -> None:
    given = given_numbers()
    for code, sentence in sentences.FINDINGS.items():
        asked = {name for _, name, _, _ in Formatter().parse(sentence) if name}
        if asked - {"detail"}:
            assert asked <= given[code], code


def test_a_code_without_a_sentence_is_shown_with_its_numbers() -> None:
    found = terms.Finding(subject="cpu", status="info", code="brand-new", numbers={"share": 0.5, "n": 3})
    assert sentences.finding(found) == "brand-new share=50.0 % n=3"
    assert sentences.reason("brand-new") == sentences.absent("brand-new") == "brand-new"


def test_a_failure_beside_a_word_refers_to_the_findings() -> None:
    assert sentences.reason("wrong-outputs") == "see the findings"
    assert sentences.reason("quick") == "smoke test, decides nothing"
