"""The networks of `models.ARCHITECTURES` and one training step in plain PyTorch.

Keras pads at the right and bottom first, PyTorch at the left and top. So the networks here are the
mirror images of Keras': with every kernel mirrored they give the mirrored image."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from acgan_nb.models import architecture_of, ladder

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "leaky_relu": lambda: nn.LeakyReLU(0.2)}


class Noise(nn.Module):
    "Adds N(0, stddev^2) in training."

    def __init__(self, stddev):
        super().__init__()
        self.stddev = stddev

    def forward(self, x):
        return x + self.stddev * torch.randn_like(x) if self.training else x


def transposed(inputs, row, start, size):
    "The transposed convolution from `start` to `size`: what is too much is cut off evenly."
    extra = (start - 1) * row.stride + row.kernel - size
    padding = -(-extra // 2)
    how = dict(padding=padding, output_padding=2 * padding - extra)
    return nn.ConvTranspose2d(inputs, row.maps, row.kernel, row.stride, **how)


def after(row, noise=0.0):
    "What follows a convolution: normalisation, activation, noise, dropout."
    parts = [nn.BatchNorm2d(row.maps, eps=1e-3, momentum=0.1)] if row.batch_norm else []
    parts.append(ACTIVATIONS[row.activation]())
    parts += [Noise(noise)] if noise else []
    return parts + ([nn.Dropout(row.dropout)] if row.dropout else [])


class Generator(nn.Module):
    "z (B, latent_dim), labels (B,) -> images (B, C, H, W) in [-1, 1]."

    def __init__(self, arch, num_classes=10, latent_dim=100):
        super().__init__()
        first, *rows = architecture_of(arch).generator
        sizes = [height for height, _ in ladder(architecture_of(arch))]  # of squares
        self.num_classes, self.shape = num_classes, (first.maps, sizes[0], sizes[0])
        self.linear = nn.Linear(latent_dim + num_classes, int(np.prod(self.shape)))
        parts, maps = [], first.maps
        for row, start, size in zip(rows, sizes, sizes[1:]):
            parts += [transposed(maps, row, start, size), *after(row)]
            maps = row.maps
        self.body = nn.Sequential(*parts)

    def forward(self, z, labels):
        x = torch.cat([z, F.one_hot(labels, self.num_classes).to(z.dtype)], 1)
        return self.body(F.relu(self.linear(x)).view(-1, *self.shape))


class Discriminator(nn.Module):
    "Images (B, C, H, W) -> source logit (B,), class logits (B, K)."

    def __init__(self, arch, num_classes=10, noise=0.0):
        super().__init__()
        size, _, maps = architecture_of(arch).image_shape
        parts = []
        for row in architecture_of(arch).discriminator:
            parts.append(nn.Conv2d(maps, row.maps, row.kernel, row.stride, row.kernel // 2))
            parts += after(row, noise)
            maps, size = row.maps, -(-size // row.stride)
        self.body = nn.Sequential(*parts, nn.Flatten())
        self.linear = nn.Linear(maps * size * size, num_classes + 1)

    def forward(self, x):
        logits = self.linear(self.body(x)).float()
        return logits[:, -1], logits[:, :-1]


def initialise(net):
    "Weights N(0, 0.02), biases 0."
    for module in net.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, 0, 0.02)
            nn.init.zeros_(module.bias)
    return net


def source_loss(logits, real):
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


class Trainer:
    "The step of `gan.ACGAN`, as a PyTorch programmer writes it."

    def __init__(self, arch, num_classes=10, latent_dim=100, noise=0.1, device="cpu", bf16=False,
                 channels_last=False):
        memory = torch.channels_last if channels_last else torch.contiguous_format
        nets = [Generator(arch, num_classes, latent_dim), Discriminator(arch, num_classes, noise)]
        self.average = Generator(arch, num_classes, latent_dim).to(device)
        self.g, self.d = (initialise(n).to(device, memory_format=memory) for n in nets)
        self.average.load_state_dict(self.g.state_dict())
        self.g_adam, self.d_adam = (
            torch.optim.Adam(n.parameters(), 2e-4, (0.5, 0.999)) for n in (self.g, self.d)
        )
        self.sizes = num_classes, latent_dim
        self.device, self.bf16, self.memory = device, bf16, memory
        self.count = 0

    def objectives(self, real, real_labels):
        "One update of D; then G's loss through the updated D."
        b, (num_classes, latent_dim) = len(real), self.sizes
        z = torch.randn(b, latent_dim, device=self.device)
        labels = torch.randint(num_classes, (b,), device=self.device)
        with torch.autocast(self.device.partition(":")[0], torch.bfloat16, enabled=self.bf16):
            fake = self.g(z, labels)
            of_real, of_fake = self.d(real), self.d(fake.detach())
        d_loss = source_loss(of_real[0], True) + source_loss(of_fake[0], False)
        d_loss = d_loss + F.cross_entropy(of_real[1], real_labels)
        d_loss = d_loss + F.cross_entropy(of_fake[1], labels)
        self.d_adam.zero_grad()
        d_loss.backward()
        self.d_adam.step()
        with torch.autocast(self.device.partition(":")[0], torch.bfloat16, enabled=self.bf16):
            source, classes = self.d(fake)
        return d_loss, source_loss(source, True) + F.cross_entropy(classes, labels)

    def step(self, real, real_labels):
        "uint8 (B, C, H, W) and labels (B,) on the device -> the two losses, not yet waited for."
        real = (real.float() / 127.5 - 1).contiguous(memory_format=self.memory)
        d_loss, g_loss = self.objectives(real, real_labels)
        self.g_adam.zero_grad()
        g_loss.backward(inputs=list(self.g.parameters()))  # nothing for D's weights
        self.g_adam.step()
        self.update_average()
        return d_loss.detach(), g_loss.detach()

    @torch.no_grad()
    def update_average(self):
        self.count += 1
        decay = min(0.999, (1 + self.count) / (10 + self.count))
        pairs = zip(self.average.state_dict().values(), self.g.state_dict().values())
        floats = [(a, w) for a, w in pairs if a.is_floating_point()]
        torch._foreach_lerp_([a for a, _ in floats], [w for _, w in floats], 1 - decay)


def copy_weights(torch_net, keras_net):
    "The weights of a Keras network, mirrored, into the PyTorch network."
    import keras

    kinds = keras.layers.Dense, keras.layers.Conv2D, keras.layers.Conv2DTranspose
    layers = [l for l in keras_net.layers if isinstance(l, kinds)]
    modules = [m for m in torch_net.modules() if hasattr(m, "weight") and m.weight.ndim in (2, 4)]
    for layer, module in zip(layers, modules, strict=True):
        kernel, bias = layer.get_weights()
        if kernel.ndim == 4:  # (h, w, in, out) or, transposed, (h, w, out, in)
            kernel = kernel[::-1, ::-1].transpose(3, 2, 0, 1)
        else:
            kernel, bias = dense_weights(kernel, bias, torch_net)
        module.weight.data = torch.tensor(kernel.copy())
        module.bias.data = torch.tensor(bias.copy())


def dense_weights(kernel, bias, torch_net):
    "Dense layers see or make (H, W, maps) in Keras, mirrored (maps, H, W) here."
    if isinstance(torch_net, Generator):
        maps, size, _ = torch_net.shape
        units = np.arange(len(bias)).reshape(size, size, maps)[::-1, ::-1].transpose(2, 0, 1)
        return kernel[:, units.ravel()].T, bias[units.ravel()]
    maps = [m for m in torch_net.body if isinstance(m, nn.Conv2d)][-1].out_channels
    size = int(np.sqrt(len(kernel) // maps))
    units = np.arange(len(kernel)).reshape(size, size, maps)[::-1, ::-1].transpose(2, 0, 1)
    return kernel[units.ravel()].T, bias
