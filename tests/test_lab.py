"""The AC-GAN Lab: its step is the package's, its games end as the pages say, browsers run it.

Node runs the mathematics, headless Chromium the page; without them these tests are skipped."""

import json
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from acgan_nb.gan import ACGAN, LOGS, adam
from acgan_nb.heads import HEADS
from acgan_nb.losses import generator_loss
from acgan_nb.settings import choices

LIVE = Path(__file__).parents[1] / "nbs" / "live"
TERMS = "source_real source_fake class_real class_fake source class".split()
NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="needs node")


def node(code, given):
    "What an ES module of this `code` makes of `given`: it finds it as `given` and calls `give`."
    scripts = {name: (LIVE / f"{name}.js").as_uri() for name in ("game", "plane")}
    lines = [f"import * as {name} from {json.dumps(uri)};" for name, uri in scripts.items()]
    lines += ["import { readFileSync } from 'fs';", "const given = JSON.parse(readFileSync(0));"]
    lines += ["const give = (x) => console.log(JSON.stringify(x));", code]
    command = [NODE, "--input-type=module", "--eval", "\n".join(lines)]
    done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


# One step against Keras

K, BATCH, STEPS_BEFORE = 3, 20, 7
WITHOUT = [[], *([term] for term in TERMS), TERMS[:2] + TERMS[4:5], TERMS[2:4] + TERMS[5:]]
GAMES = [("acgan", "non_saturating", 1.0), ("acgan", "minimax", 0.5)]
GAMES += [("adc", "non_saturating", 2.0), ("adc", "minimax", 0.25)]


class ACGANWithout(ACGAN):
    "Terms can be taken out of the objectives."

    without = ()

    def left_out(self, terms, weight):
        weights = {name: weight if name.startswith("class") else 1.0 for name in self.without}
        return sum(weight * terms[name] for name, weight in weights.items() if name in terms)

    def d_objective(self, *batch, **options):
        loss, logs = super().d_objective(*batch, **options)
        loss = loss - self.left_out(logs, self.game["class_weight"])
        return loss, {**logs, "d_loss": loss}

    def g_objective(self, fake, labels, **options):
        loss, logs = super().g_objective(fake, labels, **options)
        outputs, class_term = self.discriminator(fake), self.head.g_term
        objective = self.game["objective"]
        _, terms = generator_loss(outputs, labels, class_term=class_term, objective=objective)
        loss = loss - self.left_out(terms, self.game["g_class_weight"])
        return loss, {**logs, "g_loss": loss}


def mlp(x, last, activation=None):
    for _ in range(2):
        x = layers.LeakyReLU(negative_slope=0.2)(layers.Dense(32)(x))
    return layers.Dense(last, activation)(x)


def gan_of(head, objective, class_weight):
    z, labels, point = keras.Input((4,)), keras.Input((), dtype="int32"), keras.Input((2,))
    told = layers.Concatenate()([z, keras.ops.one_hot(labels, K)])
    generator = keras.Model([z, labels], mlp(told, 2, "tanh"))
    logits = mlp(point, HEADS[head].units(K))
    gan = ACGANWithout(generator, keras.Model(point, HEADS[head]()(logits)), ema=0.99, seed=1)
    options = dict(objective=objective, class_weight=class_weight, run_eagerly=True)
    gan.compile(adam(0.03), adam(0.02), **options)
    return gan


def set_state(gan, rng):
    "Weights, moments and averages as in the middle of a game, the same for all terms."
    for network in (gan.generator, gan.discriminator, gan.ema_generator):
        network.set_weights([rng.normal(0, 0.3, w.shape) for w in network.get_weights()])
    for optimizer in (gan.g_optimizer, gan.d_optimizer):
        optimizer.iterations.assign(STEPS_BEFORE)
        for m, v in zip(optimizer._momentums, optimizer._velocities):
            m.assign(rng.normal(0, 0.03, m.shape))
            v.assign(rng.uniform(1e-4, 1e-2, v.shape))
    gan.reset_metrics()


def flat(arrays):
    return [np.asarray(a, "float64").ravel().tolist() for a in arrays]


