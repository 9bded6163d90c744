// Unstructured sparse matrices: patterns, and the functions of the C interface. The products' kernels are in
// sparse_rows.cu and sparse_sampled.cu.
#include "cuda/sparse_pattern.cuh"

#include "cuda/sparse_scan.cuh"

using namespace espalier;
using namespace espalier::cuda;

namespace {

constexpr int kScanThreads = 1024;

__global__ void __launch_bounds__(kScanThreads) scan_kernel(int64_t count, int32_t* start) {
  // start[i + 1] holds list i's length at first
  running_sums<kScanThreads>(count, start, [=](int64_t i) { return start[i + 1]; });
}

template <class M>
__global__ void count_rows_kernel(const M* mask, int64_t m, int64_t k, int32_t* lengths) {
  const int64_t row = (blockIdx.x * int64_t{blockDim.x} + threadIdx.x) / 32;
  if (row >= m) return;
  int count = 0;
  for (int64_t column = threadIdx.x & 31; column < k; column += 32) count += mask[row * k + column] != M(0);
  count = warp_reduce(count, [](int a, int b) { return a + b; });
  if ((threadIdx.x & 31) == 0) lengths[row] = count;
}

// The columns of each row, by a warp; and how many elements each column has. `count` bounds what is written.
template <class M>
__global__ void fill_rows_kernel(const M* mask, int64_t m, int64_t k, Lists lists, int32_t* columns,
                                 int32_t* column_lengths, int64_t count, Fault* faults, int32_t source) {
  const int64_t row = (blockIdx.x * int64_t{blockDim.x} + threadIdx.x) / 32;
  const int lane = threadIdx.x & 31;
  if (row >= m) return;
  int64_t at = lists.begin(row);
  const int64_t end = min(int64_t{lists.begin(row + 1)}, count);
  for (int64_t base = 0; base < k; base += 32) {
    const bool here = base + lane < k && mask[row * k + base + lane] != M(0);
    const unsigned found = __ballot_sync(0xffffffffu, here);
    const int64_t to = at + __popc(found & ((1u << lane) - 1));
    if (here && to >= 0 && to < end) {
      columns[to] = static_cast<int32_t>(base + lane);
      atomicAdd(&column_lengths[base + lane], 1);
    }
    at += __popc(found);
  }
  const bool wrong = at != end || (row + 1 == m && end != count);
  if (lane == 0 && wrong) raise_fault(faults, FaultKind::kIndexOutOfRange, source, at);
}

// The rows of each column from the top down, and where its elements stand among the values.
template <class M>
__global__ void fill_columns_kernel(const M* mask, int64_t m, int64_t k, Lists by_row, const int32_t* column_start,
                                    int32_t* rows, int32_t* position) {
  const int64_t column = blockIdx.x * int64_t{blockDim.x} + threadIdx.x;
  if (column >= k) return;
  int32_t at = column_start[column];
  const int32_t end = column_start[column + 1];
#pragma unroll 8
  for (int64_t row = 0; row < m; ++row)
    if (mask[row * k + column] != M(0) && at < end) rows[at++] = static_cast<int32_t>(row);
  for (at = column_start[column]; at < end; ++at) {
    int32_t low = by_row.begin(rows[at]), high = by_row.begin(int64_t{rows[at]} + 1);
    while (low < high) {
      const int32_t middle = low + (high - low) / 2;
      if (by_row.index[middle] < column) low = middle + 1;
      else high = middle;
    }
    position[at] = low;
  }
}

// The lists by length, the longest first, equal ones in their order.
void sort_by_length(const Lists& lists, int32_t* order) {
  const int64_t count = lists.count;
  for_each(count, "sort", [=] __device__(int64_t i) {
    const int32_t own = lists.begin(i + 1) - lists.begin(i);
    int32_t rank = 0;
    for (int64_t j = 0; j < count; ++j) {
      const int32_t other = lists.begin(j + 1) - lists.begin(j);
      rank += other > own || (other == own && j < i);
    }
    order[rank] = static_cast<int32_t>(i);
  });
}

template <class M>
void make_pattern(const M* mask, int64_t count, int32_t* at, const espalier_cuda_sparse& shape) {
  const auto& [m, k, n, batch_major, fan_in] = shape;
  const SparsePattern<int32_t> pattern(at, count, shape);
  const unsigned row_blocks = static_cast<unsigned>(ceil_div(m * 32, kBlock));
  if (fan_in == 0) {
    if (m > 0) {
      count_rows_kernel<<<row_blocks, kBlock, 0, stream()>>>(mask, m, k, pattern.row_start + 1);
      launched("sparse pattern");
    }
    scan(m, pattern.row_start, "sparse pattern");
  }
  ESPALIER_CUDA(cudaMemsetAsync(pattern.column_start, 0, static_cast<size_t>(k + 1) * sizeof(int32_t), stream()));
  const Lists by_row = pattern.by_row(shape);
  if (m > 0) {
    fill_rows_kernel<<<row_blocks, kBlock, 0, stream()>>>(mask, m, k, by_row, pattern.columns, pattern.column_start + 1,
                                                          count, faults(),
                                                          fault_source("espalier_cuda_sparse_pattern"));
    launched("sparse pattern");
  }
  scan(k, pattern.column_start, "sparse pattern");
  if (k > 0) {
    fill_columns_kernel<<<static_cast<unsigned>(ceil_div(k, 64)), 64, 0, stream()>>>(
        mask, m, k, by_row, pattern.column_start, pattern.rows, pattern.position);
    launched("sparse pattern");
  }
  sort_by_length(by_row, pattern.row_order);
  sort_by_length(pattern.by_column(shape), pattern.column_order);
}

// body(mask) with the mask's elements as their type.
template <class Body>
void for_mask(espalier_in mask, int64_t length, Body body) {
  if (mask.dtype == ESPALIER_FLOAT32) body(elements<float>("mask", mask, length));
  else body(elements<uint8_t>("mask", mask, length));
}

// body(row, value's place, element of W) for every element that counts; a warp to a row.
template <class Body>
__global__ void each_element_kernel(Lists lists, int64_t k, Body body) {
  const int64_t row = (blockIdx.x * int64_t{blockDim.x} + threadIdx.x) / 32;
  if (row >= lists.count) return;
  const int32_t end = lists.begin(row + 1);
  for (int32_t i = lists.begin(row) + (threadIdx.x & 31); i < end; i += 32) body(i, row * k + lists.index[i]);
}
template <class Body>
void each_element(const Lists& lists, int64_t k, const char* name, Body body) {
  if (lists.count == 0) return;
  each_element_kernel<<<static_cast<unsigned>(ceil_div(lists.count * 32, kBlock)), kBlock, 0, stream()>>>(lists, k,
                                                                                                          body);
  launched(name);
}
// to[i] = values[position[i]], list by list: a team of eight lanes to a list, neighbouring lists at the same time in
// one block. Element by element each read took its own sector of 32 bytes from the L2; columns side by side want, row
// after row, values side by side, and the L1 still has them. 8192² at 90%, what the gradient of X takes longer than the
// product: 60 µs element by element, 51 so; at 98% 14 and 12.
constexpr int kPermuteThreads = 1024, kPermuteLanes = 8;
template <class T>
__global__ void __launch_bounds__(kPermuteThreads)
    permute_kernel(Lists lists, int64_t pieces, const int32_t* __restrict__ position, const T* __restrict__ values,
                   T* __restrict__ to) {
  constexpr int kReads = 2;
  const int64_t list = blockIdx.x / pieces * (kPermuteThreads / kPermuteLanes) + threadIdx.x / kPermuteLanes;
  if (list >= lists.count) return;
  const int64_t piece = blockIdx.x % pieces;
  const int32_t begin = lists.begin(list), length = lists.begin(list + 1) - begin;
  const int64_t end = begin + length * (piece + 1) / pieces;
  for (int64_t i = begin + length * piece / pieces + threadIdx.x % kPermuteLanes; i < end;
       i += kReads * kPermuteLanes) {
    int32_t from[kReads];
#pragma unroll
    for (int r = 0; r < kReads; ++r) from[r] = i + r * kPermuteLanes < end ? position[i + r * kPermuteLanes] : -1;
    T value[kReads];
#pragma unroll
    for (int r = 0; r < kReads; ++r) value[r] = from[r] >= 0 ? values[from[r]] : T(0.f);
#pragma unroll
    for (int r = 0; r < kReads; ++r)
      if (from[r] >= 0) to[i + r * kPermuteLanes] = value[r];
  }
}
template <class T>
void permute(const Lists& lists, int64_t count, const int32_t* position, const T* values, T* to) {
  if (lists.count == 0 || count == 0) return;
  const int64_t groups = ceil_div(lists.count, kPermuteThreads / kPermuteLanes);
  const int64_t pieces = std::max<int64_t>(1, 2 * traits().multiprocessors / groups);
  permute_kernel<<<static_cast<unsigned>(groups * pieces), kPermuteThreads, 0, stream()>>>(lists, pieces, position,
                                                                                           values, to);
  launched("sparse values");
}

// from[rows, columns] turned round.
template <class T>
__global__ void transpose_kernel(const T* from, int64_t rows, int64_t columns, T* to) {
  __shared__ T tile[32][33];
  for (int64_t block = blockIdx.x, across = (columns + 31) / 32; block < across * ((rows + 31) / 32);
       block += gridDim.x) {
    const int64_t row = block / across * 32, column = block % across * 32;
#pragma unroll
    for (int i = 0; i < 32; i += 8) {
      const int64_t r = row + threadIdx.y + i, c = column + threadIdx.x;
      if (r < rows && c < columns) tile[threadIdx.y + i][threadIdx.x] = from[r * columns + c];
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 32; i += 8) {
      const int64_t r = row + threadIdx.x, c = column + threadIdx.y + i;
      if (r < rows && c < columns) to[c * rows + r] = tile[threadIdx.x][threadIdx.y + i];
    }
    __syncthreads();
  }
}
template <class T>
void transpose(const T* from, int64_t rows, int64_t columns, T* to) {
  if (rows == 0 || columns == 0) return;
  const int64_t blocks = std::min<int64_t>(ceil_div(rows, 32) * ceil_div(columns, 32), int64_t{1} << 20);
  transpose_kernel<<<static_cast<unsigned>(blocks), dim3(32, 8), 0, stream()>>>(from, rows, columns, to);
  launched("transpose");
}

// The kernels take matrices as they are written, features by examples; a batch is turned round on its way.
template <class T>
class Upright {
 public:
  Upright(bool batch, const T* x, int64_t rows, int64_t n)
      : turned_(batch ? rows * n : 0), data_(batch ? turned_.get() : x) {
    if (batch) transpose(x, n, rows, turned_.get());
  }
  const T* data() const { return data_; }

