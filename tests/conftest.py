"""What holds for all tests."""

import hypothesis

# A test may be slow on a busy machine without being wrong.
hypothesis.settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("untimed")
