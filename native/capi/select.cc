#include "espalier/select.h"

#include <climits>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "core/array.h"
#include "core/slices.h"
#include "kernels/groups.h"
#include "kernels/select.h"
#include "kernels/slice_norm.h"

using namespace espalier;

namespace {

// Runs body(M{}) for the element type of a mask: T, or uint8_t.
template <class T, class Body>
void for_mask(const char* name, espalier_dtype dtype, Body body) {
  if (dtype == dtype_of<T>()) return body(T{});
  if (dtype == ESPALIER_UINT8) return body(uint8_t{});
  fail(ESPALIER_DTYPE_MISMATCH, "%s is %s, expected %s or uint8", name, dtype_name(dtype), dtype_name(dtype_of<T>()));
}

// The same where there are no scores beside it.
template <class Body>
void for_each_mask(const char* name, espalier_dtype dtype, Body body) {
  if (dtype == ESPALIER_UINT8) return body(uint8_t{});
  for_float(name, dtype, body);
}

}  // namespace

espalier_status espalier_slice_norm(espalier_dims shape, espalier_dims reduced, double p, espalier_in x,
                                    espalier_out y) {
  return guarded(__func__, [&] {
    const int64_t n = checked_product("shape", shape);
    const int64_t outputs = checked_slices(shape, reduced, p);
    for_float("x", x.dtype, [&]<class T>(T) {
      kernels::slice_norm(shape, reduced, p, elements<T>("x", x, n), elements<T>("y", y, outputs));
    });
  });
}

espalier_status espalier_prune_smallest(espalier_in_list scores, espalier_in_list masks, int64_t magnitude, int64_t k,
                                        espalier_out_list results, double* threshold) {
  return guarded(__func__, [&] {
    require_range("magnitude", magnitude, 0, 1);
    if (scores.count != results.count || (masks.count != 0 && masks.count != scores.count))
      fail(ESPALIER_SHAPE_MISMATCH, "there are %lld scores, %lld masks and %lld results",
           static_cast<long long>(scores.count), static_cast<long long>(masks.count),
           static_cast<long long>(results.count));
    *threshold = -std::numeric_limits<double>::infinity();
    if (scores.count == 0) return require_range("k", k, 0, 0);
    for_float("scores", scores.items[0].dtype, [&]<class T>(T) {
      for_mask<T>("results", results.items[0].dtype, [&]<class M>(M) {
        std::vector<kernels::Scored<T, M>> arrays;
        for (int64_t i = 0; i < scores.count; ++i) {
          const int64_t n = scores.items[i].length;
          arrays.push_back({elements<T>("a score", scores.items[i], n),
                            masks.count == 0 ? nullptr : elements<M>("a mask", masks.items[i], n),
                            elements<M>("a result", results.items[i], n), n});
        }
        *threshold = kernels::prune_smallest(arrays, magnitude == 1, k);
      });
    });
  });
}

espalier_status espalier_keep_largest(espalier_in scores, espalier_in mask, int64_t magnitude, int64_t rows,
                                      int64_t columns, int64_t keep, espalier_out result) {
  return guarded(__func__, [&] {
    require_range("magnitude", magnitude, 0, 1);
    require_range("keep", keep, 0, int64_t{1} << 53);
    const int64_t n = checked_product("rows and columns", {rows, columns});
    for_float("scores", scores.dtype, [&]<class T>(T) {
      for_mask<T>("result", result.dtype, [&]<class M>(M) {
        const kernels::Scored<T, M> array{elements<T>("scores", scores, n), optional_elements<M>("mask", mask, n),
                                          elements<M>("result", result, n), n};
        if (n > 0) kernels::keep_largest(array, magnitude == 1, rows, columns, keep);
      });
    });
  });
}