 private:
  Temporary<T> turned_;
  const T* data_;
};
template <class T, class Product>
void upright_result(bool batch, T* y, int64_t rows, int64_t n, Product product) {
  if (!batch) return product(y);
  Temporary<T> turned(rows * n);
  product(turned.get());
  transpose(turned.get(), rows, n, y);
}

}  // namespace

namespace espalier::cuda {

void require_sparse(const espalier_cuda_sparse& shape, int64_t count) {
  constexpr int64_t kMost = (int64_t{1} << 31) - 1;
  require_range("m", shape.m, int64_t{0}, kMost / 32);
  require_range("k", shape.k, int64_t{0}, kMost);
  require_range("n", shape.n, int64_t{0}, int64_t{1} << 40);
  require_range("batch_major", shape.batch_major, int64_t{0}, int64_t{1});
  require_range("fan_in", shape.fan_in, int64_t{0}, shape.k);
  require_range("count", count, int64_t{0}, std::min(kMost, checked_product("the matrix", {shape.m, shape.k})));
  if (shape.fan_in > 0 && count != shape.m * shape.fan_in)
    fail(ESPALIER_SHAPE_MISMATCH, "there are %lld values, expected m*fan_in, %lld", static_cast<long long>(count),
         static_cast<long long>(shape.m * shape.fan_in));
}

void scan(int64_t count, int32_t* start, const char* name) {
  scan_kernel<<<1, kScanThreads, 0, stream()>>>(count, start);
  launched(name);
}

template <class T>
void gather_values(const Lists& by_row, int64_t k, const T* weight, T* values) {
  each_element(by_row, k, "sparse gather", [=] __device__(int32_t i, int64_t at) { values[i] = weight[at]; });
}
template <class T>
void scatter_values(const Lists& by_row, int64_t k, const T* values, T* weight) {
  each_element(by_row, k, "sparse scatter", [=] __device__(int32_t i, int64_t at) { weight[at] = values[i]; });
}

#define ESPALIER_VALUES(T)                                          \
  template void gather_values(const Lists&, int64_t, const T*, T*); \
  template void scatter_values(const Lists&, int64_t, const T*, T*);
ESPALIER_VALUES(float)
ESPALIER_VALUES(double)
ESPALIER_VALUES(__half)
ESPALIER_VALUES(__nv_bfloat16)
#undef ESPALIER_VALUES

}  // namespace espalier::cuda

