// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IERC721Receiver} from "@openzeppelin/contracts/token/ERC721/IERC721Receiver.sol";
import {Track} from "contracts/Track.sol";
import {Helper} from "./Helper.sol";

contract TrackTest is Helper {
    Track private tracks = new Track(false);
    Track private fixedTracks = new Track(true);

    function testFuzz_mintedOnceWithWhatWasGiven(address to, bytes32 content, bytes32 metadata, bytes32 other) public {
        vm.assume(to != address(0) && content != 0 && metadata != 0 && other != 0);
        uint256 id = uint256(content);
        tracks.mint(to, content, metadata);
        same(tracks.ownerOf(id), to);
        same(tracks.metadataDigest(id), metadata);
        same(tracks.balanceOf(to), 1);
        check(!tracks.locked(id));
        vm.expectRevert(abi.encodeWithSelector(Track.AlreadyMinted.selector, id));
        tracks.mint(address(this), content, other);
        vm.expectRevert(abi.encodeWithSelector(Track.AlreadyMinted.selector, id));
        tracks.mint(to, content, other);
        bytes32[] memory one = new bytes32[](1);
        one[0] = content;
        vm.expectRevert(abi.encodeWithSelector(Track.AlreadyMinted.selector, id));
        tracks.mintBatch(one, one);
    }

    function testFuzz_onlyTheArtistMintsAndSetsRoyalties(address who, bytes32 content) public {
        vm.assume(who != address(this));
        bytes32[] memory none = new bytes32[](0);
        bytes memory refusal = abi.encodeWithSelector(Track.NotArtist.selector, who);
        vm.prank(who);
        vm.expectRevert(refusal);
        tracks.mint(who, content, content);
        vm.prank(who);
        vm.expectRevert(refusal);
        tracks.mintBatch(none, none);
        vm.prank(who);
        vm.expectRevert(refusal);
        tracks.setRoyalty(who, 1);
    }

    function testFuzz_aBatchBelongsToTheArtist(bytes32[] memory contents) public {
        uint256 length = contents.length;
        for (uint256 i = 0; i < length; ++i) contents[i] = keccak256(abi.encode(contents[i], i));
        tracks.mintBatch(contents, contents);
        same(tracks.balanceOf(address(this)), length);
        for (uint256 i = 0; i < length; ++i) same(tracks.ownerOf(uint256(contents[i])), address(this));
    }

    function testFuzz_aBatchWithADuplicateChangesNothing(bytes32 content, bytes32 metadata) public {
        vm.assume(content != 0 && metadata != 0);
        bytes32[] memory twice = new bytes32[](2);
        (twice[0], twice[1]) = (content, content);
        vm.expectRevert(abi.encodeWithSelector(Track.AlreadyMinted.selector, uint256(content)));
        tracks.mintBatch(twice, twice);
        same(tracks.balanceOf(address(this)), 0);
    }

    function testFuzz_tokensMoveAndApprovalsEnd(bytes32 content, address buyer, address third) public {
        vm.assume(content != 0 && buyer > address(10) && third > address(10) && buyer != third);
        vm.assume(buyer != address(this) && third != address(this));
        uint256 id = uint256(content);
        tracks.mint(address(this), content, content);
        tracks.approve(third, id);
        vm.prank(third);
        tracks.transferFrom(address(this), buyer, id);
        same(tracks.getApproved(id), address(0));
        same(tracks.ownerOf(id), buyer);
        same(tracks.balanceOf(address(this)), 0);
        vm.prank(buyer);
        tracks.transferFrom(buyer, address(this), id); // back to the artist, now by an explicit entry
        same(tracks.ownerOf(id), address(this));
        same(tracks.balanceOf(buyer), 0);
        same(tracks.balanceOf(address(this)), 1);
    }

    function testFuzz_lockedTokensStay(bytes32 content, address to, address buyer) public {
        vm.assume(content != 0 && to != address(0) && buyer != address(0));
        uint256 id = uint256(content);
        fixedTracks.mint(to, content, content);
        check(fixedTracks.locked(id));
        vm.prank(to);
        vm.expectRevert(abi.encodeWithSelector(Track.TokenLocked.selector, id));
        fixedTracks.transferFrom(to, buyer, id);
        vm.prank(to);
        vm.expectRevert(abi.encodeWithSelector(Track.TokenLocked.selector, id));
        fixedTracks.safeTransferFrom(to, buyer, id);
        same(fixedTracks.ownerOf(id), to);
    }

    function testFuzz_onlyTheMintedMetadataCanBePublished(bytes32 content, string memory json, string memory other) public {
        vm.assume(content != 0 && bytes(json).length != 0 && keccak256(bytes(json)) != keccak256(bytes(other)));
        uint256 id = uint256(content);
        tracks.mint(address(this), content, sha256(bytes(json)));
        vm.expectRevert(abi.encodeWithSelector(Track.DigestMismatch.selector, id, sha256(bytes(other))));
        tracks.publish(id, other);
        string memory before = tracks.tokenURI(id);
        vm.prank(address(uint160(uint256(content)))); // anybody
        tracks.publish(id, json);
        check(keccak256(bytes(tracks.tokenURI(id))) != keccak256(bytes(before)));
        same(bytes(before).length, 66);
    }

    function testFuzz_royalties(address receiver, uint96 share, uint128 price, uint256 id) public {
        vm.assume(receiver != address(0));
        share = share % 10_001;
        tracks.setRoyalty(receiver, share);
        (address to, uint256 amount) = tracks.royaltyInfo(id, price);
        same(to, share == 0 ? address(0) : receiver);
        same(amount, uint256(price) * share / 10_000);
    }

    function testFuzz_whatWasNotMintedIsNotThere(uint256 id) public view {
        same(tracks.metadataDigest(id), 0);
        (bool owned,) = address(tracks).staticcall(abi.encodeCall(tracks.ownerOf, (id)));
        (bool has,) = address(tracks).staticcall(abi.encodeCall(tracks.tokenURI, (id)));
        (bool lock,) = address(tracks).staticcall(abi.encodeCall(tracks.locked, (id)));
        check(!owned && !has && !lock);
    }

    function test_zeroDigestsAndLengthsAreRefused() public {
        vm.expectRevert(abi.encodeWithSelector(Track.ZeroDigest.selector));
        tracks.mint(address(this), 0, bytes32(uint256(1)));
        vm.expectRevert(abi.encodeWithSelector(Track.ZeroDigest.selector));
        tracks.mint(address(1), bytes32(uint256(1)), 0);
        vm.expectRevert(abi.encodeWithSelector(Track.LengthMismatch.selector, 1, 0));
        tracks.mintBatch(new bytes32[](1), new bytes32[](0));
    }
}

