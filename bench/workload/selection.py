"""Which rows a run has: decided by the devices' facts and by what was asked, the same for everyone.

What is installed here decides nothing: a row whose package is missing is refused when its turn comes, and
stands in the evidence all the same, so that whoever verifies finds the same rows without any backend.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.terms import Device, Form, Unavailable
from bench.workload.kernel import NOT_APPLICABLE, Kernel
from bench.workload.registry import kernels

# What a smoke test runs when nothing else is asked: the precisions that AI figures are given in.
_QUICK_PRECISIONS = ("fp32", "bf16", "fp16", "int8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """A form of a kernel that is a row of the run, and why it cannot run on this machine, if so."""

    kernel: Kernel
    form: Form
    unavailable: Unavailable | None


def select(device: Device, asked: Sequence[str], *, quick: bool) -> list[Selected]:
    """A device's rows in the order of the plan. `asked` are precisions; none means the default."""
    rows = []
    for kernel in offered(device):
        for form in _forms(kernel, device, asked, quick=quick):
            reason = kernel.unavailable(form, device)
            # A form for other processors is no row of this one's.
            if reason is None or reason.code != NOT_APPLICABLE:
                rows.append(Selected(kernel=kernel, form=form, unavailable=reason))
    return rows


def offered(device: Device) -> list[Kernel]:
    """The kernels for the device's family."""
    return [kernel for kernel in kernels().values() if device.family in kernel.families]


def offered_precisions(device: Device) -> set[str]:
    return {form.precision for kernel in offered(device) for form in kernel.forms}


def _forms(kernel: Kernel, device: Device, asked: Sequence[str], *, quick: bool) -> list[Form]:
    """The forms to run; a quick run takes the first of each precision.

    Behind an execution provider that is the QDQ one, which most of them take and some take alone.
    """
    wanted = asked or (_QUICK_PRECISIONS if quick else ())
    forms = [form for form in kernel.forms if not wanted or form.precision in wanted]
    if not quick:
        return forms
    usual = forms if device.family == "cpu" else sorted(forms, key=lambda f: not f.name.startswith("QDQ"))
    first = {form.precision: form for form in reversed(usual)}
    return [form for form in forms if first[form.precision] is form]
