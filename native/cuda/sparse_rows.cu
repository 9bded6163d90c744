// Unstructured sparse times dense.
#include "cuda/sparse_ring.cuh"

namespace espalier::cuda {
namespace {

using namespace sparse;

template <class T>
struct Entry {
  uint32_t offset;  // of the row in the panel
  wide_t<T> value;
};

template <class T>
struct RowsTask {
  Lists lists;
  const T* values;
  Panels<T> panels;
  const T* bias;
  T* y;
  int64_t blocks;  // that share a slice
};

template <class T, int kRows>
constexpr int kRowsShared = kPanelWarps*(Chunk::kPlaces* static_cast<int>(sizeof(Entry<T>)) +
                                         kRows * static_cast<int>(sizeof(int2)));

// A warp computes kRows rows of a slice. Rows are dealt by their length: the longest to the blocks in turn, then to
// their warps.
template <class T, int kRows>
__global__ void __launch_bounds__(kPanelThreads, 1) rows_kernel(const RowsTask<T> task) {
  using W = wide_t<T>;
  constexpr int kOwn = kLaneElements<T>;
  extern __shared__ __align__(128) unsigned char shared[];
  const Panels<T>& panels = task.panels;
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, team = lane / kTeamLanes;
  const int64_t slice = blockIdx.x / task.blocks, block = blockIdx.x % task.blocks;
  Entry<T>* const entries = reinterpret_cast<Entry<T>*>(shared + 2 * panels.bytes()) + warp * Chunk::kPlaces;
  int2* const spans =
      reinterpret_cast<int2*>(shared + 2 * panels.bytes() + kPanelWarps * Chunk::kPlaces * sizeof(Entry<T>)) +
      warp * kRows;
  const auto row_of = [&](int r) -> int64_t {
    const int64_t rank = (int64_t{r} * kPanelWarps + warp) * task.blocks + block;
    return rank < task.lists.count ? task.lists.order[rank] : -1;
  };

  panels.zero_last(shared);
  panels.zero_last(shared + panels.bytes());
  panels.load(shared, slice, 0);
  if (lane < kRows) {
    const int64_t row = row_of(lane);
    spans[lane] = row >= 0 ? make_int2(task.lists.begin(row), task.lists.begin(row + 1)) : make_int2(0, 0);
  }
  __syncwarp();

  static_assert(kRows > 1);  // a row's span is written by one lane and read by all when its turn comes again
  W sum[kRows][kOwn] = {};
  int2 span = spans[0];
  Chunk chunk;
  W value[Chunk::kReads];
  const auto read = [&] {
    chunk.read(task.lists.index, span.x, span.y);
#pragma unroll
    for (int i = 0; i < Chunk::kReads; ++i)
      value[i] = chunk.inside[i] ? widen(task.values[span.x + lane + 32 * i]) : W(0);
  };
  read();

  int buffer = 0;
  for (int64_t first = 0; first < panels.depth; first += panels.rows, buffer ^= 1) {
    ptx::copy_wait<0>();
    __syncthreads();  // this panel is there, and nobody reads the other buffer any more
    if (first + panels.rows < panels.depth)
      panels.load(shared + (buffer ^ 1) * panels.bytes(), slice, first + panels.rows);
    const unsigned char* const panel = shared + buffer * panels.bytes() + lane % kTeamLanes * 16;

#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      for (;;) {
        chunk.cut(first + panels.rows);
        __syncwarp();  // the last chunk's entries were read
#pragma unroll
        for (int i = 0; i < Chunk::kReads; ++i)
          entries[Chunk::place(i)] = {
              static_cast<uint32_t>(chunk.inside[i] ? chunk.index[i] - first : panels.rows) * kSliceBytes,
              chunk.inside[i] ? value[i] : W(0)};
        __syncwarp();
        // The next chunk's elements arrive while this one's are multiplied.
        const int count = chunk.count;
        span.x += count;
        if (count < Chunk::kMost) {
          if (lane == 0) spans[r].x = span.x;
          span = spans[(r + 1) % kRows];
        }
        read();

#pragma unroll 2
        for (int i = 0; i * kTeams < count; i += 2) {
          const Pack<Entry<T>, 2> pair =
              *reinterpret_cast<const Pack<Entry<T>, 2>*>(entries + team * Chunk::kTeamPitch + i);
#pragma unroll
          for (int p = 0; p < 2; ++p) {
            const LanePack<T> x = *reinterpret_cast<const LanePack<T>*>(panel + pair.at[p].offset);
#pragma unroll
            for (int e = 0; e < kOwn; ++e) sum[r][e] += pair.at[p].value * widen(x.at[e]);
          }
        }
        if (count < Chunk::kMost) break;
      }
    }
  }

