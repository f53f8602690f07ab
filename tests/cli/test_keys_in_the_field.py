"""`bench key`: passphrases typed at a terminal, kinds of keys, windows of trust, and revoked keys."""

import re
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from program import Made, Program, Said, one_line

from bench.evidence import keys, trust

FINGERPRINT = r"SHA256:[A-Za-z0-9+/]{43}"


def fingerprint(path: Path) -> str:
    return keys.read_public(path).fingerprint


# ------------------------------------------------------------------------------------- at a terminal

# Starts a program on a terminal of its own and types a line whenever it asks; Ctrl-C when none is left.
TYPIST = """
import os, pty, sys
answers = sys.argv[1].split("|")
child, terminal = pty.fork()
if child == 0:
    os.execv(sys.argv[2], sys.argv[2:])
said = b""
while True:
    try:
        more = os.read(terminal, 4096)
    except OSError:
        break
    if not more:
        break
    said += more
    if said.endswith(b": "):
        os.write(terminal, answers.pop(0).encode() + b"\\n" if answers else b"\\x03")
sys.stdout.buffer.write(said)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def typing(bench: Program, answers: str, *words: str | Path, **env: str) -> Said:
    """The command at a terminal where these answers, parted by "|", are typed; all it prints is in `out`."""
    launcher = (sys.executable, "-c", TYPIST, answers, sys.executable, "-m", "bench")
    return bench(*words, launcher=launcher, env=env)


def test_a_passphrase_is_typed_twice_and_then_opens_the_key(bench: Program) -> None:
    said = typing(bench, "correct horse|correct horse", "key", "new", "--passphrase")
    assert said.code == 0
    assert "Passphrase: " in said.out
    assert "Repeat for confirmation: " in said.out
    assert "horse" not in said.out
    assert keys.load(bench.home / "key", lambda: b"correct horse").fingerprint in said.out
    assert fingerprint(bench.home / "key.pub") in said.out


def test_a_passphrase_typed_otherwise_the_second_time_is_asked_for_again(bench: Program) -> None:
    answers = "correct horse|correct house|wrong donkey|wrong donkey"
    assert typing(bench, answers, "key", "new", "--passphrase").code == 0
    assert keys.load(bench.home / "key", lambda: b"wrong donkey").public


def test_an_empty_passphrase_is_refused_and_no_key_is_made(bench: Program) -> None:
    said = typing(bench, "|", "key", "new", "--passphrase")
    assert said.code == 2
    assert "an empty passphrase encrypts nothing" in said.out
    assert not bench.home.exists()


def test_ctrl_c_at_the_passphrase_makes_no_key(bench: Program) -> None:
    said = typing(bench, "correct horse", "key", "new", "--passphrase")
    assert said.code == 130
    assert not bench.home.exists()


def test_a_passphrase_that_is_typed_goes_before_one_of_the_environment(bench: Program) -> None:
    words = ("key", "new", "--passphrase")
    assert typing(bench, "typed|typed", *words, BENCH_KEY_PASSPHRASE="other").code == 0
    assert keys.load(bench.home / "key", lambda: b"typed").public


def test_an_encrypted_key_asks_for_its_passphrase_at_a_terminal(made: Made, bench: Program) -> None:
    assert bench("key", "new", env={"BENCH_KEY_PASSPHRASE": "correct horse"}).code == 0
    for answer, code in (("correct horse", 0), ("wrong donkey", 2)):
        said = typing(bench, answer, "sign", "-o", "signed.json", made.file)
        assert said.code == code
        assert "Passphrase of the key: " in said.out
        assert answer not in said.out
    # What the environment gives is not asked for.
    said = typing(bench, "", "sign", "-o", "more.json", made.file, BENCH_KEY_PASSPHRASE="correct horse")
    assert said.code == 0
    assert "Passphrase" not in said.out


def test_without_a_terminal_the_passphrase_comes_from_the_environment_or_not_at_all(bench: Program) -> None:
    said = bench("key", "new", "--passphrase")
    assert said.code == 2
    assert "there is no terminal to ask for a passphrase. Set BENCH_KEY_PASSPHRASE_FILE=FILE" in one_line(
        said.err
    )
    assert not bench.home.exists()
    (bench.folder / "secret").write_text("correct horse\n")
    assert bench("key", "new", "--passphrase", env={"BENCH_KEY_PASSPHRASE_FILE": "secret"}).code == 0
    assert keys.load(bench.home / "key", lambda: b"correct horse").public


def test_a_program_whose_stdin_is_closed_asks_nobody(bench: Program) -> None:
    closed = ("sh", "-c", 'exec "$@" <&-', "sh", sys.executable, "-m", "bench")
    assert bench("key", "new", "--passphrase", launcher=closed).code == 2
    assert bench("key", "new", launcher=closed).code == 0


@pytest.mark.parametrize("option", ["--passphrase=secret", "--password"])
def test_a_passphrase_is_no_argument(bench: Program, option: str) -> None:
    assert bench("key", "new", option).code == 2
    assert not bench.home.exists()


# ------------------------------------------------------------------------------------ kinds of keys


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ((), "ssh-ed25519"),
        (("--type", "ed25519"), "ssh-ed25519"),
        (("--type", "ecdsa-p256"), "ecdsa-sha2-nistp256"),
    ],
)
def test_a_key_is_of_the_type_asked_for(bench: Program, words: tuple[str, ...], kind: str) -> None:
    said = bench("key", "new", *words)
    assert said.code == 0
    assert re.fullmatch(f"{FINGERPRINT}\n", said.out)
    assert keys.read_public(bench.home / "key.pub").kind == kind
    assert fingerprint(bench.home / "key.pub") == said.out.strip()


def test_another_type_is_refused_with_those_there_are(bench: Program) -> None:
    said = bench("key", "new", "--type", "rsa")
    assert said.code == 2
    assert "'ed25519', 'ecdsa-p256'" in said.err
    assert not bench.home.exists()


# ---------------------------------------------------------------------------------- windows of trust


def test_a_window_of_trust_is_kept_shown_and_acted_on(made: Made, bench: Program) -> None:
    public = made.bench.home / "key.pub"
    words = ("key", "trust", "vendor@example.org", public)
    said = bench(*words, "--valid-after", "20200101Z", "--valid-before", "202101312359Z")
    assert said.code == 0
    shown = f"trusted  {fingerprint(public)}  vendor@example.org  "
    shown += "from 2020-01-01T00:00:00Z until 2021-01-31T23:59:00Z"
    assert shown in bench("key", "show").out.splitlines()
    assert bench("key", "show", "--json").json["trusted"] == [
        {
            "principal": "vendor@example.org",
            "fingerprint": fingerprint(public),
            "validAfter": "2020-01-01T00:00:00Z",
            "validBefore": "2021-01-31T23:59:00Z",
        }
    ]
    refused = bench("verify", made.file)
    assert refused.code == 5
    assert "expired on 2021-01-31T23:59:00Z" in one_line(refused.err)
    again = bench(*words)
    assert again.code == 2
    assert "is trusted with this key already, for another time: line 1 of " in one_line(again.err)


def test_a_key_is_trusted_within_its_window(made: Made, bench: Program) -> None:
    public = made.bench.home / "key.pub"
    assert bench("key", "trust", "vendor", public, "--valid-after", "20200101").code == 0
    assert bench("verify", made.file).code == 0
    assert re.search(r"vendor  from (2019-12-31|2020-01-01)T\S+Z$", bench("key", "show").out, re.M)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--valid-after", "2026-01-01"), '--valid-after: "2026-01-01" is no time'),
        (("--valid-before", ""), '--valid-before: "" is no time'),
        (("--valid-after", "20260102Z", "--valid-before", "20260101Z"), "is not before valid-before"),
    ],
)
def test_a_window_that_is_none_is_refused(
    made: Made, bench: Program, words: tuple[str, ...], reason: str
) -> None:
    said = bench("key", "trust", "vendor", made.bench.home / "key.pub", *words)
    assert said.code == 2
    assert reason in one_line(said.err)
    assert not bench.home.exists()


# --------------------------------------------------------------------------------------- revoked keys


@pytest.mark.parametrize("by", [lambda public: public, fingerprint], ids=["file", "fingerprint"])
def test_what_a_revoked_key_signed_is_trusted_no_more(
    made: Made, bench: Program, by: Callable[[Path], str | Path]
) -> None:
    public = made.bench.home / "key.pub"
    assert bench("key", "trust", "vendor@example.org", public).code == 0
    assert bench("verify", made.file).code == 0
    said = bench("key", "revoke", by(public))
    assert (said.code, said.err) == (0, "")
    assert said.out == f"revoked: {fingerprint(public)} of vendor@example.org\n"
    refused = bench("verify", made.file)
    assert refused.code == 5
    assert "the key of vendor@example.org was revoked here" in one_line(refused.err)
    assert bench("show", made.file).code == 5
    assert bench("key", "revoke", by(public)).out.startswith("already revoked: ")
    file = bench.home / "revoked_keys"
    assert file.read_text() == f"{keys.read_public(public).line}\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_revoked_keys_are_shown_and_no_more_among_the_trusted(made: Made, bench: Program) -> None:
    public = made.bench.home / "key.pub"
    assert bench("key", "new").code == 0
    for name in ("vendor", "maker"):
        assert bench("key", "trust", name, public).code == 0
    assert bench("key", "revoke", public).code == 0
    assert bench("key", "show").out.splitlines()[1:] == [
        f"trusted  {fingerprint(bench.home / 'key.pub')}  self",
        f"revoked  {fingerprint(public)}  vendor, maker",
    ]
    told = bench("key", "show", "--json").json
    assert told["revoked"] == [{"fingerprint": fingerprint(public), "principals": ["vendor", "maker"]}]
    assert [row["principal"] for row in told["trusted"]] == ["self"]


def test_a_key_that_nobody_trusted_can_be_revoked_by_its_file_only(made: Made, bench: Program) -> None:
    public = made.bench.home / "key.pub"
    said = bench("key", "revoke", fingerprint(public))
    assert said.code == 2
    assert f"no key of the trust store has the fingerprint {fingerprint(public)}" in one_line(said.err)
    assert not bench.home.exists()
    said = bench("key", "revoke", public)
    assert said.out == f"revoked: {fingerprint(public)}\n"
    assert bench("key", "show").out.splitlines()[1:] == [f"revoked  {fingerprint(public)}"]


def test_a_revoked_key_is_not_trusted_anew(made: Made, bench: Program) -> None:
    public = made.bench.home / "key.pub"
    assert bench("key", "revoke", public).code == 0
    said = bench("key", "trust", "vendor", public)
    assert said.code == 2
    assert "was revoked here, and is trusted under no name" in one_line(said.err)
    assert str(bench.home / "revoked_keys") in said.err
    assert not (bench.home / "allowed_signers").exists()


def test_a_run_is_not_signed_with_a_revoked_key(bench: Program) -> None:
    assert bench("key", "new").code == 0
    assert bench("key", "revoke", bench.home / "key.pub").code == 0
    said = bench("run", "--quick", "--device", "cpu", "--precision", "fp64")
    assert said.code == 2
    assert f"the key {bench.home / 'key'} was revoked here, so it signs nothing" in one_line(said.err)
    assert not list(bench.folder.rglob("*.evidence.json"))


@pytest.mark.parametrize(
    ("which", "reason"),
    [
        ("none.pub", "cannot read none.pub"),
        ("key", "holds a private key"),
        ("SHA256:short", "no key of the trust store has the fingerprint SHA256:short"),
    ],
)
def test_what_cannot_be_revoked_is_refused(made: Made, bench: Program, which: str, reason: str) -> None:
    (bench.folder / "key").write_bytes((made.bench.home / "key").read_bytes())
    said = bench("key", "revoke", which)
    assert said.code == 2
    assert reason in one_line(said.err)
    assert not bench.home.exists()


def test_revoked_keys_that_cannot_be_read_stop_every_verification(made: Made, bench: Program) -> None:
    """A file that is wrong must not be taken for one that revokes nothing."""
    public = made.bench.home / "key.pub"
    assert bench("key", "trust", "vendor", public).code == 0
    (bench.home / "revoked_keys").write_text(f"# lost\n{fingerprint(public)}\n")
    for words in (
        ("verify", made.file),
        ("sign", "-o", "x", made.file),
        ("key", "revoke", public),
        ("key", "show"),
    ):
        said = bench(*words)
        assert said.code == 2
        assert f"{bench.home / 'revoked_keys'}, line 2: expected one line beginning" in one_line(said.err)


def test_a_key_is_revoked_for_its_verifier_only(made: Made, bench: Program) -> None:
    """A revoked key is a word of the one who verifies; the file that was signed stays as it is."""
    public = made.bench.home / "key.pub"
    assert bench("key", "revoke", public).code == 0
    assert made.bench("verify", made.file).code == 0
    assert made.bench("verify", "--revoked", bench.home / "revoked_keys", made.file).code == 5
    assert keys.read_public(public) in trust.read_revoked(bench.home / "revoked_keys")
