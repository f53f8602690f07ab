import re
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from bench.errors import SignatureNotTrusted, UsageError
from bench.evidence import keys, trust
from bench.evidence.envelope import PAYLOAD_TYPE, add, sign
from bench.evidence.keys import SigningKey
from bench.evidence.trust import Trusted, check_signatures, parse, signed_first, trusted
from bench.terms import Envelope, Signature

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea"
PUBLIC = keys.parse_public(KEY, "here")


def store(
    key: SigningKey, options: str = 'namespaces="compute-evidence"', name: str = "vendor@example.org"
) -> str:
    return f"{name} {options} {key.public.line}\n"


# ---------------------------------------------------------------------------------------- parsing


def test_lines_comments_quotes_and_options_are_read() -> None:
    text = f"""# who signs
self {KEY}

\t"a@x",b@x namespaces="compute-evidence,file",valid-after="20260101Z",valid-before=202612312359Z {KEY} a"b
"""
    first, second = parse(text, "store")
    assert (first.line, first.principal, first.key, first.namespaces) == (2, "self", PUBLIC, None)
    assert (second.line, second.principal) == (4, "a@x,b@x")
    assert second.namespaces == ("compute-evidence", "file")
    assert second.valid_after == datetime(2026, 1, 1, tzinfo=UTC)
    assert second.valid_before == datetime(2026, 12, 31, 23, 59, tzinfo=UTC)


@pytest.fixture
def _taipei(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as zone:
        zone.setenv("TZ", "CST-8")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("_taipei")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20260102Z", datetime(2026, 1, 2, tzinfo=UTC)),
        ("202601020304Z", datetime(2026, 1, 2, 3, 4, tzinfo=UTC)),
        ("20260102030405Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("20260102", datetime(2026, 1, 1, 16, tzinfo=UTC)),
        ("20260102030405", datetime(2026, 1, 1, 19, 4, 5, tzinfo=UTC)),
    ],
)
def test_times_are_local_unless_they_say_utc(text: str, expected: datetime) -> None:
    assert parse(f"a valid-after={text} {KEY}", "store")[0].valid_after == expected


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("vendor", "the key is missing"),
        (f'"vendor {KEY}', "a quote is not closed"),
        ("vendor ssh-rsa AAAA", "expected one line beginning with ssh-ed25519"),
        ("vendor sk-ssh-ed25519@openssh.com AAAA", "expected one line beginning with ssh-ed25519"),
        ("vendor ssh-ed25519 AAAA", "not a ssh-ed25519 key"),
        (f"vendor cert-authority {KEY}", "cert-authority is refused"),
        (f'vendor cert-authority,namespaces="x" {KEY}', "cert-authority is refused"),
        (f"vendor no-touch-required {KEY}", "cannot read the option no-touch-required"),
        (f'vendor namespaces="a",namespaces="b" {KEY}', "namespaces is given twice"),
        (f"vendor namespaces {KEY}", "namespaces is empty"),
        (f'vendor namespaces="" {KEY}', "namespaces is empty"),
        (f'vendor namespaces="*" {KEY}', 'the namespace "*" is not one plain name'),
        (f'vendor namespaces="a,,b" {KEY}', 'the namespace "" is not one plain name'),
        (f"*@example.org {KEY}", 'the principal "*@example.org" is not one plain name'),
        (f"!vendor {KEY}", 'the principal "!vendor" is not one plain name'),
        (f"vendor valid-before=2026 {KEY}", '"2026" is no time'),
        (f"vendor valid-before=20261301 {KEY}", '"20261301" is no time'),
        (f"vendor valid-before=20260101T00 {KEY}", '"20260101T00" is no time'),
        (f'vendor valid-after="20260102Z",valid-before="20260101Z" {KEY}', "is not before valid-before"),
        (f'vendor valid-after="20260101Z",valid-before="20260101Z" {KEY}', "is not before valid-before"),
    ],
)
def test_a_wrong_line_is_refused_with_its_number(line: str, reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(f"# first\n\n{line}\n", "store")
    assert str(caught.value).startswith("store, line 3: ")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


# --------------------------------------------------------------------------------------- validity


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", None),
        ('namespaces="compute-evidence"', None),
        ('namespaces="git,compute-evidence"', None),
        ('namespaces="git"', "for other namespaces"),
        ("valid-after=20260501120000Z", None),
        ("valid-after=20260501120001Z", "valid only from 2026-05-01T12:00:01Z on"),
        ("valid-before=20260501120000Z", None),
        ("valid-before=20260501115959Z", "expired on 2026-05-01T11:59:59Z"),
    ],
)
def test_a_key_is_trusted_for_its_namespace_and_time(options: str, expected: str | None) -> None:
    answer = trusted(parse(f"vendor {options} {KEY}", "store"), PUBLIC, NOW)
    if expected is None:
        assert answer == Trusted(principal="vendor", fingerprint=PUBLIC.fingerprint)
    else:
        assert isinstance(answer, str)
        assert expected in answer
        assert "line 1" in answer


