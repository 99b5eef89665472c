"""The precision that the hardware is good at."""

import functools

import torch

from dip_lab.checks import one_of


@functools.cache
def has_fast_bf16(device_type: str) -> bool:
    """Whether the hardware multiplies bfloat16 matrices itself (else they are emulated, slower than float32)."""
    if device_type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # The capability is what torch uses: the variable ATEN_CPU_CAPABILITY may lower it below what the processor has.
    capable = torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    return device_type == "cpu" and capable and torch.cpu._is_avx512_bf16_supported()


def autocast_dtype(precision: str, device_type: str) -> torch.dtype | None:
    """The dtype of the network's inner arithmetic: bfloat16, or None for plain float32.

    Raises:
        ValueError: `precision` is not one of auto, bf16, float32.
    """
    choices = {"auto": has_fast_bf16(device_type), "bf16": True, "float32": False}
    return torch.bfloat16 if choices[one_of("precision", precision, choices)] else None
