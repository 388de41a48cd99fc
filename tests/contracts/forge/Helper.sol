// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @dev The cheat codes of forge that are used here.
interface Vm {
    function prank(address sender) external;
    function warp(uint256 time) external;
    function roll(uint256 number) external;
    function expectRevert(bytes calldata data) external;
    function assume(bool condition) external;
}

/// @dev What the tests share; a failed check reverts, which forge counts as a failure.
abstract contract Helper {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    error Unequal(uint256 left, uint256 right);
    error Untrue();

    function check(bool condition) internal pure {
        if (!condition) revert Untrue();
    }

    function same(uint256 left, uint256 right) internal pure {
        if (left != right) revert Unequal(left, right);
    }

    function same(address left, address right) internal pure {
        same(uint160(left), uint160(right));
    }

    function same(bytes32 left, bytes32 right) internal pure {
        same(uint256(left), uint256(right));
    }
}