def test_one_line_that_holds_is_enough() -> None:
    signers = parse(f"old valid-before=20200101Z {KEY}\nnew {KEY}\n", "store")
    assert trusted(signers, PUBLIC, NOW) == Trusted(principal="new", fingerprint=PUBLIC.fingerprint)


def test_nobody_is_trusted_by_an_empty_store() -> None:
    assert trusted((), PUBLIC, NOW) == "the key is not in the trust store"


# ------------------------------------------------------------------------------------- signatures


def refused(envelope: Envelope, text: str) -> str:
    with pytest.raises(SignatureNotTrusted) as caught:
        check_signatures(envelope, parse(text, "store"), NOW)
    assert (caught.value.step, caught.value.exit_code) == (2, 5)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_signers_are_named_once_each_by_the_users_own_names(key: SigningKey, p256_key: SigningKey) -> None:
    envelope = sign(b"{}", PAYLOAD_TYPE, [key, p256_key, key])
    signers = parse(store(p256_key, name="auditor") + store(key), "store")
    assert check_signatures(envelope, signers, NOW) == (
        Trusted(principal="vendor@example.org", fingerprint=key.fingerprint),
        Trusted(principal="auditor", fingerprint=p256_key.fingerprint),
    )


def test_the_keyid_is_a_hint_only(key: SigningKey) -> None:
    envelope = sign(b"{}", PAYLOAD_TYPE, [key])
    misnamed = replace(envelope, signatures=(Signature(keyid="nonsense", sig=envelope.signatures[0].sig),))
    assert check_signatures(misnamed, parse(store(key), "store"), NOW)[0].fingerprint == key.fingerprint


def test_a_payload_changed_under_a_known_key_is_said_plainly(key: SigningKey) -> None:
    envelope = replace(sign(b'{"a":1}', PAYLOAD_TYPE, [key]), payload=b'{"a":2}')
    message = refused(envelope, store(key))
    assert key.fingerprint in message
    assert "changed after signing" in message
    assert "bench key trust" not in message


def test_an_unknown_key_is_named_with_what_to_type(key: SigningKey, p256_key: SigningKey) -> None:
    for known in ("", store(p256_key)):
        message = refused(sign(b"{}", PAYLOAD_TYPE, [key]), known)
        assert key.fingerprint in message
        assert "bench key trust PRINCIPAL FILE.pub" in message


def test_an_unknown_key_under_a_known_name_is_not_believed(key: SigningKey, p256_key: SigningKey) -> None:
    envelope = sign(b"{}", PAYLOAD_TYPE, [key])
    posing = replace(
        envelope, signatures=(Signature(keyid=p256_key.fingerprint, sig=envelope.signatures[0].sig),)
    )
    assert "or someone else signed" in refused(posing, store(p256_key))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("valid-before=20260101Z", "expired on"),
        ("valid-after=20270101Z", "valid only from"),
        ('namespaces="git"', "other namespaces"),
    ],
)
def test_a_good_signature_by_a_key_out_of_its_bounds_says_which(
    key: SigningKey, options: str, reason: str
) -> None:
    message = refused(sign(b"{}", PAYLOAD_TYPE, [key]), store(key, options))
    assert reason in message
    assert "changed after signing" not in message


def test_one_trusted_signature_among_others_is_enough(key: SigningKey, p256_key: SigningKey) -> None:
    envelope = sign(b"{}", PAYLOAD_TYPE, [p256_key, key])
    assert len(check_signatures(envelope, parse(store(key), "store"), NOW)) == 1


def test_a_keyid_that_would_steer_the_terminal_is_printed_harmlessly(key: SigningKey) -> None:
    envelope = Envelope(
        payload=b"{}",
        payload_type=PAYLOAD_TYPE,
        signatures=(Signature(keyid="\x1b[2J" + "x" * 500, sig=b"s"),),
    )
    message = refused(envelope, store(key))
    assert "\x1b" not in message
    assert len(message) < 400


