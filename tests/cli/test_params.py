"""`bench params`: a model is counted, judged and signed, and every lie about it costs one line."""

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from program import MODEL_PARAMETERS, TOP, Counted, Program, environment, one_line, write_model

from bench.terms import ModelEvidence


@pytest.fixture
def bench(bench: Program) -> Program:
    """A user with a key, so that the line of its making stands in no answer."""
    assert bench("key", "new").code == 0
    return bench


# ------------------------------------------------------------------------------------ what it prints


def test_a_published_folder_is_counted_judged_and_signed(counted: Counted) -> None:
    out = counted.made.said.out
    assert f"{MODEL_PARAMETERS:,} parameters (1.3 million)" in out
    assert "of these 256,000 are embeddings" in out
    assert "safetensors, 2 file(s)" in out
    assert "claimed   params=1M: borne out (500,000 to 1.5 million are so named)" in out
    assert "architecture TestForCausalLM" in out
    assert "license apache-2.0" in out
    assert "content-generation             uses a model of ≥ 1 billion" in out
    assert "內容生成系統「使用10億(1B)以上參數之AI大語言模型" in out
    assert "10 blocks of up to 4096 bytes in 5 tensors were looked at" in out
    assert "consultation 2024; check the regulation in force" in out
    assert "Findings" not in out


def test_json_on_stdout_says_the_same(bench: Program, counted: Counted) -> None:
    said = bench("params", counted.model, "--json", "--quiet")
    assert (said.code, said.json["count"]["low"]) == (0, MODEL_PARAMETERS)
    assert said.json["count"]["high"] == MODEL_PARAMETERS
    assert [row["answer"] for row in said.json["verdict"]["items"]] == [
        "documents-only",
        "not-met",
        "one-of-several",
        "not-met",
        "one-of-several",
    ]
    assert "language-model" in said.json["doesNotShow"]
    (file,) = (bench.folder / "results").iterdir()
    assert said.json["evidence"] == f"results/{file.name}"
    assert "-params-" in file.name


def test_a_full_digest_is_the_files_own(bench: Program, counted: Counted) -> None:
    said = bench("params", counted.model, "--digest", "full", "-o", "full.json")
    assert said.code == 0
    assert "--digest full reads all" not in said.out
    digests = subprocess.run(
        ["sha256sum", *sorted(counted.model.glob("*.safetensors"))],
        capture_output=True,
        check=True,
        text=True,
    ).stdout.split()[::2]
    for digest in digests:
        assert f"    {digest}" in said.out.splitlines()
    assert bench("verify", "full.json", "--model", counted.model).code == 0


def test_a_hosted_service_has_documents_only(bench: Program) -> None:
    said = bench("params", "--hosted", "ACME chat", "--claim", "params=3B", "-o", "hosted.json")
    assert said.code == 0
    assert "hosted    ACME chat: no files, nothing was counted" in said.out
    assert said.out.count(" documents-only") == 5
    verified = bench("verify", "hosted.json")
    assert verified.code == 0
    assert "nothing was counted; development-tool: documents-only" in verified.out


def test_a_requirement_that_is_not_met_ends_with_1(bench: Program, counted: Counted) -> None:
    said = bench("params", counted.model, "--require", "content-generation")
    assert said.code == 1
    assert "required, and not met: content-generation." in said.err
    assert bench("verify", counted.made.file, "--require", "content-generation").code != 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "give one of them: the PATH of a model, or --hosted NAME"),
        (["there-is-none"], "there-is-none"),
        (["{model}", "--hosted", "x"], "give one of them"),
        (["--hosted", "x"], "add --claim params=3B"),
        (["--hosted", "x\x1b[2J", "--claim", "params=3B"], "that can be printed"),
        (["{model}", "-o", "{model}/config.json"], "lies beside the model's files"),
        (["{model}", "-o", "{model}/evidence.safetensors"], "lies beside the model's files"),
        (["{shard}", "-o", "{shard}"], "lies beside the model's files"),
        (["{model}", "--claim", "8x7B"], "expected params=NUMBER"),
        (["{model}", "--claim", "fp32=3TFLOPS"], "expected params=NUMBER"),
        (["{model}", "--require", "edge-device"], "unknown item 'edge-device'"),
        (["{model}", "--rules", "none"], "unknown rule set 'none'"),
        (["{model}/README.md"], "README.md"),
    ],
)
def test_words_that_cannot_be_acted_on_cost_a_line(
    bench: Program, counted: Counted, words: list[str], says: str
) -> None:
    shard = sorted(counted.model.glob("*.safetensors"))[0]
    before = {path: path.read_bytes() for path in counted.model.iterdir()}
    said = bench("params", *(word.format(model=counted.model, shard=shard) for word in words))
    assert said.code == 2
    assert says in one_line(said.err)
    assert not (bench.folder / "results").exists() or not list((bench.folder / "results").iterdir())
    assert {path: path.read_bytes() for path in counted.model.iterdir()} == before


