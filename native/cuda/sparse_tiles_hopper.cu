// Products of tiles on Hopper's tensor cores.
//
// One kernel serves all three. It computes blocks of 64 (or 128) rows by up to 512 columns, and its loop over the
// contracted dimension walks the list of what the mask keeps: a producer warp reads the list and has the copy
// engine bring a 64-wide slice of both operands per step, two warpgroups multiply. The blocks of a weight gradient
// are rows of dW against up to eight kept tiles of that row, gathered: their X rows lie apart in memory but next to
// each other in shared memory, where wgmma takes them as one operand of 256 columns.
//
// What limits it: a 64×64 tile of W uses each element of X it loads for 64 rows only, so the tensor cores at full
// speed would read 64 bytes of X a clock and multiprocessor, about twice what the L2 delivers. Wide blocks keep
// what W adds to that small (512 columns: an eighth), and all blocks that run at a time share the same columns of
// X, a slab (at the end two), so that X comes from device memory once. Tiles of 128 rows need half as much. A result is
// stored while the copies of the next steps are under way.
//
// What is lost beside is the uneven end: of 8192³, a tenth of the tiles kept, 2048 items over 132 blocks are 15 or 16
// to each, of unequal length. So items are not dealt out before, but taken: a block's producer asks a counter for
// its next item when it nears the end of the one at hand. Rows come longest first in each slab, and the last two
// slabs are dealt as one, first the longest row of both, so that short items even out the end. On an H200, bfloat16,
// 8192³, against items dealt out in turns, one slab from the longest row and one from the shortest (ms, forward):
// tiles of 128×128, a tenth kept, .273 to .212 (.221 without the last slabs as one); 64×64, a tenth, .266 to .260, a
// twentieth, .164 to .157; batch major, a tenth, .279 to .270, half, 1.237 to 1.184. (A count over random masks of this
// size, a step and a store as long each: dealt out, the slowest block takes 6.3% longer than the mean; taken, 1.6%;
// with the last two slabs as one, 1.1%; three or four slabs, or halves of items at the end, no better.)
//
// The groups of a weight gradient, two to a block, stay dealt out: taken, the largest first, .349 to .373, against
// .342.
//
// The counter ends every launch at zero, without anyone's clearing it: of n items, blocks begin with one each and
// ask until they are told of one past the end, each the same once, so that there are n questions, whatever the
// order; and atomicInc(counter, n − 1) is back at zero after n.
//
// The kernel before all this took .251, .146, .342 and 1.160 where items dealt out take .266, .164, .279 and 1.237
// here, and .264 for tiles of 128×128: so beside tiles of 64×64 by rows, which lost 4 to 7% to it, all gained. Copies
// of an elected thread came after these figures and have not been timed.
//
// Also tried, on the same card, and not kept (64×64, a tenth kept, forward, unless said otherwise):
// - W's tiles brought once for two blocks of a cluster, which then must keep step: .260 to .264, and .284 with the
//   last slabs as one; a twentieth kept .156 to .165; only half kept, batch major, gained: 1.186 to 1.137.
// - The last stage given back as soon as its products are done where the next one's data is not there: .260 to .258,
//   half kept, batch major, 1.212 to 1.176, but tiles of 128×128 .209 to .216.
// - Results stored as the first to leave the L2: .260 to .261; W as the last, .261 to .257.
#include <algorithm>
#include <map>
#include <mutex>
#include <utility>

#include "cuda/core/memory.h"
#include "cuda/core/streams.h"
#include "cuda/core/tensor_map.h"
#include "cuda/sparse_tiles.cuh"
#include "cuda/sparse_wgmma.cuh"