def test_a_flipped_byte_anywhere_in_the_payload_is_caught(key: SigningKey) -> None:
    envelope = sign(b'{"figure":38}', PAYLOAD_TYPE, [key])
    signers = parse(store(key), "store")
    for index in range(len(envelope.payload)):
        changed = bytearray(envelope.payload)
        changed[index] ^= 0x20
        with pytest.raises(SignatureNotTrusted, match="changed after signing"):
            check_signatures(replace(envelope, payload=bytes(changed)), signers, NOW)


def test_one_key_counts_once_however_often_it_signed(key: SigningKey, p256_key: SigningKey) -> None:
    for one in (key, p256_key):
        envelope = sign(b"{}", PAYLOAD_TYPE, [one, one, one])
        # Ed25519 signs the same bytes in one way only, ECDSA in another way each time.
        ways = len({signature.sig for signature in envelope.signatures})
        assert ways == (1 if one is key else 3)
        found = check_signatures(envelope, parse(store(one), "store"), NOW)
        assert [signer.fingerprint for signer in found] == [one.fingerprint]


def test_one_key_under_two_names_counts_once(key: SigningKey) -> None:
    signers = parse(store(key, name="vendor") + store(key, name="auditor"), "store")
    found = check_signatures(sign(b"{}", PAYLOAD_TYPE, [key, key]), signers, NOW)
    assert found == (Trusted(principal="vendor", fingerprint=key.fingerprint),)


# ------------------------------------------------------------------------- when the first one existed

EARLY, LATE = datetime(2025, 6, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)
UNTIL_NEW_YEAR = 'namespaces="compute-evidence",valid-before="20260101Z"'


def test_a_first_signature_is_held_against_the_time_that_it_is_known_to_have_existed(key: SigningKey) -> None:
    envelope, signers = sign(b"{}", PAYLOAD_TYPE, [key]), parse(store(key, UNTIL_NEW_YEAR), "store")
    assert len(check_signatures(envelope, signers, LATE, first_at=EARLY)) == 1
    with pytest.raises(SignatureNotTrusted, match="expired on"):
        check_signatures(envelope, signers, LATE)


def test_a_stamp_on_the_first_signature_does_not_make_the_second_older(
    key: SigningKey, p256_key: SigningKey
) -> None:
    signers = parse(store(key, UNTIL_NEW_YEAR) + store(p256_key, name="auditor"), "store")
    for first in (sign(b"{}", PAYLOAD_TYPE, [p256_key]), anything()):
        both = add(first, key)
        found = trusted_names(both, signers, first_at=EARLY)
        assert "vendor@example.org" not in found
        assert found == (["auditor"] if first.signatures[0].keyid == p256_key.fingerprint else [])


def anything() -> Envelope:
    """Bytes that are nobody's signature, as anybody can have stamped."""
    return Envelope(
        payload=b"{}", payload_type=PAYLOAD_TYPE, signatures=(Signature(keyid="", sig=b"x" * 64),)
    )


def trusted_names(envelope: Envelope, signers: tuple[trust.Signer, ...], first_at: datetime) -> list[str]:
    try:
        found = check_signatures(envelope, signers, LATE, first_at=first_at)
    except SignatureNotTrusted:
        return []
    return [signer.principal for signer in found]


def test_only_a_first_signature_of_somebody_trusted_then_can_be_stamped_to_any_effect(
    key: SigningKey, p256_key: SigningKey
) -> None:
    signers = parse(store(key, UNTIL_NEW_YEAR), "store")
    first = sign(b"{}", PAYLOAD_TYPE, [key, p256_key])
    assert signed_first(first, signers, EARLY)
    assert not signed_first(first, signers, LATE)
    assert not signed_first(first, signers, EARLY, frozenset({key.public}))
    assert not signed_first(sign(b"{}", PAYLOAD_TYPE, [p256_key, key]), signers, EARLY)
    assert not signed_first(add(anything(), key), signers, EARLY)


# -------------------------------------------------------------------------------------------- add


