"""`bench sign`: a further signature under a real run's evidence, and a signed verdict on it."""

import base64
import hashlib
import json
import re
import stat
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from program import Answered, Made, Program, one_line

from bench.evidence import envelope, keys, result, trust
from bench.evidence.keys import SigningKey
from bench.terms import Envelope


@pytest.fixture
def file(made: Made, bench: Program) -> Path:
    """A copy of the evidence for an auditor, who has a key and has been handed the vendor's."""
    assert bench("key", "new").code == 0
    assert bench("key", "trust", "vendor@example.org", made.bench.home / "key.pub").code == 0
    path = bench.folder / "run.evidence.json"
    path.write_bytes(made.file.read_bytes())
    return path


def own(bench: Program) -> str:
    return keys.read_public(bench.home / "key.pub").fingerprint


def vendor(made: Made) -> str:
    return keys.read_public(made.bench.home / "key.pub").fingerprint


def read(path: Path) -> Envelope:
    return envelope.parse(path.read_bytes())


def payload(path: Path) -> Any:
    return json.loads(base64.b64decode(json.loads(path.read_bytes())["payload"]))


def sealed(key: SigningKey, text: bytes) -> bytes:
    return envelope.to_json(envelope.sign(text, envelope.PAYLOAD_TYPE, [key]))


# --------------------------------------------------------------------------------- one's signature


def test_a_signature_is_added_in_place_and_both_signers_verify(
    made: Made, bench: Program, file: Path
) -> None:
    said = bench("sign", file)
    assert (said.code, said.err) == (0, "")
    signed, stands, means = said.out.splitlines()
    assert signed == f"signed   {file} with {own(bench)}"
    both = f"vendor@example.org ({vendor(made)}), self ({own(bench)})"
    assert stands == f"stands   2 signatures; trusted here: {both}"
    assert "having seen these bytes" in means
    assert "says nothing about whether the figures were verified" in means
    assert "bench sign --verdict FILE" in means
    before, after = read(made.file), read(file)
    assert (after.payload, after.signatures[:1]) == (before.payload, before.signatures)
    verified = bench("verify", file)
    assert verified.code == 0
    assert both in verified.out


def test_whom_one_does_not_trust_is_not_counted_among_the_signers(
    made: Made, bench: Program, file: Path
) -> None:
    nobody, vendors = bench.folder / "nobody", bench.folder / "vendors"
    nobody.write_text("")
    vendors.write_text(f"vendor {keys.read_public(made.bench.home / 'key.pub').line}\n")
    said = bench("sign", "--trust", nobody, "-o", "a.json", file)
    assert "stands   2 signatures; trusted here: nobody's\n" in said.out
    said = bench("sign", "--trust", vendors, "-o", "b.json", file)
    assert f"stands   2 signatures; trusted here: vendor ({vendor(made)})\n" in said.out
    said = bench("sign", "--trust", vendors, "--revoked", made.bench.home / "key.pub", "-o", "c.json", file)
    assert "stands   2 signatures; trusted here: nobody's\n" in said.out


def test_a_key_signs_a_file_once(bench: Program, file: Path) -> None:
    assert bench("sign", file).code == 0
    before = file.read_bytes()
    said = bench("sign", file)
    assert said.code == 2
    assert f"the key {own(bench)} has signed this already" in one_line(said.err)
    assert file.read_bytes() == before


def test_an_encrypted_p256_key_signs_with_its_passphrase(bench: Program, file: Path) -> None:
    secret = {"BENCH_KEY_PASSPHRASE": "correct horse"}
    assert bench("key", "new", "--type", "ecdsa-p256", "-o", "second", env=secret).code == 0
    assert bench("sign", "--key", "second", file).code == 2
    said = bench("sign", "--key", "second", file, env=secret)
    assert (said.code, said.err) == (0, "")
    assert read(file).signatures[1].keyid == keys.read_public(bench.folder / "second.pub").fingerprint
    assert bench("sign", file).code == 0
    assert bench("verify", "--json", file).json[0]["signers"] == [
        {"principal": "vendor@example.org", "fingerprint": read(file).signatures[0].keyid},
        {"principal": "self", "fingerprint": read(file).signatures[1].keyid},
        {"principal": "self", "fingerprint": own(bench)},
    ]


