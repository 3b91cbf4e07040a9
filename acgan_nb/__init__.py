import os

# On x86, TensorFlow takes its fast convolutions only where the CPU has AVX-512 VNNI or the like;
# without, they are still the faster ones. It looks once, when it is imported.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

__version__ = "0.1.0"
