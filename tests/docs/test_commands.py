"""What the pages say to type is typed here, in their order, with small files in place of those they name."""

import json
import re
import shlex
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import click
import pytest
from program import TOP, Made, Program, Said, environment

from bench.cli import cli
from bench.evidence import envelope, keys, statement
from bench.terms import Evidence

PAGES = (TOP / "README.md", *sorted((TOP / "docs").glob("*.md")))
TYPED_ON = [page for page in PAGES if "```console" in page.read_text("utf-8")]

# A page's command, and what is typed here instead: the same with less to measure.
TYPED_INSTEAD: Mapping[str, str] = {
    'bench challenge new --auditor "A laboratory" --vendor vendor@example.org -o challenge.json': (
        'bench challenge new --auditor "A laboratory" --vendor vendor@example.org -o challenge.json '
        "--precision fp64"
    ),
    "bench run --challenge challenge.json --case case.toml -o answer.evidence.json": (
        "bench run --challenge challenge.json --case case.toml -o answer.evidence.json --quick"
    ),
    # Smoke tests are refused with the option; what it does is for tests/cli/test_compare.py.
    "bench compare base.evidence.json new.evidence.json --fail-if-slower 5%": (
        "bench compare base.evidence.json new.evidence.json"
    ),
}

# Commands that are not run, by how they begin, with the reason. Their options exist, which is tested.
NOT_RUN: Mapping[str, str] = {
    "bench run -o base.evidence.json": "measures for three minutes; a file stands in for what it writes",
    "bench run -o new.evidence.json": "measures for three minutes; a file stands in for what it writes",
    "bench run --quick -o smoke.evidence.json": "is what made the file that stands in for it",
    "bench run --case case.toml --challenge": "is run on the auditor's page; a file stands in",
    "bench params shapes-of-1b": "counts a model of a billion parameters, which no test makes",
    "make run": "installs from a package index, and measures for three minutes",
    "torchrun": "starts ranks, which tests/cli/test_system_runs.py does",
    "bench stamp answer.evidence.json --tsa": "asks an authority over the network",
}

# The same of blocks of shell.
SHELL_NOT_RUN: Mapping[str, str] = {
    "pip wheel": "downloads from a package index",
    "python3 -m venv": "installs what the one before has downloaded",
}

_PROMPT = re.compile(r"(?P<user>auditor|vendor|)\$ (?P<text>.+)")
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
# Where a page compares, this file is another report than the rest.
LATER = ("filed/second.evidence.json", "new.evidence.json")
_CASE = 'number = "1"\n'


@dataclass(frozen=True, kw_only=True)
class Typed:
    """A command of a page: who types it, the first line that the page shows, and how it ends."""

    user: str
    text: str
    shown: str | None
    code: int


def blocks(page: Path, kind: str) -> list[str]:
    return [body for name, body in _BLOCK.findall(page.read_text("utf-8")) if name == kind]


def typed_on(page: Path) -> Iterator[Typed]:
    """The commands of a page in order; `echo $?` beneath one tells its exit code."""
    lines = [line for block in blocks(page, "console") for line in (*block.splitlines(), "$ true")]
    found = [(match, number) for number, line in enumerate(lines) if (match := _PROMPT.fullmatch(line))]
    for match, number in found:
        if match["text"] in ("true", "echo $?"):
            continue
        rest = lines[number + 1 :]
        output = rest[0] if not _PROMPT.fullmatch(rest[0]) and rest[0] != "[…]" else None
        after = next(n for n, line in enumerate(rest) if _PROMPT.fullmatch(line))
        code = int(rest[after + 1]) if rest[after] == "$ echo $?" else 0
        yield Typed(user=match["user"], text=match["text"], shown=output, code=code)


def shape(line: str) -> str:
    """The line's first word; of one with a digit, which is a run's own number or name, only that."""
    first = line.split()[0] if line.strip() else ""
    return "a number" if re.search("[0-9]", first) else first


def is_not_run(text: str) -> bool:
    return text.startswith(tuple(NOT_RUN))


# --------------------------------------------------------------------------------------- the desk


def write_model(folder: Path) -> None:
    """A model of one tensor, 256 x 256 in fp32, as safetensors lays it out."""
    folder.mkdir()
    header = {"embed.weight": {"dtype": "F32", "shape": [256, 256], "data_offsets": [0, 4 * 65536]}}
    head = json.dumps(header).encode()
    content = b"".join(struct.pack("<f", (number * 0.6180339887) % 1 - 0.5) for number in range(65536))
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + content)


