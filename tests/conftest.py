"""Settings of all tests."""

import hypothesis

# A machine that is slow or busy is no failure.
hypothesis.settings.register_profile(
    "any_machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any_machine")
