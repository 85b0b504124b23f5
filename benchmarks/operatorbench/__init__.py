"""Measures the operator on a real control plane: how soon an Experiment has its Job, and what that costs."""