espalier_status espalier_prune_groups(espalier_in scores, espalier_in mask, int64_t magnitude, int64_t outer,
                                      int64_t size, int64_t inner, espalier_in falling, espalier_out result) {
  return guarded(__func__, [&] {
    require_range("magnitude", magnitude, 0, 1);
    const int64_t n = checked_product("outer, size and inner", {outer, size, inner});
    const int64_t groups = checked_product("outer and inner", {outer, inner});
    const bool each = falling.length != 1;
    const int32_t* const falls = elements<int32_t>("falling", falling, each ? groups : 1);
    for (int64_t i = 0; i < falling.length; ++i) require_range("falling", int64_t{falls[i]}, 0, INT32_MAX);
    for_float("scores", scores.dtype, [&]<class T>(T) {
      for_mask<T>("result", result.dtype, [&]<class M>(M) {
        const kernels::Scored<T, M> array{elements<T>("scores", scores, n), optional_elements<M>("mask", mask, n),
                                          elements<M>("result", result, n), n};
        if (n > 0) kernels::prune_groups(array, magnitude == 1, {outer, size, inner, falls, each});
      });
    });
  });
}

espalier_status espalier_count_groups(espalier_in mask, int64_t outer, int64_t size, int64_t inner,
                                      espalier_out counts) {
  return guarded(__func__, [&] {
    const int64_t n = checked_product("outer, size and inner", {outer, size, inner});
    require_range("size", size, 0, INT32_MAX);
    const int64_t groups = checked_product("outer and inner", {outer, inner});
    for_each_mask("mask", mask.dtype, [&]<class M>(M) {
      kernels::count_groups(elements<M>("mask", mask, n), outer, size, inner,
                            elements<int32_t>("counts", counts, groups));
    });
  });
}

espalier_status espalier_count_at_most(espalier_in_list scores, espalier_in_list masks, int64_t magnitude,
                                       double threshold, int64_t strictly, int64_t* count) {
  return guarded(__func__, [&] {
    require_range("magnitude", magnitude, 0, 1);
    require_range("strictly", strictly, 0, 1);
    if (std::isnan(threshold)) fail(ESPALIER_INVALID_ARGUMENT, "threshold is NaN");
    if (masks.count != 0 && masks.count != scores.count)
      fail(ESPALIER_SHAPE_MISMATCH, "there are %lld scores and %lld masks", static_cast<long long>(scores.count),
           static_cast<long long>(masks.count));
    *count = 0;
    for (int64_t i = 0; i < scores.count; ++i) {
      const espalier_in score = scores.items[i];
      for_float("scores", score.dtype, [&]<class T>(T) {
        for_mask<T>("masks", masks.count == 0 ? score.dtype : masks.items[i].dtype, [&]<class M>(M) {
          const M* const mask = masks.count == 0 ? nullptr : elements<M>("a mask", masks.items[i], score.length);
          const kernels::Scored<T, M> array{elements<T>("a score", score, score.length), mask, nullptr, score.length};
          *count += kernels::count_at_most(array, magnitude == 1, threshold, strictly == 1);
        });
      });
    }
  });
}

espalier_status espalier_count_ones(espalier_in mask, int64_t* ones) {
  return guarded(__func__, [&] {
    for_each_mask("mask", mask.dtype, [&]<class M>(M) {
      *ones = kernels::count_ones(elements<M>("mask", mask, mask.length), mask.length);
    });
  });
}

espalier_status espalier_apply_mask(espalier_in x, espalier_in mask, espalier_out y) {
  return guarded(__func__, [&] {
    for_float("x", x.dtype, [&]<class T>(T) {
      for_mask<T>("mask", mask.dtype, [&]<class M>(M) {
        kernels::apply_mask(elements<T>("x", x, x.length), elements<M>("mask", mask, x.length),
                            elements<T>("y", y, x.length), x.length);
      });
    });
  });
}

espalier_status espalier_abs_kth(espalier_in x, int64_t outer, int64_t channels, int64_t inner, int64_t k,
                                 espalier_out value, espalier_out index) {
  return guarded(__func__, [&] {
    require_range("x", x.length, 0, (int64_t{1} << 31) - 1);  // an index is an int32
    const int64_t n = checked_product("outer, channels and inner", {outer, channels, inner});
    for_float("x", x.dtype, [&]<class T>(T) {
      const T* const from = elements<T>("x", x, n);
      T* const kth = elements<T>("value", value, channels);
      int32_t* const where = optional_elements<int32_t>("index", index, channels);
      if (channels == 0) return;
      require_range("k", k, 1, n / channels);
      kernels::abs_kth(from, outer, channels, inner, k, kth, where);
    });
  });
}
