"""`bench stamp`: a real authority on this machine is asked over HTTP, or by files that are carried."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import time_authority
from program import Program, Said, one_line
from time_authority import Authority, Respond, answering, serving

from bench.evidence import envelope, keys
from bench.evidence.envelope import PAYLOAD_TYPE

FindProgram = Callable[[str, str], str]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory, needs_program: FindProgram) -> Authority:
    return time_authority.make(tmp_path_factory.mktemp("authority"), needs_program("openssl", "openssl"))


@dataclass(frozen=True, kw_only=True)
class User:
    """Someone with a signed file; `bench stamp` asks for it to be stamped."""

    bench: Program
    file: Path

    @property
    def token(self) -> Path:
        return self.file.with_name("run.evidence.json.tsr")

    @property
    def signature(self) -> bytes:
        return envelope.parse(self.file.read_bytes()).signatures[0].sig

    @property
    def roots(self) -> Path:
        return self.bench.home / "tsa_roots.pem"

    def pin(self, authority: Authority) -> None:
        self.roots.write_bytes(authority.root.read_bytes())

    def stamp(self, *words: str | Path) -> Said:
        return self.bench("stamp", self.file.name, *words, env={"no_proxy": "127.0.0.1"})


@pytest.fixture
def user(bench: Program) -> User:
    key = keys.new(bench.home / "key", None)
    file = bench.folder / "run.evidence.json"
    file.write_bytes(envelope.to_json(envelope.sign(b"{}", PAYLOAD_TYPE, [key])))
    return User(bench=bench, file=file)


@pytest.fixture
def url(authority: Authority) -> Iterator[str]:
    with serving(answering(authority.reply)) as url:
        yield url


def test_the_answer_lies_beside_the_file_and_its_time_is_told(
    user: User, authority: Authority, url: str
) -> None:
    user.pin(authority)
    said = user.stamp("--tsa", url)
    assert (said.code, said.err) == (0, "")
    answer = user.token.read_bytes()
    assert said.out.splitlines() == [
        "stamp      run.evidence.json.tsr",
        f"time       {authority.stated(answer)}",
        f"authority  {time_authority.LONG_NAME}",
        f"checked    against the roots in {user.roots}",
    ]
    assert authority.accepts(answer, user.signature)


def test_without_pinned_roots_it_says_that_nothing_was_checked(user: User, url: str) -> None:
    said = user.stamp("--tsa", url)
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines()[-1] == f"checked    no: no root is pinned in {user.roots}"
    assert user.token.exists()


def test_what_is_stamped_is_not_stamped_over(user: User, authority: Authority, url: str) -> None:
    user.pin(authority)
    assert user.stamp("--tsa", url).code == 0
    before = user.token.read_bytes()
    # Nobody is asked for what would not be kept.
    again = user.stamp("--tsa", "http://127.0.0.1:9/")
    assert again.code == 2
    assert "run.evidence.json.tsr is there already, and never overwritten" in one_line(again.err)
    assert user.token.read_bytes() == before
    # Moved away, the same command gets another: that is all there is to stamping days later.
    user.token.unlink()
    assert user.stamp("--tsa", url).code == 0


def test_a_file_that_an_auditor_signed_since_is_stamped_for_its_first_signature(
    user: User, authority: Authority, url: str
) -> None:
    first = envelope.parse(user.file.read_bytes())
    auditor = keys.new(user.bench.home / "auditor", None)
    added = envelope.sign(first.payload, PAYLOAD_TYPE, [auditor]).signatures
    user.file.write_bytes(envelope.to_json(replace(first, signatures=first.signatures + added)))
    assert user.stamp("--tsa", url).code == 0
    assert authority.accepts(user.token.read_bytes(), first.signatures[0].sig)


# ------------------------------------------------------------------------------------ without a network


def test_a_request_is_carried_to_an_authority_and_its_answer_back(user: User, authority: Authority) -> None:
    user.pin(authority)
    asked = user.stamp("--request", "run.tsq")
    assert asked.code == 0
    assert asked.out == "request    run.tsq\n"
    assert asked.err.endswith("type then: bench stamp run.evidence.json --response ANSWER.tsr\n")
    assert not user.token.exists()
    answer = authority.reply((user.bench.folder / "run.tsq").read_bytes())
    (user.bench.folder / "answer.tsr").write_bytes(answer)
    said = user.stamp("--response", "answer.tsr")
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines()[1] == f"time       {authority.stated(answer)}"
    assert user.token.read_bytes() == answer


def test_a_request_overwrites_nothing(user: User) -> None:
    before = user.file.read_bytes()
    said = user.stamp("--request", user.file)
    assert said.code == 2
    assert "never overwritten" in one_line(said.err)
    assert user.file.read_bytes() == before


def test_an_answer_to_something_else_is_not_put_beside_the_file(user: User, authority: Authority) -> None:
    other = user.bench.folder / "other.evidence.json"
    key = keys.load(user.bench.home / "key")
    other.write_bytes(envelope.to_json(envelope.sign(b"[]", PAYLOAD_TYPE, [key])))
    assert user.bench("stamp", other, "--request", "other.tsq").code == 0
    answer = authority.reply((user.bench.folder / "other.tsq").read_bytes())
    (user.bench.folder / "answer.tsr").write_bytes(answer)
    said = user.stamp("--response", "answer.tsr")
    assert said.code == 3
    assert "is not kept: it is for something else" in one_line(said.err)
    assert not user.token.exists()


# ----------------------------------------------------------------------------------- what is not stamped


def refusing(user: User, respond: Respond) -> str:
    """What is said when a server answers so: one line, exit code 3, and nothing is written."""
    with serving(respond) as url:
        said = user.stamp("--tsa", url)
    assert said.code == 3
    assert said.out == ""
    assert {path.name for path in user.bench.folder.iterdir()} == {user.file.name}
    return one_line(said.err)


def test_a_refusal_is_told_in_the_authoritys_words(user: User, authority: Authority) -> None:
    said = refusing(user, answering(lambda body: authority.reply(body, section="sha512-only")))
    assert 'did not grant it (rejection), and says "Message digest algorithm is not supported."' in said


def test_an_answer_to_an_earlier_request_is_refused(user: User, authority: Authority) -> None:
    assert user.stamp("--request", "earlier.tsq").code == 0
    earlier = user.bench.folder / "earlier.tsq"
    answer = authority.reply(earlier.read_bytes())
    earlier.unlink()
    assert "it answers another request" in refusing(user, answering(lambda _: answer))


def test_another_authority_than_the_pinned_one_is_refused(
    user: User, authority: Authority, tmp_path: Path
) -> None:
    user.pin(authority)
    other = time_authority.make(tmp_path / "other", authority.openssl)
    assert "does not lead to a pinned root" in refusing(user, answering(other.reply))


def test_a_page_in_place_of_an_answer_is_refused(user: User) -> None:
    page = b"<html>Please log in</html>"
    assert "it cannot be read as one" in refusing(user, answering(lambda _: page))


def test_an_error_of_the_server_is_told(user: User) -> None:
    assert "HTTP 500" in refusing(user, answering(lambda _: b"sorry", status=500))


def test_that_nobody_answers_is_told_with_the_way_without_a_network(user: User) -> None:
    with serving(answering(lambda _: b"")) as url:
        gone = url
    said = user.stamp("--tsa", gone)
    assert said.code == 3
    assert "connection refused. Type the same command later" in one_line(said.err)


@pytest.mark.parametrize("words", [(), ("--tsa", "http://127.0.0.1:9/", "--request", "a.tsq")])
def test_one_way_to_ask_is_typed(user: User, words: tuple[str, ...]) -> None:
    said = user.stamp(*words)
    assert said.code == 2
    assert "type one of --tsa URL, --request FILE and --response FILE" in said.err


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--tsa", "timestamp.example.org"), "is no address of an authority"),
        (("--response", "missing.tsr"), "cannot read missing.tsr"),
    ],
)
def test_what_cannot_be_asked_is_a_usage_error(user: User, words: tuple[str, ...], reason: str) -> None:
    said = user.stamp(*words)
    assert said.code == 2
    assert reason in one_line(said.err)


def test_what_is_no_envelope_is_not_stamped(user: User, url: str) -> None:
    user.file.write_bytes(user.file.read_bytes().replace(b"payloadType", b"PayloadType"))
    said = user.stamp("--tsa", url)
    assert said.code == 4
    assert "not an envelope" in one_line(said.err)
    assert not user.token.exists()


def test_a_folder_that_cannot_be_written_is_told(user: User, url: str) -> None:
    # What a name is too long for beside the file, it was not for the file.
    long = user.file.rename(user.file.with_name("x" * 240 + ".evidence.json"))
    said = user.bench("stamp", long.name, "--tsa", url, env={"no_proxy": "127.0.0.1"})
    assert said.code == 3
    assert "file name too long" in one_line(said.err)
