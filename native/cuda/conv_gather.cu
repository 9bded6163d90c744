#include "cuda/conv_gather.cuh"

#include "cuda/conv_near.cuh"
#include "cuda/conv_store.cuh"
#include "cuda/conv_warpgroups.cuh"

namespace espalier::cuda::conv {
namespace {

// Fills tiles with the operands of one product. A thread copies the same chunk number of every 32nd row, so
// that a tap's place is worked out once for all of them.
template <class T, class Out, int kRows, int kColumns>
struct Loader {
  static constexpr int kEach = kThreads / 8;  // rows that are copied at once

  const GatherProduct<T, Out>& product;
  const Axis::Phase& down;
  const Axis::Phase& across;
  int32_t x_from[kRows / kEach];     // where tap (0, 0) of each row is
  uint32_t in_image[kRows / kEach];  // bit j: row tap j lies in the image; bit 16 + j: column tap
  const T* weight;                   // the first of this thread's rows of weights
  int weight_rows;                   // how many rows of weights there are from there on
  // The next chunk: row tap, column tap, and chunk of the input channels.
  int row_tap = 0, column_tap = 0, chunk;

  static __device__ int first_row() { return threadIdx.x >> 3; }

  __device__ Loader(const GatherProduct<T, Out>& p, int a, int b, int32_t first, int32_t count, int32_t lattice_rows,
                    int32_t lattice_columns, int group, int first_column)
      : product(p), down(p.rows.phase[a]), across(p.columns.phase[b]), chunk(threadIdx.x & 7) {
    const int32_t stride = p.groups * p.depth;
#pragma unroll
    for (int i = 0; i < kRows / kEach; ++i) {
      const int32_t position = first + first_row() + i * kEach;
      const int32_t line = position / lattice_columns, image = line / lattice_rows;
      const int32_t h = (line - image * lattice_rows) * p.rows.step + down.offset;
      const int32_t w = (position - line * lattice_columns) * p.columns.step + across.offset;
      x_from[i] = ((image * p.rows.in + h) * p.columns.in + w) * stride + group * p.depth;
      in_image[i] = 0;
      if (position >= count) continue;
      for (int j = 0; j < down.taps; ++j) in_image[i] |= uint32_t{inside(h + j * p.rows.hop, p.rows.in)} << j;
      for (int j = 0; j < across.taps; ++j)
        in_image[i] |= uint32_t{inside(w + j * p.columns.hop, p.columns.in)} << (16 + j);
    }
    const int32_t column = first_column + first_row();
    weight_rows = p.width - column;
    weight = p.weight + (int64_t{group} * p.width + column) * p.kernel_elements * p.depth;
    carry();
  }

  static __device__ bool inside(int32_t at, int32_t size) {
    return static_cast<uint32_t>(at) < static_cast<uint32_t>(size);
  }

  __device__ void carry() {
    const int chunks = product.depth / kChunk<T>;
    while (chunk >= chunks) {
      chunk -= chunks;
      if (++column_tap >= across.taps) column_tap = 0, ++row_tap;
    }
  }

