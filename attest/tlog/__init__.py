"""The log's pure half: trees, notes, checkpoints, tiles, proofs and the canonical bytes of an entry.

    merkle       hashing, the frontier, appending a batch
    proofs       inclusion and consistency, for whole trees and for subtrees
    keys         verifier keys and our signer; ed25519: which public keys are refused
    note         signed notes; cosignature: what witnesses sign
    tree_head    a checkpoint's text; checkpoint: opening and signing it
    tiles        paths and bytes of tiles and entry bundles; tile_tree: roots and proofs out of tiles
    proof_file   .tlog-proof
    canonical    one value, one byte string; entry: body and header of our leaves
    fields       decimals and base64 of the text formats

No I/O, no clock, no randomness. Size and root come from a signed checkpoint, never from what lies beside it.
"""
