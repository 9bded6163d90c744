#include "cuda/conv_weight.cuh"

#include "cuda/conv_near.cuh"
#include "cuda/conv_warpgroups.cuh"
#include "cuda/divider.h"

namespace espalier::cuda::conv {
namespace {

// What the kernel sees: the geometry in 32 bits, and where the sums of each share of the positions go.
template <class T>
struct Task {
  const T* x;
  const T* dy;
  float* partial;  // [shares, groups, width, elements · depth]
  int32_t count, steps, groups, depth, width, elements, kernel_width;
  int32_t in_height, in_width, stride_height, stride_width, padding_top, padding_left, dilation_height, dilation_width;
  Divider out_width, out_height;
};

template <class T, int kRows, int kColumns>
struct Loader {
  static constexpr int kDepth = kRowElements<T>;  // positions a step
  static constexpr int kEach = kThreads / 8;
  static constexpr int kLeft = kRows / kRowElements<T>, kRight = kColumns / kRowElements<T>;  // panels
  static constexpr int kPanel = kDepth * kRowBytes;
  static constexpr int kStageBytes = (kLeft + kRight) * kPanel;

  const Task<T>& task;
  int32_t position;
  int32_t dy_channel[kLeft];             // −1 past the last
  int32_t down[kRight], across[kRight];  // where the tap reads for output (0, 0)
  int32_t x_channel[kRight];             // −1 past the last tap

  __device__ Loader(const Task<T>& t, int group, int first_row, int first_column, int first_step)
      : task(t), position(first_step * kDepth + static_cast<int>(threadIdx.x >> 3)) {
    const int lane = (threadIdx.x & 7) * kChunk<T>;
#pragma unroll
    for (int i = 0; i < kLeft; ++i) {
      const int channel = first_row + i * kRowElements<T> + lane;
      dy_channel[i] = channel < task.width ? group * task.width + channel : -1;
    }
#pragma unroll
    for (int i = 0; i < kRight; ++i) {
      const int column = first_column + i * kRowElements<T> + lane;
      const int element = column / task.depth;
      x_channel[i] = element < task.elements ? group * task.depth + column - element * task.depth : -1;
      down[i] = element / task.kernel_width * task.dilation_height - task.padding_top;
      across[i] = element % task.kernel_width * task.dilation_width - task.padding_left;
    }
  }

