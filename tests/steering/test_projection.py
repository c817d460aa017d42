from __future__ import annotations

import math

import pytest
import torch

from steering import Clamp, Rotate, SteeringVector
from workbench.errors import ArtifactError, DataError, SiteError
from workbench.models.interventions import Scope

EVERYWHERE = Scope.everywhere()


@pytest.fixture
def where(make_where):
    return make_where([5, 5, 5], [5, 5, 5])


def test_clamp_moves_what_is_outside_to_the_bound_and_leaves_the_rest(where):
    z, v = torch.randn(3, 5, 8), torch.randn(8)
    unit = v / v.norm()
    out = Clamp(v, -0.5, 0.5, site=0, scope=EVERYWHERE)(z, where)
    before, after = z @ unit, out @ unit
    torch.testing.assert_close(after, before.clamp(-0.5, 0.5))
    torch.testing.assert_close(out - after[..., None] * unit, z - before[..., None] * unit)
    inside = (before.abs() < 0.5)[..., None].expand_as(z)
    assert torch.equal(out[inside], z[inside])
    assert 0 < int(inside.sum()) < inside.numel()


@pytest.mark.parametrize(("bounds", "sign"), [({"low": 1.0}, 1), ({"high": -1.0}, -1)])
def test_clamp_may_have_one_bound(bounds, sign, where):
    z, v = torch.randn(3, 5, 8), torch.randn(8)
    after = Clamp(v, **bounds, site=0, scope=EVERYWHERE)(z, where) @ (v / v.norm())
    assert bool((sign * after >= 1 - 1e-5).all())


def test_bounds_may_be_one_a_row(where):
    z, v = torch.randn(3, 5, 8), torch.randn(8)
    out = Clamp(v, high=torch.tensor([-1.0, 0.0, 1.0]), site=0, scope=EVERYWHERE)(z, where)
    torch.testing.assert_close((out @ (v / v.norm())).amax(1).clamp(min=-1, max=1), torch.tensor([-1.0, 0.0, 1.0]))


@pytest.mark.parametrize("bounds", [{}, {"low": 2.0, "high": 1.0}, {"low": float("nan")}, {"high": "x"}])
def test_bounds_that_make_no_sense_are_refused_in_one_line(bounds):
    with pytest.raises(DataError, match=r"^Clamp at [^\n]*$"):
        Clamp(torch.ones(4), **bounds, site=0)


@pytest.mark.parametrize("to", [False, True])
@pytest.mark.parametrize("degrees", [-400.0, -90.0, 0.0, 33.0, 180.0])
def test_rotation_keeps_the_norm_and_all_outside_of_the_plane(degrees, to, where):
    z, a, b = torch.randn(3, 5, 8), torch.randn(8), torch.randn(8)
    out = Rotate([a, b], degrees, to=to, site=0, scope=EVERYWHERE)(z, where)
    torch.testing.assert_close(out.norm(dim=-1), z.norm(dim=-1))
    q, _ = torch.linalg.qr(torch.stack([a, b]).T)
    torch.testing.assert_close(out - out @ q @ q.T, z - z @ q @ q.T, atol=1e-5, rtol=1e-5)


def test_rotation_turns_the_first_direction_towards_the_second():
    a, b = torch.tensor([2.0, 0.0, 0.0]), torch.tensor([3.0, 1.0, 0.0])
    angle = math.degrees(math.atan2(1, 3))
    assert _angle(Rotate([a, b], angle, site=0), a, b) == pytest.approx(0, abs=1e-2)
    assert _angle(Rotate([a, b], 2 * angle, 0.5, site=0), a, b) == pytest.approx(0, abs=1e-2)
    assert _angle(Rotate([a, b], 90.0, site=0), a, torch.tensor([0.0, 1.0, 0.0])) == pytest.approx(0, abs=1e-2)


def _angle(edit, z, expected):
    """Degrees between what the edit makes of z and a direction."""
    from workbench.models.interventions import Where

    where = Where(*(torch.tensor([[n]]) for n in (0, 0, 1)))
    out = edit(z[None, None], where)[0, 0].double()
    return math.degrees(math.acos(min(1.0, float(out @ expected.double()) / float(out.norm() * expected.norm()))))


def test_rotation_to_an_angle_ends_there_from_anywhere_and_goes_the_shorter_way(where):
    z, a, b = torch.randn(3, 5, 8), torch.zeros(8), torch.zeros(8)
    a[0] = b[1] = 1
    out = Rotate([a, b], 150.0, to=True, site=0, scope=EVERYWHERE)(z, where)
    torch.testing.assert_close(torch.atan2(out[..., 1], out[..., 0]), torch.full((3, 5), math.radians(150)))
    half = Rotate([a, b], 150.0, 0.5, to=True, site=0, scope=EVERYWHERE)(z, where)
    before, after = (torch.rad2deg(torch.atan2(x[..., 1], x[..., 0])) for x in (z, half))
    gone = torch.remainder(after - before + 180, 360) - 180
    way = torch.remainder(150 - before + 180, 360) - 180
    torch.testing.assert_close(gone, way / 2, atol=1e-2, rtol=1e-3)
    assert bool((way.abs() > 90).any())


def test_directions_that_span_no_plane_are_refused_in_one_line():
    v = torch.randn(8)
    with pytest.raises(DataError, match=r"^Rotate at [^\n]* parallel"):
        Rotate([v, -3 * v], 30.0, site=0)
    with pytest.raises(DataError, match="two directions"):
        Rotate(v, 30.0, site=0)
    with pytest.raises(DataError, match="widths 8 and 4"):
        Rotate([v, v[:4]], 30.0, site=0)


def test_a_plane_of_vectors_brings_site_and_stamp_and_refuses_a_mixture():
    one, other = (SteeringVector(3, torch.randn(8), fingerprint="model-a") for _ in range(2))
    rotate = Rotate([one, other], 30.0)
    assert (rotate.site.layer, rotate.fingerprint) == (3, "model-a")
    with pytest.raises(SiteError, match="different sites"):
        Rotate([one, SteeringVector(2, torch.randn(8))], 30.0)
    with pytest.raises(ArtifactError, match="different fingerprint"):
        Rotate([one, SteeringVector(3, torch.randn(8), fingerprint="model-b")], 30.0)
