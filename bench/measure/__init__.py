"""The phases of one measurement: prepare, check, settle, measure, close."""
