"""Trees of anything: leaves with their places, and the same tree with other leaves."""

from collections import OrderedDict, namedtuple

import pytest

from lazyml.errors import ParameterError
from lazyml.trees import Place, flatten, flatten_like, unflatten

Layer = namedtuple("Layer", "w b")
Nothing = namedtuple("Nothing", "")

TREE = {"layers": [Layer(1, 2), Layer(3, (4, 5))], 7: 6, "empty": [{}, (), Nothing()]}


def test_leaves_and_their_places():
    found = flatten(TREE)
    assert [leaf for _, leaf in found] == [1, 2, 3, 4, 5, 6]
    assert [str(place) for place, _ in found] == [
        "['layers'][0].w", "['layers'][0].b", "['layers'][1].w", "['layers'][1].b[0]", "['layers'][1].b[1]", "[7]",
    ]  # fmt: skip
    assert flatten(5) == [(Place(), 5)] and str(Place()) == ""
    assert flatten([]) == []


def test_the_same_tree_with_other_leaves():
    made = unflatten(TREE, "abcdef")
    assert made == {"layers": [Layer("a", "b"), Layer("c", ("d", "e"))], 7: "f", "empty": [{}, (), Nothing()]}
    assert type(made["layers"][0]) is Layer and type(made["empty"][2]) is Nothing
    assert unflatten(0, ["x"]) == "x" and unflatten([], []) == []
    assert type(unflatten(OrderedDict(a=1), [2])) is dict


def test_what_stands_in_another_tree():
    other = {"layers": [Layer("a", [9]), Layer("c", ({"x": 1}, "e"))], "empty": [{}, (), Nothing()], 7: None}
    assert [leaf for _, leaf in flatten_like(TREE, other, "other")] == ["a", [9], "c", {"x": 1}, "e", None]


@pytest.mark.parametrize(("tree", "other", "message"), [
    ({"w": 1, "b": 2}, {"w": 1}, r"v has another structure.*\n  expected  dict with \['w'\], \['b'\]\n.*\['w'\]$"),
    ({"w": 1}, {"w": 1, "c": 2}, r"found     dict with \['w'\], \['c'\]"),
    ([1, {"w": (1, 2)}], [1, {"w": (1,)}], r"v\[1\]\['w'\] has another structure.*\n.*\n  found     tuple with \[0\]"),
    ([1, 2], (1, 2), r"found     tuple with \[0\], \[1\]"),
    (Layer(1, 2), (1, 2), r"expected  Layer with .w, .b"),
    ((1, 2), Layer(1, 2), r"found     Layer with .w, .b"),
    ([1], 3, r"expected  list with \[0\]\n  found     a leaf, int"),
    ([1], [], r"found     an empty list"),
])  # fmt: skip
def test_another_structure_is_an_error(tree, other, message):
    with pytest.raises(ParameterError, match=message):
        flatten_like(tree, other, "v")


def test_what_is_a_leaf_can_be_told():
    def pair(part):
        return type(part) is tuple

    assert [leaf for _, leaf in flatten([(1, 2), [(3, 4)]], pair)] == [(1, 2), (3, 4)]
    assert unflatten([(1, 2), [(3, 4)]], "ab", pair) == ["a", ["b"]]
