// Where the elements of an unstructured sparse matrix stand, as the kernels see it.
#pragma once

#include <cstdint>

#include "cuda/core/launch.cuh"
#include "espalier/cuda/sparse.h"

namespace espalier::cuda {

// Lists of elements: by row the columns they stand in, or by column the rows; from left to right (from the top
// down). List i begins at start[i], or where all have the same length, at i·length. `order` has the lists by
// length, the longest first.
struct Lists {
  const int32_t *start, *index, *order;
  int64_t length, count;  // of each list, or 0; how many lists

  __device__ int32_t begin(int64_t i) const { return start != nullptr ? start[i] : static_cast<int32_t>(i * length); }
};

// The parts of a pattern.
template <class Int>
struct SparsePattern {
  Int *row_start, *columns, *row_order;  // row_start: not where all rows have the same length
  Int *column_start, *rows, *column_order;
  Int* position;  // of the elements in the order of columns: their place among the values

  SparsePattern(Int* at, int64_t count, const espalier_cuda_sparse& shape) { lay(at, count, shape); }
  static int64_t length(int64_t count, const espalier_cuda_sparse& shape) {
    return SparsePattern(nullptr, count, shape).length_;
  }
  Lists by_row(const espalier_cuda_sparse& shape) const {
    return {row_start, columns, row_order, shape.fan_in, shape.m};
  }
  Lists by_column(const espalier_cuda_sparse& shape) const { return {column_start, rows, column_order, 0, shape.k}; }

 private:
  void lay(Int* at, int64_t count, const espalier_cuda_sparse& shape) {
    const auto take = [&](int64_t part) {
      Int* const from = at == nullptr ? nullptr : at + length_;
      length_ += part;
      return from;
    };
    row_start = shape.fan_in == 0 ? take(shape.m + 1) : nullptr;
    columns = take(count);
    row_order = take(shape.m);
    column_start = take(shape.k + 1);
    rows = take(count);
    column_order = take(shape.k);
    position = take(count);
  }
  int64_t length_ = 0;
};

void require_sparse(const espalier_cuda_sparse& shape, int64_t count);

// Where each of `count` lists begins, from start[i + 1], its length. name: of what wants it.
void scan(int64_t count, int32_t* start, const char* name);

// y[i, :] = Σ over list i of value·x[index, :] + bias[i], of matrices as they are written: y is lists.count×n, x
// `depth`×n.
template <class T>
void sparse_times_dense(const Lists& lists, const T* values, const T* x, int64_t depth, int64_t n, const T* bias, T* y);
// dvalues of each element of list i: y[i, :]·x[index, :].
template <class T>
void sampled_products(const Lists& lists, int64_t elements, const T* y, const T* x, int64_t depth, int64_t n,
                      T* dvalues);

// dvalues of parts of their sums, one behind the other, added in their order.
template <class T>
void add_parts(const wide_t<T>* sums, int64_t elements, int64_t parts, T* dvalues) {
  for_each(elements, "sampled products", [=] __device__(int64_t i) {
    wide_t<T> sum = 0;
    for (int64_t part = 0; part < parts; ++part) sum += sums[part * elements + i];
    dvalues[i] = narrow<T>(sum);
  });
}

// From a dense W of lists.count×k to the values, which stand as the lists do, and back.
template <class T>
void gather_values(const Lists& by_row, int64_t k, const T* weight, T* values);
template <class T>
void scatter_values(const Lists& by_row, int64_t k, const T* values, T* weight);

}  // namespace espalier::cuda
