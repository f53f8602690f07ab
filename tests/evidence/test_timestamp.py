import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import time_authority
from rfc3161_client import decode_timestamp_response
from time_authority import Authority

from bench.errors import CannotMeasure, EvidenceInvalid, UsageError
from bench.evidence import envelope, keys, timestamp
from bench.evidence.authority import MAX_BYTES
from bench.evidence.envelope import PAYLOAD_TYPE
from bench.evidence.keys import SigningKey
from bench.evidence.timestamp import Stamped, Unchecked
from bench.terms import Envelope

FindProgram = Callable[[str, str], str]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory, needs_program: FindProgram) -> Authority:
    return time_authority.make(tmp_path_factory.mktemp("authority"), needs_program("openssl", "openssl"))


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_HOME", str(tmp_path / "home"))


@pytest.fixture
def signed(key: SigningKey) -> Envelope:
    return envelope.sign(b"{}", PAYLOAD_TYPE, [key])


@pytest.fixture
def file(tmp_path: Path, signed: Envelope) -> Path:
    path = tmp_path / "run.evidence.json"
    path.write_bytes(envelope.to_json(signed))
    return path


def answered(authority: Authority, signed: Envelope, **how: str | bool) -> bytes:
    return authority.reply(timestamp.question(signed).as_bytes(), **how)  # type: ignore[arg-type]


def dated(authority: Authority, signed: Envelope, at: str, *, signer: str = "tsa") -> bytes:
    statement = authority.statement(answered(authority, signed), at=at)
    return authority.signed(statement, signer=signer)


def checked(authority: Authority, file: Path, signed: Envelope, answer: bytes) -> Stamped:
    """What the answer shows when it lies beside the file and the authority's root is pinned."""
    timestamp.path_of(file).write_bytes(answer)
    found = timestamp.check(file, signed, timestamp.pinned_roots(authority.root))
    assert isinstance(found, Stamped)
    return found


def refused(authority: Authority, file: Path, signed: Envelope, answer: bytes) -> str:
    """Why it is refused, with the root pinned; in one line with the way out."""
    with pytest.raises(EvidenceInvalid) as caught:
        checked(authority, file, signed, answer)
    assert caught.value.step == 2
    message = str(caught.value)
    assert re.fullmatch(rf"the time stamp {file}\.tsr shows nothing: .+\. Move it away .+ URL\.", message)
    return message


# ------------------------------------------------------------------------------------------- what fits


def test_a_token_gives_the_time_and_the_name_that_its_authority_stated(
    authority: Authority, file: Path, signed: Envelope
) -> None:
    answer = answered(authority, signed)
    found = checked(authority, file, signed, answer)
    assert found.says == f"{found.at:%Y-%m-%dT%H:%M:%SZ}" == authority.stated(answer)
    assert found.at.tzinfo is not None
    assert found.authority == time_authority.LONG_NAME


def test_openssl_accepts_the_same_token_for_the_bytes_of_the_first_signature(
    authority: Authority, signed: Envelope
) -> None:
    answer = answered(authority, signed)
    assert authority.accepts(answer, signed.signatures[0].sig)
    assert not authority.accepts(answer, signed.payload)


def test_a_request_asks_for_the_signatures_digest_a_nonce_and_certificates(
    authority: Authority, signed: Envelope
) -> None:
    (authority.folder / "question").write_bytes(timestamp.question(signed).as_bytes())
    text = authority.run("ts", "-query", "-in", "question", "-text")
    told = "".join(re.findall(r"^    [0-9a-f]{4} - ([0-9a-f -]{48})", text, re.M))
    assert re.sub("[ -]", "", told) == hashlib.sha256(signed.signatures[0].sig).hexdigest()
    assert "Hash Algorithm: sha256" in text
    assert re.search("^Nonce: 0x[0-9A-F]{8,}", text, re.M)
    assert "Certificate required: yes" in text
    assert timestamp.question(signed).nonce != timestamp.question(signed).nonce


def test_evidence_without_a_token_is_no_error(file: Path, signed: Envelope) -> None:
    assert timestamp.check(file, signed, ()) is None


def test_without_pinned_roots_a_token_is_there_and_gives_no_time(
    authority: Authority, file: Path, signed: Envelope
) -> None:
    timestamp.path_of(file).write_bytes(answered(authority, signed))
    found = timestamp.check(file, signed, ())
    assert isinstance(found, Unchecked)
    assert not isinstance(found, Stamped)
    assert not hasattr(found, "at")
    assert found.authority == time_authority.LONG_NAME
    assert re.fullmatch(r"20[0-9-]{8}T[0-9:]{8}Z", found.says)


