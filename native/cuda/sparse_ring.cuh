// What the unstructured products share: panels of X in shared memory, and lists of elements read by warps.
//
// The arithmetic is small (95% of zeros leave 0.86 GFLOP of 17 where N = 128 and W is 8192²); what costs is that
// every element needs its row of X. From the L2 that is 512 bytes each, 1.7 GB, 0.31 ms. So a block keeps a slice
// of X's columns, as many rows of it as fit (a panel), and works through the elements of some hundred rows of W that
// fall into them, panel after panel: lists are sorted, so a panel's elements follow the last one's.
//
// What bounds the kernels is how often shared memory and the L1 are asked, 128 bytes a clock: 128 bytes of X are one
// access, and what else an element needs should be far below one. A row of the slice is read by a team of eight
// lanes, 16 bytes each, and every team of a warp has a row of W of its own, four of them a quad: sums need no adding
// up over teams and a quarter of the registers, where a row ends another team reads nothing in its place, and the
// lists of four rows are read, written down for the teams and waited for at once. Of two slices' width (kParts) an
// element's place and value are read once for 256 bytes; its panels have half the rows.
#pragma once

#include <cstdlib>

#include "cuda/core/tensor_map.h"
#include "cuda/sparse_panel.cuh"

namespace espalier::cuda::sparse {

// TRIAL: which variant runs, 0 the kernels with sparse_panel.cuh alone.
inline int trial_rows() {
  static const int chosen = [] {
    const char* const wanted = std::getenv("ESPALIER_TRIAL_ROWS");
    return wanted != nullptr ? std::atoi(wanted) : 0;
  }();
  return chosen;
}

constexpr int kPartBytes = kSliceBytes;  // of a row of X, read by a team at once
constexpr int kQuad = kTeams;            // rows of W that a warp works on at once
constexpr int kPlaces = 32;              // of a row's elements that are read at once, one a lane
constexpr int kNever = 0x7fffffff;       // a column that no panel has

template <class T, int kParts>
constexpr int kWideColumns = kParts* kSliceColumns<T>;

// X, depth×n, in slices and panels. Two panels are in shared memory at a time, and nobody waits at once for all
// others: each buffer has a barrier `full`, which the copies arrive on, and one `empty`, which a warp arrives on when
// it has read the panel. Panels are counted through all slices of a block: panel p lies in buffer p % 2, and is phase
// p / 2 of both its barriers. A warp queues its share of panel p + 1 in the midst of panel p, when the others will
// have left panel p - 1.
//
// Where kBulk the copy engine brings panels, by boxes of at most 256 rows: one thread queues them.
template <bool kBulk>
struct PanelMap {};
template <>
struct PanelMap<true> {
  CUtensorMap x;
  int boxes, box_rows;  // of a panel; of a box
};

template <class T, int kParts, int kThreads, bool kBulk>
struct Ring {
  static constexpr int kRowBytes = kParts * kPartBytes, kWarps = kThreads / 32;
  struct Barriers {
    uint64_t full[2], empty[2];
  };
  const T* x;
  int64_t depth, n;
  int rows, panels;  // of a panel; of a slice
  bool whole;        // whether pieces of 16 bytes can be read at once
  PanelMap<kBulk> map;

  // A panel and a row of zeros after it, for what pads a list.
  __host__ __device__ int bytes() const { return (rows + 1) * kRowBytes; }
  __host__ __device__ static constexpr int other_bytes() { return sizeof(Barriers); }

