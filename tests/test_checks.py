"""The machinery of checks, tried on exercises made up here."""

import copy
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from course_utils.exercises import CheckFailed, check
from course_utils.exercises.engine import feedback as feedbacks
from course_utils.exercises.engine.calls import call_on_probes, make_probes, seeded
from course_utils.exercises.engine.checks import source_hash
from course_utils.exercises.engine.compare import difference
from course_utils.exercises.engine.copies import Copies
from course_utils.exercises.engine.worn import wear


def _maps(random):
    return [(torch.rand(5, 7), 2.0), (torch.rand(9, 4), 3.0)]


@check(points=3, probes=_maps)
def scaled(heatmap, factor):
    """A heat map (H, W) times a factor."""
    return heatmap * factor


@scaled.mistake("You added the factor; multiply by it.")
def _added(heatmap, factor):
    return heatmap + factor


def _networks(random):
    layers = nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5), nn.ReLU()).eval()
    return [(layers, torch.rand(2, 4)), (layers, torch.rand(5, 4))]


@check(points=1, probes=_networks)
def output(model, x):
    """What a network says."""
    with torch.no_grad():
        return model(x)


# ---------------------------------------------------------------------------- kinds of feedback


def test_passed_is_the_only_success():
    feedback = scaled.review(lambda heatmap, factor: factor * heatmap)
    assert (feedback.kind, feedback.points, feedback.out_of) == ("passed", 3, 3)
    assert str(feedback) == "✓ scaled: passed (3 of 3 points)"


def _four_sizes(random):
    return [(torch.rand(5, width), 2.0) for width in (4, 6, 7, 9)]


@check(points=2, probes=_four_sizes)
def wide(heatmap, factor):
    """A heat map (H, W) times a factor."""
    return heatmap * factor


def _in_place(heatmap, factor):
    return heatmap.mul_(factor)


PARTLY = {
    "all": (lambda heatmap, factor: heatmap * factor, 1.5),  # "passed" is not for this to say
    "three of four": (lambda h, factor: h * (factor if h.shape[1] < 9 else 1), 1.5),
    "two of four": (lambda h, factor: h * (factor if h.shape[1] < 7 else 1), 1),
    "one of four": (lambda h, factor: h * (factor if h.shape[1] < 6 else 1), 0),
    "right, then it raises": (lambda h, factor: h * factor if h.shape[1] < 7 else h[9, 9], 1),
    "none": (lambda heatmap, factor: heatmap, 0),
    "values only": (_in_place, 1),
}


@pytest.mark.parametrize("answer, points", PARTLY.values(), ids=PARTLY)
def test_partial_points_are_the_share_of_the_probes_in_halves(answer, points):
    assert wide.partial_points(call_on_probes(answer, wide.probes, 3), 3) == points


@pytest.mark.parametrize("kind", [kind for kind in feedbacks.TITLES if kind != "passed"])
def test_nothing_else_looks_like_success(kind):
    feedback = feedbacks.Feedback("scaled", kind, "Some advice.", 3)
    assert feedback.points == 0 and not feedback.passed
    for shown in (str(feedback), feedback.as_html()):
        assert "✓" not in shown and "0 of 3" in shown
    assert ">passed" not in feedback.as_html() and "#2e8b57" not in feedback.as_html()


def test_a_kind_of_feedback_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="no feedback of the kind 'great'"):
        feedbacks.Feedback("scaled", "great", "", 3)


def raises_inside(heatmap, factor):
    product = heatmap * factor
    return product @ torch.ones(99, 99)


def test_an_error_shows_the_learners_own_line_and_a_cause():
    feedback = scaled.review(raises_inside)
    assert feedback.kind == "raised"
    assert feedback.code.endswith("return product @ torch.ones(99, 99)")
    assert "shapes" in feedback.message and "RuntimeError" in feedback.message


def helper(tensor):
    return tensor.nonsense()


def test_the_line_may_stand_in_a_function_that_the_answer_calls():
    feedback = scaled.review(lambda heatmap, factor: helper(heatmap))
    assert feedback.code.endswith("return tensor.nonsense()")


