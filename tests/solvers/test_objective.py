import numpy as np
import pytest
from solver_problems import quadratic

from lazyml.errors import NonFiniteError, ShapeError
from lazyml.solvers import Objective


def two_parameters(bad=None, **options):
    def evaluate(params):
        gradients = {"b": np.float64(2 * params["b"]), "W": 2 * params["W"]}
        value = float(params["b"] ** 2 + (params["W"] ** 2).sum())
        if bad == "value":
            value = np.nan
        if bad == "gradient":
            gradients["W"][1, 2] = np.inf
        return value, gradients

    return Objective(evaluate, {"b": (), "W": (2, 3)}, **options)


def test_flattens_in_the_order_of_the_names_and_back():
    objective = two_parameters()
    params = {"W": np.arange(6.0).reshape(2, 3), "b": 9}
    vector = objective.flatten(params)
    assert vector.tolist() == [9, 0, 1, 2, 3, 4, 5]
    back = objective.unflatten(vector)
    assert list(back) == ["b", "W"]
    assert back["b"].shape == () and back["b"] == 9
    np.testing.assert_array_equal(back["W"], params["W"])
    back["W"][:] = 0
    assert vector[1:].any()  # copies: an oracle that keeps or changes them changes nothing here


def test_wrong_shape_is_named():
    with pytest.raises(ShapeError, match=r"'W'.*\n.*\(2, 3\).*\n.*\(3, 2\)"):
        two_parameters().flatten({"b": 0, "W": np.zeros((3, 2))})


def test_parameters_reach_the_oracle_in_their_own_dtype():
    seen = {}

    def evaluate(params):
        seen.update(params)
        return 0.0, params

    Objective(evaluate, {"w": (2,), "b": ()}, dtypes={"w": "float32"})(np.array([0.1, 0.2, 0.3]))
    assert (seen["w"].dtype, seen["b"].dtype) == (np.float32, np.float64)


def test_counts_what_the_runs_report():
    class Last:
        passes, bytes_read, seconds = 2, 1000, 0.5

    objective = two_parameters(last_run=lambda: Last)
    objective(np.zeros(7))
    objective(np.ones(7))
    assert objective.counts == (2, 4, 2000, 1.0)


@pytest.mark.parametrize(
    ("bad", "what"), [("value", "the objective is nan"), ("gradient", r"gradient of W\[1, 2\] is inf")]
)
def test_not_finite_at_the_start(bad, what):
    with pytest.raises(NonFiniteError, match=what) as caught:
        two_parameters(bad).at_start(np.arange(7.0))
    message = str(caught.value)
    assert "at the start, in pass 1" in message
    assert "b = 0; W (2, 3) from 1 to 6: 1, 2, 3, 4, ..." in message
    assert "fix" in message


def test_not_finite_at_the_start_names_the_data():
    objective = two_parameters("value", locate=lambda: "features[17, 3] is nan")
    with pytest.raises(NonFiniteError, match=r"in pass 1: features\[17, 3\] is nan"):
        objective.at_start(np.zeros(7))


def test_a_start_that_is_not_finite_costs_no_pass():
    objective = quadratic(10).objective()
    with pytest.raises(NonFiniteError, match="the start is not finite"):
        objective.at_start(np.full(50, np.nan))
    assert objective.counts.passes == 0


def test_overflow_in_the_oracle_is_no_warning():
    objective = Objective(lambda p: (float(np.exp(p["x"]).sum()), {"x": np.exp(p["x"])}), {"x": (2,)})
    assert not objective(np.array([0.0, 1e4])).finite
