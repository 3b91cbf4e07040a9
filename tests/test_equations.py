"Every equation of the paper against probabilities written by hand, and mutants that must fail."

import types
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops
from scipy.special import expit, logit, softmax

import acgan_nb.heads
import acgan_nb.losses
from acgan_nb.settings import choices

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
TWINS = X_REAL[0], X_REAL[1], X_FAKE[1]
COSINES, UNIT = np.float32(F @ V.T), np.float32(F)
X_LOGITS = np.float32(np.c_[X_SIGNED, logit(REAL)])
HALVES = slice(0, 2), slice(2, 4)
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


def a_head(module, label):
    return module.ProxyHead(3) if label == "d2d_ce" else module.HEADS[label]()


def later(module, player, label, third, **options):
    "D's or G's loss with a later head."
    outputs, head = (X_FAKE[0], COSINES, third), a_head(module, label)
    if player == "g":
        return module.generator_loss(outputs, LABELS, class_term=head.g_term, **options)[0]
    real, options = (X_REAL[0], *outputs[1:]), dict(class_term=head.d_term, **options)
    return module.discriminator_loss(real, outputs, MASKED, LABELS, **options)[0]


def answers(module, label, x=None):
    "Outputs of a head whose proxies, if it has some, are not of length one, on logits x."
    head = a_head(module, label)
    if label != "d2d_ce":
        return head(X_LOGITS if x is None else x)
    head.build((None, 3))
    head.proxies.assign(V * np.array([[2.0], [0.1], [3.0]]))
    return head(np.float32(np.c_[F * np.array([[4.0], [1.0], [0.2], [9.0]]), logit(REAL)]))


def given(module, label):
    "Those outputs for three labelled images and one without."
    return a_head(module, label).given(answers(module, label), MASKED)


def width(module, label, num_classes=7):
    return ops.convert_to_tensor(float(module.HEADS[label].units(num_classes)), "float32")


def found(module, label, has_head=True):
    "1.0 if `head_of` finds the head of a D with this one."
    x, head = keras.Input((7,)), a_head(module, label)
    outputs = head(x) if has_head else list(map(layers.Identity(), head(x)))
    head_of = module.head_of(keras.Model(x, outputs))
    same = head_of is head if has_head else type(head_of) is module.SoftSigmoid
    return ops.convert_to_tensor(float(same), "float32")


def refused(module):
    "1.0 if a D with three outputs and no head is refused."
    try:
        found(module, "adc", has_head=False)
    except ValueError:
        return ops.convert_to_tensor(1.0, "float32")
    return ops.convert_to_tensor(0.0, "float32")


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
    "labelled images": (lambda m: m.labelled_count(SOME), 2),
    "labelled images, none": (lambda m: m.labelled_count(ALL_MASKED), 1),
    "class, two devices": (
        lambda m: sum(m.class_loss(X_REAL[1][part], MASKED[part], 1.5) for part in HALVES) / 2,
        -np.log(1 / 8 * 4 / 8 * 6 / 8) / 3),
    "ADC, count": (
        lambda m: m.adc_loss(X_SIGNED, LABELS, True, 8.0), -np.sum(np.log(REAL_OF)) / 8),
    "ADC, G, count": (
        lambda m: m.adc_generator_loss(X_SIGNED, LABELS, 8.0),
        -np.sum(np.log(REAL_OF / FAKE_OF)) / 8),
    "D2D-CE, count": (
        lambda m: m.d2d_ce_loss(COSINES, UNIT, MASKED, 6.0), d2d_ce(MASKED) / 2),
    "D, count of the real": (
        lambda m: d(m, SOME, real_count=8.0)[0], -(L_S + np.log(1 / 8 * 4 / 8) / 8 + L_C_FAKE)),
    "D's class term knows what is real": (
        lambda m: d(m, class_term=lambda o, labels, real, count=None: ops.array(2.0 + real))[0],
        -L_S + 3 + 2),
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


