"""English sentences for every code that evidence and verification carry. The one place they are made.

A code without a sentence is shown as it is with its numbers; a test sees to it that there is none.
"""

from collections.abc import Mapping

from bench.printable import printable
from bench.terms import Finding, ItemCondition, Role, Scalar, Unavailable
from bench.units import scaled

# Findings, by code. {names} are the finding's numbers: rates come scaled, shares as percentages.
FINDINGS: Mapping[str, str] = {
    # a row's own
    "no-shape-runs": "No shape of the ladder could be run: {detail}",
    "backend-refused": "The backend refused the workload: {detail}",
    "backend-failed": "The backend failed while it was measured: {detail}",
    "not-installed": "Not measured, a package is missing: {detail}",
    "wrong-outputs": "{wrong} of {compared} outputs were wrong before timing: no figure.",
    "wrong-timed-outputs": "{wrong} of {compared} outputs of timed launches were wrong: no figure.",
    "opened-outputs-wrong": (
        "Rows of committed outputs were wrong when {opened} of {leaves} were recomputed: no figure."
    ),
    "wrong-timed-reals": (
        "Timed results on real-valued operands err by {error_ppm} ppm, more than the precision allows: "
        "no figure."
    ),
    "arithmetic-differs": "{asked} was asked for, {measured} was measured: the figure does not count.",
    "operand-rates-differ": (
        "The rate on real-valued operands is {value} times that on exact ones; where it is lower, it is "
        "the figure."
    ),
    "clocks-disagree": "Two clocks disagree by more than 1 % ({host_ns} ns against {raw_ns} ns): no figure.",
    "device-clock-disagrees": (
        "The device's own clock tells {device_ns} ns of work in {host_ns} ns of the host's: one lies, "
        "no figure."
    ),
    "device-idle-in-window": (
        "The device worked for {device_ns} ns of {host_ns} ns: between launches it waited. The figure stands "
        "on the host's time."
    ),
    "cpu-time-exceeds-elapsed": (
        "{cpus} processors gave {cpu_ns} ns of CPU time in {host_ns} ns: the clock cannot be believed, "
        "no figure."
    ),
    "processors-exceed-elapsed": (
        "The {cpus} processors were busy or stolen for {share} of the time, by the kernel's own count: "
        "the clock cannot be believed, no figure."
    ),
    "work-elsewhere": (
        "The process was busy for {share} of the time only: something else than this processor did the "
        "work, no figure."
    ),
    "processor-waited": (
        "The process had the processors for {share} of the time only: something kept it waiting."
    ),
    "fast-algorithm": (
        "{wrong} outputs are inexact within the precision's error: a fast algorithm (Winograd, FFT), shown "
        "in operations of the direct one."
    ),
    "shapes-without-room": "Shapes not tried for want of memory: {shapes}.",
    "saturates": "Not measured at full range: {detail}; the saturating row stands for it.",
    "not-settled": "The rate did not settle in {unsettled} of {visits} visits.",
    "wide-interval": "The interval is wide, {half_width} of the figure: something made its visits differ.",
    "rate-fell": (
        "Held under load for {seconds} s the rate fell by {share}, from {first} in the first fifth to {last} "
        "in the last."
    ),
    "rate-rose": (
        "Held under load for {seconds} s the rate rose by {share}, from {first} in the first fifth to {last} "
        "in the last."
    ),
    "row-steal": "The hypervisor took {share} of the processors' time away while this row was measured.",
    "row-foreign-load": "Other processes used {share} of the processors' time while this row was measured.",
    # the machine's
    "steal": "The hypervisor took {share} of the processors' time away during the run.",
    "foreign-load": "Other processes used {share} of the processors' time during the run.",
    # the process's own inspection
    "not-inspected": "Facts about the measuring process that are missing or not of their kind: {facts}.",
    "preloaded-libraries": "Libraries that the system's loader put before all others: {libraries} ({names}).",
    "library-path-set": "LD_LIBRARY_PATH is set: libraries may come from other folders than the system's.",
    "customised-interpreter": "The interpreter may run other code than was installed: {by}.",
    "traced": "While it started the measuring process was watched by {by}.",
    "timers-modified": "Functions that tell the time are not the original ones: {names}.",
    "timers-read-otherwise": (
        "The interpreter's clock tells a time {off_ns} ns off what the C library or the kernel tells at the "
        "same moment."
    ),
    "clock-rates-differ": "Two of the machine's clocks run at different rates, {share} apart.",
    "clock-source-unusual": (
        "The system takes its time from {source}, which is slow to read or counts coarsely; it does so when "
        "it distrusts the processor's counter."
    ),
    "no-vdso": (
        "The kernel's fast way to read its clock is not there: each reading is a system call, as under some "
        "tracers and sandboxes."
    ),
    "harness-files-differ": "Files of the program that are not as its wheel has them: {files}.",
    "libraries-unread": "Loaded libraries that could not be read, and have no digest: {libraries} ({names}).",
    # the judge's
    "no-declared-figure": "No profile matches this device's name; nothing is assumed about it.",
    "declared-not-verified": "The declared figure {declared} was not re-read at its source.",
    "reference-not-verified": "The reference measurement {reference} was not re-read at its source.",
    "delivered-above-ceiling": "Delivered {delivered} exceeds the ceiling {ceiling}: implausible.",
    "claim-above-ceiling": "The claim {claimed} exceeds what this device can do, {ceiling}.",
    "claim-probably-sparse": (
        "The claim {claimed} is {ratio} times the dense figure {dense}: probably the sparse one."
    ),
    # about a model's files
    "index-size-differs": (
        "The index states {stated} bytes of tensors, the files hold {stored}: index and files are not of one "
        "making."
    ),
    "other-files-beside": "Other models' files lie beside these and were not counted: {files}.",
    "statement-not-understood": "A configuration file could not be understood; nothing was taken from it.",
    "adapter-not-a-model": (
        "These are adapters (LoRA and their like): they change a model, and are none. Count the model itself."
    ),
    "no-parameters": "No tensor in it is a trained weight.",
    "packed-width-open": (
        "The bits of a packed weight are neither stated nor told by the shapes; the lower figure takes 8 "
        "where 4 are possible: {parameters} parameters in doubt."
    ),
    "integers-unexplained": (
        "{parameters} integers lie in matrices without the scales of quantised weights; the lower figure "
        "leaves them out."
    ),
    "constant-tensors": (
        "Tensors with {parameters} parameters held one value, or hardly anything, where they were looked at; "
        "the lower figure leaves them out."
    ),
    "repeated-tensors": (
        "Tensors with {parameters} parameters held the same bytes as others where they were looked at; the "
        "lower figure leaves them out."
    ),
    "not-looked-at": (
        "Tensors with {parameters} parameters are too small to be looked at, or do not lie in one piece; the "
        "lower figure leaves them out."
    ),
    "experts-not-stated": (
        "It has experts, and no configuration says how many and how many a token uses: active parameters are "
        "not told."
    ),
    "experts-differ": (
        "The files hold not as many experts as the configuration states: active parameters are not told."
    ),
    "cpu-not-npu": "A processor reached {limit}; that says nothing about an NPU.",
}

