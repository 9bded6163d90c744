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
// X, a slab, so that X comes from device memory once. Tiles of 128 rows need half as much. A result is stored while
// the copies of the next three steps are under way; since those are what is waited for, storing costs nothing more.
//
// What is lost beside: on an H200, 8192³ with a tenth of the tiles of 64×64, a multiprocessor had work for 90% of the
// time. 2048 items over 132 blocks are 15 or 16 to each, of unequal length. So items are not dealt out before, but
// taken: a block's producer asks a counter for its next item when it nears the end of the one at hand. Rows come
// longest first in each slab, and the last two slabs are dealt as one, first the longest row of both, so that short
// items even out the end. (A count over random masks of this size, a step and a store as long each: dealt out in
// turns, one slab from the longest row and one from the shortest, the slowest block takes 6.3% longer than the mean;
// taken, 1.6%; with the last two slabs as one, 1.1%; three or four slabs, or halves of items at the end, no better.
// Groups of a weight gradient, two to a block: dealt out 37% longer, taken 29%, taken by size 14%.)
//
// The counter ends every launch at zero, without anyone's clearing it: of n items, blocks begin with one each and
// ask until they are told of one past the end, each the same once, so that there are n questions, whatever the
// order; and atomicInc(counter, n − 1) is back at zero after n.
#include <algorithm>
#include <cstdlib>
#include <map>
#include <mutex>
#include <utility>

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
  // How the work is dealt.
  unsigned* counter;  // zero before and after every launch; null: TRIAL, item i goes to block i modulo their number
  int merged;         // so many slabs at the end are dealt as one
  int ahead;          // so many steps before an item's end the next is looked for
  bool keep_a, stream_out, early;  // TRIAL
};

// TRIAL: W is kept in the L2 where what the mask keeps of it takes no more: a third of an H200's.
[[maybe_unused]] constexpr int64_t kKeptBytes = int64_t{16} << 20;

// What a stage of the pipeline holds beside data.
struct Step {
  int32_t row, column;  // where the block's result goes; the weight gradient: its first entry in list
  int32_t blocks;       // the weight gradient: how many blocks of columns
  uint32_t flags;
};
[[maybe_unused]] constexpr uint32_t kFirst = 1, kLast = 2, kEmpty = 4, kStop = 8;

// What the first block of a cluster tells the other of the dealing: an item, and that it is there.
struct Told {
  uint64_t barrier;
  uint32_t item, unused;
};
constexpr int kTold = 8;
// The next item is looked for in so many steps before the end of the one at hand: see `look`.
constexpr int kLooksAhead = 5;

template <int kRows, int kColumns>
struct Tiling {
  static constexpr int kABlocks = kRows / kSide, kBBlocks = kColumns / kSide;
  static constexpr int kStageBytes = (kABlocks + kBBlocks) * kBlockBytes;
  static constexpr int kStages = std::min(8, (227 * 1024 - 2048) / kStageBytes);
  static constexpr int kSharedBytes = 1024 + kStages * (kStageBytes + 16 + sizeof(Step)) + kTold * sizeof(Told);
};

