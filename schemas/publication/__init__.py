"""What others are given of the language, made from the registry: JSON Schemas, golden events, AsyncAPI, the state diagram.

Pure functions, each from the types to a document. `salescycle schemas write` puts the documents into the repository, and a
test fails where a committed file and its function differ.
"""
