"The benchmarks compare the same things: networks, losses, updates, operations, measures."

import json
import math
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import contenders  # noqa: E402
import flops  # noqa: E402
import interleave as il  # noqa: E402
import oracles  # noqa: E402

from acgan_nb.models import ARCHITECTURES, build_discriminator, build_generator  # noqa: E402

SMALL = ("digits", "mnist", "cifar10", "cifar10_4x4")


def weights_of(net):
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_torch_networks_have_as_many_weights(arch):
    nets = pytest.importorskip("torch_nets")
    g, d = nets.Generator(arch), nets.Discriminator(arch)
    for theirs, ours in ((g, build_generator(arch)), (d, build_discriminator(arch))):
        assert weights_of(theirs) == sum(int(np.prod(w.shape)) for w in ours.trainable_weights)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("arch", SMALL)
def test_torch_networks_compute_the_same(arch, training):
    "With mirrored kernels, mirrored images; in training without noise and dropout."
    nets = pytest.importorskip("torch_nets")
    import torch

    g, d = build_generator(arch), build_discriminator(arch)
    theirs = nets.Generator(arch).train(training), nets.Discriminator(arch).train(training)
    for net, ours in zip(theirs, (g, d)):
        nets.copy_weights(net, ours)
        for module in net.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
    for layer in d.layers:
        if "dropout" in layer.name:
            layer.rate = 0.0
    rng = np.random.default_rng(0)
    z, labels = rng.standard_normal((6, 100), "float32"), np.arange(6)
    images = np.asarray(g([z, labels], training=training))
    with torch.no_grad():
        found = theirs[0](torch.tensor(z), torch.tensor(labels)).permute(0, 2, 3, 1).numpy()
        np.testing.assert_allclose(found[:, ::-1, ::-1], images, atol=2e-5)
        x = rng.uniform(-1, 1, images.shape).astype("float32")
        mirrored = torch.tensor(x[:, ::-1, ::-1].transpose(0, 3, 1, 2).copy())
        for ours, other in zip(d(x, training=training), theirs[1](mirrored)):
            np.testing.assert_allclose(other.numpy(), np.asarray(ours), atol=2e-5)


@pytest.mark.parametrize("arch", SMALL)
def test_operations_are_those_that_pytorch_counts(arch):
    nets = pytest.importorskip("torch_nets")
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    h, w, c = ARCHITECTURES[arch].image_shape
    trainer = nets.Trainer(arch, num_classes=7)
    with FlopCounterMode(display=False) as counter:
        trainer.step(torch.zeros(2, c, h, w, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64))
    assert counter.get_total_flops() == flops.step_flops(arch, 2, num_classes=7)


def test_operations_by_hand():
    "A 3x3 convolution of 8x8 pixels, stride 2: rows see 3 pixels, the last one 2."
    assert flops.taps(8, 4, 3, 2, useful=False) == 12
    assert flops.taps(8, 4, 3, 2, useful=True) == 11
    assert flops.taps(8, 8, 3, 1, useful=True) == 22
    assert flops.step_flops("cifar10") == pytest.approx(86e9, rel=0.01)
    assert flops.step_flops("cifar10", useful=True) < flops.step_flops("cifar10")


def test_pytorch_step_updates_d_then_g_then_the_average():
    nets = pytest.importorskip("torch_nets")
    import torch

    trainer = nets.Trainer("digits", noise=0.1)
    real = torch.randint(0, 256, (8, 1, 8, 8), dtype=torch.uint8)
    state = lambda net: torch.cat([p.detach().ravel().clone() for p in net.parameters()])  # noqa: E731
    before = [state(net) for net in (trainer.d, trainer.g, trainer.average)]
    losses = trainer.step(real, torch.arange(8))
    after = [state(net) for net in (trainer.d, trainer.g, trainer.average)]
    assert all(math.isfinite(loss) for loss in losses)
    for old, new in zip(before[:2], after[:2]):
        assert 0 < (new - old).abs().max() <= 2.1e-4  # Adam's first step
    torch.testing.assert_close(after[2], before[2] + 9 / 11 * (after[1] - before[2]))


class Turns:
    "A tick that ends the loop after so many pieces of work."

    def __init__(self, count):
        self.count, self.sync = count, None

    def __call__(self, pieces=1, value=None):
        self.count -= pieces
        if self.count <= 0:
            raise il.Finished


