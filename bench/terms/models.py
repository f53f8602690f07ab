"""Models counted by their parameters: what their files hold, the count, and what a rule makes of it."""

from dataclasses import dataclass
from typing import Literal

from bench.terms.checks import require
from bench.terms.devices import Fact
from bench.terms.evidence import Digest, Harness
from bench.terms.judgement import ItemCondition
from bench.terms.measurements import Finding

ModelFormat = Literal["safetensors", "gguf", "onnx", "pytorch"]

# What a format itself says that a tensor is for, where it says so (ONNX by its operators' inputs).
Use = Literal["weight", "scale", "zero-point", "index", "constant"]

# What the elements of a tensor are. Those of the first four are parameters, unexplained ones may be.
Role = Literal[
    "weight",
    "embedding",
    "head",
    "expert",
    "adapter",
    "scale",
    "zero-point",
    "index",
    "rotary",
    "buffer",
    "optimizer",
    "copy",
    "constant",
    "unexplained",
]

# How a figure stands to a limit or a claim. "none": there is no figure.
CountWord = Literal["met", "not-met", "inconclusive", "none"]
ItemWord = Literal["met", "not-met", "inconclusive", "one-of-several", "documents-only"]
ClaimWord = Literal["borne-out", "not-borne-out", "more-than-claimed", "inconclusive", "documents-only"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFile:
    """One file of a model, by the SHA-256 of all its bytes or of what `covers` says.

    "sampled" covers its size, its header and blocks at places that the nonce draws.
    """

    name: str
    size: int
    covers: Literal["full", "sampled"]
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorGroup:
    """Tensors of one stored type and shape whose names differ in their numbers only.

    `pattern` is the name with each run of digits as "#", `dtype` the format's own word in capitals
    ("BF16", "Q4_K"), `nbytes` the size of one. `use` and `weights` are what the format itself says: what
    it is for, and how many true weights one such tensor holds. `shared` ones lie in the storage of another.
    """

    pattern: str
    dtype: str
    shape: tuple[int, ...]
    tensors: int
    nbytes: int
    use: Use | None
    weights: int | None
    shared: bool

    def __post_init__(self) -> None:
        require(min((0, *self.shape)) == 0, f"{self.pattern}: a shape is not negative, got {self.shape}")
        require(self.tensors > 0 <= self.nbytes, f"{self.pattern}: a group holds tensors")

    @property
    def elements(self) -> int:
        """Elements of one tensor, as its shape says."""
        count = 1
        for extent in self.shape:
            count *= extent
        return count


@dataclass(frozen=True, slots=True, kw_only=True)
class LookedAt:
    """What blocks of some tensors of a group showed; `group` is its index.

    `constant` of the `tensors` hold one element throughout the blocks that were read, or so little that
    zlib (level 6) makes less than a sixteenth of a block of it: periods of a few elements, islands in
    zeros. `repeated` of the others hold the same bytes as another tensor or another block. `entropy` is the
    least of a block's, in bits per byte.
    """

    group: int
    tensors: int
    constant: int
    repeated: int
    entropy: float

    def __post_init__(self) -> None:
        require(
            min(self.constant, self.repeated) >= 0 and self.constant + self.repeated <= self.tensors,
            f"group {self.group}: more tensors stand out than were looked at",
        )
        require(self.tensors > 0 and 0.0 <= self.entropy <= 8.0, f"group {self.group}: an entropy of a byte")


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentSample:
    """Where a model's bytes were looked at: blocks of at most `block_bytes`, drawn by the nonce.

    Groups that hold too little of all bytes are not looked at (see bench/parameters/sample).
    """

    blocks: int
    block_bytes: int
    groups: tuple[LookedAt, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeCount:
    """Tensors and their elements of one stored type, shared ones left out."""

    dtype: str
    tensors: int
    elements: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Tensors of one role. `parameters` are the true weights in them, each once, 0 where there are none."""

    role: Role
    tensors: int
    elements: int
    parameters: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Experts:
    """A mixture of experts: `parameters` lie in `total` experts, of which a token uses `used`.

    `active` is what one token meets: all other parameters and its share of the experts'.
    """

    total: int
    used: int
    parameters: int
    active: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """Why there are two figures: so many parameters are in doubt, for the reason that `code` names."""

    code: str
    parameters: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """A model counted. `high` holds every parameter; `low` leaves out those in doubt, and is judged.

    Of `high`, `embeddings` are look-up tables of tokens and positions. Where there are experts, `experts`
    or the reason why the active ones cannot be told.
    """

    method: str
    kind: Literal["model", "adapter", "nothing"]
    types: tuple[TypeCount, ...]
    parts: tuple[Part, ...]
    low: int
    high: int
    doubts: tuple[Doubt, ...]
    embeddings: int
    experts: Experts | None
    experts_reason: str | None

    def __post_init__(self) -> None:
        require(0 <= self.low <= self.high, f"the lower figure is the lower one, got {self.low}, {self.high}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterClaim:
    """A number of parameters that somebody states, with what its spelling leaves open: "7B" is 6.5 to 7.5."""

    text: str
    value: int
    low: int
    high: int

    def __post_init__(self) -> None:
        require(0 < self.low <= self.value <= self.high, f"a claim is a positive number, got {self.text}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemAnswer:
    """An item's condition on parameters, by the claim and by the count apart, and what follows."""

    item: str
    condition: ItemCondition
    limit: int
    claimed_word: CountWord
    counted_word: CountWord
    answer: ItemWord


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVerdict:
    """What follows from the count, by the method of that version. `claim` is None without one."""

    method: str
    claim: ClaimWord | None
    items: tuple[ItemAnswer, ...]
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What the files of a model hold, as they were read.

    `listing` is the SHA-256 over every tensor, a line each (see bench/parameters/inventory). `stated` are
    words and numbers from configuration, header and model card: the vendor's, and unchecked.
    """

    format: ModelFormat
    files: tuple[ModelFile, ...]
    listing: str
    groups: tuple[TensorGroup, ...]
    stated: tuple[Fact, ...]
    findings: tuple[Finding, ...]
    sample: ContentSample


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEvidence:
    """The predicate about a model's parameters: what the files hold, the count and the verdict.

    A service that is hosted elsewhere has no files: then `hosted` is its name, and `model` and `count`
    are None. `names` is the table that says what a tensor of a name is for.
    """

    format: str
    created: str
    nonce: str
    harness: Harness
    rules: Digest
    names: Digest
    claim: ParameterClaim | None
    hosted: str | None
    model: Model | None
    count: Count | None
    verdict: ModelVerdict
    does_not_show: tuple[str, ...]

    def __post_init__(self) -> None:
        require(
            (self.hosted is None) == (self.model is not None) == (self.count is not None),
            "files and their count, or a hosted service",
        )
