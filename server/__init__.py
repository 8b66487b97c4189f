"""What others ask over HTTP: ``foretell serve``.

``app.create`` makes the ASGI application, ``guard`` stands before it and lets in who may ask, and
``run.running`` serves it in the running loop. The document's routes are in ``prefetch_routes``.
"""

from __future__ import annotations