@dataclass(frozen=True, kw_only=True)
class Desk:
    """Three users in one folder: a reader alone, and an auditor and a vendor who know each other."""

    users: Mapping[str, Program]
    nobody: Callable[[], Program]

    def __call__(self, typed: Typed) -> Said:
        # Whoever makes the machine's key has none yet.
        user = self.nobody() if typed.text == "bench key new" else self.users[typed.user]
        program, *words = shlex.split(TYPED_INSTEAD.get(typed.text, typed.text))
        assert program == "bench", typed.text
        return user(*words)


def stand_in(page: Path, desk: Desk, made: Made) -> None:
    """What a page takes for granted: files that none of its commands makes, keys that nobody hands over."""
    texts = [typed.text for typed in typed_on(page)]
    folder, auditor, vendor = desk.users[""].folder, desk.users["auditor"], desk.users["vendor"]
    written = {word for text in texts if not is_not_run(text) for word in re.findall(r"-o (\S+)", text)}
    named = {word for text in texts for word in shlex.split(text) if word.endswith(".evidence.json")}
    for word in named - written:
        (folder / word).parent.mkdir(parents=True, exist_ok=True)
        (folder / word).write_bytes(later(made) if word in LATER else made.file.read_bytes())
    (folder / "results").mkdir(exist_ok=True)
    (folder / "case.toml").write_text(_CASE, "utf-8")
    write_model(folder / "model")
    if "model.evidence.json" in named - written:
        assert vendor("params", "model", "-o", "counted.evidence.json").code == 0
        (folder / "counted.evidence.json").replace(folder / "model.evidence.json")
    if not any("key trust --auditor" in text for text in texts):
        assert vendor("key", "trust", "--auditor", "auditor@lab.example", "auditor-key.pub").code == 0
    if not any("key trust vendor@" in text for text in texts):
        assert auditor("key", "trust", "vendor@example.org", "vendor-key.pub").code == 0
    if not any("challenge new" in text for text in texts):
        asked = ("--precision", "fp64", "--vendor", "vendor@example.org", "-o", "challenge.json")
        assert auditor("challenge", "new", *asked).code == 0


def later(made: Made) -> bytes:
    """The same run as another report: made a year ago, by its word, and signed by the same user."""
    evidence = statement.parse(made.payload)
    assert isinstance(evidence, Evidence)
    payload = statement.build(replace(evidence, created="2026-01-02T03:04:05Z"))
    return envelope.to_json(
        envelope.sign(payload, envelope.PAYLOAD_TYPE, [keys.load(made.bench.home / "key")])
    )


@pytest.fixture
def desk(made: Made, tmp_path: Path) -> Desk:
    folder = tmp_path / "desk"
    folder.mkdir()
    users = {name: Program(home=tmp_path / f"home-{name}", folder=folder) for name in ("auditor", "vendor")}
    auditor = users["auditor"]
    for name, user in users.items():
        assert user("key", "new").code == 0
        shutil.copyfile(user.home / "key.pub", folder / f"{name}-key.pub")
    # README hands the auditor's key over under its own name.
    shutil.copyfile(auditor.home / "key.pub", folder / "key.pub")
    # The reader is who ran `made`, which stands in for what others have, too.
    for user in users.values():
        assert user("key", "trust", "reader@example.org", made.bench.home / "key.pub").code == 0
    shutil.copytree(made.bench.home, tmp_path / "home-reader")
    reader = Program(home=tmp_path / "home-reader", folder=folder)
    numbers = iter(range(100))
    return Desk(
        users={"": reader, **users},
        nobody=lambda: Program(home=tmp_path / f"nobody-{next(numbers)}", folder=folder),
    )


# --------------------------------------------------------------------------------------- commands


@pytest.mark.parametrize("page", TYPED_ON, ids=lambda page: str(page.relative_to(TOP)))
def test_every_command_of_the_page_ends_as_it_says(page: Path, desk: Desk, made: Made) -> None:
    stand_in(page, desk, made)
    for typed in typed_on(page):
        if is_not_run(typed.text):
            continue
        said = desk(typed)
        assert said.code == typed.code, (typed.text, said.err)
        if typed.shown is not None:
            first = [(stream.splitlines() or [""])[0] for stream in (said.out, said.err)]
            assert shape(typed.shown) in map(shape, first), (typed.text, first)


def test_a_shape_is_what_no_run_changes() -> None:
    assert shape("Report eb89edc79cb9 · 2026-11-21T07:43:09Z") == "Report"
    assert shape("1  report 7beed6273c2d") == shape("2  report") != shape("report")


