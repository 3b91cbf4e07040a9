"The repository keeps its promises: exported code, clean notebooks, a complete site, no loose ends."

import ast
import configparser
import csv
import doctest
import filecmp
import importlib
import inspect
import json
import os
import re
import shlex
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml
from PIL import Image

import acgan_nb
from acgan_nb.cli import main
from acgan_nb.settings import ROWS
from acgan_nb.tables import total_steps

ROOT = Path(__file__).parents[1]
CONFIG = configparser.ConfigParser()
CONFIG.read(ROOT / "settings.ini", encoding="utf-8")
CONFIG = CONFIG["DEFAULT"]
NBS = ROOT / "nbs"
NOTEBOOKS = sorted(NBS.rglob("[!.]*.ipynb"))
PAGES = [p.relative_to(NBS).as_posix() for p in NOTEBOOKS]
MODULES = "settings config hub storage arrays sources tfds data stream tables architectures devices losses heads models sampling gradients".split()
MODULES += "randomness augment".split()
MODULES += "gan loop neighbours fidelity metrics lite0 classifier judges monitor directory export card runs callbacks start plan train plots".split()
MODULES += "evaluation report trials cluster sweeps terminal cli".split()
PACKAGE = {path.stem: path for path in (ROOT / "acgan_nb").glob("*.py")}
CODE = {m: PACKAGE[m].read_text(encoding="utf-8") for m in PACKAGE.keys() - {"_modidx"}}
LAZY = "fit load_run load_pretrained load evaluate ACGAN build_generator build_discriminator Run"
SITE = CONFIG["doc_host"] + CONFIG["doc_baseurl"] + "/"  # of links that nbdev makes
LEAK = re.compile(rb"/(roo[t]|wor[k]|op[t]|hom[e])/")
UNTRACKED = shutil.ignore_patterns("node_modules", "demo")
TRACKED = subprocess.run(
    ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
).stdout.split("\0")[:-1]


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    "The project as committed or about to be, in a folder of its own."
    root = tmp_path_factory.mktemp("copy") / "project"
    for folder in ("nbs", "acgan_nb"):
        shutil.copytree(ROOT / folder, root / folder, symlinks=True, ignore=UNTRACKED)
    for name in ("settings.ini", "setup.py", "_quarto.yml", "README.md"):
        shutil.copy(ROOT / name, root / name)
    return root


