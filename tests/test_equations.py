"Every equation of the paper against probabilities written by hand, and mutants that must fail."

import types
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from scipy.special import expit, logit, softmax

import acgan_nb.losses

REAL = np.array([3 / 4, 1 / 4, 9 / 10, 1 / 2])  # P(S=real | X_real)
FAKE = np.array([1 / 5, 1 / 8, 2 / 3, 1 / 10])  # P(S=real | X_fake)
CLASS = np.array([[1, 2, 5], [4, 3, 1], [2, 4, 2], [6, 1, 1]]) / 8  # P(C | X_real)
CLASS_FAKE = np.array([[2, 2, 4], [1, 1, 6], [5, 2, 1], [1, 6, 1]]) / 8  # P(C | X_fake)
LABELS, FAKE_LABELS, SOME = np.array([0, 2, 1, 0]), np.array([2, 0, 0, 1]), np.array([-1, 2, 1, -1])

L_S = np.mean(np.log(REAL)) + np.mean(np.log(1 - FAKE))
L_C_REAL = np.mean(np.log([1 / 8, 1 / 8, 4 / 8, 6 / 8]))
L_C_FAKE = np.mean(np.log([4 / 8, 1 / 8, 5 / 8, 6 / 8]))
SMOOTH = np.mean(0.9 * np.log(REAL) + 0.1 * np.log(1 - REAL)) + np.mean(np.log(1 - FAKE))

SIGNED = np.array([[1, 2, 5, 4, 3, 1], [4, 3, 1, 2, 2, 4], [2, 4, 2, 1, 1, 6], [6, 1, 1, 5, 2, 1]]) / 16
MASKED, ALL_MASKED = np.array([-1, 2, 1, 0]), np.full(4, -1)
TURN = np.radians([[0, 70, 200, 95]])
F = np.concatenate([np.cos(TURN), np.sin(TURN)]).T  # unit embeddings (4, 2)
V = np.array([[1.0, 0.0], [0.0, 1.0], [-0.6, 0.8]])  # unit proxies (3, 2)


def d2d_ce(labels, tau=0.5, m_p=0.98, m_n=0.02):
    "The equation, one image and one pair at a time."
    each = []
    for i in np.flatnonzero(labels >= 0):
        own = np.exp(min(F[i] @ V[labels[i]] - m_p, 0) / tau)
        others = [j for j in np.flatnonzero(labels >= 0) if labels[j] != labels[i]]
        rest = sum(np.exp(max(F[i] @ F[j] - m_n, 0) / tau) for j in others)
        each.append(-np.log(own / (own + rest)))
    return np.mean(each)


SHIFT = np.array([[3.0], [-1.0], [0.5], [7.0]])  # a softmax ignores it, a double softmax does not
X_REAL = np.float32(logit(REAL)), np.float32(np.log(CLASS) + SHIFT)
X_FAKE = np.float32(logit(FAKE)), np.float32(np.log(CLASS_FAKE) - SHIFT)
X_SIGNED = np.float32(np.log(SIGNED) + SHIFT)
REAL_OF, FAKE_OF = SIGNED[range(4), LABELS], SIGNED[range(4), LABELS + 3]
COSINES, UNIT = np.float32(F @ V.T), np.float32(F)
LOG3, LOG125 = np.float32(np.log([3])), np.float32(np.log([[1, 2, 5]]))
BIG, BIG_CLASS = np.float32([1e4, -1e4]), np.float32(1e4 * np.eye(3))
HALF = np.array([-9.5, -2.75, 0.1875, 3.25, 7.5, 11.0])  # exact in float16 and in bfloat16
HALF_CLASS = np.stack([HALF, 0 * HALF, -HALF], axis=1)


def slope(loss, logits):
    logits = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = loss(logits)
    return tape.gradient(value, logits)


def d(losses, labels=LABELS, **options):
    return losses.discriminator_loss(X_REAL, X_FAKE, labels, FAKE_LABELS, **options)


def later(losses, player, head, third, **options):
    "D's or G's loss with a later head."
    outputs = X_FAKE[0], COSINES, third
    if player == "g":
        return losses.generator_loss(outputs, LABELS, class_head=head, **options)[0]
    real = (X_REAL[0], *outputs[1:])
    return losses.discriminator_loss(real, outputs, MASKED, LABELS, class_head=head, **options)[0]


def g(losses, objective, **options):
    return losses.generator_loss(X_FAKE, FAKE_LABELS, objective=objective, **options)