  __device__ void load(unsigned char* stage) {
    const int row = threadIdx.x >> 3, chunk = threadIdx.x & 7;
#pragma unroll
    for (int r = 0; r < kDepth / kEach; ++r) {
      const int32_t at = position + r * kEach;
      const bool counts = at < task.count;
      int64_t row_of_image, column;
      const int64_t line = task.out_width.split(at, column);
      const int32_t image = static_cast<int32_t>(task.out_height.split(line, row_of_image));
      const int32_t h = static_cast<int32_t>(row_of_image) * task.stride_height;
      const int32_t w = static_cast<int32_t>(column) * task.stride_width;
#pragma unroll
      for (int i = 0; i < kLeft; ++i) {
        const bool valid = counts && dy_channel[i] >= 0;
        ptx::copy16(stage + i * kPanel + chunk_at(row + r * kEach, chunk),
                    task.dy + (valid ? at * (task.groups * task.width) + dy_channel[i] : 0), valid ? 16 : 0);
      }
#pragma unroll
      for (int i = 0; i < kRight; ++i) {
        const int32_t y = h + down[i], x = w + across[i];
        const bool valid = counts && x_channel[i] >= 0 &&
                           static_cast<uint32_t>(y) < static_cast<uint32_t>(task.in_height) &&
                           static_cast<uint32_t>(x) < static_cast<uint32_t>(task.in_width);
        const int32_t from = ((image * task.in_height + y) * task.in_width + x) * (task.groups * task.depth);
        ptx::copy16(stage + (kLeft + i) * kPanel + chunk_at(row + r * kEach, chunk),
                    task.x + (valid ? from + x_channel[i] : 0), valid ? 16 : 0);
      }
    }
    position += kDepth;
  }
};

// One block: a tile of the gradient, over its share of the positions.
template <class T, class Engine>
__global__ __launch_bounds__(kThreads, Engine::kBlocks) void weight_kernel(const __grid_constant__ Task<T> task) {
  extern __shared__ __align__(1024) unsigned char tiles[];
  constexpr int kRows = Engine::kRows, kColumns = Engine::kColumns, kStages = Engine::kStages, kAhead = Engine::kAhead;
  using Load = Loader<T, kRows, kColumns>;
  const int down = (task.width + kRows - 1) / kRows;
  const int tile = blockIdx.x, group = blockIdx.z;
  const int first_row = tile % down * kRows, first_column = tile / down * kColumns;
  const int total = (task.count + Load::kDepth - 1) / Load::kDepth;
  const int begin = static_cast<int>(blockIdx.y) * task.steps, steps = min(task.steps, total - begin);

  Load loader(task, group, first_row, first_column, begin);
#pragma unroll
  for (int s = 0; s < kAhead; ++s) {
    if (s < steps) loader.load(tiles + s * Load::kStageBytes);
    ptx::copy_commit();
  }
  Engine engine;
  for (int step = 0, now = 0, next = kAhead; step < steps; ++step) {
    ptx::copy_wait<kAhead - 1>();
    engine.before_barrier();
    __syncthreads();
    unsigned char* const at = tiles + now * Load::kStageBytes;
    if constexpr (Engine::kAsync) engine.add_across(at, at + Load::kLeft * Load::kPanel);
    if (step + kAhead < steps) loader.load(tiles + next * Load::kStageBytes);
    ptx::copy_commit();
    if constexpr (!Engine::kAsync) engine.add_across(at, at + Load::kLeft * Load::kPanel);
    engine.after_step();
    now = now + 1 == kStages ? 0 : now + 1, next = next + 1 == kStages ? 0 : next + 1;
  }
  engine.finish();

  const int columns = task.elements * task.depth;
  float* const to = task.partial + (int64_t{blockIdx.y} * task.groups + group) * task.width * columns;
  engine.each([&](int row, int column, auto... values) {
    row += first_row, column += first_column;
    if (row >= task.width) return;
    const auto put = [&](float value) {
      if (column < columns) to[int64_t{row} * columns + column] = value;
      ++column;
    };
    (put(values), ...);
  });
}

// Adds the shares in their order, and leaves out the padding.
template <class Out>
void add_shares(const float* partial, int shares, int64_t depth, int64_t width, bool channels_last,
                const espalier_conv2d& s, const Fold& fold, Out* dweight) {
  const int64_t in = s.in_channels / s.groups, out = s.out_channels / s.groups;
  const int64_t kernel_width = folded(s, fold).kernel_width,
                share = s.groups * width * s.kernel_height * kernel_width * depth;
  for_each(s.out_channels * s.kernel_height * s.kernel_width * in, "conv_add_shares", [=] __device__(int64_t i) {
    const int64_t c = i % in, q = i / in % s.kernel_width, p = i / in / s.kernel_width % s.kernel_height;
    const int64_t o = i / in / s.kernel_width / s.kernel_height;
    const int64_t tap = p * kernel_width + fold.tap(q, s.padding_left);
    const float* const from = partial + ((o / out * width + o % out) * s.kernel_height * kernel_width + tap) * depth +
                              fold.place(q, s.padding_left) * fold.slot + c;
    float sum = 0;
#pragma unroll 8
    for (int k = 0; k < shares; ++k) sum += from[k * share];
    dweight[channels_last ? i : ((o * in + c) * s.kernel_height + p) * s.kernel_width + q] = static_cast<Out>(sum);
  });
}

// How many shares of the positions fill the device best: its last round of blocks should be a full one.
int best_shares(int64_t tiles, int64_t steps, int64_t blocks) {
  const int64_t slots = blocks * traits().multiprocessors, most = std::clamp<int64_t>(steps / 8, 1, 4 * slots);
  int64_t best = 1;
  double fullest = 0;
  for (int64_t shares = 1; shares <= most && (shares == 1 || tiles * shares <= 4 * slots); ++shares) {
    const double full =
        static_cast<double>(tiles * shares) / static_cast<double>(ceil_div(tiles * shares, slots) * slots);
    if (full > fullest + 0.02) fullest = full, best = shares;
  }
  return static_cast<int>(best);
}

// Sums over all positions of shape s (folded) in shares: run(x, dy, partial, count, steps a share, shares) adds up
// `count` of them, `depth` a step. Positions are 32 bits in the kernels: so many images at a time.
template <class T, class Out, class Run>
void in_shares(const WeightProduct<T, Out>& product, const espalier_conv2d& s, int64_t tiles, int64_t step_positions,
               int64_t blocks, Run run) {
  const int64_t depth = padded<T>(s.in_channels / s.groups), width = padded<T>(s.out_channels / s.groups);
  const int64_t elements = s.kernel_height * s.kernel_width, plane = s.out_height * s.out_width;
  const int64_t x_image = s.in_height * s.in_width * s.groups * depth, dy_image = plane * s.groups * width;
  const int64_t images = std::min(s.n, images_at_once(std::max(x_image, dy_image), plane));
  const int64_t steps = ceil_div(images * plane, step_positions);
  const int64_t each = ceil_div(steps, best_shares(tiles, steps, blocks));
  const auto shares_of = [&](int64_t count) { return ceil_div(ceil_div(count * plane, step_positions), each); };
  const int64_t share = s.groups * width * elements * depth, rest = s.n % images;
  const int64_t shares = s.n / images * shares_of(images) + (rest > 0 ? shares_of(rest) : 0);
  const Temporary<float> partial(shares * share);
  float* to = partial;
  for (int64_t first = 0; first < s.n; first += images) {
    const int64_t count = std::min(images, s.n - first);
    run(product.x + first * x_image, product.dy + first * dy_image, to, static_cast<int32_t>(count * plane),
        static_cast<int32_t>(each), shares_of(count));
    to += shares_of(count) * share;
  }
  add_shares(partial.get(), static_cast<int>(shares), depth, width, product.channels_last, product.shape, product.fold,
             product.dweight);
}

template <class Engine, class T, class Out>
void launch(const WeightProduct<T, Out>& product) {
  const espalier_conv2d s = folded(product.shape, product.fold);
  constexpr int kRows = Engine::kRows, kColumns = Engine::kColumns;
  using Load = Loader<T, kRows, kColumns>;
  constexpr int kBytes = Engine::kStages * Load::kStageBytes;
  const auto small = [](int64_t value) { return static_cast<int32_t>(value); };
  const int64_t depth = padded<T>(s.in_channels / s.groups), width = padded<T>(s.out_channels / s.groups);
  Task<T> task;
  task.groups = small(s.groups), task.depth = small(depth), task.width = small(width);
  task.elements = small(s.kernel_height * s.kernel_width), task.kernel_width = small(s.kernel_width);
  task.in_height = small(s.in_height), task.in_width = small(s.in_width);
  task.stride_height = small(s.stride_height), task.stride_width = small(s.stride_width);
  task.padding_top = small(s.padding_top), task.padding_left = small(s.padding_left);
  task.dilation_height = small(s.dilation_height), task.dilation_width = small(s.dilation_width);
  task.out_width = Divider(s.out_width), task.out_height = Divider(s.out_height);
  const int64_t tiles = ceil_div(width, kRows) * ceil_div(task.elements * depth, kColumns);
  const auto kernel = weight_kernel<T, Engine>;
  ESPALIER_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes));
  in_shares(product, s, tiles * s.groups, Load::kDepth, Engine::kBlocks,
            [&](const T* x, const T* dy, float* partial, int32_t count, int32_t steps, int64_t shares) {
              task.x = x, task.dy = dy, task.partial = partial, task.count = count, task.steps = steps;
              const dim3 grid(static_cast<unsigned>(tiles), static_cast<unsigned>(shares),
                              static_cast<unsigned>(s.groups));
              kernel<<<grid, kThreads, kBytes, stream()>>>(task);
              launched("conv_weight");
            });
}