def test_another_output_leaves_the_file_as_it_was(made: Made, bench: Program, file: Path) -> None:
    assert bench("sign", "-o", "both.json", file).code == 0
    assert file.read_bytes() == made.file.read_bytes()
    assert len(read(bench.folder / "both.json").signatures) == 2


def test_a_file_that_was_private_stays_so_and_a_link_stays_a_link(bench: Program, file: Path) -> None:
    file.chmod(0o600)
    link = bench.folder / "link.json"
    link.symlink_to(file)
    assert bench("sign", link).code == 0
    assert link.is_symlink()
    assert len(read(file).signatures) == 2
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_what_is_no_evidence_is_not_signed_and_makes_no_key(made: Made, bench: Program) -> None:
    stranger = keys.load(made.bench.home / "key")
    verdict = json.dumps({**json.loads(read(made.file).payload), "predicateType": result.PREDICATE_TYPE})
    for name, data, step in [
        ("nothing", b"", 1),
        ("spaced", made.file.read_bytes().replace(b'"payloadType"', b'"PayloadType"'), 1),
        ("other", sealed(stranger, b"{}"), 3),
        ("verdict", sealed(stranger, verdict.encode()), 3),
    ]:
        path = bench.folder / name
        path.write_bytes(data)
        said = bench("sign", name)
        assert said.code == 4
        assert one_line(said.err).startswith(f"bench: {name}: step {step}: ")
        assert path.read_bytes() == data
    assert bench("sign", "none").code == 2
    assert not bench.home.exists()


def test_evidence_that_was_changed_is_signed_as_it_is_and_still_does_not_verify(
    made: Made, bench: Program, file: Path
) -> None:
    signed = read(made.file)
    edited = signed.payload.replace(b'"mode":"quick"', b'"mode":"default"')
    forged = Envelope(payload=edited, payload_type=signed.payload_type, signatures=signed.signatures)
    file.write_bytes(envelope.to_json(forged))
    said = bench("sign", file)
    assert said.code == 0
    assert f"stands   2 signatures; trusted here: self ({own(bench)})\n" in said.out
    assert bench("verify", file).code == 4


def test_a_revoked_key_signs_nothing(bench: Program, file: Path) -> None:
    before = file.read_bytes()
    assert bench("key", "revoke", bench.home / "key.pub").code == 0
    said = bench("sign", file)
    assert said.code == 2
    assert "was revoked here, so it signs nothing. Give another with --key FILE, or move it" in one_line(
        said.err
    )
    assert bench("sign", "--key", bench.home / "key", "--verdict", file).code == 2
    assert file.read_bytes() == before
    assert [path.name for path in bench.folder.iterdir()] == [file.name]


@pytest.mark.parametrize("words", [("--challenge", "c"), ("--rules", "r"), ("--tsa-roots", "t")])
def test_what_only_a_verdict_goes_by_is_refused_without_one(
    bench: Program, file: Path, words: tuple[str, str]
) -> None:
    said = bench("sign", *words, file)
    assert said.code == 2
    assert f"{words[0]} is for verifying evidence: add --verdict" in one_line(said.err)


def test_a_folder_that_cannot_be_written_is_exit_code_3(bench: Program, file: Path) -> None:
    for words in (("-o", "none/out.json"), ("--verdict", "-o", "none/out.json")):
        said = bench("sign", *words, file)
        assert said.code == 3
        assert "cannot write" in one_line(said.err)


# ------------------------------------------------------------------------------------- the verdict


def test_a_verdict_is_written_beside_the_evidence_and_names_it(
    made: Made, bench: Program, file: Path
) -> None:
    said = bench("sign", "--verdict", file)
    assert (said.code, said.err) == (0, "")
    path = bench.folder / "run.verdict.json"
    assert said.out.splitlines()[-1] == f"verdict    {path}"
    assert file.read_bytes() == made.file.read_bytes()
    told = payload(path)
    assert told["predicateType"] == "https://in-toto.io/attestation/svr/v0.1"
    assert [subject["digest"]["sha256"] for subject in told["subject"]] == [
        hashlib.sha256(file.read_bytes()).hexdigest(),
        hashlib.sha256(read(file).payload).hexdigest(),
    ]
    rows = bench("verify", "--json", file).json[0]["verdict"]["thresholds"]
    assert rows
    properties = [name.removeprefix("COMPUTE_EVIDENCE_") for name in told["predicate"]["properties"]]
    assert properties == [
        "VALID",
        "COMPLETE",
        "SIGNED_BY_TRUSTED_KEY",
        "ASSURANCE_A0",
        *(f"THRESHOLD_{capitals(row)}" for row in rows),
    ]
    assert all(f"- COMPUTE_EVIDENCE_{name}: " in said.out for name in properties)


