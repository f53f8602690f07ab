"""A real time stamping authority: certificates and answers by `openssl`, over HTTP on this machine.

`reply` is what `openssl ts` answers. `signed` is a token over a statement of the test's own, made with
`openssl cms`, for what `openssl ts` refuses to sign or dates otherwise.
"""

import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

# As real authorities' certificates are: longer than those above them, so that the first in the token is
# not the first in DER's order.
LONG_NAME = "A time stamping authority for tests with the longest name of all"

_ALWAYS = ("20000101000000Z", "20980101000000Z")

_CONFIG = """
[ca]
default_ca = here
[here]
database = ./index
serial = ./serial
new_certs_dir = .
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
[leaf]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
[uncritical]
extendedKeyUsage = timeStamping
[two-purposes]
extendedKeyUsage = critical, timeStamping, serverAuth
[server]
extendedKeyUsage = serverAuth
[no-purpose]
basicConstraints = critical, CA:FALSE
[tsa]
serial = ./tsa-serial
default_policy = 1.2.3.4
other_policies = 1.2.3.5
digests = sha256
signer_digest = sha256
ess_cert_id_alg = sha256
tsa_name = yes
[sha1]
serial = ./tsa-serial
default_policy = 1.2.3.4
digests = sha256
signer_digest = sha1
ess_cert_id_alg = sha1
[sha512-only]
serial = ./tsa-serial
default_policy = 1.2.3.4
digests = sha512
signer_digest = sha256
"""


