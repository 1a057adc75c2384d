"""Whatever engine runs a network, in whatever batches, its features are the same."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from headstart.backbones import Backbone, load_backbone
from headstart.backbones.vision_ops import import_torchvision
from headstart.engines import EnginePlan, build_engine, choose, make_plan, openvino
from headstart.engines.openvino import ConversionError, OpenVINOEngine
from headstart.engines.pytorch import PyTorchEngine
from headstart.errors import BackboneError, MissingExtraError
from headstart.images.preprocessing import prepare
from headstart.system.prefetch import stack_batches
from headstart.types import EngineName, Floats, Pixels, Precision
from tests.conftest import KINDS, picture, tiny_backbone

OPENVINO_F32 = EnginePlan(EngineName.OPENVINO, Precision.FLOAT32)
OPENVINO_BF16 = EnginePlan(EngineName.OPENVINO, Precision.BFLOAT16)
PYTORCH_F32 = EnginePlan(EngineName.PYTORCH, Precision.FLOAT32)

# Largest difference over the largest value of a stage. Measured: 4e-6 in float32.
FLOAT32_TOLERANCE = 5e-5
# Norm of the difference over the norm of a stage. Measured on these pictures: 0.028 in
# EfficientNet-Lite0; 0.02 on photos (docs/decisions/0010); 0.1 on random pixels (small logits).
BFLOAT16_TOLERANCE = 0.06

needs_bfloat16 = pytest.mark.skipif(
    not openvino.has_bfloat16(), reason="this processor has no bf16 arithmetic"
)


@pytest.fixture(scope="module")
def resnet18(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    """torchvision's ResNet-18 with random weights out of a file."""
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("weights") / "resnet18.safetensors"
    save_file(import_torchvision("tests").models.resnet18().state_dict(), file)
    return load_backbone("resnet18", weights=file)


@pytest.fixture(params=["efficientnet-lite0", "resnet18"])
def backbone(request: pytest.FixtureRequest) -> Backbone:
    name = "lite0" if request.param == "efficientnet-lite0" else request.param
    found: Backbone = request.getfixturevalue(name)
    return found


