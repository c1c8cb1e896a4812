"""Evidence on disk: the store, its manifest, Parquet files, the parts of a pass, locks."""

from auditor.store.store import EVIDENCE, GENERATIONS, Store, StoredFile

__all__ = ["EVIDENCE", "GENERATIONS", "Store", "StoredFile"]
