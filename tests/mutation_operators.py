"""What can be changed in a function: each operator makes wrong answers of one kind.

An operator takes a node of the syntax tree and yields what may stand in its place: a node, or a
list of statements for a statement.
"""

import ast
import pickle
from collections.abc import Iterator

import numpy as np
import torch

ALIKE = (
    "mean sum amax amin", "min max", "minimum maximum", "argmin argmax", "floor ceil round",
    "any all", "zeros ones", "zeros_like ones_like", "softmax log_softmax", "sqrt square",
    "height width", "row column", "rows columns", "top left", "bottom right", "abs relu",
)  # fmt: skip
EXCHANGED = {
    name: [other for other in group.split() if other != name]
    for group in ALIKE
    for name in group.split()
}
"""Names of functions, methods and variables that are taken for one another."""

DROPPED = (
    "abs relu clamp clone detach contiguous sqrt square exp log softmax flip float double long int "
    "any all round floor ceil norm bool relu_ clamp_ eval copy sigmoid"
).split()
"""Methods, and functions of one argument, whose call may be left out."""

SETTINGS = "padding stride kernel_size shape weight bias".split()
"""Attributes that may differ from call to call."""

ANY_ORDER = "min max minimum maximum equal logical_and logical_or transpose swapaxes".split()
"""Functions of which the order of the arguments doesn't matter."""

COMPARISONS = {
    ast.Lt: (ast.LtE, ast.Gt), ast.LtE: (ast.Lt, ast.GtE), ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.LtE), ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,),
}  # fmt: skip
ARITHMETIC = {
    ast.Add: (ast.Sub,), ast.Sub: (ast.Add,), ast.Mult: (ast.Div, ast.Add), ast.Div: (ast.Mult,),
    ast.FloorDiv: (ast.Mult, ast.Mod), ast.Mod: (ast.FloorDiv,), ast.Pow: (ast.Mult,),
    ast.BitAnd: (ast.BitOr,), ast.BitOr: (ast.BitAnd,),
}  # fmt: skip


def changed_trees(tree: ast.FunctionDef) -> Iterator[tuple[str, ast.FunctionDef]]:
    """(kind, changed copy) for every operator at every node of a function."""
    for index, node in enumerate(ast.walk(tree)):
        for operator in OPERATORS:
            for new in operator(node):
                yield operator.__name__, _replaced(tree, index, new)


def copied_tree(tree):
    """A copy of a tree, or a list of trees; copy.deepcopy takes several times as long."""
    return pickle.loads(pickle.dumps(tree))


def _replaced(tree, index, new):
    """A copy of the tree with something else in the place of the node of this number."""
    tree = copied_tree(tree)
    old = list(ast.walk(tree))[index]
    for parent in ast.walk(tree):
        for name, value in ast.iter_fields(parent):
            if value is old:
                setattr(parent, name, new)
                return tree
            if isinstance(value, list) and any(item is old for item in value):
                place = next(n for n, item in enumerate(value) if item is old)
                value[place : place + 1] = new if isinstance(new, list) else [new]
                if not value and name in ("body", "finalbody"):
                    value.append(ast.Pass())
                return tree
    return tree


def _with(node, **fields):
    """A copy of a node with some of its fields changed."""
    node = copied_tree(node)
    for name, value in fields.items():
        setattr(node, name, value)
    return node


# ---------------------------------------------------------------------------- expressions


def constant(node):
    """Another number; True for False."""
    if isinstance(node, ast.Constant):
        value = node.value
        if isinstance(value, bool):
            yield ast.Constant(not value)
        elif isinstance(value, int):
            yield from (ast.Constant(value + 1), ast.Constant(value - 1))
        elif isinstance(value, float):
            yield from (ast.Constant(value + 1), ast.Constant(value / 2))
        elif isinstance(value, str) and value in EXCHANGED:
            yield from map(ast.Constant, EXCHANGED[value])


def comparison(node):
    """< for <=, and so on."""
    if isinstance(node, ast.Compare):
        for place, operation in enumerate(node.ops):
            for other in COMPARISONS.get(type(operation), ()):
                yield _with(node, ops=[*node.ops[:place], other(), *node.ops[place + 1 :]])


def arithmetic(node):
    """+ for -, and so on; a division rounded up."""
    if isinstance(node, (ast.BinOp, ast.AugAssign)):
        for other in ARITHMETIC.get(type(node.op), ()):
            yield _with(node, op=other())
    if isinstance(node, ast.BinOp):
        if isinstance(node.op, ast.FloorDiv):
            negative = ast.UnaryOp(ast.USub(), node.left)
            yield ast.UnaryOp(ast.USub(), ast.BinOp(negative, ast.FloorDiv(), node.right))
        if not isinstance(node.op, (ast.Add, ast.Sub, ast.MatMult)):
            yield node.left
        if isinstance(node.op, (ast.Add, ast.Sub, ast.Mult)):
            yield from (node.left, node.right)