@dataclass(frozen=True, kw_only=True)
class Authority:
    """A root, an intermediate, and the signers that it certified, as files in a folder."""

    folder: Path
    openssl: str

    def run(self, *words: str | Path) -> str:
        done = subprocess.run([self.openssl, *words], cwd=self.folder, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    @property
    def root(self) -> Path:
        return self.folder / "root.pem"

    @property
    def intermediate(self) -> Path:
        return self.folder / "intermediate.pem"

    @property
    def chain(self) -> Path:
        both = self.folder / "chain.pem"
        both.write_bytes(self.intermediate.read_bytes() + self.root.read_bytes())
        return both

    def key(self, name: str, kind: str = "EC") -> None:
        how = "ec_paramgen_curve:P-256" if kind == "EC" else "rsa_keygen_bits:2048"
        self.run("genpkey", "-algorithm", kind, "-pkeyopt", how, "-out", f"{name}.key")

    def certify(
        self,
        name: str,
        *,
        extensions: str = "leaf",
        issuer: str | None = "intermediate",
        subject: str | None = None,
        valid: tuple[str, str] = _ALWAYS,
        serial: int | None = None,
        key: str | None = None,
    ) -> Path:
        """`name`.pem for `key`, which is made if it has no name of its own."""
        if key is None:
            # RSA, so that two certificates by the intermediate are equally long if their fields are.
            self.key(name, "RSA" if extensions == "root" else "EC")
        self.run(
            "req", "-new", "-key", f"{key or name}.key", "-subj", f"/CN={subject or name}", "-out", "csr"
        )
        (self.folder / "index").write_text("")
        number = self.folder / "serial"
        if serial is not None or not number.exists():
            number.write_text(f"{serial or 1000:08X}\n")
        signer = ["-selfsign", "-keyfile", f"{name}.key"]
        if issuer is not None:
            signer = ["-cert", f"{issuer}.pem", "-keyfile", f"{issuer}.key"]
        self.run(
            *("ca", "-batch", "-notext", "-config", "config", "-in", "csr", "-extensions", extensions),
            *("-startdate", valid[0], "-enddate", valid[1], "-out", f"{name}.pem", *signer),
        )
        return self.folder / f"{name}.pem"

    def reply(
        self, request: bytes, *, signer: str = "tsa", section: str = "tsa", chain: bool = True
    ) -> bytes:
        (self.folder / "request").write_bytes(request)
        above = ["-chain", self.chain] if chain else []
        self.run(
            *("ts", "-reply", "-config", "config", "-section", section, "-queryfile", "request"),
            *("-signer", f"{signer}.pem", "-inkey", f"{signer}.key", "-out", "reply", *above),
        )
        return (self.folder / "reply").read_bytes()

    def statement(self, reply: bytes, *, at: str | None = None) -> bytes:
        """The TSTInfo in a reply, dated otherwise if `at` (YYYYMMDDhhmmssZ) is given."""
        (self.folder / "granted").write_bytes(reply)
        self.run("ts", "-reply", "-in", "granted", "-token_out", "-out", "token")
        self.run("cms", "-verify", "-noverify", "-inform", "DER", "-in", "token", "-out", "statement")
        statement = (self.folder / "statement").read_bytes()
        if at is None:
            return statement
        dated, count = re.subn(rb"(?<=\x18\x0f)[0-9]{14}Z", at.encode(), statement)
        assert count == 1
        return dated

    def signed(
        self, statement: bytes, *, signer: str = "tsa", beside: Path | None = None, names_signer: bool = True
    ) -> bytes:
        """A granted answer with a token over `statement`, and certificates `beside` the signer's."""
        (self.folder / "statement").write_bytes(statement)
        self.run(
            *("cms", "-sign", "-binary", "-nodetach", "-nosmimecap", "-md", "sha256"),
            *("-econtent_type", "1.2.840.113549.1.9.16.1.4", "-in", "statement"),
            *("-signer", f"{signer}.pem", "-inkey", f"{signer}.key", "-certfile", beside or self.chain),
            *("-outform", "DER", "-out", "token", *(["-cades"] if names_signer else [])),
        )
        answer = bytes.fromhex("3003020100") + (self.folder / "token").read_bytes()
        return b"\x30\x82" + len(answer).to_bytes(2, "big") + answer

    def der(self, name: str) -> bytes:
        self.run("x509", "-in", f"{name}.pem", "-outform", "DER", "-out", "der")
        return (self.folder / "der").read_bytes()

    def stated(self, answer: bytes) -> str:
        """The time that `openssl` reads in an answer, as YYYY-MM-DDThh:mm:ssZ."""
        (self.folder / "granted").write_bytes(answer)
        text = self.run("ts", "-reply", "-in", "granted", "-text")
        found = re.search(r"^Time stamp: (.+) GMT$", text, re.M)
        assert found, text
        given = ["date", "-u", "-d", f"{found[1]} UTC", "+%Y-%m-%dT%H:%M:%SZ"]
        return subprocess.run(given, capture_output=True, text=True, check=True).stdout.strip()

    def accepts(self, answer: bytes, data: bytes) -> bool:
        """Whether `openssl ts -verify` takes the answer for a time stamp of `data`."""
        (self.folder / "data").write_bytes(data)
        (self.folder / "granted").write_bytes(answer)
        words = ["ts", "-verify", "-data", "data", "-in", "granted", "-CAfile", "root.pem"]
        done = subprocess.run([self.openssl, *words], cwd=self.folder, capture_output=True, check=False)
        return done.returncode == 0


def make(folder: Path, openssl: str) -> Authority:
    """An authority with a signer called tsa."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config").write_text(_CONFIG)
    (folder / "tsa-serial").write_text("01\n")
    made = Authority(folder=folder, openssl=openssl)
    made.certify("root", extensions="root", issuer=None)
    made.certify("intermediate", extensions="root", issuer="root")
    made.certify("tsa", subject=LONG_NAME)
    return made


# --------------------------------------------------------------------------------------------- over HTTP

# What a server does with a request: the handler, and the body that was posted.
Respond = Callable[[BaseHTTPRequestHandler, bytes], None]


def answering(answer: Callable[[bytes], bytes], *, status: int = 200) -> Respond:
    """Answers as an authority does, and refuses what is not asked as RFC 3161 has it."""

    def respond(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        asked = handler.command, handler.headers["Content-Type"]
        told = answer(body) if asked == ("POST", "application/timestamp-query") else b""
        handler.send_response(status if told else 400)
        handler.send_header("Content-Type", "application/timestamp-reply")
        handler.send_header("Content-Length", str(len(told)))
        handler.end_headers()
        handler.wfile.write(told)

    return respond


@contextmanager
def serving(respond: Respond) -> Iterator[str]:
    """The URL of a server on this machine for as long as the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            respond(self, self.rfile.read(int(self.headers["Content-Length"])))

        def do_GET(self) -> None:
            respond(self, b"")

        def log_message(self, format: str, *words: object) -> None:
            """Nothing on stderr."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.block_on_close = False
        server.daemon_threads = True
        # Who gave up waiting closes the connection; that is no error of the server's.
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/tsa"
        finally:
            server.shutdown()
            thread.join()
