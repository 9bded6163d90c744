// What the unstructured products share: panels of X in shared memory, and lists of elements read by warps.
//
// The arithmetic is small (95% of zeros leave 0.86 GFLOP of 17 where N = 128 and W is 8192²); what costs is that
// every element needs its row of X. From the L2 that is 512 bytes each, 1.7 GB, 0.31 ms. So a block keeps a slice
// of 128 bytes of X's columns, as many rows of it as fit (a panel), and works through the elements of some hundred
// rows of W that fall into them, panel after panel: lists are sorted, so a panel's elements follow the last one's.
// A row of the slice is read by eight lanes, 16 bytes each, and a warp reads four at once without bank conflicts:
// 128 bytes a clock, which bounds the kernel (58 µs of the above).
#pragma once

#include "cuda/core/ptx.cuh"
#include "cuda/sparse_pattern.cuh"

namespace espalier::cuda::sparse {

constexpr int kSliceBytes = 128;  // of a row of X
constexpr int kPanelThreads = 512;
constexpr int kPanelWarps = kPanelThreads / 32;
constexpr int kTeams = 4, kTeamLanes = 8;  // of a warp: a team reads one row of a panel

template <class T>
constexpr int kLaneElements = 16 / sizeof(T);
template <class T>
constexpr int kSliceColumns = kSliceBytes / sizeof(T);

template <class T>
using LanePack = Pack<T, kLaneElements<T>>;

// X, depth×n, in slices and panels.
template <class T>
struct Panels {
  const T* x;
  int64_t depth, n;
  int rows;    // of a panel
  bool whole;  // whether pieces of 16 bytes can be read at once

  // A panel and a row of zeros after it, for what pads a list.
  __host__ __device__ int bytes() const { return (rows + 1) * kSliceBytes; }

  __device__ void zero_last(unsigned char* shared) const {
    if (threadIdx.x < kSliceBytes / 4) reinterpret_cast<uint32_t*>(shared + rows * kSliceBytes)[threadIdx.x] = 0;
  }
  // Queues the copy of the panel of `slice` that begins at `first`; to be waited for by copy_wait and a barrier.
  __device__ void load(unsigned char* shared, int64_t slice, int64_t first) const {
    const int count = static_cast<int>(min(int64_t{rows}, depth - first));
    const int64_t column = slice * kSliceColumns<T> + threadIdx.x % 8 * kLaneElements<T>;
    for (int row = threadIdx.x / 8; row < count; row += kPanelThreads / 8) {
      unsigned char* const to = shared + row * kSliceBytes + threadIdx.x % 8 * 16;
      const T* const from = x + (first + row) * n + column;
      if (whole) {
        const int64_t left = (n - column) * static_cast<int64_t>(sizeof(T));
        ptx::copy16(to, left > 0 ? from : x, static_cast<int>(max(int64_t{0}, min(int64_t{16}, left))));
      } else {
#pragma unroll
        for (int e = 0; e < kLaneElements<T>; ++e) reinterpret_cast<T*>(to)[e] = column + e < n ? from[e] : T(0.f);
      }
    }
    ptx::copy_commit();
  }
};

// Up to 64 elements of a list, two a lane: those of a panel from `at` on. `count` of them are there; where they are
// fewer than kMost, the panel's, or the list's, end comes next. Element l belongs to team l % 4. (32 at a time would
// leave little to do between two reads: at 95% of zeros a row has 44 elements in a panel.)
struct Chunk {
  static constexpr int kReads = 2, kMost = 32 * kReads;
  // The places of a team's elements in shared memory lie next to each other, teams so far apart that there are no
  // bank conflicts.
  static constexpr int kTeamPitch = kMost / kTeams + 4, kPlaces = kTeams * kTeamPitch;
  int32_t index[kReads];
  bool inside[kReads];
  int count;

  // The lane's elements, whether or not they belong here.
  __device__ void read(const int32_t* list, int32_t at, int32_t end) {
#pragma unroll
    for (int r = 0; r < kReads; ++r) {
      const int32_t i = at + static_cast<int32_t>(threadIdx.x & 31) + 32 * r;
      inside[r] = i < end;
      index[r] = inside[r] ? list[i] : 0;
    }
  }
  __device__ void cut(int64_t panel_end) {
    count = 0;
#pragma unroll
    for (int r = 0; r < kReads; ++r) {
      inside[r] = inside[r] && index[r] < panel_end;
      count += __popc(__ballot_sync(0xffffffffu, inside[r]));
    }
  }
  // Where the lane's element r goes.
  __device__ static int place(int r) {
    const int lane = threadIdx.x & 31;
    return lane % kTeams * kTeamPitch + lane / kTeams + 8 * r;
  }
};

// How many rows of X fit into a panel of which there are two, beside `other` bytes.
template <class T>
Panels<T> panels_of(const T* x, int64_t depth, int64_t n, int other) {
  const int64_t most = (traits().shared_optin - other) / 2 / kSliceBytes - 1;
  return {x, depth, n, static_cast<int>(std::max<int64_t>(1, std::min(most, depth))),
          reinterpret_cast<uintptr_t>(x) % 16 == 0 && n * static_cast<int64_t>(sizeof(T)) % 16 == 0};
}

}  // namespace espalier::cuda::sparse
