"""Token buckets, and who failed too often: arithmetic with a clock that the test moves."""

import pytest

from csms.limits import Bucket, Failures


def test_a_bucket_lets_its_burst_through_and_then_its_rate() -> None:
    bucket = Bucket(rate=2, burst=3, now_s=0)
    assert [bucket.wait_s(0) for _ in range(3)] == [0, 0, 0]
    assert [bucket.wait_s(0) for _ in range(2)] == [0.5, 1]


def test_a_bucket_refills_up_to_its_burst_however_long_nothing_was_taken() -> None:
    bucket = Bucket(rate=2, burst=3, now_s=0)
    for _ in range(3):
        bucket.wait_s(0)
    assert bucket.is_empty(0.4)
    assert not bucket.is_empty(0.5)
    assert not bucket.is_full(1.4)
    assert bucket.is_full(1_000_000)
    assert [bucket.wait_s(1_000_000) for _ in range(4)] == [0, 0, 0, 0.5]


def test_failures_of_one_key_are_no_failures_of_another() -> None:
    failures = Failures(2)
    for _ in range(2):
        assert not failures.too_many("a", 0)
        failures.count("a", 0)
    assert failures.too_many("a", 0)
    assert not failures.too_many("b", 0)


def test_who_failed_too_often_may_try_again_after_a_while_and_failing_on_does_not_lengthen_it() -> None:
    failures = Failures(2)
    for _ in range(1000):
        failures.count("a", 0)
    assert failures.too_many("a", 29)
    assert not failures.too_many("a", 30)
    failures.count("a", 30)
    assert failures.too_many("a", 30)


@pytest.mark.parametrize("keys_max", [1, 10])
def test_the_memory_of_failures_is_bounded_and_forgets_those_who_recovered_first(keys_max: int) -> None:
    failures = Failures(1, keys_max=keys_max)
    for n in range(keys_max):
        failures.count(f"old {n}", 0)
    failures.count("new", 60)
    assert len(failures._buckets) == 1
    for n in range(1000):
        failures.count(f"flood {n}", 60)
        assert len(failures._buckets) <= keys_max
