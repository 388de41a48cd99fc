"""Signs and verifies with the reference implementation of model signing; run in an environment that has it.

    python model_signing_peer.py sign|verify key|certificate files|shards MODEL SIGNATURE WORDS...

WORDS: to sign, private key and, for certificates, leaf and chain; to verify, public key or trusted authority.
Shards are 1,000 bytes. Exit 0 where the tool is content, 1 with its message where it is not.
"""

import sys
from pathlib import Path

from model_signing import hashing, signing, verifying


def main(action, kind, method, model, signature, *words):
    config = hashing.Config()
    if method == "shards":
        config.use_shard_serialization(shard_size=1000)
    paths = [Path(word) for word in words]
    if action == "sign":
        signer = signing.Config().set_hashing_config(config.set_ignored_paths(paths=[], ignore_git_paths=False))
        if kind == "key":
            signer.use_elliptic_key_signer(private_key=paths[0])
        else:
            signer.use_certificate_signer(
                private_key=paths[0], signing_certificate=paths[1], certificate_chain=paths[2:]
            )
        signer.sign(Path(model), Path(signature))
        return
    verifier = verifying.Config()  # how files are cut stands in the signature
    if kind == "key":
        verifier.use_elliptic_key_verifier(public_key=paths[0])
    else:
        verifier.use_certificate_verifier(certificate_chain=paths)
    verifier.verify(Path(model), Path(signature))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Exception as error:  # whatever it raises, it is not content
        sys.exit(f"{type(error).__name__}: {error}")
