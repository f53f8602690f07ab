import base64
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
from builders import p256_file

from bench.errors import CannotMeasure, UsageError
from bench.evidence import keys
from bench.evidence.keys import KeyType, PublicKey, SigningKey, parse_public, passphrase_source, verify

FindProgram = Callable[[str, str], str]


@pytest.fixture(autouse=True)
def _no_passphrase_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENCH_KEY_PASSPHRASE", raising=False)
    monkeypatch.delenv("BENCH_KEY_PASSPHRASE_FILE", raising=False)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_key_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "key"
    keys.new(path, None)
    assert [mode(p) for p in (path, path.parent, path.parent.parent)] == [0o600, 0o700, 0o700]
    assert path.read_bytes().startswith(b"-----BEGIN OPENSSH PRIVATE KEY-----")


def test_a_new_key_is_loaded_as_the_same_key(tmp_path: Path) -> None:
    made = keys.new(tmp_path / "key", None)
    loaded = keys.load(tmp_path / "key")
    assert loaded.public == made.public == keys.read_public(tmp_path / "key.pub")
    assert keys.verify(made.public, loaded.sign(b"message"), b"message")


def test_a_public_key_file_names_neither_user_nor_host(tmp_path: Path) -> None:
    made = keys.new(tmp_path / "key", None)
    assert (tmp_path / "key.pub").read_text() == f"{made.public.line} compute-evidence\n"


@pytest.mark.parametrize("taken", ["key", "key.pub"])
def test_a_key_is_never_overwritten(tmp_path: Path, taken: str) -> None:
    (tmp_path / taken).write_text("mine")
    with pytest.raises(UsageError, match="never overwritten"):
        keys.new(tmp_path / "key", None)
    assert [p.name for p in tmp_path.iterdir()] == [taken]
    assert (tmp_path / taken).read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_an_error_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotMeasure, match="BENCH_HOME=FOLDER"):
        keys.new(tmp_path / "file" / "key", None)


# RFC 8032, section 7.1, test 1: the public key, and what ssh-keygen -lf prints for it.
RFC_8032 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea"


def test_a_fingerprint_is_the_one_of_openssh() -> None:
    key = keys.parse_public(RFC_8032, "here")
    assert key.fingerprint == "SHA256:bbXpuKG6zhzdmnxq256TlqzFBzRl2f6OOg722cYNbU8"


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
@pytest.mark.parametrize("passphrase", ["", "correct horse"])
def test_keys_of_ssh_keygen_are_read_and_print_its_fingerprint(
    tmp_path: Path, needs_program: FindProgram, kind: str, passphrase: str
) -> None:
    program = needs_program("ssh-keygen", "openssh-client")
    path = tmp_path / "theirs"
    command = [
        program,
        "-q",
        "-t",
        kind,
        "-b",
        "256",
        "-N",
        passphrase,
        "-C",
        "someone@host",
        "-f",
        str(path),
    ]
    subprocess.run(command, check=True)
    listed = subprocess.run(
        [program, "-lf", f"{path}.pub"], check=True, capture_output=True, text=True
    ).stdout
    key = keys.load(path, lambda: passphrase.encode() or None)
    assert key.fingerprint == listed.split()[1]
    assert keys.verify(keys.read_public(Path(f"{path}.pub")), key.sign(b"m"), b"m")


@pytest.mark.parametrize("key_type", get_args(KeyType))
@pytest.mark.parametrize("passphrase", [None, b"correct horse"])
def test_ssh_keygen_reads_our_keys(
    tmp_path: Path, needs_program: FindProgram, passphrase: bytes | None, key_type: KeyType
) -> None:
    program = needs_program("ssh-keygen", "openssh-client")
    key = keys.new(tmp_path / "key", passphrase, key_type)
    command = [program, "-y", "-P", (passphrase or b"").decode(), "-f", str(tmp_path / "key")]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert printed.split()[:2] == key.public.line.split()