def random_pixels(count: int, side: int = 224, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def run(backbone: Backbone, plan: EnginePlan, *batches: Pixels) -> list[Floats]:
    """All batches' outputs joined: one array a stage, then the logits."""
    engine = build_engine(backbone, plan, requested=plan.engine)
    images = (image for batch in batches for image in batch)
    outputs = list(engine.stream(stack_batches(images, engine.batch)))
    return [np.concatenate(parts) for parts in zip(*outputs, strict=True)]


@pytest.mark.slow
def test_openvino_and_eager_pytorch_agree_in_float32(backbone: Backbone):
    pixels = random_pixels(3)
    ours, reference = run(backbone, OPENVINO_F32, pixels), run(backbone, PYTORCH_F32, pixels)
    assert len(ours) == len(reference) == len(backbone.stages) + 1
    for mine, expected in zip(ours, reference, strict=True):
        assert mine.dtype == expected.dtype == np.float32
        assert np.abs(mine - expected).max() <= FLOAT32_TOLERANCE * np.abs(expected).max()


@needs_bfloat16
def test_bfloat16_is_close_to_float32(lite0: Backbone):
    prepared = [prepare(picture(kind, 0), lite0.preprocessing) for kind in KINDS]
    pixels = np.stack(prepared)
    ours, reference = run(lite0, OPENVINO_BF16, pixels), run(lite0, OPENVINO_F32, pixels)
    for mine, expected in zip(ours, reference, strict=True):
        difference = np.linalg.norm(mine - expected)
        assert 0 < difference <= BFLOAT16_TOLERANCE * np.linalg.norm(expected)


@pytest.mark.slow
@pytest.mark.parametrize("plan", [OPENVINO_F32, pytest.param(OPENVINO_BF16, marks=needs_bfloat16)])
def test_features_hardly_depend_on_the_size_of_the_batch(plan: EnginePlan, lite0: Backbone):
    pixels = random_pixels(8)
    expected = run(lite0, plan, pixels)
    engine = build_engine(lite0, plan, batches=(1, 4))
    parts = [list(engine.stream(np.split(pixels, count))) for count in (8, 2)]
    tolerance = FLOAT32_TOLERANCE if plan == OPENVINO_F32 else BFLOAT16_TOLERANCE
    for outputs in parts:
        for mine, other in zip(zip(*outputs, strict=True), expected, strict=True):
            difference = np.linalg.norm(np.concatenate(mine) - other)
            assert difference <= tolerance * np.linalg.norm(other)


def test_an_engine_has_batches_of_several_sizes():
    engine = OpenVINOEngine(tiny_backbone(), OPENVINO_F32, batches=(4, 1))
    assert engine.batch == 4
    assert [engine.next_batch(waiting) for waiting in (1, 2, 3, 4, 9)] == [1, 1, 1, 4, 4]
    assert build_engine(tiny_backbone(), OPENVINO_F32).next_batch(3) == 2
    pixels = random_pixels(20, side=32)
    for size in (1, 2, 3, 4):
        outputs = engine.stream(pixels[start : start + size] for start in range(0, 20, size))
        coarse = np.concatenate([one[1] for one in outputs])
        np.testing.assert_allclose(coarse, pixels.mean((1, 2)) / 255, rtol=1e-5)


def test_several_threads_use_an_engine_at_once():
    engine = OpenVINOEngine(tiny_backbone(), OPENVINO_F32, batches=(1, 4))

    def work(seed: int) -> None:
        pixels = random_pixels(40, side=32, seed=seed)
        batches = np.split(pixels, np.cumsum([1, 4, 4, 2, 1, 3] * 2 + [4, 4]))
        outputs = engine.stream(batch for batch in batches if len(batch))
        coarse = np.concatenate([one[1] for one in outputs])
        np.testing.assert_allclose(coarse, pixels.mean((1, 2)) / 255, rtol=1e-5)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(30)))


@pytest.mark.slow
@pytest.mark.parametrize("plan", [OPENVINO_F32, pytest.param(OPENVINO_BF16, marks=needs_bfloat16)])
def test_features_depend_neither_on_the_batch_nor_on_the_place_in_it(
    plan: EnginePlan, lite0: Backbone
):
    pixels = random_pixels(11)
    runner = build_engine(lite0, plan)

    def outputs(images: Pixels, size: int) -> list[Floats]:
        batches = stack_batches(iter(images), size)
        return [np.concatenate(x) for x in zip(*runner.stream(batches), strict=True)]

    together, alone = outputs(pixels, runner.batch), outputs(pixels, 1)
    order = np.random.default_rng(1).permutation(11)
    shuffled = outputs(pixels[order], runner.batch)
    for a, b, c in zip(together, alone, shuffled, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a[order], c)


@pytest.mark.slow
def test_pytorch_computes_the_last_batch_of_many_images_as_a_full_one(lite0: Backbone):
    # Small batches are divided among threads in other ways, and rounded differently.
    pixels = random_pixels(16)
    runner = PyTorchEngine(lite0, PYTORCH_F32)
    full, rest = runner.stream([pixels, pixels[:3]])
    for whole, part in zip(full, rest, strict=True):
        np.testing.assert_array_equal(part, whole[:3])


@pytest.mark.slow
def test_one_image_does_not_cost_as_much_as_several(lite0: Backbone):
    runner = build_engine(lite0, OPENVINO_F32)

    def seconds(images: int) -> float:
        pixels = random_pixels(images)
        started = time.process_time()
        list(runner.stream(stack_batches(iter(pixels), runner.batch)))
        return time.process_time() - started

    seconds(1)
    one, eight = (min(seconds(images) for _ in range(3)) for images in (1, 8))
    assert one < eight / 2