def state_of(gan):
    def moments(optimizer):
        return {"m": flat(optimizer._momentums), "v": flat(optimizer._velocities)}

    networks = {name: flat(getattr(gan, name).weights) for name in NETWORKS}
    optimizers = {name: moments(getattr(gan, name)) for name in ("g_optimizer", "d_optimizer")}
    return {**networks, **optimizers, "step": int(gan.g_optimizer.iterations)}


NETWORKS = ("generator", "discriminator", "ema_generator")


def settings_of(head, objective, class_weight, without):
    rates = {"g_learning_rate": 0.03, "d_learning_rate": 0.02}
    game = {"head": head, "objective": objective, "class_weight": class_weight}
    return {**game, **rates, "classes": K, "without": without}


def both_steps(game):
    "For each list of terms left out: the state before Keras' step, the one after it, and its logs."
    rng = np.random.default_rng(0)
    real = rng.uniform(-1, 1, (BATCH, 2)).astype("float32")
    real_labels = rng.integers(0, K, BATCH).astype("int32")
    gan = gan_of(*game)
    for without in WITHOUT:
        set_state(gan, np.random.default_rng(1))
        gan.without = without
        gan.set_randomness(STEPS_BEFORE)
        z, fake_labels = gan.draw(BATCH)
        batch = flat([real, real_labels, z, fake_labels])
        batch = dict(zip(("real", "real_labels", "z", "fake_labels"), batch))
        before = {**state_of(gan), "settings": settings_of(*game, without), "batch": batch}
        logs = gan.train_step((keras.ops.convert_to_tensor(real), real_labels))
        yield before, state_of(gan), {name: float(logs[name]) for name in LOGS}


@pytest.fixture(scope="module")
def steps():
    "All steps of all games, by Keras and by node: (before, after, logs, node's after and logs)."
    made = {(game, i): s for game in GAMES for i, s in enumerate(both_steps(game))}
    code = "give(given.map((state) => plane.plain(game.step(plane.typed(state)))));"
    by_node = node(code, [before for before, _, _ in made.values()])
    return {key: (*step, other) for (key, step), other in zip(made.items(), by_node, strict=True)}


@needs_node
@pytest.mark.parametrize(
    "without", range(len(WITHOUT)), ids=lambda i: "+".join(WITHOUT[i]) or "all"
)
@pytest.mark.parametrize("game", GAMES, ids=lambda game: "-".join(game[:2]))
def test_step_is_that_of_the_package(steps, game, without):
    before, after, logs, other = steps[game, without]
    near = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5)
    near([other["logs"][n] for n in LOGS], [logs[n] for n in LOGS])
    assert other["state"]["step"] == after["step"] == STEPS_BEFORE + 1
    for name in NETWORKS:
        ours, theirs, start = map(
            np.concatenate, (s[name] for s in (after, other["state"], before))
        )
        near(theirs, ours)
        assert np.abs(ours - start).max() > 1e-3  # so a step that does nothing would be noticed
    for name in ("g_optimizer", "d_optimizer"):
        for moment, atol in (("m", 1e-5), ("v", 1e-7)):
            near(*(np.concatenate(s[name][moment]) for s in (other["state"], after)), atol=atol)


# Whole games

PLAY = """
give(given.map(([text, steps]) => {
  const { settings } = plane.from_link(text), real = plane.real_points(settings, 2000, 0);
  let state = game.new_game(settings), logs;
  for (let i = 0; i < steps; i++) {
    ({ state, logs } = game.step({ ...state, batch: plane.batch_of(state, real) }));
  }
  const made = plane.samples(state, 600), fresh = plane.real_points(settings, 500, 1);
  const scores = plane.scores(made, fresh, plane.reach_of(settings));
  const other = plane.scores(plane.real_points(settings, 600, 9), fresh, plane.reach_of(settings));
  return plane.plain({ ...made, logs, scores, other });
}));
"""
RING, SHORT = 5, 500
GAMES_OF_THE_PAGE = {"all terms": "ring", **{term: f"ring;without={term}" for term in TERMS}}
GAMES_OF_THE_PAGE |= {"overlapping classes": "overlap", "the same, ADC-GAN": "overlap;head=adc"}


