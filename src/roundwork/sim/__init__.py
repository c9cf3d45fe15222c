"""The world in one process: tasks tried and rounds played without real time."""