def capitals(row: Any) -> str:
    words = (row["tier"], row["device"], row["precision"], row["headline"].removeprefix("threshold-"))
    return re.sub("[^A-Z0-9]", "_", "_".join(words).upper())


def test_a_verdict_is_read_by_who_trusts_the_auditor(bench: Program, file: Path) -> None:
    assert bench("sign", "--verdict", file).code == 0
    data = (bench.folder / "run.verdict.json").read_bytes()
    line = keys.read_public(bench.home / "key.pub").line
    checked = result.read(
        data,
        trust.parse(f'auditor namespaces="compute-evidence-verdict" {line}\n', "store"),
        datetime.now(UTC),
    )
    assert [signer.principal for signer in checked.signers] == ["auditor"]


def test_show_prints_a_verdict_whose_signature_is_trusted_and_no_other(
    bench: Program, file: Path, tmp_path: Path
) -> None:
    assert bench("sign", "--verdict", file).code == 0
    verdict = bench.folder / "run.verdict.json"
    shown = bench("show", verdict)
    assert (shown.code, shown.err) == (0, "")
    assert "COMPUTE_EVIDENCE_VALID" in shown.out
    told = bench("show", verdict, "--json").json
    assert "COMPUTE_EVIDENCE_ASSURANCE_A0" in told["statement"]["predicate"]["properties"]
    stranger = Program(home=tmp_path / "stranger", folder=tmp_path)
    said = stranger("show", verdict)
    assert (said.code, said.out) == (5, "")
    assert "step 2: no signature can be trusted" in one_line(said.err)
    checked = bench("verify", verdict)
    assert checked.code == 4
    assert "its predicateType is https://in-toto.io/attestation/svr/v0.1" in one_line(checked.err)


def test_openssl_verifies_a_verdict_signed_with_p256(bench: Program, file: Path, needs_program: Any) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_public_key

    openssl = needs_program("openssl", "openssl")
    assert bench("key", "new", "--type", "ecdsa-p256", "-o", "second").code == 0
    assert bench("sign", "--verdict", "--key", "second", file).code == 0
    outer = json.loads((bench.folder / "run.verdict.json").read_bytes())
    body, sig = (base64.b64decode(text) for text in (outer["payload"], outer["signatures"][0]["sig"]))
    public = load_ssh_public_key((bench.folder / "second.pub").read_bytes())
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for name, data in (("pem", pem), ("sig", sig)):
        (bench.folder / name).write_bytes(data)
    for text, fits in ((body, True), (body.replace(b"_VALID", b"_FORGED"), False)):
        (bench.folder / "message").write_bytes(
            b"DSSEv1 28 application/vnd.in-toto+json %d " % len(text) + text
        )
        command = [openssl, "dgst", "-sha256", "-verify", "pem", "-signature", "sig", "message"]
        done = subprocess.run(command, cwd=bench.folder, capture_output=True, check=False)
        assert (done.returncode == 0) == fits


def test_a_verdict_on_ones_own_evidence_does_not_call_its_key_a_trusted_one(
    made: Made, tmp_path: Path
) -> None:
    path = tmp_path / "verdict"
    assert made.bench("sign", "--verdict", made.file, "-o", path).code == 0
    properties = payload(path)["predicate"]["properties"]
    assert "COMPUTE_EVIDENCE_SIGNED_BY_OWN_KEY" in properties
    assert "COMPUTE_EVIDENCE_SIGNED_BY_TRUSTED_KEY" not in properties


def test_an_auditors_own_signature_does_not_stand_in_for_the_vendors(
    made: Made, bench: Program, file: Path
) -> None:
    assert bench("sign", file).code == 0
    assert bench("key", "revoke", vendor(made)).code == 0
    assert bench("sign", "--verdict", file).code == 0
    properties = payload(bench.folder / "run.verdict.json")["predicate"]["properties"]
    assert "COMPUTE_EVIDENCE_SIGNED_BY_OWN_KEY" in properties
    assert "COMPUTE_EVIDENCE_SIGNED_BY_TRUSTED_KEY" not in properties


