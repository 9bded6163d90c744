#include "espalier/sparse_integer.h"

#include "capi/sparse_common.h"
#include "core/array.h"
#include "core/handles.h"
#include "sparse/integer.h"

using namespace espalier;

namespace {

// Never destroyed: threads may hold matrices when the process ends.
Handles<sparse::IntegerMatrix>& matrices() {
  static auto* const made = new Handles<sparse::IntegerMatrix>("integer matrix");
  return *made;
}

}  // namespace

espalier_status espalier_sparse_integer_create(int64_t rows, int64_t columns, espalier_in weight, espalier_in mask,
                                               espalier_integer_kernel kernel, int64_t low, int64_t high, int64_t bits,
                                               int64_t* matrix) {
  return guarded(__func__, [&] {
    // Positions are int32 in the kernels.
    const int64_t size = checked_product("weight", {rows, columns});
    require_range("size of the matrix", size, int64_t{0}, int64_t{INT32_MAX});
    require_range("rows", rows, int64_t{0}, int64_t{INT32_MAX});
    require_range("columns", columns, int64_t{0}, int64_t{INT32_MAX});
    require_range("low", low, int64_t{-128}, int64_t{255});
    require_range("high", high, low, int64_t{low < 0 ? 127 : 255});
    if (bits != 0 && bits != 16 && bits != 32)
      fail(ESPALIER_INVALID_ARGUMENT, "bits is %lld, expected 0, 16 or 32", static_cast<long long>(bits));
    const int8_t* const from = elements<int8_t>("weight", weight, size);
    const uint8_t* const kept = optional_elements<uint8_t>("mask", mask, size);
    const sparse::IntegerOptions options{
        {static_cast<int32_t>(low), static_cast<int32_t>(high)}, kernel, static_cast<int>(bits)};
    *matrix = matrices().keep(std::make_shared<sparse::IntegerMatrix>(rows, columns, from, kept, options));
  });
}

espalier_status espalier_sparse_integer_free(int64_t matrix) {
  return guarded(__func__, [&] { matrices().forget(matrix); });
}

espalier_status espalier_sparse_integer_size(int64_t matrix, int64_t* count) {
  return guarded(__func__, [&] { *count = matrices().find(matrix)->entries(); });
}

espalier_status espalier_sparse_integer_unpack(int64_t matrix, espalier_out weight) {
  return guarded(__func__, [&] {
    const auto of = matrices().find(matrix);
    of->unpack(elements<int8_t>("weight", weight, of->rows() * of->columns()));
  });
}

espalier_status espalier_sparse_integer_kernel_of(int64_t matrix, const char** name) {
  return guarded(__func__, [&] { *name = kept_for_good(matrices().find(matrix)->name()); });
}

espalier_status espalier_sparse_integer_sum_bits(int64_t matrix, int64_t* bits) {
  return guarded(__func__, [&] { *bits = matrices().find(matrix)->sum_bits(); });
}

espalier_status espalier_sparse_integer_needed_bits(int64_t matrix, int64_t* bits) {
  return guarded(__func__, [&] { *bits = matrices().find(matrix)->extremes().bits(); });
}

espalier_status espalier_sparse_integer_cost(int64_t matrix, int64_t samples, double* nanoseconds) {
  return guarded(__func__, [&] {
    const auto of = matrices().find(matrix);
    require_range("samples", samples, int64_t{0}, int64_t{1} << 53);
    *nanoseconds = of->cost(samples);
  });
}

espalier_status espalier_sparse_integer_bytes(int64_t matrix, int64_t* bytes) {
  return guarded(__func__, [&] { *bytes = matrices().find(matrix)->bytes(); });
}

espalier_status espalier_sparse_integer_code_size(int64_t matrix, int64_t* bytes) {
  return guarded(__func__, [&] { *bytes = matrices().find(matrix)->code_size(); });
}

espalier_status espalier_integer_spmm(int64_t matrix, int64_t samples, espalier_sparse_layout layout, espalier_in x,
                                      espalier_in start, espalier_finish finish, espalier_out y) {
  return guarded(__func__, [&] {
    const auto of = matrices().find(matrix);
    const int64_t in = elements_of("x", of->columns(), samples, layout);
    const int64_t out = elements_of("y", of->rows(), samples, layout);
    const int32_t* const from = optional_elements<int32_t>("start", start, of->rows());
    const bool relu = finish == ESPALIER_FINISH_RELU;
    const sparse::Samples of_samples{samples, layout};
    if (x.dtype == ESPALIER_FLOAT32) {
      const float* const codes = elements<float>("x", x, in);
      float* const to = elements<float>("y", y, out);
      of->multiply(of_samples, codes, from, relu, to);
      return;
    }
    if (x.dtype != ESPALIER_UINT8 && x.dtype != ESPALIER_INT8)
      fail(ESPALIER_DTYPE_MISMATCH, "x is %s, expected uint8, int8 or float32", dtype_name(x.dtype));
    const uint8_t* const plain = x.dtype == ESPALIER_UINT8 ? elements<uint8_t>("x", x, in) : nullptr;
    const int8_t* const with_sign = x.dtype == ESPALIER_INT8 ? elements<int8_t>("x", x, in) : nullptr;
    int32_t* const to = elements<int32_t>("y", y, out);
    if (x.dtype == ESPALIER_UINT8) of->multiply(of_samples, plain, from, relu, to);
    else of->multiply(of_samples, with_sign, from, relu, to);
  });
}
