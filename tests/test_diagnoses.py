"""What a check says of a wrong answer that stands in no catalogue, and what else it compares."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from course_utils.exercises import check
from course_utils.exercises.engine import diagnose
from course_utils.exercises.engine import feedback as feedback_module
from course_utils.exercises.engine.calls import call_on_probes
from course_utils.exercises.engine.checks import PATIENCE
from course_utils.exercises.engine.feedback import CannotExplain
from course_utils.exercises.engine.probes import Fails, LittleMemory


def _small_networks(random):
    calls = []
    for target in (2, 0):
        model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 5, 3)).eval()
        calls.append((model, torch.randn(1, 3, 4, 5), target))
    failing = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 5, 3), Fails()).eval()
    return [*calls, (failing, torch.randn(1, 3, 4, 5), 1)]


@check(points=1, probes=_small_networks)
def gradient(model, x, target):
    """The gradient of the target's score (1, 3, H, W), without a graph."""
    x = x.detach().clone().requires_grad_()
    return torch.autograd.grad(model(x)[0, target], x)[0]


def _scored(random):
    return [
        (torch.randn(2), torch.randn(2, 3, 4, 5), 0.1),
        (torch.randn(3), torch.randn(3, 9), 2.0),
    ]


@check(points=1, probes=_scored, gradients=True)
def penalized(score, x, weight):
    """The score minus weight x the squared norm of each x, to be climbed: (N,)."""
    return score - weight * x.square().flatten(1).sum(1)


@penalized.mistake("You add the penalty, which rewards a large x; it has to be subtracted.")
def _added(score, x, weight):
    return score + weight * x.square().flatten(1).sum(1)


def _pictures(random):
    return [(torch.randn(4, 3, 5, 7),), (torch.randn(6, 3, 8, 4),)]


@check(points=1, probes=_pictures)
def spans(x):
    """Lowest, highest and mean of each picture: three (N,)."""
    return x.amin((1, 2, 3)), x.amax((1, 2, 3)), x.mean((1, 2, 3))


@spans.mistake("You take the largest *absolute* value; asked is the largest one.")
def _absolute(x):
    return x.amin((1, 2, 3)), x.abs().amax((1, 2, 3)), x.mean((1, 2, 3))


@check(points=1, probes=_pictures)
def halved(x):
    """Half of x (N, 3, H, W)."""
    return x / 2


def _sizes(random):
    return [(9, 14, 3), (12, 8, 5), (7, 11, 2)]


@check(points=1, probes=_sizes, integers=True)
def boxes(height, width, step):
    """The corners (top, left, bottom, right) of boxes as integers, row by row."""
    return [
        (top, left, top + 1, min(left + step, width))
        for top in range(0, height, step)
        for left in range(0, width, step)
    ]


@check(points=1, probes=_sizes)
def count(height, width, step):
    """How many steps fit into the height."""
    return height // step


# ---------------------------------------------------------------------------- side effects


def in_a_graph(model, x, target):
    x = x.detach().clone().requires_grad_()
    return torch.autograd.grad(model(x)[0, target], x, create_graph=True)[0] + 0 * x


def hook_after_an_error(model, x, target):
    handle = model[0].register_forward_hook(lambda *_: None)
    result = gradient.reference(model, x, target)
    handle.remove()
    return result


def training_after_an_error(model, x, target):
    model.train()
    result = gradient.reference(model, x, target)
    model.eval()
    return result


def switched_off(model, x, target):
    result = gradient.reference(model, x, target)
    torch.set_grad_enabled(False)
    return result


def other_dtype(model, x, target):
    result = gradient.reference(model, x, target)
    torch.set_default_dtype(torch.float64)
    return result