  __device__ unsigned char* buffer(unsigned char* shared, int64_t panel) const {
    return shared + (panel & 1) * bytes();
  }
  __device__ Barriers* barriers(unsigned char* shared) const {
    return reinterpret_cast<Barriers*>(shared + 2 * bytes());
  }
  // Before anything else; a __syncthreads must follow.
  __device__ void begin(unsigned char* shared) const {
    for (int i = threadIdx.x; i < kRowBytes / 4; i += kThreads)
#pragma unroll
      for (int b = 0; b < 2; ++b) reinterpret_cast<uint32_t*>(buffer(shared, b) + rows * kRowBytes)[i] = 0;
    if (threadIdx.x == 0) {
      Barriers* const b = barriers(shared);
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        ptx::barrier_init(&b->full[i], kBulk ? 1 : kThreads);
        ptx::barrier_init(&b->empty[i], kWarps);
      }
      ptx::barrier_init_done();
    }
  }
  // Queues this thread's share of panel `panel`, the `part`th of `slice`, as soon as its buffer is free.
  __device__ void load(unsigned char* shared, int64_t panel, int64_t slice, int part) const {
    if constexpr (kBulk) {
      if (threadIdx.x == 0) queue(shared, panel, slice, part);
    } else {
      copy(shared, panel, slice, part);
    }
  }
  // Until panel `panel` is there.
  __device__ void wait(unsigned char* shared, int64_t panel) const {
    ptx::test_wait(&barriers(shared)->full[panel & 1], static_cast<uint32_t>(panel / 2) & 1);
  }
  // The warp has read panel `panel`.
  __device__ void leave(unsigned char* shared, int64_t panel) const {
    __syncwarp();
    if (ptx::elect_lane()) ptx::barrier_arrive(&barriers(shared)->empty[panel & 1]);
  }

 private:
  __device__ void wait_empty(unsigned char* shared, int64_t panel) const {
    if (panel > 1) ptx::test_wait(&barriers(shared)->empty[panel & 1], static_cast<uint32_t>(panel / 2 - 1) & 1);
  }
  __device__ void queue(unsigned char* shared, int64_t panel, int64_t slice, int part) const {
    wait_empty(shared, panel);
    uint64_t* const full = &barriers(shared)->full[panel & 1];
    ptx::barrier_arrive_expect(full, static_cast<uint32_t>(rows * kRowBytes));
    for (int box = 0; box < map.boxes; ++box)
      ptx::load_tile(buffer(shared, panel) + box * map.box_rows * kRowBytes, &map.x, full,
                     static_cast<int>(slice * kWideColumns<T, kParts>), part * rows + box * map.box_rows);
  }
  __device__ void copy(unsigned char* shared, int64_t panel, int64_t slice, int part) const {
    wait_empty(shared, panel);
    constexpr int kPieces = kRowBytes / 16, kStep = kThreads / kPieces;
    const int piece = threadIdx.x % kPieces, begin = threadIdx.x / kPieces;
    const int64_t first = int64_t{part} * rows, column = slice * kWideColumns<T, kParts> + piece * kLaneElements<T>;
    const int count = static_cast<int>(min(int64_t{rows}, depth - first));
    unsigned char* to = buffer(shared, panel) + begin * kRowBytes + piece * 16;
    const T* from = x + (first + begin) * n + column;
    uint64_t* const full = &barriers(shared)->full[panel & 1];
    if (whole) {
      const int bytes = static_cast<int>(max(int64_t{0}, min(int64_t{16}, (n - column) * int64_t{sizeof(T)})));
      const int64_t step = bytes > 0 ? kStep * n : 0;
      if (bytes == 0) from = x;
#pragma unroll(kThreads > 512 ? 1 : 4)
      for (int row = begin; row < count; row += kStep, to += kStep * kRowBytes, from += step)
        ptx::copy16(to, from, bytes);
      ptx::copy_arrive(full);
    } else {
#pragma unroll 1
      for (int row = begin; row < count; row += kStep, to += kStep * kRowBytes, from += kStep * n)
#pragma unroll
        for (int e = 0; e < kLaneElements<T>; ++e) reinterpret_cast<T*>(to)[e] = column + e < n ? from[e] : T(0.f);
      ptx::barrier_arrive(full);
    }
  }
};

