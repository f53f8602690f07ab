"""Sentences for every code that evidence and verification carry. The one place they are made.

The tables are English, as the catalogues' keys; the functions say them in the language that is spoken. A code
without a sentence is shown as it is with its numbers; a test sees to it that there is none.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Literal

from bench.precision import comparable_precision
from bench.printable import printable
from bench.report.language import listed, marked, spoken, tr
from bench.terms import BorneOut, DeviceKind, Finding, ItemCondition, Role, RuleSet, Scalar, Unavailable
from bench.units import format_count, scaled

# Findings, by code. {names} are the finding's numbers: rates come scaled, shares as percentages.
FINDINGS: Mapping[str, str] = {
    # a row's own
    "no-shape-runs": marked("No shape of the ladder could be run: {detail}"),
    "backend-refused": marked("The backend refused the workload: {detail}"),
    "backend-failed": marked("The backend failed while it was measured: {detail}"),
    "not-installed": marked("Not measured, a package is missing: {detail}"),
    "wrong-outputs": marked("{wrong} of {compared} outputs were wrong before timing: no figure."),
    "wrong-timed-outputs": marked("{wrong} of {compared} outputs of timed launches were wrong: no figure."),
    "opened-outputs-wrong": marked(
        "Rows of committed outputs were wrong when {opened} of {leaves} were recomputed: no figure."
    ),
    "wrong-timed-reals": marked(
        "Timed results on real-valued operands err by {error_ppm} ppm, more than the precision allows: "
        "no figure."
    ),
    "arithmetic-differs": marked(
        "{asked} was asked for, {measured} was measured: the figure does not count."
    ),
    "operand-rates-differ": marked(
        "The rate on real-valued operands is {value} times that on exact ones; where it is lower, it is "
        "the figure."
    ),
    "clocks-disagree": marked(
        "Two clocks disagree by more than 1 % ({host_ns} ns against {raw_ns} ns): no figure."
    ),
    "device-clock-disagrees": marked(
        "The device's own clock tells {device_ns} ns of work in {host_ns} ns of the host's: one lies, "
        "no figure."
    ),
    "device-idle-in-window": marked(
        "The device worked for {device_ns} ns of {host_ns} ns: between launches it waited. The figure stands "
        "on the host's time."
    ),
    "latencies-too-short": marked(
        "By the runner's own word the device worked for {device_ns} ns of {host_ns} ns, less than half: its "
        "latencies leave something out. The figure stands on the time from outside."
    ),
    "cpu-time-exceeds-elapsed": marked(
        "{cpus} processors gave {cpu_ns} ns of CPU time in {host_ns} ns: the clock cannot be believed, "
        "no figure."
    ),
    "processors-exceed-elapsed": marked(
        "The {cpus} processors were busy or stolen for {share} of the time, by the kernel's own count: "
        "the clock cannot be believed, no figure."
    ),
    "not-placed": marked("Not measured, the provider does not take the form: {detail}"),
    "not-fused": marked("Not measured, the provider does not compute the form in integers: {detail}"),
    "cast-around": marked("Not measured, the provider does not compute in the precision: {detail}"),
    "placement-unknown": marked("Not measured, where the work was placed is not told: {detail}"),
    "provider-error": marked("Not measured, the provider goes on after an error: {detail}"),
    "runs-left-out": marked("The runner did not do all the work that it was asked for: {detail}"),
    "work-does-not-grow": marked(
        "A graph that does twice the work took {growth} times the time: the work was not done, or launching "
        "takes most of the time. No figure."
    ),
    "dispatch-bound": marked(
        "A launch took {launch_ns} ns, and launching alone {dispatch_ns} ns: the figure shows launching as "
        "much as computing."
    ),
    "as-fast-as-processor": marked(
        "The device runs the same graph at {ratio} times the rate of the processor beside it: it may be the "
        "processor that computes."
    ),
    "work-elsewhere": marked(
        "The process was busy for {share} of the time only: something else than this processor did the "
        "work, no figure."
    ),
    "processor-waited": marked(
        "The process had the processors for {share} of the time only: something kept it waiting."
    ),
    "fast-algorithm": marked(
        "{wrong} outputs are inexact within the precision's error: a fast algorithm (Winograd, FFT), shown "
        "in operations of the direct one."
    ),
    "shapes-without-room": marked("Shapes not tried for want of memory: {shapes}."),
    "saturates": marked("Not measured at full range: {detail}; the saturating row stands for it."),
    "not-settled": marked("The rate did not settle in {unsettled} of {visits} visits."),
    "wide-interval": marked(
        "The interval is wide, {half_width} of the figure: something made its visits differ."
    ),
    "rate-fell": marked(
        "Held under load for {seconds} s the rate fell by {share}, from {first} in the first fifth to {last} "
        "in the last."
    ),
    "rate-rose": marked(
        "Held under load for {seconds} s the rate rose by {share}, from {first} in the first fifth to {last} "
        "in the last."
    ),
    "row-steal": marked(
        "The hypervisor took {share} of the processors' time away while this row was measured."
    ),
    "row-foreign-load": marked(
        "Other processes used {share} of the processors' time while this row was measured."
    ),
    # the machine's
    "steal": marked("The hypervisor took {share} of the processors' time away during the run."),
    "foreign-load": marked("Other processes used {share} of the processors' time during the run."),
    # the process's own inspection
    "not-inspected": marked(
        "Facts about the measuring process that are missing or not of their kind: {facts}."
    ),
    "preloaded-libraries": marked(
        "Libraries that the system's loader put before all others: {libraries} ({names})."
    ),
    "library-path-set": marked(
        "LD_LIBRARY_PATH is set: libraries may come from other folders than the system's."
    ),
    "customised-interpreter": marked("The interpreter may run other code than was installed: {by}."),
    "traced": marked("While it started the measuring process was watched by {by}."),
    "timers-modified": marked("Functions that tell the time are not the original ones: {names}."),
    "timers-read-otherwise": marked(
        "The interpreter's clock tells a time {off_ns} ns off what the C library or the kernel tells at the "
        "same moment."
    ),
    "clock-rates-differ": marked("Two of the machine's clocks run at different rates, {share} apart."),
    "clock-source-unusual": marked(
        "The system takes its time from {source}, which is slow to read or counts coarsely; it does so when "
        "it distrusts the processor's counter."
    ),
    "no-vdso": marked(
        "The kernel's fast way to read its clock is not there: each reading is a system call, as under some "
        "tracers and sandboxes."
    ),
    "harness-files-differ": marked("Files of the program that are not as its wheel has them: {files}."),
    "libraries-unread": marked(
        "Loaded libraries that could not be read, and have no digest: {libraries} ({names})."
    ),
    # the judge's
    "no-declared-figure": marked("No profile matches this device's name; nothing is assumed about it."),
    "declared-not-verified": marked("The declared figure {declared} was not re-read at its source."),
    "reference-not-verified": marked("The reference measurement {reference} was not re-read at its source."),
    "delivered-above-ceiling": marked("Delivered {delivered} exceeds the ceiling {ceiling}: implausible."),
    "claim-above-ceiling": marked("The claim {claimed} exceeds what this device can do, {ceiling}."),
    "claim-probably-sparse": marked(
        "The claim {claimed} is {ratio} times the dense figure {dense}: probably the sparse one."
    ),
    "architecture-below-claim": marked(
        "{macs} multiply-adds a cycle × {clock_hz} × 2 = {architecture} ({source}); declared are {declared} "
        "({declared_source})."
    ),
    "architecture-not-verified": marked(
        "A note without a verdict (verified = false): {macs} multiply-adds a cycle × {clock_hz} × 2 would be "
        "{architecture} ({source}); declared are {declared} ({declared_source}). Not both were re-read at "
        "their source, and they may be about different parts or clocks."
    ),
    # about a model's files
    "index-size-differs": marked(
        "The index states {stated} bytes of tensors, the files hold {stored}: index and files are not of one "
        "making."
    ),
    "other-files-beside": marked("Other models' files lie beside these and were not counted: {files}."),
    "statement-not-understood": marked(
        "A configuration file could not be understood; nothing was taken from it."
    ),
    "adapter-not-a-model": marked(
        "These are adapters (LoRA and their like): they change a model, and are none. Count the model itself."
    ),
    "no-parameters": marked("No tensor in it is a trained weight."),
    "packed-width-open": marked(
        "The bits of a packed weight are neither stated nor told by the shapes; the lower figure takes 8 "
        "where 4 are possible: {parameters} parameters in doubt."
    ),
    "integers-unexplained": marked(
        "{parameters} integers lie in matrices without the scales of quantised weights; the lower figure "
        "leaves them out."
    ),
    "constant-tensors": marked(
        "Tensors with {parameters} parameters held one value, or hardly anything, where they were looked at; "
        "the lower figure leaves them out."
    ),
    "repeated-tensors": marked(
        "Tensors with {parameters} parameters held the same bytes as others where they were looked at; the "
        "lower figure leaves them out."
    ),
    "not-looked-at": marked(
        "Tensors with {parameters} parameters are too small to be looked at, or do not lie in one piece; the "
        "lower figure leaves them out."
    ),
    "experts-not-stated": marked(
        "It has experts, and no configuration says how many and how many a token uses: active parameters are "
        "not told."
    ),
    "experts-differ": marked(
        "The files hold not as many experts as the configuration states: active parameters are not told."
    ),
    "cpu-not-npu": marked("A processor reached {limit}; that says nothing about an NPU."),
    # a GPU's
    "not-supported-by-architecture": marked("Not measured, the architecture lacks it: {detail}"),
    "row-throttled": marked(
        "The GPU was held back at {share} of the readings in this row's windows (NVML's reasons: {reasons})."
    ),
    "identity-differs": marked(
        "It bears the name {name}, but its {fact} is {got}, expected {expected}: no profile is used."
    ),
    "identity-not-whole": marked("It matches its profile by name; {facts} could not be read."),
    # a system's
    "rank-missing": marked("Its part is missing, on machine {node}: {why}. The system has no figure."),
    "rank-cut-off": marked(
        "It was cut off, on machine {node}: {why}. Its part holds what it had measured by then."
    ),
    "ranks-share-cores": marked(
        "The ranks on machine {node} used {used} cores together, and it has {cores}: some ran on the same."
    ),
    "declared-is-sum": marked(
        "The declared figure is the sum of {devices} devices' data sheets; the rule does not speak of a sum."
    ),
}

# Reasons beside a word of the verdict, or beside a row that does not count.
REASONS: Mapping[str, str] = {
    "too-few-visits": marked("fewer than five visits"),
    "not-checked": marked("outputs not checked on every operand set"),
    "saturating-operands": marked("operands kept within 6 bits, where nothing saturates"),
    "fast-algorithm": marked("not the direct algorithm"),
    "host-simulator": marked("a host simulator, not an NPU: its rate is the host's"),
    "not-placed": marked("the provider does not take this form"),
    "not-fused": marked("the provider computes this form in floating point"),
    "cast-around": marked("the provider computes it in another precision"),
    "placement-unknown": marked("where the work is placed is not shown"),
    "clock-not-measured": marked("clock not measured"),
    "no-figure": marked("there is no figure"),
    "microarchitecture-unknown": marked("no profile of this processor's microarchitecture"),
    "no-instruction-known": marked("no instruction of this precision is known on this processor"),
    "may-hide-wider-cores": marked("a virtual machine may stand on wider cores than it shows"),
    "quota-below-affinity": marked(
        "a quota lets the work move among more CPUs than the clock was measured on"
    ),
    "window-clock-refused": marked("the GPU's clock could not be read"),
    "clock-sampled": marked("the clock is one late reading of a sensor; this ceiling accuses nobody"),
    "multiprocessors-unknown": marked("the number of multiprocessors could not be read"),
    "chain-refused": marked("the chain of dependent multiplications cannot be run"),
    "not-installed": marked("numba is not installed: pip install 'compute-evidence[clock]'"),
    "no-windows": marked("no window was counted"),
    "no-energy-counter": marked("no counter of energy can be read here"),
    "energy-not-covered": marked("the counter's readings do not cover the windows"),
    "energy-too-coarse": marked("the counter moves too seldom for the windows"),
    "bandwidth-not-measured": marked("bandwidth not measured"),
    "sparse": marked("counts sparse operations; dense ones are measured"),
    "precision-unstated": marked("source does not say in which precision"),
    "precision-unknown": marked("a format that is not compared here"),
    "sum-of-engines": marked("adds up several engines; one device was measured"),
    "other-engine": marked("names another kind of engine than this device"),
    "own-documents-differ": marked("the vendor's own documents differ"),
    "architecture-below-claim": marked("the vendor's own MACs × clock × 2 come to less"),
    "precision-not-measured": marked("precision not measured"),
    "above-ceiling": marked("above what the device can do"),
    "nobody-measured-it": marked("no sourced measurement of this device is known"),
    "interval-crosses": marked("the interval lies on both sides"),
    "density-unstated": marked("source does not say whether dense or sparse"),
    "engines-unstated": marked("the claim does not say of which engines; it may be a sum"),
    "route": marked("this route may not reach what the device can"),
    "typed-claim": marked("typed, no source was read"),
    "precision-not-declared": marked("profile declares none in this precision"),
    "no-declared-figure": marked("no profile matches this device"),
    "declarations-differ": marked("dated figures lie on both sides"),
    "not-measured-at-once": marked("not all accelerators measured at once"),
    "kind-not-named": marked("the rule names another kind of device"),
    "quick": marked("smoke test, decides nothing"),
    "assurance-below-minimum": marked("rule set asks for a higher assurance level"),
    # why a system has no figure
    "rank-missing": marked("a rank's part is missing"),
    "rank-without-figure": marked("a rank has no figure in this precision"),
    "no-common-window": marked("the ranks share no window"),
    "too-few-samples": marked("too few samples in the window that all share"),
    "clocks-disagree": marked("clocks disagree"),
    "rank-above-ceiling": marked("a rank's figure is above what its device can do"),
    # why a rank has no part, or a part that was cut off
    "rank-lost": marked("it gave no sign of life"),
    "report-not-received": marked("its report did not arrive"),
    # why parameters are in doubt
    "packed-width-open": marked("packed, and the bits of a weight are not told"),
    "integers-unexplained": marked("integers in matrices that no scheme explains"),
    "constant-tensors": marked("one value throughout, or hardly anything"),
    "not-looked-at": marked("not looked at: too small, or not in one piece"),
    "repeated-tensors": marked("the same bytes as others"),
}

# Why something that stands beside the figures is not there.
BESIDE: Mapping[str, str] = {
    "no-memory": marked("not enough memory for it"),
    "too-slow": marked("not measured: it takes longer than the time that was left"),
    "wrong-outputs": marked("its results were wrong"),
    "backend-failed": marked("the backend failed"),
    "backend-refused": marked("not measured: the backend refuses it"),
    "same-processor": marked("it is the processor"),
    "cpu-takes-too-long": marked("the processor would take seconds for one launch"),
    "cpu-refused": marked("the processor's provider does not take the graph"),
    "one-thread-only": marked("the row runs on one thread already"),
    "one-cpu-only": marked("the process may run on one CPU only"),
    "one-backend": marked("no row of another backend was measured"),
    "caches-unknown": marked("the machine does not say how large its caches are"),
    "not-permitted": marked("the system does not let this process choose its CPU"),
    "no-exact-window": marked("no window ended with a launch on exact operands"),
    "outputs-differ": marked("rows of them were wrong"),
    "rounded-otherwise": marked("the device rounds its 8-bit outputs its own way"),
}

# What a level of assurance says; of A2 and A3 no report exists yet.
ASSURANCE: Mapping[str, str] = {
    "A0": marked("an accountable statement, not a proof"),
    "A1": marked("fresh, for one auditor's challenge, and the opened products were computed"),
}

# What a report does not show, by code (evidence: doesNotShow).
DOES_NOT_SHOW: Mapping[str, str] = {
    "no-challenge": marked("that it is fresh: no auditor's challenge went into it"),
    "challenge-not-given": marked("that it is fresh: the challenge that it answers was not at hand"),
    "signer-is-the-machine": marked("who signed it, beyond the key: whoever holds the key can sign anything"),
    "software-cannot-prove-itself": marked("that the program was the published one: none proves itself"),
    "devices-not-counted": marked(
        "that one device did the work: software cannot see a remote or an extra one"
    ),
    "external-runner": marked(
        "that the board did the work: an external runner's own words say what it is and where it ran"
    ),
    "outputs-not-opened": marked("to others that the work was done: this machine alone checked the outputs"),
    "launches-not-committed": marked(
        "that every launch did its work: those at the end of two windows are committed"
    ),
    "time-by-own-clock": marked("the rate on any clock but the machine's own"),
    "case-is-stated": marked("what the case says: it was stated by whoever ran it, and not measured"),
    # a system
    "ranks-vouched-by-rank-0": marked("who the other ranks are: rank 0 alone speaks for their keys"),
    "offsets-by-network": marked("how far apart the machines' clocks are on any word but their own"),
    # a count of parameters
    "weights-not-judged": marked(
        "that the weights were trained or are of use: noise cannot be told from training"
    ),
    "model-in-use": marked("that a product or service uses this model"),
    "files-only-sampled": marked(
        "what the files hold beyond headers and drawn blocks: --digest full reads all"
    ),
    "language-model": marked("that it is a language model: architecture and card are the vendor's words"),
    "nothing-counted": marked("any count: of a hosted service there are documents only"),
    "other-conditions": marked("the items' other conditions, which are not parameters"),
}

# What tensors are for.
ROLES: Mapping[Role, str] = {
    "weight": marked("weights"),
    "embedding": marked("embeddings"),
    "head": marked("output head"),
    "expert": marked("experts"),
    "adapter": marked("adapters"),
    "scale": marked("scales of quantised weights"),
    "zero-point": marked("zero points of quantised weights"),
    "index": marked("order of packed weights"),
    "rotary": marked("rotary tables"),
    "buffer": marked("buffers"),
    "optimizer": marked("optimizer states"),
    "copy": marked("copies of weights that are counted already"),
    "constant": marked("constants of the graph"),
    "unexplained": marked("unexplained integers"),
}

# How an item takes a number of parameters.
CONDITIONS: Mapping[ItemCondition, str] = {
    "uses": marked("uses a model of"),
    "assists": marked("works with a model of"),
    "supports": marked("supports models of"),
    "one-of-several": marked("one of several ways in: a model of"),
}

# Answers to an item that are no plain yes or no.
ITEM_ANSWERS: Mapping[str, str] = {
    "documents-only": marked("no file can show it; technical documents are what it is reviewed by"),
    "one-of-several": marked("the item has other ways in, so that the count alone decides neither way"),
    "inconclusive": marked("the limit lies between the two figures"),
}

# Steps of `bench verify`, by what they found.
STEPS: Mapping[str, str] = {
    "read": marked("{bytes} bytes, within limits"),
    "envelope": marked("strict DSSE envelope, report {report}, {signatures} signature(s)"),
    "signed": marked("signed by {who}"),
    "signed-stamped": marked("signed by {who}; {authority} saw the signature at {at}"),
    "signed-stamp-unchecked": marked(
        "signed by {who}; the time stamp beside it is not checked: no root is pinned"
    ),
    "signed-stamp-of-others": marked(
        "signed by {who}; the time stamp beside it is for a first signature of somebody who is not trusted"
    ),
    "signed-by-self-stamp-of-others": marked(
        "unchanged since it was signed by {who}; that says nothing about by whom. The time stamp beside it "
        "is for a first signature of somebody who is not trusted"
    ),
    "signed-by-self": marked("unchanged since it was signed by {who}; that says nothing about by whom"),
    "signed-by-self-stamped": marked(
        "unchanged since it was signed by {who}, as {authority} saw at {at}; that says nothing about by whom"
    ),
    "signed-by-self-stamp-unchecked": marked(
        "unchanged since it was signed by {who}; that says nothing about by whom. The time stamp beside it "
        "is not checked: no root is pinned"
    ),
    "decoded": marked("compute evidence, format {format}, made {created}"),
    "decoded-model": marked("count of a model's parameters, format {format}, made {created}"),
    "decoded-system": marked("compute evidence of a system, format {format}, made {created}"),
    "rules-and-names": marked(
        "rule set {rules} and table of tensor names are the shipped ones; status: {status}"
    ),
    "recounted": marked("the count follows from {tensors} tensors of {groups} kinds"),
    "nothing-to-count": marked("a hosted service: nothing was counted"),
    "no-model-files": marked("a hosted service: no files"),
    "model-not-at-hand": marked("its {files} file(s) were not at hand: --model PATH reads them again"),
    "model-read-full": marked("{files} file(s) read again: the same bytes, and the same tensors"),
    "model-read-sampled": marked(
        "{files} file(s) read again: the same headers and drawn blocks, the same tensors"
    ),
    "rules": marked("rule set {rules} and profiles are the shipped ones; status: {status}"),
    "no-challenge": marked("no challenge"),
    "challenge-not-given": marked(
        "it says that it answers a challenge, which was not given: nothing here shows that it is fresh "
        "(--challenge FILE)"
    ),
    "challenge": marked(
        "answers challenge {challenge} of {auditor} to {vendor}, open until {expires}, not used up"
    ),
    "challenge-used": marked(
        "answers challenge {challenge} of {auditor} to {vendor}, which this report has used up"
    ),
    "challenge-unknown-here": marked(
        "answers challenge {challenge} of {auditor} to {vendor}, open until {expires}; it stands in no "
        "ledger here, so that a second use would not be seen"
    ),
    "recomputed": marked("counts and figures of {rows} rows follow from {samples} samples"),
    "recomputed-system": marked(
        "the reports of {ranks} of {of} ranks verified by themselves; the figures of all at once follow from "
        "their {samples} samples"
    ),
    "no-openings": marked("no outputs opened"),
    "opened-ranks": marked("opened rows of outputs computed anew for {ranks} of {of} ranks"),
    "none-opened": marked("no outputs could be opened of {of} rows behind figures"),
    "opened": marked(
        "{opened} rows of outputs computed anew for {rows} of {of} figures: leaving out {left_out} of the "
        "committed rows is caught with {confidence}, after 2^64 tries at hiding it"
    ),
    "verdict": marked("the verdict follows, by method {method}"),
    "plausible": marked("times in order, {age_days} days old"),
    "plausible-other-files": marked(
        "times in order, {age_days} days old; {files} files of the harness differ from this version's"
    ),
}

# Why a device or a family cannot be had.
UNAVAILABLE: Mapping[str, str] = {
    "no-nvml": marked("NVIDIA's management library is not installed"),
    "no-driver": marked("the NVIDIA driver is not loaded"),
    "driver-mismatch": marked(
        "driver and library differ in version; restart the machine or reload the driver"
    ),
    "no-device": marked("the driver sees no GPU"),
    "gpu-lost": marked("the GPU does not answer"),
    "no-torch": marked("torch is not installed"),
    "torch-without-cuda": marked("this torch is built without support for the GPU"),
    "torch-fails": marked("torch cannot look at the GPUs"),
    "not-visible": marked("hidden by CUDA_VISIBLE_DEVICES"),
    "in-mig-mode": marked("the GPU is in MIG mode and has no instance"),
    "order-not-known": marked("the order in which CUDA counts the GPUs is not told"),
    "not-listed": marked("the driver has it, CUDA does not list it"),
    "not-permitted": marked("this user may not ask"),
    "not-supported": marked("NVIDIA's management library does not support the question"),
    "old-driver": marked("the NVIDIA driver is too old for the question"),
    "nvml-error": marked("NVIDIA's management library failed"),
    "no-onnxruntime": marked("ONNX Runtime is not installed"),
    "two-onnxruntimes": marked("several distributions overwrote onnxruntime"),
    "broken-onnxruntime": marked("ONNX Runtime does not import"),
    "hollow-onnxruntime": marked("the folder of ONNX Runtime is empty, left by an uninstall"),
    "old-onnxruntime": marked("this ONNX Runtime cannot list devices"),
    "no-runner": marked("a board behind a command of its vendor's"),
    "no-ep-device": marked("installed, but it offers no device"),
    "ep-plugin-broken": marked("installed, but it does not say where its library is"),
    "ep-library-fails": marked("ONNX Runtime cannot load its library"),
    "ep-shares-out": marked("the work could leave the device"),
    "ep-not-kept": marked("no option is known that keeps the work on this hardware"),
    "no-cpuinfo": marked("the processor cannot be read; measuring is for Linux"),
}

# Why a fact about a device or the machine is not known.
ABSENT: Mapping[str, str] = {
    "no-file": marked("the system has no file that says it"),
    "no-line": marked("the system's file has no line for it"),
    "no-clock": marked("the system has no such clock"),
    "no-cgroup": marked("no control groups here"),
    "no-limit": marked("no limit is set"),
    "none-known": marked("none of those that this bench knows"),
    "none-seen": marked("no sign of one"),
    "empty": marked("the system's file is empty"),
    "not-permitted": marked("this user may not read it"),
    "not-readable": marked("the system's file cannot be read"),
    "not-understood": marked("the system's file says something else"),
    "not-told": marked("the system does not say"),
    "not-supported": marked("the device does not support the question"),
    "not-installed": marked("the package is not installed"),
    "not-nvidia": marked("asked of NVIDIA's GPUs only"),
    "order-not-known": marked("the order in which CUDA counts the GPUs is not told"),
    "whole-gpu": marked("counted for the whole GPU only"),
    "counter-fell": marked("the counter began again"),
    "old-driver": marked("the driver is too old for the question"),
    "gpu-lost": marked("the GPU does not answer"),
    "nvml-error": marked("NVIDIA's management library failed"),
    "other-system": marked("asked on Linux only"),
    "no-other-reading": marked("the clock cannot be read another way here"),
    "clock-stands-still": marked("the clock stands still"),
    "old-python": marked("this version of Python cannot tell"),
    "library-named": marked("the library was named, and not installed as a package"),
    "not-from-a-wheel": marked("the program runs from its sources and not from a wheel"),
    "deleted": marked("the file was deleted or replaced after it was loaded"),
}

# The words of answers, which stand as codes in evidence and in JSON.
ANSWERS: Mapping[str, str] = {
    "borne-out": marked("borne out"),
    "not-borne-out": marked("not borne out"),
    "no-reference": marked("no reference"),
    "not-demonstrated": marked("not demonstrated"),
    "not-comparable": marked("not comparable"),
    "contradicted": marked("contradicted"),
    "implausible": marked("implausible"),
    "inconclusive": marked("inconclusive"),
    "smoke-test": marked("smoke test"),
    "threshold-met": marked("threshold met"),
    "threshold-not-met": marked("threshold not met"),
    "stated-only": marked("stated only"),
    # about a model's parameters
    "met": marked("met"),
    "not-met": marked("not met"),
    "none": marked("none"),
    "one-of-several": marked("one of several"),
    "documents-only": marked("documents only"),
    "more-than-claimed": marked("more than claimed"),
}

# How an answer weighs for whom it is about, which is also seen by a mark and a colour.
Weight = Literal["good", "bad", "open"]
_GOOD = {"threshold-met", "borne-out", "met"}
_BAD = {
    *("threshold-not-met", "not-borne-out", "contradicted", "implausible"),
    *("not-met", "not-demonstrated"),
}

# What computes, by a device's kind.
ENGINES: Mapping[DeviceKind, str] = {
    "cpu": marked("CPU"),
    "gpu": marked("GPU"),
    "npu": marked("NPU"),
    "accelerator": marked("accelerator"),
}

# What a finding is about, where that is no row and no device.
SUBJECTS: Mapping[str, str] = {
    "machine": marked("machine"),
    "model": marked("model"),
    "files": marked("files"),
    "system": marked("system"),
}
_RANK = re.compile("rank ([0-9]+)")

# What bounds a row's rate, and by which figure a rule decides.
BOUNDS: Mapping[str, str] = {"compute": marked("compute"), "memory": marked("memory")}
DECIDED_BY: Mapping[str, str] = {"declared": marked("declared"), "delivered": marked("delivered")}

_RATES = {
    *("first", "last", "declared", "architecture", "reference", "delivered", "ceiling", "claimed", "dense"),
    "limit",
}
_SHARES = {"share", "half_width", "left_out", "confidence"}


# Counts are told in Chinese by ten thousands, which no catalogue can make of the English words.
_MYRIADS = ((10**12, "兆"), (10**8, "億"), (10**4, "萬"))


def finding(found: Finding) -> str:
    return sentence(FINDINGS, found.code, found.numbers)


def subject(name: str) -> str:
    rank = _RANK.fullmatch(name)
    return _said(SUBJECTS, name) if rank is None else tr("rank {rank}", rank=rank[1])


def reason(code: str) -> str:
    """Beside a word of the verdict or a row; a row's failure is told among the findings."""
    if code in REASONS:
        return tr(REASONS[code])
    return tr("see the findings") if code in FINDINGS else printable(code)


