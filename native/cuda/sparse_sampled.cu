// Products of two dense matrices where an unstructured sparse one has elements: the gradient of its values.
//
// Panels and lists as in sparse_rows.cu. A team keeps its rows of dY; it forms the products of one of them with eight
// rows of X, 16 bytes a lane and part, and the eight sums over its lanes are added up together: seven shuffles for
// eight.
#include "cuda/sparse_panel.cuh"

namespace espalier::cuda {
namespace {

using namespace sparse;

constexpr int kQuads = 2;  // of a warp
constexpr int kBlockRows = kPanelWarps * kQuads * kQuad;

template <class T, int kParts>
struct SampledTask {
  Lists lists;
  const T* y;
  Panels<T, kParts> panels;
  wide_t<T>* sums;  // for each group of slices, a sum of every element
  int64_t elements, blocks, groups;
};

// Where the elements of a team's row are in the panel: two at a time, of four teams without bank conflicts.
constexpr int kOffsetsPitch = kPlaces + 4;
constexpr int kOffsetsBytes = kQuad * kOffsetsPitch * static_cast<int>(sizeof(uint32_t));
constexpr int kSampledShared = kPanelWarps * (kOffsetsBytes + kQuads * static_cast<int>(sizeof(Spans)));

template <class T, int kParts>
__global__ void __launch_bounds__(kPanelThreads, 1)
    sampled_kernel(const __grid_constant__ SampledTask<T, kParts> task) {
  using W = wide_t<T>;
  constexpr int kOwn = kLaneElements<T>;
  extern __shared__ __align__(128) unsigned char shared[];
  const Panels<T, kParts>& panels = task.panels;
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, team = lane / kTeamLanes, of_team = lane % kTeamLanes;
  const int64_t group = blockIdx.x / task.blocks;
  const Share share{task.lists, task.blocks, blockIdx.x % task.blocks};
  const int64_t slices = (panels.n + kSliceColumns<T, kParts> - 1) / kSliceColumns<T, kParts>;
  const int64_t first_slice = slices * group / task.groups, last_slice = slices * (group + 1) / task.groups;
  const int64_t last_panel = (last_slice - first_slice) * panels.count;  // of all slices
  W* const sums = task.sums + group * task.elements;
  unsigned char* const other = shared + panels.bytes();
  uint32_t* const offsets = reinterpret_cast<uint32_t*>(other + warp * kOffsetsBytes);
  Spans* const spans = reinterpret_cast<Spans*>(other + kPanelWarps * kOffsetsBytes) + warp * kQuads;

  panels.begin(shared);
  __syncthreads();
  if (last_panel > 0) panels.load(shared, 0, first_slice, 0);

  int64_t p = 0;
  for (int64_t slice = first_slice; slice < last_slice; ++slice) {
    __syncwarp();
    share.write_spans<kQuads>(spans);
    LanePack<T> own[kQuads][kParts];
#pragma unroll
    for (int q = 0; q < kQuads; ++q) {
      const int64_t row = share.row(q, team);
#pragma unroll
      for (int part = 0; part < kParts; ++part) {
        const int64_t column = slice * kSliceColumns<T, kParts> + (part * kTeamLanes + of_team) * kOwn;
#pragma unroll
        for (int e = 0; e < kOwn; ++e)
          own[q][part].at[e] = row >= 0 && column + e < panels.n ? task.y[row * panels.n + column + e] : T(0.f);
      }
    }
    __syncwarp();
    Spans span = spans[0];
    QuadChunk chunk;
    chunk.read(task.lists.index, span);

    for (int in_slice = 0; in_slice < panels.count; ++in_slice, ++p) {
      const int64_t first = int64_t{in_slice} * panels.rows;
      const int32_t end = static_cast<int32_t>(min(first + panels.rows, panels.depth));
      const unsigned char* const panel = panels.buffer(shared, p) + of_team * 16;
      panels.wait(shared, p);

#pragma unroll
      for (int q = 0; q < kQuads; ++q) {
        if (q == kQuads / 2 && p + 1 < last_panel) {
          const bool next = in_slice + 1 == panels.count;
          panels.load(shared, p + 1, slice + next, next ? 0 : in_slice + 1);
        }
        for (bool more = true; more;) {
          more = chunk.cut(end);
          __syncwarp();  // the last chunk's places were read
#pragma unroll
          for (int j = 0; j < kQuad; ++j)
            if (lane <= chunk.count[j])  // one after the last: a team reads two
              offsets[j * kOffsetsPitch + lane] =
                  static_cast<uint32_t>(chunk.index[j] < end ? chunk.index[j] - static_cast<int32_t>(first)
                                                             : panels.rows) *
                  panels.kRowBytes;
          __syncwarp();
          const int count = chunk.own();
          const int most = max(max(chunk.count[0], chunk.count[1]), max(chunk.count[2], chunk.count[3]));
          W* const to = sums + span.own() + of_team;
#pragma unroll
          for (int j = 0; j < kQuad; ++j) span.of[j].x += chunk.count[j];
          if (!more) {
            if (lane == 0) spans[q] = span;
            span = spans[(q + 1) % kQuads];
          }
          chunk.read(task.lists.index, span);

#pragma unroll 1
          for (int i = 0; i < most; i += kTeamLanes) {
            const bool mine = i + of_team < count;
            const W before = slice > first_slice && mine ? to[i] : W(0);
            W sum[kTeamLanes] = {};
#pragma unroll
            for (int h = 0; h < kTeamLanes; h += 2) {
              if (i + h >= count) continue;
              const Pack<uint32_t, 2> pair =
                  *reinterpret_cast<const Pack<uint32_t, 2>*>(offsets + team * kOffsetsPitch + i + h);
#pragma unroll
              for (int of = 0; of < 2; ++of)
#pragma unroll
                for (int part = 0; part < kParts; ++part) {
                  const LanePack<T> x = *reinterpret_cast<const LanePack<T>*>(panel + pair.at[of] + part * kPartBytes);
#pragma unroll
                  for (int e = 0; e < kOwn; ++e) sum[h + of] += widen(own[q][part].at[e]) * widen(x.at[e]);
                }
            }
            __syncwarp();
#pragma unroll
            for (int half = kTeamLanes / 2; half > 0; half /= 2) {
              const bool upper = lane & half;
#pragma unroll
              for (int s = 0; s < half; ++s) {
                const W away = upper ? sum[s] : sum[s + half], here = upper ? sum[s + half] : sum[s];
                sum[s] = here + __shfl_xor_sync(0xffffffffu, away, half);
              }
            }
            if (mine) to[i] = before + sum[0];
          }
        }
      }
      panels.leave(shared, p);
    }
  }
}

template <class T, int kParts>
void launch(const Lists& lists, int64_t elements, const T* y, const T* x, int64_t depth, int64_t n, T* dvalues) {
  const int64_t slices = ceil_div(n, kSliceColumns<T, kParts>), blocks = ceil_div(lists.count, kBlockRows);
  // Blocks that share rows each take a group of slices, and leave a part of the sum: as many as fill the device, and
  // as few as that, for these sums cost memory.
  const int64_t groups = std::clamp<int64_t>(traits().multiprocessors / blocks, 1, slices);
  if (blocks * groups >= int64_t{1} << 31) fail(ESPALIER_INVALID_ARGUMENT, "the product is too large");
  constexpr bool kDirect = std::is_same_v<T, wide_t<T>>;
  const bool direct = kDirect && groups == 1;
  Temporary<wide_t<T>> sums(direct ? 0 : groups * elements);
  SampledTask<T, kParts> task{lists, y, {x, depth, n, kSampledShared}, sums.get(), elements, blocks, groups};
  if constexpr (kDirect) {
    if (direct) task.sums = dvalues;
  }
  const int bytes = task.panels.bytes() + kSampledShared;
  const auto kernel = sampled_kernel<T, kParts>;
  ESPALIER_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
  kernel<<<static_cast<unsigned>(blocks * groups), kPanelThreads, static_cast<size_t>(bytes), stream()>>>(task);
  launched("sampled products");
  if (!direct) add_parts<T>(sums.get(), elements, groups, dvalues);
}

}  // namespace

template <class T>
void sampled_products(const Lists& lists, int64_t elements, const T* y, const T* x, int64_t depth, int64_t n,
                      T* dvalues) {
  if (elements == 0) return;
  if (n == 0) {
    ESPALIER_CUDA(cudaMemsetAsync(dvalues, 0, static_cast<size_t>(elements) * sizeof(T), stream()));
    return;
  }
  if (n <= kSliceColumns<T, 1>) launch<T, 1>(lists, elements, y, x, depth, n, dvalues);
  else launch<T, 2>(lists, elements, y, x, depth, n, dvalues);
}

template void sampled_products(const Lists&, int64_t, const float*, const float*, int64_t, int64_t, float*);
template void sampled_products(const Lists&, int64_t, const double*, const double*, int64_t, int64_t, double*);
template void sampled_products(const Lists&, int64_t, const __half*, const __half*, int64_t, int64_t, __half*);
template void sampled_products(const Lists&, int64_t, const __nv_bfloat16*, const __nv_bfloat16*, int64_t, int64_t,
                               __nv_bfloat16*);

}  // namespace espalier::cuda