namespace espalier::cuda {
namespace {

using namespace sparse;

// The work as the kernel walks it: `units` rows of blocks, per_tile of them to a tile; steps_per_tile slices to a
// tile along the contracted dimension.
struct Walk {
  const int32_t *start, *list, *order;  // forward, data gradient: of the output's rows of tiles
  const int32_t *group, *groups;        // weight gradient
  int units, per_tile, steps_per_tile;
  int64_t columns;  // of the result; of the contraction for the weight gradient
  void* out;
  int64_t ld;
  const void* bias;
  unsigned* counter;  // of items taken: zero before and after every launch (not the weight gradient)
};

// The next item is looked for in so many steps before the end of the one at hand: see `look`.
[[maybe_unused]] constexpr int kLooksAhead = 5;

// What a stage of the pipeline holds beside data.
struct Step {
  int32_t row, column;  // where the block's result goes; the weight gradient: its first entry in list
  int32_t blocks;       // the weight gradient: how many blocks of columns
  uint32_t flags;
};
[[maybe_unused]] constexpr uint32_t kFirst = 1, kLast = 2, kEmpty = 4, kStop = 8;

template <int kRows, int kColumns>
struct Tiling {
  static constexpr int kABlocks = kRows / kSide, kBBlocks = kColumns / kSide;
  static constexpr int kStageBytes = (kABlocks + kBBlocks) * kBlockBytes;
  static constexpr int kStages = std::min(8, (227 * 1024 - 2048) / kStageBytes);
  static constexpr int kSharedBytes = 1024 + kStages * (kStageBytes + 16 + sizeof(Step));
};

// kTransposed: the result is stored with its rows along memory. kSampled: the weight gradient.
template <class T, int kRows, int kColumns, bool kMMajor, bool kNMajor, bool kTransposed, bool kSampled>
__global__ void __launch_bounds__(kThreads, 1)
    tiles_kernel([[maybe_unused]] const __grid_constant__ CUtensorMap map_a,
                 [[maybe_unused]] const __grid_constant__ CUtensorMap map_b, [[maybe_unused]] const Walk walk) {
#if defined(ESPALIER_HOPPER)
  using Shape = Tiling<kRows, kColumns>;
  constexpr int kStages = Shape::kStages;
  // The warpgroups halve the columns, or where there are 128 rows, these.
  constexpr int kOwn = Shape::kABlocks == 1 ? kColumns / 2 : kColumns;
  constexpr int64_t kAllRows = int64_t{1} << 62;  // tiles divide the rows: none lie outside
  extern __shared__ unsigned char raw[];
  unsigned char* const shared = raw + (-ptx::shared_address(raw) & 1023u);
  uint64_t* const full = reinterpret_cast<uint64_t*>(shared + kStages * Shape::kStageBytes);
  uint64_t* const empty = full + kStages;
  Step* const steps = reinterpret_cast<Step*>(empty + kStages);

  if (threadIdx.x == 0) {
    for (int i = 0; i < kStages; ++i) {
      ptx::barrier_init(&full[i], 1);
      ptx::barrier_init(&empty[i], kConsumerWarps);
    }
    ptx::barrier_init_done();
  }
  __syncthreads();

  int stage = 0;
  uint32_t parity = 0;
  const auto advance = [&] {
    if (++stage == kStages) stage = 0, parity ^= 1;
  };

  if (threadIdx.x < 128) {
    ptx::lower_registers<40>();
    if (ptx::elect_thread(0)) {
      // The 64×64 block of A, or B, from `at` along M, or N, and `slice` along the contracted dimension.
      const auto load_a = [&](void* to, int at, int slice) {
        ptx::copy_box(to, &map_a, kMMajor ? at : slice, kMMajor ? slice : at, &full[stage]);
      };
      const auto load_b = [&](void* to, int at, int slice) {
        ptx::copy_box(to, &map_b, kNMajor ? at : slice, kNMajor ? slice : at, &full[stage]);
      };
      // One step: waits for room, says what it is, and where there is data, has A's and so many of B's blocks brought.
      const auto put = [&](const Step& step) {
        ptx::barrier_wait(&empty[stage], parity ^ 1);
        steps[stage] = step;
        ptx::barrier_arrive_expect(&full[stage], 0);
        advance();
      };
      const auto put_data = [&](const Step& step, int slice, int b_blocks) {
        ptx::barrier_wait(&empty[stage], parity ^ 1);
        steps[stage] = step;
        int column = step.column;
        ptx::hide_origin(column, b_blocks);  // else registers are kept for all that follows from them
        ptx::barrier_arrive_expect(&full[stage], (Shape::kABlocks + b_blocks) * kBlockBytes);
        unsigned char* const to = shared + stage * Shape::kStageBytes;
        const auto load = [&](int i) { load_b(to + (Shape::kABlocks + i) * kBlockBytes, column + i * kSide, slice); };
#pragma unroll
        for (int i = 0; i < Shape::kABlocks; ++i) load_a(to + i * kBlockBytes, step.row + i * kSide, slice);
        if (b_blocks == Shape::kBBlocks) {
#pragma unroll
          for (int i = 0; i < Shape::kBBlocks; ++i) load(i);
        } else {
#pragma unroll 1
          for (int i = 0; i < b_blocks; ++i) load(i);
        }
        advance();
      };

      if constexpr (kSampled) {
        const int slices = static_cast<int>((walk.columns + kSide - 1) / kSide);
        const int items = *walk.groups * walk.per_tile;
        for (int item = blockIdx.x; item < items; item += gridDim.x) {
          const int32_t* const group = walk.group + 2 * (item / walk.per_tile);
          const int tile = group[0], first = walk.start[tile];
          const int64_t blocks = int64_t{walk.start[tile + 1] - first} * walk.steps_per_tile;
          const int parts = static_cast<int>((blocks + kSampledBlocks - 1) / kSampledBlocks);
          const int from = static_cast<int>(blocks * group[1] / parts);
          const int count = static_cast<int>(blocks * (group[1] + 1) / parts) - from;
          const int row = (tile * walk.per_tile + item % walk.per_tile) * kRows;
          int column[kSampledBlocks];
#pragma unroll
          for (int i = 0; i < kSampledBlocks; ++i) {
            const int at = from + min(i, count - 1);
            column[i] =
                (walk.list[first + at / walk.steps_per_tile] * walk.steps_per_tile + at % walk.steps_per_tile) * kSide;
          }
          for (int slice = 0; slice < slices; ++slice) {
            const uint32_t flags = (slice == 0 ? kFirst : 0) | (slice + 1 == slices ? kLast : 0);
            ptx::barrier_wait(&empty[stage], parity ^ 1);
            steps[stage] = {row, first * walk.steps_per_tile + from, count, flags};
            ptx::barrier_arrive_expect(&full[stage], (1 + count) * kBlockBytes);
            unsigned char* const to = shared + stage * Shape::kStageBytes;
            const int at = slice * kSide;
            load_a(to, row, at);
#pragma unroll
            for (int i = 0; i < kSampledBlocks; ++i)
              if (i < count) load_b(to + (1 + i) * kBlockBytes, column[i], at);
            advance();
          }
        }
      } else {
        const int slabs = static_cast<int>((walk.columns + kColumns - 1) / kColumns), merged = min(slabs, 2);
        const unsigned units = static_cast<unsigned>(walk.units), items = static_cast<unsigned>(slabs) * units;
        const unsigned one_by_one = items - static_cast<unsigned>(merged) * units;
        // The next item. What it is takes four reads that each need the one before: `look` does one at a time, before
        // each of the last steps of the item at hand, and touches what it reads only the next time, so that reads
        // arrive while those steps wait for room. Asking earlier would take items before it is known who will be done
        // first.
        constexpr int kLooks = 4;
        int looked = 1;
        unsigned item =
            blockIdx.x - gridDim.x;  // as the counter would have answered: the first item is the block's own
        int row = 0, column = 0, first = 0, last = 0, entry = 0;
        const auto look = [&] {
          switch (looked++) {
            case 0: item = atomicInc(walk.counter, items - 1); break;
            case 1:
              item += gridDim.x;
              if (item < items) {
                int slab, unit;
                if (item < one_by_one) {
                  slab = static_cast<int>(item / units), unit = static_cast<int>(item % units);
                } else {
                  const int rest = static_cast<int>(item - one_by_one);
                  slab = slabs - merged + (rest & (merged - 1)), unit = rest >> (merged - 1);
                }
                row = unit % walk.per_tile * kRows, column = slab * kColumns;
                first = walk.order[unit / walk.per_tile];  // the tile, until it is known where its list begins
              }
              break;
            case 2:
              if (item < items) {
                row += first * walk.per_tile * kRows;
                last = walk.start[first + 1];
                first = walk.start[first];
              }
              break;
            default:
              if (item < items && first < last) entry = walk.list[first];
          }
        };
        for (;;) {
          while (looked < kLooks) look();
          if (item >= items) break;
          const int at_row = row, at_column = column;
          int left = (last - first) * walk.steps_per_tile;
          looked = 0;
          if (left == 0) {
            look();
            put({at_row, at_column, 0, kFirst | kLast | kEmpty});
            continue;
          }
          const int b_blocks = min(Shape::kBBlocks, (static_cast<int>(walk.columns) - column + kSide - 1) / kSide);
          uint32_t flags = kFirst;
          for (int at = first, next = entry; left > 0;) {
            const int slice = next * walk.steps_per_tile;
            if (left > walk.steps_per_tile) next = walk.list[++at];  // arrives while this one's copies are queued
            for (int part = 0; part < walk.steps_per_tile; ++part) {
              if (left <= kLooksAhead && looked < kLooks) look();
              if (--left == 0) flags |= kLast;
              put_data({at_row, at_column, 0, flags}, (slice + part) * kSide, b_blocks);
              flags = 0;
            }
          }
        }
      }
      put({0, 0, 0, kStop});
    }
  } else {
    ptx::raise_registers<232>();
    const int group = threadIdx.x / 128 - 1, warp = threadIdx.x / 32 % 4;
    const uint32_t a_offset = Shape::kABlocks == 2 ? group * kBlockBytes : 0;
    const uint32_t b_offset =
        Shape::kABlocks * kBlockBytes + (Shape::kABlocks == 1 ? group * (kOwn / kSide) * kBlockBytes : 0);
    T* const out = static_cast<T*>(walk.out);
    for (;;) {
      ptx::barrier_wait(&full[stage], parity);
      const Step step = steps[stage];
      if (step.flags & kStop) break;
      const int64_t row = step.row + (Shape::kABlocks == 2 ? group * kSide : 0) + warp * 16;
      const int64_t column = int64_t{step.column} + (Shape::kABlocks == 1 ? group * kOwn : 0);
      float bias[2] = {0, 0};
      if (!kSampled && walk.bias != nullptr) {
#pragma unroll
        for (int h = 0; h < 2; ++h)
          bias[h] = widen(static_cast<const T*>(walk.bias)[row + (threadIdx.x & 31) / 4 + 8 * h]);
      }
      if (step.flags & kEmpty) {
        __syncwarp();  // all lanes have read the step
        if (ptx::elect_lane()) ptx::barrier_arrive(&empty[stage]);
        advance();
        const float zeros[16] = {};
        for (int part = 0; part < kOwn / 32; ++part)
          store_part<T, kTransposed>(zeros, 0, out, walk.ld, row, kAllRows, column + part * 32, walk.columns, bias);
        continue;
      }

      float d[kOwn / 2];
      int reading = -1;  // the stage before this one, whose products may still be running
      for (uint32_t flags = step.flags;; flags = steps[stage].flags) {
        const unsigned char* const at = shared + stage * Shape::kStageBytes;
        const uint64_t a = kMMajor ? ptx::mn_major(at + a_offset, kBlockBytes) : ptx::k_major(at + a_offset);
        const uint64_t b = kNMajor ? ptx::mn_major(at + b_offset, kBlockBytes) : ptx::k_major(at + b_offset);
        ptx::wgmma_fence();
#pragma unroll
        for (int i = 0; i < kSide / 16; ++i)
          ptx::wgmma<T, kMMajor, kNMajor>(d, a + i * (kMMajor ? 128 : 2), b + i * (kNMajor ? 128 : 2),
                                          i > 0 || !(flags & kFirst));
        ptx::wgmma_commit();
        if (flags & kLast) break;
        ptx::wgmma_wait<1>();
        if (reading >= 0 && ptx::elect_lane()) ptx::barrier_arrive(&empty[reading]);
        reading = stage;
        advance();
        ptx::barrier_wait(&full[stage], parity);
      }
      ptx::wgmma_wait<0>();
      ptx::settle(d);
      if (ptx::elect_lane()) {
        if (reading >= 0) ptx::barrier_arrive(&empty[reading]);
        ptx::barrier_arrive(&empty[stage]);
      }
      advance();

#pragma unroll
      for (int part = 0; part < kOwn / 32; ++part) {
        if constexpr (kSampled) {
          const int block = group * (kOwn / kSide) + part / 2;
          if (block >= step.blocks) break;
          const int at = step.column + block, steps_per_tile = walk.steps_per_tile;
          const int64_t to =
              (int64_t{walk.list[at / steps_per_tile]} * steps_per_tile + at % steps_per_tile) * kSide + part % 2 * 32;
          store_part<T, false>(d, part, out, walk.ld, row, kAllRows, to, walk.ld, bias);
        } else {
          store_part<T, kTransposed>(d, part, out, walk.ld, row, kAllRows, column + part * 32, walk.columns, bias);
        }
      }
    }
  }
#endif
}

// A counter of the calling thread's stream, in device memory: zero whenever a kernel begins, since those of a stream
// follow one another and each leaves it so.
unsigned* dealing_counter() {
  static std::mutex lock;
  static std::map<std::pair<int, int64_t>, unsigned*>& made = *new std::map<std::pair<int, int64_t>, unsigned*>;
  int device = 0;
  ESPALIER_CUDA(cudaGetDevice(&device));
  const Stream now = current_stream();
  const std::lock_guard<std::mutex> hold(lock);
  unsigned*& counter = made[{device, now.number}];
  if (counter == nullptr) {
    unsigned* fresh = nullptr;  // stays: not counted as memory in use
    if (cudaMalloc(&fresh, sizeof(unsigned)) == cudaErrorMemoryAllocation) {
      cudaGetLastError();
      empty_cache();
    }
    if (fresh == nullptr) ESPALIER_CUDA(cudaMalloc(&fresh, sizeof(unsigned)));
    ESPALIER_CUDA(cudaMemsetAsync(fresh, 0, sizeof(unsigned), now.handle));
    counter = fresh;
  }
  return counter;
}

template <class T, int kRows, int kColumns, bool kMMajor, bool kNMajor, bool kTransposed, bool kSampled>
void launch(const CUtensorMap& a, const CUtensorMap& b, Walk walk) {
  constexpr int kShared = Tiling<kRows, kColumns>::kSharedBytes;
  const auto kernel = tiles_kernel<T, kRows, kColumns, kMMajor, kNMajor, kTransposed, kSampled>;
  ESPALIER_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kShared));
  int64_t blocks = traits().multiprocessors;
  if (!kSampled) {
    blocks = std::min(blocks, walk.units * ceil_div(walk.columns, kColumns));
    walk.counter = dealing_counter();
  }
  kernel<<<static_cast<unsigned>(blocks), kThreads, kShared, stream()>>>(a, b, walk);
  launched("tiles");
}

