"""Signs a source of images into a file that stands for them."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor.data.images import read_images
from auditor.engine.observation import Observing, observe_samples
from auditor.engine.threads import wait_passively
from auditor.errors import InputError
from auditor.evidence.signature_file import (
    SUFFIX,
    SignatureFile,
    is_parquet,
    is_signature_file,
    write_signatures,
)
from auditor.evidence.signatures import VERSION, Signatures, SigningSettings
from auditor.evidence.signing import Signing
from auditor.models.identity import installed_versions
from auditor.progress import Progress
from auditor.store import Store
from auditor.store.columns import telling, told
from auditor.store.locks import held

if TYPE_CHECKING:
    import pyarrow as pa

    from auditor.data.samples import Samples

__all__ = ["sign_images"]

_NAME = "signatures"


def sign_images(
    images: Path,
    output: Path,
    *,
    settings: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Signatures:
    """Write the signatures of a source of images.

    An interrupted run with the same settings goes on where it was. Who writes the same file at the
    same time waits, and finds the work done.

    Parameters
    ----------
    images
        A folder or a manifest.
    output
        The file. Where it is there already, its unchanged images are not opened again.
    settings
        ``views`` and ``hash_mode`` of ``[overlap]``.
    progress
        Who is told how far the work is.

    Raises
    ------
    InputError
        There are no such images, the file is there and holds something else, or its name is none
        that signatures are read from.
    """
    if output.exists() and not is_signature_file(output):
        raise InputError(f"{output} exists and holds no signatures; give another --output")
    if not is_parquet(output):
        raise InputError(
            f"{output}: signatures are read from .parquet alone; give --output "
            f"{output.with_suffix(SUFFIX)}"
        )
    wait_passively()
    said, wanted = progress or Progress(), SigningSettings(**(settings or {}))
    samples = read_images(images)
    if samples.left_out.files:
        said.say(f"{images}: left out: {samples.left_out.said}")
    unfinished = output.with_name(f"{output.name}.unfinished")
    with _alone(output, said):
        signed = _signed(samples, wanted, output, Store(unfinished), said)
        if samples.left_out.files:
            signed = telling(signed, {**told(signed), "left_out": samples.left_out})
        write_signatures(signed, output)
        shutil.rmtree(unfinished, ignore_errors=True)
    return Signatures.from_table(signed)


@contextmanager
def _alone(output: Path, said: Progress) -> Iterator[None]:
    """Hold off others who write the same file."""
    lock = output.with_name(f".{output.name}.lock")
    with held(lock, lambda: said.say(f"{output.name} is being written already; waiting for it")):
        try:
            yield
        finally:
            with suppress(OSError):
                lock.unlink()  # while it is held: who waits for it makes it anew


def _signed(
    samples: Samples, settings: SigningSettings, output: Path, store: Store, said: Progress
) -> pa.Table:
    # As for all evidence, of everything that the rows follow from.
    made_of = samples.identity, settings.identity, VERSION, installed_versions()
    key = hashlib.sha256(repr(made_of).encode()).hexdigest()
    if store.find(_NAME, key) is None:
        observing = Observing(key, Signing(settings), earlier=_earlier(output))
        for crash in observe_samples(samples, {_NAME: observing}, store, said).values():
            raise crash
    signed = store.load(_NAME, key)
    assert signed is not None
    return signed


def _earlier(output: Path) -> Path | None:
    """Return the file that is there already, if it is whole and its rows mean what ours do."""
    try:
        SignatureFile(output).read()
    except InputError:
        return None
    return output
