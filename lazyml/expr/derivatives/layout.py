"""Reverse-mode rules of what only moves values."""

from __future__ import annotations

from lazyml.expr import build as b
from lazyml.expr.derivatives.common import Cotangents
from lazyml.expr.node import Node, apply


def transpose(node: Node, g: Node) -> Cotangents:
    return (b.transpose(g),)


def expand(node: Node, g: Node) -> Cotangents:
    return (b.squeeze(g, node.arg),)


def squeeze(node: Node, g: Node) -> Cotangents:
    return (b.expand(g, node.arg),)


def index(node: Node, g: Node) -> Cotangents:
    return (apply("place", g, arg=(node.arg, node.src[0].shape)),)


def choose_rows(node: Node, g: Node) -> Cotangents:
    return apply("spread_rows", g, node.src[1]), None


def spread_rows(node: Node, g: Node) -> Cotangents:
    return apply("choose_rows", g, node.src[1]), None


def place(node: Node, g: Node) -> Cotangents:
    return (apply("index", g, arg=node.arg[0]),)