EQUATIONS |= {  # of the heads
    "soft-sigmoid, source": (lambda m: answers(m, "acgan")[0], logit(REAL)),
    "soft-sigmoid, class": (lambda m: answers(m, "acgan")[1], X_SIGNED),
    "soft-sigmoid, units": (lambda m: width(m, "acgan"), 8),
    "soft-sigmoid, D": (
        lambda m: m.SoftSigmoid().d_term(X_REAL, SOME, True), -np.log(1 / 8 * 4 / 8) / 2),
    "soft-sigmoid, D on fake": (
        lambda m: m.SoftSigmoid().d_term(X_FAKE, FAKE_LABELS, False), -L_C_FAKE),
    "soft-sigmoid, D, count": (
        lambda m: m.SoftSigmoid().d_term(X_REAL, LABELS, True, 8.0), -L_C_REAL / 2),
    "soft-sigmoid, G": (lambda m: m.SoftSigmoid().g_term(X_FAKE, FAKE_LABELS), -L_C_FAKE),
    "soft-sigmoid, G, count": (
        lambda m: m.SoftSigmoid().g_term(X_FAKE, FAKE_LABELS, 8.0), -L_C_FAKE / 2),
    "ADC, source": (lambda m: answers(m, "adc")[0], logit(REAL)),
    "ADC, P(C|X) = C(c+|X) + C(c-|X)": (
        lambda m: ops.softmax(answers(m, "adc")[1]), SIGNED[:, :3] + SIGNED[:, 3:]),
    "ADC, signed": (lambda m: answers(m, "adc")[2], X_SIGNED),
    "ADC, units": (lambda m: width(m, "adc"), 15),
    "ADC, D's term, count": (
        lambda m: m.DiscriminativeHead().d_term((0, 0, X_SIGNED), LABELS, False, 8.0),
        -np.sum(np.log(FAKE_OF)) / 8),
    "ADC, G's term, count": (
        lambda m: m.DiscriminativeHead().g_term((0, 0, X_SIGNED), LABELS, 8.0),
        -np.sum(np.log(REAL_OF / FAKE_OF)) / 8),
    "D2D-CE, source": (lambda m: answers(m, "d2d_ce")[0], logit(REAL)),
    "D2D-CE, cosines": (lambda m: answers(m, "d2d_ce")[1], F @ V.T),
    "D2D-CE, embeddings": (lambda m: answers(m, "d2d_ce")[2], F),
    "D2D-CE, units": (lambda m: width(m, "d2d_ce"), 129),
    "D2D-CE, D's term, count": (
        lambda m: m.ProxyHead(3).d_term((0, COSINES, UNIT), MASKED, True, 6.0), d2d_ce(MASKED) / 2),
    "projection, psi": (lambda m: answers(m, "projection")[0], logit(REAL)),
    "projection, units": (lambda m: width(m, "projection"), 8),
    "projection, source of pairs": (
        lambda m: given(m, "projection")[0], logit(REAL) + X_SIGNED[range(4), MASKED] * (MASKED >= 0)),
    "projection, projections": (lambda m: given(m, "projection")[1], X_SIGNED),
    "projection, no term of D": (lambda m: m.HEADS["projection"]().d_term(X_REAL, LABELS, True), 0),
    "projection, no term of G": (lambda m: m.HEADS["projection"]().g_term(X_FAKE, LABELS), 0),
    **{f"{label}, the label is not in the source": (
        lambda m, label=label: given(m, label)[0], logit(REAL)) for label in ("acgan", "adc", "tac")},
    "TAC, source": (lambda m: answers(m, "tac")[0], logit(REAL)),
    "TAC, class": (lambda m: answers(m, "tac")[1], X_SIGNED[:, :3]),
    "TAC, twin": (lambda m: answers(m, "tac")[2], X_SIGNED[:, 3:]),
    "TAC, units": (lambda m: width(m, "tac"), 15),
    "TAC, D on real": (
        lambda m: m.HEADS["tac"]().d_term(TWINS, LABELS, True, 8.0), -L_C_REAL / 2),
    "TAC, D on fake": (
        lambda m: m.HEADS["tac"]().d_term(TWINS, FAKE_LABELS, False, 8.0), -L_C_FAKE / 2),
    "TAC, G": (
        lambda m: m.HEADS["tac"]().g_term(TWINS, FAKE_LABELS, 8.0),
        np.sum(np.log(CLASS_FAKE / CLASS)[range(4), FAKE_LABELS]) / 8),
    "whose softmax is a probability": (
        lambda m: ops.array([float(head.gives_probabilities) for head in m.HEADS.values()]),
        [1, 1, 0, 0, 1]),
    **{f"head_of, {label}": (lambda m, label=label: found(m, label), 1)
       for label in choices("class_head")},
    "head_of, three outputs and no head": (refused, 1),
    "head_of, two outputs and no head": (lambda m: found(m, "acgan", has_head=False), 1),
}