// kTransposed: the result is stored with its rows along memory. kSampled: the weight gradient.
template <class T, int kRows, int kColumns, int kCluster, bool kMMajor, bool kNMajor, bool kTransposed, bool kSampled>
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
  [[maybe_unused]] Told* const told = reinterpret_cast<Told*>(steps + kStages);
  static_assert(kCluster == 1 || kTold >= kStages + 2);  // see `look`

  if (threadIdx.x == 0) {
    for (int i = 0; i < kStages; ++i) {
      ptx::barrier_init(&full[i], 1);
      ptx::barrier_init(&empty[i], kCluster * kConsumerWarps);
    }
    if constexpr (kCluster > 1)
      for (int i = 0; i < kTold; ++i) ptx::barrier_init(&told[i].barrier, 1);
    ptx::barrier_init_done();
  }
  __syncthreads();
  const uint32_t rank = kCluster == 1 ? 0 : ptx::cluster_rank();
  if constexpr (kCluster > 1) ptx::cluster_meet();  // the other block's barriers are there
  // By whole warps, all of whose lanes are done with a stage.
  const auto release = [&](int of) {
    if constexpr (kCluster == 1) {
      if (ptx::elect_lane()) ptx::barrier_arrive(&empty[of]);
    } else {
      const uint32_t lane = threadIdx.x & 31;
      if (lane < kCluster) ptx::barrier_arrive_at(&empty[of], lane);
    }
  };

  int stage = 0;
  uint32_t parity = 0;
  const auto advance = [&] {
    if (++stage == kStages) stage = 0, parity ^= 1;
  };

  if (threadIdx.x < 128) {
    ptx::lower_registers<64>();
    if (threadIdx.x == 0) {
      // TRIAL: every slab reads all of W; between, as much of X and of the result passes through the L2.
      bool keep = walk.keep_a;
      if (keep)
        keep = int64_t{walk.start[walk.units / walk.per_tile]} * walk.per_tile * walk.steps_per_tile *
                   (kRows * kSide * 2) <=
               kKeptBytes;
      const uint64_t keep_a = ptx::keep_policy(keep ? ptx::Keep::kLong : ptx::Keep::kNormal);
      const uint64_t keep_b = ptx::keep_policy(ptx::Keep::kNormal);
      // One step: waits for room, says what it is, has both operands brought.
      const auto put = [&](const Step& step, int a_row, int slice, auto b_at, int b_blocks) {
        ptx::barrier_wait(&empty[stage], parity ^ 1);
        steps[stage] = step;
        const bool data = !(step.flags & (kEmpty | kStop));
        ptx::barrier_arrive_expect(&full[stage], data ? (Shape::kABlocks + b_blocks) * kBlockBytes : 0);
        if (data) {
          unsigned char* to = shared + stage * Shape::kStageBytes;
          if constexpr (kCluster == 1) {
            for (int i = 0; i < Shape::kABlocks; ++i) {
              const int at = a_row + i * kSide;
              ptx::load_tile(to + i * kBlockBytes, &map_a, &full[stage], kMMajor ? at : slice, kMMajor ? slice : at,
                             keep_a);
            }
          } else if constexpr (Shape::kABlocks == 2) {  // one of W's blocks each, for both
            const int at = a_row + static_cast<int>(rank) * kSide;
            ptx::load_tile_multicast(to + rank * kBlockBytes, &map_a, &full[stage], kMMajor ? at : slice,
                                     kMMajor ? slice : at, 3, keep_a);
          } else {  // half of the rows of W's block each, for both
            const int half = static_cast<int>(rank) * (kSide / 2);
            ptx::load_tile_multicast(to + rank * (kBlockBytes / 2), &map_a, &full[stage], kMMajor ? a_row : slice,
                                     (kMMajor ? slice : a_row) + half, 3, keep_a);
          }
          to += Shape::kABlocks * kBlockBytes;
          for (int i = 0; i < b_blocks; ++i, to += kBlockBytes) {
            const int at = b_at(i);
            ptx::load_tile(to, &map_b, &full[stage], kNMajor ? at : slice, kNMajor ? slice : at, keep_b);
          }
        }
        advance();
      };
      const auto nowhere = [](int) { return 0; };

      if constexpr (kSampled) {
        const int slices = static_cast<int>((walk.columns + kSide - 1) / kSide);
        const int items = *walk.groups * walk.per_tile, dealt = min(static_cast<int>(gridDim.x), items);
        for (int item = blockIdx.x, next; item < items; item = next) {
          next = item + static_cast<int>(gridDim.x);
          const int32_t* const group = walk.group + 2 * (item / walk.per_tile);
          const int tile = group[0], first = walk.start[tile];
          const int blocks = (walk.start[tile + 1] - first) * walk.steps_per_tile;
          const int parts = (blocks + kSampledBlocks - 1) / kSampledBlocks;
          const int from = group[1] * (blocks / parts) + min(group[1], blocks % parts);
          const int count = blocks / parts + (group[1] < blocks % parts);
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
            if (slice + 1 == slices && walk.counter != nullptr)
              next = dealt + static_cast<int>(atomicInc(walk.counter, static_cast<unsigned>(items) - 1));
            ptx::barrier_wait(&empty[stage], parity ^ 1);
            steps[stage] = {row, first * walk.steps_per_tile + from, count, flags};
            ptx::barrier_arrive_expect(&full[stage], (1 + count) * kBlockBytes);
            unsigned char* const to = shared + stage * Shape::kStageBytes;
            const int at = slice * kSide;
            ptx::load_tile(to, &map_a, &full[stage], kMMajor ? row : at, kMMajor ? at : row, keep_a);
#pragma unroll
            for (int i = 0; i < kSampledBlocks; ++i)
              if (i < count)
                ptx::load_tile(to + (1 + i) * kBlockBytes, &map_b, &full[stage], kNMajor ? column[i] : at,
                               kNMajor ? at : column[i], keep_b);
            advance();
          }
        }
      } else {
        const int slabs = static_cast<int>((walk.columns + kCluster * kColumns - 1) / (kCluster * kColumns));
        const unsigned items = static_cast<unsigned>(slabs) * static_cast<unsigned>(walk.units);
        const unsigned clusters = gridDim.x / kCluster;
        const unsigned one_by_one = items - static_cast<unsigned>(walk.merged * walk.units);
        // The next item. What it is takes four reads that each need the one before: `look` does one at a time,
        // before each of the last steps of the item at hand, so that they arrive while those wait for room. Asking
        // earlier would take items before it is known who will be done first.
        //
        // Of a cluster the first block asks, and tells the other. Both put the same steps in the same order, and tell
        // or hear at the same step p. Neither waits for ever: let q ≤ p be where the block stands that is behind. All
        // steps before q are put by both, so that the consumers of both get past q − 2 (they give a step back when
        // the next is there), and put q waits for the release of step q − kStages ≤ q − 2 only: that block comes to
        // p, and if it is the first one, tells. Nor is a word overwritten unread: a put waits for the consumers of
        // both blocks to release the step kStages before, so that the first block is at most kStages steps, and
        // as an item has at least one, kStages items ahead of the other, plus the one it looks for.
        constexpr int kLooks = 5;
        unsigned item = blockIdx.x / kCluster;
        int looked = 2, tile = 0, row = 0, column = 0, first = 0, last = 0, entry = 0;
        [[maybe_unused]] uint32_t dealt = 0;  // how many items the cluster's blocks have told each other of
        const auto look = [&] {
          switch (looked++) {
            case 0:
              if (walk.counter == nullptr) item += clusters;
              else if (rank == 0) item = clusters + atomicInc(walk.counter, items - 1);
              if (kCluster == 1) ++looked;
              break;
            case 1:
              if (kCluster > 1 && walk.counter != nullptr) {
                Told& slot = told[dealt % kTold];
                if (rank == 0) {
                  ptx::barrier_tell(&slot.barrier, &slot.item, item, 1);
                } else {
                  ptx::barrier_hear(&slot.barrier, dealt / kTold & 1);
                  item = *static_cast<volatile uint32_t*>(&slot.item);
                }
                ++dealt;
              }
              break;
            case 2:
              if (item < items) {
                int slab, unit;
                if (item < one_by_one) {
                  slab = static_cast<int>(item / walk.units), unit = static_cast<int>(item % walk.units);
                  if (walk.counter == nullptr && slab % 2 != 0) unit = walk.units - 1 - unit;
                } else {
                  const unsigned rest = item - one_by_one;
                  slab = slabs - walk.merged + static_cast<int>(rest % walk.merged);
                  unit = static_cast<int>(rest / walk.merged);
                }
                tile = walk.order[unit / walk.per_tile];
                row = unit % walk.per_tile * kRows;
                column = (slab * kCluster + static_cast<int>(rank)) * kColumns;
              }
              break;
            case 3:
              if (item < items) {
                row += tile * walk.per_tile * kRows;
                first = walk.start[tile], last = walk.start[tile + 1];
              }
              break;
            default:
              if (item < items && first < last) entry = walk.list[first];
          }
        };
        for (;;) {
          while (looked < kLooks) look();
          if (item >= items) break;
          const int at_row = row, at_column = column, end = last, own = static_cast<int>(walk.columns) - column;
          const int b_blocks = max(0, min(Shape::kBBlocks, (own + kSide - 1) / kSide));
          int left = (last - first) * walk.steps_per_tile;
          looked = 0;
          if (left == 0) {
            if (walk.ahead > 0) look();
            put({at_row, at_column, 0, kFirst | kLast | kEmpty}, 0, 0, nowhere, 0);
            continue;
          }
          uint32_t flags = kFirst;
          int next = entry;
          for (int i = first; i < end; ++i) {
            const int slice = next * walk.steps_per_tile;
            if (i + 1 < end) next = walk.list[i + 1];  // arrives while this one's copies are queued
            for (int part = 0; part < walk.steps_per_tile; ++part) {
              if (left <= walk.ahead && looked < kLooks) look();
              if (--left == 0) flags |= kLast;
              put(
                  {at_row, at_column, 0, flags}, at_row, (slice + part) * kSide,
                  [&](int block) { return at_column + block * kSide; }, b_blocks);
              flags = 0;
            }
          }
        }
      }
      put({0, 0, 0, kStop}, 0, 0, nowhere, 0);
    }
  } else {
    ptx::raise_registers<224>();
    const int group = threadIdx.x / 128 - 1, warp = threadIdx.x / 32 % 4;
    const uint32_t a_offset = Shape::kABlocks == 2 ? group * kBlockBytes : 0;
    const uint32_t b_offset =
        Shape::kABlocks * kBlockBytes + (Shape::kABlocks == 1 ? group * (kOwn / kSide) * kBlockBytes : 0);
    T* const out = static_cast<T*>(walk.out);
    const auto store = [policy = ptx::keep_policy(walk.stream_out ? ptx::Keep::kFirstOut : ptx::Keep::kNormal)](
                           void* to, uint4 value) { ptx::store16(to, value, policy); };
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
        release(stage);
        advance();
        const float zeros[16] = {};
        for (int part = 0; part < kOwn / 32; ++part)
          store_part<T, kTransposed>(zeros, 0, out, walk.ld, row, kAllRows, column + part * 32, walk.columns, bias,
                                     store);
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
        if (reading >= 0) release(reading);
        reading = stage;
        advance();
        // Where data is waited for, this stage's products end meanwhile: their room is then free for copies.
        if (walk.early && !__all_sync(0xffffffffu, ptx::barrier_passed_now(&full[stage], parity))) {
          ptx::wgmma_wait<0>();
          release(reading);
          reading = -1;
        }
        ptx::barrier_wait(&full[stage], parity);
      }
      ptx::wgmma_wait<0>();
      ptx::settle(d);
      if (reading >= 0) release(reading);
      release(stage);
      advance();

