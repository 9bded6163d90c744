// Unstructured sparse times dense.
#include "cuda/sparse_panel.cuh"

namespace espalier::cuda {
namespace {

using namespace sparse;

template <class T>
struct Entry {
  uint32_t offset;  // of the row in the panel
  wide_t<T> value;
};

template <class T, int kParts>
struct RowsTask {
  Lists lists;
  const T* values;
  Panels<T, kParts> panels;
  const T* bias;
  T* y;
  int64_t blocks;  // that share a slice
};

// What a team reads of its row's elements in shared memory: two at a time, of four teams without bank conflicts.
template <class T>
constexpr int kTeamPitch = (kPlaces + 2) * static_cast<int>(sizeof(Entry<T>));
template <class T, int kQuads>
constexpr int kRowsShared = kPanelWarps*(kQuad* kTeamPitch<T> + kQuads * static_cast<int>(sizeof(Spans)));

// A warp computes kQuads quads of rows of a slice.
template <class T, int kParts, int kQuads>
__global__ void __launch_bounds__(kPanelThreads, 1) rows_kernel(const __grid_constant__ RowsTask<T, kParts> task) {
  using W = wide_t<T>;
  constexpr int kOwn = kLaneElements<T>;
  extern __shared__ __align__(128) unsigned char shared[];
  const Panels<T, kParts>& panels = task.panels;
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, team = lane / kTeamLanes;
  const int64_t slice = blockIdx.x / task.blocks;
  const Share share{task.lists, task.blocks, blockIdx.x % task.blocks};
  unsigned char* const other = shared + panels.bytes();
  unsigned char* const written = other + warp * (kQuad * kTeamPitch<T>);
  Spans* const spans = reinterpret_cast<Spans*>(other + kPanelWarps * (kQuad * kTeamPitch<T>)) + warp * kQuads;

  panels.begin(shared);
  __syncthreads();
  panels.load(shared, 0, slice, 0);
  share.write_spans<kQuads>(spans);
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

  for (int p = 0; p < panels.count; ++p) {
    const int64_t first = int64_t{p} * panels.rows;
    const int32_t end = static_cast<int32_t>(min(first + panels.rows, panels.depth));
    const unsigned char* const panel = panels.buffer(shared, p) + lane % kTeamLanes * 16;
    panels.wait(shared, p);

#pragma unroll
    for (int q = 0; q < kQuads; ++q) {
      if (q == kQuads / 2 && p + 1 < panels.count) panels.load(shared, p + 1, slice, p + 1);
      for (bool more = true; more;) {
        more = chunk.cut(end);
        __syncwarp();  // the last chunk's entries were read
#pragma unroll
        for (int j = 0; j < kQuad; ++j) {
          const bool inside = chunk.index[j] < end;
          // One after the last: a team reads two.
          if (lane <= chunk.count[j])
            reinterpret_cast<Entry<T>*>(written + j * kTeamPitch<T>)[lane] = {
                static_cast<uint32_t>(inside ? chunk.index[j] - static_cast<int32_t>(first) : panels.rows) *
                    panels.kRowBytes,
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
    panels.leave(shared, p);
  }

  const int64_t n = panels.n;
  const bool whole = panels.whole && reinterpret_cast<uintptr_t>(task.y) % 16 == 0;
#pragma unroll
  for (int q = 0; q < kQuads; ++q) {
    const int64_t row = share.row(q, team);
    if (row < 0) continue;
    const W bias = task.bias != nullptr ? widen(task.bias[row]) : W(0);
#pragma unroll
    for (int part = 0; part < kParts; ++part) {
      const int64_t column = slice * kSliceColumns<T, kParts> + (part * kTeamLanes + lane % kTeamLanes) * kOwn;
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

template <int kQuads>
constexpr int kBlockRows = kPanelWarps* kQuads* kQuad;

template <class T, int kParts, int kQuads>
void launch(const Lists& lists, const T* values, const T* x, int64_t depth, int64_t n, const T* bias, T* y) {
  const int64_t slices = ceil_div(n, kSliceColumns<T, kParts>), blocks = ceil_div(lists.count, kBlockRows<kQuads>);
  if (blocks * slices >= int64_t{1} << 31) fail(ESPALIER_INVALID_ARGUMENT, "the product is too large");
  constexpr int kOther = kRowsShared<T, kQuads>;
  const RowsTask<T, kParts> task{lists, values, {x, depth, n, kOther}, bias, y, blocks};
  const int bytes = task.panels.bytes() + kOther;
  const auto kernel = rows_kernel<T, kParts, kQuads>;
  ESPALIER_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
  kernel<<<static_cast<unsigned>(blocks * slices), kPanelThreads, static_cast<size_t>(bytes), stream()>>>(task);
  launched("sparse times dense");
}

}  // namespace

template <class T>
void sparse_times_dense(const Lists& lists, const T* values, const T* x, int64_t depth, int64_t n, const T* bias,
                        T* y) {
  if (lists.count == 0 || n == 0) return;
  // Many rows to a block share the panels' way here: a lane's sums take 16 registers. Fewer where blocks would be fewer
  // than multiprocessors.
  constexpr int kParts = 2, kMost = 16 / (kParts * kLaneElements<T> * static_cast<int>(sizeof(wide_t<T>)) / 4);
  const auto waves = [&](int64_t columns, int64_t rows) {
    return ceil_div(ceil_div(n, columns) * ceil_div(lists.count, rows), traits().multiprocessors) * rows * columns;
  };
  if (waves(kSliceColumns<T, 1>, kBlockRows<1>) * 5 < waves(kSliceColumns<T, kParts>, kBlockRows<kMost>) * 4)
    launch<T, 1, 1>(lists, values, x, depth, n, bias, y);
  else launch<T, kParts, kMost>(lists, values, x, depth, n, bias, y);
}

template void sparse_times_dense(const Lists&, const float*, const float*, int64_t, int64_t, const float*, float*);
template void sparse_times_dense(const Lists&, const double*, const double*, int64_t, int64_t, const double*, double*);
template void sparse_times_dense(const Lists&, const __half*, const __half*, int64_t, int64_t, const __half*, __half*);
template void sparse_times_dense(const Lists&, const __nv_bfloat16*, const __nv_bfloat16*, int64_t, int64_t,
                                 const __nv_bfloat16*, __nv_bfloat16*);

}  // namespace espalier::cuda