def check_equation(module, name):
    said, must = EQUATIONS[name]
    value = said(module)
    assert keras.backend.standardize_dtype(value.dtype) == "float32", f"{name}: {value.dtype}"
    value = ops.convert_to_numpy(value)
    np.testing.assert_allclose(value, must, rtol=1e-5, atol=1e-6, err_msg=name)


def check_equations(module):
    "`AssertionError` unless a module with the names of losses and heads obeys every equation."
    for name in EQUATIONS:
        check_equation(module, name)


BOTH = types.ModuleType("losses and heads")
BOTH.__dict__.update(vars(acgan_nb.heads) | vars(acgan_nb.losses))


@pytest.mark.parametrize("name", EQUATIONS)
def test_equation(name):
    check_equation(BOTH, name)


def test_heads_are_the_choices_of_the_setting():
    assert tuple(acgan_nb.heads.HEADS) == choices("class_head")


S, C = 'ops.cast(source_logits, "float32")', 'ops.cast(class_logits, "float32")'
LOG_P = f"ops.log_softmax({C}, axis=-1)"
ON_REAL, ON_FAKE = "target * ops.softplus(-s)", "return ops.mean(ops.softplus(s))"
MUTANTS = [  # what is wrong, the source, what it becomes
    ("pairs: all labels", "_one_hot(labels, p.shape[1]) * p", "p"),
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
    ("class: log2", "_over_labelled(-ops.sum(", "_over_labelled(-1.442695 * ops.sum("),
    ("class: likelihood, not loss", "_over_labelled(-ops.sum(", "_over_labelled(ops.sum("),
    ("class: half precision", LOG_P, 'ops.cast(ops.log_softmax(class_logits), "float32")'),
    ("class: sum over the batch", "_over_labelled(-ops.sum(picked * log_p), labels, count)",
     "-ops.sum(picked * log_p)"),
    ("class: mean over the batch", "ops.sum(picked * log_p), labels, count)",
     "ops.sum(picked * log_p), labels, picked.shape[0])"),
    ("class: mean over the classes", "ops.sum(picked * log_p), labels, count)",
     "ops.sum(picked * log_p), labels, picked.shape[1])"),
    ("class: count ignored", "ops.sum(picked * log_p), labels, count)",
     "ops.sum(picked * log_p), labels)"),
    ("count: ignored", "labelled_count(labels) if count is None else count)",
     "labelled_count(labels))"),
    ("count: all images", "ops.greater_equal(ops.cast(labels, \"int32\"), 0)",
     "ops.greater_equal(ops.cast(labels, \"int32\"), -1)"),
    ("count: without class 0", "ops.greater_equal(", "ops.greater("),
    ("class: unlabelled read as class 0", "picked = _one_hot(labels,",
     "picked = _one_hot(ops.maximum(labels, 0),"),
    ("class: unlabelled read as the last", "picked = _one_hot(labels,",
     "picked = _one_hot(labels % log_p.shape[-1],"),
    ("class: no label, 0 / 0", 'ops.maximum(ops.sum(ops.cast(known, "float32")), 1.0)',
     'ops.sum(ops.cast(known, "float32"))'),
    ("ADC: real and fake swapped", "labels if real else", "labels if not real else"),
    ("ADC: unlabelled read as the last real", "labels >= 0, labels + k, -1", "True, labels + k, -1"),
    ("ADC: shifted by 2K", "shape[-1] // 2", "shape[-1]"),
    ("ADC: count ignored", "class_loss(signed_logits, signed, count)",
     "class_loss(signed_logits, signed)"),
    ("ADC, G: sign", "as_real - adc_loss(", "as_real + adc_loss("),
    ("ADC, G: paid for being fake", "return as_real - adc_loss(", "return -as_real + 2 * adc_loss("),
    ("ADC, G: count ignored on real", "adc_loss(signed_logits, labels, True, count)",
     "adc_loss(signed_logits, labels, True)"),
    ("ADC, G: count ignored on fake", "adc_loss(signed_logits, labels, False, count)",
     "adc_loss(signed_logits, labels, False)"),
    ("D2D: temperature on one side", "positive_margin, 0.0) / temperature", "positive_margin, 0.0)"),
    ("D2D: temperature inverted", "negative_margin, 0.0) / temp", "negative_margin, 0.0) * temp"),
    ("D2D: no positive margin", "cosine - positive_margin", "cosine"),
    ("D2D: no negative margin", "transpose(f)) - negative_margin", "transpose(f))"),
    ("D2D: attraction not cut off", "ops.minimum(cosine", "ops.add(cosine"),
    ("D2D: repulsion cut off above", "ops.maximum(ops.matmul(f", "ops.minimum(ops.matmul(f"),
    ("D2D: pushes its own class away", "labelled[:, None] * labelled - same_class",
     "labelled[:, None] * labelled"),
    ("D2D: pushed by the unlabelled", "other = labelled[:, None] * labelled", "other = 1"),
    ("D2D: likelihood, not loss", "+ repulsion) - attraction", "+ repulsion) + attraction"),
    ("D2D: denominator without the proxy", "ops.exp(attraction) + repulsion", "1e-9 + repulsion"),
    ("D2D: unlabelled read as class 0", "one_hot = _one_hot(labels,",
     "one_hot = _one_hot(ops.maximum(labels, 0),"),
    ("D2D: unlabelled count",
     "_over_labelled(ops.sum(ops.sum(one_hot, axis=1) * each), labels, count)", "ops.mean(each)"),
    ("D2D: count ignored", "* each), labels, count)", "* each), labels)"),
    ("D: fake taken for real", "(fake_outputs[0], False),", "(fake_outputs[0], True),"),
    ("D: real taken for fake", "real_outputs[0], True, label", "real_outputs[0], False, label"),
    ("D: source from the other batch", "source_loss(fake_outputs[0], False),",
     "source_loss(real_outputs[0], False),"),
    ("D: class from the other batch", "class_term(fake_outputs, fake_labels, F",
     "class_term(real_outputs, fake_labels, F"),
    ("D: class of the other batch", "class_term(fake_outputs, fake_labels, F",
     "class_term(fake_outputs, real_labels, F"),
    ("D: class term of fakes as of real", "fake_outputs, fake_labels, False",
     "fake_outputs, fake_labels, True"),
    ("D: class term of real as of fakes", "real_outputs, real_labels, True",
     "real_outputs, real_labels, False"),
    ("D: count of the real ignored", "real_labels, True, real_count)", "real_labels, True)"),
    ("D: count of the real on fakes", "fake_labels, False),\n    }",
     "fake_labels, False, real_count),\n    }"),
    ("D: the paper's class term always", '"class_fake": class_term(',
     '"class_fake": auxiliary_class_term('),
    ("D's class term: count ignored", "real=True, count=None):\n    \"\"\"The paper's class term of D",
     "real=True, ignored=None, count=None):\n    \"\"\"The paper's class term of D"),
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
    ("G: the two forms swapped", "_GENERATOR_SOURCE_TERMS[objective](",
     "_GENERATOR_SOURCE_TERMS[{'minimax': 'non_saturating'}.get(objective, 'minimax')]("),
    ("G: minimax always", "_TERMS[objective](", "_TERMS['minimax']("),
    ("G: non-saturating always", "_TERMS[objective](", "_TERMS['non_saturating']("),
    ("G: another default", 'objective: str = "non_saturating"', 'objective: str = "minimax"'),
    ("G: non-saturating sign", "lambda s: source_loss(s, True)", "lambda s: -source_loss(s, True)"),
    ("G: minimax sign", "lambda s: -source_loss(s, False)", "lambda s: source_loss(s, False)"),
    ("G: the paper's class term always", '"class": class_term(', '"class": auxiliary_class_term('),
    ("G: minus on L_C", 'terms["source"] + class', 'terms["source"] - class'),
    ("G: class weight ignored", 'class_weight * terms["class"]', 'terms["class"]'),
    ("G: weight on the source", 'terms["source"] + c', 'class_weight * terms["source"] + c'),
]
HEAD_MUTANTS = [
    ("soft-sigmoid: source first", "return logits[:, -1], logits[:, :-1]",
     "return logits[:, 0], logits[:, 1:]"),
    ("soft-sigmoid: source among the classes", "logits[:, -1], logits[:, :-1]", "logits[:, -1], logits"),
    ("soft-sigmoid: activated", "return logits[:, -1], logits[:, :-1]",
     "return ops.sigmoid(logits[:, -1]), logits[:, :-1]"),
    ("soft-sigmoid: softmax applied", "return logits[:, -1], logits[:, :-1]",
     "return logits[:, -1], ops.softmax(logits[:, :-1])"),
    ("soft-sigmoid: no unit for the source", "        return num_classes + 1", "        return num_classes"),
    ("D's term: count ignored", "auxiliary_class_term(outputs, labels, real, count)",
     "auxiliary_class_term(outputs, labels, real)"),
    ("G's term: count ignored", "self.d_term(outputs, labels, True, count)",
     "self.d_term(outputs, labels, True)"),
    ("ADC: K answers", "return 2 * num_classes + 1", "return num_classes + 1"),
    ("ADC: probabilities of logits", "ops.logaddexp(real, fake)", "ops.add(real, fake)"),
    ("ADC: larger of both", "ops.logaddexp(real, fake)", "ops.maximum(real, fake)"),
    ("ADC: class of the real half", "ops.logaddexp(real, fake)", "real"),
    ("ADC: source among the signed", "signed = logits[:, :-1]", "signed = logits[:, 1:]"),
    ("ADC: halves swapped", "logaddexp(real, fake), signed",
     "logaddexp(real, fake), ops.concatenate([fake, real], axis=-1)"),
    ("ADC, D: all as real", "adc_loss(outputs[2], labels, real, count)",
     "adc_loss(outputs[2], labels, True, count)"),
    ("ADC, D: fake as real and real as fake", "adc_loss(outputs[2], labels, real, count)",
     "adc_loss(outputs[2], labels, not real, count)"),
    ("ADC, D: count ignored", "adc_loss(outputs[2], labels, real, count)",
     "adc_loss(outputs[2], labels, real)"),
    ("ADC, G: D's own term", "adc_generator_loss(outputs[2], labels, count)",
     "adc_loss(outputs[2], labels, True, count)"),
    ("ADC, G: count ignored", "adc_generator_loss(outputs[2], labels, count)",
     "adc_generator_loss(outputs[2], labels)"),
    ("D2D: embedding not of length one", "for a in (x[:, :-1], self.proxies)",
     "for a in (x[:, :-1], self.proxies)); f = (x[:, :-1]"),
    ("D2D: proxies not of length one", "ops.transpose(v)", "ops.transpose(self.proxies)"),
    ("D2D: source first", "return x[:, -1], ops.matmul", "return x[:, 0], ops.matmul"),
    ("D2D: no unit for the source", "return cls.embedding_size + 1", "return cls.embedding_size"),
    ("D2D: a unit per class", "return cls.embedding_size + 1", "return num_classes + 1"),
    ("D2D: softmax of cosines as probabilities", "gives_probabilities = False\n    embedding",
     "gives_probabilities = True\n    embedding"),
    ("D2D: images and proxies swapped", "d2d_ce_loss(outputs[1], outputs[2]",
     "d2d_ce_loss(outputs[2], outputs[1]"),
    ("D2D: the paper's term", "d2d_ce_loss(outputs[1], outputs[2], labels, count)",
     "auxiliary_class_term(outputs, labels, real, count)"),
    ("D2D: count ignored", "d2d_ce_loss(outputs[1], outputs[2], labels, count)",
     "d2d_ce_loss(outputs[1], outputs[2], labels)"),
    ("projection: no label", "return pair_logits(*outputs, labels), outputs[1]", "return outputs"),
    ("projection: a class term, too", "return ops.zeros(())",
     "return auxiliary_class_term(outputs, labels, real, count)"),
    ("every source logit: with its label", "    return outputs\n",
     "    return pair_logits(*outputs[:2], labels), *outputs[1:]\n"),
    ("TAC: one classifier", "class_loss(outputs[1 if real else 2], labels, count)",
     "class_loss(outputs[1], labels, count)"),
    ("TAC, G: both are pleased", "count) - class_loss(", "count) + class_loss("),
    ("TAC: source among the twins", "*ops.split(logits[:, :-1], 2", "*ops.split(logits[:, 1:], 2"),
    ("head_of: the paper's always", "if isinstance(last, Head):", "if False:"),
    ("head_of: any D", "if count == 2:", "if count:"),
    ("head_of: three outputs", "if count == 2:", "if count == 3:"),
]
SOURCES = {
    module: Path(module.__file__).read_text(encoding="utf-8")
    for module in (acgan_nb.losses, acgan_nb.heads)
}


