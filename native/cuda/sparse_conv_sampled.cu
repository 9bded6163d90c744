// Sparse convolutions: the gradient of the kept values.
//
// Tiles, rows and batches as in sparse_conv_rows.cu. A warp keeps what its rows have of dy in a tile, multiplies it by
// the shifted planes of four elements, and adds the four sums up over its lanes together. Blocks that share rows each
// take a range of tiles and leave a part of the sums; parts are added in their order.
#include "cuda/sparse_conv.cuh"

namespace espalier::cuda::sparse_conv {
namespace {

constexpr int kTogether = 4;  // elements

template <class T>
struct Task {
  Sampled<T> product;
  wide_t<T>* sums;  // of each part, one an element
  int64_t parts;
};

template <class T, int kPixels>
__global__ void __launch_bounds__(kThreads, 2) sampled_kernel(const __grid_constant__ Task<T> task) {
  using W = wide_t<T>;
  extern __shared__ __align__(16) unsigned char shared[];
  const Lattice& lattice = task.product.lattice;
  const Lists& lists = task.product.lists;
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  const int64_t blocks = lattice.groups * lattice.group_blocks(), part = blockIdx.x / blocks;
  const Share share(lattice, blockIdx.x % blocks);
  const int64_t first_tile = lattice.tiles() * part / task.parts, last_tile = lattice.tiles() * (part + 1) / task.parts;
  W* const sums = task.sums + part * task.product.elements;
  uint32_t* const offsets = reinterpret_cast<uint32_t*>(reinterpret_cast<Entry<W>*>(shared) + warp * kBatch);
  W* const planes = reinterpret_cast<W*>(shared + kEntriesBytes<W>);
  int32_t* const places = reinterpret_cast<int32_t*>(planes + lattice.chunk * lattice.channel_length);

  for (int64_t tile = first_tile; tile < last_tile; ++tile) {
    lattice.write_places(tile, places);  // nobody has read any since the last chunk was brought

    W own[kRows][kPixels];
    int32_t at[kRows], end[kRows];
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const int64_t row = share.row(r);
      at[r] = row < 0 ? 0 : lists.begin(row);
      end[r] = row < 0 ? 0 : lists.begin(row + 1);
#pragma unroll
      for (int p = 0; p < kPixels; ++p) {
        int64_t line, column, from;
        const int64_t image = lattice.split((tile * kPixels + p) * 32 + lane, line, column);
        const bool exists = row >= 0 && image < lattice.n && lattice.to.find(0, line, column, from);
        own[r][p] = exists ? widen(task.product.y[image * lattice.to.image + row * lattice.to.plane() + from]) : W(0);
      }
    }

    for (int64_t channel = 0; channel < lattice.from.channels; channel += lattice.chunk) {
      const int count = static_cast<int>(min(int64_t{lattice.chunk}, lattice.from.channels - channel));
      const int64_t past = (channel + count) * lattice.taps.divisor();
      __syncthreads();  // places are there, and the last chunk has been read
      lattice.load(task.product.x, tile, share.group * lattice.from.channels + channel, count, places, planes);
      __syncthreads();

#pragma unroll
      for (int r = 0; r < kRows; ++r)
        for (bool more = true; more;) {
          const int32_t column = at[r] + lane < end[r] ? lists.index[at[r] + lane] : kNever;
          const bool inside = column < past;
          const int batch = __popc(__ballot_sync(0xffffffffu, inside));
          __syncwarp();  // the last batch has been read
          if (inside) {
            int64_t tap;
            const int64_t of = lattice.taps.split(column, tap) - channel;
            offsets[lane] = static_cast<uint32_t>(of * lattice.channel_length + task.product.offsets[tap]);
          }
          __syncwarp();
#pragma unroll 1
          for (int i = 0; i < batch; i += kTogether) {
            const bool mine = lane < kTogether && i + lane < batch;
            W* const to = sums + at[r] + i + lane;
            const W before = mine && tile > first_tile ? *to : W(0);
            W sum[kTogether] = {};
#pragma unroll
            for (int h = 0; h < kTogether; ++h) {
              if (i + h >= batch) continue;
              const W* const x = planes + offsets[i + h] + lane;
#pragma unroll
              for (int p = 0; p < kPixels; ++p) sum[h] += own[r][p] * x[p * 32];
            }
            // Each halving leaves a lane half of the sums, over twice as many lanes; at last element lane % 4's, over
            // every fourth lane.
#pragma unroll
            for (int half = kTogether / 2; half > 0; half /= 2) {
              const bool upper = lane & half;
#pragma unroll
              for (int s = 0; s < half; ++s) {
                const W away = upper ? sum[s] : sum[s + half], here = upper ? sum[s + half] : sum[s];
                sum[s] = here + __shfl_xor_sync(0xffffffffu, away, half);
              }
            }
#pragma unroll
            for (int step = kTogether; step < 32; step *= 2) sum[0] += __shfl_xor_sync(0xffffffffu, sum[0], step);
            if (mine) *to = before + sum[0];
          }
          at[r] += batch;
          more = batch == kBatch;
        }
    }
  }
}

template <class T, int kPixels>
void launch(const Sampled<T>& product) {
  const Lattice& lattice = product.lattice;
  const int64_t blocks = lattice.groups * lattice.group_blocks();
  // As many parts as fill the device.
  const int64_t parts = std::clamp<int64_t>(2 * traits().multiprocessors / blocks, 1, lattice.tiles());
  if (blocks * parts >= int64_t{1} << 31) fail(ESPALIER_INVALID_ARGUMENT, "the convolution is too large");
  constexpr bool kDirect = std::is_same_v<T, wide_t<T>>;
  const bool direct = kDirect && parts == 1;
  Temporary<wide_t<T>> sums(direct ? 0 : parts * product.elements);
  Task<T> task{product, sums.get(), parts};
  if constexpr (kDirect) {
    if (direct) task.sums = product.dvalues;
  }
  const int bytes = shared_bytes<wide_t<T>>(lattice.channel_length, lattice.chunk);
  const auto kernel = sampled_kernel<T, kPixels>;
  // Always the most there is: calls of several threads may set it at the same time.
  ESPALIER_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, traits().shared_optin));
  kernel<<<static_cast<unsigned>(blocks * parts), kThreads, static_cast<size_t>(bytes), stream()>>>(task);
  launched("sparse convolution's weight gradient");
  if (!direct) add_parts<T>(sums.get(), product.elements, parts, product.dvalues);
}

}  // namespace

template <class T>
void sampled(const Sampled<T>& product) {
  with_pixels<T>(product.lattice, [&]<int kPixels>() { launch<T, kPixels>(product); });
}

template void sampled(const Sampled<float>&);
template void sampled(const Sampled<double>&);
template void sampled(const Sampled<__half>&);
template void sampled(const Sampled<__nv_bfloat16>&);

}  // namespace espalier::cuda::sparse_conv