def in_copy(copy, code):
    env = {**os.environ, "PYTHONPATH": str(copy), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=copy, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def test_export_leaves_no_diff(copy):
    for path in (copy / "acgan_nb").glob("*.py"):
        if path.name not in ("__init__.py", "__main__.py"):  # written by hand
            path.unlink()
    in_copy(copy, "from nbdev.doclinks import nbdev_export; nbdev_export()")
    names = {p.name for folder in (ROOT, copy) for p in (folder / "acgan_nb").glob("*.py")}
    folders = ROOT / "acgan_nb", copy / "acgan_nb"
    _, differing, missing = filecmp.cmpfiles(*folders, names, shallow=False)
    assert not differing and not missing


@pytest.mark.parametrize("path", NOTEBOOKS, ids=PAGES)
def test_notebook_is_executed_and_clean(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    outputs = [o for c in cells for o in c.get("outputs", ())]
    assert not [o for o in outputs if o["output_type"] == "error" or o.get("name") == "stderr"]
    code = [c for c in cells if c["cell_type"] == "code"]
    assert all(c["execution_count"] is None and c["metadata"] == {} for c in code)
    assert outputs or "figure" not in "".join("".join(c["source"]) for c in cells)
    title = "".join(cells[0]["source"]).splitlines()
    assert title[0].startswith("# ") and title[2].startswith("> ")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=PAGES)
def test_notebook_installs_itself_on_colab(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    first = "".join(cells[1]["source"])
    url = f"https://github.com/{CONFIG['user']}/{CONFIG['repo']}"
    assert "google.colab" in first and first.endswith(f"git+{url}")


@pytest.fixture(scope="module")
def site(copy):
    "The processed notebooks, as Quarto gets them from `nbdev_docs`."
    quarto = copy / "bin" / "quarto"
    quarto.parent.mkdir()
    quarto.write_text("#!/bin/sh\nmkdir -p _docs && echo made by quarto > _docs/README.md\n")
    quarto.chmod(0o755)
    (copy / "nbs" / "index.ipynb").touch()  # newer than README.md, as in a fresh clone
    path = f"os.environ['PATH'] = {str(quarto.parent)!r} + os.pathsep + os.environ['PATH']"
    in_copy(copy, f"import os; {path}; from nbdev.quarto import nbdev_docs; nbdev_docs(n_workers=0)")
    return copy / "_proc"


def test_docs_command_changes_no_file_of_the_project(site, copy):
    tracked = [name for name in TRACKED if (copy / name).is_file() and (ROOT / name).is_file()]
    assert "README.md" in tracked and "nbs/index.ipynb" in tracked and "acgan_nb/_modidx.py" in tracked
    assert not [name for name in tracked if (copy / name).read_bytes() != (ROOT / name).read_bytes()]


def sources(site, page):
    cells = json.loads((site / page).read_text(encoding="utf-8"))["cells"]
    return [("".join(c["source"]), c.get("outputs")) for c in cells]


def test_every_page_is_in_the_sidebar_and_processed(site):
    def pages(entries):
        for e in entries:
            yield from pages(e["contents"]) if isinstance(e, dict) else [e]

    quarto = yaml.safe_load((ROOT / "_quarto.yml").read_text(encoding="utf-8"))
    assert sorted(pages(quarto["website"]["sidebar"]["contents"])) == sorted(PAGES)
    assert sorted(p.relative_to(site).as_posix() for p in site.rglob("*.ipynb")) == sorted(PAGES)
    assert quarto["website"]["title"] == CONFIG["title"]
    assert quarto["website"]["description"] == CONFIG["description"]
    assert quarto["website"]["repo-url"] == f"https://github.com/{CONFIG['user']}/{CONFIG['repo']}"


def test_live_pages_are_on_the_site_with_all_that_they_load(site):
    quarto = yaml.safe_load((ROOT / "_quarto.yml").read_text(encoding="utf-8"))
    assert quarto["project"]["resources"] == ["live/**", "images/*.png"]
    live = {p.name for p in (NBS / "live").iterdir()}
    assert live and live == {p.name for p in (site / "live").iterdir()}
    pages = {page: (site / page).read_text(encoding="utf-8") for page in PAGES}
    with_lab = [page for page, text in pages.items() if 'class=\\"acgan-lab\\"' in text]
    assert with_lab == ["explain/lab.ipynb", "explain/loss_terms.ipynb", "explain/the_idea.ipynb"]
    for page in with_lab:
        loaded = re.findall(r'(?:src|href)=\\"(\.\./[^"\\]+)', pages[page])
        assert len(set(loaded)) == 2 and all((site / page).parent.joinpath(p).is_file() for p in loaded)


def test_films_have_a_picture_that_stands_still():
    "The page's script shows it where motion is reduced, and after a click."
    quarto = yaml.safe_load((ROOT / "_quarto.yml").read_text(encoding="utf-8"))
    assert "prefers-reduced-motion" in quarto["format"]["html"]["include-after-body"]["text"]
    texts = [(NBS / page).read_text(encoding="utf-8") for page in PAGES]
    films = {film for text in texts for film in re.findall(r"\]\((?:\.\./)?(images/\w+\.gif)\)", text)}
    assert len(films) >= 3
    for film in films:
        with Image.open(NBS / film) as moving, Image.open((NBS / film).with_suffix(".png")) as still:
            assert moving.n_frames > 1 and still.size == moving.size


def test_site_has_both_themes_and_search_and_begins_with_the_idea(site):
    quarto = yaml.safe_load((ROOT / "_quarto.yml").read_text(encoding="utf-8"))
    themes = quarto["format"]["html"]["theme"]
    assert themes.keys() == {"light", "dark"}
    ours = {name for theme in themes.values() for name in theme if name.endswith(".scss")}
    assert ours and all((site / name).is_file() for name in (*ours, quarto["website"]["favicon"]))
    assert quarto["website"]["search"]["location"] == "navbar" and quarto["website"]["navbar"]
    home, explained, *_ = quarto["website"]["sidebar"]["contents"]
    assert (home, explained["contents"][0]) == ("index.ipynb", "explain/the_idea.ipynb")


def test_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0" and citation["authors"]
    assert (citation["title"], citation["version"]) == (CONFIG["title"], CONFIG["version"])
    assert citation["repository-code"] == f"https://github.com/{CONFIG['user']}/{CONFIG['repo']}"


@pytest.mark.parametrize("page", PAGES)
def test_page_has_badge_alt_texts_and_working_links(site, page):
    cells = sources(site, page)
    text = "\n".join(source for source, outputs in cells if outputs is None)  # not the code
    made = (
        o.get("data", {}).get("text/markdown", "") for _, outputs in cells for o in outputs or ()
    )
    text += "".join("".join(m) for m in made)  # but the tables it makes
    colab = "github/{user}/{repo}/blob/{branch}/nbs/".format(**CONFIG) + page + '"'
    assert text.count("colab-badge.svg") == 1 and colab in text
    for source, outputs in cells:
        if any("image/png" in o.get("data", {}) for o in outputs or ()):
            assert re.search(r'^#\| fig-alt: "\w.{20,}"$', source, re.M), source
    for link in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text):
        if not re.match(r"https?:", link):
            assert ((NBS / page).parent / link).exists(), link


def is_visible(source):
    "Whether the site shows the code of a cell; folded code counts."
    hides = r"^#\| *(hide|hide_input|echo: false|include: false|export|exporti)$"
    return not re.search(hides, source, re.MULTILINE)


def pictures(outputs):
    "How many images a cell has put out."
    return sum("image/png" in o.get("data", {}) for o in outputs or ())


def own_cells(page):
    "Of the notebook itself: (source, outputs) of each cell; outputs are None for text."
    cells = json.loads((NBS / page).read_text(encoding="utf-8"))["cells"]
    return [("".join(c["source"]), c.get("outputs")) for c in cells]


@pytest.mark.parametrize("page", PAGES)
def test_every_figure_has_a_caption_and_a_number(page):
    labels = []
    for source, outputs in own_cells(page):
        if pictures(outputs) or "#| fig-alt" in source:
            labels += (label := re.findall(r"^#\| label: (fig-[\w-]+)$", source, re.MULTILINE))
            assert label and re.search(r'^#\| fig-cap: "\w.{10,}[.)]"$', source, re.MULTILINE), source
            assert re.search(r'^#\| fig-alt: "\w.{20,}"$', source, re.MULTILINE), source
            assert pictures(outputs) == 1, source
        if outputs is None:
            labels += re.findall(r"\{#(fig-[\w-]+) fig-alt=", source)
            assert not re.search(r"!\[[^]]*\]\([^)]*\.(gif|png)\)(?!\{#fig-[\w-]+ fig-alt=)", source)
    assert len(set(labels)) == len(labels)


EXPERIMENTS = [page for page in PAGES if page.startswith("experiments/")]


@pytest.mark.parametrize("page", EXPERIMENTS)
def test_experiment_shows_its_verdict_and_a_picture_before_code(page):
    cells = own_cells(page)
    visible = [i for i, (s, outputs) in enumerate(cells) if outputs is not None and is_visible(s)]
    code = min(visible, default=len(cells))
    shown = [i for i, (_, outputs) in enumerate(cells) if pictures(outputs)]
    assert min(shown, default=0) < code  # a page without a result has no picture
    verdicts = [i for i, text in enumerate(texts_of(cells)) if re.search(r'callout-\w+ title="Verdict', text)]
    assert len(verdicts) == 1 and verdicts[0] < min(shown, default=code)
    assert any(re.search("^## What was run", s, re.MULTILINE) for s, _ in cells[min(shown, default=0) :])


@pytest.mark.parametrize("page", [p for p in PAGES if not p.startswith("api/")])
def test_code_of_a_page_fits_its_column(page):
    for source, outputs in own_cells(page):
        if outputs is not None and is_visible(source):
            code = [line for line in source.splitlines() if not line.startswith("#|")]
            assert max(map(len, code), default=0) <= 88, source


def plain(text):
    "Letters and signs that remain when links are made, or lost, on the way."
    return re.sub(r"[\s`]", "", re.sub(r"\[([^][]*)\]\([^)\s]*\)", r"\1", text))


@pytest.mark.parametrize("page", PAGES)
def test_no_text_of_a_page_is_lost(site, page):
    title, *cells = json.loads((NBS / page).read_text(encoding="utf-8"))["cells"]
    lines = "".join(title["source"]).splitlines()
    assert all(not line or line.startswith(("# ", "> ")) for line in lines)  # nbdev deletes others
    rendered = plain("\n".join(source for source, outputs in sources(site, page)))
    for cell in cells:
        if cell["cell_type"] == "markdown":
            assert plain("".join(cell["source"])) in rendered


def anchors(site, page):
    "The sections of a page, as links name them."
    text = "\n".join(texts(site, page))
    found = set(re.findall(r"\{#([\w.]+)\}", text))  # of methods
    return found | {name.lower() for name in headings(text)}


def headings(text):
    "The name of each heading of a page, as the site has it."
    made = re.compile(r"^#+ +(.*?) *(?:\{#(\S+).*\})?$", re.MULTILINE)
    for title, name in made.findall(re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)):
        words = re.sub(r"[^\w\-. ]", "", re.sub(r"\]\([^)]*\)", "", title).lower())
        yield name or words.strip().replace(" ", "-").lstrip("0123456789-.")