def test_a_key_is_made_of_the_type_asked_for_and_ed25519_by_default(tmp_path: Path) -> None:
    made = {
        "default": keys.new(tmp_path / "default", None),
        **{name: keys.new(tmp_path / name, b"secret", name) for name in get_args(KeyType)},
    }
    kinds = {name: key.public.kind for name, key in made.items()}
    assert kinds == {
        "default": "ssh-ed25519",
        "ed25519": "ssh-ed25519",
        "ecdsa-p256": "ecdsa-sha2-nistp256",
    }
    for name in get_args(KeyType):
        assert b"BEGIN OPENSSH PRIVATE KEY" in (tmp_path / name).read_bytes()
        assert mode(tmp_path / name) == 0o600
        assert keys.load(tmp_path / name, lambda: b"secret").public == made[name].public
        with pytest.raises(UsageError, match="does not open"):
            keys.load(tmp_path / name, lambda: b"Secret")


GENPKEY = {
    "ed25519": ["-algorithm", "ed25519"],
    "p256": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "p384": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
    "secp256k1": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"],
    "ed448": ["-algorithm", "ed448"],
    "x25519": ["-algorithm", "x25519"],
    "rsa": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
}


def of_openssl(openssl: str, folder: Path, kind: str, passphrase: str) -> Path:
    """A PKCS#8 file that openssl wrote, encrypted with AES-256 if there is a passphrase."""
    closed = ["-aes256", "-pass", f"pass:{passphrase}"] if passphrase else []
    path = folder / "theirs"
    command = [openssl, "genpkey", *GENPKEY[kind], *closed, "-out", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("kind", ["ed25519", "p256"])
@pytest.mark.parametrize("passphrase", ["", "correct horse"])
def test_pkcs8_keys_of_openssl_are_read_as_openssl_reads_them(
    tmp_path: Path, needs_program: FindProgram, kind: str, passphrase: str
) -> None:
    openssl = needs_program("openssl", "openssl")
    path = of_openssl(openssl, tmp_path, kind, passphrase)
    assert (b"ENCRYPTED PRIVATE KEY" in path.read_bytes()) == bool(passphrase)
    command = [openssl, "pkey", "-in", str(path), "-passin", f"pass:{passphrase}", "-pubout"]
    der = subprocess.run([*command, "-outform", "DER"], check=True, capture_output=True).stdout
    key = keys.load(path, lambda: passphrase.encode() or None)
    # Both encodings end with the public point itself.
    point = {"ed25519": 32, "p256": 65}[kind]
    assert key.public.blob[-point:] == der[-point:]
    assert keys.verify(key.public, key.sign(b"m"), b"m")


@pytest.mark.parametrize("kind", ["p384", "secp256k1", "ed448", "x25519", "rsa"])
@pytest.mark.parametrize("passphrase", ["", "correct horse"])
def test_keys_of_other_kinds_are_refused_in_a_line(
    tmp_path: Path, needs_program: FindProgram, kind: str, passphrase: str
) -> None:
    path = of_openssl(needs_program("openssl", "openssl"), tmp_path, kind, passphrase)
    with pytest.raises(UsageError, match="neither Ed25519 nor ECDSA on P-256") as caught:
        keys.load(path, lambda: passphrase.encode() or None)
    assert "\n" not in str(caught.value)


def test_pkcs8_keys_are_read(p256_key: SigningKey) -> None:
    assert p256_key.public.kind == "ecdsa-sha2-nistp256"
    assert keys.verify(p256_key.public, p256_key.sign(b"m"), b"m")


@pytest.mark.parametrize("kind", ["key", "p256_key"])
def test_a_signature_fits_its_message_and_key_only(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    key: SigningKey = request.getfixturevalue(kind)
    other = keys.new(tmp_path / "other", None)
    signature = key.sign(b"message")
    assert keys.verify(key.public, signature, b"message")
    assert not keys.verify(key.public, signature, b"messagf")
    assert not keys.verify(other.public, signature, b"message")
    assert not keys.verify(key.public, signature[:-1], b"message")
    assert not keys.verify(key.public, b"", b"message")


# ------------------------------------------------------------------------------------ passphrases


def encrypted(tmp_path: Path) -> Path:
    keys.new(tmp_path / "key", b"correct horse")
    return tmp_path / "key"


def test_the_passphrase_comes_from_a_file_before_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = encrypted(tmp_path)
    monkeypatch.setenv("BENCH_KEY_PASSPHRASE", "wrong")
    (tmp_path / "passphrase").write_text("correct horse\n")
    monkeypatch.setenv("BENCH_KEY_PASSPHRASE_FILE", str(tmp_path / "passphrase"))
    assert keys.load(path).public == keys.read_public(tmp_path / "key.pub")


def test_the_passphrase_comes_from_the_variable_before_the_prompt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_KEY_PASSPHRASE", "correct horse")
    path = encrypted(tmp_path)
    loaded = keys.load(path, passphrase_source(lambda: pytest.fail("asked")))
    assert loaded.public == keys.read_public(path.with_name(path.name + ".pub"))


def test_the_prompt_is_asked_only_for_an_encrypted_key(tmp_path: Path) -> None:
    plain = keys.new(tmp_path / "plain", None)
    loaded = keys.load(tmp_path / "plain", passphrase_source(lambda: pytest.fail("asked")))
    assert loaded.public == plain.public
    keys.load(encrypted(tmp_path), passphrase_source(lambda: "correct horse"))


@pytest.mark.parametrize(
    ("answer", "message"), [(None, "BENCH_KEY_PASSPHRASE_FILE=FILE"), (b"no", "does not open")]
)
def test_a_key_that_stays_closed_is_an_error_with_the_way_out(
    tmp_path: Path, answer: bytes | None, message: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        keys.load(encrypted(tmp_path), lambda: answer)
    assert "\n" not in str(caught.value)


def test_an_encrypted_pkcs8_key_is_read(tmp_path: Path, needs_program: FindProgram) -> None:
    openssl = needs_program("openssl", "openssl")
    p256_file(tmp_path / "plain")
    command = [openssl, "pkcs8", "-topk8", "-in", "plain", "-out", "closed", "-passout", "pass:correct horse"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "closed").chmod(0o600)
    assert (
        keys.load(tmp_path / "closed", lambda: b"correct horse").public
        == keys.load(tmp_path / "plain").public
    )
    with pytest.raises(UsageError, match="does not open"):
        keys.load(tmp_path / "closed", lambda: b"no")


def test_an_empty_passphrase_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "passphrase").write_text("\n")
    monkeypatch.setenv("BENCH_KEY_PASSPHRASE_FILE", str(tmp_path / "passphrase"))
    with pytest.raises(UsageError, match="is empty"):
        keys.environment_passphrase()


# --------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o660, 0o644])
def test_a_key_that_others_can_read_is_refused_with_the_chmod(tmp_path: Path, bits: int) -> None:
    keys.new(tmp_path / "key", None)
    (tmp_path / "key").chmod(bits)
    with pytest.raises(UsageError, match=f"chmod 600 {tmp_path / 'key'}"):
        keys.load(tmp_path / "key")


def test_a_missing_key_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="bench key new"):
        keys.load(tmp_path / "none")


def rsa(path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    private = rsa.generate_private_key(65537, 2048)
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def p384(path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    private = ec.generate_private_key(ec.SECP384R1())
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))


def garbage(path: Path) -> None:
    path.write_bytes(b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n")


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (rsa, "neither Ed25519 nor ECDSA on P-256"),
        (p384, "neither Ed25519 nor ECDSA on P-256"),
        (garbage, "no private key in OpenSSH or PKCS#8"),
        (empty, "no private key in OpenSSH or PKCS#8"),
        (Path.mkdir, "cannot be used|cannot read"),
    ],
)
def test_other_keys_and_other_files_are_refused(
    tmp_path: Path, write: Callable[[Path], None], message: str
) -> None:
    write(tmp_path / "key")
    (tmp_path / "key").chmod(0o700 if (tmp_path / "key").is_dir() else 0o600)
    with pytest.raises(UsageError, match=message) as caught:
        keys.load(tmp_path / "key")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ssh-rsa AAAA",
        "ssh-ed25519",
        "ssh-ed25519 !!!",
        RFC_8032.replace("ssh-ed25519", "ecdsa-sha2-nistp256"),
        RFC_8032[:-8],
        f"{RFC_8032}\n{RFC_8032}",
    ],
)
def test_a_public_key_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "key.pub").write_text(text)
    with pytest.raises(UsageError, match=r"key\.pub"):
        keys.read_public(tmp_path / "key.pub")


