"""Turns campaigns and experiments into objects of a cluster.

Law: observe, plan, apply. Deciding (`plan`, `manifests`) is pure; acting (`cluster`, `hubs`) has no opinion; `reconcile` joins the
two and is level-triggered, so that carrying a plan out twice changes nothing.
"""