def misspelt(heatmap, factor):
    return heatmapp * factor  # noqa: F821


def used_too_early(heatmap, factor):
    if factor < 0:
        result = heatmap
    return result


def none_in_the_middle(heatmap, factor):
    return [].sort().shape


def needs_gradient(heatmap, factor):
    return torch.autograd.grad(heatmap.sum(), heatmap)[0]


def two_gradients(heatmap, factor):
    x = heatmap.clone().requires_grad_()
    score = (x * x).sum()
    return torch.autograd.grad(score, x)[0] + torch.autograd.grad(score, x)[0]


def ends_everything(heatmap, factor):
    sys.exit(0)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (misspelt, "heatmapp misspelt"),
        (used_too_early, "before it gets its value"),
        (none_in_the_middle, "is None"),
        (needs_gradient, "requires_grad_"),
        (two_gradients, "run the network again"),
        (ends_everything, "return its answer"),
        (lambda heatmap: heatmap, "called with 2 arguments, but yours is <lambda>(heatmap)"),
        (lambda heatmap, factor: heatmap[99], "index is too large"),
        (
            lambda heatmap, factor: (heatmap.requires_grad_() * 2).numpy(),
            "detach",
        ),
        (lambda heatmap, factor: heatmap[heatmap > 0 & heatmap > 1], "brackets"),
        (lambda heatmap, factor: heatmap / heatmap.amax(1), "keepdim=True"),
        (lambda heatmap, factor: heatmap - heatmap.max(1), "`.values`"),
        (lambda heatmap, factor: heatmap.max((0, 1)), "`amax`"),
        (lambda heatmap, factor: heatmap - (1, 2), "make a tensor"),
        (lambda heatmap, factor: (heatmap > 0).mean(), ".float()"),
        (lambda heatmap, factor: heatmap.item(), "index missing"),
        (lambda heatmap, factor: heatmap @ heatmap.T.double(), "float64"),
        (lambda heatmap, factor: heatmap.view(2, 2), "how many values"),
        (lambda heatmap, factor: heatmap.expand(3, -1, -1)[heatmap > 0], "`[:, mask]`"),
        (lambda heatmap, factor: [][0], "perhaps empty"),
        (lambda heatmap, factor: (lambda layer: layer)(1, 2, 3), "layer, inputs, output"),
    ],
)
def test_likely_causes(answer, words):
    feedback = scaled.review(answer)
    assert feedback.kind == "raised" and words in feedback.message, str(feedback)


def test_none_asks_for_the_return():
    def forgot(heatmap, factor):
        heatmap * factor

    feedback = scaled.review(forgot)
    assert feedback.kind == "wrong type" and "`return`" in feedback.message


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (lambda m, f: (m * f).numpy(), "wrong type", "a NumPy array of shape (5, 7)"),
        (lambda m, f: (m * f).T, "wrong shape", "shape (7, 5); expected (5, 7)"),
        (lambda m, f: (m * f).int(), "wrong dtype", "torch.int32; expected torch.float32"),
        (lambda m, f: (m * f).to("meta"), "wrong device", "meta; expected cpu"),
        (lambda m, f: m * float("nan"), "NaN", "35 of 35 values"),
        (lambda m, f: m * f + 0.5 * (m == m.max()), "wrong values", "1 wrong value of 35"),
    ],
)
def test_what_is_wrong_with_the_answer(answer, kind, words):
    feedback = scaled.review(answer)
    assert feedback.kind == kind and words in feedback.message, str(feedback)


def test_a_known_mistake_gets_its_hint():
    feedback = scaled.review(lambda heatmap, factor: factor + heatmap)
    assert feedback.kind == "known mistake"
    assert feedback.message == "You added the factor; multiply by it."


@check(points=1, probes=lambda random: [(torch.randn(4, 6),), (torch.randn(5, 3),)])
def ends(values):
    """The lowest and the highest of each row."""
    return values.amin(1), values.amax(1)