def test_classic_loop_trains_each_network_once_per_step(monkeypatch):
    "Not at all, or by both models, is what goes wrong in old Keras scripts."
    made = []
    build = contenders.classic_models
    monkeypatch.setattr(
        contenders, "classic_models", lambda *how: made.append(build(*how)) or made[0]
    )
    with pytest.raises(il.Finished):
        contenders.classic_loop(Turns(3), arch="digits", batch_size=10, jit_compile=False)
    g, d, combined = made[0]
    contenders.frozen(d.variables, False)
    assert int(d.optimizer.iterations) == int(combined.optimizer.iterations) == 3
    assert len(combined.optimizer._trainable_variables) == len(g.trainable_variables)
    assert len(d.optimizer._trainable_variables) == 2 * (4 + 3 + 1)  # convolutions, BN, linear


@pytest.mark.parametrize("other", oracles.ORACLES)
def test_measures_and_oracles_agree_on_what_is_timed(other):
    for package in ("torchmetrics", "prdc", "pytorch_msssim"):
        pytest.importorskip(package)
    name, oracle, _ = oracles.ORACLES[other]
    want = oracle(oracles.input_size(name, quick=True))()
    assert oracles.our_metric(name, True)() == pytest.approx(want, rel=1e-4)


def test_contenders_take_turns_and_one_may_fail():
    field = {name: (contenders.rest, {}) for name in "ab"}
    field["c"] = contenders.rest, dict(pieces=3)
    seconds, values, errors = il.interleave(field, rounds=3, pieces=2, pause=0)
    assert len(seconds["a"]) == len(seconds["b"]) == 3 and values["a"] == 0.01
    assert all(0.01 <= s < 1 for s in seconds["a"] + seconds["b"])
    assert errors == {"c": "RuntimeError: 3 pieces done"}
    ratios = [("a / b", "a", "b", ("<=", 100), ""), ("a / c", "a", "c", None, "")]
    good, bad = il.rows(ratios, seconds, errors)
    assert good["met"] and good["n"] == 3 and good["low"] <= good["ratio"] <= good["high"]
    assert bad["error"] == "c: RuntimeError: 3 pieces done" and "not measured" in il.line(bad)


def test_rows_and_targets():
    found = il.row("x", [1.0, 2.0, 3.0], [2.0, 2.0, 2.0], (">=", 1.2))
    assert (found["low"], found["ratio"], found["high"]) == (0.75, 1.0, 1.25)
    assert (found["ours"], found["theirs"], found["met"]) == (2.0, 2.0, False)
    assert "at least 1.2: NOT reached" in il.line(found)


def test_sections_are_resumed(tmp_path, monkeypatch):
    monkeypatch.setattr(il, "busy", partial(il.busy, seconds=0.1))
    calls, out = [], tmp_path / "benchmarks.json"
    found = dict(config={}, rows=[il.row("x", [1.0], [2.0])])
    sections = {name: lambda name=name: calls.append(name) or found for name in ("one", "two")}
    il.run_sections(sections, out, "command", ["one"])
    il.run_sections(sections, out, "command")
    il.run_sections(sections, out, "command")
    assert calls == ["one", "two"]
    il.run_sections(sections, out, "command", ["two"])
    assert calls == ["one", "two", "two"]
    sections["three"] = lambda: dict(config={}, rows=[il.failed("x", "a driver was missing")])
    for _ in range(2):
        il.run_sections(sections, out, "command")
    assert not il.measured(il.read_record(out), "three") and il.measured(il.read_record(out), "one")
    assert calls == ["one", "two", "two"]
    record = json.loads(out.read_text())["sections"]["one"]
    assert record["rows"][0]["ratio"] == 0.5
    assert record["hardware"]["cores"] and record["versions"]["keras"] and "busy_before" in record


@pytest.mark.parametrize("flags", ["fpu avx512_bf16", "amx_bf16", "fpu avx512f", None])
def test_native_bfloat16_is_what_the_processor_says(flags, tmp_path):
    if flags:
        (tmp_path / "cpuinfo").write_text(f"flags : {flags}\n")
    assert il.native_bfloat16(tmp_path / "cpuinfo") == ("bf16" in (flags or ""))


@pytest.mark.parametrize("script", ["speed.py", "gpu.py"])
def test_an_unknown_section_is_one_clear_line(script):
    command = [sys.executable, BENCHMARKS / script, "--only", "nothing"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and "no section 'nothing'" in done.stderr
