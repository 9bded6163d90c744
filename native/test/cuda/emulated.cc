// The CUDA library's interface on the host's memory, for tests of everything above it on machines without a
// GPU: two "devices" whose memory is the heap, where the operations are the CPU's own (the linker gives them
// their second names; see CMakeLists.txt). What is freed is overwritten by NaN, and memory ends at 1 GiB.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

#include "core/array.h"
#include "core/conv_shape.h"
#include "espalier_cuda.h"

using namespace espalier;

namespace {

constexpr int64_t kDevices = 2, kMemory = int64_t{1} << 30;

std::mutex g_lock;
std::map<void*, std::pair<int64_t, int64_t>> g_live;  // address → device, bytes
int64_t g_used[kDevices];
thread_local int64_t t_device = 0;

// Values between any two element types. Halves by hand: not every compiler has a type for them.
float half_to_float(uint16_t bits) {
  const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
  const float magnitude = exponent == 0   ? std::ldexp(static_cast<float>(mantissa), -24)
                          : exponent < 31 ? std::ldexp(static_cast<float>(1024 + mantissa), exponent - 25)
                          : mantissa == 0 ? INFINITY
                                          : NAN;
  return bits >> 15 ? -magnitude : magnitude;
}
uint16_t float_to_half(float value) {
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  const float magnitude = std::fabs(value);
  if (std::isnan(value)) return 0x7e00;
  if (magnitude >= 65520) return sign | 0x7c00;
  int exponent = 0;
  std::frexp(magnitude, &exponent);
  // Subnormal below 2^-14: their steps are 2^-24.
  const int step = std::max(exponent - 11, -24);
  const auto code = static_cast<uint16_t>(std::nearbyint(std::ldexp(magnitude, -step)));
  return static_cast<uint16_t>(sign | (step == -24 ? code : ((step + 25) << 10) + code - 1024));
}
float bfloat_to_float(uint16_t bits) {
  const uint32_t wide = uint32_t{bits} << 16;
  float value;
  std::memcpy(&value, &wide, sizeof value);
  return value;
}
uint16_t float_to_bfloat(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

double load(espalier_in x, int64_t i) {
  switch (x.dtype) {
    case ESPALIER_FLOAT32: return static_cast<const float*>(x.data)[i];
    case ESPALIER_FLOAT64: return static_cast<const double*>(x.data)[i];
    case ESPALIER_INT32: return static_cast<const int32_t*>(x.data)[i];
    case ESPALIER_INT16: return static_cast<const int16_t*>(x.data)[i];
    case ESPALIER_INT8: return static_cast<const int8_t*>(x.data)[i];
    case ESPALIER_UINT8: return static_cast<const uint8_t*>(x.data)[i];
    case ESPALIER_FLOAT16: return half_to_float(static_cast<const uint16_t*>(x.data)[i]);
    default: return bfloat_to_float(static_cast<const uint16_t*>(x.data)[i]);
  }
}
void store(espalier_out y, int64_t i, double value) {
  switch (y.dtype) {
    case ESPALIER_FLOAT32: static_cast<float*>(y.data)[i] = static_cast<float>(value); break;
    case ESPALIER_FLOAT64: static_cast<double*>(y.data)[i] = value; break;
    case ESPALIER_INT32: static_cast<int32_t*>(y.data)[i] = static_cast<int32_t>(value); break;
    case ESPALIER_INT16: static_cast<int16_t*>(y.data)[i] = static_cast<int16_t>(value); break;
    case ESPALIER_INT8: static_cast<int8_t*>(y.data)[i] = static_cast<int8_t>(value); break;
    case ESPALIER_UINT8: static_cast<uint8_t*>(y.data)[i] = static_cast<uint8_t>(value); break;
    case ESPALIER_FLOAT16: static_cast<uint16_t*>(y.data)[i] = float_to_half(static_cast<float>(value)); break;
    default: static_cast<uint16_t*>(y.data)[i] = float_to_bfloat(static_cast<float>(value)); break;
  }
}

espalier_status copied(const void* from, void* to, int64_t bytes) {
  if (bytes > 0) std::memmove(to, from, static_cast<size_t>(bytes));
  return ESPALIER_OK;
}

}  // namespace

espalier_status espalier_cuda_device_count(int64_t* count) {
  *count = kDevices;
  return ESPALIER_OK;
}
espalier_status espalier_cuda_set_device(int64_t device) {
  return guarded(__func__, [&] {
    require_range("device", device, int64_t{0}, kDevices - 1);
    t_device = device;
  });
}
espalier_status espalier_cuda_device(int64_t* device) {
  *device = t_device;
  return ESPALIER_OK;
}
espalier_status espalier_cuda_describe(int64_t device, espalier_cuda_properties* properties) {
  return guarded(__func__, [&] {
    require_range("device", device, int64_t{0}, kDevices - 1);
    *properties = {"emulated", kMemory, kMemory - g_used[device], 0, 1, 0};
  });
}

espalier_status espalier_cuda_allocate(int64_t bytes, void** address) {
  return guarded(__func__, [&] {
    const std::lock_guard<std::mutex> hold(g_lock);
    if (bytes > kMemory - g_used[t_device])
      fail(ESPALIER_OUT_OF_MEMORY, "%lld bytes asked for, %lld free", static_cast<long long>(bytes),
           static_cast<long long>(kMemory - g_used[t_device]));
    *address = std::malloc(static_cast<size_t>(bytes > 0 ? bytes : 1));
    std::memset(*address, 0xff, static_cast<size_t>(bytes));
    g_live[*address] = {t_device, bytes};
    g_used[t_device] += bytes;
  });
}
espalier_status espalier_cuda_free(void* address) {
  return guarded(__func__, [&] {
    if (address == nullptr) return;
    const std::lock_guard<std::mutex> hold(g_lock);
    const auto found = g_live.find(address);
    if (found == g_live.end()) fail(ESPALIER_INVALID_ARGUMENT, "the address is not in use");
    std::memset(address, 0xff, static_cast<size_t>(found->second.second));
    g_used[found->second.first] -= found->second.second;
    g_live.erase(found);
    std::free(address);
  });
}
espalier_status espalier_cuda_memory(int64_t* used, int64_t* cached) {
  const std::lock_guard<std::mutex> hold(g_lock);
  *used = g_used[t_device];
  *cached = 0;
  return ESPALIER_OK;
}
espalier_status espalier_cuda_empty_cache(void) { return ESPALIER_OK; }

espalier_status espalier_cuda_upload(const void* host, void* device, int64_t bytes) {
  return copied(host, device, bytes);
}
espalier_status espalier_cuda_download(const void* device, void* host, int64_t bytes) {
  return copied(device, host, bytes);
}
espalier_status espalier_cuda_copy(const void* from, void* to, int64_t bytes) { return copied(from, to, bytes); }
espalier_status espalier_cuda_fill_bytes(void* device, int64_t value, int64_t bytes) {
  if (bytes > 0) std::memset(device, static_cast<int>(value), static_cast<size_t>(bytes));
  return ESPALIER_OK;
}
espalier_status espalier_cuda_cast(espalier_in x, espalier_out y) {
  return guarded(__func__, [&] {
    if (x.length != y.length) fail(ESPALIER_SHAPE_MISMATCH, "x and y differ in length");
    for (int64_t i = 0; i < x.length; ++i) store(y, i, load(x, i));
  });
}

espalier_status espalier_cuda_synchronize(void) { return ESPALIER_OK; }
espalier_status espalier_cuda_stream_create(int64_t* stream) {
  *stream = 1;
  return ESPALIER_OK;
}
espalier_status espalier_cuda_stream_destroy(int64_t) { return ESPALIER_OK; }
espalier_status espalier_cuda_set_stream(int64_t) { return ESPALIER_OK; }
espalier_status espalier_cuda_stream(int64_t* stream) {
  *stream = 0;
  return ESPALIER_OK;
}
espalier_status espalier_cuda_wait_stream(int64_t) { return ESPALIER_OK; }
espalier_status espalier_cuda_set_precision(espalier_cuda_precision) { return ESPALIER_OK; }

// Products of single elements, of which the pattern is here their places.
namespace {

// body(element, row, column) for each element that counts.
template <class Body>
void each_element(espalier_in pattern, espalier_cuda_sparse shape, Body body) {
  const auto* const places = static_cast<const int32_t*>(pattern.data);
  for (int64_t i = 0; i < pattern.length; ++i) body(i, places[i] / shape.k, places[i] % shape.k);
}

void check_kept(int64_t weight, int64_t values, espalier_in pattern, espalier_cuda_sparse shape) {
  if (weight != shape.m * shape.k || values != pattern.length) fail(ESPALIER_SHAPE_MISMATCH, "lengths differ");
}

// Where sample j of component i stands in an array of `size` components.
int64_t at(espalier_cuda_sparse shape, int64_t size, int64_t i, int64_t j) {
  return shape.batch_major == 1 ? j * size + i : i * shape.n + j;
}

}  // namespace

espalier_status espalier_cuda_sparse_count(espalier_in mask, int64_t* count) {
  *count = 0;
  for (int64_t i = 0; i < mask.length; ++i) *count += load(mask, i) != 0;
  return ESPALIER_OK;
}
espalier_status espalier_cuda_sparse_pattern_size(int64_t count, espalier_cuda_sparse, int64_t* length) {
  *length = count;
  return ESPALIER_OK;
}
espalier_status espalier_cuda_sparse_pattern(espalier_in mask, int64_t count, espalier_out pattern,
                                             espalier_cuda_sparse shape) {
  return guarded(__func__, [&] {
    if (mask.length != shape.m * shape.k || pattern.length != count) fail(ESPALIER_SHAPE_MISMATCH, "lengths differ");
    int64_t found = 0;
    for (int64_t i = 0; i < mask.length; ++i)
      if (load(mask, i) != 0) static_cast<int32_t*>(pattern.data)[found++] = static_cast<int32_t>(i);
  });
}
espalier_status espalier_cuda_sparse_gather(espalier_in weight, espalier_in pattern, espalier_out values,
                                            espalier_cuda_sparse shape) {
  return guarded(__func__, [&] {
    check_kept(weight.length, values.length, pattern, shape);
    each_element(pattern, shape, [&](int64_t e, int64_t row, int64_t column) {
      store(values, e, load(weight, row * shape.k + column));
    });
  });
}
espalier_status espalier_cuda_sparse_scatter(espalier_in values, espalier_in pattern, espalier_out weight,
                                             espalier_cuda_sparse shape) {
  return guarded(__func__, [&] {
    check_kept(weight.length, values.length, pattern, shape);
    each_element(pattern, shape, [&](int64_t e, int64_t row, int64_t column) {
      store(weight, row * shape.k + column, load(values, e));
    });
  });
}
espalier_status espalier_cuda_sparse_forward(espalier_in values, espalier_in pattern, espalier_in x, espalier_in bias,
                                             espalier_out y, espalier_cuda_sparse shape) {
  return guarded(__func__, [&] {
    const espalier_in sofar = {y.data, y.length, y.dtype};
    for (int64_t i = 0; i < shape.m; ++i)
      for (int64_t j = 0; j < shape.n; ++j)
        store(y, at(shape, shape.m, i, j), bias.data == nullptr ? 0 : load(bias, i));
    each_element(pattern, shape, [&](int64_t e, int64_t row, int64_t column) {
      for (int64_t j = 0; j < shape.n; ++j) {
        const int64_t to = at(shape, shape.m, row, j);
        store(y, to, load(sofar, to) + load(values, e) * load(x, at(shape, shape.k, column, j)));
      }
    });
  });
}
espalier_status espalier_cuda_sparse_data_grad(espalier_in values, espalier_in pattern, espalier_in dy, espalier_out dx,
                                               espalier_cuda_sparse shape) {
  return guarded(__func__, [&] {
    const espalier_in sofar = {dx.data, dx.length, dx.dtype};
    for (int64_t i = 0; i < dx.length; ++i) store(dx, i, 0);
    each_element(pattern, shape, [&](int64_t e, int64_t row, int64_t column) {
      for (int64_t j = 0; j < shape.n; ++j) {
        const int64_t to = at(shape, shape.k, column, j);
        store(dx, to, load(sofar, to) + load(values, e) * load(dy, at(shape, shape.m, row, j)));
      }
    });
  });
}
espalier_status espalier_cuda_sparse_weight_grad(espalier_in x, espalier_in dy, espalier_in pattern,
                                                 espalier_out dvalues, espalier_cuda_sparse shape) {
  return guarded(__func__, [&] {
    each_element(pattern, shape, [&](int64_t e, int64_t row, int64_t column) {
      double total = 0;
      for (int64_t j = 0; j < shape.n; ++j)
        total += load(x, at(shape, shape.k, column, j)) * load(dy, at(shape, shape.m, row, j));
      store(dvalues, e, total);
    });
  });
}

// Convolutions of single elements, by a dense weight.
namespace {

espalier_cuda_sparse matrix_of(espalier_conv2d shape, int64_t fan_in) {
  checked_conv(shape);
  return {shape.out_channels, shape.in_channels / shape.groups * shape.kernel_height * shape.kernel_width, 0, 0,
          fan_in};
}

class Weight {
 public:
  Weight(espalier_cuda_sparse matrix, espalier_dtype dtype)
      : length_(matrix.m * matrix.k), dtype_(dtype), data_(static_cast<size_t>(length_)) {}
  espalier_in in() const { return {data_.data(), length_, dtype_}; }
  espalier_out out() { return {data_.data(), length_, dtype_}; }