def setting_changed(model, x, target):
    model[0].start_dim = 1
    model[1].in_features = 7
    return gradient.reference(model, x, target)


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (in_a_graph, "wrong graph", ".detach()"),
        (hook_after_an_error, "changed input", "finally"),
        (training_after_an_error, "changed input", "another mode"),
        (switched_off, "changed input", "torch.no_grad()"),
        (other_dtype, "changed input", "dtype"),
        (setting_changed, "changed input", "setting of a layer of `model`"),
    ],
)
def test_what_is_left_behind_is_told(answer, kind, words):
    feedback = gradient.review(answer)
    assert feedback.kind == kind and words in feedback.message, str(feedback)
    assert feedback.message.startswith("The answer is right, but ")
    assert torch.is_grad_enabled() and torch.get_default_dtype() == torch.float32


def test_a_network_that_fails_asks_for_nothing_else():
    def caught(model, x, target):
        try:
            return gradient.reference(model, x, target)
        except RuntimeError:
            return "nothing"

    assert gradient.review(caught).passed


def test_hooks_on_layers_in_a_list_are_noticed():
    def layers(random):
        return [([nn.Linear(3, 2)], torch.randn(size, 3)) for size in (2, 4)]

    @check(points=1, probes=layers, graph="any")
    def through(layers, x):
        """x through all layers."""
        for layer in layers:
            x = layer(x)
        return x

    def hooked(layers, x):
        layers[0].register_forward_hook(lambda *_: None)
        return through.reference(layers, x)

    assert "hook on `layers`" in through.review(hooked).message
    assert through.review(lambda layers, x: through.reference(layers, x).detach()).passed


def test_a_gradient_in_an_argument_is_noticed():
    def backward(score, x, weight):
        penalized.reference(score, x, weight).sum().backward()
        return penalized.reference(score, x, weight)

    assert "torch.autograd.grad" in penalized.review(backward).message


def test_a_tensor_changed_in_place_is_told_so():
    def in_place(score, x, weight):
        score -= weight * x.detach().square().flatten(1).sum(1)
        return score

    def in_place_with_a_graph(score, x, weight):
        score -= weight * x.square().flatten(1).sum(1)
        return score

    @check(points=1, probes=_scored, gradients=("x",))
    def penalized_in_x(score, x, weight):
        """As above."""
        return penalized.reference(score, x, weight)

    message = penalized_in_x.review(in_place_with_a_graph).message
    assert "changed `score` in place" in message and "requires_grad" not in message
    assert "changed `score` itself" in penalized_in_x.review(in_place).message


@pytest.mark.parametrize(
    ("spoil", "copy"),
    [
        (lambda numbers, scenes, map: numbers.sort(), "list(...)"),
        (lambda numbers, scenes, map: numbers.pop(), "list(...)"),
        (lambda numbers, scenes, map: scenes.pop(), "list(...)"),
        (lambda numbers, scenes, map: scenes[1].pop("whole"), "dict(...)"),
        (lambda numbers, scenes, map: scenes[1].update(kind=3), "dict(...)"),
        (lambda numbers, scenes, map: scenes[1]["whole"].zero_(), "x.clone()"),
        (lambda numbers, scenes, map: map.sort(), "x.copy()"),
    ],
)
def test_advice_to_copy_fits_what_was_changed(spoil, copy):
    def collections(random):
        scenes = [{"whole": torch.ones(2), "kind": 1}, {"whole": torch.ones(2), "kind": 2}]
        return [([4, 1, 2], scenes, np.array([3.0, 1, 2])), ([5], scenes, np.array([3.0, 1]))]

    @check(points=1, probes=collections)
    def length(numbers, scenes, map):
        """How many numbers there are."""
        return len(numbers)

    def spoiling(numbers, scenes, map):
        count = len(numbers)
        spoil(numbers, scenes, map)
        return count

    feedback = length.review(spoiling)
    assert feedback.kind == "changed input" and f"for instance {copy}" in feedback.message


