// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";

/// @title Time stamps for Merkle roots of signed statements.
/// @notice A root can be anchored once, by anybody; the first sender is its issuer. Only the issuer can
/// revoke the root, or one leaf of it. Leaves and nodes are those of OpenZeppelin's StandardMerkleTree.
contract Anchor {
    /// Fills exactly one storage slot: 160 + 48 + 48 bits.
    struct Entry {
        address issuer;
        uint48 time;
        uint48 number;
    }

    uint256 private constant MAX_PROOF = 64;

    mapping(bytes32 root => Entry) private _entries;
    mapping(bytes32 root => mapping(bytes32 leaf => uint256 time)) private _revoked;

    event Anchored(bytes32 indexed root, address indexed issuer);
    event Revoked(bytes32 indexed root, bytes32 indexed leaf, string reason);

    error ZeroRoot();
    error AlreadyAnchored(bytes32 root);
    error NotIssuer(bytes32 root, address sender);
    error AlreadyRevoked(bytes32 root, bytes32 leaf);

    /// @notice Records the sender, the time and the block for `root`.
    function anchor(bytes32 root) external {
        if (root == bytes32(0)) revert ZeroRoot();
        // slither-disable-next-line timestamp (an address is compared, which shares its slot with the time)
        if (_entries[root].issuer != address(0)) revert AlreadyAnchored(root);
        _entries[root] = Entry(msg.sender, uint48(block.timestamp), uint48(block.number));
        emit Anchored(root, msg.sender);
    }

    /// @notice Revokes one leaf of `root`, or with `leaf` 0 the whole root.
    function revoke(bytes32 root, bytes32 leaf, string calldata reason) external {
        // slither-disable-next-line timestamp (as above)
        if (_entries[root].issuer != msg.sender) revert NotIssuer(root, msg.sender);
        if (_revoked[root][leaf] != 0) revert AlreadyRevoked(root, leaf);
        _revoked[root][leaf] = block.timestamp;
        emit Revoked(root, leaf, reason);
    }

    /// @notice Who anchored `root`, when and in which block, and when it or `leaf` was first
    /// revoked; zeros for never.
    function lookup(bytes32 root, bytes32 leaf)
        public
        view
        returns (address issuer, uint256 time, uint256 number, uint256 revokedAt)
    {
        Entry memory entry = _entries[root];
        revokedAt = _revoked[root][leaf];
        uint256 whole = _revoked[root][bytes32(0)];
        if (revokedAt == 0 || (whole != 0 && whole < revokedAt)) revokedAt = whole;
        return (entry.issuer, entry.time, entry.number, revokedAt);
    }

    /// @notice Whether `leaf` belongs to an anchored root and neither of them is revoked.
    /// A proof longer than 64 hashes never holds: no tree has 2**64 leaves.
    function isAnchored(bytes32 root, bytes32 leaf, bytes32[] calldata proof) external view returns (bool) {
        if (proof.length > MAX_PROOF) return false;
        (address issuer,,, uint256 revokedAt) = lookup(root, leaf);
        // slither-disable-next-line timestamp,incorrect-equality (0 means never; no clock is compared)
        return issuer != address(0) && revokedAt == 0 && MerkleProof.verifyCalldata(proof, root, leaf);
    }
}