def beside(code: str) -> str:
    return _said(BESIDE, code)


def absent(code: str) -> str:
    return _said(ABSENT, code)


def assurance(level: str) -> str:
    return _said(ASSURANCE, level)


def does_not_show(code: str) -> str:
    return _said(DOES_NOT_SHOW, code)


def role(name: Role) -> str:
    return tr(ROLES[name])


def condition(name: ItemCondition) -> str:
    return tr(CONDITIONS[name])


def bound(name: str) -> str:
    return _said(BOUNDS, name)


def decided_by(name: str) -> str:
    return _said(DECIDED_BY, name)


def item_answer(word: str) -> str | None:
    """What an answer to an item means, where it is no plain yes or no."""
    return tr(ITEM_ANSWERS[word]) if word in ITEM_ANSWERS else None


def comparable(answers: Iterable[BorneOut]) -> tuple[str, ...]:
    """For each kind of device what a figure would have to be to be compared; none where all figures are."""
    wanted: dict[DeviceKind, dict[str, None]] = {}
    for row in answers:
        if row.word == "not-comparable":
            name = comparable_precision(row.declared.precision).name
            wanted.setdefault(row.kind, {})[name] = None
    return tuple(
        tr(
            "comparable would be: the dense figure of the {engine} alone, in {precisions}",
            engine=tr(ENGINES[kind]),
            precisions=listed(names),
        )
        for kind, names in wanted.items()
    )