def sign(node):
    """A minus or a `not` left out."""
    if isinstance(node, ast.UnaryOp) and not isinstance(node.operand, ast.Constant):
        yield node.operand


def logic(node):
    """`and` for `or`; the branches of a conditional expression."""
    if isinstance(node, ast.BoolOp):
        yield _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
        yield from node.values
    if isinstance(node, ast.IfExp):
        yield from (node.body, node.orelse)


def name(node):
    """Height for width, mean for sum."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in EXCHANGED:
        yield from (_with(node, id=other) for other in EXCHANGED[node.id])
    if isinstance(node, ast.Attribute) and node.attr in EXCHANGED:
        yield from (_with(node, attr=other) for other in EXCHANGED[node.attr])


def call_left_out(node):
    """`x.abs()` becomes `x`, and so does `abs(x)`; `max(x, 0)` becomes either."""
    if not isinstance(node, ast.Call):
        return
    called = node.func
    if isinstance(called, ast.Attribute) and called.attr in DROPPED:
        yield node.args[0] if _is_module(called.value) and node.args else called.value
    if isinstance(called, ast.Name) and called.id in ("abs", "round", "int") and node.args:
        yield node.args[0]
    if isinstance(called, ast.Name) and called.id in ("min", "max") and len(node.args) == 2:
        yield from node.args


def _is_module(node):
    return isinstance(node, ast.Name) and node.id in ("torch", "np", "F", "math", "nn")


def rounding(node):
    """Down for up, to the nearest for both."""
    if isinstance(node, ast.Call) and len(node.args) == 1:
        text = ast.unparse(node.func)
        for other in ("math.floor", "math.ceil", "round", "int"):
            if text in ("math.floor", "math.ceil", "round", "int") and other != text:
                yield _with(node, func=ast.parse(other.replace("math.", "_"), mode="eval").body)


def reduction_over_all(node):
    """`x.amax(dim=1, keepdim=True)` becomes `x.amax()`: one number for all rows."""
    reductions = "sum mean amax amin max min argmax argmin any all".split()
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in reductions
        and (node.args or node.keywords)
        and not _is_module(node.func.value)
    ):
        yield _with(node, args=[], keywords=[])


def keyword_left_out(node):
    """`keepdim=True`, `descending=True` ... one at a time."""
    if isinstance(node, ast.Call):
        for place in range(len(node.keywords)):
            yield _with(node, keywords=[*node.keywords[:place], *node.keywords[place + 1 :]])


def arguments_exchanged(node):
    """Two neighbouring arguments of a call, or items of a tuple, change places."""
    field = {ast.Call: "args", ast.Tuple: "elts", ast.List: "elts"}.get(type(node))
    if field is None or isinstance(getattr(node, "ctx", None), ast.Store):
        return
    if (
        all(isinstance(item, ast.Constant) for item in getattr(node, field))
        or ast.unparse(getattr(node, "func", node)).split(".")[-1] in ANY_ORDER
    ):
        return
    items = getattr(node, field)
    for place in range(len(items) - 1):
        pair = items[place : place + 2]
        if any(isinstance(item, ast.Starred) for item in pair):
            continue
        yield _with(node, **{field: [*items[:place], *pair[::-1], *items[place + 2 :]]})


def item_left_out(node):
    """One of several dims, when they are constants."""
    if not isinstance(node, ast.Tuple) or len(node.elts) < 2:
        return
    if all(isinstance(item, ast.Constant) for item in node.elts):
        for place in range(len(node.elts)):
            yield _with(node, elts=[*node.elts[:place], *node.elts[place + 1 :]])


def slices(node):
    """Ends of a slice moved by one, or left out; constants have their own operator."""
    if isinstance(node, ast.Slice):
        for end in ("lower", "upper", "step"):
            value = getattr(node, end)
            if value is None:
                continue
            yield _with(node, **{end: None})
            if not isinstance(value, ast.Constant):
                one = ast.Constant(1)
                yield _with(node, **{end: ast.BinOp(value, ast.Add(), one)})
                yield _with(node, **{end: ast.BinOp(value, ast.Sub(), one)})


def attribute_frozen(node):
    """`layer.padding` stays what it was when it was first asked for."""
    if isinstance(node, ast.Attribute) and node.attr in SETTINGS:
        key = ast.Constant(ast.unparse(node))
        kept = ast.Name("_kept", ast.Load())
        yield ast.Call(ast.Attribute(kept, "setdefault", ast.Load()), [key, node], [])


def comprehension(node):
    """A condition left out."""
    if isinstance(node, ast.comprehension):
        for place in range(len(node.ifs)):
            yield _with(node, ifs=[*node.ifs[:place], *node.ifs[place + 1 :]])


# ---------------------------------------------------------------------------- statements


def statement_left_out(node):
    """Any simple statement but `return`, `raise` and what imports or declares."""
    if isinstance(node, (ast.Assign, ast.AugAssign, ast.Expr, ast.Delete, ast.Break, ast.Continue)):
        yield []


def condition(node):
    """An `if` or `while` that always or never holds."""
    if isinstance(node, ast.If):
        yield from (_with(node, test=ast.Constant(True)), _with(node, test=ast.Constant(False)))


def assignment(node):
    """= for +=."""
    if isinstance(node, ast.AugAssign):
        yield ast.Assign([node.target], node.value)


def loop(node):
    """Only the first turn."""
    if isinstance(node, (ast.For, ast.While)):
        yield _with(node, body=[*node.body, ast.Break()])


def cleaning_up(node):
    """`finally` left out with what it does, and without it: then an error leaves things behind."""
    if isinstance(node, ast.Try) and node.finalbody:
        yield node.body
        yield [*node.body, *node.finalbody]


def context_left_out(node):
    """`with torch.no_grad():` and others."""
    if isinstance(node, ast.With):
        yield node.body


OPERATORS = (
    constant, comparison, arithmetic, sign, logic, name, call_left_out, rounding,
    reduction_over_all, keyword_left_out, arguments_exchanged, item_left_out, slices,
    attribute_frozen, comprehension, statement_left_out, condition, assignment, loop, cleaning_up,
    context_left_out,
)  # fmt: skip


# ---------------------------------------------------------------------------- whole functions


def changed_parameters(tree, calls: list[dict]) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Parameters that are ignored: fixed at the first probe's value, their default or another."""
    for parameter, default in _parameters(tree):
        values = [call[parameter] for call in calls if parameter in call]
        texts = [ast.unparse(default)] if default else []
        for text in texts + _instead(parameter, values):
            line = ast.parse(f"{parameter} = {text}").body[0]
            yield "parameter_ignored", _with(tree, body=[line, *copied_tree(tree.body)])


