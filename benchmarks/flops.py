"""Floating-point operations of one training step, counted from the tables of the networks.

The rule: two operations for each multiplication of a weight in a convolution, transposed
convolution or dense layer, and none for anything else (normalisation, activations, noise, dropout,
Adam, the average). The forward pass, the gradient of the inputs and the gradient of the weights of
a layer cost the same. Of each layer the step needs

- G: one forward; the gradients of the weights; of the inputs, but not of z;
- D, in its own update: real and generated forward; the gradients of the weights; of the inputs, but
  not of the images;
- D, in G's update: one forward; the gradients of the inputs, images included.

`useful` leaves out the multiplications by the zeros around the image, which a direct convolution
can skip and a matrix product cannot; the usual count has them."""

from acgan_nb.models import architecture_of, ladder


def taps(inputs, outputs, kernel, stride, useful):
    "Pairs of input and output positions, along one side, that a convolution's kernel connects."
    if not useful:
        return outputs * kernel
    before = max((outputs - 1) * stride + kernel - inputs, 0) // 2
    pixels = range(inputs)
    starts = [stride * o - before for o in range(outputs)]
    return sum(start + k in pixels for start in starts for k in range(kernel))


def generator_layers(arch, num_classes=10, latent_dim=100, useful=False):
    "Operations per image of each layer, forward."
    first, *rows = architecture_of(arch).generator
    sizes, maps = [height for height, _ in ladder(architecture_of(arch))], first.maps  # of squares
    found = [2 * (latent_dim + num_classes) * sizes[0] ** 2 * maps]
    for row, start, size in zip(rows, sizes, sizes[1:]):  # a convolution from `size` to `start`
        pairs = taps(size, start, row.kernel, row.stride, useful)
        found.append(2 * pairs**2 * maps * row.maps)
        maps = row.maps
    return found


def discriminator_layers(arch, num_classes=10, useful=False):
    size, _, maps = architecture_of(arch).image_shape
    found = []
    for row in architecture_of(arch).discriminator:
        outputs = -(-size // row.stride)
        found.append(2 * taps(size, outputs, row.kernel, row.stride, useful) ** 2 * maps * row.maps)
        size, maps = outputs, row.maps
    return [*found, 2 * size**2 * maps * (num_classes + 1)]


def step_flops(arch, batch_size=100, num_classes=10, latent_dim=100, useful=False):
    "Operations of one training step."
    g = generator_layers(arch, num_classes, latent_dim, useful)
    d = discriminator_layers(arch, num_classes, useful)
    of_g = 3 * sum(g) - g[0]
    of_d = 2 * (3 * sum(d) - d[0]) + 2 * sum(d)
    return batch_size * (of_g + of_d)
