// Pooling: a thread a window, or a thread an input position for gradients, which gather: nothing is added up in
// an order that depends on timing. Large windows of adaptive pooling are taken by warps.
#include "espalier/pool.h"

#include "cuda/core/launch.cuh"
#include "cuda/divider.h"
#include "espalier/cuda/operations.h"

using namespace espalier;
using namespace espalier::cuda;

namespace {

// [begin, end) of something.
struct Span {
  int64_t begin, end;
};

// ---- Windows ---------------------------------------------------------------------------------------

// Numbers that positions are divided by. (Of nothing no quotient is asked for.)
Divider divider(int64_t size) { return Divider(std::max<int64_t>(size, 1)); }

// One dimension of a pooling.
struct Axis {
  int64_t size, out, kernel, stride, padding, dilation;
  Divider by_size{}, by_out{}, by_stride{}, by_dilation{};

  __device__ int64_t start(int64_t window) const { return window * stride - padding; }
  // The taps of the window that fall inside the image.
  __device__ Span taps(int64_t window) const {
    const int64_t from = start(window);
    const int64_t begin = from >= 0 ? 0 : min(kernel, by_dilation.quotient(dilation - 1 - from));
    if (from + (kernel - 1) * dilation < size) return {begin, kernel};
    const int64_t end = from >= size ? 0 : by_dilation.quotient(size - from + dilation - 1);
    return {begin, max(begin, min(end, kernel))};
  }
  // How many values the window divides by along this dimension.
  __device__ int64_t counted(int64_t window, bool count_padding) const {
    const int64_t from = start(window), end = min(from + kernel, size + padding);
    return count_padding ? end - from : min(end, size) - max(from, int64_t{0});
  }
  // The windows over a position, dilation 1.
  __device__ Span windows_over(int64_t position) const {
    const int64_t reach = position + padding - kernel;  // windows that start at or before it have ended
    return {reach < 0 ? 0 : by_stride.quotient(reach) + 1, min(out, by_stride.quotient(position + padding) + 1)};
  }
};
struct Window2d {
  Axis rows, columns;
};

// A dimension whose windows share out the image.
struct Share {
  int64_t size, out;
  Divider by_size{}, by_out{};