// Panels that fit into shared memory beside `other` bytes, all but the last of the same length.
template <class T, int kParts, int kThreads, bool kBulk>
Ring<T, kParts, kThreads, kBulk> ring_of(const T* x, int64_t depth, int64_t n, int other) {
  using R = Ring<T, kParts, kThreads, kBulk>;
  const int64_t fit = std::max<int64_t>(1, (traits().shared_optin - other - R::other_bytes()) / 2 / R::kRowBytes - 1);
  R ring{x, depth, n, 0, 0, reinterpret_cast<uintptr_t>(x) % 16 == 0 && n * static_cast<int64_t>(sizeof(T)) % 16 == 0,
         {}};
  for (int64_t panels = std::max<int64_t>(1, ceil_div(depth, fit));; ++panels) {
    int64_t rows = std::max<int64_t>(1, ceil_div(depth, panels));
    if constexpr (kBulk) {
      const int64_t boxes = ceil_div(rows, 256), box_rows = ceil_div(rows, boxes);
      rows = boxes * box_rows;
      ring.map.boxes = static_cast<int>(boxes);
      ring.map.box_rows = static_cast<int>(box_rows);
    }
    if (rows > fit) continue;
    ring.rows = static_cast<int>(rows);
    ring.panels = static_cast<int>(panels);
    break;
  }
  if constexpr (kBulk)
    ring.map.x = tensor_map(x, dtype_of<T>(), depth, n, n, ring.map.box_rows, kWideColumns<T, kParts>, Swizzle::kNone);
  return ring;
}
// Whether the copy engine can bring panels.
template <class T>
bool bulk_panels(const T* x, int64_t depth, int64_t n) {
  return traits().capability >= 90 && tensor_mappable(x, dtype_of<T>(), depth, n, n);
}

// Where the rows of a quad go on and end in their lists.
struct alignas(16) Spans {
  int2 of[kQuad];

  // Of the lane's row.
  __device__ int own() const {
    const int team = (threadIdx.x & 31) / kTeamLanes;
    const int low = team & 1 ? of[1].x : of[0].x, high = team & 1 ? of[3].x : of[2].x;
    return team & 2 ? high : low;
  }
};

// Up to 32 elements of each row of a quad.
struct QuadChunk {
  int32_t index[kQuad];
  int count[kQuad];

  // The lane's elements, whether or not they belong here.
  __device__ void read(const int32_t* list, const Spans& spans) {
    const int lane = threadIdx.x & 31;
#pragma unroll
    for (int j = 0; j < kQuad; ++j) {
      const int32_t at = spans.of[j].x + lane;
      index[j] = at < spans.of[j].y ? list[at] : kNever;
    }
  }
  // Keeps those before `end`; where a row has kPlaces of them there may be more.
  __device__ bool cut(int32_t end) {
    bool more = false;
#pragma unroll
    for (int j = 0; j < kQuad; ++j) {
      count[j] = __popc(__ballot_sync(0xffffffffu, index[j] < end));
      more = more || count[j] == kPlaces;
    }
    return more;
  }
  // Of the lane's row.
  __device__ int own() const {
    const int team = (threadIdx.x & 31) / kTeamLanes;
    const int low = team & 1 ? count[1] : count[0], high = team & 1 ? count[3] : count[2];
    return team & 2 ? high : low;
  }
};

// Rows are dealt by their length, the longest to the blocks in turn, then to their warps, there and back, then to the
// teams: warps must have the same work, teams of a warp need not.
__device__ inline int64_t row_of(const Lists& lists, int64_t quad, int64_t blocks, int64_t block, int warps, int warp,
                                 int team) {
  const int64_t turn = quad * kQuad + team;
  const int64_t rank = (turn * warps + (turn & 1 ? warps - 1 - warp : warp)) * blocks + block;
  return rank < lists.count ? lists.order[rank] : -1;
}

}  // namespace espalier::cuda::sparse