espalier_status espalier_cuda_sparse_count(espalier_in mask, int64_t* count) {
  return guarded(__func__, [&] {
    // Rows of a matrix of 1024 rows, the last one shorter: a row may be counted in int32.
    const int64_t rows = 1024, k = ceil_div(std::max<int64_t>(mask.length, 1), rows);
    int64_t total = 0;
    for_mask(mask, mask.length, [&]<class M>(const M* data) {
      Temporary<int32_t> lengths(rows);
      const int64_t whole = mask.length / k, rest = mask.length - whole * k;
      if (whole > 0) {
        count_rows_kernel<<<static_cast<unsigned>(ceil_div(whole * 32, kBlock)), kBlock, 0, stream()>>>(data, whole, k,
                                                                                                        lengths.get());
        launched("sparse count");
      }
      if (rest > 0) {
        count_rows_kernel<<<1, kBlock, 0, stream()>>>(data + whole * k, int64_t{1}, rest, lengths.get() + whole);
        launched("sparse count");
      }
      int32_t host[1024] = {};
      ESPALIER_CUDA(cudaMemcpyAsync(host, lengths.get(), static_cast<size_t>(whole + (rest > 0)) * sizeof(int32_t),
                                    cudaMemcpyDeviceToHost, stream()));
      synchronize();
      for (const int32_t length : host) total += length;
    });
    *count = total;
  });
}

