#include "espalier/sparse.h"

#include <algorithm>

#include "core/array.h"
#include "sparse/matrix.h"
#include "sparse/sampled.h"

using namespace espalier;

namespace {

void require_flag(const char* name, int64_t value) { require_range(name, value, int64_t{0}, int64_t{1}); }

template <class Keeps>
int64_t made(int64_t rows, int64_t columns, const float* weight, espalier_sparse_kernel kernel, Keeps keeps) {
  return sparse::keep(std::make_shared<sparse::Matrix>(rows, columns, weight, kernel, keeps));
}

}  // namespace

espalier_status espalier_sparse_create(int64_t rows, int64_t columns, espalier_in weight, espalier_in mask,
                                       espalier_sparse_kernel kernel, int64_t* matrix) {
  return guarded(__func__, [&] {
    // Positions are int32, in the interface and in the kernels.
    const int64_t size = checked_product("weight", {rows, columns});
    require_range("size of the matrix", size, int64_t{0}, int64_t{INT32_MAX});
    require_range("rows", rows, int64_t{0}, int64_t{INT32_MAX});
    require_range("columns", columns, int64_t{0}, int64_t{INT32_MAX});
    const float* const from = elements<float>("weight", weight, size);
    if (mask.dtype == ESPALIER_UINT8 && mask.data != nullptr) {
      const uint8_t* const kept = elements<uint8_t>("mask", mask, size);
      *matrix = made(rows, columns, from, kernel, [=](int64_t i) { return kept[i] != 0; });
    } else {
      const float* const kept = mask.data == nullptr && mask.length == 0 ? from : elements<float>("mask", mask, size);
      *matrix = made(rows, columns, from, kernel, [=](int64_t i) { return kept[i] != 0; });
    }
  });
}

espalier_status espalier_sparse_free(int64_t matrix) {
  return guarded(__func__, [&] { sparse::forget(matrix); });
}

espalier_status espalier_sparse_size(int64_t matrix, int64_t* count) {
  return guarded(__func__, [&] { *count = static_cast<int64_t>(sparse::find(matrix)->values().size()); });
}

espalier_status espalier_sparse_positions(int64_t matrix, espalier_out index) {
  return guarded(__func__, [&] {
    const auto of = sparse::find(matrix);
    const sparse::Pattern& pattern = of->pattern();
    int32_t* to = elements<int32_t>("index", index, static_cast<int64_t>(pattern.column.size()));
    for (int64_t r = 0; r < pattern.rows; ++r)
      for (int64_t i = pattern.row_start[static_cast<size_t>(r)]; i < pattern.row_start[static_cast<size_t>(r) + 1];
           ++i)
        *to++ = static_cast<int32_t>(r * pattern.columns + pattern.column[static_cast<size_t>(i)]);
  });
}

espalier_status espalier_sparse_values(int64_t matrix, espalier_out values) {
  return guarded(__func__, [&] {
    const auto of = sparse::find(matrix);
    float* const to = elements<float>("values", values, static_cast<int64_t>(of->values().size()));
    std::copy(of->values().begin(), of->values().end(), to);
  });
}

espalier_status espalier_sparse_set_values(int64_t matrix, espalier_in values) {
  return guarded(__func__, [&] {
    const auto of = sparse::find(matrix);
    of->set_values(elements<float>("values", values, static_cast<int64_t>(of->values().size())));
  });
}

espalier_status espalier_sparse_code_size(int64_t matrix, int64_t* bytes) {
  return guarded(__func__, [&] { *bytes = sparse::find(matrix)->code_size(); });
}

espalier_status espalier_spmm(int64_t matrix, int64_t transpose, int64_t samples, int64_t by_row, espalier_in x,
                              espalier_in bias, espalier_finish finish, espalier_out y) {
  return guarded(__func__, [&] {
    const auto of = sparse::find(matrix);
    require_flag("transpose", transpose);
    require_flag("by_row", by_row);
    const int64_t in = transpose ? of->pattern().rows : of->pattern().columns;
    const int64_t out = transpose ? of->pattern().columns : of->pattern().rows;
    const float* const from = elements<float>("x", x, checked_product("x", {in, samples}));
    const float* const plus = optional_elements<float>("bias", bias, out);
    float* const to = elements<float>("y", y, checked_product("y", {out, samples}));
    if (out > 0 && samples > 0)
      of->multiply(transpose == 1, {samples, by_row == 1}, from, plus, finish == ESPALIER_FINISH_RELU, to);
  });
}

espalier_status espalier_sddmm(int64_t matrix, int64_t samples, int64_t by_row, espalier_in dy, espalier_in x,
                               espalier_out values) {
  return guarded(__func__, [&] {
    const auto of = sparse::find(matrix);
    require_flag("by_row", by_row);
    const sparse::Pattern& pattern = of->pattern();
    const float* const gradient = elements<float>("dy", dy, checked_product("dy", {pattern.rows, samples}));
    const float* const from = elements<float>("x", x, checked_product("x", {pattern.columns, samples}));
    float* const to = elements<float>("values", values, static_cast<int64_t>(pattern.column.size()));
    sparse::sampled_product(pattern, {samples, by_row == 1}, gradient, from, to);
  });
}
