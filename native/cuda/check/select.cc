// Selection by score, masks, norms of slices.
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "cuda/check/types.h"

using namespace espalier::check;

namespace {

// Several arrays, as both sides take them.
struct Arrays {
  std::vector<Array> items;
  void push(Array array) { items.push_back(std::move(array)); }
  int64_t total() const {
    int64_t sum = 0;
    for (const Array& array : items) sum += array.size();
    return sum;
  }
};
struct Lists {
  std::vector<espalier_in> in;
  std::vector<espalier_out> out;
  espalier_in_list read() const { return {in.data(), static_cast<int64_t>(in.size())}; }
  espalier_out_list written() const { return {out.data(), static_cast<int64_t>(out.size())}; }
};
Lists lists(Arrays& arrays, bool host) {
  Lists result;
  for (Array& array : arrays.items) {
    result.in.push_back(host ? array.host_in() : array.in());
    result.out.push_back(host ? array.host_out() : array.out());
  }
  return result;
}

// How scores are spread.
enum class Spread { kUniform, kFew, kEqual, kTwoLumps };
Array scores(int64_t n, Spread spread, espalier_dtype dtype) {
  switch (spread) {
    case Spread::kUniform: return random(n, -1, 1, dtype);
    case Spread::kFew: return integers(n, -3, 4, dtype);
    case Spread::kEqual: return integers(n, 1, 2, dtype);
    default: {
      std::vector<double> values = random(n, 0, 1, dtype).host();
      for (double& v : values) v = v < 0.5 ? 0 : v;  // half are 0
      return given(values, dtype);
    }
  }
}

// The device's masks and threshold for the k smallest of arrays of the given sizes are the CPU's.
void prune(const std::vector<int64_t>& sizes, Spread spread, espalier_dtype dtype, espalier_dtype mask_dtype,
           bool masked, bool in_place, int64_t magnitude, double share) {
  Arrays from, masks, to;
  int64_t alive = 0;
  for (const int64_t n : sizes) {
    from.push(scores(n, spread, dtype));
    to.push(result(n, mask_dtype));
    masks.push(mask(n, 0.7, mask_dtype));
    for (const double m : masks.items.back().host()) alive += !masked || m != 0;
  }
  const int64_t k = static_cast<int64_t>(std::llround(share * static_cast<double>(alive)));
  Arrays& results = in_place ? masks : to;
  double threshold = 0, expected = 0;
  for (const bool host : {false, true}) {
    const Lists scored = lists(from, host), held = lists(masks, host), written = lists(results, host);
    const espalier_in_list read = masked ? held.read() : espalier_in_list{nullptr, 0};
    ok((host ? espalier_prune_smallest : espalier_cuda_prune_smallest)(
           scored.read(), read, magnitude, k, written.written(), host ? &expected : &threshold),
       host ? "host" : "device");
  }
  const std::string what = std::to_string(from.total()) + " scores, spread " +
                           std::to_string(static_cast<int>(spread)) + ", k " + std::to_string(k);
  if (threshold != expected) mismatch("%s: threshold %.17g, expected %.17g", what.c_str(), threshold, expected);
  for (Array& array : results.items) {
    array.host_written();
    close(array.fetch(), array.host(), 0, what.c_str());
  }
}

const double kShares[] = {0, 0.1, 0.5, 0.8, 1};
const Spread kSpreads[] = {Spread::kUniform, Spread::kFew, Spread::kEqual, Spread::kTwoLumps};

}  // namespace

ESPALIER_CHECK(prune_smallest) {
  const std::vector<int64_t> shapes[] = {{1},       {2},       {31, 1},
                                         {0, 5, 0}, {1000},    {2047, 3},
                                         {2048},    {2049, 7}, {100, 200, 4096, 1},
                                         {65537},   {300000},  {5, 70000, 0, 129, 4097}};
  for (const auto& sizes : shapes)
    for (const Spread spread : kSpreads)
      for (const double share : kShares)
        for (const int64_t magnitude : {0, 1}) {
          const bool odd = (sizes.size() + static_cast<size_t>(spread)) % 2 == 1;
          prune(sizes, spread, odd ? ESPALIER_FLOAT64 : ESPALIER_FLOAT32, odd ? ESPALIER_FLOAT64 : ESPALIER_FLOAT32,
                true, magnitude == 1, magnitude, share);
          prune(sizes, spread, ESPALIER_FLOAT32, ESPALIER_UINT8, magnitude == 1, false, magnitude, share);
        }
}