def test_a_dict_is_no_tuple():
    feedback = ends.review(lambda values: {"low": values.amin(1), "high": values.amax(1)})
    assert (feedback.kind, feedback.points) == ("wrong type", 0)


def test_the_items_of_a_tuple_are_no_rows():
    message = ends.review(lambda values: (values.amin(1), values.mean(1))).message
    assert "Item 2" in message and "axis 0" not in message


def test_signs_that_are_wrong_in_some_calls_are_told():
    message = scaled.review(lambda heatmap, factor: heatmap * factor * (-1) ** int(factor)).message
    assert "in some calls the sign" in message


@check(points=1, probes=lambda random: [(nn.Linear(4, 3), torch.randn(1, 4), n) for n in (0, 2)])
def score_of(model, x, target):
    """The score of a class."""
    return model(x)[0, target].item()


def test_all_scores_in_place_of_one_are_told():
    feedback = score_of.review(lambda model, x, target: model(x).sum().item())
    assert "scores of all classes" in feedback.message


def test_an_operation_that_torch_lacks_is_no_empty_answer():
    feedback = scaled.review(lambda heatmap, factor: heatmap & heatmap)
    assert feedback.kind == "raised"


def test_changing_the_input_is_noticed_and_names_it():
    def in_place(heatmap, factor):
        heatmap *= factor
        return heatmap

    feedback = scaled.review(in_place)
    assert feedback.kind == "changed input" and "`heatmap`" in feedback.message


def left_in_training_mode(model, x):
    result = output.reference(model, x)
    model.train()
    return result


def left_a_hook(model, x):
    model[0].register_forward_hook(lambda *_: None)
    return output.reference(model, x)


def left_gradients(model, x):
    result = model(x)
    result.sum().backward()
    return result.detach()


def froze_it(model, x):
    model.requires_grad_(False)
    return output.reference(model, x)


def changed_weights(model, x):
    result = output.reference(model, x)
    model[0].weight.data.zero_()
    return result


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (left_in_training_mode, "another mode"),
        (left_a_hook, "handle.remove()"),
        (left_gradients, "torch.autograd.grad"),
        (froze_it, "requires_grad"),
        (changed_weights, "copy of the network"),
    ],
)
def test_what_is_left_behind_on_a_network_is_noticed(answer, words):
    feedback = output.review(answer)
    assert feedback.kind == "changed input" and words in feedback.message, str(feedback)
    assert "`model`" in feedback.message


def _in_use(random):
    """Calls with a network of each kind of place: alone, in a list, in a dict."""
    calls = []
    for inputs in (4, 5, 3):
        model = nn.Sequential(nn.Linear(inputs, 3), nn.Tanh(), nn.Linear(3, 2)).eval()
        calls.append((model, [model[0]], {"last": model[2]}, torch.randn(2, inputs)))
    return calls


@check(points=2, probes=_in_use)
def slopes(model, layers, named, x):
    """The slopes of all scores."""
    x = x.detach().clone().requires_grad_()
    return torch.autograd.grad(model(x).sum(), x)[0]


def without_its_modes(model, layers, named, x):
    model.eval()
    return slopes.reference(model, layers, named, x)


def with_one_mode(model, layers, named, x):
    was = model.training
    model.eval()
    result = slopes.reference(model, layers, named, x)
    model.train(was)
    return result


def thawed(model, layers, named, x):
    model.requires_grad_(False)
    result = slopes.reference(model, layers, named, x)
    model.requires_grad_(True)
    return result


def wiped(model, layers, named, x):
    model.zero_grad()
    return slopes.reference(model, layers, named, x)


def filled_with_zeros(model, layers, named, x):
    model.zero_grad(set_to_none=False)
    return slopes.reference(model, layers, named, x)


def added_to(model, layers, named, x):
    model[2].weight.grad.add_(1) if model[2].weight.grad is not None else None
    model[0].weight.grad.add_(1) if model[0].weight.grad is not None else None
    return slopes.reference(model, layers, named, x)


