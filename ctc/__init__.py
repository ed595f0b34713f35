"""ctc compiles one YAML spec of a model's continuous training into pipelines, and runs them."""

__version__ = "0.1.0"