  __device__ Span over(int64_t window) const {
    return {by_out.quotient(window * size), by_out.quotient((window + 1) * size + out - 1)};
  }
  __device__ int64_t length(int64_t window) const {
    const Span span = over(window);
    return span.end - span.begin;
  }
  __device__ Span windows_over(int64_t position) const {
    return {by_size.quotient(position * out), by_size.quotient((position + 1) * out + size - 1)};
  }
};

// An element of planes of rows × columns.
struct Element {
  int64_t plane, row, column;
  __device__ Element(int64_t i, const Divider& rows, const Divider& columns) {
    plane = rows.split(columns.split(i, column), row);
  }
};
// A window in all planes, or a position under the windows.
template <class Shape>
__device__ Element window_at(int64_t i, const Shape& shape) {
  return {i, shape.rows.by_out, shape.columns.by_out};
}
template <class Shape>
__device__ Element position_at(int64_t i, const Shape& shape) {
  return {i, shape.rows.by_size, shape.columns.by_size};
}

// ---- Largest value ---------------------------------------------------------------------------------

// The largest value met and its place, the first of equal ones; of NaN, which is larger than all, the last.
template <class T>
struct Largest {
  T value;
  int32_t place = -1;
  __device__ explicit Largest(T lowest) : value(lowest) {}
  // Values come in reading order.
  __device__ void take(T other, int32_t at) {
    if (other > value || other != other || place < 0) {
      value = other;
      place = at;
    }
  }
  // Another one's, of places in between.
  __device__ void join(T other, int32_t at) {
    if (at < 0) return;
    const bool nan = value != value, other_nan = other != other;
    const bool better = place < 0          ? true
                        : nan || other_nan ? other_nan && (!nan || at > place)
                        : other == value   ? at < place
                                           : other > value;
    if (better) {
      value = other;
      place = at;
    }
  }
};

template <class T>
void max_pool2d(int64_t n, const Window2d& shape, const T* x, T* y, int32_t* indices) {
  using W = wide_t<T>;
  for_each(n, "max_pool2d", [=] __device__(int64_t i) {
    const Element at = window_at(i, shape);
    const Span rows = shape.rows.taps(at.row), columns = shape.columns.taps(at.column);
    const T* const image = x + at.plane * (shape.rows.size * shape.columns.size);
    Largest<W> largest(-INFINITY);
    // Places in a plane fit 32 bits, and so do the taps of a window. (Steps past the last tap may wrap.)
    const auto width = static_cast<uint32_t>(shape.columns.size);
    const uint32_t row_step = static_cast<uint32_t>(shape.rows.dilation) * width;
    const auto column_step = static_cast<uint32_t>(shape.columns.dilation);
    const auto row_taps = static_cast<int>(rows.end - rows.begin);
    const auto column_taps = static_cast<int>(columns.end - columns.begin);
    auto line = static_cast<uint32_t>(shape.rows.start(at.row) + rows.begin * shape.rows.dilation) * width +
                static_cast<uint32_t>(shape.columns.start(at.column) + columns.begin * shape.columns.dilation);
    for (int r = 0; r < row_taps; ++r, line += row_step) {
      uint32_t here = line;
      for (int c = 0; c < column_taps; ++c, here += column_step)
        largest.take(widen(image[here]), static_cast<int32_t>(here));
    }
    y[i] = narrow<T>(largest.value);
    if (indices != nullptr) indices[i] = largest.place;
  });
}

// The gradient of a plane goes where its windows' indices say. Several windows may name one position, and then
// their gradients are added in the order of the windows: in each round the first window not yet served of each
// position is, found by a minimum of integers. A block a plane; as many rounds as windows share a position.
// `work` has for each position the last window served, and the next.
template <class T>
__device__ void scatter_plane(int64_t in_size, int64_t out_size, const T* dy, const int32_t* indices, T* dx, int* work,
                              Fault* fault, int32_t source) {
  int *const last = work, *const next = work + in_size;
  for (int64_t i = threadIdx.x; i < in_size; i += blockDim.x) {
    last[i] = -1;
    next[i] = INT_MAX;
    dx[i] = narrow<T>(0);
  }
  __syncthreads();
  for (bool first = true;; first = false) {
    bool waiting = false;
    for (int64_t o = threadIdx.x; o < out_size; o += blockDim.x) {
      const int64_t at = indices[o];
      if (at < 0 || at >= in_size) {
        if (first && at != -1) raise_fault(fault, FaultKind::kIndexOutOfRange, source, at);
        continue;
      }
      if (o <= last[at]) continue;
      atomicMin(&next[at], static_cast<int>(o));
      waiting = true;
    }
    if (!__syncthreads_or(waiting)) return;
    for (int64_t o = threadIdx.x; o < out_size; o += blockDim.x) {
      const int64_t at = indices[o];
      // (Whoever compares after `next` is reset finds INT_MAX, which is no window.)
      if (at < 0 || at >= in_size || next[at] != o) continue;
      dx[at] = narrow<T>(widen(dx[at]) + widen(dy[o]));
      last[at] = static_cast<int>(o);
      next[at] = INT_MAX;
    }
    __syncthreads();
  }
}

template <class T>
__global__ void __launch_bounds__(1024)
    max_pool_backward_kernel(int64_t planes, int64_t in_size, int64_t out_size, const T* dy, const int32_t* indices,
                             T* dx, int* work_of_blocks, Fault* fault, int32_t source) {
  extern __shared__ int shared_work[];
  int* const work = work_of_blocks == nullptr ? shared_work : work_of_blocks + blockIdx.x * 2 * in_size;
  for (int64_t plane = blockIdx.x; plane < planes; plane += gridDim.x)
    scatter_plane(in_size, out_size, dy + plane * out_size, indices + plane * out_size, dx + plane * in_size, work,
                  fault, source);
}

template <class T>
void max_pool_backward(int64_t planes, int64_t in_size, int64_t out_size, const T* dy, const int32_t* indices, T* dx,
                       int32_t source) {
  if (planes == 0 || in_size == 0) return;
  const int64_t bytes = 2 * in_size * int64_t{sizeof(int)}, most = traits().shared_optin - 1024;
  const int threads = in_size <= 1024 ? 128 : in_size <= 8192 ? 256 : 1024;
  const auto kernel = max_pool_backward_kernel<T>;
  int64_t blocks = std::min<int64_t>(planes, int64_t{traits().multiprocessors} * 64);
  Fault* const fault = faults();
  if (bytes <= most) {
    ESPALIER_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(most)));
    kernel<<<static_cast<unsigned>(blocks), threads, static_cast<size_t>(bytes), stream()>>>(
        planes, in_size, out_size, dy, indices, dx, nullptr, fault, source);
  } else {
    blocks = std::min<int64_t>(blocks, traits().multiprocessors);
    Temporary<int> work(blocks * 2 * in_size);
    kernel<<<static_cast<unsigned>(blocks), threads, 0, stream()>>>(planes, in_size, out_size, dy, indices, dx,
                                                                    work.get(), fault, source);
  }
  launched("max_pool_backward");
}