  // The teams' sums, and the result.
  const int64_t n = panels.n, column = slice * kSliceColumns<T> + lane % kTeamLanes * kOwn;
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    LanePack<T> out;
    const int64_t row = row_of(r);
    const W bias = task.bias != nullptr && row >= 0 ? widen(task.bias[row]) : W(0);
#pragma unroll
    for (int e = 0; e < kOwn; ++e) {
      W all = sum[r][e];
      all += __shfl_xor_sync(0xffffffffu, all, 8);
      all += __shfl_xor_sync(0xffffffffu, all, 16);
      out.at[e] = narrow<T>(all + bias);
    }
    if (row < 0 || team != 0) continue;
    T* const to = task.y + row * n + column;
    if (panels.whole && reinterpret_cast<uintptr_t>(task.y) % 16 == 0) {
      if (column < n) *reinterpret_cast<LanePack<T>*>(to) = out;
    } else {
#pragma unroll
      for (int e = 0; e < kOwn; ++e)
        if (column + e < n) to[e] = out.at[e];
    }
  }
}

template <class T, int kParts, int kThreads, bool kBulk>
struct QuadsTask {
  Lists lists;
  const T* values;
  Ring<T, kParts, kThreads, kBulk> ring;
  const T* bias;
  T* y;
  int64_t blocks;  // that share a slice
};

// What a team reads of its row's elements in shared memory: two at a time, of four teams without bank conflicts.
template <class T>
constexpr int kTeamPitch = (kPlaces + 2) * static_cast<int>(sizeof(Entry<T>));
template <class T, int kParts, int kThreads, int kQuads>
constexpr int kQuadsShared = kThreads / 32 * (kQuad * kTeamPitch<T> + kQuads * static_cast<int>(sizeof(Spans)));

