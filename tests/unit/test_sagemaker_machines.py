"""SageMaker's instance types: the cheapest that fits, by a brute search over all of them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctc.compiler.ir import Resources
from ctc.targets.sagemaker.machines import GIB, GPU_TYPES, INSTANCE_TYPES, InstanceType, smallest

ALL = (*INSTANCE_TYPES, *GPU_TYPES)


def test_the_lists_are_in_the_order_of_their_prices_and_name_nothing_twice() -> None:
    for machines in (INSTANCE_TYPES, GPU_TYPES):
        assert all(before.price <= after.price for before, after in pairwise(machines))
    assert len({machine.name for machine in ALL}) == len(ALL)
    assert all(bool(machine.gpu) == bool(machine.gpu_type) for machine in ALL)
    assert {bool(machine.gpu) for machine in INSTANCE_TYPES} == {False}
    assert {bool(machine.gpu) for machine in GPU_TYPES} == {True}


@given(
    st.floats(0.1, 200),
    st.integers(1, 2100 * GIB),
    st.integers(1, 9000 * 10**9),
    st.booleans(),
    st.one_of(st.just((0, "")), st.tuples(st.integers(1, 8), st.sampled_from(["t4", "l4", "a10g", "a100", "h100"]))),
)
def test_no_cheaper_type_fits(cpu: float, memory: int, disk: int, training: bool, asked: tuple[int, str]) -> None:
    gpu, kind = asked
    found = smallest(Resources(cpu, memory, disk, gpu, kind), training=training)
    fitting = [
        machine
        for machine in ALL
        if machine.cpu >= cpu
        and machine.memory_gib * GIB >= memory
        and (machine.training if training else machine.processing)
        and (machine.gpu >= gpu and machine.gpu_type.split("-")[0] == kind if gpu else not machine.gpu)
        and (not machine.local_disk_gb or disk <= machine.local_disk_gb * 10**9)
    ]

    assert (found is None) == (not fitting)
    assert found is None or found.price == min(machine.price for machine in fitting)


@given(st.sampled_from(ALL))
def test_nothing_dearer_than_a_type_is_given_for_what_it_has(machine: InstanceType) -> None:
    resources = Resources(machine.cpu, machine.memory_gib * GIB, GIB, machine.gpu, machine.gpu_type)
    found = smallest(resources, training=machine.training)

    assert found is not None
    assert found.price <= machine.price


@pytest.mark.parametrize(
    ("gpu", "kind", "training", "name"),
    [
        (1, "t4", True, "ml.g4dn.xlarge"),
        (2, "t4", True, "ml.g4dn.12xlarge"),
        (1, "a100", True, "ml.p4d.24xlarge"),
        (1, "a100", False, None),
        (1, "a100-40gb", True, "ml.p4d.24xlarge"),
        (1, "a100-80gb", True, None),
        (1, "h100", False, "ml.p5.4xlarge"),
        (9, "t4", True, None),
        (1, "v100", True, None),
    ],
)
def test_accelerators(gpu: int, kind: str, training: bool, name: str | None) -> None:
    found = smallest(Resources(2, 8 * GIB, GIB, gpu, kind), training=training)

    assert (None if found is None else found.name) == name