@pytest.mark.parametrize("page", PAGES)
def test_each_heading_of_a_page_has_a_name_of_its_own(site, page):
    names = list(headings("\n".join(texts(site, page))))
    assert len(names) == len(set(names))


def texts(site, page):
    return texts_of(sources(site, page))


def texts_of(cells):
    "What is prose in (source, outputs) of cells: text, and in place of code the Markdown it makes."
    for source, outputs in cells:
        made = ("".join(o.get("data", {}).get("text/markdown", "")) for o in outputs or ())
        yield source if outputs is None else "\n".join(made)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_sections(site, page):
    text = "\n".join(texts(site, page))
    assert not re.search(r"\[\[`[^`]*`\]\(\S*\)\]\(", text)
    files = {re.sub(r"(api/)\d+_|\.ipynb$", r"\1", p): p for p in PAGES}
    for address, section in re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", text):
        if section.startswith("lab="):  # not a section: the settings of a game
            assert address in ("", "lab.ipynb", f"{SITE}explain/lab.html")
            continue
        if address.startswith(SITE):
            target = files[address.removeprefix(SITE).removesuffix(".html")]
        elif address.startswith("http"):
            continue
        else:
            target = os.path.normpath(Path(page).parent / address) if address else page
        assert section.lower() in anchors(site, target), (address, section)