// Enough for the sample, several arrays, and cases where the bracket holds too much.
ESPALIER_CHECK(prune_smallest_of_many) {
  for (const Spread spread : kSpreads)
    for (const double share : {0.001, 0.5, 0.75, 1.0}) {
      prune({1 << 20, 12345, 200001}, spread, ESPALIER_FLOAT32, ESPALIER_FLOAT32, false, false, 1, share);
      prune({1100003}, spread, ESPALIER_FLOAT32, ESPALIER_UINT8, true, true, 0, share);
    }
  prune({1 << 20, 999}, Spread::kUniform, ESPALIER_FLOAT64, ESPALIER_UINT8, true, true, 1, 0.6);
}

ESPALIER_CHECK(prune_smallest_refuses) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  Array x = given({1, nan, 3}), y = result(3), good = given({1, 2, 3});
  double threshold = 0;
  const espalier_in bad = x.in(), fine = good.in();
  const espalier_out out = y.out();
  require(
      espalier_cuda_prune_smallest({&bad, 1}, {nullptr, 0}, 1, 1, {&out, 1}, &threshold) == ESPALIER_INVALID_ARGUMENT,
      "a NaN is an error");
  require(std::string(espalier_last_error()).find("NaN") != std::string::npos, "the message says so");
  require(
      espalier_cuda_prune_smallest({&fine, 1}, {nullptr, 0}, 1, 4, {&out, 1}, &threshold) == ESPALIER_INVALID_ARGUMENT,
      "a k beyond the entries is an error");
  ok(espalier_cuda_prune_smallest({nullptr, 0}, {nullptr, 0}, 1, 0, {nullptr, 0}, &threshold), "of nothing, none");
}

ESPALIER_CHECK(keep_largest) {
  struct Rows {
    int64_t rows, columns;
  };
  std::vector<Rows> shapes = {{1, 1},     {5, 1},      {7, 2},     {1000, 4}, {33, 5},   {9, 8},    {100, 16},
                              {3, 17},    {65, 31},    {10, 32},   {4, 33},   {20, 100}, {3, 1000}, {64, 4096},
                              {2, 20000}, {1, 300000}, {300, 577}, {0, 5},    {5, 0},    {1, 70000}};
  for (int i = 0; i < 6; ++i) shapes.push_back({any(1, 40), any(1, 2000)});
  for (const auto& [rows, columns] : shapes)
    for (const Spread spread : {Spread::kUniform, Spread::kFew, Spread::kEqual})
      for (const int64_t keep : {int64_t{0}, int64_t{1}, int64_t{2}, columns / 2, columns - 1, columns, columns + 3}) {
        if (keep < 0) continue;
        const int64_t n = rows * columns, magnitude = any(0, 1);
        // Four calls for each of many masks and types, whose threads meet again and again.
        if (!affordable(1e5 * static_cast<double>(n))) continue;
        for (const espalier_dtype dtype : {ESPALIER_FLOAT32, ESPALIER_FLOAT64}) {
          Array x = scores(n, spread, dtype), none, wide = mask(n, 0.6, dtype), bytes = mask(n, 0.6, ESPALIER_UINT8);
          Array y = result(n, dtype), z = result(n, ESPALIER_UINT8);
          same(0, espalier_keep_largest, espalier_cuda_keep_largest, x, none, magnitude, rows, columns, keep, y);
          same(0, espalier_keep_largest, espalier_cuda_keep_largest, x, wide, magnitude, rows, columns, keep, y);
          same(0, espalier_keep_largest, espalier_cuda_keep_largest, x, bytes, magnitude, rows, columns, keep, z);
          same(0, espalier_keep_largest, espalier_cuda_keep_largest, x, wide, magnitude, rows, columns, keep, wide);
        }
      }
  for (const int64_t columns : {3, 40}) {
    std::vector<double> values(static_cast<size_t>(2 * columns), 1);
    values[4] = std::numeric_limits<double>::quiet_NaN();
    Array x = given(values), y = result(2 * columns);
    ok(espalier_cuda_keep_largest(x.in(), {}, 1, 2, columns, 2, y.out()), "is queued");
    require(espalier_cuda_synchronize() == ESPALIER_INVALID_ARGUMENT, "a NaN is an error");
  }
}

ESPALIER_CHECK(apply_mask) {
  for (const Type& type : kTypes)
    for (const int64_t n : {0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 100, 255, 256, 257, 1000, 4099, 65536, 100003}) {
      Array x = random(n, -1, 1, type.dtype), y = result(n, type.dtype);
      Array wide = random(n, 0, 1, type.dtype), bytes = mask(n, 0.5, ESPALIER_UINT8);
      same(type.tolerance, espalier_apply_mask, espalier_cuda_apply_mask, x, wide, y);
      same(0, espalier_apply_mask, espalier_cuda_apply_mask, x, bytes, y);
      same(0, espalier_apply_mask, espalier_cuda_apply_mask, x, bytes, x);
    }
}