template <class T, bool kMMajor, bool kNMajor, bool kTransposed>
void launch_product(const TileTask& task, Walk walk, const CUtensorMap& a, const CUtensorMap& b, int64_t rows,
                    int64_t tile_rows) {
  walk.units = static_cast<int>(rows / kSide);
  walk.per_tile = static_cast<int>(tile_rows / kSide);
  if (tile_rows % 128 == 0 && task.shape.n > 128) {
    walk.units /= 2;
    walk.per_tile /= 2;
    launch<T, 128, 256, kMMajor, kNMajor, kTransposed, false>(a, b, walk);
  } else if (task.shape.n > 256) {
    launch<T, 64, 512, kMMajor, kNMajor, kTransposed, false>(a, b, walk);
  } else {
    launch<T, 64, 128, kMMajor, kNMajor, kTransposed, false>(a, b, walk);
  }
}

template <class T>
bool run(const TileTask& task, espalier_dtype dtype) {
  const auto& [m, k, n, batch_major, tile_rows, tile_columns] = task.shape;
  const TilePlan<const int32_t> plan(task.plan, task.shape);
  // Both operands as they lie in memory.
  struct Matrix {
    int64_t rows, columns;
  };
  const Matrix weight{m, k}, x = batch_major ? Matrix{n, k} : Matrix{k, n},
                             y = batch_major ? Matrix{n, m} : Matrix{m, n};
  const bool sampled = task.product == TileProduct::kWeightGrad, forward = task.product == TileProduct::kForward;
  const Matrix a = sampled ? y : weight, b = task.product == TileProduct::kDataGrad ? y : x;
  const int64_t ld = sampled ? k : batch_major ? (forward ? m : k) : n;
  if (!tensor_mappable(task.a, dtype, a.rows, a.columns, a.columns) ||
      !tensor_mappable(task.b, dtype, b.rows, b.columns, b.columns) ||
      reinterpret_cast<uintptr_t>(task.out) % 16 != 0 || ld % 8 != 0)
    return false;
  const CUtensorMap map_a = tensor_map(task.a, dtype, a.rows, a.columns, a.columns, kSide, kSide);
  const CUtensorMap map_b = tensor_map(task.b, dtype, b.rows, b.columns, b.columns, kSide, kSide);

  Walk walk{};
  walk.columns = n;
  walk.out = task.out;
  walk.ld = ld;
  walk.bias = task.bias;
  switch (task.product) {
    case TileProduct::kForward:
      walk.start = plan.row_start, walk.list = plan.row_columns, walk.order = plan.row_order;
      walk.steps_per_tile = static_cast<int>(tile_columns / kSide);
      if (batch_major) launch_product<T, false, false, true>(task, walk, map_a, map_b, m, tile_rows);
      else launch_product<T, false, true, false>(task, walk, map_a, map_b, m, tile_rows);
      break;
    case TileProduct::kDataGrad:
      walk.start = plan.column_start, walk.list = plan.column_rows, walk.order = plan.column_order;
      walk.steps_per_tile = static_cast<int>(tile_rows / kSide);
      if (batch_major) launch_product<T, true, false, true>(task, walk, map_a, map_b, k, tile_columns);
      else launch_product<T, true, true, false>(task, walk, map_a, map_b, k, tile_columns);
      break;
    case TileProduct::kWeightGrad:
      walk.start = plan.row_start, walk.list = plan.row_columns;
      walk.group = plan.group, walk.groups = plan.groups;
      walk.per_tile = static_cast<int>(tile_rows / kSide), walk.steps_per_tile = static_cast<int>(tile_columns / kSide);
      if (batch_major) launch<T, 64, 512, true, true, false, true>(map_a, map_b, walk);
      else launch<T, 64, 512, false, false, false, true>(map_a, map_b, walk);
      break;
  }
  return true;
}

}  // namespace

bool run_tiles_hopper(const TileTask& task, espalier_dtype dtype) {
  const espalier_cuda_tiles& shape = task.shape;
  constexpr int64_t kMost = int64_t{1} << 30;  // coordinates of copies, and plans, are int32
  if (traits().capability != 90 || shape.tile_rows % kSide != 0 || shape.tile_columns % kSide != 0 ||
      std::max({shape.m, shape.k, shape.n}) > kMost || (shape.m / kSide) * (shape.k / kSide) > kMost)
    return false;
  switch (dtype) {
    case ESPALIER_FLOAT16: return run<__half>(task, dtype);
    case ESPALIER_BFLOAT16: return run<__nv_bfloat16>(task, dtype);
    default: return false;
  }
}

}  // namespace espalier::cuda