// ---- Mean ------------------------------------------------------------------------------------------

template <class T>
void avg_pool2d(int64_t n, const Window2d& shape, bool count_padding, const T* x, T* y) {
  using W = wide_t<T>;
  for_each(n, "avg_pool2d", [=] __device__(int64_t i) {
    const Element at = window_at(i, shape);
    const Span rows = shape.rows.taps(at.row), columns = shape.columns.taps(at.column);
    const T* const first = x + at.plane * (shape.rows.size * shape.columns.size) +
                           shape.rows.start(at.row) * shape.columns.size + shape.columns.start(at.column);
    W sum = 0;
    for (int64_t r = rows.begin; r < rows.end; ++r)
      for (int64_t c = columns.begin; c < columns.end; ++c) sum += widen(first[r * shape.columns.size + c]);
    const int64_t count = shape.rows.counted(at.row, count_padding) * shape.columns.counted(at.column, count_padding);
    // An image without values has a mean of 0.
    y[i] = narrow<T>(count > 0 ? sum / static_cast<W>(count) : W{0});
  });
}

template <class T>
void avg_pool2d_backward(int64_t n, const Window2d& shape, bool count_padding, const T* dy, T* dx) {
  using W = wide_t<T>;
  for_each(n, "avg_pool2d_backward", [=] __device__(int64_t i) {
    const Element at = position_at(i, shape);
    const Span rows = shape.rows.windows_over(at.row), columns = shape.columns.windows_over(at.column);
    const T* const plane = dy + at.plane * (shape.rows.out * shape.columns.out);
    W sum = 0;
    for (int64_t r = rows.begin; r < rows.end; ++r) {
      const int64_t row_count = shape.rows.counted(r, count_padding);
      for (int64_t c = columns.begin; c < columns.end; ++c)
        sum += widen(plane[r * shape.columns.out + c]) /
               static_cast<W>(row_count * shape.columns.counted(c, count_padding));
    }
    dx[i] = narrow<T>(sum);
  });
}

// ---- Adaptive --------------------------------------------------------------------------------------

// A window of an image by a group of kLanes threads, 1 or 32: visit(place in the plane) for those of one lane.
template <int kLanes, class Visit>
__device__ __forceinline__ void over_window(Span rows, Span columns, int64_t width, Visit visit) {
  const int64_t across = columns.end - columns.begin, count = (rows.end - rows.begin) * across;
  for (int64_t j = kLanes == 1 ? 0 : threadIdx.x % kLanes; j < count; j += kLanes) {
    const int64_t row = j / across;
    visit((rows.begin + row) * width + columns.begin + (j - row * across));
  }
}

struct AdaptiveShape {
  Share rows, columns;
  int64_t n;  // windows in all planes
};