def test_signatures_added_later_leave_the_token_valid(
    authority: Authority, file: Path, signed: Envelope, p256_key: SigningKey
) -> None:
    answer = answered(authority, signed)
    auditor = envelope.sign(signed.payload, PAYLOAD_TYPE, [p256_key]).signatures
    found = checked(authority, file, replace(signed, signatures=signed.signatures + auditor), answer)
    assert found.says == authority.stated(answer)


def test_a_token_got_days_later_fits_as_well(authority: Authority, file: Path, signed: Envelope) -> None:
    assert checked(authority, file, signed, dated(authority, signed, "20400102030405Z")).says == (
        "2040-01-02T03:04:05Z"
    )


def test_a_token_outlives_the_certificate_of_its_signer(
    authority: Authority, file: Path, signed: Envelope
) -> None:
    authority.certify("past", valid=("20100101000000Z", "20120101000000Z"))
    answer = dated(authority, signed, "20110601000000Z", signer="past")
    assert checked(authority, file, signed, answer).says == "2011-06-01T00:00:00Z"


def test_certificates_may_stand_in_any_order(authority: Authority, file: Path, signed: Envelope) -> None:
    answer = answered(authority, signed)
    # What the library alone says to the answer of `openssl ts`, whose signer's certificate comes first.
    with pytest.raises(ValueError, match="InvalidSetOrdering"):
        decode_timestamp_response(answer)
    assert checked(authority, file, signed, answer)


def test_an_old_root_with_the_serial_number_zero_is_read_without_a_warning(
    file: Path, signed: Envelope, tmp_path: Path, authority: Authority
) -> None:
    old = time_authority.make(tmp_path / "old", authority.openssl)
    words = ("-signkey", "root.key", "-set_serial", "0", "-extfile", "config", "-extensions", "root")
    old.run("x509", "-in", "root.pem", "-x509toreq", "-signkey", "root.key", "-out", "csr")
    old.run("x509", "-req", "-in", "csr", "-out", "root.pem", "-days", "9999", *words)
    old.certify("tsa", issuer="root", subject=time_authority.LONG_NAME)
    assert checked(old, file, signed, answered(old, signed))


# --------------------------------------------------------------------------------- what does not fit


def test_a_token_of_another_authority_is_refused(
    authority: Authority, file: Path, signed: Envelope, tmp_path: Path
) -> None:
    other = time_authority.make(tmp_path / "other", authority.openssl)
    message = refused(authority, file, signed, answered(other, signed))
    assert "does not lead to a pinned root (self-signed certificate in certificate chain)" in message
    assert "--tsa-roots FILE" in message


def test_a_token_of_another_files_signature_is_refused(
    authority: Authority, file: Path, signed: Envelope, key: SigningKey
) -> None:
    other = envelope.sign(b"[]", PAYLOAD_TYPE, [key])
    answer = answered(authority, other)
    assert "something else than the SHA-256 of this file's first" in refused(authority, file, signed, answer)
    with pytest.raises(EvidenceInvalid, match="something else"):
        timestamp.check(file, signed, ())


def test_a_token_does_not_fit_a_signature_put_before_the_first(
    authority: Authority, file: Path, signed: Envelope, p256_key: SigningKey
) -> None:
    first = envelope.sign(signed.payload, PAYLOAD_TYPE, [p256_key]).signatures
    swapped = replace(signed, signatures=first + signed.signatures)
    assert "something else" in refused(authority, file, swapped, answered(authority, signed))


def test_a_token_for_a_digest_not_asked_for_is_refused(
    authority: Authority, file: Path, signed: Envelope
) -> None:
    statement = authority.statement(answered(authority, signed))
    sha_256, sha_512_256 = (bytes.fromhex(f"06096086480165030402{last}") for last in ("01", "06"))
    assert statement.count(sha_256) == 1
    other = statement.replace(sha_256, sha_512_256)
    assert "something else" in refused(authority, file, signed, authority.signed(other))


def test_an_answer_to_another_request_is_refused(authority: Authority, signed: Envelope) -> None:
    answer = answered(authority, signed)
    with pytest.raises(ValueError, match="the nonce is not the one"):
        timestamp.read(answer, signed, (), nonce=timestamp.question(signed).nonce)


@pytest.mark.parametrize("at", ["20091231235959Z", "20120101000001Z"])
def test_a_token_signed_outside_its_certificates_validity_is_refused(
    authority: Authority, file: Path, signed: Envelope, at: str
) -> None:
    authority.certify("past", valid=("20100101000000Z", "20120101000000Z"))
    message = refused(authority, file, signed, dated(authority, signed, at, signer="past"))
    assert "(certificate has expired)" in message or "(certificate is not yet valid" in message