/// @dev Mints and moves among four accounts, the artist among them, and counts for itself.
contract TrackHandler is Helper {
    Track public tracks = new Track(false);
    uint256[] public ids;
    uint256 public calls;
    mapping(uint256 id => address) public owner;
    mapping(uint256 id => bytes32) public digest;
    mapping(address who => uint256) public balance;

    function count() external view returns (uint256) {
        return ids.length;
    }

    function mint(uint8 seed, uint8 who) external {
        ++calls;
        bytes32 content = keccak256(abi.encode(seed));
        if (digest[uint256(content)] != 0) {
            vm.expectRevert(abi.encodeWithSelector(Track.AlreadyMinted.selector, uint256(content)));
            tracks.mint(account(who), content, content);
        } else {
            tracks.mint(account(who), content, content);
            note(content, account(who));
        }
    }

    function mintBatch(uint8 seed, uint8 length) external {
        ++calls;
        bytes32[] memory contents = new bytes32[](length % 8);
        for (uint256 i = 0; i < contents.length; ++i) {
            contents[i] = keccak256(abi.encode(seed, i));
            if (digest[uint256(contents[i])] != 0) return;
        }
        tracks.mintBatch(contents, contents);
        for (uint256 i = 0; i < contents.length; ++i) note(contents[i], address(this));
    }

    function move(uint16 which, uint8 to, uint8 by, bool approve) external {
        ++calls;
        if (ids.length == 0) return;
        uint256 id = ids[which % ids.length];
        address from = owner[id];
        address sender = approve ? account(by) : from;
        if (approve && sender != from) {
            vm.prank(from);
            tracks.approve(sender, id);
        }
        vm.prank(sender);
        tracks.transferFrom(from, account(to), id);
        --balance[from];
        ++balance[account(to)];
        owner[id] = account(to);
    }

    function account(uint8 who) public view returns (address) {
        return who % 4 == 0 ? address(this) : address(uint160(1000 + (who % 4)));
    }

    function note(bytes32 content, address to) private {
        ids.push(uint256(content));
        owner[uint256(content)] = to;
        digest[uint256(content)] = content;
        ++balance[to];
    }
}

contract TrackInvariants is Helper {
    TrackHandler private handler;

    function setUp() public {
        handler = new TrackHandler();
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    /// @dev Owners and balances are those of the moves made, the balances add up, and no metadata changes.
    function invariant_ownersAndBalances() public view {
        Track tracks = handler.tracks();
        uint256 sum = 0;
        for (uint8 who = 0; who < 4; ++who) {
            address account = handler.account(who);
            same(tracks.balanceOf(account), handler.balance(account));
            sum += tracks.balanceOf(account);
        }
        same(sum, handler.count());
        uint256 count = handler.count();
        for (uint256 i = count > 4 ? count - 4 : 0; i < count; ++i) {
            uint256 id = handler.ids(i);
            same(tracks.ownerOf(id), handler.owner(id));
            same(tracks.metadataDigest(id), handler.digest(id));
        }
    }
}
