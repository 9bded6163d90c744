// Where operands of wgmma lie in shared memory, in tiles as the copy engine leaves them: swizzled. Bits 0–13 of a
// descriptor are the address, 16–29 the leading and 32–45 the stride offset, all in 16 bytes; bits 62–63 are 1 where a
// row of a tile is 128 bytes and swizzled by as much, 2 where it is 64.
#pragma once

#include "cuda/core/ptx/shared.cuh"

namespace espalier::cuda::ptx {

// Where a byte lies in a tile whose rows are 128 bytes, as copies with the 128-byte swizzle place it (the tile
// starts at a multiple of 1024 bytes): the 16-byte chunk's number is xored with the row's, modulo 8.
__device__ __forceinline__ uint32_t swizzled128(uint32_t offset) { return offset ^ ((offset >> 3) & 0x70u); }

// `swizzle` is the bytes of a row of its boxes, 64 or 128. With K along the rows, groups of 8 rows follow each other,
// 8·swizzle bytes apart (`stride`). With K down the columns, a box is 64 elements of the operand's rows wide: `stride`
// is from 8 steps of K to the next 8, `leading` from box to box.
__device__ __forceinline__ uint64_t descriptor(Shared auto at, int swizzle, uint32_t leading, uint32_t stride) {
  return uint64_t{(shared_address(at) & 0x3ffffu) >> 4} | uint64_t{leading >> 4} << 16 | uint64_t{stride >> 4} << 32 |
         (swizzle == 128 ? uint64_t{1} : uint64_t{2}) << 62;
}

// Tiles of rows of 128 bytes, 64 of them 8192 bytes, starting at a multiple of 1024.

// Rows are those of M (or N), along K: to the next eight rows 1024 bytes. The next 32 bytes of K (16 elements of
// 16 bits, 8 of tf32) are 2 further.
__device__ __forceinline__ uint64_t k_major(Shared auto tile) { return descriptor(tile, 128, 16, 1024); }
// Rows are those of K, 64 elements of 16 bits of M (or N) each: to the next eight of K 1024 bytes, to the next 64 of
// M (or N) `block` bytes (8192 where the tile has 64 rows). The next 16 of K are 128 further.
__device__ __forceinline__ uint64_t mn_major(Shared auto tile, uint32_t block) {
  return descriptor(tile, 128, block, 1024);
}

}  // namespace espalier::cuda::ptx
