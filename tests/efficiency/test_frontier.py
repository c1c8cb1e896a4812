from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from auditor.efficiency.frontier import Place, cheapest_reaching, standing

places = st.lists(
    st.builds(Place, st.text("ab", min_size=1), st.integers(1, 20), st.integers(0, 10).map(float))
)


@given(places, st.integers(1, 20), st.integers(0, 10).map(float))
def test_dominated_as_by_the_definition(others: list[Place], macs: int, top1: float) -> None:
    found = standing(macs, top1, others)
    dominating = [
        o for o in others if o.macs <= macs and o.top1 >= top1 and (o.macs, o.top1) != (macs, top1)
    ]
    assert found.dominated == bool(dominating)
    assert found.gain == max([o.top1 - top1 for o in dominating], default=0.0)
    assert found.saving == max([1 - o.macs / macs for o in dominating], default=0.0)


@given(places, st.integers(0, 10).map(float))
def test_the_cheapest_is_no_less_accurate(others: list[Place], top1: float) -> None:
    found = cheapest_reaching(top1, others)
    reaching = [o.macs for o in others if o.top1 >= top1]
    assert (found is None) == (not reaching)
    if found is not None:
        assert found.top1 >= top1
        assert found.macs == min(reaching)