@pytest.fixture(scope="module")
def games():
    "What became of the games of the page's table, and of the default one after 1500 steps."
    plan = {
        **{name: (text, SHORT) for name, text in GAMES_OF_THE_PAGE.items()},
        "long": ("ring", 1500),
    }
    return dict(zip(plan, node(PLAY, list(plan.values())), strict=True))


def seen(game):
    "Shares of samples of class i (row) that are nearest to the blob of class j; distances."
    turn = 2 * np.pi * (np.arange(RING) / RING + 0.25)
    middles = 0.7 * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    points = np.reshape(game["points"], (-1, 2))
    distance = np.linalg.norm(points[:, None] - middles, axis=-1)
    counts = np.zeros((RING, RING))
    np.add.at(counts, (game["labels"], distance.argmin(1)), 1)
    return counts / counts.sum(1, keepdims=True), distance.min(1)


@needs_node
def test_long_game_makes_points_of_the_class_asked_for(games):
    shares, distance = seen(games["long"])
    assert np.trace(shares) / RING >= 0.95 and np.mean(distance < 3 * 0.07) >= 0.95
    assert games["long"]["scores"]["covered"] >= 0.95


def spread(game):
    "Standard deviation within the classes, of which real points have 0.07 along each axis."
    points, labels = np.reshape(game["points"], (-1, 2)), np.array(game["labels"])
    return np.mean([points[labels == k].std(0).mean() for k in range(RING)])


FAILURES = {  # as on the page of the loss terms
    "source_real": lambda g: spread(g) < 0.2 * 0.07 and g["logs"]["d_x"] < 0.01,  # collapse
    "source_fake": lambda g: np.mean(seen(g)[1] < 0.21) < 0.5 and g["logs"]["d_gz_after"] > 0.99,
    "class_real": lambda g: (  # another class, the same one for all points of a label
        sorted(seen(g)[0].argmax(1)) == list(range(RING)) and seen(g)[0].max(1).min() > 0.9
        and np.trace(seen(g)[0]) < RING - 1 and g["logs"]["class_real"] > np.log(RING)
    ),
    "source": lambda g: np.mean(seen(g)[1] < 0.21) < 0.5 and g["logs"]["d_gz_after"] < 0.05,
    "class": lambda g: (  # which the source terms do not show
        np.trace(seen(g)[0]) / RING < 0.5 and abs(g["logs"]["d_gz_after"] - 0.5) < 0.1
    ),
}  # fmt: skip


@needs_node
@pytest.mark.parametrize("term", FAILURES)
def test_game_without_a_term_fails_as_described(games, term):
    assert FAILURES[term](games[term]) and not FAILURES[term](games["all terms"])


@needs_node
def test_game_without_class_fake_does_not_fail(games):
    shares, distance = seen(games["class_fake"])
    assert np.trace(shares) / RING >= 0.95 and np.mean(distance < 0.21) >= 0.95
    assert not any(fails(games["class_fake"]) for fails in FAILURES.values())


def page(name):
    cells = json.loads((LIVE.parent / "explain" / f"{name}.ipynb").read_text(encoding="utf-8"))[
        "cells"
    ]
    return cells, "\n".join("".join(cell["source"]) for cell in cells)


@needs_node
@pytest.mark.parametrize("name", GAMES_OF_THE_PAGE)
def test_table_of_the_page_is_true(games, name):
    label = f"without `{name}`" if name in TERMS else name
    _, text = page("lab")
    (row,) = re.findall(
        rf"^\| \[{re.escape(label)}\]\(#lab={re.escape(GAMES_OF_THE_PAGE[name])}\) .*", text, re.M
    )
    written = [int(share) / 100 for share in re.findall(r"(\d+)%", row)]
    assert f"after {SHORT} steps" in text
    np.testing.assert_allclose(written, list(games[name]["scores"].values()), atol=0.02)
    if name == "overlapping classes":  # and of new real points
        (written,) = re.findall(r"only (\d+)% are\nnearest to a point of their own class", text)
        assert games[name]["other"]["class"] == pytest.approx(int(written) / 100, abs=0.02)


