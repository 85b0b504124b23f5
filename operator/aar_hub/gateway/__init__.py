"""Messages API in, provider out: the only holder of the provider's key, and the meter of every call.

Law: money is held, durably, before a byte goes to the provider; a call that cannot be priced in advance is refused; the body goes out as it came.
"""