@pytest.fixture
def registered():
    "Keras' registry of classes, as it was before a mutant entered its own."
    objects = keras.saving.get_custom_objects()
    before = dict(objects)
    yield
    objects.update(before)


def both_from(losses=SOURCES[acgan_nb.losses], heads=SOURCES[acgan_nb.heads]):
    "One module with the names of losses and heads, from these sources."
    module = types.ModuleType("acgan_nb.mutant")
    module.__package__ = "acgan_nb"
    exec(compile(losses, "losses", "exec"), module.__dict__)
    defined = dict(module.__dict__)
    exec(compile(heads, "heads", "exec"), module.__dict__)
    module.__dict__.update(defined)  # in place of what heads imports from the losses
    return module


def check_mutant(module, old, new):
    source = SOURCES[module]
    assert source.count(old) == 1
    name = module.__name__.split(".")[1]
    mutant = both_from(**{name: source.replace(old, new)})
    with pytest.raises(AssertionError):
        check_equations(mutant)


def test_the_sources_themselves_pass(registered):
    check_equations(both_from())


@pytest.mark.parametrize(("old", "new"), [m[1:] for m in MUTANTS], ids=[m[0] for m in MUTANTS])
def test_mutant_fails(old, new, registered):
    check_mutant(acgan_nb.losses, old, new)


@pytest.mark.parametrize(
    ("old", "new"), [m[1:] for m in HEAD_MUTANTS], ids=[m[0] for m in HEAD_MUTANTS])
def test_mutant_of_a_head_fails(old, new, registered):
    check_mutant(acgan_nb.heads, old, new)