def test_an_output_that_cannot_be_written_is_told_before_anything_is_read(
    bench: Program, counted: Counted
) -> None:
    (bench.folder / "file").write_text("")
    said = bench("params", counted.model, "-o", "file/evidence.json")
    assert said.code == 3
    assert "cannot write" in one_line(said.err)


def test_a_full_disk_costs_a_line(bench: Program, counted: Counted) -> None:
    said = bench("params", counted.model, "-o", "/dev/full")
    assert said.code == 3
    assert "not a regular file" in one_line(said.err)


def test_an_interrupt_while_a_large_file_is_digested_ends_with_130(bench: Program, tmp_path: Path) -> None:
    """A sparse file of 300 GB, whose digest would take minutes."""
    path = tmp_path / "large.safetensors"
    size = 300 * 10**9
    header = json.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + size)
    running = bench.start("params", path, "--digest", "full")
    assert running.stderr is not None
    for line in running.stderr:
        if "digested" in line:
            break
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=30)
    assert running.returncode == 130
    assert "interrupted" in err
    assert "Traceback" not in err


# ------------------------------------------------------------------------------- what is done with it


def test_everything_that_is_done_with_evidence_is_done_with_a_count(
    counted: Counted, bench: Program, tmp_path: Path
) -> None:
    user, file = counted.made.bench, tmp_path / "mine.json"
    shutil.copy(counted.made.file, file)
    shown = user("show", file)
    assert shown.code == 0
    assert f"{MODEL_PARAMETERS:,} parameters" in shown.out
    assert user("show", "--json", file).json["count"]["high"] == MODEL_PARAMETERS
    # An auditor who has the files signs what verify found.
    auditor = bench
    assert auditor("key", "trust", "vendor@example.org", user.home / "key.pub").code == 0
    verdict = tmp_path / "verdict.json"
    said = auditor("sign", "--verdict", file, "--model", counted.model, "-o", verdict)
    assert said.code == 0, said.err
    assert "COMPUTE_EVIDENCE_MODEL_FILES_READ" in said.out
    assert "COMPUTE_EVIDENCE_ITEM_CONTENT_GENERATION_NOT_MET" in said.out
    assert auditor("show", verdict).code == 0
    # And adds a signature of his own.
    assert auditor("sign", file).code == 0
    assert "2 signature(s)" in auditor("verify", file).out


def test_verify_without_the_files_says_so_and_counts_again(counted: Counted) -> None:
    said = counted.made.bench("verify", counted.made.file)
    assert said.code == 0
    assert "7 model-files          its 2 file(s) were not at hand: --model PATH reads them again" in said.out
    assert "the count follows from 6 tensors of 4 kinds" in said.out


def test_verify_with_the_files_reads_them_again(counted: Counted) -> None:
    said = counted.made.bench("verify", counted.made.file, "--model", counted.model)
    assert said.code == 0
    assert "2 file(s) read again: the same bytes, and the same tensors" in said.out


def altered(counted: Counted, folder: Path) -> Path:
    """The model once more, to be changed."""
    copy = folder / "model"
    shutil.copytree(counted.model, copy)
    return copy


def test_a_changed_byte_of_a_weight_is_found_with_a_full_digest(
    counted: Counted, bench: Program, tmp_path: Path
) -> None:
    model = altered(counted, tmp_path)
    assert bench("params", model, "--digest", "full", "-o", "a.json").code == 0
    shard = sorted(model.glob("*.safetensors"))[0]
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    said = bench("verify", "a.json", "--model", model)
    assert said.code == 4
    assert "step 7: the files in" in said.err
    assert "are not the ones that were counted: another digest" in one_line(said.err)


def test_another_model_than_the_one_that_was_counted_is_found(counted: Counted, tmp_path: Path) -> None:
    model = altered(counted, tmp_path)
    (model / "config.json").write_text('{"architectures": ["Other"]}')
    said = counted.made.bench("verify", counted.made.file, "--model", model)
    assert said.code == 4
    assert "other words in configuration or header" in one_line(said.err)
    shutil.rmtree(model)
    said = counted.made.bench("verify", counted.made.file, "--model", model)
    assert said.code == 2