def _parameters(tree):
    """(name, default or None) of each parameter."""
    names = [argument.arg for argument in tree.args.args]
    without = [None] * (len(names) - len(tree.args.defaults))
    return zip(names, without + tree.args.defaults)


def _instead(parameter, values):
    """Expressions that may stand for a parameter that has these values in the probes."""
    first = values[0] if values else None
    if isinstance(first, (bool, int, float, str)):
        others = [0, 1] if isinstance(first, (int, float)) else []
        return [repr(other) for other in [first, *others]]
    if isinstance(first, torch.Tensor):
        texts = [f"_first_call[{parameter!r}]", f"torch.zeros_like({parameter})"]
        if any(len(value) > 1 for value in values):
            texts.append(f"{parameter}[:1].expand_as({parameter})")
        return texts + ([f"{parameter}.abs()"] if first.is_floating_point() else [])
    if isinstance(first, np.ndarray):
        return [f"_first_call[{parameter!r}]", f"{parameter}[:1].repeat(len({parameter}), 0)"]
    if isinstance(first, (list, tuple)) and not any(isinstance(v, torch.nn.Module) for v in first):
        return [f"_first_call[{parameter!r}]", f"{parameter}[:1]"]
    return []


def cut_results(tree) -> Iterator[tuple[str, ast.FunctionDef]]:
    """What is returned is detached from its graph."""
    for index, node in enumerate(ast.walk(tree)):
        if isinstance(node, ast.Return) and node.value:
            cut = ast.Call(ast.Name("_detached", ast.Load()), [node.value], [])
            yield "result_detached", _replaced(tree, index, ast.Return(cut))


def _detached(value):
    if isinstance(value, (tuple, list)):
        return type(value)(_detached(item) for item in value)
    return value.detach() if isinstance(value, torch.Tensor) else value


def _floor(value):
    return int(value // 1)


def _ceil(value):
    return -int(-value // 1)


HELPERS = {"_detached": _detached, "_floor": _floor, "_ceil": _ceil, "torch": torch}
"""What changed functions call."""


def counted(tree: ast.FunctionDef) -> ast.FunctionDef:
    """A copy whose loops call `_turn` in each turn, so that none can go on without an end."""
    return _Counting().visit(copied_tree(tree))


class _Counting(ast.NodeTransformer):
    def visit_For(self, node):
        self.generic_visit(node)
        node.body = [ast.Expr(_call_turn()), *node.body]
        return node

    visit_While = visit_For

    def visit_comprehension(self, node):
        self.generic_visit(node)
        node.ifs = [_call_turn(), *node.ifs]
        return node


def _call_turn():
    return ast.Call(ast.Name("_turn", ast.Load()), [], [])
