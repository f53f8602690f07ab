"""The profiles of execution providers that ship, and what a profile may say."""

import pytest

from bench.devices import ep_profiles

KEYS = 'provider = "X"\nlibraries = []\nsources = []\n'


def test_every_shipped_profile_has_sources_and_a_provider_of_its_own() -> None:
    shipped = ep_profiles.profiles()
    assert {profile.provider for profile in shipped} >= {"QNNExecutionProvider", "OpenVINOExecutionProvider"}
    assert len({profile.provider for profile in shipped}) == len(shipped)
    assert all(profile.sources and profile.libraries for profile in shipped)


def test_a_provider_without_a_profile_stays_on_every_device() -> None:
    unknown = ep_profiles.profile("NewExecutionProvider", "")
    placing = unknown.placing("NPU", "x86_64")
    assert placing is not None
    assert (placing.options, placing.simulator) == ({}, None)


def test_a_simulator_is_never_what_runs_on_an_npu_or_gpu() -> None:
    placings = [placing for profile in ep_profiles.profiles() for placing in profile.placings]
    assert {placing.hardware for placing in placings if placing.simulator} == {"CPU"}


def test_a_key_that_no_profile_has_is_refused() -> None:
    with pytest.raises(TypeError, match="shares"):
        ep_profiles.read(KEYS + "shares = 1", "x.toml")


def test_a_profile_without_sources_is_refused() -> None:
    with pytest.raises(KeyError, match="sources"):
        ep_profiles.read('provider = "X"\nlibraries = []', "x.toml")