# Reasons beside a word of the verdict, or beside a row that does not count.
REASONS: Mapping[str, str] = {
    "too-few-visits": "fewer than five visits",
    "not-checked": "outputs not checked on every operand set",
    "accumulator-unseen": "8-bit output: the accumulator is not seen",
    "saturating-operands": "operands kept within 6 bits, where nothing saturates",
    "fast-algorithm": "not the direct algorithm",
    "clock-not-measured": "clock not measured",
    "no-figure": "there is no figure",
    "microarchitecture-unknown": "no profile of this processor's microarchitecture",
    "no-instruction-known": "no instruction of this precision is known on this processor",
    "may-hide-wider-cores": "a virtual machine may stand on wider cores than it shows",
    "quota-below-affinity": "a quota lets the work move among more CPUs than the clock was measured on",
    "chain-refused": "the chain of dependent multiplications cannot be run",
    "not-installed": "numba is not installed: pip install 'compute-evidence[clock]'",
    "no-windows": "no window was counted",
    "no-energy-counter": "no counter of energy can be read here",
    "energy-not-covered": "the counter's readings do not cover the windows",
    "energy-too-coarse": "the counter moves too seldom for the windows",
    "bandwidth-not-measured": "bandwidth not measured",
    "sparse": "counts sparse operations; dense ones are measured",
    "precision-unstated": "source does not say in which precision",
    "precision-unknown": "a format that is not compared here",
    "sum-of-engines": "adds up several engines; one device was measured",
    "other-engine": "names another kind of engine than this device",
    "own-documents-differ": "the vendor's own documents differ",
    "precision-not-measured": "precision not measured",
    "above-ceiling": "above what the device can do",
    "nobody-measured-it": "no sourced measurement of this device is known",
    "interval-crosses": "the interval lies on both sides",
    "density-unstated": "source does not say whether dense or sparse",
    "route": "this route may not reach what the device can",
    "typed-claim": "typed, no source was read",
    "precision-not-declared": "profile declares none in this precision",
    "no-declared-figure": "no profile matches this device",
    "declarations-differ": "dated figures lie on both sides",
    "not-measured-at-once": "not all accelerators measured at once",
    "kind-not-named": "the rule names another kind of device",
    "quick": "smoke test, decides nothing",
    "assurance-below-minimum": "rule set asks for a higher assurance level",
    # why parameters are in doubt
    "packed-width-open": "packed, and the bits of a weight are not told",
    "integers-unexplained": "integers in matrices that no scheme explains",
    "constant-tensors": "one value throughout, or hardly anything",
    "not-looked-at": "not looked at: too small, or not in one piece",
    "repeated-tensors": "the same bytes as others",
}