LINKS = {
    "ring": "ring", "ring;classes=5;seed=0": "ring", "": "ring", "no such data;seed=x": "ring",
    "face;without=class,source_real": "face;without=source_real,class",
    "pinwheel;classes=9;class_weight=1e9;head=no": "pinwheel;class_weight=10",
    "ring;batch_size=2;seed=1.7": "ring;batch_size=10;seed=2",
    "ring;classes=6;without=source;objective=minimax;head=adc;class_weight=0.5;"
    "g_learning_rate=0.001;d_learning_rate=0.004;batch_size=50;seed=3": None,
    "drawn;classes=4;points=0hs0k3zzhs9zzzz": "drawn;classes=4;points=0hs0k3zzhs",  # no class 9
}  # fmt: skip


@needs_node
def test_links_carry_all_settings_and_survive_nonsense():
    code = (
        "give(given.map((t) => plane.from_link(t)).map((x) => plane.to_link(x.settings, x.drawn)));"
    )
    assert node(code, list(LINKS)) == [kept or text for text, kept in LINKS.items()]


def test_settings_in_links_have_the_names_of_the_package():
    "The form's names are those of `compile`, of the settings table, and of the terms."
    text = (LIVE / "plane.js").read_text(encoding="utf-8") + (LIVE / "game.js").read_text(
        encoding="utf-8"
    )
    for name in ("class_weight", "batch_size", "objective", "seed", *choices("objective"), *TERMS):
        assert re.search(rf"\b{name}\b", text), name
    assert len((LIVE / "game.js").read_text(encoding="utf-8").splitlines()) <= 300


# The pages and the browser

EMBEDDED = ("lab", "the_idea", "loss_terms")


def html_of(name):
    "The HTML with which a page shows its labs: cells of text, and what cells of code made."
    cells, _ = page(name)
    made = ["".join(c["source"]) for c in cells if c["cell_type"] == "markdown"]
    outputs = [o for c in cells for o in c.get("outputs", ())]
    return "\n".join(made + ["".join(o.get("data", {}).get("text/html", "")) for o in outputs])


@pytest.mark.parametrize("name", EMBEDDED)
def test_pages_load_what_there_is(name):
    html = html_of(name)
    loaded = re.findall(r'(?:src|href)="(\.\./[^"]+)"', html)
    assert sorted(loaded) == ["../live/lab.css", "../live/lab.js"]
    for path in loaded:
        assert (LIVE.parent / "explain" / path).is_file()
    for script in LIVE.glob("*.js"):
        for imported in re.findall(r'from "(.+?)";', script.read_text(encoding="utf-8")):
            assert (LIVE / imported).is_file(), (script.name, imported)
    assert html.count('class="acgan-lab"') == html.count('class="lab-wait"') > 0


@needs_node
def test_pages_link_to_games_that_there_are():
    html = "\n".join(map(html_of, EMBEDDED))
    texts = sorted(set(re.findall(r'(?:#lab=|data-lab=")([^)"\s]+)', html)))
    assert {*GAMES_OF_THE_PAGE.values(), "face"} <= {*texts}
    assert {f"pinwheel;without={term}" for term in TERMS} <= {*texts}
    code = "give(given.map((t) => plane.to_link(plane.from_link(t).settings, { labels: [] })));"
    assert node(code, texts) == texts


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    "The address of a page as Quarto would make it, with nothing but the lab of the page `lab`."
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(LIVE, folder / "live")
    (folder / "explain").mkdir()
    head = '<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">'
    lab = html_of("lab").partition("\n<link")[2]
    html = f"<!doctype html><html><head>{head}</head><body><link{lab}<p>below</p></body></html>"
    (folder / "explain" / "lab.html").write_text(html, encoding="utf-8")
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        port = re.search(r"port (\d+)", server.stdout.readline())[1]
        yield f"http://127.0.0.1:{port}/explain/lab.html"
        server.terminate()


SHIFTS = """
window.shifted = 0;
new PerformanceObserver((list) => list.getEntries().forEach((e) => { window.shifted += e.value; }))
  .observe({ type: "layout-shift", buffered: true });
"""