#pragma unroll
      for (int part = 0; part < kOwn / 32; ++part) {
        if constexpr (kSampled) {
          const int block = group * (kOwn / kSide) + part / 2;
          if (block >= step.blocks) break;
          const int at = step.column + block, steps_per_tile = walk.steps_per_tile;
          const int64_t to =
              (int64_t{walk.list[at / steps_per_tile]} * steps_per_tile + at % steps_per_tile) * kSide + part % 2 * 32;
          store_part<T, false>(d, part, out, walk.ld, row, kAllRows, to, walk.ld, bias, store);
        } else {
          store_part<T, kTransposed>(d, part, out, walk.ld, row, kAllRows, column + part * 32, walk.columns, bias,
                                     store);
        }
      }
    }
  }
  if constexpr (kCluster > 1) {  // the other block may still reach into this one
    __syncwarp();                // the producer's lanes come together
    ptx::cluster_meet();
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
    ESPALIER_CUDA(cudaMalloc(&fresh, sizeof(unsigned)));
    ESPALIER_CUDA(cudaMemsetAsync(fresh, 0, sizeof(unsigned), now.handle));
    counter = fresh;
  }
  return counter;
}

template <class T, int kRows, int kColumns, int kCluster, bool kMMajor, bool kNMajor, bool kTransposed, bool kSampled>
void launch(const CUtensorMap& a, const CUtensorMap& b, Walk walk) {
  constexpr int kShared = Tiling<kRows, kColumns>::kSharedBytes;
  const auto kernel = tiles_kernel<T, kRows, kColumns, kCluster, kMMajor, kNMajor, kTransposed, kSampled>;
  ESPALIER_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kShared));
  const int64_t slabs = ceil_div(walk.columns, kCluster * kColumns);
  const int tries = tiles_trial();
  walk.counter = tries & kTryDealing ? dealing_counter() : nullptr;
  walk.ahead = tries & kTryDealing ? kLooksAhead : 0;
  walk.merged = tries & kTryMerging ? static_cast<int>(std::min<int64_t>(slabs, 2)) : 0;
  walk.stream_out = tries & kTryStreaming;
  walk.early = tries & kTryEarly;
  walk.keep_a = (tries & kTryKeeping) && !kSampled;
  int64_t clusters = traits().multiprocessors / kCluster;
  if (!kSampled) clusters = std::min(clusters, walk.units * slabs);
  cudaLaunchAttribute cluster;
  cluster.id = cudaLaunchAttributeClusterDimension;
  cluster.val.clusterDim.x = kCluster, cluster.val.clusterDim.y = cluster.val.clusterDim.z = 1;
  cudaLaunchConfig_t how{};
  how.gridDim = dim3(static_cast<unsigned>(clusters * kCluster));
  how.blockDim = dim3(kThreads);
  how.dynamicSmemBytes = kShared;
  how.stream = stream();
  how.attrs = &cluster, how.numAttrs = kCluster > 1;
  check(cudaLaunchKernelEx(&how, kernel, a, b, walk), "tiles");
}

