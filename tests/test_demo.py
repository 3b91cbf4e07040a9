"""The live page in a headless browser: it draws what `Run.sample` draws, and asks nobody else for anything."""

import functools
import http.server
import io
import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from acgan_nb import export
from acgan_nb.cli import main
from acgan_nb.export import RUNTIME, find_runtime, write_demo
from acgan_nb.sampling import draw_latents, generate, latent_directions
from acgan_nb.storage import results_folder
from acgan_nb.train import load_pretrained

pytest.importorskip("tf2onnx", reason="needs the extra `export`")
LIVE = export.live_folder()
LATER = ("model.json", "model.onnx", "ort.js", "ort.wasm")  # what the first click loads


@pytest.fixture(scope="module")
def run():
    return load_pretrained("mnist")


# --- the folder ---


@pytest.fixture(scope="module")
def no_runtime(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    for file in RUNTIME:
        (folder / file).write_bytes(b"x" * 2_000_000)
    return folder


def test_command_writes_a_folder_and_says_sizes(no_runtime, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = ["demo", "digits", "--outdir", "page", "--runtime", str(no_runtime)]
    for _ in range(2):  # the second replaces the first
        done = CliRunner().invoke(main, command)
        assert (done.exit_code, done.stderr) == (0, "")
        assert "page 0.0 MB, runtime 4.0 MB, digits 0.5 MB" in done.stdout
        assert [path.name for path in tmp_path.iterdir()] == ["page"]
    names = {p.relative_to("page").as_posix() for p in Path("page").rglob("*") if p.is_file()}
    assert names == {"index.html", "generator.js", "generator.css", "runtime/ort.js",
                     "runtime/ort.wasm", *(f"digits/{n}" for n in ("model.onnx", "model.json", "poster.png"))}
    about = json.loads(Path("page/digits/model.json").read_text())
    assert about["bytes"] == Path("page/digits/model.onnx").stat().st_size
    assert np.allclose(about["directions"], latent_directions(load_pretrained("digits").generator)[0], atol=1e-6)


def test_mistakes_are_one_line(no_runtime, tmp_path, monkeypatch):
    (full := tmp_path / "full").mkdir()
    (full / "thesis.tex").touch()
    shutil.copytree(results_folder("digits"), tmp_path / "page")
    monkeypatch.setattr("acgan_nb.cli.start_backend", None)  # before Keras is there
    for arguments, line in (
        (["digits", "--outdir", str(full)], "holds something else, 'thesis.tex'; choose another outdir"),
        (["digits", "--runtime", str(tmp_path)], "no ONNX Runtime Web in"),
        (["digits", "digits"], "each run needs a folder name of its own, got digits, digits"),
        (["nosuchrun"], "no run in 'nosuchrun'"),
        ([str(tmp_path / "page")], "a demo has no room for a run called 'page': rename its folder"),
    ):
        done = CliRunner().invoke(main, ["demo", *arguments])
        assert done.exit_code == 2 and line in done.stderr and done.stderr.count("\n") == 1


def test_a_folder_with_files_of_others_is_not_replaced(no_runtime, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = ["demo", "digits", "--runtime", str(no_runtime), "--outdir"]
    assert CliRunner().invoke(main, [*command, "page"]).exit_code == 0
    Path("page/CNAME").write_text("mine.org")
    done = CliRunner().invoke(main, [*command, "page"])
    assert done.stderr == "acgan: page holds something else, 'CNAME'; choose another outdir\n"
    assert Path("page/CNAME").read_text() == "mine.org"
    monkeypatch.chdir(Path("empty").mkdir() or "empty")
    done = CliRunner().invoke(main, [*command, "."])
    assert done.stderr == "acgan: outdir '.' is the working directory; choose a new folder\n"


def test_without_npm_or_network_a_line_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(export, "live_folder", lambda: shutil.copytree(LIVE, tmp_path / "live", dirs_exist_ok=True))
    monkeypatch.setattr(export.shutil, "which", lambda name: None)
    with pytest.raises(FileNotFoundError, match="install Node.js, or give the folder dist of onnxr"):
        find_runtime()
    failing = tmp_path / "npm"
    failing.write_text("#!/bin/sh\necho npm warn old setting >&2\necho npm error: no network >&2\nexit 1\n")
    failing.chmod(0o755)
    monkeypatch.setattr(export.shutil, "which", lambda name: str(failing))
    with pytest.raises(OSError, match=r"npm could not install onnxruntime-web.*\(npm error: no network\)"):
        find_runtime()
    assert not list(tmp_path.glob("acgan_nb/*"))


def test_locked_runtime_is_the_wanted_one():
    wanted = json.loads((LIVE / "package.json").read_text())["dependencies"]
    locked = json.loads((LIVE / "package-lock.json").read_text())["packages"]
    assert locked[""]["dependencies"] == wanted
    for name, version in wanted.items():
        assert locked[f"node_modules/{name}"]["version"] == version
    assert all("integrity" in p and "resolved" not in p for name, p in locked.items() if name)


# --- the page ---


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def url(run, tmp_path_factory):
    "The page of one generator, served by Python."
    try:
        runtime = find_runtime()
    except OSError as error:
        pytest.skip(f"no browser test: {error}")
    folder = tmp_path_factory.mktemp("demo") / "page"
    write_demo({"mnist": run}, folder, runtime)
    handler = functools.partial(Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


WATCH = """
window.shift = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shift += entry.value;
}).observe({type: "layout-shift", buffered: true});
"""


@pytest.fixture
def opened(browser, url):
    "A function that opens the page; afterwards, nobody else was asked and nothing went wrong."
    wrong, contexts = [], []

    def open_page(width=1440, fail=None, **options):
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.seen = []
        page.on("request", lambda r: page.seen.append(r.url.removeprefix(url)))
        page.add_init_script(WATCH)
        if fail:
            page.route(f"**/{fail}", lambda route: route.fulfill(status=404))
        else:
            page.on("console", lambda m: m.type == "error" and wrong.append(m.text))
            page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(url)
        return page

    yield open_page
    outside = [u for c in contexts for p in c.pages for u in p.seen if "://" in u]
    for context in contexts:
        context.close()
    assert (wrong, outside) == ([], [])


def generated(page, click="text=Start"):
    page.click(click)
    page.wait_for_selector(".ag-image:not([hidden])", timeout=60_000)
    page.evaluate("acgan.busy")
    return page


def canvas(page, selector=".ag-image"):
    "The pixels of a canvas, (H, W)."
    data = page.evaluate("""(s) => { const c = document.querySelector(s);
        return [c.width, c.height, ...c.getContext("2d").getImageData(0, 0, c.width, c.height).data]; }""", selector)
    w, h, *rgba = data
    return np.array(rgba, "uint8").reshape(h, w, 4)[..., 0]


def latent(page, expression="acgan.latent()"):
    return np.array(page.evaluate(f"[...{expression}]"))


def near(a, b):
    "Equal within one grey level."
    return a.shape == b.shape and abs(a.astype(int) - b.astype(int)).max() <= 1


def move(page, label, value):
    page.get_by_label(label, exact=True).fill(str(value))
    page.evaluate("acgan.busy")


@pytest.mark.parametrize("width", [390, 1440])
def test_before_the_first_click(width, opened, url):
    page = opened(width)
    assert not [name for name in page.seen if name.endswith(LATER)]
    sizes = page.evaluate("performance.getEntriesByType('resource').map((e) => e.encodedBodySize)")
    assert 5_000 < sum(sizes) < 1_500_000
    assert page.evaluate("document.querySelector('.ag-poster').naturalWidth") == 280
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    box = page.locator(".ag-stage").bounding_box()
    assert box["width"] == pytest.approx(box["height"], abs=1)
    generated(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.locator(".ag-stage").bounding_box() == pytest.approx(box)
    assert page.evaluate("shift") < 0.01
    assert {name.rpartition("/")[2] for name in page.seen} >= set(LATER)


def test_pixels_are_those_of_the_run(opened, run):
    "`window.acgan.sample` loads what it needs, and rounds as `to_pixels` does."
    page, labels = opened(), [3, 1, 4, 1, 5, 9, 2, 6]
    z = run.latents(len(labels), seed=4)
    ask = "([z, labels]) => acgan.sample(new Float32Array(z), labels).then((p) => [...p])"
    found = page.evaluate(ask, [z.ravel().tolist(), labels])
    expected = run.sample(labels, seed=4)
    found = np.array(found, "uint8").reshape(expected.shape)
    assert near(found, expected) and (found == expected).mean() > 0.999 and expected.std() > 50


def test_controls(opened, run):
    "The image is G's of the class and of z: the base, truncated as in Python, moved along directions."
    page = generated(opened())
    base = latent(page, "acgan.base")
    assert base.shape == (100,) and 0.7 < base.std() < 1.3
    assert near(canvas(page), generate(run.generator, base[None], [0])[0, ..., 0])
    seven = page.get_by_role("button", name="7", exact=True)
    seven.focus()
    page.keyboard.press("Enter")
    page.evaluate("acgan.busy")
    assert seven.get_attribute("aria-pressed") == "true"
    assert page.locator(".ag-class[aria-pressed=true]").count() == 1
    before = canvas(page)
    assert near(before, generate(run.generator, base[None], [7])[0, ..., 0])
    move(page, "Direction 2", 3)
    directions, _ = latent_directions(run.generator)
    expected = base + 3 * directions[1]
    assert np.allclose(latent(page), expected, atol=1e-4)
    assert near(canvas(page), generate(run.generator, expected[None], [7])[0, ..., 0])
    assert abs(canvas(page).astype(int) - before).max() > 50
    row = generate(run.generator, np.tile(expected, (10, 1)), range(10))[..., 0]
    assert near(canvas(page, ".ag-row"), np.concatenate(row, axis=1))
    page.click("text=Reset")
    move(page, "Truncation", 1)
    assert abs(latent(page)).max() <= 1 and page.locator(".ag-value").last.text_content() == "±1.0"
    page.evaluate("acgan.limit = 3")  # what the seed 5 gives in Python, truncated by the page
    z = draw_latents(1, 100, seed=5)[0].tolist()
    ours = latent(page, f"(acgan.limit = 0.8, acgan.latent(Float64Array.from({z})))")
    assert np.allclose(ours, draw_latents(1, 100, seed=5, truncation=0.8)[0], atol=1e-5)


def test_another_and_download(opened):
    page = generated(opened(), "text=Another")
    first = latent(page, "acgan.base")
    page.click("text=Another")
    page.evaluate("acgan.busy")
    assert abs(latent(page, "acgan.base") - first).max() > 0.5
    with page.expect_download() as download:
        page.click("text=Download PNG")
    assert download.value.suggested_filename == "mnist_0.png"
    image = np.asarray(Image.open(io.BytesIO(Path(download.value.path()).read_bytes())))
    assert (image[..., 0] == np.kron(canvas(page), np.ones((9, 9), "uint8"))).all()


def test_walk(opened):
    page = generated(opened())
    first = latent(page, "acgan.base")
    page.click("text=Walk")
    page.wait_for_function("acgan.walking?.begin !== undefined && acgan.base !== acgan.walking.from")
    assert page.get_by_role("button", name="Walk").get_attribute("aria-pressed") == "true"
    page.wait_for_timeout(700)
    page.click("text=Walk")
    page.evaluate("acgan.busy")
    there = latent(page, "acgan.base")
    assert abs(there - first).max() > 0.1 and 0.8 < np.linalg.norm(there) / np.linalg.norm(first) < 1.25
    page.wait_for_timeout(300)
    assert (latent(page, "acgan.base") == there).all()
    assert page.get_by_role("button", name="Walk").get_attribute("aria-pressed") == "false"


def test_another_during_a_walk(opened):
    page = generated(opened())
    first = latent(page, "acgan.base")
    page.click("text=Walk")
    page.wait_for_function("acgan.walking?.begin !== undefined && acgan.base !== acgan.walking.from")
    page.click("text=Another")
    page.evaluate("acgan.busy")
    assert not page.locator(".ag-failed").count() and not page.evaluate("acgan.walking")
    there = latent(page, "acgan.base")
    assert there.shape == first.shape and abs(there - first).max() > 0.1


def test_walk_stands_still_where_motion_is_reduced(opened):
    page = generated(opened(reduced_motion="reduce"))
    base, row = latent(page, "acgan.base"), canvas(page, ".ag-row")
    page.click("text=Walk")
    page.evaluate("acgan.busy")
    assert (latent(page, "acgan.base") == base).all() and not page.evaluate("acgan.walking")
    steps = canvas(page, ".ag-row")
    assert near(steps[:, :28], canvas(page)) and steps.shape == row.shape and (steps != row).any()
    assert "A walk from one latent vector to another, 0" in page.text_content(".ag-bottom")


def test_dark_and_light(opened):
    shade = "getComputedStyle(document.querySelector('.acgan-generator')).backgroundColor"
    colours = [opened(color_scheme=scheme).evaluate(shade) for scheme in ("light", "dark")]
    assert colours == ["rgb(255, 255, 255)", "rgb(28, 32, 40)"]


def test_a_missing_file_is_said_and_can_be_tried_again(opened):
    page = opened(fail="model.onnx")
    page.click("text=Start")
    page.wait_for_selector(".ag-failed")
    assert "This did not work: /mnist/model.onnx is missing (404)" in page.text_content(".ag-status")
    page.unroute("**/model.onnx")
    generated(page)
    assert not page.locator(".ag-failed").count() and "11 images in" in page.text_content(".ag-status")