def test_model_and_challenge_belong_to_their_own_kind_of_evidence(
    counted: Counted, answered: object, made: object, bench: Program
) -> None:
    from program import Answered, Made

    assert isinstance(answered, Answered)
    assert isinstance(made, Made)
    said = made.bench("verify", made.file, "--model", counted.model)
    assert said.code == 2
    assert "--model is for a count" in one_line(said.err)
    auditor = answered.auditor
    key = counted.made.bench.home / "key.pub"
    assert auditor("key", "trust", "counter@example.org", key).code == 0
    said = auditor("verify", counted.made.file, "--challenge", answered.challenge)
    assert said.code == 6
    assert "a challenge is for a run" in one_line(said.err)
    assert bench("challenge", "close", counted.made.file).code != 0


def test_a_rule_set_without_items_counts_all_the_same(bench: Program, counted: Counted) -> None:
    shipped = (TOP / "profiles" / "rules" / "tw-ai-hardware-2024.toml").read_text("utf-8")
    bare = shipped[: shipped.index("[[item]]")].replace('id = "tw-ai-hardware-2024"', 'id = "bare"')
    rules = bench.folder / "bare.toml"
    rules.write_text(bare, "utf-8")
    said = bench("params", counted.model, "--rules", rules, "-o", "bare.json")
    assert said.code == 0, said.err
    assert bench("verify", "bare.json", "--rules", rules).code == 0
    said = bench("sign", "--verdict", "bare.json", "--rules", rules)
    assert said.code == 0, said.err
    assert "COMPUTE_EVIDENCE_PARAMETERS_COUNTED" in said.out


# --------------------------------------------------------------------------------------- what is a lie


def test_a_model_of_zeros_counts_for_nothing(bench: Program, tmp_path: Path) -> None:
    """Two billion parameters, all of them a hole in a sparse file."""
    rows, columns = 2_000, 1_000_000
    entry = {"dtype": "F16", "shape": [rows, columns], "data_offsets": [0, 2 * rows * columns]}
    header = json.dumps({"model.layers.0.weight": entry}).encode()
    path = tmp_path / "padded.safetensors"
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + 2 * rows * columns)
    words = ("--claim", "params=2B", "--require", "content-generation", "-o", "padded.json")
    said = bench("params", path, *words)
    assert said.code == 1
    assert "0 to 2,000,000,000 parameters" in said.out
    assert "claimed   params=2B: inconclusive" in said.out
    assert "Tensors with 2000000000 parameters held one value, or hardly anything" in said.out
    # So large a file is digested in part only, and that is said.
    assert "--digest full reads all" in said.out
    verified = bench("verify", "padded.json", "--model", path)
    assert verified.code == 0
    assert "1 file(s) read again: the same headers and drawn blocks, the same tensors" in verified.out


def islands(path: Path, nonce: str) -> None:
    """A tensor of a thousand million weights, all of them nothing but where this nonce leads."""
    import numpy as np

    from bench.parameters import inventory, sample
    from bench.parameters.inventory import Stored

    rows, columns = 1_000, 1_000_000
    size = 2 * rows * columns
    entry = {"dtype": "F16", "shape": [rows, columns], "data_offsets": [0, size]}
    header = json.dumps({"model.layers.0.weight": entry}).encode()
    stored = Stored(
        name="model.layers.0.weight",
        dtype="F16",
        shape=(rows, columns),
        file=path.name,
        offset=8 + len(header),
        nbytes=size,
    )
    with path.open("w+b") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + size)
        (group,) = inventory.grouped([stored])
        for place in sample.places_of(group, nonce).begins:
            file.seek(place)
            file.write(np.random.default_rng(place).bytes(sample.BLOCK_BYTES))


