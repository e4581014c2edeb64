"""Networks on folders of photographs, noisy photographs, and the study of public test images."""

from __future__ import annotations

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from unrollbit import Unrolled, load, pack
from unrollbit.algorithms import ISTA, ForwardBackward
from unrollbit.cli.main import main
from unrollbit.cli.picture_files import read_photograph
from unrollbit.formats import Fixed, Uniform, UnitFilters
from unrollbit.networks import local_sizes
from unrollbit.operators import Subsampling
from unrollbit.problems import BlockCamera, Deblurring, Gaussian, ImageRecovery, recover_photograph

SIGMA = 0.1


def prior(problem) -> Unrolled:
    algorithm = ForwardBackward(signal_shape=problem.signal_shape, filters=4, size=3, regularisation=0.1)
    return Unrolled(algorithm, problem, 2, UnitFilters(Uniform(2)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two photographs of sizes that no block divides."""
    root = tmp_path_factory.mktemp("data")
    waves = np.sin(np.add.outer(np.arange(30) / 5, np.arange(41) / 7))
    for name, pixels in (("a", waves), ("b", waves[:20, ::-1])):
        (root / "set11").mkdir(exist_ok=True)
        Image.fromarray(np.uint8(127 + 100 * pixels)).save(root / "set11" / f"{name}.png")
    return root


@pytest.fixture(scope="module")
def camera(tmp_path_factory) -> Path:
    problem = BlockCamera(size=16, block=8, patterns="hadamard")
    path = tmp_path_factory.mktemp("networks") / "set11-25.safetensors"
    pack(prior(problem), problem=problem).save(path)
    return path


@pytest.fixture(scope="module")
def denoiser(tmp_path_factory) -> Path:
    problem = ImageRecovery(Subsampling.full((16, 16)), noise=Gaussian(sigma=SIGMA), size=16)
    path = tmp_path_factory.mktemp("networks") / "denoiser.safetensors"
    pack(prior(problem), problem=problem).save(path)
    return path


@pytest.mark.long
def test_a_folder_of_photographs(folder: Path, camera: Path, tmp_path: Path, capsys) -> None:
    report = tmp_path / "report.json"
    main(["evaluate", str(camera), "--images", str(folder / "set11"), "--json", str(report)])
    found = json.loads(report.read_text())
    assert [row["image"] for row in found["images"]] == ["a.png", "b.png"]
    assert [(row["height"], row["width"]) for row in found["images"]] == [(30, 41), (20, 41)]
    levels = [row["psnr_db"] for row in found["images"]]
    assert found["psnr_db"] == pytest.approx(np.mean(levels))
    assert found["psnr_db_of_mean_error"] <= found["psnr_db"]
    methods = {row["method"]: row for row in found["baselines"]}
    assert set(methods) == {"total variation", "tikhonov", "linear estimate"}
    pixels = read_photograph(folder / "set11" / "a.png").planes[0]
    padded = np.pad(pixels, ((0, 2), (0, 7)), "symmetric")
    A = load(camera).network.operator.resized((32, 48))
    linear = np.asarray(A.linear_estimate(A(jnp.asarray(padded.ravel() - 0.5)))).reshape(32, 48)[:30, :41] + 0.5
    error = np.mean((np.clip(linear, 0, 1) - pixels) ** 2)
    assert methods["linear estimate"]["images"][0]["psnr_db"] == pytest.approx(-10 * np.log10(error), abs=0.01)
    assert "total variation" in capsys.readouterr().out


@pytest.mark.long
@pytest.mark.parametrize(("mode", "planes"), [("L", 1), ("RGB", 3), ("RGBA", 3), ("I;16", 1)])
def test_a_noisy_photograph(denoiser: Path, tmp_path: Path, mode: str, planes: int) -> None:
    """Every plane is recovered as an image of its own, and comes in the bits that it was read in."""
    random = np.random.RandomState(0)
    if mode == "I;16":
        image = Image.fromarray(random.randint(0, 65536, (20, 27)).astype(np.uint16))
    else:
        image = Image.fromarray(random.randint(0, 256, (20, 27, len(mode))).astype(np.uint8).squeeze(), mode)
    image.save(tmp_path / "noisy.png")
    main(["recover", str(denoiser), str(tmp_path / "noisy.png"), str(tmp_path / "clean.png")])
    noisy, clean = (read_photograph(tmp_path / name) for name in ("noisy.png", "clean.png"))
    assert clean.planes.shape == noisy.planes.shape == (planes, 20, 27)
    assert clean.bits == noisy.bits == (16 if mode == "I;16" else 8)
    if mode == "RGBA":
        np.testing.assert_array_equal(clean.alpha, noisy.alpha)
    net = load(denoiser).with_physics(Subsampling.full((20, 27)), (20, 27))
    expected = np.clip(np.asarray(net(jnp.asarray(noisy.planes[-1].ravel() - 0.5))) + 0.5, 0, 1)
    assert np.abs(clean.planes[-1].ravel() - expected).max() < 1 / (2**clean.bits - 1)
    assert np.std(clean.planes) < np.std(noisy.planes)


@pytest.mark.long
def test_a_noisy_photograph_of_floats(denoiser: Path, tmp_path: Path) -> None:
    """Floats come back as they are, neither clipped nor rounded, one plane without its axis; as PNG in 16 bits."""
    noisy = np.random.RandomState(0).uniform(-0.2, 1.3, (2, 20, 27))
    for pixels in (noisy[0], noisy):
        np.save(tmp_path / "noisy.npy", pixels)
        files = [str(tmp_path / name) for name in ("noisy.npy", "clean.npy")]
        assert main(["recover", str(denoiser), "--photograph", *files]) == 0
        clean = np.load(tmp_path / "clean.npy")
        assert (clean.shape, clean.dtype) == (pixels.shape, np.float32)
        np.testing.assert_array_equal(clean, recover_photograph(load(denoiser), pixels))
    np.save(tmp_path / "noisy.npy", noisy[0])
    assert main(["recover", str(denoiser), "--photograph", files[0], str(tmp_path / "clean.png")]) == 0
    written = read_photograph(tmp_path / "clean.png")
    assert written.bits == 16
    np.testing.assert_allclose(written.planes, np.clip(recover_photograph(load(denoiser), noisy[:1]), 0, 1), atol=2e-5)
    assert (
        main(["recover", str(denoiser), str(tmp_path / "clean.png"), files[1], "--json", str(tmp_path / "r.json")]) == 0
    )
    assert np.load(files[1]).shape == (20, 27)
    assert json.loads((tmp_path / "r.json").read_text())["bits"] == 32


@pytest.mark.long
def test_error_bars_of_the_pixels_of_a_photograph(denoiser: Path, tmp_path: Path) -> None:
    """A map beside the photograph, of its size, by the formula of the file; bars are wider at edges."""
    bar = {"level": 0.9, "signals": 400, "quantile": 2.0, "floor": 1e-4}
    made = {"signals": 400, "confidence": 0.95, "share": 0.99, "limit_db": -10.0, "failure_db": -20.0, "failure": 0.5}
    made |= {"risk": 0.1, "error_bar": {**bar, "exponents": {}}, "assumes": "nothing"}
    made["sample_error_bar"] = {**bar, "exponents": {"texture": 0.5}}
    certified = load(denoiser).certified(made).save(tmp_path / "certified.safetensors")
    noisy = np.full((20, 27, 3), 60, np.uint8)
    noisy[:, 20:] = 180
    Image.fromarray(noisy).save(tmp_path / "noisy.png")
    arguments = [str(certified), str(tmp_path / "noisy.png"), str(tmp_path / "clean.png"), "--error-bar"]
    assert main(["recover", *arguments, "--json", str(tmp_path / "r.json")]) == 0
    bars = np.load(tmp_path / "clean-error-bar.npy")
    assert bars.shape == (3, 20, 27)
    assert json.loads((tmp_path / "r.json").read_text())["error_bar"].endswith("clean-error-bar.npy")
    assert bars[:, :, 20].min() > 3 * bars[:, :, :10].max()
    np.save(tmp_path / "grey.npy", noisy[..., 0] / 255)
    assert (
        main(
            [
                "recover",
                str(certified),
                str(tmp_path / "grey.npy"),
                str(tmp_path / "x.npy"),
                "--photograph",
                "--error-bar",
            ]
        )
        == 0
    )
    assert np.load(tmp_path / "x-error-bar.npy").shape == np.load(tmp_path / "x.npy").shape == (20, 27)
    shape = (20, 27)
    moved = load(certified).with_physics(Subsampling.full(shape), shape).network
    _, found = local_sizes(moved, jnp.asarray(noisy[..., 0].ravel() / 255 - 0.5, jnp.float32))
    expected = 2 * np.sqrt(np.maximum(found["texture"], 1e-4))
    np.testing.assert_allclose(bars[0].ravel(), expected, rtol=1e-3)


@pytest.mark.long
def test_what_is_no_noisy_photograph(camera: Path, denoiser: Path, folder: Path, tmp_path: Path, capsys) -> None:
    photograph, floats = str(folder / "set11" / "a.png"), str(tmp_path / "floats" / "a.tif")
    (tmp_path / "floats").mkdir()
    Image.fromarray(np.zeros((16, 16), np.float32)).save(floats)
    names = ("whole", "row", "pair", "last", "zipped", "lost")
    whole, row, pair, last, zipped, lost = (str(tmp_path / f"{name}.npy") for name in names)
    arrays = ((whole, np.ones((16, 16), np.uint8)), (row, np.ones(16)), (pair, np.ones((2, 16, 16))))
    for file, array in (*arrays, (last, np.ones((16, 16, 3)))):
        np.save(file, array)
    Path(zipped).write_bytes(b"PK\x03\x04 no archive")
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (16, 16".ljust(117) + b"\n"
    Path(lost).write_bytes(b"\x93NUMPY\x01\x00" + bytes([118, 0]) + header + bytes(64))
    problem = Deblurring(size=16, transform="dct")
    coefficients = pack(Unrolled(ISTA(), problem, 1, Fixed()), problem=problem).save(tmp_path / "dct.safetensors")
    for command, message in (
        (["recover", str(camera), photograph, str(tmp_path / "x.png")], "remove noise"),
        (["recover", str(denoiser), photograph, photograph], "is an input"),
        (["recover", str(denoiser), photograph, str(tmp_path / "x.tif")], "PNG or .npy"),
        (
            ["recover", str(denoiser), whole, str(tmp_path / "x.npy"), "--photograph"],
            "floats in the unit",
        ),
        (["recover", str(denoiser), row, str(tmp_path / "x.npy"), "--photograph"], "expected shape (height, width)"),
        (["recover", str(denoiser), pair, str(tmp_path / "x.png"), "--photograph"], "1 or 3 planes"),
        (["recover", str(denoiser), last, str(tmp_path / "x.png"), "--photograph"], "planes first"),
        (["recover", str(denoiser), zipped, str(tmp_path / "x.npy"), "--photograph"], "not a .npy file"),
        (["recover", str(denoiser), lost, str(tmp_path / "x.npy"), "--photograph"], "not a .npy file"),
        (["recover", str(denoiser), lost, str(tmp_path / "x.npy")], "not a .npy file"),
        (["recover", str(denoiser), photograph, str(tmp_path / "x.png"), "--error-bar"], "no error bar of samples"),
        (["recover", str(denoiser), floats, str(tmp_path / "x.png")], "one of floats"),
        (["evaluate", str(coefficients), "--images", str(folder / "set11")], "unknowns are pixels"),
        (["evaluate", str(denoiser), "--images", str(tmp_path)], "no photographs"),
    ):
        assert main(command) != 0
        assert message in capsys.readouterr().err


def test_a_photograph_that_was_taken_upright(tmp_path: Path) -> None:
    upright = np.arange(6, dtype=np.uint8).reshape(2, 3)
    turned = Image.fromarray(np.rot90(upright))
    exif = turned.getexif()
    exif[0x0112] = 6  # a quarter turn to the right is wanted
    turned.save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(np.rint(read_photograph(tmp_path / "a.png").planes[0] * 255), upright)


@pytest.mark.long
def test_the_study_of_public_images(folder: Path, camera: Path, tmp_path: Path) -> None:
    main(["reproduce", "images", str(camera), "--data", str(folder), "--out", str(tmp_path / "out")])
    found = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [test["test"] for test in found["tests"]] == ["Set11 at 25 %"]
    row = found["tests"][0]["networks"][0]
    assert row["method"] == "set11-25"
    assert row["bytes"] == camera.stat().st_size
    assert found["tests"][0]["published"][0]["psnr_db"] == 32.57
    assert "set11-10" in found["missing"]
    kinds = {each["kind"]: each["psnr_db"] for each in found["rows"]}
    assert set(kinds) == {"published", "classic", "network"}
    assert kinds["network"] == row["psnr_db"]
    assert (tmp_path / "out" / "figures" / "images.png").is_file()


@pytest.mark.long
def test_a_config_names_data_that_lies_elsewhere(tmp_path: Path, capsys) -> None:
    for index in range(4):
        (tmp_path / "data" / "photos").mkdir(parents=True, exist_ok=True)
        pixels = np.random.RandomState(index).randint(0, 256, (20, 20)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "data" / "photos" / f"{index}.png")
    config = tmp_path / "small.toml"
    config.write_text(
        '[problem]\nkind = "ImageRecovery"\nphysics = { kind = "Subsampling" }\n'
        'noise = { kind = "GaussianRange", low = 0.05, high = 0.1 }\nsize = 16\nimages = "photos"\n'
        '[recipe]\nname = "learned_prior"\ndepth = 2\nfilters = 4\nsize = 3\nsteps = 3\nbatch = 2\n'
        'influence = { kind = "Clips", knots = [0.1, 0.2], slopes = [0.5, 0.0] }\n'
    )
    command = ["train", str(config), "--out", str(tmp_path / "run"), "--quiet"]
    assert main(command) != 0
    assert "photos" in capsys.readouterr().err
    assert main([*command, "--data", str(tmp_path / "data")]) == 0
    packed = load(tmp_path / "run")
    assert packed.problem is not None
    assert packed.problem["images"]["name"] == "photos"
    assert packed.training["command"] == "unrollbit train small.toml --data FOLDER --seed 0"
    capsys.readouterr()
    photos = str(tmp_path / "data" / "photos")
    report = tmp_path / "report.json"
    main(
        [
            "evaluate",
            str(tmp_path / "run"),
            "--images",
            photos,
            "--sigma",
            "0.05",
            "--json",
            str(report),
            "--no-classic",
        ]
    )
    assert len(json.loads(report.read_text())["images"]) == 4


@pytest.mark.long
def test_a_card_with_photographs(camera: Path, folder: Path, tmp_path: Path) -> None:
    card, report = tmp_path / "CARD.md", tmp_path / "card.json"
    images = ["--images", str(folder / "set11"), "--samples", "4"]
    assert main(["card", str(camera), *images, "--out", str(card), "--json", str(report)]) == 0
    text, found = card.read_text(encoding="utf-8"), json.loads(report.read_text())["photographs"]
    assert "## Photographs" in text
    assert "![photographs](CARD.png)" in text
    assert (tmp_path / "CARD.png").read_bytes().startswith(b"\x89PNG")
    variation = next(row for row in found["baselines"] if row["method"] == "total variation")
    gains = [own["psnr_db"] - other["psnr_db"] for own, other in zip(found["images"], variation["images"], strict=True)]
    assert variation["gains_db"] == pytest.approx(gains)
    assert f"{min(gains):+.2f}, " in text
    assert str(folder) not in text