template <int kLanes, class T>
__global__ void __launch_bounds__(kBlock) adaptive_avg_kernel(AdaptiveShape shape, const T* x, T* y) {
  using W = wide_t<T>;
  for (int64_t i = (blockIdx.x * int64_t{kBlock} + threadIdx.x) / kLanes; i < shape.n;
       i += int64_t{gridDim.x} * (kBlock / kLanes)) {
    const Element at = window_at(i, shape);
    const Span rows = shape.rows.over(at.row), columns = shape.columns.over(at.column);
    const T* const image = x + at.plane * (shape.rows.size * shape.columns.size);
    W sum = 0;
    over_window<kLanes>(rows, columns, shape.columns.size, [&](int64_t place) { sum += widen(image[place]); });
    if constexpr (kLanes == 32) sum = warp_reduce(sum, [](W a, W b) { return a + b; });
    if (kLanes == 1 || threadIdx.x % kLanes == 0)
      y[i] = narrow<T>(sum / static_cast<W>((rows.end - rows.begin) * (columns.end - columns.begin)));
  }
}

template <int kLanes, class T>
__global__ void __launch_bounds__(kBlock) adaptive_max_kernel(AdaptiveShape shape, const T* x, T* y, int32_t* indices) {
  using W = wide_t<T>;
  for (int64_t i = (blockIdx.x * int64_t{kBlock} + threadIdx.x) / kLanes; i < shape.n;
       i += int64_t{gridDim.x} * (kBlock / kLanes)) {
    const Element at = window_at(i, shape);
    const T* const image = x + at.plane * (shape.rows.size * shape.columns.size);
    Largest<W> largest(-INFINITY);
    over_window<kLanes>(shape.rows.over(at.row), shape.columns.over(at.column), shape.columns.size,
                        [&](int64_t place) { largest.take(widen(image[place]), static_cast<int32_t>(place)); });
    if constexpr (kLanes == 32)
      for (int offset = 16; offset > 0; offset /= 2) {
        const W other = __shfl_xor_sync(0xffffffffu, largest.value, offset);
        const int32_t place = __shfl_xor_sync(0xffffffffu, largest.place, offset);
        largest.join(other, place);
      }
    if (kLanes == 1 || threadIdx.x % kLanes == 0) {
      y[i] = narrow<T>(largest.value);
      if (indices != nullptr) indices[i] = largest.place;
    }
  }
}

// launch(std::integral_constant<int, lanes a window>{}, grid)
template <class Launch>
void by_window_size(const AdaptiveShape& shape, const char* name, Launch launch) {
  if (shape.n == 0) return;
  const int64_t window = ceil_div(shape.rows.size, shape.rows.out) * ceil_div(shape.columns.size, shape.columns.out);
  if (window < 32) launch(std::integral_constant<int, 1>{}, grid_for(shape.n));
  else launch(std::integral_constant<int, 32>{}, grid_for(shape.n * 32));
  launched(name);
}

template <class T>
void adaptive_avg_pool2d_backward(int64_t n, const AdaptiveShape& shape, const T* dy, T* dx) {
  using W = wide_t<T>;
  for_each(n, "adaptive_avg_pool2d_backward", [=] __device__(int64_t i) {
    const Element at = position_at(i, shape);
    const Span rows = shape.rows.windows_over(at.row), columns = shape.columns.windows_over(at.column);
    const T* const plane = dy + at.plane * (shape.rows.out * shape.columns.out);
    W sum = 0;
    for (int64_t r = rows.begin; r < rows.end; ++r)
      for (int64_t c = columns.begin; c < columns.end; ++c)
        sum += widen(plane[r * shape.columns.out + c]) / static_cast<W>(shape.rows.length(r) * shape.columns.length(c));
    dx[i] = narrow<T>(sum);
  });
}

// ---- Checks ----------------------------------------------------------------------------------------

// As in capi/pool.cc: above it an index into a plane would not fit its type; every other size shares the limit,
// so that sums and products of two of them fit 64 bits.
constexpr int64_t kLimit = (int64_t{1} << 31) - 1;

struct Sizes {
  int64_t in, out;
};