def train_to(tab, steps):
    tab.click(".lab-play")
    tab.wait_for_function(
        f"document.querySelector('.acgan-lab').dataset.step >= {steps}", timeout=120_000
    )
    tab.click(".lab-play")
    return {
        n: int(tab.inner_text(f"[data-score={n}]").split()[0]) for n in ("class", "near", "covered")
    }


def draw_with_the_pointer(tab):
    "How many points there are after the left button, the right one, and much drawing; what is said."
    count = "document.querySelector('.lab-note a').hash.split('points=')[1]?.length / 5 || 0"
    box, found = tab.locator(".lab-plane").bounding_box(), []
    tab.get_by_role("button", name="Clear the drawing").click()
    x, y, side = box["x"], box["y"], box["width"]
    for button in ("left", "right"):
        tab.mouse.move(x + 0.2 * side, y + 0.5 * side)
        tab.mouse.down(button=button)
        tab.mouse.move(x + 0.8 * side, y + 0.5 * side, steps=60)
        tab.mouse.up(button=button)
        found.append(tab.evaluate(count))
    tab.evaluate("""() => {  // a finger that slides off the plane is still captured by it
        const plane = document.querySelector(".lab-plane"), { right, top } = plane.getBoundingClientRect();
        for (let k = 1; k < 20; k++) {
            const where = { clientX: right + 9 * k, clientY: top + 9 * k, buttons: 1, bubbles: true };
            plane.dispatchEvent(new PointerEvent("pointermove", where));
        }
    }""")
    found.append(tab.evaluate(count))
    tab.mouse.down()
    for k in range(10):
        tab.mouse.move(x + (0.2 + 0.6 * (k % 2)) * side, y + (0.1 + 0.08 * k) * side, steps=50)
    tab.mouse.up()
    found += [tab.evaluate(count), tab.text_content(".lab-hidden"), tab.is_visible("text=is full")]
    tab.get_by_role("button", name="Clear the drawing").click()
    tab.focus(".lab-plane")
    for _ in range(63):  # eight points each, four the last time
        tab.keyboard.press("Enter")
    return [*found, tab.evaluate(count), tab.text_content(".lab-hidden")]


def follow_links(tab):
    "Where the lab is after a link to the game that is played: from the text, and its own."
    tab.evaluate("""() => {
        const words = '<p><a href="#lab=pinwheel">asked</a></p><div style="height: 3000px"></div>';
        document.body.insertAdjacentHTML("beforeend", words);
    }""")
    tab.click("text=Step")
    places = []
    for name in ("Link to these settings", "asked", "asked"):
        tab.get_by_role("link", name=name, exact=True).click()
        top = "document.querySelector('.acgan-lab').getBoundingClientRect().top"
        step = tab.get_attribute(".acgan-lab", "data-step")
        places.append((abs(tab.evaluate(top)) < 2, step))
        tab.mouse.wheel(0, 400)
    return places


