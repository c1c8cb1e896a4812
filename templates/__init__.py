"""The report's templates and stylesheet; read through ``importlib.resources``."""