def test_a_network_may_have_little_memory():
    def networks(random):
        network = nn.Linear(3, 2).requires_grad_(False)
        return [(LittleMemory(network, 2), torch.randn(size, 3)) for size in (4, 5)]

    @check(points=1, probes=networks)
    def one_by_one(model, x):
        """The model's output for each row of x, each row copied when it is needed."""
        return torch.cat([model(row.clone()) for row in x.split(1)])

    def at_once(model, x):
        return model(x.clone())

    def all_kept(model, x):
        copies = [row.clone() for row in x.split(1)]
        return torch.cat([model(copy) for copy in copies])

    for answer in (at_once, all_kept):
        feedback = one_by_one.review(answer)
        assert feedback.kind == "raised" and "Too many" in feedback.message
    assert one_by_one.review(lambda m, x: torch.cat([m(row + 0) for row in x.split(1)])).passed


def test_a_reference_that_fails_is_no_check():
    @check(points=1, probes=_sizes)
    def broken(height, width, step):
        """Nothing."""
        return height / 0

    with pytest.raises(RuntimeError, match="The reference of broken fails on its probes: ZeroDiv"):
        broken.review(lambda height, width, step: 3)


# ---------------------------------------------------------------------------- gradients


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (lambda s, x, w: s - w * x.detach().square().flatten(1).sum(1), "wrong gradient"),
        (lambda s, x, w: (s - w * x.square().flatten(1).sum(1)).detach(), "wrong graph"),
        (lambda s, x, w: s.detach() - w * x.square().flatten(1).sum(1), "wrong gradient"),
        (lambda s, x, w: s - w * x.flatten(1).norm(dim=1) ** 2, "passed"),
        (lambda s, x, w: s.double() - w * x.double().square().flatten(1).sum(1), "passed"),
    ],
)
def test_gradients_are_compared(answer, kind):
    feedback = penalized.review(answer)
    assert feedback.kind == kind, str(feedback)


def test_a_gradient_that_is_nan_is_not_said_to_be_cut_off():
    def root_of_zero(score, x, weight):
        return penalized.reference(score, x, weight) + 0 * (x - x).sqrt().flatten(1).sum(1)

    message = penalized.review(root_of_zero).message
    assert "its gradient is NaN" in message and ".detach()" not in message


def test_cut_values_that_are_a_known_mistake_get_its_hint_and_the_rest():
    feedback = penalized.review(lambda s, x, w: s + w * x.detach().square().flatten(1).sum(1))
    assert feedback.message.startswith("You add the penalty")


# ---------------------------------------------------------------------------- several right answers


def _the_first(call, outcome):
    (numbers,) = call
    return replace(outcome, value=numbers[0]) if outcome.value in numbers else outcome


@check(points=1, probes=lambda random: [([8, 2, 6],), ([4, 10],)], one_form=_the_first)
def one_of(numbers):
    """Any of the numbers."""
    return numbers[0]


@one_of.mistake("This is the sum of all numbers. One of them is asked for.")
def _sum_of(numbers):
    return sum(numbers)


@pytest.mark.parametrize("answer", [min, max, lambda numbers: float(numbers[1])])
def test_each_of_several_right_answers_passes(answer):
    feedback = one_of.review(answer)
    assert feedback.passed and one_of.passes(answer), str(feedback)


@pytest.mark.parametrize("answer", [len, lambda numbers: None, lambda numbers: torch.ones(2)])
def test_other_answers_fail_where_several_are_right(answer):
    assert not one_of.review(answer).passed and not one_of.passes(answer)
    outcomes = call_on_probes(answer, one_of.probes, 3)
    assert not one_of.judge(outcomes, 3).passed and one_of.partial_points(outcomes, 3) == 0


def test_a_mistake_is_known_where_several_answers_are_right():
    assert one_of.review(lambda numbers: float(sum(numbers))).kind == "known mistake"


# ---------------------------------------------------------------------------- two slips at once