def cleared(model, layers, named, x):
    layers[0]._forward_hooks.clear()
    return slopes.reference(model, layers, named, x)


def cleared_before_the_layer(model, layers, named, x):
    named["last"]._forward_pre_hooks.clear()
    return slopes.reference(model, layers, named, x)


def replaced_the_others(model, layers, named, x):
    cleared(model, layers, named, x)
    layers[0].register_forward_hook(lambda *_: None)
    return slopes.reference(model, layers, named, x)


def kept_on_the_layer(model, layers, named, x):
    named["last"].saved = slopes.reference(model, layers, named, x)
    return named["last"].saved


def kept_as_a_buffer(model, layers, named, x):
    result = slopes.reference(model, layers, named, x)
    model.register_buffer("result", result)
    return result


def hooked_a_weight(model, layers, named, x):
    model[0].weight.register_hook(lambda gradient: None)
    return slopes.reference(model, layers, named, x)


def another_setting(model, layers, named, x):
    layers[0].in_features = 99
    return slopes.reference(model, layers, named, x)


def taken_out(model, layers, named, x):
    result = slopes.reference(model, layers, named, x)
    layers[0] = None
    return result


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (without_its_modes, "layers of `model` in another mode"),
        (with_one_mode, "each may have its own"),
        (thawed, "may have been frozen"),
        (wiped, "wiped the gradients"),
        (filled_with_zeros, "wiped the gradients"),
        (added_to, "left gradients in the parameters of `model`"),
        (cleared, "a hook of somebody else"),
        (cleared_before_the_layer, "a hook of somebody else"),
        (replaced_the_others, "a hook of somebody else"),
        (kept_on_the_layer, "the attribute `saved`"),
        (kept_as_a_buffer, "changed the weights of `model`"),
        (hooked_a_weight, "a hook on a parameter of `model`"),
        (another_setting, "changed a setting"),
        (taken_out, "changed `layers` itself"),
    ],
)
def test_what_happens_to_a_network_that_is_in_use_is_noticed(answer, words):
    feedback = slopes.review(answer)
    assert feedback.kind == "changed input" and words in feedback.message, str(feedback)
    assert feedback.message.startswith("The answer is right, but ")


def restoring_everything(model, layers, named, x):
    modes = {module: module.training for module in model.modules()}
    frozen = {parameter: parameter.requires_grad for parameter in model.parameters()}
    model.eval().requires_grad_(False)
    result = slopes.reference(model, layers, named, x)
    for module, mode in modes.items():
        module.training = mode
    for parameter, wanted in frozen.items():
        parameter.requires_grad_(wanted)
    return result


def on_a_copy(model, layers, named, x):
    model = copy.deepcopy(model).train()
    model.zero_grad()
    x = x.clone().requires_grad_()
    model(x).sum().backward()
    return x.grad


def by_a_jacobian(model, layers, named, x):
    return torch.func.jacrev(lambda x: model(x).sum())(x).detach()


@pytest.mark.parametrize("answer", [restoring_everything, on_a_copy, by_a_jacobian])
def test_a_network_in_use_stands_in_no_right_answers_way(answer):
    assert slopes.review(answer).passed, str(slopes.review(answer))


def test_networks_in_use_and_as_they_are_made_take_turns():
    worn, plain, again = (wear(call, number) for number, call in enumerate(_in_use(None)))
    for model, *_, x in (worn, again):
        assert len({module.training for module in model.modules()}) == 2
        assert len({parameter.requires_grad for parameter in model.parameters()}) == 2
        assert len({parameter.grad is None for parameter in model.parameters()}) == 2
        assert all(module._forward_hooks for module in model.modules())
        assert model(x).requires_grad
    assert not any(m.training or m._forward_hooks for m in plain[0].modules())


def test_wearing_changes_no_layer_whose_mode_may_matter():
    class Unknown(nn.Module):
        pass

    layers = [nn.Dropout(), nn.BatchNorm2d(3), Unknown(), nn.Tanh(), nn.Conv2d(3, 3, 1), nn.ReLU()]
    wear((nn.Sequential(*layers).eval(),), 0)
    assert [layer.training for layer in layers] == [False, False, False, True, False, True]


