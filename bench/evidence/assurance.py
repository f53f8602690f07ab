"""What a run without a challenge can show, and what it cannot: written by `run`, required by `verify`."""

# A1 needs an auditor's challenge, A2 and A3 the auditor's clock.
ASSURANCE = "A0"

# What a report of this level cannot show, as codes; report/sentences says them in words. They belong to
# format 2: a limit added later comes with another format.
DOES_NOT_SHOW = (
    "no-challenge",
    "signer-is-the-machine",
    "software-cannot-prove-itself",
    "devices-not-counted",
    "outputs-not-opened",
)