def test_nothing_is_imported_or_assigned_for_nothing():
    "In the package, its notebooks and its tests; nor is a name used that does not exist."
    rules, where = "F401,F821,F841", ["acgan_nb", "nbs", "tests", "benchmarks", "setup.py"]
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--select", rules, *where]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_one_way(module):
    allowed = MODULES[: MODULES.index(module)]
    for node in ast.walk(ast.parse(CODE[module])):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            names = [node.module] if node.module else [a.name for a in node.names]
            assert set(names) <= {*allowed, "__version__"}
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("acgan_nb."):
            assert node.module.split(".")[1] in allowed


def test_every_module_has_its_place():
    "`docs` is nbdev's business, and `__main__` that of `python -m`; neither is imported."
    assert PACKAGE.keys() - {"__init__", "__main__", "_modidx", "docs"} == set(MODULES)


@pytest.mark.parametrize("module", sorted(CODE))
def test_functions_and_modules_are_short(module):
    assert len(CODE[module].splitlines()) <= 480
    for node in ast.walk(ast.parse(CODE[module])):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert node.end_lineno - node.lineno < 40, f"{module}.{node.name}"


@pytest.fixture(scope="module")
def exported():
    "(the directive, the number of lines below it) of each exported cell."
    found = []
    for path in sorted((NBS / "api").glob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            text = "".join(cell["source"]).strip()
            how = re.search(r"^#\| (export[si]?)$", text, re.MULTILINE)
            if how and cell["cell_type"] == "code":
                lines = [line for line in text.splitlines() if not line.startswith("#|")]
                found.append((how[1], len(lines)))
    return found


def test_exported_cells_are_short(exported):
    short = sum(lines <= 15 for _, lines in exported)
    assert short / len(exported) >= 0.7


def test_exported_source_is_shown(exported):
    hidden = sum(lines for how, lines in exported if how != "exports")
    assert hidden / sum(lines for _, lines in exported) <= 0.35


def test_few_names_are_public():
    names = [name for code in CODE.values() for name in public(code)]
    assert names and len(names) <= 180


def public(code):
    "What `__all__` of a module lists."
    for node in ast.parse(code).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return ast.literal_eval(node.value)
    return []


@pytest.mark.parametrize("pattern", [r"""["']d2d_ce["']""", r"\blabel_smoothing\b"])
def test_one_idea_is_in_few_modules(pattern):
    "Else a new head, or a new option of a loss, would have to be told to all of them."
    assert 1 <= sum(bool(re.search(pattern, code)) for code in CODE.values()) <= 3


WITHOUT_EXAMPLES = "cli cluster lite0 start terminal tfds".split()


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("module", [*MODULES, "docs"])
def test_examples_in_docstrings_are_true(module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = doctest.testmod(importlib.import_module(f"acgan_nb.{module}"))
    attempted = found.attempted - getattr(found, "skipped", found.attempted * (module == "tfds"))  # as later versions count
    assert not found.failed and (attempted > 0) == (module not in WITHOUT_EXAMPLES)


def examples(symbol):
    return doctest.DocTestParser().get_examples(symbol.__doc__ or "")


@pytest.mark.parametrize("name", LAZY.split())
def test_what_the_package_offers_has_an_example(name):
    assert name in dir(acgan_nb) and examples(getattr(acgan_nb, name))


@pytest.mark.parametrize("module", MODULES)
def test_public_functions_and_classes_have_an_example(module):
    "Exceptions have none: what raises them is elsewhere."
    found = importlib.import_module(f"acgan_nb.{module}")
    for name in getattr(found, "__all__", ()):
        symbol = getattr(found, name)
        if callable(symbol) and not (inspect.isclass(symbol) and issubclass(symbol, BaseException)):
            assert examples(symbol), name


def test_the_package_itself_is_imported_at_once():
    code = "import sys, acgan_nb; print(*{'tensorflow', 'keras', 'jax'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()) == (0, [])


def test_readme_commands_are_the_ones_that_are_tested():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    workflow = (ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8")
    command = "pip install . && acgan train digits && acgan evaluate runs/digits"
    assert command in readme and command in workflow
    assert readme.count("pytest tests\n") == 1


def test_readme_names_what_there_is():
    "Its commands have their options, its links their files, its table all modules."
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = re.findall(r"^acgan (.+)$", readme, re.MULTILINE)
    for name, *words in (shlex.split(line, comments=True) for line in lines):
        if not name.startswith("-"):
            command = main.commands[name]
            context = click.Context(command, help_option_names=["-h", "--help"])
            command.make_parser(context).parse_args(words)
    for link in re.findall(r"\]\(((?:nbs|results)[^)#]*)", readme):
        assert (ROOT / link).exists(), link
    table = readme.partition("## What the package contains")[2].partition("## Results")[0]
    assert {*MODULES, "docs"} <= set(re.findall(r"`(\w+)`", table))
    assert [ROWS[n].default for n in ("activation_noise", "augment", "flip", "r1")] == [0.1, "none", False, 0]
    assert len(lines) > 10 and ROWS["batch_size"].default == 100  # 100 epochs of CIFAR-10: 50,000 steps


LIVE = {"index.ipynb": "mnist_adc", "experiments/mnist.ipynb": "mnist", "experiments/cifar10.ipynb": "cifar10_50k"}


@pytest.mark.parametrize("page", LIVE)
def test_live_generator_of_a_page_is_written_with_the_site(page, site):
    "The page asks for what `acgan demo` has written, and names that generator's classes in its order."
    from acgan_nb.config import check_config

    [cell] = [text for text, _ in sources(site, page) if 'class="acgan-generator"' in text]
    [model] = re.findall(r'data-model="(\w+)"', cell)
    [names] = re.findall(r"data-classes='(.+?)'", cell)
    config = check_config(json.loads((ROOT / "results" / model / "config.json").read_text()))
    assert model == LIVE[page] and json.loads(names) == config["class_names"]
    workflow = (ROOT / ".github/workflows/docs.yml").read_text(encoding="utf-8")
    [command] = re.findall(r"run: (acgan demo .+)", workflow)
    *runs, outdir, folder = command.split()[2:]
    assert model in runs and outdir == "--outdir"
    assert workflow.index(command) < workflow.index("nbdev_docs")
    assert command in (ROOT / "README.md").read_text(encoding="utf-8")
    paths = re.findall(r'(?:src|href)="([^:"]+)"', cell)
    assert len(paths) == 2 and all(((NBS / page).parent / p).resolve().parent == ROOT / folder for p in paths)
    assert cell.index("</div>") < cell.index("<script")  # right below: the page never jumps


REPORTS = {f"`{name}`": f"{name}/report" for name in ("digits", "mnist", "mnist_adc", "cifar10")}
REPORTS |= {"`mnist_adc`, resampled": "mnist_adc/report_confidence_0.8"}
REPORTS |= {"`cifar10_50k`": "cifar10_50k/report"}


@pytest.mark.parametrize("title", REPORTS)
def test_numbers_of_readme_and_home_page_are_those_of_the_reports(title):
    path = ROOT / "results" / f"{REPORTS[title]}.json"
    report = json.loads(path.read_text(encoding="utf-8"))
    fake, real = report["generated"], report["real"]
    forms = {"gan_test": ".1%", "gan_train": ".1%", "frechet_distance": ".2f", "ms_ssim": ".2f"}
    cells = {key: f"{fake[key]:{form}}" for key, form in forms.items()}
    cells["gan_train"] += f" ± {fake['gan_train_std']:.1%}"
    of_seeds = path.with_name(path.name.replace("report", "seeds")).with_suffix(".csv")
    if of_seeds.exists():
        seeds = list(csv.DictReader(of_seeds.open()))
        assert {int(row["steps"]) for row in seeds} == {report["run"]["step"]}
        assert len({row["seed"] for row in seeds}) == len(seeds) > 1
        precise = {"gan_test": ".2%", "gan_train": ".2%", "frechet_distance": ".3f", "ms_ssim": ".3f"}
        for key, form in precise.items():
            values = [float(row[key]) for row in seeds]
            assert values[0] == fake[key]  # the report is that of the first seed
            mean, deviation = statistics.mean(values), statistics.stdev(values)
            cells[key] = f"{mean:{form}} ± {deviation:{form}}"
        title += f", {len(seeds)} seeds"
    for key in ("gan_train", "frechet_distance", "ms_ssim"):
        cells[key] += f" ({real[key]:{forms[key]}})"
    config = json.loads((path.parent / "config.json").read_text(encoding="utf-8"))
    before = total_steps(path.parent) - config["steps"]  # of the runs it goes on from
    row = f" | {before + report['run']['step']:,.0f} | {' | '.join(cells.values())} |"
    assert f"| {title}{row}" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert row in (NBS / "index.ipynb").read_text(encoding="utf-8")


def test_no_machine_leaks_into_the_project():
    "No absolute path of a machine, and no data set: files are small."
    for name in TRACKED:
        path = ROOT / name
        if not path.is_file():
            continue
        assert path.stat().st_size < 8e6, name
        if path.suffix not in (".png", ".gif", ".weights"):
            assert not LEAK.search(path.read_bytes()), name


def test_results_can_be_traced():
    "Each committed run has its settings, seed, fingerprint and history beside its numbers."
    from acgan_nb.trials import read_record

    for folder in filter(Path.is_dir, (ROOT / "results").iterdir()):
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        assert re.fullmatch("[0-9a-f]{64}", config["fingerprint"])
        if (folder / "table.csv").exists():  # of many runs
            rows, about = read_record(folder)
            own = {t: {**about, **(settings or {})} for t, settings in about["trials"].items()}
            there = {(row["trial"], row["seed"]) for row in rows}
            assert there == {(t, s) for t, a in own.items() for s in a["seeds"]}
            steps = {t: about.get("rungs", [a["steps"]]) for t, a in own.items()}
            assert all(row["steps"] in steps[row["trial"]] for row in rows)
            assert about["command"] and about["hardware"] and about["versions"]
            continue
        assert isinstance(config["seed"], int)
        rows = (folder / "history.csv").read_text(encoding="utf-8").splitlines()
        assert float(rows[-1].split(",")[0]) == config["steps"]


@pytest.mark.parametrize("name, start", [("cifar10/continued", "cifar10/seed_1"), ("cifar10_50k", "cifar10/continued")])
def test_a_continued_run_starts_from_the_weights_of_the_run_it_names(name, start):
    from acgan_nb.runs import load_run
    from acgan_nb.start import load_start

    folder = ROOT / "results" / name
    config = load_run(folder).config
    assert config["init"] == f"results/{start}"
    assert config["init_weights"] == load_start(str(ROOT / "results" / start), config).hash
    assert total_steps(folder) == total_steps(ROOT / "results" / start) + config["steps"]
    measured = {p.stem.partition("_")[2]: json.loads(p.read_text())["run"]["step"] for p in folder.glob("after_*.json")}
    assert bool(measured) == (name == "cifar10/continued")
    assert all(int(step) == of_report < config["steps"] for step, of_report in measured.items())


def documented(page):
    "The public functions and classes of an API page's module: (name, section on the site, object)."
    module = importlib.import_module(f"acgan_nb.{re.sub('^api/[0-9]+_|.ipynb$', '', page)}")
    found = [(name, getattr(module, name)) for name in module.__all__]
    return [(n, o) for n, o in found if inspect.isfunction(o) or inspect.isclass(o)]


API = [page for page in PAGES if page.startswith("api/") and page != "api/27_docs.ipynb"]


@pytest.mark.parametrize("page", API)
def test_reference_of_each_public_symbol(site, page):
    "Its own words, signature and arguments as a table; nothing from a parent class, and its source folded."
    text = "\n".join(texts(site, page))
    assert not re.search(r"\*args, \*\*kwargs|Call self as a function|^show_doc", text, re.MULTILINE)
    for name, symbol in documented(page):
        [section] = re.findall(rf"^##+ `{name}` {{#{name.lower()}}}\n(.*)", text, re.MULTILINE | re.DOTALL)
        signature = re.search(rf"```python\n{name}\((.*?)\)( -> .*)?\n```", section, re.DOTALL)
        parameters = list(inspect.signature(symbol).parameters) if inspect.isfunction(symbol) else []
        assert all(re.search(rf"\b{p}\b", signature[1]) for p in parameters)
    folded = [s for s, _ in sources(site, page) if s.startswith('#| code-fold: true\n#| code-summary: "Source"')]
    for name, _ in documented(page):
        exported = [s for s, _ in own_cells(page) if re.search(rf"^#\| exports\n(.*\n)*(def|class) {name}\b", s)]
        assert not exported or [s for s in folded if re.search(rf"^(def|class) {name}\b", s, re.MULTILINE)]
    code = "".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    assert max(map(len, code.splitlines()), default=0) <= 100


@pytest.mark.parametrize("page", PAGES)
def test_no_level_of_headings_is_skipped(site, page):
    text = re.sub(r"^```.*?^```", "", "\n".join(texts(site, page)), flags=re.MULTILINE | re.DOTALL)
    levels = [1] + [len(marks) for marks in re.findall(r"^(#+) ", text, re.MULTILINE)]
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:]))