// A warp computes kQuads quads of rows of a slice.
template <class T, int kParts, int kThreads, int kQuads, bool kBulk>
__global__ void __launch_bounds__(kThreads, 1)
    quads_kernel(const __grid_constant__ QuadsTask<T, kParts, kThreads, kBulk> task) {
  using W = wide_t<T>;
  constexpr int kOwn = kLaneElements<T>, kWarps = kThreads / 32, kRowBytes = kParts * kPartBytes;
  extern __shared__ __align__(128) unsigned char shared[];
  const auto& ring = task.ring;
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, team = lane / kTeamLanes;
  const int64_t slice = blockIdx.x / task.blocks, block = blockIdx.x % task.blocks;
  unsigned char* const other = shared + 2 * ring.bytes() + ring.other_bytes();
  unsigned char* const written = other + warp * (kQuad * kTeamPitch<T>);
  Spans* const spans = reinterpret_cast<Spans*>(other + kWarps * (kQuad * kTeamPitch<T>)) + warp * kQuads;

  ring.begin(shared);
  __syncthreads();
  ring.load(shared, 0, slice, 0);
  if (lane < kQuads * kQuad) {
    const int64_t row = row_of(task.lists, lane / kQuad, task.blocks, block, kWarps, warp, lane % kQuad);
    spans[lane / kQuad].of[lane % kQuad] =
        row >= 0 ? make_int2(task.lists.begin(row), task.lists.begin(row + 1)) : make_int2(0, 0);
  }
  __syncwarp();

  W sum[kQuads][kParts][kOwn] = {};
  Spans span = spans[0];
  QuadChunk chunk;
  W value[kQuad];
  const auto read = [&] {
    chunk.read(task.lists.index, span);
#pragma unroll
    for (int j = 0; j < kQuad; ++j) {
      const int32_t at = span.of[j].x + lane;
      value[j] = at < span.of[j].y ? widen(task.values[at]) : W(0);
    }
  };
  read();

  for (int p = 0; p < ring.panels; ++p) {
    const int64_t first = int64_t{p} * ring.rows;
    const int32_t end = static_cast<int32_t>(min(first + ring.rows, ring.depth));
    const unsigned char* const panel = ring.buffer(shared, p) + lane % kTeamLanes * 16;
    ring.wait(shared, p);

#pragma unroll
    for (int q = 0; q < kQuads; ++q) {
      if (q == kQuads / 2 && p + 1 < ring.panels) ring.load(shared, p + 1, slice, p + 1);
      for (bool more = true; more;) {
        more = chunk.cut(end);
        __syncwarp();  // the last chunk's entries were read
#pragma unroll
        for (int j = 0; j < kQuad; ++j) {
          const bool inside = chunk.index[j] < end;
          // One after the last: a team reads two.
          if (lane <= chunk.count[j])
            reinterpret_cast<Entry<T>*>(written + j * kTeamPitch<T>)[lane] = {
                static_cast<uint32_t>(inside ? chunk.index[j] - static_cast<int32_t>(first) : ring.rows) * kRowBytes,
                inside ? value[j] : W(0)};
        }
        __syncwarp();
        // The next chunk's elements arrive while this one's are multiplied.
        const int count = chunk.own();
#pragma unroll
        for (int j = 0; j < kQuad; ++j) span.of[j].x += chunk.count[j];
        if (kQuads > 1 && !more) {
          if (lane == 0) spans[q] = span;
          span = spans[(q + 1) % kQuads];
        }
        read();

#pragma unroll 2
        for (int i = 0; i < count; i += 2) {
          const Pack<Entry<T>, 2> pair = *reinterpret_cast<const Pack<Entry<T>, 2>*>(
              written + team * kTeamPitch<T> + i * static_cast<int>(sizeof(Entry<T>)));
#pragma unroll
          for (int of = 0; of < 2; ++of)
#pragma unroll
            for (int part = 0; part < kParts; ++part) {
              const LanePack<T> x =
                  *reinterpret_cast<const LanePack<T>*>(panel + pair.at[of].offset + part * kPartBytes);
#pragma unroll
              for (int e = 0; e < kOwn; ++e) sum[q][part][e] += pair.at[of].value * widen(x.at[e]);
            }
        }
      }
    }
    ring.leave(shared, p);
  }

  const int64_t n = ring.n;
  const bool whole = ring.whole && reinterpret_cast<uintptr_t>(task.y) % 16 == 0;
#pragma unroll
  for (int q = 0; q < kQuads; ++q) {
    const int64_t row = row_of(task.lists, q, task.blocks, block, kWarps, warp, team);
    if (row < 0) continue;
    const W bias = task.bias != nullptr ? widen(task.bias[row]) : W(0);
#pragma unroll
    for (int part = 0; part < kParts; ++part) {
      const int64_t column = slice * kWideColumns<T, kParts> + (part * kTeamLanes + lane % kTeamLanes) * kOwn;
      LanePack<T> out;
#pragma unroll
      for (int e = 0; e < kOwn; ++e) out.at[e] = narrow<T>(sum[q][part][e] + bias);
      T* const to = task.y + row * n + column;
      if (whole) {
        if (column < n) *reinterpret_cast<LanePack<T>*>(to) = out;
      } else {
#pragma unroll
        for (int e = 0; e < kOwn; ++e)
          if (column + e < n) to[e] = out.at[e];
      }
    }
  }
}

template <class T, int kRows>
void launch(RowsTask<T> task, int64_t slices) {
  const int64_t groups = ceil_div(task.lists.count, kPanelWarps * kRows);
  task.blocks = groups;
  if (groups * slices >= int64_t{1} << 31) fail(ESPALIER_INVALID_ARGUMENT, "the product is too large");
  constexpr int kOther = kRowsShared<T, kRows>;
  task.panels = panels_of(task.panels.x, task.panels.depth, task.panels.n, kOther);
  const int bytes = 2 * task.panels.bytes() + kOther;
  const auto kernel = rows_kernel<T, kRows>;
  ESPALIER_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
  kernel<<<static_cast<unsigned>(groups * slices), kPanelThreads, static_cast<size_t>(bytes), stream()>>>(task);
  launched("sparse times dense");
}

