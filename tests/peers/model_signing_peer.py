"""Signs and verifies with the reference implementation of model signing; run in an environment that has it.

    python model_signing_peer.py sign|verify key|certificate files|shards MODEL SIGNATURE WORDS...
    python model_signing_peer.py provenance BUNDLE PUBLIC

The second checks the envelope with securesystemslib, and parses bundle, statement and SLSA provenance with the message
types of sigstore and in-toto.

WORDS: to sign, private key and, for certificates, leaf and chain; to verify, public key or trusted authority.
Shards are 1,000 bytes. Exit 0 where the tool is content, 1 with its message where it is not.
"""

import sys
from pathlib import Path

from model_signing import hashing, signing, verifying


def main(action: str, kind: str, method: str, model: str, signature: str, *words: str) -> None:
    config = hashing.Config()
    if method == "shards":
        config.use_shard_serialization(shard_size=1000)
    paths = [Path(word) for word in words]
    if action == "sign":
        signer = signing.Config().set_hashing_config(config)  # which leaves git's files out
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


def provenance(file: str, public: str) -> None:
    import json

    from google.protobuf import json_format
    from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
    from in_toto_attestation.v1 import statement_pb2
    from in_toto_attestation.v1.statement import Statement
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import SSlibKey
    from sigstore_models.bundle.v1 import Bundle

    bundle = json.loads(Path(file).read_bytes())
    Bundle.from_dict(bundle)
    keyid = bundle["verificationMaterial"]["publicKey"]["hint"]
    key = SSlibKey(keyid, "ecdsa", "ecdsa-sha2-nistp256", {"public": Path(public).read_text()})
    envelope = Envelope.from_dict(bundle["dsseEnvelope"])
    envelope.verify([key], 1)
    payload = json.loads(envelope.payload)
    message = json_format.ParseDict(payload, statement_pb2.Statement())
    Statement.copy_from_pb(message).validate()
    found = json_format.ParseDict(payload["predicate"], provenance_pb2.Provenance())
    print(found.build_definition.build_type)


if __name__ == "__main__":
    try:
        provenance(*sys.argv[2:]) if sys.argv[1] == "provenance" else main(*sys.argv[1:])
    except Exception as error:  # whatever it raises, it is not content
        sys.exit(f"{type(error).__name__}: {error}")