# Why something that stands beside the figures is not there.
BESIDE: Mapping[str, str] = {
    "no-memory": "not enough memory for it",
    "too-slow": "not measured: it takes longer than the time that was left",
    "wrong-outputs": "its results were wrong",
    "backend-failed": "the backend failed",
    "backend-refused": "not measured: the backend refuses it",
    "one-thread-only": "the row runs on one thread already",
    "one-cpu-only": "the process may run on one CPU only",
    "one-backend": "no row of another backend was measured",
    "caches-unknown": "the machine does not say how large its caches are",
    "not-permitted": "the system does not let this process choose its CPU",
    "no-exact-window": "no window ended with a launch on exact operands",
    "outputs-differ": "rows of them were wrong",
    "rounded-otherwise": "the device rounds its 8-bit outputs its own way",
}

# What a level of assurance says; of A2 and A3 no report exists yet.
ASSURANCE: Mapping[str, str] = {
    "A0": "an accountable statement, not a proof",
    "A1": "fresh, for one auditor's challenge, and the opened products were computed",
}

# What a report does not show, by code (evidence: doesNotShow).
DOES_NOT_SHOW: Mapping[str, str] = {
    "no-challenge": "that it is fresh: no auditor's challenge went into it",
    "challenge-not-given": "that it is fresh: the challenge that it answers was not at hand",
    "signer-is-the-machine": "who signed it, beyond the key: whoever holds the key can sign anything",
    "software-cannot-prove-itself": "that the program was the published one: none proves itself",
    "devices-not-counted": "that one device did the work: software cannot see a remote or an extra one",
    "outputs-not-opened": "to others that the work was done: this machine alone checked the outputs",
    "launches-not-committed": "that every launch did its work: those at the end of two windows are committed",
    "time-by-own-clock": "the rate on any clock but the machine's own",
    # a count of parameters
    "weights-not-judged": "that the weights were trained or are of use: noise cannot be told from training",
    "model-in-use": "that a product or service uses this model",
    "files-only-sampled": "what the files hold beyond headers and drawn blocks: --digest full reads all",
    "language-model": "that it is a language model: architecture and card are the vendor's words",
    "nothing-counted": "any count: of a hosted service there are documents only",
    "other-conditions": "the items' other conditions, which are not parameters",
}

