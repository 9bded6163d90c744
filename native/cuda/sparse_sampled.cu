// Products of two dense matrices where an unstructured sparse one has elements: the gradient of its values.
//
// Panels and lists as in sparse_rows.cu. A warp keeps its rows of dY; a team forms four elements' products with eight
// rows of X, 16 bytes a lane, and the eight sums over its lanes are added up together: seven shuffles for eight.
#include "cuda/sparse_ring.cuh"

namespace espalier::cuda {
namespace {

using namespace sparse;

template <class T>
struct SampledTask {
  Lists lists;
  const T* y;
  Panels<T> panels;
  wide_t<T>* parts;  // for each group of slices, a sum of every element
  int64_t elements, blocks, groups;
};

template <int kRows>
constexpr int kSampledShared = kPanelWarps*(Chunk::kPlaces + kRows * 2) * static_cast<int>(sizeof(int32_t));

template <class T, int kRows>
__global__ void __launch_bounds__(kPanelThreads, 1) sampled_kernel(const SampledTask<T> task) {
  using W = wide_t<T>;
  constexpr int kOwn = kLaneElements<T>;
  static_assert(kRows > 1);
  extern __shared__ __align__(128) unsigned char shared[];
  const Panels<T>& panels = task.panels;
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, team = lane / kTeamLanes;
  const int64_t group = blockIdx.x / task.blocks, block = blockIdx.x % task.blocks;
  const int64_t slices = (panels.n + kSliceColumns<T> - 1) / kSliceColumns<T>;
  const int64_t first_slice = slices * group / task.groups, last_slice = slices * (group + 1) / task.groups;
  W* const parts = task.parts + group * task.elements;
  uint32_t* const offsets = reinterpret_cast<uint32_t*>(shared + 2 * panels.bytes()) + warp * Chunk::kPlaces;
  int2* const spans =
      reinterpret_cast<int2*>(shared + 2 * panels.bytes() + kPanelWarps * Chunk::kPlaces * sizeof(uint32_t)) +
      warp * kRows;
  const auto row_of = [&](int r) -> int64_t {
    const int64_t rank = (int64_t{r} * kPanelWarps + warp) * task.blocks + block;
    return rank < task.lists.count ? task.lists.order[rank] : -1;
  };
  panels.zero_last(shared);
  panels.zero_last(shared + panels.bytes());

  for (int64_t slice = first_slice; slice < last_slice; ++slice) {
    __syncthreads();  // nobody reads the last slice's panels any more
    panels.load(shared, slice, 0);
    if (lane < kRows) {
      const int64_t row = row_of(lane);
      spans[lane] = row >= 0 ? make_int2(task.lists.begin(row), task.lists.begin(row + 1)) : make_int2(0, 0);
    }
    __syncwarp();
    LanePack<T> own[kRows];
    const int64_t column = slice * kSliceColumns<T> + lane % kTeamLanes * kOwn;
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const int64_t row = row_of(r);
#pragma unroll
      for (int e = 0; e < kOwn; ++e)
        own[r].at[e] = row >= 0 && column + e < panels.n ? task.y[row * panels.n + column + e] : T(0.f);
    }
    int2 span = spans[0];
    Chunk chunk;
    chunk.read(task.lists.index, span.x, span.y);

    int buffer = 0;
    for (int64_t first = 0; first < panels.depth; first += panels.rows, buffer ^= 1) {
      ptx::copy_wait<0>();
      __syncthreads();
      if (first + panels.rows < panels.depth)
        panels.load(shared + (buffer ^ 1) * panels.bytes(), slice, first + panels.rows);
      const unsigned char* const panel = shared + buffer * panels.bytes() + lane % kTeamLanes * 16;

#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        for (;;) {
          chunk.cut(first + panels.rows);
          __syncwarp();
#pragma unroll
          for (int i = 0; i < Chunk::kReads; ++i)
            offsets[Chunk::place(i)] =
                static_cast<uint32_t>(chunk.inside[i] ? chunk.index[i] - first : panels.rows) * kSliceBytes;
          __syncwarp();
          const int count = chunk.count;
          W* const to = parts + span.x + kTeams * (lane % kTeamLanes) + team;  // of the element whose sum ends up here
          const int left = count - (kTeams * (lane % kTeamLanes) + team);
          W before[Chunk::kReads];
#pragma unroll
          for (int i = 0; i < Chunk::kReads; ++i) before[i] = slice > first_slice && 32 * i < left ? to[32 * i] : W(0);
          span.x += count;
          if (count < Chunk::kMost) {
            if (lane == 0) spans[r].x = span.x;
            span = spans[(r + 1) % kRows];
          }
          chunk.read(task.lists.index, span.x, span.y);

#pragma unroll
          for (int part = 0; part < Chunk::kReads; ++part) {
            if (32 * part >= count) break;
            W sum[kTeamLanes] = {};
#pragma unroll
            for (int i = 0; i < kTeamLanes; i += 2) {
              if (32 * part + i * kTeams >= count) break;
              const Pack<uint32_t, 2> pair =
                  *reinterpret_cast<const Pack<uint32_t, 2>*>(offsets + team * Chunk::kTeamPitch + 8 * part + i);
#pragma unroll
              for (int p = 0; p < 2; ++p) {
                const LanePack<T> x = *reinterpret_cast<const LanePack<T>*>(panel + pair.at[p]);
#pragma unroll
                for (int e = 0; e < kOwn; ++e) sum[i + p] += widen(own[r].at[e]) * widen(x.at[e]);
              }
            }
#pragma unroll
            for (int half = kTeamLanes / 2; half > 0; half /= 2) {
              const bool upper = lane & half;
#pragma unroll
              for (int i = 0; i < half; ++i) {
                const W away = upper ? sum[i] : sum[i + half], here = upper ? sum[i + half] : sum[i];
                sum[i] = here + __shfl_xor_sync(0xffffffffu, away, half);
              }
            }
            if (32 * part < left) to[32 * part] = before[part] + sum[0];
          }
          if (count < Chunk::kMost) break;
        }
      }
    }
  }
}

