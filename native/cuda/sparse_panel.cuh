// What the unstructured products share: panels of X in shared memory, and lists of elements read by warps.
//
// The arithmetic is small (95% of zeros leave 0.86 GFLOP of 17 where N = 128 and W is 8192²); what costs is that
// every element needs its row of X. From the L2 that is 512 bytes each, 1.7 GB, 0.31 ms. So a block keeps a slice
// of 256 bytes of X's columns, as many rows of it as fit (a panel), and works through the elements of some hundred
// rows of W that fall into them, panel after panel: lists are sorted, so a panel's elements follow the last one's.
//
// What bounds the kernels is how often shared memory and the L1 are asked, 128 bytes a clock: 128 bytes of X are one
// access, and what else an element needs should be far below one. A part of the slice, 128 bytes, is read by a team
// of eight lanes, 16 bytes each, and every team of a warp has a row of W of its own, four of them a quad: sums need no
// adding up over teams and a quarter of the registers, where a row ends another team reads nothing in its place, and
// the lists of four rows are read, written down for the teams and waited for at once. With the slice two parts wide an
// element's place and value are read once for 256 bytes.
//
// The product above takes 0.103 ms on an H200, its gradients 0.128 (of X, the values' way to column order included)
// and 0.140 (of W). The accesses for X's rows alone are 58 µs at 1.75 GHz, 56% of the product's time (52 at 1.97 GHz, a
// clock that a profile there showed). Beside those two, an element of a slice costs (counted, not measured) 0.3
// accesses for the panels to be written, about 0.3 for lists to be read and written down, and up to 0.5 to read them
// back. What was tried there, product, gradient of X, gradient of W in ms:
//   this                                                                              .103 .128 .140
//   four teams to a row of W, their sums added up, 128 bytes, block-wide barriers     .125 .151 .182
//   128 bytes                                                                         .110 .134 .191
//   128 bytes, 1024 threads                                                           .111 .137 .173
//   256 bytes, 1024 threads (gradient of W: 512)                                      .131 .157 .143
//   128 bytes, panels brought by the copy engine                                      .111 .135 .192
//   256 bytes, panels brought by the copy engine                                      .101 .126 .138
// The last gains 1.5%, which is not worth a second way beside the one for chips before Hopper and for X that no tensor
// map describes. At 98% 128 bytes gain 5% for the product (.060 to .063), at 90% they lose 9%.
#pragma once

#include "cuda/core/ptx/barriers.cuh"
#include "cuda/core/ptx/copies.cuh"
#include "cuda/sparse_pattern.cuh"

namespace espalier::cuda::sparse {

constexpr int kPanelThreads = 512;
constexpr int kPanelWarps = kPanelThreads / 32;
constexpr int kTeams = 4, kTeamLanes = 8;  // of a warp: a team reads one row of a panel
constexpr int kPartBytes = 128;            // of a row of X, read by a team at once
constexpr int kQuad = kTeams;              // rows of W that a warp works on at once
constexpr int kPlaces = 32;                // of a row's elements that are read at once, one a lane
constexpr int kNever = 0x7fffffff;         // a column that no panel has

template <class T>
constexpr int kLaneElements = 16 / sizeof(T);
template <class T>
using LanePack = Pack<T, kLaneElements<T>>;
template <class T, int kParts>
constexpr int kSliceColumns = kParts* kPartBytes / static_cast<int>(sizeof(T));

// X, depth×n, in slices of kParts parts, and panels. Two panels are in shared memory at a time, and nobody waits at
// once for all others: each buffer has a barrier `full`, which the copies arrive on, and one `empty`, which a warp
// arrives on when it has read the panel. Panels are counted through all slices of a block: panel p lies in buffer
// p % 2, and is phase p / 2 of both its barriers. A warp queues its share of panel p + 1 in the midst of panel p, when
// the others will have left panel p - 1.
template <class T, int kParts>
struct Panels {
  static constexpr int kRowBytes = kParts * kPartBytes;
  struct Barriers {
    uint64_t full[2], empty[2];
  };
  const T* x;
  int64_t depth, n;
  int rows, count;  // of a panel; panels of a slice
  bool whole;       // whether pieces of 16 bytes can be read at once

  // Panels that fit into shared memory beside `other` bytes, all but the last of the same length.
  Panels(const T* x, int64_t depth, int64_t n, int other)
      : x(x),
        depth(depth),
        n(n),
        whole(reinterpret_cast<uintptr_t>(x) % 16 == 0 && n * static_cast<int64_t>(sizeof(T)) % 16 == 0) {
    const int64_t left = traits().shared_optin - other - static_cast<int>(sizeof(Barriers));
    const int64_t fit = std::max<int64_t>(1, left / 2 / kRowBytes - 1);
    count = static_cast<int>(std::max<int64_t>(1, ceil_div(depth, fit)));
    rows = static_cast<int>(std::max<int64_t>(1, ceil_div(depth, count)));
  }

