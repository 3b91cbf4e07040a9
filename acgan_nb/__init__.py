"""Conditional Image Synthesis with Auxiliary Classifier GANs, reproduced in Keras 3.

>>> import acgan_nb
>>> acgan_nb.load_pretrained("digits").sample(7, count=2).shape
(2, 8, 8, 1)
"""

import os
from importlib import import_module

# On x86, TensorFlow takes its fast convolutions only where the CPU has AVX-512 VNNI or the like;
# without, they are still the faster ones. It looks once, when it is imported.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

__version__ = "0.1.0"

_MODULES = {  # imported when they are asked for: TensorFlow takes seconds
    "ACGAN": "gan",
    "Run": "runs",
    "build_discriminator": "models",
    "build_generator": "models",
    "evaluate": "evaluation",
    "fit": "train",
    "load": "data",
    "load_pretrained": "runs",
    "load_run": "runs",
}


def __getattr__(name):
    if name in _MODULES:
        try:
            return getattr(import_module(f"acgan_nb.{_MODULES[name]}"), name)
        except ModuleNotFoundError as error:
            from acgan_nb.settings import backend_hint

            raise ModuleNotFoundError(backend_hint(error), name=error.name) from error
    raise AttributeError(f"module 'acgan_nb' has no attribute {name!r}")


def __dir__():
    return [*globals(), *_MODULES]
