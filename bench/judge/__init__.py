"""Figures meet claims and tiers: pure functions over profiles and delivered figures.

Nothing here measures, prints or signs; the words are those of the rule's own two questions, and
"eligible" is not among them: what binds is the agency's decision.
"""