espalier_status espalier_cuda_sparse_pattern_size(int64_t count, espalier_cuda_sparse shape, int64_t* length) {
  return guarded(__func__, [&] {
    require_sparse(shape, count);
    *length = SparsePattern<int32_t>::length(count, shape);
  });
}

espalier_status espalier_cuda_sparse_pattern(espalier_in mask, int64_t count, espalier_out pattern,
                                             espalier_cuda_sparse shape) {
  return guarded(__func__, [&] {
    require_sparse(shape, count);
    int32_t* const to = elements<int32_t>("pattern", pattern, SparsePattern<int32_t>::length(count, shape));
    for_mask(mask, shape.m * shape.k, [&]<class M>(const M* data) { make_pattern(data, count, to, shape); });
  });
}

espalier_status espalier_cuda_sparse_gather(espalier_in weight, espalier_in pattern, espalier_out values,
                                            espalier_cuda_sparse shape) {
  return guarded(__func__, [&] {
    require_sparse(shape, values.length);
    const SparsePattern<const int32_t> parts(
        elements<int32_t>("pattern", pattern, SparsePattern<int32_t>::length(values.length, shape)), values.length,
        shape);
    for_device_float("weight", weight.dtype, [&]<class T>(T) {
      gather_values(parts.by_row(shape), shape.k, elements<T>("weight", weight, shape.m * shape.k),
                    elements<T>("values", values, values.length));
    });
  });
}