def test_a_result_instead_of_a_function():
    feedback = scaled.review(torch.ones(3))
    assert feedback.kind == "wrong type" and "`check.scaled(scaled)`" in feedback.message


# ---------------------------------------------------------------------------- comparing


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        (1.0, torch.tensor(1.0)),
        (1.0, 1),
        (3, np.int64(3)),
        (3, 3.0),
        (True, np.True_),
        ((1.0, 2.0), [1.0, 2.0]),
        (torch.ones(3), torch.ones(3, dtype=torch.float64)),
        (np.array([1.0, np.nan]), np.array([1.0, np.nan])),
        ((np.ones(2), np.zeros(2)), (torch.ones(2), torch.zeros(2))),
        (torch.tensor([float("inf")]), torch.tensor([float("inf")])),
        ({"a": torch.zeros(2)}, {"a": torch.zeros(2)}),
        ("zebra", "zebra"),
        (torch.tensor([True]), torch.tensor([True])),
        (torch.zeros(0), torch.zeros(0)),
        (None, None),
    ],
)
def test_answers_that_agree(expected, got):
    assert difference(expected, got) is None


@pytest.mark.parametrize(
    ("expected", "got", "kind"),
    [
        (1.0, 1.001, "values"),
        (1.0, float("nan"), "NaN"),
        (3, 3.5, "values"),
        (20_000, 20_001, "values"),
        (True, 1, "type"),
        ((1.0, 2.0), (1.0,), "shape"),
        ((1.0, torch.ones(2)), (1.0, torch.zeros(2)), "values"),
        ({"a": 1.0}, {"b": 1.0}, "shape"),
        ({"a": 1.0}, {"a": 2.0}, "values"),
        ("zebra", "cat", "values"),
        (torch.tensor([True]), torch.tensor([1]), "dtype"),
        (torch.ones(2), torch.tensor([1.0, float("inf")]), "values"),
        (np.array(["a"]), np.array(["b"]), "values"),
        (torch.ones(2), None, "type"),
        (torch.ones(2), object(), "type"),
    ],
)
def test_answers_that_differ(expected, got, kind):
    assert difference(expected, got).kind == kind


def test_a_nested_difference_is_located():
    message = difference((1.0, {"zebra": 2.0}), (1.0, {"zebra": 3.0})).message
    assert "'zebra'" in message and "is 3; expected 2" in message


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(TypeError, match="can't compare a object"):
        difference(object(), object())


# ---------------------------------------------------------------------------- showing


def test_wrong_maps_are_drawn():
    shown = scaled.review(lambda heatmap, factor: heatmap).as_html()
    assert "<img alt='Three maps" in shown and "data:image/png;base64," in shown


def test_learners_text_is_escaped():
    def script(heatmap, factor):
        raise ValueError("<script>alert(1)</script>")

    shown = scaled.review(script).as_html()
    assert "<script>" not in shown and "&lt;script&gt;" in shown


def test_outside_of_jupyter_it_prints(capsys):
    scaled(scaled.reference)
    assert capsys.readouterr().out == "✓ scaled: passed (3 of 3 points)\n"


def test_in_jupyter_it_displays_text_html_and_data(monkeypatch):
    bundles = []
    monkeypatch.delenv("COURSE_STRICT", raising=False)
    monkeypatch.setattr("IPython.get_ipython", object)
    monkeypatch.setattr(
        "IPython.display.display", lambda item: bundles.append(item._repr_mimebundle_())
    )
    scaled(_added)
    assert bundles[0]["text/plain"].startswith("✗ scaled: not yet (0 of 3 points)")
    assert "multiply by it" in bundles[0]["text/html"]
    data = bundles[0][feedbacks.MIME]
    assert data["kind"] == "known mistake" and data["points"] == 0
    assert data["source"] == source_hash(_added)


