"""Products as other arithmetic computes them, in numpy: what a device may do instead of what it says.

Every function takes operands (rows, K) and (K, columns) as float64 and gives outputs as float64.
"""

from collections.abc import Callable

import numpy as np

Product = Callable[[np.ndarray, np.ndarray], np.ndarray]


def rounded(values: np.ndarray, bits: int) -> np.ndarray:
    """To `bits` significant bits, to nearest even, with no bound on the exponent."""
    fraction, exponent = np.frexp(values)
    return np.ldexp(np.rint(np.ldexp(fraction, bits)), exponent - bits)


def truncated(values: np.ndarray, bits: int) -> np.ndarray:
    """To `bits` significant bits, toward zero."""
    fraction, exponent = np.frexp(values)
    return np.ldexp(np.trunc(np.ldexp(fraction, bits)), exponent - bits)


def in_fp8(values: np.ndarray, element: str) -> np.ndarray:
    """To fp8 as torch rounds it, to nearest even, with the type's own subnormal numbers."""
    import torch

    kinds = {"f8_e4m3": torch.float8_e4m3fn, "f8_e5m2": torch.float8_e5m2}
    rounded: np.ndarray = torch.from_numpy(values).to(kinds[element]).double().numpy()
    return rounded


def coarse_sum(
    left: np.ndarray, right: np.ndarray, *, bits: int, block: int, promoted: int | None
) -> np.ndarray:
    """Sums of `block` products at a time as a tensor core makes them: all terms, the sum so far among them,
    cut off `bits` behind the leading one of the largest; added to an fp32 sum after so many, or never.
    """
    so_far = np.zeros((left.shape[0], right.shape[1]))
    whole = np.zeros(so_far.shape, dtype=np.float32)
    for first in range(0, left.shape[1], block):
        products = left[:, first : first + block, None] * right[None, first : first + block]
        terms = np.concatenate([products, so_far[:, None]], axis=1)
        last = np.ldexp(1.0, np.frexp(np.abs(terms).max(axis=1))[1] - 1 - bits)
        so_far = truncated((np.trunc(terms / last[:, None]) * last[:, None]).sum(axis=1), bits + 1)
        if promoted is not None and (first + block) % promoted == 0:
            whole += so_far.astype(np.float32)
            so_far = np.zeros_like(so_far)
    return np.asarray(whole + so_far, dtype=np.float64)


def quantised(values: np.ndarray, bits: int) -> np.ndarray:
    """To 2^bits - 1 evenly spaced codes over the largest magnitude, as symmetric quantisation does."""
    step = np.abs(values).max() / (2 ** (bits - 1) - 1)
    return np.rint(values / step) * step


def clipped(values: np.ndarray, bits: int) -> np.ndarray:
    """To the integers of a signed type of `bits` bits."""
    return np.clip(np.rint(values), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def running_sum(left: np.ndarray, right: np.ndarray, kind: type) -> np.ndarray:
    """One product at a time, product and sum rounded to the floating type `kind`."""
    a, b = left.astype(kind), right.astype(kind)
    total = np.zeros((left.shape[0], right.shape[1]), dtype=kind)
    for k in range(left.shape[1]):
        total = total + a[:, k : k + 1] * b[k : k + 1]
    return total.astype(np.float64)


def fp32_sum(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Products and sums in fp32, in the order the machine's BLAS likes."""
    return (left.astype(np.float32) @ right.astype(np.float32)).astype(np.float64)


def fp16_running_sum(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return running_sum(left, right, np.float16)


def in_bits(bits: int) -> Product:
    """Operands rounded to `bits` significant bits, sums in fp32."""
    return lambda left, right: fp32_sum(rounded(left, bits), rounded(right, bits))


def in_integers(bits: int) -> Product:
    """Operands clipped to integers of `bits` bits, exact sums."""
    return lambda left, right: clipped(left, bits) @ clipped(right, bits)
