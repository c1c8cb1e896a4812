"""One module a kind of evidence: its type, its provider, its stored form."""