def test_lenient_never_raises_and_strict_does(monkeypatch, capsys):
    monkeypatch.delenv("COURSE_STRICT", raising=False)
    scaled(_added)
    monkeypatch.setenv("COURSE_STRICT", "1")
    scaled(scaled.reference)
    with pytest.raises(CheckFailed, match="multiply by it"):
        scaled(_added)
    assert capsys.readouterr().out.count("multiply by it") == 2


def test_the_solution_is_the_reference_without_its_decorator(capsys):
    scaled.solution()
    assert capsys.readouterr().out.startswith("def scaled(heatmap, factor):")


def test_the_source_hash_ignores_trailing_space_only():
    assert source_hash(_added) != source_hash(raises_inside)
    assert source_hash(len) is None


# ---------------------------------------------------------------------------- randomness


def test_probes_are_the_same_every_time_and_other_ones_for_another_seed():
    first, again, other = (make_probes(_maps, seed)[0][0] for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_a_check_does_not_disturb_the_notebooks_random_numbers():
    torch.manual_seed(0)
    np.random.seed(0)
    expected = torch.rand(1), np.random.rand()
    torch.manual_seed(0)
    np.random.seed(0)
    scaled.review(lambda heatmap, factor: heatmap * torch.rand(1) * np.random.rand())
    assert (torch.rand(1), np.random.rand()) == expected


def test_random_answers_meet_the_same_random_numbers():
    @check(points=1, probes=_maps)
    def noisy(heatmap, factor):
        """The map with noise."""
        return heatmap + factor * torch.randn_like(heatmap)

    assert noisy.review(lambda m, f: torch.randn(m.shape) * f + m).passed
    with seeded(3):
        first = torch.rand(1)
    with seeded(3):
        assert torch.equal(torch.rand(1), first)


def test_importing_the_package_stays_cheap():
    code = "import sys, course_utils; sys.exit('course_utils.exercises' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# ---------------------------------------------------------------------------- copies


def _tied():
    """A network twice, with what its weights and two views of one memory hold."""
    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2)).eval()
    model[0].bias.requires_grad_(False)
    values = torch.arange(12.0)
    leaf = torch.ones(2, requires_grad=True)
    return (model, [model[0]], values, values[:4], torch.rand(3, 4).T, leaf, np.eye(2), {"a": 1})


@pytest.mark.parametrize("extra", [None, lambda: 0], ids=["pickled", "not to be pickled"])
def test_copies_share_what_their_originals_share_and_nothing_with_them(extra):
    original = (*_tied(), extra)
    copies = Copies(original)
    for _ in range(2):  # what was done to the first leaves no trace in the second
        model, (layer,), values, part, turned, leaf, array, entries, last = copies.make()
        assert layer is model[0] is not original[0][0] and last is extra
        assert torch.equal(layer.weight, original[0][0].weight) and not model.training
        assert layer.weight.requires_grad and not layer.bias.requires_grad
        assert leaf.requires_grad and leaf.is_leaf and entries == {"a": 1}
        assert turned.stride() == original[4].stride() and torch.equal(turned, original[4])
        assert np.array_equal(array, np.eye(2)) and values[0] == 0
        values[0] = 7
        assert part[0] == 7 and original[2][0] == 0
        with torch.no_grad():
            layer.weight.zero_(), leaf.zero_(), turned.zero_()
        array[:], entries["a"], model.training = 5, 2, True


def test_an_interrupted_explanation_is_found_the_next_time():
    interrupted = []

    @check(points=1, probes=lambda random: [(torch.rand(5), 2), (torch.rand(6), 3)])
    def times(x, count):
        """The sine of x times count."""
        if interrupted:
            interrupted.clear()
            raise KeyboardInterrupt
        return (x * count).sin()

    def answer(x, count):
        return (x * (count + 1)).sin()

    times.expected(3)
    interrupted.append(True)
    with pytest.raises(KeyboardInterrupt):
        times.review(answer, 3)
    assert "`count` one too large" in times.review(answer, 3).message