// A as the copy engine reads it: in blocks, or in halves of their rows.
struct MapsOfA {
  CUtensorMap blocks, halves;
};

template <class T, bool kMMajor, bool kNMajor, bool kTransposed>
void launch_product(const TileTask& task, Walk walk, const MapsOfA& a, const CUtensorMap& b, int64_t rows,
                    int64_t tile_rows) {
  walk.units = static_cast<int>(rows / kSide);
  walk.per_tile = static_cast<int>(tile_rows / kSide);
  const int64_t n = task.shape.n;
  const bool clusters = tiles_trial() & kTryClusters;
  if (tile_rows % 128 == 0 && n > 128) {
    walk.units /= 2;
    walk.per_tile /= 2;
    if (clusters && n > 256) launch<T, 128, 256, 2, kMMajor, kNMajor, kTransposed, false>(a.blocks, b, walk);
    else launch<T, 128, 256, 1, kMMajor, kNMajor, kTransposed, false>(a.blocks, b, walk);
  } else if (clusters && n > 512) {
    launch<T, 64, 512, 2, kMMajor, kNMajor, kTransposed, false>(a.halves, b, walk);
  } else if (n > 256) {
    launch<T, 64, 512, 1, kMMajor, kNMajor, kTransposed, false>(a.blocks, b, walk);
  } else {
    launch<T, 64, 128, 1, kMMajor, kNMajor, kTransposed, false>(a.blocks, b, walk);
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
  const MapsOfA map_a{tensor_map(task.a, dtype, a.rows, a.columns, a.columns, kSide, kSide),
                      tensor_map(task.a, dtype, a.rows, a.columns, a.columns, kSide / 2, kSide)};
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
      if (batch_major) launch<T, 64, 512, 1, true, true, false, true>(map_a.blocks, map_b, walk);
      else launch<T, 64, 512, 1, false, false, false, true>(map_a.blocks, map_b, walk);
      break;
  }
  return true;
}

}  // namespace

int tiles_trial() {
  static const int chosen = [] {
    const char* const text = std::getenv("ESPALIER_TRIAL_TILES");
    return text == nullptr ? 0 : std::atoi(text);
  }();
  return chosen;
}

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