template <class T, int kParts, int kThreads, bool kBulk>
struct QuadsTask {
  Lists lists;
  const T* y;
  Ring<T, kParts, kThreads, kBulk> ring;
  wide_t<T>* parts;  // for each group of slices, a sum of every element
  int64_t elements, blocks, groups;
};

// Where the elements of a team's row are in the panel: four at a time, of four teams without bank conflicts.
constexpr int kOffsetsPitch = kPlaces + 4;
template <int kThreads, int kQuads>
constexpr int kQuadsShared = kThreads / 32 *
                             kQuad*(kOffsetsPitch* static_cast<int>(sizeof(uint32_t)) +
                                    kQuads * static_cast<int>(sizeof(int2)));

// A team forms the products of its row of dY with eight rows of X, and the eight sums over its lanes are added up
// together: seven shuffles for eight.
template <class T, int kParts, int kThreads, int kQuads, bool kBulk>
__global__ void __launch_bounds__(kThreads, 1)
    sampled_quads_kernel(const __grid_constant__ QuadsTask<T, kParts, kThreads, kBulk> task) {
  using W = wide_t<T>;
  constexpr int kOwn = kLaneElements<T>, kWarps = kThreads / 32, kRowBytes = kParts * kPartBytes;
  extern __shared__ __align__(128) unsigned char shared[];
  const auto& ring = task.ring;
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, team = lane / kTeamLanes, of_team = lane % kTeamLanes;
  const int64_t group = blockIdx.x / task.blocks, block = blockIdx.x % task.blocks;
  const int64_t slices = (ring.n + kWideColumns<T, kParts> - 1) / kWideColumns<T, kParts>;
  const int64_t first_slice = slices * group / task.groups, last_slice = slices * (group + 1) / task.groups;
  const int64_t panels = (last_slice - first_slice) * ring.panels;  // of all slices
  W* const parts = task.parts + group * task.elements;
  unsigned char* const other = shared + 2 * ring.bytes() + ring.other_bytes();
  uint32_t* const offsets = reinterpret_cast<uint32_t*>(other) + warp * kQuad * kOffsetsPitch;
  Spans* const spans =
      reinterpret_cast<Spans*>(other + kWarps * kQuad * kOffsetsPitch * static_cast<int>(sizeof(uint32_t))) +
      warp * kQuads;

  ring.begin(shared);
  __syncthreads();
  if (panels > 0) ring.load(shared, 0, first_slice, 0);

  int64_t p = 0;
  for (int64_t slice = first_slice; slice < last_slice; ++slice) {
    __syncwarp();
    if (lane < kQuads * kQuad) {
      const int64_t row = row_of(task.lists, lane / kQuad, task.blocks, block, kWarps, warp, lane % kQuad);
      spans[lane / kQuad].of[lane % kQuad] =
          row >= 0 ? make_int2(task.lists.begin(row), task.lists.begin(row + 1)) : make_int2(0, 0);
    }
    LanePack<T> own[kQuads][kParts];
#pragma unroll
    for (int q = 0; q < kQuads; ++q) {
      const int64_t row = row_of(task.lists, q, task.blocks, block, kWarps, warp, team);
#pragma unroll
      for (int part = 0; part < kParts; ++part) {
        const int64_t column = slice * kWideColumns<T, kParts> + (part * kTeamLanes + of_team) * kOwn;
#pragma unroll
        for (int e = 0; e < kOwn; ++e)
          own[q][part].at[e] = row >= 0 && column + e < ring.n ? task.y[row * ring.n + column + e] : T(0.f);
      }
    }
    __syncwarp();
    Spans span = spans[0];
    QuadChunk chunk;
    chunk.read(task.lists.index, span);

    for (int in_slice = 0; in_slice < ring.panels; ++in_slice, ++p) {
      const int64_t first = int64_t{in_slice} * ring.rows;
      const int32_t end = static_cast<int32_t>(min(first + ring.rows, ring.depth));
      const unsigned char* const panel = ring.buffer(shared, p) + of_team * 16;
      ring.wait(shared, p);

#pragma unroll
      for (int q = 0; q < kQuads; ++q) {
        if (q == kQuads / 2 && p + 1 < panels) {
          const bool next = in_slice + 1 == ring.panels;
          ring.load(shared, p + 1, slice + next, next ? 0 : in_slice + 1);
        }
        for (bool more = true; more;) {
          more = chunk.cut(end);
          __syncwarp();  // the last chunk's places were read
#pragma unroll
          for (int j = 0; j < kQuad; ++j)
            if (lane <= chunk.count[j])  // one after the last: a team reads two
              offsets[j * kOffsetsPitch + lane] =
                  static_cast<uint32_t>(chunk.index[j] < end ? chunk.index[j] - static_cast<int32_t>(first)
                                                             : ring.rows) *
                  kRowBytes;
          __syncwarp();
          const int count = chunk.own();
          const int most = max(max(chunk.count[0], chunk.count[1]), max(chunk.count[2], chunk.count[3]));
          W* const to = parts + span.own() + of_team;
#pragma unroll
          for (int j = 0; j < kQuad; ++j) span.of[j].x += chunk.count[j];
          if (kQuads > 1 && !more) {
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
      ring.leave(shared, p);
    }
  }
}

template <class T>
void add_parts(const wide_t<T>* parts, int64_t elements, int64_t groups, T* dvalues) {
  for_each(elements, "sampled products", [=] __device__(int64_t i) {
    wide_t<T> sum = 0;
    for (int64_t group = 0; group < groups; ++group) sum += parts[group * elements + i];
    dvalues[i] = narrow<T>(sum);
  });
}

template <class T, int kParts, int kThreads, int kQuads, bool kBulk = false>
void launch_quads(const Lists& lists, int64_t elements, const T* y, const T* x, int64_t depth, int64_t n, T* dvalues) {
  constexpr int kRows = kThreads / 32 * kQuads * kQuad, kOther = kQuadsShared<kThreads, kQuads>;
  const int64_t slices = ceil_div(n, kWideColumns<T, kParts>), blocks = ceil_div(lists.count, kRows);
  // Blocks that share rows each take a group of slices, and leave a part of the sum: as many as fill the device, and
  // as few as that, for parts cost memory.
  const int64_t groups = std::clamp<int64_t>(traits().multiprocessors / blocks, 1, slices);
  if (blocks * groups >= int64_t{1} << 31) fail(ESPALIER_INVALID_ARGUMENT, "the product is too large");
  constexpr bool kDirect = std::is_same_v<T, wide_t<T>>;
  const bool direct = kDirect && groups == 1;
  Temporary<wide_t<T>> parts(direct ? 0 : groups * elements);
  QuadsTask<T, kParts, kThreads, kBulk> task{
      lists, y, ring_of<T, kParts, kThreads, kBulk>(x, depth, n, kOther), parts.get(), elements, blocks, groups};
  if constexpr (kDirect) {
    if (direct) task.parts = dvalues;
  }
  const int bytes = 2 * task.ring.bytes() + task.ring.other_bytes() + kOther;
  const auto kernel = sampled_quads_kernel<T, kParts, kThreads, kQuads, kBulk>;
  ESPALIER_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
  kernel<<<static_cast<unsigned>(blocks * groups), kThreads, static_cast<size_t>(bytes), stream()>>>(task);
  launched("sampled products");
  if (!direct) add_parts<T>(parts.get(), elements, groups, dvalues);
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
  // 1024 threads are tried with float only.
  constexpr int kThreads = std::is_same_v<T, float> ? 1024 : 512, kFewer = kThreads / 512;
  const bool bulk = bulk_panels(x, depth, n);
  switch (trial_rows()) {
    case 2: return launch_quads<T, 1, kThreads, 2 / kFewer>(lists, elements, y, x, depth, n, dvalues);
    case 6:
      if (bulk && n > kSliceColumns<T>)
        return launch_quads<T, 2, 512, 2, true>(lists, elements, y, x, depth, n, dvalues);
      [[fallthrough]];
    case 5:
      if (bulk) return launch_quads<T, 1, 512, 2, true>(lists, elements, y, x, depth, n, dvalues);
      return launch_quads<T, 1, 512, 2>(lists, elements, y, x, depth, n, dvalues);
    case 3:
    case 4:
      if (n > kSliceColumns<T>) return launch_quads<T, 2, 512, 2>(lists, elements, y, x, depth, n, dvalues);
      [[fallthrough]];
    case 1: return launch_quads<T, 1, 512, 2>(lists, elements, y, x, depth, n, dvalues);
    default: break;
  }
  constexpr int kRows = 8;
  const int64_t slices = ceil_div(n, kSliceColumns<T>), blocks = ceil_div(lists.count, kPanelWarps * kRows);
  // Blocks that share rows each take a group of slices, and leave a part of the sum: as many as fill the device, and
  // as few as that, for parts cost memory.
  const int64_t groups = std::clamp<int64_t>(traits().multiprocessors / blocks, 1, slices);
  if (blocks * groups >= int64_t{1} << 31) fail(ESPALIER_INVALID_ARGUMENT, "the product is too large");
  constexpr bool kDirect = std::is_same_v<T, wide_t<T>>;
  const bool direct = kDirect && groups == 1;
  Temporary<wide_t<T>> parts(direct ? 0 : groups * elements);
  SampledTask<T> task{lists, y, {}, parts.get(), elements, blocks, groups};
  if constexpr (kDirect) {
    if (direct) task.parts = dvalues;
  }
  task.panels = panels_of(x, depth, n, kSampledShared<kRows>);
  const int bytes = 2 * task.panels.bytes() + kSampledShared<kRows>;
  const auto kernel = sampled_kernel<T, kRows>;
  ESPALIER_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
  kernel<<<static_cast<unsigned>(blocks * groups), kPanelThreads, static_cast<size_t>(bytes), stream()>>>(task);
  launched("sampled products");
  if (!direct) add_parts<T>(parts.get(), elements, groups, dvalues);
}

template void sampled_products(const Lists&, int64_t, const float*, const float*, int64_t, int64_t, float*);
template void sampled_products(const Lists&, int64_t, const double*, const double*, int64_t, int64_t, double*);
template void sampled_products(const Lists&, int64_t, const __half*, const __half*, int64_t, int64_t, __half*);
template void sampled_products(const Lists&, int64_t, const __nv_bfloat16*, const __nv_bfloat16*, int64_t, int64_t,
                               __nv_bfloat16*);

}  // namespace espalier::cuda
