"""The law: pure and deterministic; no I/O, no clock, no chance, no float."""