  // Of shared memory, from its beginning.
  __host__ __device__ int bytes() const { return 2 * buffer_bytes() + static_cast<int>(sizeof(Barriers)); }

  __device__ unsigned char* buffer(unsigned char* shared, int64_t panel) const {
    return shared + (panel & 1) * buffer_bytes();
  }
  // Before anything else; a __syncthreads must follow.
  __device__ void begin(unsigned char* shared) const {
    for (int i = threadIdx.x; i < kRowBytes / 4; i += kPanelThreads)
#pragma unroll
      for (int b = 0; b < 2; ++b) reinterpret_cast<uint32_t*>(buffer(shared, b) + rows * kRowBytes)[i] = 0;
    if (threadIdx.x == 0) {
      Barriers* const b = barriers(shared);
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        ptx::barrier_init(&b->full[i], kPanelThreads);
        ptx::barrier_init(&b->empty[i], kPanelWarps);
      }
      ptx::barrier_init_done();
    }
  }
  // Queues this thread's share of panel `panel`, the `in_slice`th of `slice`, as soon as its buffer is free.
  __device__ void load(unsigned char* shared, int64_t panel, int64_t slice, int in_slice) const {
    if (panel > 1) ptx::test_wait(&barriers(shared)->empty[panel & 1], static_cast<uint32_t>(panel / 2 - 1) & 1);
    constexpr int kPieces = kRowBytes / 16, kStep = kPanelThreads / kPieces;
    const int piece = threadIdx.x % kPieces, begin = threadIdx.x / kPieces;
    const int64_t first = int64_t{in_slice} * rows;
    const int64_t column = slice * kSliceColumns<T, kParts> + piece * kLaneElements<T>;
    const int end = static_cast<int>(min(int64_t{rows}, depth - first));
    unsigned char* to = buffer(shared, panel) + begin * kRowBytes + piece * 16;
    const T* from = x + (first + begin) * n + column;
    uint64_t* const full = &barriers(shared)->full[panel & 1];
    if (whole) {
      const int bytes = static_cast<int>(max(int64_t{0}, min(int64_t{16}, (n - column) * int64_t{sizeof(T)})));
      const int64_t step = bytes > 0 ? kStep * n : 0;
      if (bytes == 0) from = x;
#pragma unroll 4
      for (int row = begin; row < end; row += kStep, to += kStep * kRowBytes, from += step)
        ptx::copy16(to, from, bytes);
      ptx::copy_arrive(full);
    } else {
#pragma unroll 1
      for (int row = begin; row < end; row += kStep, to += kStep * kRowBytes, from += kStep * n)
#pragma unroll
        for (int e = 0; e < kLaneElements<T>; ++e) reinterpret_cast<T*>(to)[e] = column + e < n ? from[e] : T(0.f);
      ptx::barrier_arrive(full);
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
  // A panel and a row of zeros after it, for what pads a list.
  __host__ __device__ int buffer_bytes() const { return (rows + 1) * kRowBytes; }
  __device__ Barriers* barriers(unsigned char* shared) const {
    return reinterpret_cast<Barriers*>(shared + 2 * buffer_bytes());
  }
};

// Of four values, one a row of a quad, that of the lane's row.
__device__ inline int own_of(int first, int second, int third, int fourth) {
  const int team = (threadIdx.x & 31) / kTeamLanes;
  const int low = team & 1 ? second : first, high = team & 1 ? fourth : third;
  return team & 2 ? high : low;
}

// Where the rows of a quad go on and end in their lists.
struct alignas(16) Spans {
  int2 of[kQuad];

  __device__ int own() const { return own_of(of[0].x, of[1].x, of[2].x, of[3].x); }
};

// Up to kPlaces elements of each row of a quad.
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
  __device__ int own() const { return own_of(count[0], count[1], count[2], count[3]); }
};

// The rows of one of the blocks that share all rows of W between them; -1 where there is none. They are dealt by their
// length, the longest to the blocks in turn, then to their warps, there and back, then to the teams: warps must have
// the same work, teams of a warp need not.
struct Share {
  const Lists& lists;
  int64_t blocks, block;

  __device__ int64_t row(int64_t quad, int team) const {
    const int warp = threadIdx.x >> 5;
    const int64_t turn = quad * kQuad + team;
    const int64_t rank = (turn * kPanelWarps + (turn & 1 ? kPanelWarps - 1 - warp : warp)) * blocks + block;
    return rank < lists.count ? lists.order[rank] : -1;
  }
  // Where the lists of the warp's quads begin and end; a __syncwarp must follow.
  template <int kQuads>
  __device__ void write_spans(Spans* spans) const {
    const int lane = threadIdx.x & 31;
    if (lane >= kQuads * kQuad) return;
    const int64_t own = row(lane / kQuad, lane % kQuad);
    spans[lane / kQuad].of[lane % kQuad] =
        own >= 0 ? make_int2(lists.begin(own), lists.begin(own + 1)) : make_int2(0, 0);
  }
};

}  // namespace espalier::cuda::sparse