def test_a_known_mistake_is_recognized_beside_a_side_effect():
    def two_slips(score, x, weight):
        with torch.no_grad():
            x += 1
            x -= 1
            x[0] = 0
        return _added(score, x, weight)

    def first_slip_and_changed(score, x, weight):
        result = _added(score, x, weight)
        with torch.no_grad():
            x[0] = 0
        return result

    message = penalized.review(first_slip_and_changed).message
    assert message.startswith("You add the penalty") and "Besides, it changed `x`" in message
    assert not penalized.review(two_slips).passed


def test_items_of_a_tuple_are_matched_by_themselves():
    feedback = spans.review(lambda x: (*_absolute(x)[:2], x.sum((1, 2, 3))))
    assert feedback.kind == "known mistake"
    assert feedback.message == f"Item 2: {spans.mistakes[0].hint}"


def test_a_wrong_item_is_diagnosed_by_itself():
    message = spans.review(lambda x: (*spans.reference(x)[:2], -x.mean((1, 2, 3)))).message
    assert message.startswith("Item 3: The sign is turned round")


# ---------------------------------------------------------------------------- diagnoses


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda x: x, "2 x too large"),
        (lambda x: -x / 2, "sign is turned round"),
        (lambda x: -x, "-2 times"),
        (lambda x: x / 2 + 1, "too large by 1"),
        (lambda x: x / 2 * x.shape[0], "the length of `x`"),
        (lambda x: x / 2 / x[0].numel(), "number of values for each entry of `x`"),
        (lambda x: 0 * x, "Every value is 0"),
        (lambda x: (x / 2).transpose(2, 3), "rows and columns (the last two axes) are exchanged"),
        (lambda x: (x / 2).transpose(0, 1), "the axes 0 and 1 are exchanged"),
        (
            lambda x: (x / 2).transpose(2, 3).reshape(x.shape),
            "`reshape` and `view` read row by row",
        ),
        (lambda x: (x / 2).flip(2), "upside down"),
        (lambda x: (x / 2).flip(3), "mirrored"),
        (lambda x: (x / 2).flip(0), "reverse order along axis 0"),
        (lambda x: (x / 2).roll(1, 3), "one place too far along axis 3"),
        (lambda x: (x / 2).roll(-1, 2), "one place too early along axis 2"),
        (lambda x: x[:1] / 2, "only the first entry"),
        (lambda x: x[0] / 2, "only the first entry"),
        (lambda x: x[:1].expand_as(x) / 2, "Only the first entry along axis 0 is right"),
        (lambda x: x[:-1] / 2, "the last entry is missing"),
        (lambda x: torch.cat([x, x[:1]]) / 2, "one entry too many"),
        (lambda x: x[None] / 2, "an axis too many"),
        (lambda x: x.flatten(1) / 2, "right order, but in the shape"),
        (lambda x: (x / 2).mean(0), "mean over axis 0 as well"),
        (lambda x: (x / 2).sum((0), keepdim=True), "sum over axis 0 as well"),
        (lambda x: (x / 2).abs(), "absolute values"),
        (lambda x: (x / 2).relu(), "set to 0"),
        (lambda x: (x / 2).exp(), "exponential too many"),
        (lambda x: (x / 2).square(), "squares"),
        (lambda x: 2 / x, "one divided by them"),
        (lambda x: (x / 2).softmax(1), "softmax too many, along axis 1"),
        (lambda x: (x / 2).flatten().sort().values.view(x.shape), "in another order"),
        (lambda x: torch.where(x < 0, x, x / 2), "Only values that should be negative"),
        (lambda x: x.double() / 2 * 3, "3 x too large"),
        (lambda x: (100 * x).int(), "wrong dtype"),
    ],
)
def test_what_is_wrong_is_named(answer, words):
    feedback = halved.review(answer)
    assert not feedback.passed and words in str(feedback), str(feedback)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda model, x, target: gradient.reference(model, x, 1), "`target` is ignored"),
        (
            lambda model, x, target: gradient.reference(model, x, target - 1),
            "`target` one too small",
        ),
        (
            lambda model, x, target: gradient.reference(
                nn.Sequential(model, nn.Softmax(1)), x, target
            ),
            "you use probabilities",
        ),
        (
            lambda model, x, target: gradient.reference(
                nn.Sequential(model, nn.LogSoftmax(1)), x, target
            ),
            "log_softmax",
        ),
    ],
)
def test_other_arguments_are_named(answer, words):
    @check(points=1, probes=lambda random: _small_networks(random)[:2])
    def slope(model, x, target):
        """As above."""
        return torch.tanh(gradient.reference(model, x, target))

    message = slope.review(lambda *arguments: torch.tanh(answer(*arguments))).message
    assert words in message, message