# What tensors are for.
ROLES: Mapping[Role, str] = {
    "weight": "weights",
    "embedding": "embeddings",
    "head": "output head",
    "expert": "experts",
    "adapter": "adapters",
    "scale": "scales of quantised weights",
    "zero-point": "zero points of quantised weights",
    "index": "order of packed weights",
    "rotary": "rotary tables",
    "buffer": "buffers",
    "optimizer": "optimizer states",
    "copy": "copies of weights that are counted already",
    "constant": "constants of the graph",
    "unexplained": "unexplained integers",
}

# How an item takes a number of parameters.
CONDITIONS: Mapping[ItemCondition, str] = {
    "uses": "uses a model of",
    "assists": "works with a model of",
    "supports": "supports models of",
    "one-of-several": "one of several ways in: a model of",
}

# Answers to an item that are no plain yes or no.
ITEM_ANSWERS: Mapping[str, str] = {
    "documents-only": "no file can show it; technical documents are what it is reviewed by",
    "one-of-several": "the item has other ways in, so that the count alone decides neither way",
    "inconclusive": "the limit lies between the two figures",
}

# Steps of `bench verify`, by what they found.
STEPS: Mapping[str, str] = {
    "read": "{bytes} bytes, within limits",
    "envelope": "strict DSSE envelope, report {report}, {signatures} signature(s)",
    "signed": "signed by {who}",
    "signed-stamped": "signed by {who}; {authority} saw the signature at {at}",
    "signed-stamp-unchecked": "signed by {who}; the time stamp beside it is not checked: no root is pinned",
    "signed-stamp-of-others": (
        "signed by {who}; the time stamp beside it is for a first signature of somebody who is not trusted"
    ),
    "signed-by-self-stamp-of-others": (
        "unchanged since it was signed by {who}; that says nothing about by whom. The time stamp beside it "
        "is for a first signature of somebody who is not trusted"
    ),
    "signed-by-self": "unchanged since it was signed by {who}; that says nothing about by whom",
    "signed-by-self-stamped": (
        "unchanged since it was signed by {who}, as {authority} saw at {at}; that says nothing about by whom"
    ),
    "signed-by-self-stamp-unchecked": (
        "unchanged since it was signed by {who}; that says nothing about by whom. The time stamp beside it "
        "is not checked: no root is pinned"
    ),
    "decoded": "compute evidence, format {format}, made {created}",
    "decoded-model": "count of a model's parameters, format {format}, made {created}",
    "rules-and-names": "rule set {rules} and table of tensor names are the shipped ones; status: {status}",
    "recounted": "the count follows from {tensors} tensors of {groups} kinds",
    "nothing-to-count": "a hosted service: nothing was counted",
    "no-model-files": "a hosted service: no files",
    "model-not-at-hand": "its {files} file(s) were not at hand: --model PATH reads them again",
    "model-read-full": "{files} file(s) read again: the same bytes, and the same tensors",
    "model-read-sampled": "{files} file(s) read again: the same headers and drawn blocks, the same tensors",
    "rules": "rule set {rules} and profiles are the shipped ones; status: {status}",
    "no-challenge": "no challenge",
    "challenge-not-given": (
        "it says that it answers a challenge, which was not given: nothing here shows that it is fresh "
        "(--challenge FILE)"
    ),
    "challenge": "answers challenge {challenge} of {auditor} to {vendor}, open until {expires}, not used up",
    "challenge-used": "answers challenge {challenge} of {auditor} to {vendor}, which this report has used up",
    "challenge-unknown-here": (
        "answers challenge {challenge} of {auditor} to {vendor}, open until {expires}; it stands in no "
        "ledger here, so that a second use would not be seen"
    ),
    "recomputed": "counts and figures of {rows} rows follow from {samples} samples",
    "no-openings": "no outputs opened",
    "none-opened": "no outputs could be opened of {of} rows behind figures",
    "opened": (
        "{opened} rows of outputs computed anew for {rows} of {of} figures: leaving out {left_out} of the "
        "committed rows is caught with {confidence}, after 2^64 tries at hiding it"
    ),
    "verdict": "the verdict follows, by method {method}",
    "plausible": "times in order, {age_days} days old",
    "plausible-other-files": (
        "times in order, {age_days} days old; {files} files of the harness differ from this version's"
    ),
}