@pytest.fixture(scope="module")
def journey(browser, served, steps):
    "What a visitor with a phone sees, from opening the page to drawing points."
    seen = {"errors": [], "requests": []}
    with browser.new_page(viewport={"width": 390, "height": 844}) as tab:
        tab.on(
            "console", lambda m: m.type in ("error", "warning") and seen["errors"].append(m.text)
        )
        tab.on("pageerror", lambda error: seen["errors"].append(str(error)))
        tab.on("request", lambda request: seen["requests"].append(request.url))
        tab.add_init_script(SHIFTS)
        tab.goto(served)
        tab.wait_for_selector(".lab-play")
        seen["poster left"] = tab.locator("img").count()
        seen["all terms"] = train_to(tab, 1500)
        before, after, *_ = steps[GAMES[0], 0]
        seen["step"] = tab.evaluate("(state) => window.acganLab.step(state)", before)
        tab.uncheck("input[name=source]")
        tab.get_by_role("button", name="Reset").click()
        seen["without source"] = train_to(tab, 300)
        seen["widths"] = tab.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        seen["shifted"] = tab.evaluate("window.shifted")
        seen["link"] = tab.get_by_role("link", name="Link to these settings").get_attribute("href")
        tab.goto(f"{served}{seen['link']}")
        tab.reload()
        seen["checked"] = [tab.is_checked(f"input[name={term}]") for term in TERMS]
        tab.select_option("select[name=data]", "drawn")
        seen["empty"] = tab.is_disabled(".lab-play")
        tab.focus(".lab-plane")
        seen["heard"] = []
        for key in ("ArrowLeft", "ArrowUp", "Enter"):
            tab.keyboard.press(key)
            seen["heard"].append(tab.text_content(".lab-hidden"))
        seen["drawn"] = tab.get_by_role("link", name="Link to these settings").get_attribute("href")
        tab.select_option("select[name=classes]", "6")
        tab.get_by_label("draw class 5").check()
        tab.focus(".lab-plane")
        tab.keyboard.press("Enter")
        links = []
        for classes in "63":
            tab.select_option("select[name=classes]", classes)
            links.append(tab.get_by_role("link", name="Link to these settings").get_attribute("href"))
        tab.click("text=Step")
        seen["fewer classes"] = [*links, tab.text_content("[data-term=class_real]")]
        seen["strokes"] = draw_with_the_pointer(tab)
        tab.evaluate("location.hash = '#lab=drawn'")
        seen["kept"] = tab.get_by_role("link", name="Link to these settings").get_attribute("href")
        tab.click("text=Step")
        tab.select_option("select[name=data]", "pinwheel")
        seen["said"] = tab.text_content(".lab-hidden")
        seen["asked"] = follow_links(tab)
        seen["names"] = tab.get_by_role("checkbox", name="source_real").count()
    return seen


@needs_node
def test_browser_trains_the_game(journey):
    assert min(journey["all terms"].values()) >= 95
    assert journey["without source"]["near"] < 50


@needs_node
def test_browser_keeps_to_itself_and_reports_no_error(journey):
    assert not journey["errors"]
    assert journey["requests"] and all(
        url.startswith(("http://127.0.0.1:", "data:")) for url in journey["requests"]
    )


@needs_node
def test_browser_shows_the_page_without_shifts_on_a_phone(journey):
    width, window = journey["widths"]
    assert width <= window == 390
    assert journey["shifted"] < 0.1 and journey["poster left"] == 0


@needs_node
def test_browser_steps_like_node(journey, steps):
    *_, by_node = steps[GAMES[0], 0]
    assert journey["step"]["logs"] == pytest.approx(by_node["logs"], rel=1e-9)
    for name in NETWORKS:
        ours, theirs = (np.concatenate(s["state"][name]) for s in (journey["step"], by_node))
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


@needs_node
def test_browser_carries_settings_in_the_link_and_draws_with_keys(journey):
    assert journey["link"] == "#lab=ring;without=source"
    assert journey["checked"] == [term != "source" for term in TERMS]
    assert journey["empty"] and re.fullmatch(
        r"#lab=drawn;without=source;points=(0\w{4}){8}", journey["drawn"]
    )
    six, three, loss = journey["fewer classes"]
    assert re.search(r"points=(0\w{4}){8}(5\w{4}){8}$", six) and re.search(r"points=(0\w{4}){8}$", three)
    assert float(loss) > 0  # no point of a class that is no more
    assert journey["heard"] == ["-0.05, 0.00", "-0.05, 0.05", "8 points"]


@needs_node
def test_browser_draws_with_the_pointer_until_the_drawing_is_full(journey):
    left, right, outside, full, said, visible, by_keys, heard = journey["strokes"]
    assert 40 < left < 90 and left == right == outside  # a stroke of 1.3 units, a spot of two points every 0.03
    assert full == by_keys == 500 and said == heard == "The drawing is full: 500 points." and visible


@needs_node
def test_browser_keeps_a_drawing_and_says_what_there_is(journey):
    assert re.fullmatch(r"#lab=drawn;(.*;)?points=(\d\w{4}){490,500}", journey["kept"])
    assert "(pinwheel, " in journey["said"] and journey["said"].endswith("before the first step.")
    assert journey["names"] == 1


@needs_node
def test_browser_goes_to_the_game_that_a_link_asks_for(journey):
    (_, by_own), (near, asked), (again, _) = journey["asked"]
    assert by_own == "1" and asked == "0" and near and again