@pytest.mark.parametrize("extensions", ["server", "no-purpose", "two-purposes", "uncritical", "root"])
def test_a_signer_that_was_not_certified_for_time_stamps_is_refused(
    authority: Authority, file: Path, signed: Envelope, extensions: str
) -> None:
    authority.certify("other", extensions=extensions)
    statement = authority.statement(answered(authority, signed))
    assert "pinned root" in refused(authority, file, signed, authority.signed(statement, signer="other"))


def test_a_signer_certified_by_one_who_may_not_certify_is_refused(
    authority: Authority, file: Path, signed: Envelope
) -> None:
    authority.certify("below", issuer="tsa")
    beside = authority.folder / "beside.pem"
    beside.write_bytes((authority.folder / "tsa.pem").read_bytes() + authority.chain.read_bytes())
    statement = authority.statement(answered(authority, signed))
    answer = authority.signed(statement, signer="below", beside=beside)
    assert "(invalid CA certificate)" in refused(authority, file, signed, answer)


def test_a_token_signed_over_sha1_is_refused(authority: Authority, file: Path, signed: Envelope) -> None:
    answer = answered(authority, signed, section="sha1")
    assert authority.accepts(answer, signed.signatures[0].sig)
    assert "a digest other than SHA-2" in refused(authority, file, signed, answer)


def test_a_signer_that_names_no_certificate_is_refused(
    authority: Authority, file: Path, signed: Envelope
) -> None:
    statement = authority.statement(answered(authority, signed))
    assert checked(authority, file, signed, authority.signed(statement))
    answer = authority.signed(statement, names_signer=False)
    assert "does not say with which certificate" in refused(authority, file, signed, answer)


def test_a_token_with_its_certificate_exchanged_for_another_of_the_key_is_refused(
    authority: Authority, file: Path, signed: Envelope
) -> None:
    short = {"subject": "same", "serial": 7, "valid": ("20200101000000Z", "20210101000000Z")}
    authority.certify("first", **short)  # type: ignore[arg-type]
    longer = {**short, "valid": ("20200101000000Z", "20310101000000Z")}
    authority.certify("renewed", **longer, key="first")  # type: ignore[arg-type]
    answer = dated(authority, signed, "20250101000000Z", signer="first")
    old, new = authority.der("first"), authority.der("renewed")
    assert len(old) == len(new)
    assert "certificate has expired" in refused(authority, file, signed, answer)
    exchanged = answer.replace(old, new)
    assert "with another certificate than the one in it" in refused(authority, file, signed, exchanged)


def test_a_token_with_two_certificates_that_could_be_its_signers_is_refused(
    authority: Authority, file: Path, signed: Envelope, tmp_path: Path
) -> None:
    authority.certify("honest", serial=9)
    forger = time_authority.make(tmp_path / "forger", authority.openssl)
    forger.certify("forged", serial=9)
    beside = authority.folder / "beside.pem"
    beside.write_bytes(authority.chain.read_bytes() + (forger.folder / "forged.pem").read_bytes())
    statement = authority.statement(answered(authority, signed))
    answer = authority.signed(statement, signer="honest", beside=beside)
    assert "2 of its certificates could be the signer's" in refused(authority, file, signed, answer)


def test_a_refusal_is_told_in_the_authoritys_words(
    authority: Authority, file: Path, signed: Envelope
) -> None:
    answer = answered(authority, signed, section="sha512-only")
    told = 'did not grant it (rejection), and says "Message digest algorithm is not supported."'
    assert told in refused(authority, file, signed, answer)


@pytest.mark.parametrize(("status", "words"), [(1, "granted with changes"), (4, "warning"), (9, "status 9")])
def test_only_what_was_granted_as_asked_is_taken(
    authority: Authority, file: Path, signed: Envelope, status: int, words: str
) -> None:
    answer = authority.signed(authority.statement(answered(authority, signed)))
    granted = bytes.fromhex("3003020100")
    assert answer[4:9] == granted
    changed = answer.replace(granted, granted[:-1] + bytes([status]), 1)
    assert f"did not grant it ({words}" in refused(authority, file, signed, changed).replace(
        "revocation ", ""
    )


# -------------------------------------------------------------------------------------- what is damaged


def test_no_byte_of_a_token_can_be_changed_to_another_meaning(authority: Authority, signed: Envelope) -> None:
    answer = answered(authority, signed)
    roots = timestamp.pinned_roots(authority.root)
    honest = timestamp.read(answer, signed, roots)
    refusals = 0
    for index in range(len(answer)):
        changed = bytearray(answer)
        changed[index] ^= 1 << index % 8
        try:
            assert timestamp.read(bytes(changed), signed, roots) == honest
        except ValueError:
            refusals += 1
    # What can change is the copy of the root in it, for the pinned one decides.
    assert refusals > len(answer) - len(authority.der("root")) - 100