def test_weights_that_stand_only_where_the_maker_looked_are_found_by_who_verifies(
    bench: Program, tmp_path: Path
) -> None:
    """Whoever counts draws the nonce: a vendor can write weights there alone, and sign an honest count."""
    from bench.evidence import envelope, keys, statement
    from bench.judge import catalog
    from bench.parameters import model
    from bench.parameters.conclusion import conclude

    path, nonce = tmp_path / "islands.safetensors", "ab" * 32
    islands(path, nonce)
    said = bench("params", path, "-o", "honest.json")
    assert "0 to 1,000,000,000 parameters" in said.out
    honest = statement.parse(envelope.parse((bench.folder / "honest.json").read_bytes()).payload)
    assert isinstance(honest, ModelEvidence)
    read = model.read(path, nonce=nonce, covers="sampled")
    found = conclude(read, None, catalog.rules(honest.rules.name))
    assert found.count is not None
    assert found.count.low == 10**9
    forged = replace(honest, nonce=nonce, model=read, count=found.count, verdict=found.verdict)
    key = keys.load(bench.home / "key")
    signed = envelope.sign(statement.build(forged), envelope.PAYLOAD_TYPE, [key])
    (bench.folder / "forged.json").write_bytes(envelope.to_json(signed))
    assert bench("verify", "forged.json", "--require", "content-generation").code == 0
    said = bench("verify", "forged.json", "--model", path)
    assert said.code == 4
    assert "looked at elsewhere" in one_line(said.err)
    assert "hold 0 parameters at least" in said.err


def test_layers_that_are_copies_of_one_count_once(bench: Program, tmp_path: Path) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    layer = np.random.default_rng(1).standard_normal((512, 512)).astype(np.float32)
    path = tmp_path / "copies.safetensors"
    save_file({f"model.layers.{n}.mlp.up_proj.weight": layer for n in range(8)}, path)
    said = bench("params", path)
    assert said.code == 0
    assert f"{512 * 512:,} to {8 * 512 * 512:,} parameters" in said.out
    assert "held the same bytes as others" in said.out


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch {self.path}",)


def test_code_in_a_checkpoint_is_refused_and_not_run(bench: Program, tmp_path: Path) -> None:
    import torch

    trap, path = tmp_path / "trap", tmp_path / "model.pt"
    torch.save({"weight": torch.zeros(2, 2), "bomb": Bomb(trap)}, path)
    said = bench("params", path)
    assert said.code == 7
    assert "posix.system" in one_line(said.err)
    assert not trap.exists()
    old = tmp_path / "old.pth"
    old.write_bytes(pickle.dumps(Bomb(trap)))
    assert bench("params", old).code == 7
    assert not trap.exists()


@pytest.mark.parametrize("name", ["../outside.safetensors", "/etc/passwd", "sub/../x.safetensors", "..\\x"])
def test_an_index_leads_nowhere_outside_its_folder(bench: Program, tmp_path: Path, name: str) -> None:
    model = tmp_path / "model"
    write_model(model)
    index = model / "model.safetensors.index.json"
    listed = json.loads(index.read_text())
    listed["weight_map"]["model.norm.weight"] = name
    index.write_text(json.dumps(listed))
    said = bench("params", model)
    assert said.code == 7
    assert "model.safetensors.index.json" in one_line(said.err)


def test_a_shard_that_stands_twice_is_refused(bench: Program, tmp_path: Path) -> None:
    model = tmp_path / "model"
    write_model(model)
    (model / "model.safetensors.index.json").unlink()
    first, second = sorted(model.glob("*.safetensors"))
    second.write_bytes(first.read_bytes())
    said = bench("params", model)
    assert said.code == 7
    assert "is listed 2 times" in one_line(said.err)
    assert "each of a model's tensors is in one of its files" in said.err


def test_hostile_words_of_a_configuration_cannot_steer_the_terminal(bench: Program, tmp_path: Path) -> None:
    model = tmp_path / "model"
    write_model(model)
    hostile = "\x1b[2J\x1b]0;owned\x07\u202egnp" + "x" * 10_000
    (model / "config.json").write_text(json.dumps({"architectures": [hostile], "model_type": hostile}))
    said = bench("params", model, "-o", "h.json")
    assert said.code == 0
    shown = bench("show", "h.json")
    for text in (said.out, shown.out):
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert max(map(len, text.splitlines())) < 1000


def test_nothing_is_imported_that_the_format_does_not_need(counted: Counted, tmp_path: Path) -> None:
    """A safetensors model is counted where torch, onnx and gguf cannot be imported."""
    code = (
        "import sys\n"
        "for name in ('torch', 'onnx', 'gguf', 'onnxruntime'): sys.modules[name] = None\n"
        "from bench.cli import main\n"
        f"sys.argv = ['bench', 'params', {str(counted.model)!r}, '--quiet']\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment(tmp_path / "home"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"{MODEL_PARAMETERS:,} parameters" in done.stdout