@pytest.mark.parametrize("page", PAGES)
def test_plain_words_are_no_links_to_functions(site, page):
    "`joint`, `data` or `splits` alone are a value, an argument, a command."
    linked = re.findall(rf"\[`([^`]+)`\]\({SITE}", "\n".join(texts(site, page)))
    assert not [name for name in linked if re.fullmatch("[a-z]+", name) and name not in ("fit", "load")]


def test_page_of_the_command_line_has_the_help_and_an_example_of_each_command():
    from click.testing import CliRunner

    from acgan_nb.cli import main

    shown = "".join("".join(o.get("text", "")) for _, outputs in own_cells("api/26_cli.ipynb") for o in outputs or ())
    assert set(main.commands) == set(re.findall(r"^\$ acgan (\w+) (?!no_)", shown, re.MULTILINE))
    for command in ([], *([name] for name in main.commands)):
        help_text = CliRunner().invoke(main, [*command, "--help"], prog_name="acgan").output
        assert help_text in shown, command


USED = "settings models gan train runs sampling losses heads metrics evaluation report tables architectures plots sweeps trials export"


@pytest.mark.parametrize("page", [p for p in API if p[7:-6] in USED.split()])
def test_pages_that_people_use_explain_each_argument_and_show_each_function_at_work(site, page):
    cells = sources(site, page)
    folded = 'code-summary: "'
    for name, symbol in documented(page):
        [at] = [i for i, (s, _) in enumerate(cells) if re.search(rf"^##+ `{name}` ", s, re.MULTILINE)]
        rows = re.findall(r"^\| `.*\|$", cells[at][0], re.MULTILINE)
        assert all(row.split("|")[-2].strip() for row in rows), name
        later = "\n".join(s for s, outputs in cells[at:] if outputs is not None and folded not in s)
        works = "Example:" in cells[at][0] or re.search(rf"\b{name}\b", later)
        assert works or not inspect.isfunction(symbol), name


def versions(path):
    return dict(line.split("==") for line in (ROOT / path).read_text().splitlines() if "==" in line)


def test_sets_of_versions_that_are_tested_are_allowed_and_the_lowest_is_the_lowest():
    lowest, colab = versions(".ci/lowest.txt"), versions(".ci/colab.txt")
    number = lambda version: [int(part) for part in version.split(".")]
    for requirement in CONFIG["requirements"].split():
        name, least, most = re.fullmatch(r"([\w-]+)>=([\d.]+)(?:,<([\d.]+))?", requirement).groups()
        given = number(lowest[name])
        assert given[: len(number(least))] == number(least), name
        for found in (given, number(colab.get(name, lowest[name]))):
            assert number(least) <= found and (most is None or found < number(most)), name