def g_slope(losses, objective):
    def loss(s):
        return losses.generator_loss((s, X_FAKE[1]), FAKE_LABELS, objective=objective)[0]

    return slope(loss, X_FAKE[0])


def half(x, dtype):
    return ops.cast(ops.convert_to_tensor(x, "float32"), dtype)


D_TERMS = {
    "source_real": -np.mean(np.log(REAL)),
    "source_fake": -np.mean(np.log(1 - FAKE)),
    "class_real": -L_C_REAL,
    "class_fake": -L_C_FAKE,
}
EQUATIONS = {  # what the paper writes: (what the code says, what it must be)
    "nats: -log P(S=real) at 3/4": (lambda m: m.source_loss(LOG3, True), 0.2876820724517809),
    "nats: -log P(S=fake) at 1/4": (lambda m: m.source_loss(LOG3, False), 1.3862943611198906),
    "nats: -log P(C=c) at 1/8": (lambda m: m.class_loss(LOG125, np.array([0])), 2.0794415416798357),
    "-E[log P(S=real|X_real)]": (lambda m: m.source_loss(X_REAL[0], True), D_TERMS["source_real"]),
    "-E[log P(S=fake|X_fake)]": (lambda m: m.source_loss(X_FAKE[0], False), D_TERMS["source_fake"]),
    "-E[log P(C=c|X_real)]": (lambda m: m.class_loss(X_REAL[1], LABELS), -L_C_REAL),
    "-E[log P(C=c|X_fake)]": (lambda m: m.class_loss(X_FAKE[1], FAKE_LABELS), -L_C_FAKE),
    "-E[log P(C=c|X)] over the labelled": (
        lambda m: m.class_loss(X_REAL[1], SOME), -np.log(1 / 8 * 4 / 8) / 2),
    "no label, no class loss": (lambda m: m.class_loss(X_REAL[1], np.full(4, -1)), 0),
    "D minimises -(L_S + L_C)": (lambda m: d(m)[0], -(L_S + L_C_REAL + L_C_FAKE)),
    "D's four terms": (
        lambda m: ops.stack([d(m)[1][name] for name in D_TERMS]), list(D_TERMS.values())),
    "D, an unlabelled image adds to L_S alone": (
        lambda m: d(m, SOME)[0], -(L_S + np.log(1 / 8 * 4 / 8) / 2 + L_C_FAKE)),
    "D, class weight": (
        lambda m: d(m, class_weight=0.3)[0], -(L_S + 0.3 * (L_C_REAL + L_C_FAKE))),
    "D, class loss on real only": (lambda m: d(m, class_loss_on_fake=False)[0], -(L_S + L_C_REAL)),
    "D, one-sided smoothing": (
        lambda m: d(m, label_smoothing=0.1)[0], -(SMOOTH + L_C_REAL + L_C_FAKE)),
    "smoothing leaves the generated alone": (
        lambda m: m.source_loss(X_FAKE[0], False, label_smoothing=0.1), D_TERMS["source_fake"]),
    "G minimises -(L_C - L_S), literally": (
        lambda m: g(m, "minimax")[0], -(L_C_FAKE - np.mean(np.log(1 - FAKE)))),
    "G, non-saturating": (
        lambda m: g(m, "non_saturating")[0], -(L_C_FAKE + np.mean(np.log(FAKE)))),
    "G, non-saturating by default": (
        lambda m: m.generator_loss(X_FAKE, FAKE_LABELS)[0], -(L_C_FAKE + np.mean(np.log(FAKE)))),
    "G's two terms": (
        lambda m: ops.stack([g(m, "non_saturating")[1][k] for k in ("source", "class")]),
        [-np.mean(np.log(FAKE)), -L_C_FAKE]),
    "G, class weight": (
        lambda m: g(m, "minimax", class_weight=0.3)[0], np.mean(np.log(1 - FAKE)) - 0.3 * L_C_FAKE),
    "G's slope, literally": (lambda m: g_slope(m, "minimax"), -FAKE / 4),
    "G's slope, non-saturating": (lambda m: g_slope(m, "non_saturating"), (FAKE - 1) / 4),
    "source at 1e4, real": (lambda m: m.source_loss(BIG, True), 5e3),
    "source at 1e4, fake": (lambda m: m.source_loss(BIG, False), 5e3),
    "source slope at 1e4, real": (
        lambda m: slope(lambda s: m.source_loss(s, True), BIG), [0, -1 / 2]),
    "source slope at 1e4, fake": (
        lambda m: slope(lambda s: m.source_loss(s, False), BIG), [1 / 2, 0]),
    "class at 1e4": (lambda m: m.class_loss(BIG_CLASS, np.array([0, 1, 1])), 1e4 / 3),
    "class slope at 1e4": (
        lambda m: slope(lambda x: m.class_loss(x, np.array([0, 1, 1])), BIG_CLASS),
        [[0, 0, 0], [0, 0, 0], [0, -1 / 3, 1 / 3]]),
    "ADC, real: -E[log C(c+|X)]": (
        lambda m: m.adc_loss(X_SIGNED, LABELS, True), -np.mean(np.log(REAL_OF))),
    "ADC, fake: -E[log C(c-|X)]": (
        lambda m: m.adc_loss(X_SIGNED, LABELS, False), -np.mean(np.log(FAKE_OF))),
    "ADC, over the labelled": (
        lambda m: m.adc_loss(X_SIGNED, MASKED, False),
        -np.mean(np.log(SIGNED[[1, 2, 3], MASKED[1:] + 3]))),
    "ADC, no label": (lambda m: m.adc_loss(X_SIGNED, ALL_MASKED, False), 0),
    "ADC, G: -E[log C(c+|X) - log C(c-|X)]": (
        lambda m: m.adc_generator_loss(X_SIGNED, LABELS), -np.mean(np.log(REAL_OF / FAKE_OF))),
    "ADC, G at 1e4": (
        lambda m: m.adc_generator_loss(np.float32([[1e4, 0, 0, -1e4]]), np.array([0])), -1e4),
    "ADC, D": (
        lambda m: later(m, "d", "adc", X_SIGNED, class_weight=0.3),
        -L_S - 0.3 * np.mean(np.log(SIGNED[[1, 2, 3], MASKED[1:]])) - 0.3 * np.mean(np.log(FAKE_OF))),
    "ADC, G with the source": (
        lambda m: later(m, "g", "adc", X_SIGNED, class_weight=0.3),
        -np.mean(np.log(FAKE)) - 0.3 * np.mean(np.log(REAL_OF / FAKE_OF))),
    "D2D-CE": (lambda m: m.d2d_ce_loss(COSINES, UNIT, LABELS), d2d_ce(LABELS)),
    "D2D-CE, temperature": (
        lambda m: m.d2d_ce_loss(COSINES, UNIT, LABELS, temperature=0.2), d2d_ce(LABELS, 0.2)),
    "D2D-CE, margins": (
        lambda m: m.d2d_ce_loss(COSINES, UNIT, LABELS, positive_margin=0.3, negative_margin=-0.5),
        d2d_ce(LABELS, 0.5, 0.3, -0.5)),
    "D2D-CE, over the labelled": (lambda m: m.d2d_ce_loss(COSINES, UNIT, MASKED), d2d_ce(MASKED)),
    "D2D-CE, no label": (lambda m: m.d2d_ce_loss(COSINES, UNIT, ALL_MASKED), 0),
    "D2D-CE, D": (
        lambda m: later(m, "d", "d2d_ce", UNIT), -L_S + d2d_ce(MASKED) + d2d_ce(LABELS)),
    "D2D-CE, D on real only": (
        lambda m: later(m, "d", "d2d_ce", UNIT, class_loss_on_fake=False), -L_S + d2d_ce(MASKED)),
    "D2D-CE, G": (
        lambda m: later(m, "g", "d2d_ce", UNIT), -np.mean(np.log(FAKE)) + d2d_ce(LABELS)),
    **{f"{dtype} source": (
        lambda m, t=dtype: m.source_loss(half(HALF, t), True), -np.mean(np.log(expit(HALF))))
       for dtype in ("float16", "bfloat16")},
    **{f"{dtype} class": (
        lambda m, t=dtype: m.class_loss(half(HALF_CLASS, t), np.zeros(6, int)),
        -np.mean(np.log(softmax(HALF_CLASS, axis=1)[:, 0])))
       for dtype in ("float16", "bfloat16")},
    "float16, a sum beyond its range": (
        lambda m: m.source_loss(half(np.full(100, -1e4), "float16"), True), 1e4),
}