def test_what_is_typed_instead_or_not_at_all_stands_on_some_page() -> None:
    texts = [typed.text for page in TYPED_ON for typed in typed_on(page)]
    assert {*TYPED_INSTEAD} <= {*texts}
    assert all(any(text.startswith(begin) for text in texts) for begin in NOT_RUN)
    shell = [block for page in PAGES for block in blocks(page, "sh")]
    assert all(any(block.startswith(begin) for block in shell) for begin in SHELL_NOT_RUN)


def test_the_shell_and_python_of_the_format_page_check_a_real_file(
    needs_program: Callable[[str, str], str], made: Made, tmp_path: Path
) -> None:
    for program, package in (("jq", "jq"), ("openssl", "openssl"), ("bash", "bash")):
        needs_program(program, package)
    page = TOP / "docs" / "evidence-format.md"
    shutil.copyfile(made.file, tmp_path / "run.evidence.json")
    shutil.copyfile(made.bench.home / "key.pub", tmp_path / "vendor-key.pub")

    def run(*words: str) -> list[str]:
        done = subprocess.run(
            words, cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout.splitlines()

    signature, subjects = blocks(page, "sh")
    assert run("bash", "-euo", "pipefail", "-c", signature)[-1] == "Signature Verified Successfully"
    computed, written = run("bash", "-euo", "pipefail", "-c", subjects)
    assert computed.split()[0] == written
    (schema,) = blocks(page, "python")
    assert run(sys.executable, "-W", "ignore::ResourceWarning", "-c", schema) == []
    # A byte of the payload changed: OpenSSL refuses it.
    message = bytearray((tmp_path / "message").read_bytes())
    message[-2] ^= 1
    (tmp_path / "message").write_bytes(message)
    words = shlex.split(signature.splitlines()[-1])
    assert subprocess.run(words, cwd=tmp_path, capture_output=True, check=False).returncode == 1


def test_other_blocks_of_shell_are_listed_with_their_reason() -> None:
    for page in PAGES:
        if page.name == "evidence-format.md":
            continue
        for block in blocks(page, "sh"):
            assert block.startswith(tuple(SHELL_NOT_RUN)), (page.name, block)


# ---------------------------------------------------------------------------------------- options


@cache
def options() -> Mapping[str, frozenset[str]]:
    """The options of each command, by its words."""

    def of(command: click.Command, words: str) -> Iterator[tuple[str, frozenset[str]]]:
        context = click.Context(command, info_name=words)
        own = {name for param in command.get_params(context) for name in param.opts}
        yield words, frozenset(own)
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                below = command.get_command(context, name)
                assert below is not None
                yield from of(below, f"{words} {name}")

    return dict(of(cli, "bench"))


def named_in(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TOP)))
def test_every_option_that_is_named_exists(page: Path) -> None:
    text = _BLOCK.sub("", page.read_text("utf-8"))
    named = set().union(*(named_in(code) for code in re.findall(r"`([^`\n]+)`", text)))
    assert named <= set().union(*options().values())


def test_commands_that_are_not_run_have_their_options_and_targets() -> None:
    targets = (TOP / "Makefile").read_text("utf-8")
    for page in TYPED_ON:
        for typed in typed_on(page):
            if not is_not_run(typed.text):
                continue
            # torchrun's own words come first.
            text = typed.text.partition(" -m ")[2] if typed.text.startswith("torchrun") else typed.text
            first, name, *_ = shlex.split(text)
            if first == "make":
                assert f"\n{name}:" in targets
            else:
                assert named_in(text) <= options()[f"bench {name}"]


def test_every_command_in_backticks_exists() -> None:
    for page in PAGES:
        text = _BLOCK.sub("", page.read_text("utf-8"))
        for name in re.findall(r"`bench (?:--lang zh-TW )?([a-z]+)", text):
            assert f"bench {name}" in options(), (page.name, name)


# ------------------------------------------------------------------------------------------ links


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", _BLOCK.sub("", page.read_text("utf-8")), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TOP)))
def test_what_a_page_links_to_is_there(page: Path) -> None:
    text = _BLOCK.sub("", page.read_text("utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        to = (page.parent / name).resolve() if name else page
        assert to.is_file(), target
        assert not anchor or anchor in anchors(to), target


def test_the_index_names_every_page() -> None:
    index = (TOP / "docs" / "README.md").read_text("utf-8")
    assert all(
        f"({page.name})" in index for page in PAGES if page.parent.name == "docs" and page.name != "README.md"
    )


def test_the_picture_is_small() -> None:
    assert 10_000 < (TOP / "docs" / "report.png").stat().st_size < 300_000
