// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Anchor} from "contracts/Anchor.sol";
import {Helper} from "./Helper.sol";

/// @dev Any function of any value.
contract AnchorTest is Helper {
    Anchor private anchors = new Anchor();

    function testFuzz_anchoredOnceByItsFirstSender(bytes32 root, address issuer, address other, uint48 time) public {
        vm.assume(root != 0 && issuer != address(0) && other != address(0) && time != 0);
        vm.warp(time);
        vm.prank(issuer);
        anchors.anchor(root);
        vm.prank(other);
        vm.expectRevert(abi.encodeWithSelector(Anchor.AlreadyAnchored.selector, root));
        anchors.anchor(root);
        (address found, uint256 at, uint256 number, uint256 revokedAt) = anchors.lookup(root, 0);
        same(found, issuer);
        same(at, time);
        same(number, block.number);
        same(revokedAt, 0);
    }

    function testFuzz_onlyTheIssuerRevokes(bytes32 root, bytes32 leaf, address issuer, address other) public {
        vm.assume(root != 0 && issuer != address(0) && issuer != other);
        vm.prank(issuer);
        anchors.anchor(root);
        vm.prank(other);
        vm.expectRevert(abi.encodeWithSelector(Anchor.NotIssuer.selector, root, other));
        anchors.revoke(root, leaf, "");
        vm.prank(issuer);
        anchors.revoke(root, leaf, "");
        vm.prank(issuer);
        vm.expectRevert(abi.encodeWithSelector(Anchor.AlreadyRevoked.selector, root, leaf));
        anchors.revoke(root, leaf, "");
    }

    function testFuzz_whatWasNotAnchoredCannotBeRevoked(bytes32 root, bytes32 leaf, address who) public {
        vm.prank(who);
        // Of a root that nobody anchored the zero address is no issuer either: it can send no transaction.
        vm.assume(who != address(0));
        vm.expectRevert(abi.encodeWithSelector(Anchor.NotIssuer.selector, root, who));
        anchors.revoke(root, leaf, "");
    }

    function testFuzz_revokedSinceTheEarlierOfRootAndLeaf(bytes32 root, bytes32 leaf, uint32 first, uint32 second) public {
        vm.assume(root != 0 && leaf != 0 && first != 0 && second != 0);
        anchors.anchor(root);
        vm.warp(first);
        anchors.revoke(root, leaf, "");
        vm.warp(second);
        anchors.revoke(root, 0, "");
        (,,, uint256 ofLeaf) = anchors.lookup(root, leaf);
        (,,, uint256 ofOther) = anchors.lookup(root, ~leaf);
        same(ofLeaf, first < second ? first : second);
        same(ofOther, second);
    }

    function testFuzz_aProofHoldsForItsLeafOnly(bytes32 leaf, bytes32 other, bytes32[] memory proof) public {
        vm.assume(leaf != other);
        bytes32 root = leaf;
        for (uint256 i = 0; i < proof.length; ++i) {
            (bytes32 low, bytes32 high) = root < proof[i] ? (root, proof[i]) : (proof[i], root);
            root = keccak256(abi.encodePacked(low, high));
        }
        vm.assume(root != 0);
        check(!anchors.isAnchored(root, leaf, proof));
        anchors.anchor(root);
        check(anchors.isAnchored(root, leaf, proof) == (proof.length <= 64));
        vm.assume(proof.length == 0 || other != proof[0]); // with sorted pairs a sibling is a leaf, too
        check(!anchors.isAnchored(root, other, proof));
        anchors.revoke(root, leaf, "");
        check(!anchors.isAnchored(root, leaf, proof));
    }

    function test_theZeroRootIsRefused() public {
        vm.expectRevert(abi.encodeWithSelector(Anchor.ZeroRoot.selector));
        anchors.anchor(0);
    }
}

/// @dev Does what three accounts may do, in any order, and keeps in plain mappings what must come out.
contract AnchorHandler is Helper {
    Anchor public anchors = new Anchor();
    bytes32[] public roots;
    bytes32 public last;
    uint256 public calls;
    mapping(bytes32 root => address) public issuer;
    mapping(bytes32 root => uint256) public time;
    mapping(bytes32 root => mapping(bytes32 leaf => uint256)) public revoked;

    function count() external view returns (uint256) {
        return roots.length;
    }

    function anchor(uint8 seed, uint8 who) external {
        ++calls;
        bytes32 root = last = keccak256(abi.encode(seed % 64));
        if (issuer[root] != address(0)) vm.expectRevert(abi.encodeWithSelector(Anchor.AlreadyAnchored.selector, root));
        vm.prank(account(who));
        anchors.anchor(root);
        if (issuer[root] != address(0)) return;
        issuer[root] = account(who);
        time[root] = block.timestamp;
        roots.push(root);
    }

    function revoke(uint8 seed, uint8 leafSeed, uint8 who) external {
        ++calls;
        bytes32 root = last = keccak256(abi.encode(seed % 64));
        bytes32 leaf = bytes32(uint256(leafSeed % 4));
        bool may = issuer[root] == account(who);
        if (!may) vm.expectRevert(abi.encodeWithSelector(Anchor.NotIssuer.selector, root, account(who)));
        else if (revoked[root][leaf] != 0) vm.expectRevert(abi.encodeWithSelector(Anchor.AlreadyRevoked.selector, root, leaf));
        vm.prank(account(who));
        anchors.revoke(root, leaf, "");
        if (may && revoked[root][leaf] == 0) revoked[root][leaf] = block.timestamp;
    }

    function pass(uint16 seconds_) external {
        ++calls;
        vm.warp(block.timestamp + 1 + seconds_);
        vm.roll(block.number + 1);
    }

    function account(uint8 who) public pure returns (address) {
        return address(uint160(1000 + (who % 3)));
    }
}

contract AnchorInvariants is Helper {
    AnchorHandler private handler;

    function setUp() public {
        handler = new AnchorHandler();
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    /// @dev Nobody ever becomes another root's issuer, no time moves, no revocation vanishes: asked after each call of
    /// the root just used, and of another one in turn.
    function invariant_theContractSaysWhatWasDone() public view {
        if (handler.count() == 0) return;
        compare(handler.last());
        compare(handler.roots(handler.calls() % handler.count()));
    }

    function compare(bytes32 root) private view {
        for (uint256 j = 0; j < 4; ++j) {
            bytes32 leaf = bytes32(j);
            (address issuer, uint256 time,, uint256 revokedAt) = handler.anchors().lookup(root, leaf);
            same(issuer, handler.issuer(root));
            same(time, handler.time(root));
            (uint256 whole, uint256 own) = (handler.revoked(root, 0), handler.revoked(root, leaf));
            same(revokedAt, own == 0 || (whole != 0 && whole < own) ? whole : own);
        }
    }
}
