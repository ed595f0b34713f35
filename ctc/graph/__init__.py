"""A spec as a picture: what wakes it, what its two pipelines do, what a model must prove, how it takes over.

`system.py` says what is drawn, `mermaid.py` and `svg.py` draw it; `layout.py` is the SVG's geometry.
"""