@pytest.mark.parametrize("sizes", [[], [1], [2], [2, 2, 2, 2, 2, 2, 1], [2, 1, 1]])
def test_a_stream_answers_each_batch_in_turn(sizes: list[int]):
    pixels = random_pixels(sum(sizes), side=32)
    batches = np.split(pixels, np.cumsum(sizes)[:-1]) if sizes else []
    outputs = list(OpenVINOEngine(tiny_backbone(), OPENVINO_F32).stream(batches))
    assert [len(one[0]) for one in outputs] == sizes
    means = [batch.mean((1, 2)) / 255 for batch in batches]
    for (_, coarse, _), expected in zip(outputs, means, strict=True):
        np.testing.assert_allclose(coarse, expected, rtol=1e-5)


@pytest.mark.parametrize("kind", [OpenVINOEngine, PyTorchEngine])
def test_an_empty_stream_gives_nothing(kind: Any, lite0: Backbone):
    plan = OPENVINO_F32 if kind is OpenVINOEngine else PYTORCH_F32
    assert list(kind(lite0, plan).stream([])) == []


def test_an_engine_serves_another_stream_after_one_was_left_early():
    runner = OpenVINOEngine(tiny_backbone(), OPENVINO_F32)
    pixels = random_pixels(2, side=32)
    for _ in range(20):
        stream = runner.stream([pixels] * 50)
        next(stream)
        stream.close()
    assert len(list(runner.stream([pixels] * 5))) == 5


def test_an_engine_serves_another_stream_after_the_input_failed():
    runner = OpenVINOEngine(tiny_backbone(), OPENVINO_F32)
    pixels = random_pixels(2, side=32)

    def failing() -> Iterator[Pixels]:
        yield pixels
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        list(runner.stream(failing()))
    assert len(list(runner.stream([pixels]))) == 1


def test_a_batch_that_cannot_be_started_takes_no_request(monkeypatch: pytest.MonkeyPatch):
    class Broken:
        def start_async(self, inputs: object) -> None:
            raise RuntimeError("broken")

    engine = OpenVINOEngine(tiny_backbone(), EnginePlan(EngineName.OPENVINO, Precision.FLOAT32))
    idle, broken = SimpleQueue[Any](), Broken()
    idle.put(broken)
    monkeypatch.setattr(engine._compiled[-1], "idle", idle)
    with pytest.raises(RuntimeError, match="broken"):
        engine.queue().put(np.zeros(engine._compiled[-1].shape, np.uint8))
    assert idle.get_nowait() is broken


def test_results_stay_what_they_were_while_the_stream_goes_on():
    runner = OpenVINOEngine(tiny_backbone(), OPENVINO_F32)
    batches = [random_pixels(2, side=32, seed=seed) for seed in range(30)]
    outputs = list(runner.stream(batches))
    for batch, (_, coarse, _) in zip(batches, outputs, strict=True):
        np.testing.assert_allclose(coarse, batch.mean((1, 2)) / 255, rtol=1e-5)