def test_a_private_key_given_for_a_public_one_is_refused(tmp_path: Path) -> None:
    keys.new(tmp_path / "key", None)
    with pytest.raises(UsageError, match=r"Use .*key\.pub"):
        keys.read_public(tmp_path / "key")


def test_a_signing_key_does_not_print_its_secret(key: SigningKey) -> None:
    assert "Private" not in repr(key)


# ----------------------------------------------------------------------------------------- places


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"BENCH_HOME": "/b", "XDG_CONFIG_HOME": "/x"}, "/b"),
        ({"XDG_CONFIG_HOME": "/x"}, "/x/compute-evidence"),
        ({"XDG_CONFIG_HOME": "relative"}, "/h/.config/compute-evidence"),
        ({}, "/h/.config/compute-evidence"),
    ],
)
def test_home_follows_the_variables(
    variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("BENCH_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/h", **variables}.items():
        monkeypatch.setenv(name, value)
    assert keys.home() == Path(expected)
    assert keys.key_path() == Path(expected) / "key"
    assert keys.trust_path() == Path(expected) / "allowed_signers"
    assert keys.revoked_path() == Path(expected) / "revoked_keys"


def test_importing_the_room_loads_no_heavy_library() -> None:
    program = (
        "import sys; from bench.evidence import codec, envelope, keys, schema, statement, store, trust; "
        "print(sorted({m.partition('.')[0] for m in sys.modules} & "
        "{'torch', 'onnxruntime', 'matplotlib', 'numpy', 'jsonschema', 'cryptography', 'bcrypt'}))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(keys.__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, env=environment
    )
    assert done.stdout == "[]\n"


# ------------------------------------------------------------------------- keys that nobody holds

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P

Point = tuple[int, int]


def added(a: Point, b: Point) -> Point:
    """The sum of two points of edwards25519 (RFC 8032, section 5.1.4, in affine coordinates)."""
    product = D * a[0] * b[0] * a[1] * b[1] % P
    x = (a[0] * b[1] + b[0] * a[1]) * pow(1 + product, -1, P) % P
    return x, (a[1] * b[1] + a[0] * b[0]) * pow(1 - product, -1, P) % P


def points_at(y: int) -> list[Point]:
    """The points with this y (RFC 8032, section 5.1.3)."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    return [(x, y), (P - x, y)] if x * x % P == square else []


def spelled_ed25519(number: int) -> str:
    point = number.to_bytes(32, "little")
    blob = b"\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20" + point
    return f"ssh-ed25519 {base64.b64encode(blob).decode()}"


def test_the_points_refused_are_those_whose_eightfold_is_the_neutral_one() -> None:
    points = {(x % P, y) for y in keys._SMALL_ORDER for x, y in points_at(y)}
    assert len(points) == 8
    for point in points:
        eightfold = point
        for _ in range(3):
            eightfold = added(eightfold, eightfold)
        assert eightfold == (0, 1)


@pytest.mark.parametrize("y", [*sorted(keys._SMALL_ORDER), P, P + 1], ids=hex)
@pytest.mark.parametrize("sign", [0, 1 << 255])
def test_a_key_under_which_one_signature_fits_every_message_is_refused(y: int, sign: int) -> None:
    """Whether OpenSSL would take it or not, in either sign and also where y is spelled beyond the field."""
    with pytest.raises(UsageError, match=r"a signature by it fits every message|not a ssh-ed25519 key"):
        parse_public(spelled_ed25519(y | sign), "here")


def test_without_the_refusal_such_a_signature_would_be_accepted() -> None:
    """R and the key are the neutral point, s is zero: s B = R + h A whatever the message."""
    neutral = (1).to_bytes(32, "little")
    blob = b"\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20" + neutral
    forged = PublicKey(kind="ssh-ed25519", blob=blob)
    assert verify(forged, neutral + bytes(32), b"any message")
    assert verify(forged, neutral + bytes(32), b"any other")
