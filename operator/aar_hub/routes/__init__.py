"""What is said over HTTP.

Law: a route reads a message, calls one service and writes a message.
"""
