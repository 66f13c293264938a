"""A processor's kind, family and model decide which folder its figures go to."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest
import torch

from benchmarks.figures import keep
from benchmarks.processor import FEATURES, KINDS, Machine, machine_of, this_machine
from benchmarks.report import described

AVX2 = "fpu sse4_2 fma avx avx2"
AVX512 = f"{AVX2} avx512f avx512dq avx512bw avx512vl avx512_vnni"
GENOA = f"{AVX512} avx512_bf16"
SAPPHIRE_RAPIDS = f"{GENOA} avx_vnni amx_bf16 amx_tile amx_int8"
# as Linux on a Graviton3 has it
ARM = """processor	: 0
BogoMIPS	: 2100.00
Features	: fp asimd crc32 asimdhp asimddp sve i8mm bf16
CPU implementer	: 0x41
CPU architecture: 8
CPU part	: 0xd40
"""


def x86(name, family, model, flags):
    """Two processors of one machine, as Linux shows them."""
    fields = {
        "vendor_id": "made up",
        "cpu family": family,
        "model": model,
        "model name": name,
        "stepping": 1,
        "flags": flags,
        "bugs": "",
    }
    lines = "".join(f"{field}\t: {value}\n" for field, value in fields.items())
    return "\n".join(f"processor\t: {number}\n{lines}" for number in range(2))


@pytest.mark.parametrize(
    ("cpuinfo", "kind", "native"),
    [
        (x86("Intel(R) Xeon(R) Platinum 8481C", 6, 143, SAPPHIRE_RAPIDS), "amx", True),
        (x86("AMD EPYC 9B14", 25, 17, GENOA), "avx512-bf16", True),
        (x86("Intel(R) Xeon(R) Gold 6248", 6, 85, AVX512), "avx512", False),
        (x86("AMD EPYC 7B13", 25, 1, AVX2), "avx2", False),
        (x86("AMD Opteron", 16, 2, "fpu sse2"), "other", False),
        (ARM, "other", False),
    ],
)
def test_the_kind_is_that_of_the_fastest_products(cpuinfo, kind, native):
    machine = machine_of(cpuinfo, threads=2)
    assert (machine.kind, machine.native_bfloat16) == (kind, native)
    assert kind in KINDS


def test_a_machine_has_its_processor_s_name_family_model_and_features():
    machine = machine_of(x86("AMD EPYC", 25, 17, GENOA), threads=2)
    assert (machine.processor, machine.family, machine.model) == ("AMD EPYC", 25, 17)
    assert machine.folder == "avx512-bf16-25-17"
    assert machine.features == ("avx2", "avx512f", "avx512_vnni", "avx512_bf16")
    assert (machine.threads, machine.torch) == (2, torch.__version__)


def test_a_processor_without_a_name_in_cpuinfo_is_named_by_the_system():
    machine = machine_of(ARM, threads=1)
    assert machine.processor
    assert (machine.family, machine.model, machine.features) == (None, None, ())
    assert machine.folder == "other"


def test_a_machine_is_of_the_kind_that_torch_is_kept_to():
    """By ATEN_CPU_CAPABILITY, so that older instructions can be measured on a newer processor."""
    kept = machine_of(x86("AMD EPYC", 25, 17, GENOA), threads=2, capability="AVX2")
    assert (kept.kind, kept.native_bfloat16, kept.kept_to) == ("avx2", False, "AVX2")
    assert kept.features == ("avx2",)
    assert kept.folder == "avx2-25-17"
    assert described(kept).startswith("AMD EPYC (family 25, model 17), torch kept to AVX2,")
    own = machine_of(x86("AMD EPYC 7B13", 25, 1, AVX2), threads=2, capability="AVX2")
    assert (own.kind, own.kept_to) == ("avx2", None)


def test_where_there_is_no_cpuinfo_torch_knows_the_features(monkeypatch):
    for name in ("avx2", "avx512", "vnni", "avx512_bf16", "amx_tile"):
        monkeypatch.setattr(torch.cpu, f"_is_{name}_supported", lambda name=name: name != "vnni")
    machine = machine_of("", threads=1)
    assert machine.kind == "amx"
    assert set(FEATURES) - set(machine.features) == {"avx512_vnni", "avx_vnni", "amx_int8"}


def test_figures_are_kept_beside_those_of_other_processors(tmp_path, capsys):
    other = "avx2-1-1"
    (tmp_path / other).mkdir()
    (tmp_path / other / "decode.0.6b.json").write_text("{}")
    keep("decode", {"texts": "scifact", "ratio": 2}, argparse.Namespace(
        shape="0.6b", rounds=3, threads=1, results=tmp_path, texts=Path("a/scifact"), commit="c1"
    ))  # fmt: skip
    kept = tmp_path / this_machine(1).folder / "decode.0.6b.json"
    figures = json.loads(kept.read_text(encoding="utf-8"))
    assert figures == json.loads(capsys.readouterr().out)
    assert Machine(**figures["machine"]).folder == kept.parent.name
    assert figures["ratio"] == 2
    assert figures["commit"] == "c1"
    assert figures["program"] == "python -m benchmarks.decode --shape 0.6b --texts scifact"
    assert (tmp_path / other / "decode.0.6b.json").read_text() == "{}"


@pytest.mark.parametrize(
    "limits",
    [
        {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16"},
        {"ATEN_CPU_CAPABILITY": "avx2"},
        {"ATEN_CPU_CAPABILITY": "default"},
        {"ATEN_CPU_CAPABILITY": "avx2", "DNNL_MAX_CPU_ISA": "AVX2"},
    ],
)
def test_figures_of_other_instructions_than_those_of_a_kind_are_refused(monkeypatch, limits):
    for name, value in limits.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit, match="set both ATEN_CPU_CAPABILITY=avx2 and ONEDNN_MAX"):
        this_machine(1)


def test_a_processor_may_be_measured_as_one_with_avx2(monkeypatch):
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "avx2")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert this_machine(1).kind
