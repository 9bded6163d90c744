// Sparse convolutions: the sum over a row's elements, which is y, and on turned lists the gradient of x.
#include "cuda/sparse_conv.cuh"

namespace espalier::cuda::sparse_conv {
namespace {

template <class T, int kPixels>
__global__ void __launch_bounds__(kThreads, 2) rows_kernel(const __grid_constant__ Product<T> task) {
  using W = wide_t<T>;
  extern __shared__ __align__(16) unsigned char shared[];
  const Lattice& lattice = task.lattice;
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  const int64_t blocks = lattice.groups * lattice.group_blocks();
  const int64_t tile = blockIdx.x / blocks;
  const Share share(lattice, blockIdx.x % blocks);
  Entry<W>* const entries = reinterpret_cast<Entry<W>*>(shared) + warp * kBatch;
  W* const planes = reinterpret_cast<W*>(shared + kEntriesBytes<W>);
  int32_t* const places = reinterpret_cast<int32_t*>(planes + lattice.chunk * lattice.channel_length);
  lattice.write_places(tile, places);

  int64_t row[kRows];
  int32_t at[kRows], end[kRows];
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    row[r] = share.row(r);
    // Rows of like lengths meet in a block where lists are sorted so and no group must keep to itself.
    if (row[r] >= 0 && lattice.groups == 1 && task.lists.order != nullptr) row[r] = task.lists.order[row[r]];
    at[r] = row[r] < 0 ? 0 : task.lists.begin(row[r]);
    end[r] = row[r] < 0 ? 0 : task.lists.begin(row[r] + 1);
  }

  W sum[kRows][kPixels] = {};
  for (int64_t channel = 0; channel < lattice.from.channels; channel += lattice.chunk) {
    const int count = static_cast<int>(min(int64_t{lattice.chunk}, lattice.from.channels - channel));
    const int64_t past = (channel + count) * lattice.taps.divisor();
    __syncthreads();  // places are there, and the last chunk has been read
    lattice.load(task.x, tile, share.group * lattice.from.channels + channel, count, places, planes);
    __syncthreads();

#pragma unroll
    for (int r = 0; r < kRows; ++r)
      for (bool more = true; more;) {
        const int32_t place = at[r] + lane;
        const int32_t column = place < end[r] ? task.lists.index[place] : kNever;
        const bool inside = column < past;
        const int batch = __popc(__ballot_sync(0xffffffffu, inside));
        __syncwarp();  // the last batch has been read
        if (inside) {
          int64_t tap;
          const int64_t of = lattice.taps.split(column, tap) - channel;
          entries[lane] = {static_cast<uint32_t>(of * lattice.channel_length + task.offsets[tap]),
                           widen(task.values[place])};
        }
        __syncwarp();
#pragma unroll 2
        for (int i = 0; i < batch; ++i) {
          const Entry<W> entry = entries[i];
          const W* const x = planes + entry.offset + lane;
#pragma unroll
          for (int p = 0; p < kPixels; ++p) sum[r][p] += entry.value * x[p * 32];
        }
        at[r] += batch;
        more = batch == kBatch;
      }
  }

#pragma unroll
  for (int p = 0; p < kPixels; ++p) {
    int64_t line, column;
    const int64_t image = lattice.split((tile * kPixels + p) * 32 + lane, line, column);
    if (image >= lattice.n) continue;
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      if (row[r] < 0) continue;
      const int64_t channel = row[r] / lattice.to.phases();
      int64_t to;
      if (!lattice.to.find(row[r] % lattice.to.phases(), line, column, to)) continue;
      const W bias = task.bias != nullptr ? widen(task.bias[channel]) : W(0);
      task.y[image * lattice.to.image + channel * lattice.to.plane() + to] = narrow<T>(sum[r][p] + bias);
    }
  }
}

template <class T, int kPixels>
void launch(const Product<T>& product) {
  const Lattice& lattice = product.lattice;
  const int64_t blocks = lattice.tiles() * lattice.groups * lattice.group_blocks();
  if (blocks >= int64_t{1} << 31) fail(ESPALIER_INVALID_ARGUMENT, "the convolution is too large");
  const int bytes = shared_bytes<wide_t<T>>(lattice.channel_length, lattice.chunk);
  const auto kernel = rows_kernel<T, kPixels>;
  // Always the most there is: calls of several threads may set it at the same time.
  ESPALIER_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, traits().shared_optin));
  kernel<<<static_cast<unsigned>(blocks), kThreads, static_cast<size_t>(bytes), stream()>>>(product);
  launched("sparse convolution");
}

}  // namespace

template <class T>
void multiply(const Product<T>& product) {
  with_pixels<T>(product.lattice, [&]<int kPixels>() { launch<T, kPixels>(product); });
}

template void multiply(const Product<float>&);
template void multiply(const Product<double>&);
template void multiply(const Product<__half>&);
template void multiply(const Product<__nv_bfloat16>&);

}  // namespace espalier::cuda::sparse_conv
