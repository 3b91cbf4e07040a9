"""Two small networks with everything the large ones have, for tests in which no image matters.

An architecture "tiny" of the package where this module is imported: a step takes a quarter of the
time of "digits", and XLA compiles it in seconds."""

from acgan_nb.architectures import ARCHITECTURES, Architecture, Row


def small(image_shape):
    "Two small networks for images (H, W, C)."
    return Architecture(
        (
            Row("Linear", None, None, 8, False, 0, "relu"),
            Row("TConv", 5, 2, 8, True, 0, "relu"),
            Row("TConv", 5, 2, image_shape[-1], False, 0, "tanh"),
        ),
        (
            Row("Conv", 3, 2, 8, False, 0.5, "leaky_relu"),
            Row("Conv", 3, 2, 8, True, 0.5, "leaky_relu"),
        ),
        image_shape,
        100,
    )


ARCHITECTURES["tiny"] = small((8, 8, 1))
