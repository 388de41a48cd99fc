// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";
import {Strings} from "@openzeppelin/contracts/utils/Strings.sol";

/// @title One ERC-721 token for each released track.
/// @notice The token id is the SHA-256 of the track's bytes, so that a track can be minted once only. The
/// SHA-256 of the metadata JSON is fixed at minting, whatever the URI serves later.
contract Track is ERC721, Ownable {
    mapping(uint256 tokenId => bytes32) public metadataDigest;
    mapping(uint256 tokenId => string) private _uris;

    error ZeroDigest();

    constructor() ERC721("Contraste Track", "CTRST") Ownable(msg.sender) {}

    /// @notice Mints the token of a track to `to`. An empty `uri` means `urn:sha256:<metadata digest>`.
    function mint(address to, bytes32 content, bytes32 metadata, string calldata uri) external onlyOwner {
        if (content == bytes32(0) || metadata == bytes32(0)) revert ZeroDigest();
        uint256 tokenId = uint256(content);
        _mint(to, tokenId);
        metadataDigest[tokenId] = metadata;
        if (bytes(uri).length != 0) _uris[tokenId] = uri;
    }

    /// @inheritdoc ERC721
    function tokenURI(uint256 tokenId) public view override returns (string memory) {
        _requireOwned(tokenId);
        string memory uri = _uris[tokenId];
        if (bytes(uri).length != 0) return uri;
        bytes memory hexDigits = bytes(Strings.toHexString(uint256(metadataDigest[tokenId]), 32));
        bytes memory digits = new bytes(64);
        for (uint256 i = 0; i < 64; ++i) digits[i] = hexDigits[i + 2];
        return string.concat("urn:sha256:", string(digits));
    }
}