def test_a_key_that_was_added_is_trusted_for_our_namespace_only(tmp_path: Path, key: SigningKey) -> None:
    path = tmp_path / "home2" / "allowed_signers"
    assert trust.add(path, "vendor@example.org", key.public) is True
    assert trust.add(path, "vendor@example.org", key.public) is False
    assert path.read_text() == store(key)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_adding_keeps_every_line_that_was_there(tmp_path: Path, key: SigningKey) -> None:
    path = tmp_path / "allowed_signers"
    path.write_text(f"# mine\nold {KEY}")
    trust.add(path, "self", key.public)
    assert path.read_text() == f"# mine\nold {KEY}\n" + store(key, name="self")
    assert [signer.principal for signer in trust.read(path)] == ["old", "self"]


def test_nothing_is_added_to_a_store_that_is_wrong(tmp_path: Path, key: SigningKey) -> None:
    path = tmp_path / "allowed_signers"
    path.write_text("nonsense\n")
    with pytest.raises(UsageError, match="line 1"):
        trust.add(path, "vendor", key.public)
    assert path.read_text() == "nonsense\n"


@pytest.mark.parametrize("name", ["", "two words", "a,b", '"q"', "#no", "*", "!x", "a\nb", "\x1b[2J"])
def test_a_name_that_the_format_cannot_hold_is_refused(tmp_path: Path, key: SigningKey, name: str) -> None:
    with pytest.raises(UsageError, match="cannot name a signer"):
        trust.add(tmp_path / "allowed_signers", name, key.public)
    assert not (tmp_path / "allowed_signers").exists()


def test_a_user_without_a_store_trusts_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_HOME", str(tmp_path))
    assert trust.read() == ()
    with pytest.raises(UsageError, match="cannot read"):
        trust.read(tmp_path / "mistyped")


def test_a_store_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "allowed_signers").write_bytes(b"\xff\n")
    with pytest.raises(UsageError, match="not UTF-8"):
        trust.read(tmp_path / "allowed_signers")


def test_ssh_keygen_reads_our_store(
    tmp_path: Path, key: SigningKey, needs_program: Callable[[str, str], str]
) -> None:
    program = needs_program("ssh-keygen", "openssh-client")
    trust.add(tmp_path / "allowed_signers", "vendor@example.org", key.public)
    secret = tmp_path / "home" / "key"
    (tmp_path / "m").write_bytes(b"message")
    subprocess.run(
        [program, "-Y", "sign", "-q", "-n", trust.NAMESPACE, "-f", str(secret), str(tmp_path / "m")],
        check=True,
        capture_output=True,
    )
    command = [program, "-Y", "verify", "-f", str(tmp_path / "allowed_signers"), "-I", "vendor@example.org"]
    command += ["-n", trust.NAMESPACE, "-s", str(tmp_path / "m.sig")]
    assert subprocess.run(command, input=b"message", capture_output=True, check=False).returncode == 0


# ---------------------------------------------------------------------------------- validity windows


def test_a_window_is_written_in_utc_as_openssh_spells_it(tmp_path: Path, key: SigningKey) -> None:
    path = tmp_path / "allowed_signers"
    eastern = timezone(timedelta(hours=8))
    after, before = datetime(2026, 1, 1, 8, tzinfo=eastern), datetime(2026, 12, 31, 23, 59, 58, tzinfo=UTC)
    assert trust.add(path, "vendor", key.public, after, before) is True
    assert trust.add(path, "vendor", key.public, after, before) is False
    assert path.read_text() == (
        'vendor namespaces="compute-evidence",valid-after="20260101000000Z",valid-before="20261231235958Z" '
        f"{key.public.line}\n"
    )
    (signer,) = trust.read(path)
    assert (signer.valid_after, signer.valid_before) == (after, before)


@pytest.mark.parametrize("moment", [datetime.min, datetime.max.replace(microsecond=0)])
def test_the_first_and_the_last_time_there_is_are_read_back(
    tmp_path: Path, key: SigningKey, moment: datetime
) -> None:
    path = tmp_path / "allowed_signers"
    trust.add(path, "vendor", key.public, valid_before=moment.replace(tzinfo=UTC))
    assert trust.read(path)[0].valid_before == moment.replace(tzinfo=UTC)


@pytest.mark.parametrize("hours", [0, 1])
def test_a_window_that_ends_before_it_begins_is_refused(tmp_path: Path, key: SigningKey, hours: int) -> None:
    path = tmp_path / "allowed_signers"
    with pytest.raises(UsageError, match=r"vendor: valid-after .* is not before valid-before"):
        trust.add(path, "vendor", key.public, NOW, NOW - timedelta(hours=hours))
    assert not path.exists()


