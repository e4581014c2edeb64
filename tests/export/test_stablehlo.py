"""StableHLO of packed networks: the same estimates in a process that has JAX, and not this library."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from unrollbit import Unrolled, load, pack
from unrollbit.algorithms import ForwardBackward
from unrollbit.cli import main
from unrollbit.export import export_stablehlo
from unrollbit.formats import Uniform, UnitFilters
from unrollbit.operators import gaussian

SHELF = {
    path.stem: path for path in sorted((Path(__file__).parents[2] / "examples" / "networks").glob("*.safetensors"))
}
QUICK = SHELF["certified-ista"]
ELSEWHERE = """
import sys
import numpy as np
from jax import export
program = export.deserialize(bytearray(open("program", "rb").read()))
np.save("x.npy", program.call(np.load("y.npy")))
assert not any(name.startswith("unrollbit") for name in sys.modules)
"""


@pytest.mark.long
def test_the_shelf_in_a_fresh_process(shelf: Path, measurements, tmp_path: Path) -> None:
    y = measurements(shelf, 3)
    export_stablehlo(shelf, tmp_path / "program")
    np.save(tmp_path / "y.npy", y)
    subprocess.run([sys.executable, "-c", ELSEWHERE], cwd=tmp_path, check=True)
    expected = np.asarray(load(shelf)(y))
    np.testing.assert_allclose(np.load(tmp_path / "x.npy"), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.long
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_sixteen_bits_in_and_out(dtype: str, measurements, tmp_path: Path) -> None:
    """For any number of signals, for every platform, without calls of kernels that only this library has."""
    export_stablehlo(QUICK, tmp_path / "program", dtype)
    program = export.deserialize(bytearray((tmp_path / "program").read_bytes()))
    assert set(program.platforms) == {"cpu", "cuda", "tpu"}
    assert "custom_call @unrollbit" not in program.mlir_module()
    for count in (1, 4):
        y = jnp.asarray(measurements(QUICK, count)).astype(dtype)
        x = program.call(y)
        assert x.dtype == jnp.dtype(dtype)
        expected = np.asarray(load(QUICK)(y).astype(jnp.float32))
        step = float(jnp.finfo(dtype).eps) * np.abs(expected).max()
        np.testing.assert_allclose(x.astype(jnp.float32), expected, rtol=0, atol=step)


@pytest.mark.long
@pytest.mark.parametrize("shape", [(16,), (4, 4)])
def test_learned_filters(shape: tuple[int, ...], tmp_path: Path) -> None:
    """For any number of signals as well."""
    prior = ForwardBackward(signal_shape=shape, size=3, filters=2)
    packed = pack(Unrolled(prior, gaussian(8, 16), 2, UnitFilters(Uniform(2))))
    export_stablehlo(packed.save(tmp_path / "net.safetensors"), tmp_path / "program")
    program = export.deserialize(bytearray((tmp_path / "program").read_bytes()))
    y = jnp.asarray(np.random.RandomState(0).standard_normal((3, 8)), jnp.float32)
    np.testing.assert_allclose(program.call(y), packed(y), rtol=1e-5, atol=1e-6)


def test_a_dtype_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected one of float32, float16, bfloat16, got 'float64'"):
        export_stablehlo(QUICK, tmp_path / "program", "float64")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "program"
    assert main(["export", str(QUICK), "--stablehlo", str(target), "--dtype", "bfloat16"]) == 0
    assert str(target) in capsys.readouterr().out
    assert export.deserialize(bytearray(target.read_bytes())).in_avals[0].dtype == jnp.bfloat16
    target.write_text("own work")
    assert main(["export", str(QUICK), "--stablehlo", str(target)]) == 2
    assert "is no " in capsys.readouterr().err
    assert main(["export", str(QUICK)]) == 2
    assert "--c" in capsys.readouterr().err
    assert main(["export", str(QUICK), "--fixed-point", "--stablehlo", str(tmp_path / "other")]) == 2
    assert "--fixed-point: expected --c" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_the_program_is_compiled_as_any_other(measurements, tmp_path: Path) -> None:
    """Inside a user's own program."""
    export_stablehlo(QUICK, tmp_path / "program")
    program = export.deserialize(bytearray((tmp_path / "program").read_bytes()))
    y = measurements(QUICK, 2)
    doubled = jax.jit(lambda y: 2 * program.call(y))(y)
    np.testing.assert_allclose(doubled, 2 * program.call(y), rtol=1e-5, atol=1e-6)
