// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IERC4906} from "@openzeppelin/contracts/interfaces/IERC4906.sol";
import {IERC165} from "@openzeppelin/contracts/interfaces/IERC165.sol";
import {IERC721} from "@openzeppelin/contracts/interfaces/IERC721.sol";
import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";
import {ERC2981} from "@openzeppelin/contracts/token/common/ERC2981.sol";
import {Base64} from "@openzeppelin/contracts/utils/Base64.sol";

/// @title Minimal soulbound tokens (ERC-5192): a token says whether it can be transferred.
interface IERC5192 {
    event Locked(uint256 tokenId);
    event Unlocked(uint256 tokenId);

    function locked(uint256 tokenId) external view returns (bool);
}

/// @title One ERC-721 token for each released track of one artist or label.
/// @notice The token id is the SHA-256 of the track's bytes, so that a track is minted once only. The SHA-256
/// of its metadata JSON is fixed at minting and is, written as an IPFS CID, its URI: no server can change it.
/// @dev A mint writes one new slot, the metadata digest: a token without an explicit owner belongs to the
/// immutable `artist`, as in OpenZeppelin's ERC721Consecutive. Tokens cannot be burned.
contract Track is ERC721, ERC2981, IERC4906, IERC5192 {
    /// Mints, sets the royalty, and owns what was minted to nobody else.
    address public immutable artist;
    /// Whether the tokens of this contract stay where they were minted to (ERC-5192).
    bool public immutable soulbound;

    mapping(uint256 tokenId => bytes32) private _digests;
    mapping(uint256 tokenId => string) private _published;

    error AlreadyMinted(uint256 tokenId);
    error DigestMismatch(uint256 tokenId, bytes32 digest);
    error LengthMismatch(uint256 contents, uint256 metadata);
    error NotArtist(address sender);
    error TokenLocked(uint256 tokenId);
    error ZeroDigest();

    modifier onlyArtist() {
        if (msg.sender != artist) revert NotArtist(msg.sender);
        _;
    }

    constructor(bool soulbound_) ERC721("Contraste Track", "CTRST") {
        artist = msg.sender;
        soulbound = soulbound_;
        // One more than the artist has, taken off in `balanceOf`: the first mint then costs what later ones do.
        _increaseBalance(msg.sender, 1);
    }

    /// @notice Mints the track `content` with the metadata `metadata`, both SHA-256, to `to`.
    function mint(address to, bytes32 content, bytes32 metadata) external onlyArtist {
        if (to == artist) {
            _increaseBalance(to, 1);
            _create(content, metadata);
        } else {
            _checkNew(content);
            _mint(to, uint256(content));
            _record(content, metadata);
        }
    }

    /// @notice Mints many tracks to the artist.
    function mintBatch(bytes32[] calldata contents, bytes32[] calldata metadata) external onlyArtist {
        if (contents.length != metadata.length) revert LengthMismatch(contents.length, metadata.length);
        _increaseBalance(artist, uint128(contents.length));
        for (uint256 i = 0; i < contents.length; ++i) _create(contents[i], metadata[i]);
    }

    /// @notice Puts the metadata JSON of a token on the chain; anybody may, as it must have the digest minted.
    function publish(uint256 tokenId, string calldata json) external {
        bytes32 digest = sha256(bytes(json));
        if (metadataDigest(tokenId) != digest) revert DigestMismatch(tokenId, digest);
        _published[tokenId] = json;
        emit MetadataUpdate(tokenId);
    }

    /// @notice Sets who gets which share (in 1/10,000) of a sale of any token (ERC-2981); 0 for none.
    function setRoyalty(address receiver, uint96 share) external onlyArtist {
        if (share == 0) _deleteDefaultRoyalty();
        else _setDefaultRoyalty(receiver, share);
    }

    /// @notice The SHA-256 of the token's metadata JSON; 0 for what was not minted.
    function metadataDigest(uint256 tokenId) public view returns (bytes32) {
        return _digests[tokenId];
    }

    /// @inheritdoc IERC5192
    function locked(uint256 tokenId) external view returns (bool) {
        _requireOwned(tokenId);
        return soulbound;
    }

    /// @notice The published JSON as data: URI, else `ipfs://` and the CID (version 1, raw, SHA-256) of the metadata.
    function tokenURI(uint256 tokenId) public view override returns (string memory) {
        _requireOwned(tokenId);
        bytes memory json = bytes(_published[tokenId]);
        if (json.length != 0) return string.concat("data:application/json;base64,", Base64.encode(json));
        return string.concat("ipfs://b", _base32(abi.encodePacked(hex"01551220", _digests[tokenId])));
    }

    /// @inheritdoc ERC721
    function balanceOf(address owner) public view override(ERC721, IERC721) returns (uint256) {
        uint256 balance = super.balanceOf(owner);
        return owner == artist ? balance - 1 : balance;
    }

    /// @inheritdoc ERC721
    function supportsInterface(bytes4 id) public view override(ERC721, ERC2981, IERC165) returns (bool) {
        return id == type(IERC5192).interfaceId || id == bytes4(0x49064906) || super.supportsInterface(id);
    }

    /// @inheritdoc ERC721
    function _ownerOf(uint256 tokenId) internal view override returns (address) {
        address owner = super._ownerOf(tokenId);
        return owner == address(0) && _digests[tokenId] != 0 ? artist : owner;
    }

    /// @inheritdoc ERC721
    function _update(address to, uint256 tokenId, address auth) internal override returns (address) {
        if (soulbound && _digests[tokenId] != 0) revert TokenLocked(tokenId);
        return super._update(to, tokenId, auth);
    }

    /// Every token has a digest, so the owner's slot need not be read.
    function _checkNew(bytes32 content) private view {
        if (_digests[uint256(content)] != 0) revert AlreadyMinted(uint256(content));
    }

    /// Mints to the artist, whose balance the caller has raised.
    function _create(bytes32 content, bytes32 metadata) private {
        _checkNew(content);
        emit Transfer(address(0), artist, uint256(content));
        _record(content, metadata);
    }

    function _record(bytes32 content, bytes32 metadata) private {
        if (content == 0 || metadata == 0) revert ZeroDigest();
        _digests[uint256(content)] = metadata;
        if (soulbound) emit Locked(uint256(content));
        else emit Unlocked(uint256(content));
    }

    /// RFC 4648 base32 in lower case without padding, as multibase "b".
    function _base32(bytes memory data) private pure returns (string memory) {
        bytes memory alphabet = "abcdefghijklmnopqrstuvwxyz234567";
        bytes memory text = new bytes((data.length * 8 + 4) / 5);
        uint256 bits = 0;
        uint256 held = 0;
        uint256 length = 0;
        for (uint256 i = 0; i < data.length; ++i) {
            held = (held << 8) | uint8(data[i]);
            for (bits += 8; bits >= 5; bits -= 5) text[length++] = alphabet[(held >> (bits - 5)) & 31];
        }
        if (bits > 0) text[length] = alphabet[(held << (5 - bits)) & 31];
        return string(text);
    }
}
