"""From an SDK's HTTP request to events: the intake server, and one file per dialect.

`http` speaks HTTP/1.1, `accept` turns one request into one answer and one durable hit, `registry` lists the
dialects, and each dialect file says which paths are its own, how it reads a body, what it answers, and how a hit
becomes events.
"""