Axis checked_axis(const char* name, Axis axis) {
  require_range("kernel", axis.kernel, 1, int64_t{1} << 20);
  require_range("stride", axis.stride, 1, kLimit);
  require_range("padding", axis.padding, 0, axis.kernel / 2);
  require_range("dilation", axis.dilation, 1, kLimit);
  require_range(name, axis.size, 0, kLimit);
  require_range(name, axis.out, 0, kLimit);
  const int64_t reach = (axis.kernel - 1) * axis.dilation;
  if (axis.out > 0 && reach >= axis.size + 2 * axis.padding)
    fail(ESPALIER_SHAPE_MISMATCH, "%s: a window of %lld is larger than %lld with padding %lld", name,
         static_cast<long long>(reach + 1), static_cast<long long>(axis.size), static_cast<long long>(axis.padding));
  if (axis.out > 0 && (axis.out - 1) * axis.stride >= axis.size + axis.padding)
    fail(ESPALIER_SHAPE_MISMATCH, "%s: the last of %lld windows starts at %lld, behind the %lld values", name,
         static_cast<long long>(axis.out), static_cast<long long>((axis.out - 1) * axis.stride - axis.padding),
         static_cast<long long>(axis.size));
  axis.by_size = divider(axis.size);
  axis.by_out = divider(axis.out);
  axis.by_stride = divider(axis.stride);
  axis.by_dilation = divider(axis.dilation);
  return axis;
}

Window2d checked_windows(const espalier_pool2d& shape) {
  const Window2d result{checked_axis("height", {shape.height, shape.out_height, shape.kernel_height,
                                                shape.stride_height, shape.padding_height, shape.dilation_height}),
                        checked_axis("width", {shape.width, shape.out_width, shape.kernel_width, shape.stride_width,
                                               shape.padding_width, shape.dilation_width})};
  require_range("height * width", shape.height * shape.width, 0, kLimit);
  return result;
}
template <class Shape>
Sizes sizes_of(const Shape& shape) {
  return {checked_product("shape", {shape.planes, shape.height, shape.width}),
          checked_product("shape", {shape.planes, shape.out_height, shape.out_width})};
}

Window2d checked_mean_windows(const espalier_pool2d& shape, int64_t count_padding) {
  const Window2d result = checked_windows(shape);
  if (shape.dilation_height != 1 || shape.dilation_width != 1)
    fail(ESPALIER_INVALID_ARGUMENT, "the dilation is %lld x %lld, expected 1 x 1",
         static_cast<long long>(shape.dilation_height), static_cast<long long>(shape.dilation_width));
  require_range("count_padding", count_padding, 0, 1);
  return result;
}

AdaptiveShape checked_shares(const espalier_adaptive_pool2d& shape) {
  for (const int64_t size : {shape.height, shape.width, shape.out_height, shape.out_width})
    require_range("shape", size, 0, kLimit);
  require_range("height * width", shape.height * shape.width, 0, kLimit);
  const Sizes sizes = sizes_of(shape);
  if (sizes.out > 0 && sizes.in == 0) fail(ESPALIER_SHAPE_MISMATCH, "the planes are empty, the windows are not");
  return {{shape.height, shape.out_height, divider(shape.height), divider(shape.out_height)},
          {shape.width, shape.out_width, divider(shape.width), divider(shape.out_width)},
          sizes.out};
}

}  // namespace

espalier_status espalier_cuda_max_pool2d_forward(espalier_in x, espalier_out y, espalier_out indices,
                                                 espalier_pool2d shape) {
  return guarded(__func__, [&] {
    const Window2d windows = checked_windows(shape);
    const Sizes sizes = sizes_of(shape);
    for_device_float("x", x.dtype, [&]<class T>(T) {
      max_pool2d(sizes.out, windows, elements<T>("x", x, sizes.in), elements<T>("y", y, sizes.out),
                 optional_elements<int32_t>("indices", indices, sizes.out));
    });
  });
}