template <class T, int kParts, int kThreads, int kQuads, bool kBulk = false>
void launch_quads(const Lists& lists, const T* values, const T* x, int64_t depth, int64_t n, const T* bias, T* y) {
  const int64_t slices = ceil_div(n, kWideColumns<T, kParts>);
  const int64_t groups = ceil_div(lists.count, kThreads / 32 * kQuads * kQuad);
  if (groups * slices >= int64_t{1} << 31) fail(ESPALIER_INVALID_ARGUMENT, "the product is too large");
  constexpr int kOther = kQuadsShared<T, kParts, kThreads, kQuads>;
  const QuadsTask<T, kParts, kThreads, kBulk> task{
      lists, values, ring_of<T, kParts, kThreads, kBulk>(x, depth, n, kOther), bias, y, groups};
  const int bytes = 2 * task.ring.bytes() + task.ring.other_bytes() + kOther;
  const auto kernel = quads_kernel<T, kParts, kThreads, kQuads, kBulk>;
  ESPALIER_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
  kernel<<<static_cast<unsigned>(groups * slices), kThreads, static_cast<size_t>(bytes), stream()>>>(task);
  launched("sparse times dense");
}

// Many rows to a block share the panels' way here; fewer where blocks would be fewer than multiprocessors.
template <class T, int kParts, int kThreads, int kQuads, bool kBulk = false>
void launch_either(const Lists& lists, const T* values, const T* x, int64_t depth, int64_t n, const T* bias, T* y) {
  const auto waves = [&](int64_t columns, int64_t rows) {
    return ceil_div(ceil_div(n, columns) * ceil_div(lists.count, rows), traits().multiprocessors) * rows * columns;
  };
  if (waves(kWideColumns<T, 1>, kPanelWarps * kQuad) * 5 <
      waves(kWideColumns<T, kParts>, kThreads / 32 * kQuads * kQuad) * 4)
    launch_quads<T, 1, kPanelThreads, 1>(lists, values, x, depth, n, bias, y);
  else launch_quads<T, kParts, kThreads, kQuads, kBulk>(lists, values, x, depth, n, bias, y);
}

}  // namespace

template <class T>
void sparse_times_dense(const Lists& lists, const T* values, const T* x, int64_t depth, int64_t n, const T* bias,
                        T* y) {
  if (lists.count == 0 || n == 0) return;
  // A lane's sums: at most 64 registers.
  constexpr int kMost = 64 / (kLaneElements<T> * static_cast<int>(sizeof(wide_t<T>)) / 4);
  // 1024 threads are tried with float only.
  constexpr int kThreads = std::is_same_v<T, float> ? 1024 : 512, kFewer = kThreads / 512;
  const bool bulk = bulk_panels(x, depth, n);
  switch (trial_rows()) {
    case 2: return launch_either<T, 1, kThreads, kMost / 4 / kFewer>(lists, values, x, depth, n, bias, y);
    case 4: return launch_either<T, 2, kThreads, kMost / 8 / kFewer>(lists, values, x, depth, n, bias, y);
    case 5:
      if (bulk) return launch_either<T, 1, 512, kMost / 4, true>(lists, values, x, depth, n, bias, y);
      [[fallthrough]];
    case 1: return launch_either<T, 1, 512, kMost / 4>(lists, values, x, depth, n, bias, y);
    case 6:
      if (bulk) return launch_either<T, 2, 512, kMost / 8, true>(lists, values, x, depth, n, bias, y);
      [[fallthrough]];
    case 3: return launch_either<T, 2, 512, kMost / 8>(lists, values, x, depth, n, bias, y);
    default: break;
  }
  const int64_t slices = ceil_div(n, kSliceColumns<T>);
  const RowsTask<T> task{lists, values, panels_of(x, depth, n, 0), bias, y, 0};
  // Many rows to a block share the panels' way here; fewer where blocks would be fewer than multiprocessors.
  const auto waves = [&](int rows) {
    const int64_t blocks = slices * ceil_div(lists.count, kPanelWarps * rows);
    return ceil_div(blocks, traits().multiprocessors) * rows;
  };
  if (waves(kMost / 4) * 5 < waves(kMost) * 4) launch<T, kMost / 4>(task, slices);
  else launch<T, kMost>(task, slices);
}

template void sparse_times_dense(const Lists&, const float*, const float*, int64_t, int64_t, const float*, float*);
template void sparse_times_dense(const Lists&, const double*, const double*, int64_t, int64_t, const double*, double*);
template void sparse_times_dense(const Lists&, const __half*, const __half*, int64_t, int64_t, const __half*, __half*);
template void sparse_times_dense(const Lists&, const __nv_bfloat16*, const __nv_bfloat16*, int64_t, int64_t,
                                 const __nv_bfloat16*, __nv_bfloat16*);

}  // namespace espalier::cuda
