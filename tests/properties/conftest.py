"""How many mutations are tried: some in every run of the suite, 10,000 with `make mutations`."""

import os

from hypothesis import HealthCheck, settings

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]

# The same mutations in every run of the suite, others at each `make mutations`. The time of each is looked at
# by the tests themselves: processor time, as machines are shared.
settings.register_profile(
    "suite", max_examples=150, deadline=None, database=None, derandomize=True, suppress_health_check=SLOW
)
settings.register_profile(
    "many", max_examples=2500, deadline=None, database=None, derandomize=False, suppress_health_check=SLOW
)
settings.load_profile(os.environ.get("BENCH_TEST_MUTATIONS", "suite"))