def check_equation(losses, name):
    said, must = EQUATIONS[name]
    value = said(losses)
    assert keras.backend.standardize_dtype(value.dtype) == "float32", f"{name}: {value.dtype}"
    value = ops.convert_to_numpy(value)
    np.testing.assert_allclose(value, must, rtol=1e-5, atol=1e-6, err_msg=name)


def check_equations(losses):
    "`AssertionError` unless a module with the names of `acgan_nb.losses` obeys every equation."
    for name in EQUATIONS:
        check_equation(losses, name)


@pytest.mark.parametrize("name", EQUATIONS)
def test_equation(name):
    check_equation(acgan_nb.losses, name)


S, C = 'ops.cast(source_logits, "float32")', 'ops.cast(class_logits, "float32")'
LOG_P = f"ops.log_softmax({C}, axis=-1)"
ON_REAL, ON_FAKE = "target * ops.softplus(-s)", "return ops.mean(ops.softplus(s))"
MUTANTS = [  # what is wrong, the source, what it becomes
    ("source: sign on real", ON_REAL, "target * ops.softplus(s)"),
    ("source: sign on fake", ON_FAKE, "return ops.mean(ops.softplus(-s))"),
    ("source: likelihood, not loss", ON_FAKE, "return -ops.mean(ops.softplus(s))"),
    ("source: real and fake swapped", "if not real:", "if real:"),
    ("source: log2 on real", "return ops.mean(target", "return ops.mean(1.442695 * target"),
    ("source: log2 on fake", ON_FAKE, ON_FAKE + " / 0.693147"),
    ("source: log10", ON_FAKE, ON_FAKE + " / 2.302585"),
    ("source: sigmoid applied twice", S, f"ops.sigmoid({S})"),
    ("source: a probability is expected", S, f"ops.log({S} / (1 - {S}))"),
    ("source: naive log of sigmoid", ON_REAL, "target * -ops.log(ops.sigmoid(s))"),
    ("source: log clipped by an epsilon", ON_REAL, "target * -ops.log(ops.sigmoid(s) + 1e-7)"),
    ("source: half precision", S, "ops.convert_to_tensor(source_logits)"),
    ("source: sum over the batch, real", "return ops.mean(target", "return ops.sum(target"),
    ("source: sum over the batch, fake", ON_FAKE, "return ops.sum(ops.softplus(s))"),
    ("source: smoothing upwards", "1.0 - label_smoothing", "1.0 + label_smoothing"),
    ("source: smoothing on both sides", ON_FAKE,
     "e = label_smoothing; return ops.mean((1 - e) * ops.softplus(s) + e * ops.softplus(-s))"),
    ("class: softmax applied twice", C, f"ops.softmax({C})"),
    ("class: a probability is expected", LOG_P, f"ops.log({C})"),
    ("class: naive log of softmax", LOG_P, f"ops.log(ops.softmax({C}) + 1e-7)"),
    ("class: probability without a log", "ops.log_softmax", "ops.softmax"),
    ("class: softmax over the batch", "axis=-1)", "axis=0)"),
    ("class: log2", "return -ops.sum(", "return -1.442695 * ops.sum("),
    ("class: likelihood, not loss", "return -ops.sum(", "return ops.sum("),
    ("class: half precision", LOG_P, 'ops.cast(ops.log_softmax(class_logits), "float32")'),
    ("class: sum over the batch", " / at_least_one(picked)", ""),
    ("class: mean over the batch", "at_least_one(picked)", "picked.shape[0]"),
    ("class: mean over the classes", "at_least_one(picked)", "picked.shape[1]"),
    ("class: unlabelled read as class 0", "picked = _one_hot(labels,",
     "picked = _one_hot(ops.maximum(labels, 0),"),
    ("class: unlabelled read as the last", "picked = _one_hot(labels,",
     "picked = _one_hot(labels % log_p.shape[-1],"),
    ("class: no label, 0 / 0", "at_least_one(picked)", "ops.sum(picked)"),
    ("ADC: real and fake swapped", "labels if real else", "labels if not real else"),
    ("ADC: unlabelled read as the last real", "labels >= 0, labels + k, -1", "True, labels + k, -1"),
    ("ADC: shifted by 2K", "shape[-1] // 2", "shape[-1]"),
    ("ADC, G: sign", "labels, True) - adc", "labels, True) + adc"),
    ("ADC, G: paid for being fake", "adc_loss(signed_logits, labels, True) - ",
     "-adc_loss(signed_logits, labels, True) + 2 * "),
    ("ADC, G: D's own term", 'if class_head == "adc":\n        classes', 'if False:\n        classes'),
    ("ADC, D: fake as real", "fake_outputs, fake_labels, False", "fake_outputs, fake_labels, True"),
    ("D2D: temperature on one side", "positive_margin, 0.0) / temperature", "positive_margin, 0.0)"),
    ("D2D: temperature inverted", "negative_margin, 0.0) / temp", "negative_margin, 0.0) * temp"),
    ("D2D: no positive margin", "cosines, axis=1) - positive_margin", "cosines, axis=1)"),
    ("D2D: no negative margin", "transpose(f)) - negative_margin", "transpose(f))"),
    ("D2D: attraction not cut off", "ops.minimum(ops.sum(own * c", "ops.add(ops.sum(own * c"),
    ("D2D: repulsion cut off above", "ops.maximum(ops.matmul(f", "ops.minimum(ops.matmul(f"),
    ("D2D: pushes its own class away", " - ops.matmul(own, ops.transpose(own))", ""),
    ("D2D: pushed by the unlabelled", "other = labelled[:, None] * labelled", "other = 1"),
    ("D2D: likelihood, not loss", "+ repulsion) - attraction", "+ repulsion) + attraction"),
    ("D2D: denominator without the proxy", "ops.exp(attraction) + repulsion", "1e-9 + repulsion"),
    ("D2D: unlabelled read as class 0", "own = _one_hot(labels,",
     "own = _one_hot(ops.maximum(labels, 0),"),
    ("D2D: unlabelled count", "ops.sum(labelled * each) / at_least_one(labelled)",
     "ops.mean(each)"),
    ("D: fake taken for real", "(fake_outputs[0], False),", "(fake_outputs[0], True),"),
    ("D: real taken for fake", "real_outputs[0], True, label", "real_outputs[0], False, label"),
    ("D: source from the other batch", "source_loss(fake_outputs[0], False),",
     "source_loss(real_outputs[0], False),"),
    ("D: class from the other batch", "head_loss(fake_outputs, fake_labels, F",
     "head_loss(real_outputs, fake_labels, F"),
    ("D: class of the other batch", "head_loss(fake_outputs, fake_labels, F",
     "head_loss(fake_outputs, real_labels, F"),
    ("D: minus on L_S", "weights = 1.0, 1.0,", "weights = -1.0, 1.0,"),
    ("D: minus on L_S's second term", "weights = 1.0, 1.0,", "weights = 1.0, -1.0,"),
    ("D: minus on L_C", "1.0, class_weight, class", "1.0, -class_weight, class"),
    ("D: class_fake dropped", ", class_weight * class_loss_on_fake", ", 0.0"),
    ("D: class_fake subtracted", ", class_weight * class_loss", ", -class_weight * class_loss"),
    ("D: class_fake always", "class_weight * class_loss_on_fake", "class_weight"),
    ("D: class weight ignored", "1.0, class_weight, class", "1.0, 1.0, class"),
    ("D: class weight ignored on fake", "class_weight * class_loss_on_fake", "class_loss_on_fake"),
    ("total: unweighted", "[weight * term for", "[term for"),
    ("total: a mean", "return ops.sum(ops.stack", "return ops.mean(ops.stack"),
    ("D: smoothing ignored", "True, label_smoothing)", "True)"),
    ("G: the two forms swapped", 'objective == "non_', 'objective != "non_'),
    ("G: minimax always", 'objective == "non_saturating"', "False"),
    ("G: another default", 'objective: str = "non_saturating"', 'objective: str = "minimax"'),
    ("G: non-saturating sign", "source = source_loss(", "source = -source_loss("),
    ("G: minimax sign", "source = -source_loss(", "source = source_loss("),
    ("G: minus on L_C", 'terms["source"] + class', 'terms["source"] - class'),
    ("G: class weight ignored", 'class_weight * terms["class"]', 'terms["class"]'),
    ("G: weight on the source", 'terms["source"] + c', 'class_weight * terms["source"] + c'),
]
SOURCE = Path(acgan_nb.losses.__file__).read_text(encoding="utf-8")


def losses_from(source):
    module = types.ModuleType("acgan_nb.mutant")
    module.__package__ = "acgan_nb"
    exec(compile(source, "mutant", "exec"), module.__dict__)
    return module


def test_the_source_itself_passes():
    check_equations(losses_from(SOURCE))


@pytest.mark.parametrize(("old", "new"), [m[1:] for m in MUTANTS], ids=[m[0] for m in MUTANTS])
def test_mutant_fails(old, new):
    assert SOURCE.count(old) == 1
    mutant = losses_from(SOURCE.replace(old, new))
    with pytest.raises(AssertionError):
        check_equations(mutant)
