"""The public ladder of shapes, from profiles/ladders: what a row may be measured at, whoever measures it."""

import tomllib
from functools import cache
from importlib import resources

from bench.terms import ConvShape, Family, Form, GemmShape, Operation, Shape
from bench.workload import opcount
from bench.workload.operands import OPERAND_SETS


@cache
def ladder(operation: Operation, family: Family, *, quick: bool) -> tuple[Shape, ...]:
    """Every shape of the ladder for a device family, in the file's order; a quick run's are fewer."""
    text = (resources.files("bench.profiles") / "ladders" / f"{family}.toml").read_text("utf-8")
    rungs = tomllib.loads(text)[operation]
    kind = GemmShape if operation == "gemm" else ConvShape
    shapes = [{k: v for k, v in rung.items() if k != "quick"} for rung in rungs if rung["quick"] or not quick]
    return tuple(kind(**shape) for shape in shapes)


def rungs(operation: Operation, form: Form, family: Family, *, quick: bool) -> tuple[Shape, ...]:
    """The shapes at which a form's exact operands stay exact, in the order in which they are tried."""
    most = OPERAND_SETS[form.operand_set].k_max
    fitting = (s for s in ladder(operation, family, quick=quick) if opcount.reduction(s) <= most)
    return tuple(sorted(fitting, key=opcount.ops))