# Why a device or a family cannot be had.
UNAVAILABLE: Mapping[str, str] = {
    "no-nvml": "NVIDIA's management library is not installed",
    "no-driver": "the NVIDIA driver is not loaded",
    "driver-mismatch": "driver and library differ in version; restart the machine or reload the driver",
    "no-device": "the driver sees no GPU",
    "gpu-lost": "the GPU does not answer",
    "not-permitted": "this user may not ask",
    "not-supported": "NVIDIA's management library does not support the question",
    "old-driver": "the NVIDIA driver is too old for the question",
    "nvml-error": "NVIDIA's management library failed",
    "no-onnxruntime": "ONNX Runtime is not installed",
    "two-onnxruntimes": "several distributions overwrote onnxruntime",
    "broken-onnxruntime": "ONNX Runtime does not import",
    "hollow-onnxruntime": "the folder of ONNX Runtime is empty, left by an uninstall",
    "old-onnxruntime": "this ONNX Runtime cannot list devices",
    "no-ep-device": "installed, but it offers no device",
    "no-cpuinfo": "the processor cannot be read; measuring is for Linux",
}

# Why a fact about a device or the machine is not known.
ABSENT: Mapping[str, str] = {
    "no-file": "the system has no file that says it",
    "no-line": "the system's file has no line for it",
    "no-clock": "the system has no such clock",
    "no-cgroup": "no control groups here",
    "no-limit": "no limit is set",
    "none-known": "none of those that this bench knows",
    "none-seen": "no sign of one",
    "empty": "the system's file is empty",
    "not-permitted": "this user may not read it",
    "not-readable": "the system's file cannot be read",
    "not-understood": "the system's file says something else",
    "not-told": "the system does not say",
    "not-supported": "the device does not support the question",
    "not-installed": "the package is not installed",
    "old-driver": "the driver is too old for the question",
    "gpu-lost": "the GPU does not answer",
    "nvml-error": "NVIDIA's management library failed",
    "other-system": "asked on Linux only",
    "no-other-reading": "the clock cannot be read another way here",
    "clock-stands-still": "the clock stands still",
    "old-python": "this version of Python cannot tell",
    "not-from-a-wheel": "the program runs from its sources and not from a wheel",
    "deleted": "the file was deleted or replaced after it was loaded",
}

_RATES = {"first", "last", "declared", "reference", "delivered", "ceiling", "claimed", "dense", "limit"}
_SHARES = {"share", "half_width", "left_out", "confidence"}


def finding(found: Finding) -> str:
    return sentence(FINDINGS, found.code, found.numbers)


def reason(code: str) -> str:
    """Beside a word of the verdict or a row; a row's failure is told among the findings."""
    return REASONS.get(code) or ("see the findings" if code in FINDINGS else printable(code))


def beside(code: str) -> str:
    return BESIDE.get(code) or printable(code)


def absent(code: str) -> str:
    return ABSENT.get(code) or printable(code)


def unavailable(reason: Unavailable) -> str:
    words = UNAVAILABLE.get(reason.code, reason.code)
    return f"{words}: {reason.detail}" if reason.detail else words


def sentence(table: Mapping[str, str], code: str, numbers: Mapping[str, Scalar]) -> str:
    """The sentence for a code, or the code with its numbers where there is none."""
    shown = {name: _shown(name, value) for name, value in numbers.items()}
    try:
        return table[code].format(**shown)
    except KeyError:
        return " ".join([code, *(f"{name}={value}" for name, value in shown.items())])


def _shown(name: str, value: Scalar) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if name in _RATES:
        number, prefix = scaled(value, "TOPS")
        return f"{number:.4g} {prefix.removesuffix('OPS')}op/s"
    if name in _SHARES:
        return f"{100 * value:.1f} %"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