def test_exchanged_arguments_are_named():
    message = boxes.review(lambda height, width, step: boxes.reference(width, height, step)).message
    assert "with `height` and `width` exchanged" in message


def test_columns_in_another_order_are_named():
    def turned(height, width, step):
        found = boxes.reference(height, width, step)
        return [(left, top, right, bottom) for top, left, bottom, right in found]

    assert "order is another" in boxes.review(turned).message


def test_two_or_three_places_are_told():
    def three_wrong(x):
        result = x / 2
        result[0, 0, 0, 0] += 1
        result[1, 1, 1, 1] += 5
        result[2, 2, 2, 2] += 2
        return result

    message = halved.review(three_wrong).message
    assert "3 wrong values of 420" in message
    for place in ("[0, 0, 0, 0]", "[1, 1, 1, 1]", "[2, 2, 2, 2]"):
        assert f"at {place} got" in message


def test_maps_are_drawn_on_one_scale():
    @check(points=1, probes=lambda random: [(torch.rand(5, 7),), (torch.rand(6, 4),)])
    def doubled(heatmap):
        """Twice the map."""
        return 2 * heatmap

    shown = doubled.review(lambda heatmap: heatmap + 0.1 * (heatmap > 0.5)).as_html()
    assert "Three maps on one scale" in shown


def test_factors_are_told_where_some_calls_give_no_answer():
    """One network fails on purpose, in the middle; then the answer itself raises."""

    def networks(random):
        networks = [nn.Flatten(), Fails(), nn.Flatten(), nn.Flatten()]
        return [(network, torch.rand(2 + n, 3, 4)) for n, network in enumerate(networks)]

    @check(points=1, probes=networks)
    def flat(model, x):
        """The output."""
        return model(x)

    def until_the_last(model, x):
        return model(x) * len(x) if len(x) < 5 else model[0]

    assert "in each call the length of `x`" in flat.review(lambda m, x: m(x) * len(x)).message
    assert "another in each call: 4, 16, 25" in flat.review(lambda m, x: m(x) * len(x) ** 2).message
    assert "in each call the length of `x`" in flat.review(until_the_last).message