def test_a_token_cut_short_anywhere_is_refused(authority: Authority, signed: Envelope) -> None:
    answer = answered(authority, signed)
    for length in range(0, len(answer), 3):
        with pytest.raises(ValueError, match=r"^it cannot be read as one \("):
            timestamp.read(answer[:length], signed, ())


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"<html>no such page</html>",
        b"\x00" * 100,
        b"\xff" * 100,
        b"\x30\x80" * 50,
        b"\x30\xff" + b"\xff" * 200,
        bytes.fromhex("30053003020100"),
        b"\x1b]0;title\x07" * 20,
    ],
)
def test_garbage_is_refused_in_one_line(
    authority: Authority, file: Path, signed: Envelope, garbage: bytes
) -> None:
    message = refused(authority, file, signed, garbage)
    assert "it cannot be read as one" in message
    assert message.isprintable()


def test_what_is_larger_than_any_token_is_not_read(
    authority: Authority, file: Path, signed: Envelope
) -> None:
    message = refused(authority, file, signed, answered(authority, signed) + bytes(MAX_BYTES))
    assert f"at most {MAX_BYTES} are read" in message
    with pytest.raises(ValueError, match="which no time stamp has"):
        timestamp.read(bytes(MAX_BYTES + 1), signed, ())


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_not_waited_for(
    file: Path, signed: Envelope, make: Callable[[Path], None]
) -> None:
    make(timestamp.path_of(file))
    with pytest.raises(EvidenceInvalid, match="not a regular file") as caught:
        timestamp.check(file, signed, ())
    assert caught.value.step == 2


# ------------------------------------------------------------------------------------- keeping, pinning


def test_an_answer_is_kept_as_it_came_and_never_overwritten(
    authority: Authority, file: Path, signed: Envelope
) -> None:
    answer = answered(authority, signed)
    kept = timestamp.keep(file, signed, answer, timestamp.pinned_roots(authority.root), nonce=None)
    assert isinstance(kept, Stamped)
    assert timestamp.path_of(file).read_bytes() == answer
    with pytest.raises(UsageError, match="never overwritten"):
        timestamp.keep(file, signed, answered(authority, signed), (), nonce=None)
    assert timestamp.path_of(file).read_bytes() == answer


def test_an_answer_that_leads_to_no_pinned_root_is_not_kept(
    authority: Authority, file: Path, signed: Envelope, tmp_path: Path
) -> None:
    other = time_authority.make(tmp_path / "other", authority.openssl)
    roots = timestamp.pinned_roots(authority.root)
    with pytest.raises(CannotMeasure, match=r"is not kept: .* does not lead to a pinned root"):
        timestamp.keep(file, signed, answered(other, signed), roots, nonce=None)
    assert not timestamp.path_of(file).exists()


def test_an_intermediate_that_the_token_lacks_may_be_pinned_beside_the_root(
    authority: Authority, file: Path, signed: Envelope
) -> None:
    answer = answered(authority, signed, chain=False)
    assert "unable to get local issuer" in refused(authority, file, signed, answer)
    assert timestamp.check(file, signed, timestamp.pinned_roots(authority.chain))


def test_no_roots_are_pinned_until_the_user_puts_them_there(authority: Authority, tmp_path: Path) -> None:
    assert timestamp.pinned_roots() == ()
    (tmp_path / "home").mkdir(exist_ok=True)
    assert timestamp.roots_path() == tmp_path / "home" / "tsa_roots.pem"
    timestamp.roots_path().write_bytes(authority.root.read_bytes())
    assert timestamp.pinned_roots() == timestamp.pinned_roots(authority.root)
    assert [root.subject.rfc4514_string() for root in timestamp.pinned_roots()] == ["CN=root"]


@pytest.mark.parametrize("name", ["missing", "empty", "garbage", "key", "intermediate"])
def test_what_pins_no_root_is_refused(authority: Authority, tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{name}.pem"
    contents = {
        "empty": b"",
        "garbage": b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "key": (authority.folder / "tsa.key").read_bytes(),
        "intermediate": authority.intermediate.read_bytes(),
    }
    if name in contents:
        path.write_bytes(contents[name])
    with pytest.raises(UsageError, match=rf"{name}\.pem") as caught:
        timestamp.pinned_roots(path)
    assert "\n" not in str(caught.value)


def test_importing_it_loads_no_heavy_library() -> None:
    program = (
        "import sys; from bench.evidence import authority, der, timestamp; "
        "print(sorted({m.partition('.')[0] for m in sys.modules} & "
        "{'cryptography', 'rfc3161_client', 'bcrypt', 'numpy', 'torch'}))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(keys.__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, env=environment
    )
    assert done.stdout == "[]\n"