template <class T, class Out>
void launch_near(const WeightProduct<T, Out>& product) {
  const espalier_conv2d& s = product.shape;
  const auto small = [](int64_t value) { return static_cast<int32_t>(value); };
  const int64_t width = padded<T>(s.out_channels);
  const int64_t tiles = s.in_channels / kNearWeightSide * ceil_div(width, kNearWeightSide);
  in_shares(product, s, tiles, kNearWeightDepth, 1,
            [&](const T* x, const T* dy, float* partial, int32_t count, int32_t steps, int64_t shares) {
              near_weight<T>({x, dy, partial, count, steps, small(s.in_channels), small(width), small(s.in_height),
                              small(s.in_width), small(-s.padding_top), small(s.dilation_height),
                              small(-s.padding_left), small(s.dilation_width)},
                             shares);
            });
}

}  // namespace

// Hopper's tiles are the fastest measured on an H200: 64 × 256 and 128 × 256, one block a multiprocessor (two blocks
// of half the columns were 2 to 10% slower).
template <class T, class Out>
void weight_product(const WeightProduct<T, Out>& product) {
  const bool narrow = product.shape.out_channels / product.shape.groups <= 64;
  if constexpr (sizeof(T) == 2)
    if (warpgroups_serve()) {
      if (near_weight_serves(product.shape)) return launch_near(product);
      if (narrow) return launch<Warpgroups<T, 64, 256, 5, 1, true>>(product);
      return launch<Warpgroups<T, 128, 256, 4, 1>>(product);
    }
  if (narrow) launch<PlainEngine<T, 64, 128>>(product);
  else launch<PlainEngine<T, 128, 128>>(product);
}

template void weight_product(const WeightProduct<__nv_bfloat16, __nv_bfloat16>&);
template void weight_product(const WeightProduct<__nv_bfloat16, float>&);
template void weight_product(const WeightProduct<__half, __half>&);
template void weight_product(const WeightProduct<__half, float>&);
template void weight_product(const WeightProduct<Tf32, float>&);
template void weight_product(const WeightProduct<float, float>&);

}  // namespace espalier::cuda::conv