def test_a_verdict_stands_without_its_explanation(monkeypatch):
    def fails(*arguments, **named):
        raise ValueError("operands could not be broadcast together")

    monkeypatch.setattr(diagnose, "by_values", fails)
    with pytest.warns(CannotExplain, match="operands could not"):
        feedback = count.review(lambda height, width, step: height // step + 1)
    assert feedback.kind == "wrong values" and "expected 3" in feedback.message
    with pytest.raises(CannotExplain):  # as in every other test
        count.review(lambda height, width, step: height // step + 1)


def test_a_box_is_shown_without_its_maps(monkeypatch):
    monkeypatch.setattr(feedback_module, "_maps_as_html", lambda *maps: 1 / 0)
    feedback = halved.review(lambda x: x + 1)
    with pytest.warns(CannotExplain, match="ZeroDivisionError"):
        assert "wrong values" in feedback.as_html()


# ---------------------------------------------------------------------------- right answers


@pytest.mark.parametrize(
    ("exercise", "answer", "passed"),
    [
        (count, lambda h, w, s: float(h // s), True),
        (count, lambda h, w, s: torch.tensor(h // s, dtype=torch.uint8), True),
        (count, lambda h, w, s: np.float32(h // s), True),
        (count, lambda h, w, s: h / s, False),
        (count, lambda h, w, s: h // s + 1, False),
        (boxes, lambda h, w, s: torch.tensor(boxes.reference(h, w, s)), True),
        (boxes, lambda h, w, s: np.array(boxes.reference(h, w, s), np.uint8), True),
        (boxes, lambda h, w, s: [list(box) for box in boxes.reference(h, w, s)], True),
        (boxes, lambda h, w, s: tuple(boxes.reference(h, w, s)), True),
        (boxes, lambda h, w, s: torch.tensor(boxes.reference(h, w, s)).double(), False),
        (spans, lambda x: torch.stack(spans.reference(x)), True),
        (spans, lambda x: list(spans.reference(x)), True),
        (spans, lambda x: torch.stack(spans.reference(x), dim=1), False),
        (halved, lambda x: x.double() / 2, True),
        (halved, lambda x: (x / 2).transpose(2, 3).contiguous().transpose(2, 3), True),
        (halved, lambda x: nn.Parameter(x / 2), False),
        (halved, lambda x: (x / 2).numpy(), False),
    ],
)
def test_types_that_fit_pass(exercise, answer, passed):
    feedback = exercise.review(answer)
    assert feedback.passed == passed, str(feedback)


def test_review_and_passes_agree():
    answers = (gradient.reference, in_a_graph, hook_after_an_error, switched_off, lambda: None)
    for answer in answers:
        assert gradient.passes(answer) == gradient.review(answer).passed


# ---------------------------------------------------------------------------- more help


def test_after_some_failures_the_solution_is_offered(capsys, monkeypatch):
    monkeypatch.delenv("COURSE_STRICT", raising=False)
    monkeypatch.setattr(halved, "failures", 0)
    for _ in range(PATIENCE - 1):
        halved(lambda x: x)
    assert "solution()" not in capsys.readouterr().out
    halved(lambda x: x)
    assert "check.halved.solution()" in capsys.readouterr().out
    halved(halved.reference)
    halved(lambda x: x)
    assert "solution()" not in capsys.readouterr().out


def test_the_solution_can_stand_in_for_the_learners_function(capsys):
    space = {"check": halved}
    exec("def halved(x):\n    return x\ncheck.use_solution()\n", space)
    assert torch.equal(space["halved"](torch.ones(2)), torch.full((2,), 0.5))
    assert "`halved` is the course's solution" in capsys.readouterr().out
    assert halved.review(space["halved"]).kind == "not attempted"


NOTEBOOK = """
def windows(height, width, patch, stride):
    raise NotImplementedError

def two_steps(height, width, patch, stride):
    return windows(height, width, patch, stride)[1:]

def reach(first, size, kernel, stride, padding, length):
    return len(two_steps(first, size, kernel, stride))
"""


def test_an_unfinished_helper_is_named():
    from course_utils.exercises import occlusion

    space = {"__name__": "__main__"}
    exec(NOTEBOOK, space)
    feedback = occlusion.reach.review(space["reach"])
    assert feedback.kind == "unfinished helper"
    assert "`windows`" in feedback.message and "check.windows.use_solution()" in feedback.message
    space["windows"] = occlusion.windows.reference
    assert occlusion.reach.review(space["reach"]).kind != "unfinished helper"


def test_a_worked_answer_shows_its_helpers(capsys):
    from course_utils.exercises import all_checks

    for checks in all_checks().values():
        for exercise in checks.values():
            exercise.solution()
            text = capsys.readouterr().out
            assert f"def {exercise.name}(" in text
            assert "@check" not in text and ".reference(" not in text
            compile(text, "<solution>", "exec")