def test_a_verdict_is_replaced_only_where_the_output_is_typed(bench: Program, file: Path) -> None:
    path = bench.folder / "run.verdict.json"
    path.write_text("mine")
    said = bench("sign", "--verdict", file)
    assert said.code == 2
    assert "there is a verdict already: " in one_line(said.err)
    assert path.read_text() == "mine"
    assert bench("sign", "--verdict", "-o", path, file).code == 0
    assert result.is_result(path.read_bytes())


def test_a_verdict_never_replaces_the_evidence(made: Made, bench: Program, file: Path) -> None:
    (bench.folder / "link.json").symlink_to(file)
    for output in (file, Path("run.evidence.json"), Path("link.json")):
        said = bench("sign", "--verdict", "-o", output, file)
        assert said.code == 2
        assert "the verdict would replace the evidence" in one_line(said.err)
    assert file.read_bytes() == made.file.read_bytes()


def test_nothing_is_signed_for_what_does_not_verify(made: Made, bench: Program) -> None:
    path = bench.folder / "run.evidence.json"
    path.write_bytes(made.file.read_bytes())
    raised = json.loads(read(made.file).payload)
    raised["predicate"]["figures"][0]["estimate"]["value"] *= 1.001
    forged = sealed(keys.load(made.bench.home / "key"), json.dumps(raised, separators=(",", ":")).encode())
    for trusted, data, code, step in [
        (False, made.file.read_bytes(), 5, 2),
        (True, forged, 4, 6),
        (True, made.file.read_bytes()[:-9], 4, 1),
    ]:
        if trusted:
            assert bench("key", "trust", "vendor", made.bench.home / "key.pub").code == 0
        path.write_bytes(data)
        said = bench("sign", "--verdict", path)
        assert (said.code, said.out) == (code, "")
        assert one_line(said.err).startswith(f"bench: {path}: step {step}: ")
        assert [p.name for p in bench.folder.iterdir()] == ["run.evidence.json"]
        assert not (bench.home / "key").exists()
    assert bench("sign", "--verdict", "none").code == 2


def test_a_verdict_says_that_a_challenge_was_answered_only_where_it_is_given(
    answered: Answered, tmp_path: Path
) -> None:
    without, with_it = tmp_path / "without", tmp_path / "with"
    file, challenge = answered.made.file, answered.challenge
    assert answered.auditor("sign", "--verdict", "-o", without, file).code == 0
    assert answered.auditor("sign", "--verdict", "--challenge", challenge, "-o", with_it, file).code == 0
    before, after = ({*payload(path)["predicate"]["properties"]} for path in (without, with_it))
    assert "COMPUTE_EVIDENCE_ANSWERS_CHALLENGE" not in before
    assert "COMPUTE_EVIDENCE_ASSURANCE_A0" in before
    assert {"COMPUTE_EVIDENCE_ANSWERS_CHALLENGE", "COMPUTE_EVIDENCE_ASSURANCE_A1"} <= after
    assert "COMPUTE_EVIDENCE_OUTPUTS_RECOMPUTED" in before & after


def test_a_report_without_the_challenge_that_is_held_against_it_gets_no_verdict(
    made: Made, answered: Answered, tmp_path: Path
) -> None:
    trusted = tmp_path / "trusted"
    lines = [f"vendor {keys.read_public(made.bench.home / 'key.pub').line}"]
    auditor_key = keys.read_public(answered.auditor.home / "key.pub").line
    lines += [f'auditor namespaces="{",".join(trust.AUDITORS)}" {auditor_key}']
    trusted.write_text("\n".join(lines))
    words = ("sign", "--verdict", "--trust", trusted, "-o", tmp_path / "verdict", made.file)
    assert answered.auditor(*words).code == 0
    (tmp_path / "verdict").unlink()
    said = answered.auditor(*words, "--challenge", answered.challenge)
    assert said.code == 6
    assert one_line(said.err).startswith(f"bench: {made.file}: step 5: ")
    assert not (tmp_path / "verdict").exists()