 private:
  int64_t length_;
  espalier_dtype dtype_;
  std::vector<double> data_;  // as large as either type
};

void require_ok(espalier_status status) {
  if (status != ESPALIER_OK) fail(status, "%s", espalier_last_error());
}

}  // namespace

espalier_status espalier_cuda_sparse_convolution_forward(espalier_in values, espalier_in pattern, espalier_in x,
                                                         espalier_in bias, espalier_out y, int64_t fan_in,
                                                         espalier_conv2d shape) {
  return guarded(__func__, [&] {
    const espalier_cuda_sparse matrix = matrix_of(shape, fan_in);
    Weight weight(matrix, values.dtype);
    require_ok(espalier_cuda_sparse_scatter(values, pattern, weight.out(), matrix));
    require_ok(espalier_conv2d_forward(x, weight.in(), bias, 0, y, shape));
  });
}
espalier_status espalier_cuda_sparse_convolution_data_grad(espalier_in values, espalier_in pattern, espalier_in dy,
                                                           espalier_out dx, int64_t fan_in, espalier_conv2d shape) {
  return guarded(__func__, [&] {
    const espalier_cuda_sparse matrix = matrix_of(shape, fan_in);
    Weight weight(matrix, values.dtype);
    require_ok(espalier_cuda_sparse_scatter(values, pattern, weight.out(), matrix));
    require_ok(espalier_conv2d_data_grad(weight.in(), dy, {nullptr, 0, dy.dtype}, dx, shape));
  });
}
espalier_status espalier_cuda_sparse_convolution_weight_grad(espalier_in x, espalier_in dy, espalier_in pattern,
                                                             espalier_out dvalues, int64_t fan_in,
                                                             espalier_conv2d shape) {
  return guarded(__func__, [&] {
    const espalier_cuda_sparse matrix = matrix_of(shape, fan_in);
    Weight weight(matrix, dvalues.dtype);
    require_ok(espalier_conv2d_weight_grad(x, dy, weight.out(), shape));
    require_ok(espalier_cuda_sparse_gather(weight.in(), pattern, dvalues, matrix));
  });
}

// Products of tiles, of which the plan is here the mask.
espalier_status espalier_cuda_tiles_plan_size(espalier_cuda_tiles shape, int64_t* length) {
  *length = shape.m / shape.tile_rows * (shape.k / shape.tile_columns);
  return ESPALIER_OK;
}
espalier_status espalier_cuda_tiles_plan(espalier_in mask, espalier_out plan, espalier_cuda_tiles) {
  return espalier_cuda_cast(mask, plan);
}
espalier_status espalier_cuda_tiles_forward(espalier_in weight, espalier_in plan, espalier_in x, espalier_in bias,
                                            espalier_out y, espalier_cuda_tiles shape) {
  return guarded(__func__, [&] {
    if (x.length != shape.k * shape.n || y.length != shape.m * shape.n || weight.length != shape.m * shape.k)
      fail(ESPALIER_SHAPE_MISMATCH, "lengths differ");
    for (int64_t row = 0; row < shape.m; ++row)
      for (int64_t j = 0; j < shape.n; ++j) {
        double total = bias.data == nullptr ? 0 : load(bias, row);
        for (int64_t column = 0; column < shape.k; ++column) {
          const int64_t tile = row / shape.tile_rows * (shape.k / shape.tile_columns) + column / shape.tile_columns;
          if (load(plan, tile) == 0) continue;
          total += load(weight, row * shape.k + column) *
                   load(x, shape.batch_major == 1 ? j * shape.k + column : column * shape.n + j);
        }
        store(y, shape.batch_major == 1 ? j * shape.m + row : row * shape.n + j, total);
      }
  });
}

// 2:4 products of bytes, of which the places are here the columns.
espalier_status espalier_cuda_two_four_places_size(espalier_cuda_two_four shape, int64_t* length) {
  return guarded(__func__, [&] {
    if (shape.k % 32 != 0) fail(ESPALIER_INVALID_ARGUMENT, "k is no multiple of 32");
    *length = shape.m * shape.k / 2;
  });
}
espalier_status espalier_cuda_two_four_compress(espalier_in weight, espalier_out values, espalier_out places,
                                                espalier_cuda_two_four shape) {
  return guarded(__func__, [&] {
    if (weight.length != shape.m * shape.k || values.length != weight.length / 2 || places.length != values.length)
      fail(ESPALIER_SHAPE_MISMATCH, "lengths differ");
    int64_t to = 0;
    for (int64_t group = 0; group < weight.length; group += 4)
      for (int64_t i = 0; i < 4; ++i) {
        int before = 0;
        for (int64_t j = 0; j < 4; ++j) {
          const double a = std::fabs(load(weight, group + j)), b = std::fabs(load(weight, group + i));
          before += a > b || (a == b && j < i);
        }
        if (before >= 2) continue;
        store(values, to, load(weight, group + i));
        store(places, to++, static_cast<double>((group + i) % shape.k));
      }
  });
}
espalier_status espalier_cuda_two_four_forward(espalier_in values, espalier_in places, espalier_in x, espalier_in bias,
                                               espalier_out y, espalier_cuda_two_four shape) {
  return guarded(__func__, [&] {
    if (x.dtype != ESPALIER_INT8 || y.dtype != ESPALIER_INT32) fail(ESPALIER_DTYPE_MISMATCH, "x is not int8");
    if (x.length != shape.k * shape.n || y.length != shape.m * shape.n) fail(ESPALIER_SHAPE_MISMATCH, "lengths differ");
    for (int64_t row = 0; row < shape.m; ++row)
      for (int64_t j = 0; j < shape.n; ++j) {
        double total = bias.data == nullptr ? 0 : load(bias, row);
        for (int64_t i = row * shape.k / 2; i < (row + 1) * shape.k / 2; ++i) {
          const auto column = static_cast<int64_t>(load(places, i));
          total += load(values, i) * load(x, shape.batch_major == 1 ? j * shape.k + column : column * shape.n + j);
        }
        store(y, shape.batch_major == 1 ? j * shape.m + row : row * shape.n + j, total);
      }
  });
}

// Stands for what the CPU does not have.
extern "C" espalier_status espalier_emulation_lacks(void) {
  return guarded("espalier_cuda", [] { fail(ESPALIER_INTERNAL, "the emulated device does not have this function"); });
}
