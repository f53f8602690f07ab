"""The smallest evidence that uses every kind of field: two rows, one of them with samples.

The figures are made up and no verdict follows from them.
"""

from pathlib import Path

from bench.evidence.statement import FORMAT
from bench.terms import (
    Case,
    Check,
    Claim,
    Condition,
    ConvShape,
    Cost,
    Coverage,
    DataSheet,
    Declaration,
    Delivered,
    Device,
    Diagnostic,
    Digest,
    Drift,
    Energy,
    Estimate,
    Evidence,
    Fact,
    Figure,
    Finding,
    Form,
    GemmShape,
    Harness,
    Inspection,
    Level,
    Measurement,
    Meter,
    MeterReading,
    Opening,
    Pair,
    Party,
    Pass,
    Reading,
    Roof,
    Sample,
    Schedule,
    Sensor,
    Telemetry,
    Threshold,
    Transfer,
    Trial,
    Verdict,
    Visit,
    Workload,
)

ESTIMATE = Estimate(
    value=2e12, low=1.9e12, high=2.1e12, level=0.95, unit="op/s", method="visits-t/1", visits=2
)
STATED = Declaration(
    precision="fp32",
    ops_per_s=48e12,
    density="dense",
    engines=("tensor",),
    source="--claim",
    date=None,
    provenance="stated",
    verified=False,
    contradicted_by=None,
    remark=None,
)
SCHEDULE = Schedule(
    visits=5,
    sample_ns=20_000_000,
    settle_least_ns=200_000_000,
    settle_most_ns=600_000_000,
    window_ns=10**9,
    launch_most_ns=10**8,
    probe_ns=20_000_000,
    refine_ns=10**9,
    limit_ns=130 * 10**9,
    hold_ns=0,
    half_width=0.01,
)
TELEMETRY = Telemetry(
    origin_unix_us=1_767_323_045_000_000,
    period_ns=10**8,
    readings=(
        Reading(at_ns=0, busy_us=10, own_us=5, steal_us=0),
        Reading(at_ns=10**9, busy_us=20, own_us=15, steal_us=0),
    ),
    sensors=(
        Sensor(
            name="memory", unit="B", source="/proc/meminfo", every=2, levels=(Level(value=7),), reason=None
        ),
        Sensor(name="energy", unit="uJ", source="/sys", every=1, levels=(), reason="not-permitted"),
    ),
    meter=Meter(
        file="meter.csv",
        sha256="2" * 64,
        readings=(MeterReading(at_ns=-5, energy_uj=1), MeterReading(at_ns=2 * 10**9, energy_uj=9)),
    ),
)
CASE = Case(
    number="115-採購-042",
    buyer=Party(name="某醫院", registration="12345675"),
    vendor=Party(name="A vendor Ltd.", registration=None),
    site="臺北市, room 3",
    chassis_serial="SN-0042",
    data_sheet=DataSheet(title="Server 規格書", page="12", sha256="7" * 64),
    server_number=1,
    servers=4,
    cooling="air",
    ambient_celsius=24.5,
    operator="王小明",
    witness=None,
)
CHECK = Check(launches=4, compared=64, wrong=0, off_by_one=0, real_compared=8, real_error_ppm=0.06)


def samples(count: int, start_ns: int = 0) -> tuple[Sample, ...]:
    return tuple(
        Sample(
            start_ns=start_ns + 10**6 * index,
            host_ns=999_000 + index,
            raw_ns=999_001 + index,
            cpu_ns=1_998_000,
            launches=8,
            real=index % 2,
        )
        for index in range(count)
    )


def measured_row(count: int = 3) -> Measurement:
    form = Form(precision="fp32", name="mm", a="f32", b="f32", out="f32", operand_set="pm1", layout="row")
    shape = GemmShape(m=512, n=512, k=512)
    return Measurement(
        workload=Workload(
            device="cpu",
            kernel="torch_gemm",
            backend="torch",
            operation="gemm",
            form=form,
            shape=shape,
            seed="00ff",
        ),
        cost=Cost(ops=2 * 512**3, bytes=3 * 4 * 512**2),
        tried=(
            Trial(shape=shape, round=0, ops_per_s=(2e12, 2.1e12), spent_ns=9 * 10**7, reason=None),
            Trial(
                shape=GemmShape(m=8192, n=8192, k=8192),
                round=1,
                ops_per_s=(),
                spent_ns=0,
                reason="does-not-fit",
            ),
        ),
        before=CHECK,
        probe=CHECK,
        admission=None,
        visits=(
            Visit(
                settle=(),
                settle_ended="settled",
                samples=samples(count),
                device_ns=tuple(998_000 + index for index in range(count)),
                clocks_hz=(3_460_000_000, 3_470_000_000),
                ended="time",
            ),
            Visit(
                settle=samples(1, 5 * 10**9),
                settle_ended="settled",
                samples=samples(count, 6 * 10**9),
                device_ns=(),
                clocks_hz=(),
                ended="time",
            ),
        ),
        held=None,
        timed=CHECK,
        ended="complete",
        findings=(
            Finding(subject="fp32", status="info", code="noise", numbers={"share": 0.02, "visits": 2}),
        ),
    )