espalier_status espalier_cuda_sparse_scatter(espalier_in values, espalier_in pattern, espalier_out weight,
                                             espalier_cuda_sparse shape) {
  return guarded(__func__, [&] {
    require_sparse(shape, values.length);
    const SparsePattern<const int32_t> parts(
        elements<int32_t>("pattern", pattern, SparsePattern<int32_t>::length(values.length, shape)), values.length,
        shape);
    for_device_float("weight", weight.dtype, [&]<class T>(T) {
      scatter_values(parts.by_row(shape), shape.k, elements<T>("values", values, values.length),
                     elements<T>("weight", weight, shape.m * shape.k));
    });
  });
}

espalier_status espalier_cuda_sparse_forward(espalier_in values, espalier_in pattern, espalier_in x, espalier_in bias,
                                             espalier_out y, espalier_cuda_sparse shape) {
  return guarded(__func__, [&] {
    const auto& [m, k, n, batch_major, fan_in] = shape;
    require_sparse(shape, values.length);
    const SparsePattern<const int32_t> parts(
        elements<int32_t>("pattern", pattern, SparsePattern<int32_t>::length(values.length, shape)), values.length,
        shape);
    for_device_float("values", values.dtype, [&]<class T>(T) {
      const T* const of = elements<T>("values", values, values.length);
      const T* const in = elements<T>("x", x, checked_product("x", {k, n}));
      const T* const added = optional_elements<T>("bias", bias, m);
      T* const out = elements<T>("y", y, checked_product("y", {m, n}));
      const Upright<T> upright(batch_major, in, k, n);
      upright_result(batch_major, out, m, n,
                     [&](T* to) { sparse_times_dense<T>(parts.by_row(shape), of, upright.data(), k, n, added, to); });
    });
  });
}

espalier_status espalier_cuda_sparse_data_grad(espalier_in values, espalier_in pattern, espalier_in dy, espalier_out dx,
                                               espalier_cuda_sparse shape) {
  return guarded(__func__, [&] {
    const auto& [m, k, n, batch_major, fan_in] = shape;
    require_sparse(shape, values.length);
    const SparsePattern<const int32_t> parts(
        elements<int32_t>("pattern", pattern, SparsePattern<int32_t>::length(values.length, shape)), values.length,
        shape);
    for_device_float("values", values.dtype, [&]<class T>(T) {
      const T* const of = elements<T>("values", values, values.length);
      const T* const in = elements<T>("dy", dy, checked_product("dy", {m, n}));
      T* const out = elements<T>("dx", dx, checked_product("dx", {k, n}));
      const Upright<T> upright(batch_major, in, m, n);
      // The values in the order of columns: read here once at random, there as they come.
      Temporary<T> by_column(values.length);
      permute(parts.by_column(shape), values.length, parts.position, of, by_column.get());
      upright_result(batch_major, out, k, n, [&](T* to) {
        sparse_times_dense<T>(parts.by_column(shape), by_column.get(), upright.data(), m, n, nullptr, to);
      });
    });
  });
}

espalier_status espalier_cuda_sparse_weight_grad(espalier_in x, espalier_in dy, espalier_in pattern,
                                                 espalier_out dvalues, espalier_cuda_sparse shape) {
  return guarded(__func__, [&] {
    const auto& [m, k, n, batch_major, fan_in] = shape;
    require_sparse(shape, dvalues.length);
    const SparsePattern<const int32_t> parts(
        elements<int32_t>("pattern", pattern, SparsePattern<int32_t>::length(dvalues.length, shape)), dvalues.length,
        shape);
    for_device_float("x", x.dtype, [&]<class T>(T) {
      const T* const in = elements<T>("x", x, checked_product("x", {k, n}));
      const T* const from = elements<T>("dy", dy, checked_product("dy", {m, n}));
      T* const out = elements<T>("dvalues", dvalues, dvalues.length);
      const Upright<T> upright_x(batch_major, in, k, n), upright_y(batch_major, from, m, n);
      sampled_products<T>(parts.by_row(shape), dvalues.length, upright_y.data(), upright_x.data(), k, n, out);
    });
  });
}
