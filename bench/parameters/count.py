"""Parameters counted from groups of tensors: pure, so that `verify` counts again from the evidence alone.

A parameter is a weight that training sets: each once, in its unpacked number. What is none: scales and zero
points of quantised weights, rotary tables and other buffers, optimizer states, averaged copies of the
weights, and adapters, which change a model and are none.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from bench.parameters import names, packed
from bench.parameters.packed import Beside, Unpacked
from bench.terms import (
    ContentSample,
    Count,
    Doubt,
    Experts,
    Fact,
    Part,
    Role,
    TensorGroup,
    TypeCount,
)

METHOD = "parameters/1"

# Small tensors are not looked at, and some cannot be, as their bytes lie apart: in published models a few in
# a thousand parameters. Where they are more, nobody has seen whether anything stands in them.
UNSEEN_SHARE = 0.05

# What a trained weight can be; all else is shown and not counted. Integers in matrices that no scheme
# explains may be weights: the lower figure leaves them out.
PARAMETERS: frozenset[Role] = frozenset({"weight", "embedding", "head", "expert", "unexplained"})
_ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counted:
    """A group, what it is for, and the true weights in each of its tensors."""

    group: TensorGroup
    role: Role
    each: Unpacked

    @property
    def low(self) -> int:
        return self.group.tensors * self.each.low if self.role in PARAMETERS else 0

    @property
    def high(self) -> int:
        return self.group.tensors * self.each.high if self.role in PARAMETERS else 0


def count(groups: Sequence[TensorGroup], stated: Sequence[Fact], sample: ContentSample) -> Count:
    """The model whose files hold `groups`, by the words `stated` in it and a look at its content."""
    facts = {fact.name: fact for fact in stated}
    counted = _counted(groups, facts)
    doubts = tuple(_doubts(counted, sample))
    high = sum(row.high for row in counted)
    experts, reason = _experts(counted, high, facts)
    return Count(
        method=METHOD,
        kind=_kind(counted, high, facts),
        types=tuple(_types(groups)),
        parts=tuple(_parts(counted)),
        low=max(0, high - sum(doubt.parameters for doubt in doubts)),
        high=high,
        doubts=doubts,
        embeddings=sum(row.high for row in counted if row.role == "embedding"),
        experts=experts,
        experts_reason=reason,
    )


def _counted(groups: Sequence[TensorGroup], stated: Mapping[str, Fact]) -> list[_Counted]:
    """Averaged copies beside no other weights are the model, and are read by the rest of their names."""
    beside = packed.by_pattern(groups)
    counted = _tied([_row(group, beside, stated) for group in groups], stated)
    if any(row.role in PARAMETERS for row in counted):
        return counted
    renamed = [
        replace(row.group, pattern=row.group.pattern.partition(".")[2]) if row.role == "copy" else row.group
        for row in counted
    ]
    return counted if renamed == list(groups) else _counted(renamed, stated)


def _row(group: TensorGroup, beside: Beside, stated: Mapping[str, Fact]) -> _Counted:
    role, each = _role(group, beside, stated)
    return _Counted(group=group, role=role, each=each)


def _role(group: TensorGroup, beside: Beside, stated: Mapping[str, Fact]) -> tuple[Role, Unpacked]:
    """What the tensors of a group are for, and the weights that one would hold as a parameter.

    The format's own word comes first, then the name, then the type.
    """
    each = Unpacked.exactly(group.elements if group.weights is None else group.weights)
    if group.shared:
        return "copy", each
    if group.use is not None and group.use != "weight":
        return group.use, each
    by_name = names.role_of(group.pattern, group.shape)
    if by_name is not None and by_name not in PARAMETERS:
        return by_name, each
    if group.use == "weight":
        return by_name or "weight", each
    if packed.is_beside_packed(group.pattern, beside):
        return "scale", each
    found = None if group.weights is not None else packed.unpacked(group, beside, stated)
    if found is not None:
        return by_name or "weight", found
    if group.weights is not None or packed.is_float(group.dtype):
        return by_name or "weight", each
    # Indices, masks and shapes; no published scheme keeps trained weights in these types.
    if group.dtype in ("I64", "U64", "BOOL") or len(group.shape) < 2:
        return "buffer", each
    return "unexplained", Unpacked(low=0, high=packed.most(group))


def _tied(counted: Sequence[_Counted], stated: Mapping[str, Fact]) -> list[_Counted]:
    """A head that is stored beside the embedding that it is tied to, as the configuration says, is a copy."""
    tied = stated.get("tied-embeddings")
    shapes = {row.group.shape for row in counted if row.role == "embedding"}
    if tied is None or tied.value is not True:
        return list(counted)
    return [
        replace(row, role="copy") if row.role == "head" and row.group.shape in shapes else row
        for row in counted
    ]


def _kind(
    counted: Sequence[_Counted], high: int, stated: Mapping[str, Fact]
) -> Literal["model", "adapter", "nothing"]:
    """Adapters may bring a few layers of their own along; a file that is stated to be one stays one."""
    if any(row.role == "adapter" for row in counted) and (high == 0 or "adapter-type" in stated):
        return "adapter"
    return "model" if high else "nothing"


def _types(groups: Sequence[TensorGroup]) -> Iterator[TypeCount]:
    tensors: Counter[str] = Counter()
    elements: Counter[str] = Counter()
    for group in groups:
        if not group.shared:
            tensors[group.dtype] += group.tensors
            elements[group.dtype] += group.tensors * group.elements
    for dtype in sorted(tensors):
        yield TypeCount(dtype=dtype, tensors=tensors[dtype], elements=elements[dtype])


def _parts(counted: Sequence[_Counted]) -> Iterator[Part]:
    for role in _ROLES:
        of_it = [row for row in counted if row.role == role]
        if of_it:
            yield Part(
                role=role,
                tensors=sum(row.group.tensors for row in of_it),
                elements=sum(row.group.tensors * row.group.elements for row in of_it),
                parameters=sum(row.high for row in of_it),
            )


def _doubts(counted: Sequence[_Counted], sample: ContentSample) -> Iterator[Doubt]:
    """What the lower figure leaves out, and why. A share that was found in a sample holds for its group."""
    for code, unexplained in (("packed-width-open", False), ("integers-unexplained", True)):
        open_share = sum(row.high - row.low for row in counted if (row.role == "unexplained") == unexplained)
        if open_share:
            yield Doubt(code=code, parameters=open_share)
    repeated = _repeated(counted, sample)
    for code, constant in (("constant-tensors", True), ("repeated-tensors", False)):
        share = 0
        for looked in sample.groups:
            standing_out = looked.constant if constant else repeated[looked.group]
            # Rounded up: what is in doubt is left out.
            share += -(-counted[looked.group].low * standing_out // looked.tensors)
        if share:
            yield Doubt(code=code, parameters=share)
    looked_at = {looked.group for looked in sample.groups}
    unseen = sum(row.low for index, row in enumerate(counted) if index not in looked_at)
    if unseen > UNSEEN_SHARE * sum(row.low for row in counted):
        yield Doubt(code="not-looked-at", parameters=unseen)


def _repeated(counted: Sequence[_Counted], sample: ContentSample) -> dict[int, int]:
    """By group, the tensors that repeat another one, without those whose other one is no parameter.

    Of two that are the same, the later by name was found to repeat: that may be the embedding and not the
    head that is known as its copy. So each tensor that is no parameter and stands out in nothing accounts
    for one of its type and shape.
    """
    accounted: Counter[tuple[str, tuple[int, ...]]] = Counter()
    for looked in sample.groups:
        row = counted[looked.group]
        if row.role not in PARAMETERS:
            accounted[row.group.dtype, row.group.shape] += looked.tensors - looked.constant - looked.repeated
    repeated = {}
    for looked in sample.groups:
        row = counted[looked.group]
        kind = row.group.dtype, row.group.shape
        left = looked.repeated
        if row.role in PARAMETERS:
            left = max(0, looked.repeated - accounted[kind])
            accounted[kind] -= looked.repeated - left
        repeated[looked.group] = left
    return repeated


def _experts(
    counted: Sequence[_Counted], high: int, stated: Mapping[str, Fact]
) -> tuple[Experts | None, str | None]:
    """The experts and what a token meets of them; or why that is not known; or neither, without experts."""
    rows = [row for row in counted if row.role == "expert"]
    if not rows:
        return None, None
    total, used = (_positive(stated.get(name)) for name in ("experts", "experts-used"))
    if not total or not used:
        return None, "experts-not-stated"
    if used > total or not all(_divides(row.group, total) for row in rows):
        return None, "experts-differ"
    parameters = sum(row.high for row in rows)
    active = high - parameters + parameters * used // total
    return Experts(total=total, used=used, parameters=parameters, active=active), None


def _divides(group: TensorGroup, total: int) -> bool:
    """Whether the experts lie apart, one tensor each, or together along the first dimension."""
    return group.tensors % total == 0 or (bool(group.shape) and group.shape[0] == total)


def _positive(fact: Fact | None) -> int:
    return fact.value if fact is not None and type(fact.value) is int and fact.value > 0 else 0