def row_without_samples() -> Measurement:
    form = Form(
        precision="int8", name="QLinearConv", a="u8", b="s8", out="u8", operand_set="small", layout="nchw"
    )
    shape = ConvShape(batch=1, channels=64, filters=64, height=56, width=56, kernel=3, padding=1)
    return Measurement(
        workload=Workload(
            device="cpu",
            kernel="ort_conv",
            backend="onnxruntime",
            operation="conv",
            form=form,
            shape=shape,
            seed="00ff",
        ),
        cost=Cost(ops=2**60, bytes=1),
        tried=(),
        before=None,
        probe=None,
        admission=None,
        visits=(),
        held=None,
        timed=None,
        ended="not-measured",
        findings=(
            Finding(
                subject="int8", status="failure", code="no-kernel", numbers={"wanted": "vnni", "ok": False}
            ),
        ),
    )


def evidence() -> Evidence:
    device = Device(
        selector="cpu",
        family="cpu",
        kind="cpu",
        name="A 處理器",
        vendor=None,
        facts=(
            Fact(name="cores", value=2, source="/proc/cpuinfo"),
            Fact(name="clock_hz", value=2.1e9, source="/proc/cpuinfo"),
            Fact(name="hypervisor", value=True, source="/proc/cpuinfo"),
            Fact(name="governor", value=None, source="/sys", reason="not-exposed"),
        ),
    )
    return Evidence(
        format=FORMAT,
        created="2026-01-02T03:04:05Z",
        mode="quick",
        assurance="A0",
        interrupted=False,
        nonce="5eed",
        challenge=Digest(name="challenge", sha256="3" * 64),
        case=CASE,
        harness=Harness(
            version="0.1.0", files=(Digest(name="bench/terms.py", sha256="0" * 64),), libraries=()
        ),
        inspection=Inspection(
            facts=(Fact(name="traced", value=False, source="/proc/self/status"),),
            libraries=(Digest(name="libtorch_cpu.so", sha256="4" * 64),),
        ),
        system=(Fact(name="kernel", value="6.1", source="uname"),),
        devices=(device,),
        claims=(Claim(precision="fp32", ops_per_s=48e12, density="dense", engines=("tensor",)),),
        rules=Digest(name="tw-ai-hardware-2024", sha256="1" * 64),
        profiles=(),
        asked=("fp32", "int8"),
        schedule=SCHEDULE,
        clock=Fact(name="clock", value="imul-chain/3-cycles/an-arch", source="numba 0.68.1"),
        measurements=(measured_row(), row_without_samples()),
        openings=(
            Opening(
                device="cpu",
                row="torch_gemm/fp32/mm",
                stays=(0, 1),
                leaves=1024,
                opened=1000,
                root="6" * 64,
                siblings="AAAA",
                covers=Coverage(committed=2, timed=48, skipped_share=0.05, confidence=0.999),
                reason=None,
            ),
            Opening(
                device="cpu",
                row="ort_conv/int8/QLinearConv",
                stays=(),
                leaves=0,
                opened=0,
                root=None,
                siblings=None,
                covers=None,
                reason="no-exact-window",
            ),
        ),
        memory=(
            Transfer(
                device="cpu",
                operation="triad",
                footprint_bytes=3 * 2**20,
                moved_bytes=6 * 2**20,
                passes=(Pass(ns=1000), Pass(ns=1001)),
                reason=None,
            ),
        ),
        diagnostics=(
            Diagnostic(
                device="cpu",
                row="torch_gemm/fp32/mm",
                name="zeros",
                detail="",
                pairs=(Pair(usual_ns=10, other_ns=9),),
                reason=None,
            ),
        ),
        telemetry=TELEMETRY,
        delivered=(
            Delivered(
                device="cpu",
                row="torch_gemm/fp32/mm",
                precision="fp32",
                operation="gemm",
                backend="torch",
                measured="fp32",
                error_ppm=0.06,
                estimate=ESTIMATE,
                median=2e12,
                best=2.2e12,
                ceiling=None,
                ceiling_reason="unknown-cpu",
                roof=Roof(intensity=85.3, bandwidth=4e10, ops_per_s=3.4e12, bound="memory"),
                roof_reason=None,
                energy=Energy(source="wall meter", joules=1.5, seconds=2.0, ops_per_j=1e12),
                energy_reason=None,
                per_second=(2e12, 1.9e12),
                drift=Drift(first=2e12, last=1.9e12, ratio=0.95),
                through=None,
                counts=True,
                reason=None,
            ),
        ),
        figures=(
            Figure(device="cpu", precision="fp32", row="torch_gemm/fp32/mm", estimate=ESTIMATE, reason=None),
            Figure(device="cpu", precision="int8", row=None, estimate=None, reason="no-row-counts"),
        ),
        conditions=(
            Condition(
                device="cpu",
                row="torch_gemm/fp32/mm",
                name="zeros",
                detail="",
                ratio=1.1,
                low=1.0,
                high=1.2,
                reason=None,
            ),
        ),
        verdict=Verdict(
            method="verdict/1",
            declared=(),
            thresholds=(
                Threshold(
                    tier="inference-server",
                    device="cpu",
                    kind="cpu",
                    precision="fp32",
                    limit=6e13,
                    declared=STATED,
                    declared_word="stated-only",
                    declared_reason=None,
                    delivered=ESTIMATE,
                    delivered_word="smoke-test",
                    delivered_reason="quick",
                    headline="smoke-test",
                ),
            ),
            findings=(),
        ),
        does_not_show=("who-measured",),
    )


def p256_file(path: Path) -> Path:
    """An unencrypted ECDSA P-256 key as PKCS#8 PEM."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    private = ec.generate_private_key(ec.SECP256R1())
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)
    return path
