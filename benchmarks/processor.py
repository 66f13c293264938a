"""The machine that figures come from, and the kind of its processor.

Speed depends above all on the fastest matrix products that a processor has instructions for, so
figures are judged by kind. They are kept and shown by processor.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import torch

from llm2vec_gen_rag.backbone.device import cpu_has_bfloat16

# what decides which matrix products torch and oneDNN run, as Linux names it
FEATURES = (
    "avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_tile", "amx_bf16", "amx_int8",
)  # fmt: skip
# each kind, and what its fastest products are
KINDS = {
    "avx2": "AVX2; computes in float32",
    "avx512": "AVX-512 without bfloat16; computes in float32",
    "avx512-bf16": "AVX-512 with bfloat16, no AMX; computes in bfloat16",
    "amx": "AMX with bfloat16; computes in bfloat16",
    "other": "none of these, such as ARM; computes in float32",
}
# what keeps torch's own kernels, and those of oneDNN, to older instructions
LIMITS = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
AS_AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "avx2"}
# the kinds that are to be measured
EXPECTED_KINDS = ("avx2", "avx512-bf16", "amx")


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What figures were measured on.

    Attributes:
        processor: its name.
        family: its CPU family, which tells apart processors of one name; None where unknown.
        model: likewise, its model within the family.
        kind: one of `KINDS`.
        features: those of `FEATURES` that it has.
        threads: how many the figures were measured with.
        torch: the version.
        native_bfloat16: whether it has instructions for products of bfloat16 matrices.
        kept_to: the newest instructions that torch may use, where the processor has newer ones;
            else None. Kind, features and `native_bfloat16` are those of what it may use.
    """

    processor: str
    family: int | None
    model: int | None
    kind: str
    features: tuple[str, ...]
    threads: int
    torch: str
    native_bfloat16: bool
    kept_to: str | None = None

    @property
    def folder(self) -> str:
        """The folder of its figures: its kind, family and model, such as "avx2-25-1"."""
        numbers = (str(number) for number in (self.family, self.model) if number is not None)
        return "-".join([self.kind, *numbers])


def this_machine(threads: int) -> Machine:
    """Return the machine that this process runs on.

    Raises:
        SystemExit: if torch's own kernels or those of oneDNN are kept to other instructions than
            both to AVX2, or differ for another reason: figures would be filed under a kind that is
            not what was measured.
    """
    kept = {name: os.environ[name].lower() for name in LIMITS if name in os.environ}
    if kept not in ({}, AS_AVX2):
        raise SystemExit(
            f"torch is kept to other instructions than those of a kind: {kept}. To measure as a "
            "processor with AVX2, set both ATEN_CPU_CAPABILITY=avx2 and ONEDNN_MAX_CPU_ISA=AVX2; "
            "else none of these."
        )
    path = Path("/proc/cpuinfo")
    cpuinfo = path.read_text(encoding="utf-8") if path.is_file() else ""
    machine = machine_of(cpuinfo, threads, torch.backends.cpu.get_cpu_capability())
    if machine.native_bfloat16 != cpu_has_bfloat16():
        raise SystemExit(f"torch may use the instructions of {machine.kind}, oneDNN others")
    return machine


def machine_of(cpuinfo: str, threads: int, capability: str = "AVX512") -> Machine:
    """Return the machine that has this text in /proc/cpuinfo; an empty text where it has none.

    Args:
        cpuinfo: the text.
        threads: how many to measure with.
        capability: the newest instructions that torch's own kernels may use: those of the
            processor, or what `ATEN_CPU_CAPABILITY` keeps them to.
    """
    found = _field(cpuinfo, "flags").split() if cpuinfo else features_by_torch()
    is_kept = capability == "AVX2" and "avx512f" in found
    if is_kept:
        found = [name for name in found if not name.startswith(("avx512", "amx"))]
    family, model = _field(cpuinfo, "cpu family"), _field(cpuinfo, "model")
    kind = kind_of(found)
    return Machine(
        processor=_field(cpuinfo, "model name") or platform.processor() or platform.machine(),
        family=int(family) if family else None,
        model=int(model) if model else None,
        kind=kind,
        features=tuple(feature for feature in FEATURES if feature in found),
        threads=threads,
        torch=torch.__version__,
        native_bfloat16=kind in {"avx512-bf16", "amx"},
        kept_to="AVX2" if is_kept else None,
    )


def kind_of(features: Collection[str]) -> str:
    """Return the kind of a processor with these features."""
    if "amx_tile" in features and "amx_bf16" in features:
        return "amx"
    if "avx512_bf16" in features:
        return "avx512-bf16"
    if "avx512f" in features:
        return "avx512"
    return "avx2" if "avx2" in features else "other"


def features_by_torch() -> list[str]:
    """Return the features that torch finds, where there is no /proc/cpuinfo."""
    found = {
        "avx2": torch.cpu._is_avx2_supported(),
        "avx512f": torch.cpu._is_avx512_supported(),
        "avx512_vnni": torch.cpu._is_vnni_supported(),
        "avx512_bf16": torch.cpu._is_avx512_bf16_supported(),
        # every processor with AMX has its bfloat16 products
        "amx_tile": torch.cpu._is_amx_tile_supported(),
        "amx_bf16": torch.cpu._is_amx_tile_supported(),
    }
    return [feature for feature, has in found.items() if has]


def _field(cpuinfo: str, name: str) -> str:
    """Return a field of the first processor; an empty string if it has none of that name."""
    line = re.search(rf"^{name}\s*:(.*)$", cpuinfo, flags=re.MULTILINE)
    return line[1].strip() if line else ""