def test_the_window_of_a_trusted_key_is_not_changed_by_a_second_line(tmp_path: Path, key: SigningKey) -> None:
    path = tmp_path / "allowed_signers"
    path.write_text(f"# mine\n{store(key)}")
    with pytest.raises(UsageError, match=rf"for another time: line 2 of {path}"):
        trust.add(path, "vendor@example.org", key.public, valid_before=NOW)
    assert path.read_text() == f"# mine\n{store(key)}"
    assert trust.add(path, "auditor", key.public, valid_before=NOW) is True


def test_a_key_that_was_trusted_for_other_things_is_added_for_ours(tmp_path: Path, key: SigningKey) -> None:
    path = tmp_path / "allowed_signers"
    path.write_text(store(key, 'namespaces="git"', "vendor"))
    assert trust.add(path, "vendor", key.public) is True
    assert trusted(trust.read(path), key.public, NOW) == Trusted(
        principal="vendor", fingerprint=key.fingerprint
    )


# ------------------------------------------------------------------------------------------- revoked


def test_a_revoked_key_is_trusted_by_no_line_and_at_no_time(key: SigningKey) -> None:
    revoked = frozenset({key.public})
    envelope = sign(b"{}", PAYLOAD_TYPE, [key])
    for text in (
        store(key),
        store(key, ""),
        store(key, 'namespaces="git"'),
        store(key, "valid-before=20200101Z"),
    ):
        for at in (EARLY, NOW, LATE):
            with pytest.raises(SignatureNotTrusted, match=r"the key of vendor@example\.org was revoked here"):
                check_signatures(envelope, parse(text, "store"), at, revoked, first_at=EARLY)


def test_a_revoked_key_is_named_by_all_its_names_or_by_none(key: SigningKey) -> None:
    envelope, revoked = sign(b"{}", PAYLOAD_TYPE, [key]), frozenset({key.public})
    both = parse(store(key, name="a") + store(key, name="b"), "store")
    with pytest.raises(
        SignatureNotTrusted, match=f"{re.escape(key.fingerprint)}: the key of a, b was revoked"
    ):
        check_signatures(envelope, both, NOW, revoked)
    with pytest.raises(SignatureNotTrusted, match=f"{re.escape(key.fingerprint)}: the key was revoked here"):
        check_signatures(envelope, (), NOW, revoked)


def test_others_signatures_count_beside_that_of_a_revoked_key(key: SigningKey, p256_key: SigningKey) -> None:
    envelope = sign(b"{}", PAYLOAD_TYPE, [key, p256_key])
    signers = parse(store(key) + store(p256_key, name="auditor"), "store")
    assert len(check_signatures(envelope, signers, NOW)) == 2
    found = check_signatures(envelope, signers, NOW, frozenset({key.public}))
    assert [signer.principal for signer in found] == ["auditor"]


def test_revoking_keeps_every_line_and_is_done_once(tmp_path: Path, key: SigningKey) -> None:
    path = tmp_path / "new" / "revoked_keys"
    assert trust.revoke(path, key.public) is True
    assert path.read_text() == f"{key.public.line}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.write_text(f"# lost in May\n{KEY} somebody@somewhere")
    assert trust.revoke(path, key.public) is True
    assert trust.revoke(path, key.public) is False
    assert trust.revoke(path, PUBLIC) is False
    assert path.read_text() == f"# lost in May\n{KEY} somebody@somewhere\n{key.public.line}\n"
    assert trust.read_revoked(path) == {PUBLIC, key.public}


def test_without_a_file_nothing_is_revoked_but_a_mistyped_name_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_HOME", str(tmp_path))
    assert trust.read_revoked() == frozenset()
    (tmp_path / "revoked_keys").write_text(f"{KEY}\n")
    assert trust.read_revoked() == {PUBLIC}
    with pytest.raises(UsageError, match="cannot read"):
        trust.read_revoked(tmp_path / "mistyped")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("ssh-rsa AAAA", "expected one line beginning with ssh-ed25519"),
        ("ssh-ed25519 AAAA", "not a ssh-ed25519 key"),
        (f"vendor {KEY}", "expected one line beginning with ssh-ed25519"),
        (PUBLIC.fingerprint, "expected one line beginning with ssh-ed25519"),
    ],
)
def test_a_revoked_line_that_is_no_key_is_refused_with_its_number(
    tmp_path: Path, key: SigningKey, line: str, reason: str
) -> None:
    path = tmp_path / "revoked_keys"
    path.write_text(f"{KEY}\n\n{line}\n")
    for read in (lambda: trust.read_revoked(path), lambda: trust.revoke(path, key.public)):
        with pytest.raises(UsageError) as caught:
            read()
        assert str(caught.value).startswith(f"{path}, line 3: ")
        assert reason in str(caught.value)
    assert path.read_text() == f"{KEY}\n\n{line}\n"


