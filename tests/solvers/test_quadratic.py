import numpy as np
import pytest
from sklearn.linear_model import ElasticNet, Ridge, lasso_path
from test_direct import squares, targets

import lazyml as lz
from lazyml.errors import ParameterError
from lazyml.solvers.quadratic import Quadratic


@pytest.fixture(scope="module", params=[2000, 120_000])
def problem(request):
    X, y = targets(request.param, 7)
    return X, y, Quadratic(0.5 * squares(X, y))


def test_a_path_of_a_hundred_weights_is_one_pass(problem):
    X, y, model = problem
    top = model.largest_l1("w")
    alphas = np.geomspace(top, top / 1000, 100)
    found = model.path([{"w": alpha} for alpha in alphas])
    assert int(model.passes) == 1
    centred = X - X.mean(axis=0)
    _, expected, _ = lasso_path(centred, y - y.mean(), alphas=alphas, tol=1e-14, max_iter=10**5)
    coefficients = np.array([m.params["w"] for m in found])
    np.testing.assert_allclose(coefficients, expected.T, rtol=1e-8, atol=1e-10)
    assert np.array_equal(coefficients[1:] != 0, expected.T[1:] != 0)
    assert max(m.residual for m in found) < 1e-9


def test_a_path_begins_where_all_are_zero(problem):
    model = problem[2]
    top = model.largest_l1("w")
    at, below = model.path([{"w": top * (1 + 1e-9)}, {"w": top * 0.999}])
    assert not at.params["w"].any() and np.count_nonzero(below.params["w"]) == 1


def test_ridge_and_elastic_net_from_the_same_pass(problem):
    X, y, model = problem
    ridge = model.minimum(l2={"w": 0.3})
    np.testing.assert_allclose(ridge.params["w"], Ridge(0.3 * len(y), solver="cholesky").fit(X, y).coef_, rtol=1e-8)
    both = model.minimum(l1={"w": 0.1}, l2={"w": 0.2})
    peer = ElasticNet(0.3, l1_ratio=1 / 3, tol=1e-14, max_iter=10**5).fit(X, y)
    np.testing.assert_allclose(both.params["w"], peer.coef_, rtol=1e-8, atol=1e-10)
    w = both.params["w"]
    expected = lz.compute(0.5 * squares(X, y), params=both.params) + 0.1 * np.abs(w).sum() + 0.1 * (w @ w)
    assert both.value == pytest.approx(expected, rel=1e-11)


def test_weights_of_single_parameters(problem):
    model = problem[2]
    found = model.minimum(l1={"w": np.array([1e9, 0, 0, 0, 0, 0, 1e9])}).params["w"]
    assert (found == 0).tolist() == [True, False, False, False, False, False, True]


def test_bad_input(problem):
    model = problem[2]
    with pytest.raises(ParameterError, match="'v', which the loss does not depend on"):
        model.minimum(l1={"v": 1.0})
    with pytest.raises(ParameterError, match="not negative"):
        model.minimum(l1={"w": -1.0})
    with pytest.raises(ParameterError, match="not quadratic"):
        Quadratic(lz.mean(lz.exp(lz.from_array(problem[0]) @ lz.param("w", 7))))
