"""Slashes that a main.js computes with fractions, found in its syntax tree.

Amounts are integers of roe. 0.7 times a stake is an integer for one stake of ten only, and programs round the
rest in different ways, so nodes disagree on the list. A liar can choose such a stake.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tree_sitter import Node

NEAR_BYTES = 1500
"""How far from the word "stake" a product with a fraction may be: names are short in bundles."""

TEXT_BYTES = 10_000_000
PRODUCT_BYTES = 1000
"""A longer product is not taken apart; no person writes one."""

DEPTH_MAX = 40
"""How many names and brackets are followed to find what a constant is."""

NESTED_MAX = 2000
"""How deep nodes may lie in others; a program with deeper ones is not searched."""

_QUERY = """
(binary_expression operator: ["*" "/"]) @product
(augmented_assignment_expression operator: ["*=" "/="]) @product
(augmented_assignment_expression left: (_) @name)
(update_expression argument: (_) @name)
(variable_declarator name: (_) @name value: (_) @value)
(assignment_expression left: (_) @name right: (_) @value)
(for_in_statement left: (_) @name right: (_) @value)
(pair key: (_) @name value: (_) @value)
"""

_STAKE = re.compile(rb"stake", re.IGNORECASE)
_NUMBER = re.compile(r"(\d+\.?\d*|\.\d+)(e[+-]?\d{1,2})?")
_ROUNDING = re.compile(r"(floor|ceil|round|trunc|parseInt|BigInt)$")
_BITS = ("|", "~", ">>", ">>>")
_PRODUCTS = ("*", "/", "*=", "/=")


class FractionalSlash(NamedTuple):
    """A product that takes a fraction of a stake."""

    product: str
    """The product as the program has it, on one line."""
    advice: str
    """The same part of the same stake as an integer."""


def find_fractional_slashes(source: str) -> list[FractionalSlash]:
    """The products of a JavaScript program that seem to take a fraction of a stake, each once.

    A product counts if its constant part is below 1 and is not an integer division that is rounded, and if it
    names a stake, or a variable that is made from one. With a factor that is itself a fraction, such as 0.7,
    it is enough that the word stands near. The first TEXT_BYTES are read.
    """
    text = source.encode("utf-8", "replace")[:TEXT_BYTES]
    if not _STAKE.search(text):
        return []
    return list(dict.fromkeys(_Program(text).find_slashes()))


class _Product:
    """A product taken apart."""

    def __init__(self) -> None:
        self.part = Fraction(1)
        """The product of its constants."""
        self.has_fraction = False
        """Whether a constant in it is not an integer."""
        self.is_bigint = False
        self.above: list[str] = []
        """The factors that are not constant."""
        self.below: list[str] = []
        """The divisors that are not constant."""


class _Program:
    """A parsed program: its products, the values of its names, and the names of stakes."""

    def __init__(self, text: bytes) -> None:
        from tree_sitter import Language, Parser, Query, QueryCursor
        from tree_sitter_javascript import language

        self._text = text
        self._values: dict[str, list[Node | None]] = {}
        """By the name of a variable or property, all that it is given; None where that is unknown."""
        self._stakes: set[str] = set()
        """Variables that are given a value which names a stake."""
        self._products: list[Node] = []
        javascript = Language(language())
        root = Parser(javascript).parse(text).root_node
        if _is_deeper(root, NESTED_MAX):
            return
        for _, found in QueryCursor(Query(javascript, _QUERY)).matches(root):
            nodes = {name: each[0] for name, each in found.items()}
            if "product" in nodes and not _is_factor(nodes["product"]):
                self._products.append(nodes["product"])
            if "name" in nodes:
                self._note_value(nodes["name"], nodes.get("value"))

    def _note_value(self, target: Node, value: Node | None) -> None:
        name = _get_name(target)
        self._values.setdefault(name, []).append(value)
        if value is None:
            return
        if _STAKE.search(self._text, value.start_byte, min(value.end_byte, value.start_byte + PRODUCT_BYTES)):
            self._stakes.update(re.findall(r"[\w$]+", _show(target)))

    def find_slashes(self) -> Iterator[FractionalSlash]:
        """In the order of the program."""
        for node in self._products:
            if node.end_byte - node.start_byte > PRODUCT_BYTES:
                continue
            product = _Product()
            self._take(node, False, product, DEPTH_MAX)
            if not 0 < abs(product.part) < 1 or product.is_bigint or not product.above:
                continue
            shown = _show(node)
            if "Math.random" in shown or (not product.has_fraction and _is_rounded(node)):
                continue
            if self._names_stake(product.above) or (product.has_fraction and self._is_near(node)):
                yield FractionalSlash(shown, _advise(node, product))

    def _names_stake(self, factors: list[str]) -> bool:
        for factor in factors:
            if factor.endswith((".length", ".size")):
                continue
            if _STAKE.search(factor.encode()) or self._stakes & set(re.findall(r"[\w$]+", factor)):
                return True
        return False

    def _is_near(self, node: Node) -> bool:
        start, end = max(node.start_byte - NEAR_BYTES, 0), node.end_byte + NEAR_BYTES
        return _STAKE.search(self._text, start, end) is not None

    def _take(self, node: Node, is_divisor: bool, product: _Product, depth: int) -> None:
        """Take a product apart: its constant part, and its other factors."""
        number = self._compute(node, depth)
        operator, left, right = _split(node)
        if number is not None:
            product.has_fraction |= number.denominator != 1
            product.is_bigint |= _show(node).endswith("n")
            product.part = product.part / number if is_divisor and number else product.part * number
        elif operator in _PRODUCTS and left is not None and right is not None and depth:
            self._take(left, is_divisor, product, depth - 1)
            self._take(right, is_divisor ^ (operator[0] == "/"), product, depth - 1)
        elif operator == "-" and left is None and right is not None and depth:
            product.part *= -1
            self._take(right, is_divisor, product, depth - 1)
        elif (inner := _unwrap(node)) is not None and depth:
            self._take(inner, is_divisor, product, depth - 1)
        else:
            (product.below if is_divisor else product.above).append(_show(node))

    def _compute(self, node: Node | None, depth: int) -> Fraction | None:
        """The number that an expression always is; None if it is not constant."""
        if node is None or not depth:
            return None
        if (inner := _unwrap(node)) is not None:
            return self._compute(inner, depth - 1)
        if node.type == "number":
            return _read_number(_show(node))
        if node.type in ("identifier", "member_expression"):
            given = self._values.get(_get_name(node), [])
            return self._compute(given[0], depth - 1) if len(given) == 1 else None
        operator, left, right = _split(node)
        if right is None:
            return None
        second = self._compute(right, depth - 1)
        first = self._compute(left, depth - 1) if left is not None else Fraction(0)
        if first is None or second is None:
            return None
        match operator:
            case "+":
                return first + second
            case "-":
                return first - second
            case "*":
                return first * second
            case "/" if second:
                return first / second
        return None


def _is_deeper(root: Node, depth_max: int) -> bool:
    """Whether nodes lie deeper in others; to look for the parents of such nodes takes too long."""
    cursor = root.walk()
    while cursor.depth <= depth_max:
        if cursor.goto_first_child():
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return False
    return True


def _show(node: Node) -> str:
    """A node as the program has it, on one line."""
    return " ".join((node.text or b"").decode("utf-8", "replace").split())


def _get_name(node: Node) -> str:
    """The name of a variable, or the last name of a property."""
    return _show(node).rpartition(".")[2].strip("'\"")


def _get_operator(node: Node) -> str:
    operator = node.child_by_field_name("operator")
    return operator.type if operator is not None else ""


def _split(node: Node) -> tuple[str, Node | None, Node | None]:
    """The operator and the operands of an expression; an operator before its only operand has no left one."""
    if node.type == "unary_expression":
        return _get_operator(node), None, node.child_by_field_name("argument")
    return _get_operator(node), node.child_by_field_name("left"), node.child_by_field_name("right")


def _unwrap(node: Node) -> Node | None:
    """What stands in brackets."""
    is_wrapped = node.type == "parenthesized_expression" and node.named_child_count == 1
    return node.named_children[0] if is_wrapped else None


def _is_factor(node: Node) -> bool:
    """Whether a product is a part of a larger one."""
    outer = node.parent
    while outer is not None and (outer.type == "parenthesized_expression" or _split(outer)[0] == "-"):
        if outer.type == "binary_expression":
            return False
        outer = outer.parent
    return outer is not None and _get_operator(outer) in _PRODUCTS


def _is_rounded(node: Node) -> bool:
    """Whether a product of integers is divided last, and then rounded: such a result is exact."""
    operator, left, _ = _split(node)
    inner: Node | None = node
    while operator not in _PRODUCTS and inner is not None:
        inner = _unwrap(inner)
        operator, left, _ = _split(inner) if inner is not None else ("", None, None)
    if operator != "/" or left is None or "/" in _show(left):
        return False
    outer = node.parent
    while outer is not None:
        if outer.type == "arguments" and outer.parent is not None:
            called = outer.parent.child_by_field_name("function")
            return called is not None and _ROUNDING.search(_show(called).rstrip(")")) is not None
        operator = _get_operator(outer)
        if operator in _BITS:
            return True
        if outer.type != "parenthesized_expression" and operator not in ("+", "-"):
            return False
        outer = outer.parent
    return False


def _read_number(text: str) -> Fraction | None:
    """A decimal number or a BigInt; None for other forms, which no person writes for a part of a stake."""
    text = text.replace("_", "").lower().removesuffix("n")
    return Fraction(text) if len(text) <= 50 and _NUMBER.fullmatch(text) else None


def _advise(node: Node, product: _Product) -> str:
    """The product as integers: multiplied first, then divided once, then rounded down."""
    part = abs(product.part)
    above = [_bracket(factor) for factor in product.above] + [str(part.numerator)] * (part.numerator != 1)
    below = [_bracket(factor) for factor in product.below] + [str(part.denominator)]
    top, bottom = (" * ".join(factors) for factors in (above, below))
    top = f"({top})" if len(above) > 1 else top
    bottom = f"({bottom})" if len(below) > 1 else bottom
    shown = f"{'-' if product.part < 0 else ''}Math.floor({top} / {bottom})"
    left = node.child_by_field_name("left")
    is_assignment = node.type == "augmented_assignment_expression" and left is not None
    return f"{_show(left)} = {shown}" if is_assignment and left is not None else shown


def _bracket(factor: str) -> str:
    return factor if re.fullmatch(r"[\w$.\[\]()'\"]+", factor) else f"({factor})"