  __device__ void load(unsigned char* a, unsigned char* b) {
    const bool more = row_tap < down.taps;
    const int32_t c = chunk * kChunk<T>;
    const int32_t x_tap = (row_tap * product.rows.hop * product.columns.in + column_tap * product.columns.hop) *
                              (product.groups * product.depth) +
                          c;
    const int32_t element = (down.element + row_tap * product.rows.element_hop) * product.kernel_width +
                            across.element + column_tap * product.columns.element_hop;
#pragma unroll
    for (int i = 0; i < kRows / kEach; ++i) {
      const bool valid = more && (in_image[i] >> row_tap & in_image[i] >> (16 + column_tap) & 1) != 0;
      ptx::copy16(a + chunk_at(first_row() + i * kEach, threadIdx.x & 7), product.x + (valid ? x_from[i] + x_tap : 0),
                  valid ? 16 : 0);
    }
    const int32_t weight_tap = element * product.depth + c;
#pragma unroll
    for (int i = 0; i < kColumns / kEach; ++i) {
      const bool valid = more && i * kEach < weight_rows;
      ptx::copy16(
          b + chunk_at(first_row() + i * kEach, threadIdx.x & 7),
          valid ? weight + int64_t{i * kEach} * product.kernel_elements * product.depth + weight_tap : product.weight,
          valid ? 16 : 0);
    }
    chunk += 8;
    carry();
  }
};

template <class T, class Out, class Engine>
__global__ __launch_bounds__(kThreads, Engine::kBlocks) void gather_kernel(
    const __grid_constant__ GatherProduct<T, Out> product) {
  extern __shared__ __align__(1024) unsigned char tiles[];
  constexpr int kRows = Engine::kRows, kColumns = Engine::kColumns, kStages = Engine::kStages, kAhead = Engine::kAhead;
  constexpr int kStageBytes = (kRows + kColumns) * kRowBytes;

  const int a = blockIdx.z / product.columns.phases, b = blockIdx.z % product.columns.phases;
  const int32_t lattice_rows = product.rows.lattice(a), lattice_columns = product.columns.lattice(b);
  const int32_t count = product.images * lattice_rows * lattice_columns;
  const int tiles_across = (product.width + kColumns - 1) / kColumns;
  const uint32_t per_row = static_cast<uint32_t>(product.groups * tiles_across);
  const int32_t tile = static_cast<int32_t>(blockIdx.x / per_row);
  const int in_row = static_cast<int>(blockIdx.x % per_row);
  const int group = in_row / tiles_across, first_column = in_row % tiles_across * kColumns;
  if (int64_t{tile} * kRows >= count) return;
  const int32_t first = tile * kRows;

  // Where the thread's row of the tile goes in y; −1 past the last.
  int64_t y_from = -1;
  const int32_t position = first + static_cast<int32_t>(threadIdx.x);
  if (threadIdx.x < kRows && position < count) {
    const int32_t line = position / lattice_columns, image = line / lattice_rows;
    const int64_t h = int64_t{line - image * lattice_rows} * product.rows.phases + a;
    const int64_t w = int64_t{position - line * lattice_columns} * product.columns.phases + b;
    y_from = place_in_y(product, image, h * product.columns.out + w);
  }

  Loader<T, Out, kRows, kColumns> loader(product, a, b, first, count, lattice_rows, lattice_columns, group,
                                         first_column);
  const int chunks = product.rows.phase[a].taps * product.columns.phase[b].taps * (product.depth / kChunk<T>);
  const int steps = (chunks + 7) / 8;
  const auto load = [&](int stage) {
    unsigned char* const at = tiles + stage * kStageBytes;
    loader.load(at, at + kRows * kRowBytes);
  };
#pragma unroll
  for (int s = 0; s < kAhead; ++s) {
    if (s < steps) load(s);
    ptx::copy_commit();
  }

  Engine engine;
  for (int step = 0, now = 0, next = kAhead; step < steps; ++step) {
    ptx::copy_wait<kAhead - 1>();
    engine.before_barrier();
    __syncthreads();
    unsigned char* const at = tiles + now * kStageBytes;
    // What is asynchronous starts before the copies do, what is not after them.
    if constexpr (Engine::kAsync) engine.add_along(at, at + kRows * kRowBytes);
    if (step + kAhead < steps) load(next);
    ptx::copy_commit();
    if constexpr (!Engine::kAsync) engine.add_along(at, at + kRows * kRowBytes);
    engine.after_step();
    now = now + 1 == kStages ? 0 : now + 1, next = next + 1 == kStages ? 0 : next + 1;
  }
  engine.finish();
  ptx::copy_wait<0>();
  __syncthreads();

  store_tile<kRows, kColumns>(product, engine, tiles, y_from, first, count, group * product.width + first_column,
                              min(kColumns, product.width - first_column));
}

template <class Engine, class T, class Out>
void launch(const GatherProduct<T, Out>& product) {
  constexpr int kRows = Engine::kRows, kColumns = Engine::kColumns;
  constexpr int kBytes = Engine::kStages * (kRows + kColumns) * kRowBytes;
  static_assert(kRows % kGatherRows == 0 && kStoreBytes<kRows, kColumns> <= kBytes);
  const auto kernel = gather_kernel<T, Out, Engine>;
  ESPALIER_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes));
  const int64_t most = int64_t{product.images} * product.rows.lattice(0) * product.columns.lattice(0);
  const int64_t blocks = ceil_div(most, kRows) * ceil_div(product.width, kColumns) * product.groups;
  if (blocks >= int64_t{1} << 31) fail(ESPALIER_INVALID_ARGUMENT, "the convolution is too large");
  const dim3 grid(static_cast<unsigned>(blocks), 1,
                  static_cast<unsigned>(product.rows.phases * product.columns.phases));
  kernel<<<grid, kThreads, kBytes, stream()>>>(product);
  launched("conv_gather");
}

// The engine for a product of so many columns. Of Hopper's these were the fastest measured on an H200: the way from
// the cache limits both, so tiles are as large as two blocks a multiprocessor leave room for. One block of twice the
// size with more stages was slower (128 columns, 28 × 28: 0.18 ms to 0.15), three small ones too (64 columns,
// 56 × 56: 0.27 ms to 0.25).
template <class T, class Out>
void choose(const GatherProduct<T, Out>& product) {
  if constexpr (sizeof(T) == 2)
    if (near_product(product)) return;
  if constexpr (!std::is_same_v<T, float>)
    if (warpgroups_serve()) {
      if (product.width <= 64) return launch<Warpgroups<T, 256, 64, 2>>(product);
      return launch<Warpgroups<T, 128, 128, 3>>(product);
    }
  if (product.width <= 64) launch<PlainEngine<T, 128, 64>>(product);
  else launch<PlainEngine<T, 128, 128>>(product);
}

}  // namespace

template <class T, class Out>
void gather_product(const GatherProduct<T, Out>& product) {
  // Positions and offsets are 32 bits in the kernel: as many images at a time as allow it, in whole tiles.
  const int64_t x_image = int64_t{product.rows.in} * product.columns.in * product.groups * product.depth;
  const int64_t y_plane = int64_t{product.rows.out} * product.columns.out;
  const int64_t y_image = y_plane * product.groups * product.width;
  int64_t most = images_at_once(x_image, y_plane);
  if (most < product.images && most > kGatherRows) most -= most % kGatherRows;
  for (int64_t first = 0; first < product.images; first += most) {
    GatherProduct<T, Out> part = product;
    part.images = static_cast<int32_t>(std::min<int64_t>(most, product.images - first));
    part.x += first * x_image;
    part.y += first * y_image;
    if (part.add != nullptr) part.add += first * y_image;
    if (part.moments != nullptr) part.moments += first * y_plane / kGatherRows * product.groups * product.width;
    choose(part);
  }
}

template void gather_product(const GatherProduct<__nv_bfloat16, __nv_bfloat16>&);
template void gather_product(const GatherProduct<__nv_bfloat16, float>&);
template void gather_product(const GatherProduct<__half, __half>&);
template void gather_product(const GatherProduct<Tf32, float>&);
template void gather_product(const GatherProduct<float, float>&);

}  // namespace espalier::cuda::conv