class TestPlan:
    def test_without_a_gpu_openvino_runs_the_network(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(choose, "_gpu", lambda: None)
        assert make_plan().engine is EngineName.OPENVINO
        assert make_plan().device == "cpu"

    @pytest.mark.parametrize("native", [True, False])
    def test_bfloat16_is_taken_where_the_processor_has_it(
        self, native: bool, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(choose, "_gpu", lambda: None)
        monkeypatch.setattr(openvino, "has_bfloat16", lambda: native)
        expected = Precision.BFLOAT16 if native else Precision.FLOAT32
        assert make_plan().precision is expected
        assert make_plan(EngineName.OPENVINO, Precision.FLOAT32) == OPENVINO_F32

    def test_bfloat16_is_refused_where_it_would_be_emulated(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(openvino, "has_bfloat16", lambda: False)
        with pytest.raises(BackboneError, match="--precision f32"):
            make_plan(EngineName.OPENVINO, Precision.BFLOAT16)

    @pytest.mark.parametrize(
        ("device", "precision"),
        [("cuda", Precision.BFLOAT16), ("mps", Precision.FLOAT32), (None, Precision.FLOAT32)],
    )
    def test_pytorch_takes_the_gpu_and_its_best_precision(
        self, device: str | None, precision: Precision, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(choose, "_gpu", lambda: device)
        expected = EnginePlan(EngineName.PYTORCH, precision, device or "cpu")
        assert make_plan(EngineName.PYTORCH) == expected
        if device:
            assert make_plan() == expected

    def test_openvino_asked_for_by_name_looks_for_no_gpu(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(choose, "_gpu", lambda: pytest.fail("looked for a GPU"))
        assert make_plan(EngineName.OPENVINO).device == "cpu"

    def test_pytorch_that_is_not_installed_is_named_with_its_extra(
        self, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(choose, "find_spec", lambda name: None)
        with pytest.raises(MissingExtraError, match=r"\.\[torch\]"):
            make_plan(EngineName.PYTORCH)

    def test_whatever_may_change_a_digit_is_part_of_its_identity(self):
        plans = [OPENVINO_F32, OPENVINO_BF16, PYTORCH_F32, replace(PYTORCH_F32, device="cuda")]
        assert len({plan.identity() for plan in plans}) == len(plans)
        assert "openvino 20" in OPENVINO_F32.identity()


class TestWhatStepsIn:
    @pytest.fixture
    def unconvertible(self, lite0: Backbone, monkeypatch: pytest.MonkeyPatch) -> Backbone:
        """A backbone that only PyTorch can run."""

        def fail(*args: Any, **kwargs: Any) -> None:
            raise RuntimeError("no such operation: aten::strange\nand more")

        monkeypatch.setattr(torch.export, "export", fail)
        return replace(
            tiny_backbone(),
            preprocessing=lite0.preprocessing,
            network=lite0.network,
            has_graph=False,
        )

    def test_pytorch_runs_what_openvino_cannot_convert(self, unconvertible: Backbone):
        runner = build_engine(unconvertible, OPENVINO_BF16)
        assert runner.plan == PYTORCH_F32
        assert len(list(runner.stream([random_pixels(2)]))) == 1

    def test_openvino_asked_for_by_name_says_why_it_cannot(self, unconvertible: Backbone):
        with pytest.raises(ConversionError, match=r"aten::strange\); use --engine pytorch"):
            build_engine(unconvertible, OPENVINO_F32, requested=EngineName.OPENVINO)

    def test_a_graph_that_does_not_compile_counts_as_unconvertible(
        self, lite0: Backbone, monkeypatch: pytest.MonkeyPatch
    ):
        class Core:
            def compile_model(self, *args: Any) -> None:
                raise RuntimeError("unsupported")

        monkeypatch.setattr(openvino, "openvino_core", Core)
        with pytest.raises(ConversionError, match="unsupported"):
            build_engine(lite0, OPENVINO_F32, requested=EngineName.OPENVINO)
        assert build_engine(lite0, OPENVINO_F32).plan == PYTORCH_F32

    def test_openvino_runs_what_pytorch_lacks_a_package_for(self):
        def network() -> Any:
            raise MissingExtraError("tiny", extra="torch")

        backbone = replace(tiny_backbone(), network=network)
        plan = EnginePlan(EngineName.PYTORCH, Precision.BFLOAT16, "cuda")
        assert build_engine(backbone, plan).plan.engine is EngineName.OPENVINO
        with pytest.raises(MissingExtraError):
            build_engine(backbone, plan, requested=EngineName.PYTORCH)
        with pytest.raises(MissingExtraError):
            build_engine(replace(backbone, has_graph=False), plan)


def test_a_file_of_weights_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(BackboneError, match=r"absent\.safetensors"):
        load_backbone("resnet18", weights=tmp_path / "absent.safetensors")