espalier_status espalier_cuda_max_pool_backward(espalier_in dy, espalier_in indices, espalier_out dx, int64_t planes,
                                                int64_t in_size, int64_t out_size) {
  return guarded(__func__, [&] {
    const int64_t in = checked_product("shape", {planes, in_size});
    const int64_t out = checked_product("shape", {planes, out_size});
    require_range("in_size", in_size, 0, kLimit);
    require_range("out_size", out_size, 0, kLimit);
    const int32_t* const where = elements<int32_t>("indices", indices, out);
    const int32_t source = fault_source("espalier_cuda_max_pool_backward");
    for_device_float("dy", dy.dtype, [&]<class T>(T) {
      max_pool_backward(planes, in_size, out_size, elements<T>("dy", dy, out), where, elements<T>("dx", dx, in),
                        source);
    });
  });
}

espalier_status espalier_cuda_avg_pool2d_forward(espalier_in x, int64_t count_padding, espalier_out y,
                                                 espalier_pool2d shape) {
  return guarded(__func__, [&] {
    const Window2d windows = checked_mean_windows(shape, count_padding);
    const Sizes sizes = sizes_of(shape);
    for_device_float("x", x.dtype, [&]<class T>(T) {
      avg_pool2d(sizes.out, windows, count_padding == 1, elements<T>("x", x, sizes.in), elements<T>("y", y, sizes.out));
    });
  });
}

espalier_status espalier_cuda_avg_pool2d_backward(espalier_in dy, int64_t count_padding, espalier_out dx,
                                                  espalier_pool2d shape) {
  return guarded(__func__, [&] {
    const Window2d windows = checked_mean_windows(shape, count_padding);
    const Sizes sizes = sizes_of(shape);
    for_device_float("dy", dy.dtype, [&]<class T>(T) {
      avg_pool2d_backward(sizes.in, windows, count_padding == 1, elements<T>("dy", dy, sizes.out),
                          elements<T>("dx", dx, sizes.in));
    });
  });
}

espalier_status espalier_cuda_adaptive_avg_pool2d_forward(espalier_in x, espalier_out y,
                                                          espalier_adaptive_pool2d shape) {
  return guarded(__func__, [&] {
    const AdaptiveShape shares = checked_shares(shape);
    const Sizes sizes = sizes_of(shape);
    for_device_float("x", x.dtype, [&]<class T>(T) {
      const T* const from = elements<T>("x", x, sizes.in);
      T* const to = elements<T>("y", y, sizes.out);
      by_window_size(shares, "adaptive_avg_pool2d", [&](auto lanes, unsigned grid) {
        adaptive_avg_kernel<lanes><<<grid, kBlock, 0, stream()>>>(shares, from, to);
      });
    });
  });
}

espalier_status espalier_cuda_adaptive_avg_pool2d_backward(espalier_in dy, espalier_out dx,
                                                           espalier_adaptive_pool2d shape) {
  return guarded(__func__, [&] {
    const AdaptiveShape shares = checked_shares(shape);
    const Sizes sizes = sizes_of(shape);
    for_device_float("dy", dy.dtype, [&]<class T>(T) {
      adaptive_avg_pool2d_backward(sizes.in, shares, elements<T>("dy", dy, sizes.out), elements<T>("dx", dx, sizes.in));
    });
  });
}

espalier_status espalier_cuda_adaptive_max_pool2d_forward(espalier_in x, espalier_out y, espalier_out indices,
                                                          espalier_adaptive_pool2d shape) {
  return guarded(__func__, [&] {
    const AdaptiveShape shares = checked_shares(shape);
    const Sizes sizes = sizes_of(shape);
    for_device_float("x", x.dtype, [&]<class T>(T) {
      const T* const from = elements<T>("x", x, sizes.in);
      T* const to = elements<T>("y", y, sizes.out);
      int32_t* const places = optional_elements<int32_t>("indices", indices, sizes.out);
      by_window_size(shares, "adaptive_max_pool2d", [&](auto lanes, unsigned grid) {
        adaptive_max_kernel<lanes><<<grid, kBlock, 0, stream()>>>(shares, from, to, places);
      });
    });
  });
}