ESPALIER_CHECK(abs_kth) {
  struct View {
    int64_t outer, channels, inner;
  };
  std::vector<View> views = {{1, 1, 1},      {1, 5, 27},     {4, 3, 1},     {2, 3, 31},   {8, 16, 49},
                             {1, 1, 100001}, {1, 1, 300000}, {3, 2, 50000}, {1000, 7, 1}, {1, 300, 100}};
  for (int i = 0; i < 10; ++i) views.push_back({any(1, 9), any(1, 40), any(1, 150)});
  for (const espalier_dtype dtype : {ESPALIER_FLOAT32, ESPALIER_FLOAT64})
    for (const auto& [outer, channels, inner] : views)
      for (const Spread spread : {Spread::kUniform, Spread::kFew, Spread::kEqual}) {
        const int64_t count = outer * inner;
        // Six calls, whose threads meet for every digit.
        if (!affordable(2e4 * static_cast<double>(count * channels))) continue;
        Array x = scores(outer * channels * inner, spread, dtype), value = result(channels, dtype), none;
        Array index = result(channels, ESPALIER_INT32);
        for (const int64_t k : {int64_t{1}, (count + 1) / 2, count}) {
          same(0, espalier_abs_kth, espalier_cuda_abs_kth, x, outer, channels, inner, k, value, index);
          same(0, espalier_abs_kth, espalier_cuda_abs_kth, x, outer, channels, inner, k, value, none);
        }
      }
  Array x = given({1, std::numeric_limits<double>::quiet_NaN()}), value = result(1);
  ok(espalier_cuda_abs_kth(x.in(), 1, 1, 2, 1, value.out(), {}), "is queued");
  require(espalier_cuda_synchronize() == ESPALIER_INVALID_ARGUMENT, "a NaN is an error");
}

ESPALIER_CHECK(slice_norm) {
  struct Slices {
    std::vector<int64_t> shape, reduced;
  };
  const double infinity = std::numeric_limits<double>::infinity();
  std::vector<Slices> all = {{{}, {}},
                             {{1}, {1}},
                             {{7}, {0}},
                             {{100000}, {1}},
                             {{64, 27}, {0, 1}},
                             {{64, 27}, {1, 0}},
                             {{16, 8, 3, 3}, {0, 1, 1, 1}},
                             {{16, 8, 3, 3}, {1, 0, 1, 1}},
                             {{16, 8, 3, 3}, {0, 0, 1, 1}},
                             {{16, 8, 3, 3}, {1, 1, 0, 0}},
                             {{8, 4, 8, 4}, {0, 1, 0, 1}},
                             {{8, 4, 8, 4}, {1, 0, 1, 0}},
                             {{3, 1, 5, 1, 7}, {1, 0, 0, 1, 1}},
                             {{300, 400}, {0, 1}},
                             {{400, 300}, {1, 0}},
                             {{2, 100000}, {0, 1}},
                             {{100000, 2}, {1, 0}},
                             {{0, 4}, {1, 0}},
                             {{4, 0}, {0, 1}},
                             {{512, 4, 64, 4}, {0, 1, 0, 1}},
                             {{5, 6, 7}, {1, 1, 1}},
                             {{129, 1025}, {0, 1}}};
  for (const Type& type : kTypes)
    for (const Slices& s : all)
      for (const double p : {0.0, 1.0, 2.0, 3.0, 0.5, infinity, -infinity}) {
        int64_t n = 1, outputs = 1;
        for (size_t i = 0; i < s.shape.size(); ++i) {
          n *= s.shape[i];
          if (s.reduced[i] == 0) outputs *= s.shape[i];
        }
        // (Norms of many entries leave float16: their values are small enough here but for p = 0.5.)
        if (type.dtype == ESPALIER_FLOAT16 && (p == 0.5 || n > 20000)) continue;
        Array x = random(n, -1, 1, type.dtype), y = result(outputs, type.dtype);
        same(type.dtype == ESPALIER_FLOAT64 ? 1e-12 : 4 * type.tolerance, espalier_slice_norm, espalier_cuda_slice_norm,
             dims(s.shape), dims(s.reduced), p, x, y);
      }
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const double p : {0.0, 1.0, 2.0, 3.0, infinity, -infinity}) {
    std::vector<double> values = random(600).host();
    values[77] = nan;
    Array x = given(values), by_row = result(3), by_column = result(200);
    same(1e-5, espalier_slice_norm, espalier_cuda_slice_norm, dims({3, 200}), dims({0, 1}), p, x, by_row);
    same(1e-5, espalier_slice_norm, espalier_cuda_slice_norm, dims({3, 200}), dims({1, 0}), p, x, by_column);
  }
}