def test_revoked_keys_that_are_not_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "revoked_keys").write_bytes(b"SSHKRL\n\x00\xff")
    with pytest.raises(UsageError, match="not UTF-8"):
        trust.read_revoked(tmp_path / "revoked_keys")


# ---------------------------------------------------------------------------------- openssh agrees


@dataclass(frozen=True, kw_only=True)
class OpenSsh:
    """A message signed by `ssh-keygen` itself, and what it says to the signature."""

    program: str
    folder: Path

    def verifies(self, *options: str | Path) -> bool:
        signers = self.folder / "allowed_signers"
        command = [self.program, "-Y", "verify", "-f", signers, "-I", "vendor", "-n", trust.NAMESPACE]
        command += ["-s", self.folder / "m.sig", *options]
        return subprocess.run(command, input=b"message", capture_output=True, check=False).returncode == 0


@pytest.fixture(params=["ed25519", "ecdsa-p256"])
def openssh(
    tmp_path: Path, request: pytest.FixtureRequest, needs_program: Callable[[str, str], str]
) -> OpenSsh:
    program = needs_program("ssh-keygen", "openssh-client")
    keys.new(tmp_path / "signer", None, request.param)
    (tmp_path / "m").write_bytes(b"message")
    command = [program, "-Y", "sign", "-q", "-n", trust.NAMESPACE, "-f", tmp_path / "signer", tmp_path / "m"]
    subprocess.run(command, check=True, capture_output=True)
    return OpenSsh(program=program, folder=tmp_path)


def test_ssh_keygen_refuses_the_keys_that_we_revoke(openssh: OpenSsh, key: SigningKey) -> None:
    public = keys.read_public(openssh.folder / "signer.pub")
    trust.add(openssh.folder / "allowed_signers", "vendor", public)
    revoked = openssh.folder / "revoked_keys"
    assert openssh.verifies()
    trust.revoke(revoked, key.public)
    assert openssh.verifies("-r", revoked)
    trust.revoke(revoked, public)
    assert not openssh.verifies("-r", revoked)


def test_ssh_keygen_keeps_to_the_windows_that_we_write(openssh: OpenSsh) -> None:
    public = keys.read_public(openssh.folder / "signer.pub")
    path = openssh.folder / "allowed_signers"
    trust.add(path, "vendor", public, NOW, NOW + timedelta(hours=1))
    for minutes in (-1, 0, 30, 60, 61):
        at = NOW + timedelta(minutes=minutes)
        ours = isinstance(trusted(trust.read(path), public, at), Trusted)
        assert openssh.verifies("-O", f"verify-time={at:%Y%m%d%H%M%SZ}") == ours == (0 <= minutes <= 60)


def test_a_stamp_on_an_ecdsa_signature_counts_only_for_a_key_trusted_from_before_it(
    p256_key: SigningKey,
) -> None:
    """A key can be made afterwards that fits such a signature and what was never signed."""
    envelope = sign(b"{}", PAYLOAD_TYPE, [p256_key])
    for options, counts in (
        ('namespaces="compute-evidence"', False),
        ('namespaces="compute-evidence",valid-after="20250701Z"', False),
        ('namespaces="compute-evidence",valid-after="20250501Z"', True),
    ):
        signers = parse(store(p256_key, options), "store")
        assert signed_first(envelope, signers, EARLY) is counts, options


@pytest.mark.parametrize("namespace", [trust.CHALLENGES, trust.VERDICTS])
def test_a_line_without_namespaces_is_for_reports_alone(key: SigningKey, namespace: str) -> None:
    """Else whoever entered a vendor so would take the vendor's challenges and verdicts, too."""
    for options, known in (("", False), (f'namespaces="{namespace}"', True)):
        signers = parse(store(key, options), "store")
        found = trusted(signers, key.public, NOW, namespace=namespace)
        assert isinstance(found, Trusted) is known
    assert isinstance(trusted(parse(store(key, ""), "store"), key.public, NOW), Trusted)