def answer(word: str) -> str:
    """A word of the verdict as a table gives it: its code, which evidence has, and how that reads."""
    if spoken() == "en":
        return printable(word)
    return tr("{reading} ({code})", reading=reading(word), code=printable(word))


def reading(word: str) -> str:
    """A word of the verdict as a sentence has it: `threshold met`."""
    return _said(ANSWERS, word)


def weight(word: str) -> Weight:
    """Whether a word of the verdict says yes, says no, or leaves it open."""
    return "good" if word in _GOOD else "bad" if word in _BAD else "open"


def title(rules: RuleSet, name: str) -> str:
    """What a rule set's tier or item is called: its id, in Chinese its title as the rule has it."""
    if spoken() == "en":
        return printable(name)
    titles = {tier.id: tier.title_zh for tier in rules.tiers} | {
        item.id: item.title_zh for item in rules.items
    }
    return printable(titles.get(name, name))


def number(count: int) -> str:
    """Three significant digits in words: `8.03 billion`, `80.3 億`."""
    if spoken() == "en":
        return format_count(count)
    for scale, word in _MYRIADS:
        if count >= scale:
            return f"{float(f'{count / scale:.3g}'):g} {word}"
    return f"{count:,}"


def unavailable(reason: Unavailable) -> str:
    words = _said(UNAVAILABLE, reason.code)
    return tr("{words}: {detail}", words=words, detail=reason.detail) if reason.detail else words


def sentence(table: Mapping[str, str], code: str, numbers: Mapping[str, Scalar]) -> str:
    """The sentence for a code, or the code with its numbers where there is none."""
    shown = {name: _shown(name, value) for name, value in numbers.items()}
    try:
        return tr(table[code]).format(**shown)
    except KeyError:
        return " ".join([code, *(f"{name}={value}" for name, value in shown.items())])


def _said(table: Mapping[str, str], code: str) -> str:
    return tr(table[code]) if code in table else printable(code)


def _shown(name: str, value: Scalar) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        # The status is a rule set's own words, which the catalogues have.
        if name == "why":
            return reason(str(value))
        return tr(str(value)) if name == "status" and value else str(value)
    if name in _RATES:
        number, prefix = scaled(value, "TOPS")
        return f"{number:.4g} {prefix.removesuffix('OPS')}op/s"
    if name == "clock_hz":
        return f"{value / 1e9:.4g} GHz"
    if name in _SHARES:
        return f"{100 * value:.1f} %"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
