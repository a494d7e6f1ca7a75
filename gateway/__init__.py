"""The one door: HTTP, websockets and streams in front of every service, all of it learnt from announced contracts.

No service is named in here. `contracts` reads a descriptor set, `routes` finds the method of a path, `transcode`
turns JSON into messages and back, `errors` is the table of HTTP codes, `openapi` writes the document.
"""
