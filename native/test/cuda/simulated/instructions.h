// What the inline PTX of native/cuda/core/ptx does, for the simulated device.
//
// What an instruction has under way is as undefined here as on a device: where a copy will write there is NaN until it
// is waited for, and so is an accumulator while products are added to it; an operand in shared
// memory that changes between a product's begin and its wait is a fault.
#pragma once

#include <cstdint>

#include "cuda.h"

namespace espalier::simulated {

// mbarrier: 64 bits of shared memory.
void barrier_init(uint32_t barrier, uint32_t arrivals);
void barrier_arrive(uint32_t barrier, uint32_t expected_bytes);
void barrier_wait(uint32_t barrier, uint32_t parity);
uint32_t in_block(uint32_t address, uint32_t rank);  // the same place in another block of the cluster

// cp.async
void copy16(uint32_t to, const void* from, int bytes);
void copy_commit();
void copy_wait(int left);
void copy_arrive(uint32_t barrier);
// The copy engine; bit b of `blocks` stands for the block of that rank.
void copy_box(uint32_t to, const CUtensorMap* map, int column, int row, uint32_t barrier, uint32_t blocks);

void load_matrix4(uint32_t (&to)[4], uint32_t row, bool transposed);
uint32_t transpose_matrix(uint32_t row);

// Products. What elements are; a has so many bits of theirs left out as `sparse` says.
enum class Elements { kHalf, kBfloat16, kTf32, kInt8 };
// How two of every four elements of a are chosen.
struct Places {
  bool sparse = false;
  uint32_t word = 0;
  int selector = 0;
};

// d += a·b of a warp, 16×8; b in 2 registers, or of a sparse product 4.
void mma(Elements elements, void* d, const uint32_t* a, const uint32_t* b, Places places);

// Of a warpgroup, 64×n; d is n / 2 words.
struct Operand {
  const uint32_t* registers = nullptr;  // else
  uint64_t descriptor = 0;
  bool mn_major = false;
};
void wgmma(Elements elements, int n, void* d, Operand a, uint64_t b, bool b_mn_major, Places places, bool add);
void wgmma_fence();
void wgmma_commit();
void wgmma_wait(int left);

}  // namespace espalier::simulated
