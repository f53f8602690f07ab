"""The program as its users start it: `python -m bench` in a process of its own, with its own keys."""

import base64
import json
import os
import re
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parent.parent

# Nothing of the caller's may decide a test: neither keys and passphrases nor the terminal's size.
_NOT_PASSED_ON = ("BENCH_", "COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "PYTHONPATH", "XDG_")


def environment(home: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_PASSED_ON)}
    return {**kept, "BENCH_HOME": str(home), "BENCH_LANG": "en", **more}


@dataclass(frozen=True, kw_only=True)
class Said:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True, kw_only=True)
class Program:
    """`bench` for one user: keys in `home`, started in `folder`."""

    home: Path
    folder: Path

    def __call__(
        self,
        *words: str | Path,
        env: Mapping[str, str] | None = None,
        launcher: Sequence[str | Path] = (sys.executable, "-m", "bench"),
    ) -> Said:
        done = subprocess.run(
            [*launcher, *words],
            cwd=self.folder,
            env=environment(self.home, **(env or {})),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=120,
            check=False,
        )
        return Said(code=done.returncode, out=done.stdout.decode(), err=done.stderr.decode())

    def start(self, *words: str | Path) -> subprocess.Popen[str]:
        """Running, with its stderr to be read line by line."""
        return subprocess.Popen(
            [sys.executable, "-m", "bench", *words],
            cwd=self.folder,
            env=environment(self.home),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def torchrun(*words: str) -> tuple[str, ...]:
    """What starts `bench` in several ranks: torchrun, as its users type it, with a port of its own."""
    return (
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--master-port",
        str(free_port()),
        *words,
        "-m",
        "bench",
    )


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@dataclass(frozen=True, kw_only=True)
class Made:
    """Evidence that a real run made, the user who made it, and what the run said."""

    file: Path
    bench: Program
    said: Said

    @property
    def payload(self) -> bytes:
        return base64.b64decode(json.loads(self.file.read_bytes())["payload"])


@dataclass(frozen=True, kw_only=True)
class Answered:
    """A report that a vendor's real run made under an auditor's challenge; each trusts the other's key."""

    made: Made
    challenge: Path
    auditor: Program

    @property
    def vendor(self) -> Program:
        return self.made.bench


@dataclass(frozen=True, kw_only=True)
class Counted:
    """A count of a model's parameters that a real `bench params` made, and the model's folder."""

    made: Made
    model: Path


# What write_model writes: an embedding, two layers of two matrices each, and a norm.
MODEL_PARAMETERS = 1000 * 256 + 2 * (256 * 1024 + 1024 * 256) + 256


def write_model(folder: Path) -> None:
    """A small model of random weights as it is published: two shards with their index, config and card."""
    import numpy as np
    from safetensors.numpy import save_file

    rng = np.random.default_rng(8)
    shapes = {"model.embed_tokens.weight": (1000, 256), "model.norm.weight": (256,)}
    for layer in range(2):
        shapes[f"model.layers.{layer}.mlp.up_proj.weight"] = (1024, 256)
        shapes[f"model.layers.{layer}.mlp.down_proj.weight"] = (256, 1024)
    folder.mkdir()
    index = {}
    for number, names in enumerate((sorted(shapes)[:3], sorted(shapes)[3:]), start=1):
        shard = f"model-0000{number}-of-00002.safetensors"
        tensors = {name: rng.standard_normal(shapes[name]).astype(np.float16) for name in names}
        save_file(tensors, folder / shard, metadata={"format": "np"})
        index |= dict.fromkeys(names, shard)
    total = {"total_size": 2 * MODEL_PARAMETERS}
    listed = {"metadata": total, "weight_map": index}
    (folder / "model.safetensors.index.json").write_text(json.dumps(listed))
    (folder / "config.json").write_text('{"architectures": ["TestForCausalLM"], "torch_dtype": "float16"}')
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\nA test model.\n")


def acquainted(folder: Path) -> tuple[Program, Program]:
    """An auditor and a vendor who have handed over their keys."""
    auditor = Program(home=folder / "auditor", folder=folder)
    vendor = Program(home=folder / "vendor", folder=folder)
    for user in (auditor, vendor):
        assert user("key", "new").code == 0
    assert auditor("key", "trust", "vendor@example.org", vendor.home / "key.pub").code == 0
    assert vendor("key", "trust", "--auditor", "auditor@example.org", auditor.home / "key.pub").code == 0
    return auditor, vendor


def one_line(err: str) -> str:
    """The only line of stderr: an error that is told in one sentence and no traceback."""
    assert re.fullmatch(r"bench: [^\n]+\n", err), err
    assert "Traceback" not in err
    assert "defect of bench" not in err
    return err


def is_gone(pid: int) -> bool:
    """Dead within ten seconds: whoever has inherited it may reap it later."""
    status = Path(f"/proc/{pid}/stat")
    for _ in range(1000):
        try:
            if status.read_text().rpartition(")")[2].split()[0] in "ZX":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.01)
    return False


_IMPORTS = (sys.executable, "-c", "import click, numpy, cryptography.hazmat.primitives.serialization")


def in_imports(act: Callable[[], Said]) -> float:
    """Processor time of a command, in times of what importing its libraries takes, in turn with it.

    The least of a few tries of each: others use the machine too, and slow what runs beside them.
    """
    acts, imports = [], []
    for _ in range(6):
        imports.append(processor_time(lambda: subprocess.run(_IMPORTS, check=True)))
        acts.append(processor_time(act))
    return min(acts) / min(imports)


def processor_time(act: Callable[[], object]) -> float:
    """What the processes that `act` starts and waits for take, in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    act()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)
