"The package's metadata, read from settings.ini: the one place where it is written down."

from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent
config = ConfigParser(delimiters="=")
config.read(here / "settings.ini", encoding="utf-8")
cfg = config["DEFAULT"]
EXTRAS = ("gpu", "jax", "tensorboard", "fidelity", "export", "hub", "ray", "lite0", "oracles", "dev")
RESULTS = f"{cfg['lib_name']}.results"  # the committed runs, found by `runs.results_folder`
LIVE = f"{cfg['lib_name']}.live"  # the live pages' own files, found by `export.live_folder`
LIVE_FILES = ["*.js", "*.css", "*.html", "package.json", "package-lock.json"]
DEPTHS = ("", "*/", "*/*/")  # "**" is for later versions of setuptools
SHIPPED = [f"{depth}*.{end}" for depth in DEPTHS for end in ("json", "csv")]  # what pages read
SHIPPED += ["*/*.png", "cifar10/samples/*.png", "*/*.weights"]

setup(
    name=cfg["lib_name"],
    version=cfg["version"],
    description=cfg["description"],
    long_description=(here / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author=cfg["author"],
    author_email=cfg["author_email"],
    url=cfg["git_url"],
    keywords=cfg["keywords"].split(),
    license="Apache-2.0",
    packages=[*find_packages(include=[cfg["lib_path"], cfg["lib_path"] + ".*"]), RESULTS, LIVE],
    package_dir={RESULTS: "results", LIVE: "nbs/live"},
    package_data={cfg["lib_name"]: ["frozen/*"], RESULTS: SHIPPED, LIVE: LIVE_FILES},
    python_requires=f">={cfg['min_python']},<{cfg['below_python']}",  # where TensorFlow is
    install_requires=cfg["requirements"].split(),
    extras_require={extra: cfg[f"{extra}_requirements"].split() for extra in EXTRAS},
    entry_points={
        "console_scripts": cfg["console_scripts"].split(),
        "nbdev": [f"{cfg['lib_name']}={cfg['lib_path']}._modidx:d"],
    },
    zip_safe=False,
)
