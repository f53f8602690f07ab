"""A challenge as an auditor poses it, for the tests of challenges and of the ledger."""

from datetime import UTC, datetime

from bench.evidence import challenge, envelope
from bench.evidence.challenge import FORMAT, Posed
from bench.evidence.keys import SigningKey
from bench.terms import Challenge, Digest

NOW = datetime(2026, 5, 2, 12, 0, tzinfo=UTC)
ASKED = Challenge(
    format=FORMAT,
    nonce="ab" * 32,
    auditor="測試實驗室",
    vendor="A GmbH",
    device="A 處理器",
    rules=Digest(name="tw-ai-hardware-2024", sha256="1" * 64),
    precisions=("fp32", "int8"),
    sustain_s=0,
    skipped_share=0.05,
    issued="2026-05-01T12:00:00Z",
    expires="2026-05-04T12:00:00Z",
)
REPORT, OTHER_REPORT = "5" * 64, "7" * 64


def posed(asked: Challenge, key: SigningKey) -> Posed:
    return challenge.unchecked(envelope.to_json(challenge.sign(asked, key)), "here")
