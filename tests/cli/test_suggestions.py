"""What is suggested for the words of other tools and for slips of the keyboard."""

from pathlib import Path

import pytest

from tests.cli.conftest import Cli, one_sentence


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("train photos", "no such command 'train'; did you mean headstart fit?"),
        ("test model photos", "did you mean headstart evaluate?"),
        ("fine-tune model", "did you mean headstart finetune?"),
        ("Grad_CAM model", "did you mean headstart explain?"),
        ("fti photos", "did you mean headstart fit?"),
        ("help fit", "did you mean headstart --help?"),
        ("trainn photos", "did you mean headstart fit?"),
        ("evalute model", "did you mean headstart evaluate?"),
        ("nonsense", "no such command 'nonsense' (see"),
        ("fit --epochs 3", "no such option: --epochs; only 'headstart finetune' has --epochs"),
        (
            "--gpu",
            "--gpu; 'headstart audit', 'headstart fit' and 'headstart evaluate' have --device",
        ),
        ("--epochs 3", "only 'headstart finetune' has --epochs"),
        ("fit --lr 3", "only 'headstart finetune' has --rate"),
        ("fit photos -o model", "no such option: -o; did you mean --out?"),
        ("fit photos --model resnet18", "did you mean --backbone?"),
        ("fit photos --test-size 0.2", "did you mean --holdout?"),
        ("fit photos --image_column name", "did you mean --image-column?"),
        ("fit photos --bakbone x", "did you mean --backbone?"),
        ("fit --coverge 0.9", "'headstart evaluate' has --coverage"),
        ("fit photos --gpu", "no such option: --gpu; did you mean --device cuda?"),
        ("attack x.jpg --cpu", "did you mean --device cpu?"),
        ("predict model x.jpg --threshold 0.8", "did you mean --min-probability?"),
        ("predict model x.jpg --copy", "did you mean --by copy?"),
        ("predict --model model x.jpg", "MODEL is an argument: headstart predict MODEL IMAGES"),
        ("fit --data photos", "DATA is an argument: headstart fit DATA"),
        ("predict model x.jpg --min-probability 80%", "'80%' is not a number; write 0.8 (see"),
        ("predict model x.jpg --min-probability 90", "'90' must be at most 1; write 0.9 (see"),
        ("fit photos --holdout 20", "'20' must be at most 0.9; write 0.2 (see"),
        ("fit photos --holdout 1", "'1' must be at most 0.9 (see"),
        (
            "fit cats dogs --out m",
            "unexpected 'dogs' after 'cats'; fit takes DATA, and DATA is one folder with a folder",
        ),
        ("info my model", "'model' after 'my'; info takes MODEL; quote names with spaces (see"),
        ("backbones resnet18", "unexpected 'resnet18'; backbones takes no arguments (see"),
        ("fit photos", "missing option '--out'; write --out model (see"),
        ("explain model x.jpg", "missing option '--out'; write --out explained (see"),
        ("audit photos", "missing option '--out'; write --out audit (see"),
        ("watch inbox", "missing option '--model'; write --model MODEL (see"),
        ("fit photos --out", "requires an argument (see 'headstart fit --help')"),
        ("predict model x.jpg --min-probability 0,8", "'0,8' is not a number; write 0.8 (see"),
        ("fit --nonsense", "no such option: --nonsense (see"),
    ],
)
def test_another_word_is_understood(typed: str, said: str, cli: Cli) -> None:
    outcome = cli(*typed.split())
    assert (outcome.code, one_sentence(outcome)) == (2, True)
    assert said in outcome.err


def test_a_path_in_the_place_of_a_command_says_what_to_do_with_it(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my photos").mkdir()
    Path("cat.jpg").touch()
    assert "run headstart fit 'my photos' --out model" in cli("my photos").err
    assert "run headstart classify cat.jpg" in cli("cat.jpg").err


def test_a_model_in_the_place_of_the_watched_folder_is_recognized(cli: Cli, model: Path) -> None:
    outcome = cli("watch", model, "inbox")
    assert f"missing option '--model'; write --model {model} FOLDER (see" in outcome.err


@pytest.mark.parametrize(
    "typed", ["fit PHOTOS", "features IMAGE", "explain efficientnet-lite0 IMAGE", "classify IMAGE"]
)
def test_a_device_that_is_not_there_is_said(
    typed: str, cli: Cli, photos: Path, cat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    words = [str({"PHOTOS": photos, "IMAGE": cat}.get(word, word)) for word in typed.split()]
    out = [] if words[0] == "classify" else ["--out", tmp_path / "out"]
    outcome = cli(*words, *out, "--device", "cuda")
    assert (outcome.code, one_sentence(outcome)) == (2, True)
    assert "--device cuda: PyTorch" in outcome.err
