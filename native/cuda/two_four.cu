// 2:4 matrices: compressed, expanded, and their products of the C interface.
#include "cuda/two_four.h"

#include <type_traits>

#include "espalier/cuda/sparse.h"
#include "espalier/cuda/operations.h"

using namespace espalier;
using namespace espalier::cuda;

namespace {

// Larger for what is larger in absolute value; NaN the largest.
template <class T>
__device__ int magnitude(T value) {
  if constexpr (sizeof(T) == 1) return value < 0 ? -int{value} : int{value};
  else return *reinterpret_cast<const uint16_t*>(&value) & 0x7fff;
}

// The four bits that say which two of a group are kept.
template <class T>
__device__ uint32_t choose(const Pack<T, 4>& group) {
  uint32_t chosen = 0;
  int count = 0;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    int before = 0;
#pragma unroll
    for (int j = 0; j < 4; ++j)
      before += magnitude(group.at[j]) > magnitude(group.at[i]) ||
                (j < i && magnitude(group.at[j]) == magnitude(group.at[i]));
    if (before < 2) chosen |= static_cast<uint32_t>(i) << (2 * count++);
  }
  return chosen;
}

template <class T>
void compress(const espalier_cuda_two_four& shape, const T* weight, T* values, uint32_t* places) {
  const int64_t blocks_k = tiles_of(shape.k, kPlaceK);
  for_each(words_of(shape), "two_four_compress", [=] __device__(int64_t at) {
    uint32_t word = 0x44444444u;  // beyond W the first two: any that rise will do
    each_group<T>(at, shape, blocks_k, [&](int64_t group, int bits) {
      const Pack<T, 4> four = reinterpret_cast<const Pack<T, 4>*>(weight)[group];
      const uint32_t chosen = choose(four);
      word = (word & ~(15u << bits)) | chosen << bits;
      Pack<T, 2> kept;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        if ((chosen & 3) == i) kept.at[0] = four.at[i];
        if (chosen >> 2 == i) kept.at[1] = four.at[i];
      }
      reinterpret_cast<Pack<T, 2>*>(values)[group] = kept;
    });
    places[at] = word;
  });
}

template <class T>
void expand(const espalier_cuda_two_four& shape, const T* values, const uint32_t* places, T* weight) {
  const int64_t blocks_k = tiles_of(shape.k, kPlaceK);
  for_each(words_of(shape), "two_four_expand", [=] __device__(int64_t at) {
    const uint32_t word = places[at];
    each_group<T>(at, shape, blocks_k, [&](int64_t group, int bits) {
      const Pack<T, 2> kept = reinterpret_cast<const Pack<T, 2>*>(values)[group];
      const uint32_t chosen = word >> bits & 15;
      Pack<T, 4> four;
#pragma unroll
      for (int i = 0; i < 4; ++i)
        four.at[i] = (chosen & 3) == i ? kept.at[0] : chosen >> 2 == i ? kept.at[1] : static_cast<T>(0);
      reinterpret_cast<Pack<T, 4>*>(weight)[group] = four;
    });
  });
}

template <class T>
void gather(const espalier_cuda_two_four& shape, const T* weight, const uint32_t* places, T* values) {
  const int64_t blocks_k = tiles_of(shape.k, kPlaceK);
  for_each(words_of(shape), "two_four_gather", [=] __device__(int64_t at) {
    const uint32_t word = places[at];
    each_group<T>(at, shape, blocks_k, [&](int64_t group, int bits) {
      const Pack<T, 4> four = reinterpret_cast<const Pack<T, 4>*>(weight)[group];
      const uint32_t chosen = word >> bits & 15;
      Pack<T, 2> kept;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        if ((chosen & 3) == i) kept.at[0] = four.at[i];
        if (chosen >> 2 == i) kept.at[1] = four.at[i];
      }
      reinterpret_cast<Pack<T, 2>*>(values)[group] = kept;
    });
  });
}

// y[j][i] = x[i][j], by squares that pass through shared memory; y's rows are `ldy` apart.
template <class T>
__global__ void transpose_kernel(int64_t rows, int64_t columns, const T* x, T* y, int64_t ldy) {
  __shared__ T tile[32][33];
  const int64_t tiles_j = tiles_of(columns, 32), i0 = blockIdx.x / tiles_j * 32, j0 = blockIdx.x % tiles_j * 32;
  for (int i = static_cast<int>(threadIdx.y); i < 32; i += 8)
    if (i0 + i < rows && j0 + threadIdx.x < columns) tile[i][threadIdx.x] = x[(i0 + i) * columns + j0 + threadIdx.x];
  __syncthreads();
  for (int j = static_cast<int>(threadIdx.y); j < 32; j += 8)
    if (j0 + j < columns && i0 + threadIdx.x < rows) y[(j0 + j) * ldy + i0 + threadIdx.x] = tile[threadIdx.x][j];
}
template <class T>
void transpose(int64_t rows, int64_t columns, const T* x, T* y, int64_t ldy) {
  const int64_t tiles = tiles_of(rows, 32) * tiles_of(columns, 32);
  require_range("the matrix", tiles, int64_t{0}, int64_t{INT32_MAX});
  if (tiles == 0) return;
  transpose_kernel<<<static_cast<unsigned>(tiles), dim3(32, 8), 0, stream()>>>(rows, columns, x, y, ldy);
  launched("transpose");
}

void check_shape(const espalier_cuda_two_four& shape) {
  checked_product("the product", {shape.m, shape.n});
  checked_product("the product", {shape.m, shape.k});
  checked_product("the product", {shape.n, shape.k});
  require_range("batch_major", shape.batch_major, int64_t{0}, int64_t{1});
  if (shape.k % 32 != 0)
    fail(ESPALIER_INVALID_ARGUMENT, "k is %lld, expected a multiple of 32", static_cast<long long>(shape.k));
}
const uint32_t* places_in(espalier_in places, const espalier_cuda_two_four& shape) {
  return reinterpret_cast<const uint32_t*>(elements<int32_t>("places", places, words_of(shape)));
}

// Runs body(T{}) for the types that 2:4 products take.
template <class Body>
void for_two_four(const char* name, espalier_dtype dtype, Body body) {
  switch (dtype) {
    case ESPALIER_FLOAT16: return body(__half{});
    case ESPALIER_BFLOAT16: return body(__nv_bfloat16{});
    case ESPALIER_INT8: return body(int8_t{});
    default: fail(ESPALIER_DTYPE_MISMATCH, "%s is %s, expected float16, bfloat16 or int8", name, dtype_name(dtype));
  }
}

template <class T, class C, bool kTransposed, class F>
void multiply(const TwoFourProduct<T, C, kTransposed, F>& p) {
  if (p.to.m == 0 || p.to.n == 0) return;
  two_four_wgmma_takes(p) ? two_four_wgmma(p) : two_four_mma(p);
}

}  // namespace

espalier_status espalier_cuda_two_four_places_size(espalier_cuda_two_four shape, int64_t* length) {
  return guarded(__func__, [&] {
    check_shape(shape);
    *length = words_of(shape);
  });
}

espalier_status espalier_cuda_two_four_compress(espalier_in weight, espalier_out values, espalier_out places,
                                                espalier_cuda_two_four shape) {
  return guarded(__func__, [&] {
    check_shape(shape);
    for_two_four("weight", weight.dtype, [&]<class T>(T) {
      compress(shape, elements<T>("weight", weight, shape.m * shape.k),
               elements<T>("values", values, shape.m * shape.k / 2),
               reinterpret_cast<uint32_t*>(elements<int32_t>("places", places, words_of(shape))));
    });
  });
}

espalier_status espalier_cuda_two_four_expand(espalier_in values, espalier_in places, espalier_out weight,
                                              espalier_cuda_two_four shape) {
  return guarded(__func__, [&] {
    check_shape(shape);
    for_two_four("values", values.dtype, [&]<class T>(T) {
      expand(shape, elements<T>("values", values, shape.m * shape.k / 2), places_in(places, shape),
             elements<T>("weight", weight, shape.m * shape.k));
    });
  });
}

espalier_status espalier_cuda_two_four_gather(espalier_in weight, espalier_in places, espalier_out values,
                                              espalier_cuda_two_four shape) {
  return guarded(__func__, [&] {
    check_shape(shape);
    for_two_four("weight", weight.dtype, [&]<class T>(T) {
      gather(shape, elements<T>("weight", weight, shape.m * shape.k), places_in(places, shape),
             elements<T>("values", values, shape.m * shape.k / 2));
    });
  });
}

espalier_status espalier_cuda_two_four_forward(espalier_in values, espalier_in places, espalier_in x, espalier_in bias,
                                               espalier_out y, espalier_cuda_two_four shape) {
  return guarded(__func__, [&] {
    check_shape(shape);
    for_two_four("values", values.dtype, [&]<class T>(T) {
      using C = std::conditional_t<sizeof(T) == 1, int32_t, T>;
      using F = std::conditional_t<sizeof(T) == 1, WholeFinish, Finish<T>>;
      const C* const added = optional_elements<C>("bias", bias, shape.m);
      F finish;
      if constexpr (sizeof(T) == 1) finish.bias = added;
      else finish.row = {added, false};
      const bool batch_major = shape.batch_major == 1;
      C* const to = elements<C>("y", y, shape.m * shape.n);
      const int64_t ldc = batch_major ? shape.m : shape.n;
      const bool wide = reinterpret_cast<uintptr_t>(to) % 16 == 0 && ldc * sizeof(C) % 16 == 0;
      const int blocks_m = static_cast<int>(tiles_of(shape.m, kPlaceRows));
      const int blocks_k = static_cast<int>(tiles_of(shape.k, kPlaceK));
      const T* const left = elements<T>("values", values, shape.m * shape.k / 2);
      const T* const right = elements<T>("x", x, shape.k * shape.n);
      const Places where{places_in(places, shape), blocks_m, blocks_k};
      if (batch_major) {
        multiply<T, C, true, F>({left, where, right, shape.k, {to, shape.m, shape.n, ldc, wide}, finish});
      } else {
        const Temporary<T> turned(shape.n * shape.k);
        transpose(shape.k, shape.n, right, turned.get(), shape.k);
        multiply<T, C, false, F>({left, where, turned.get(), shape.k, {to, shape.m, shape.n, ldc, wide}, finish});
      }
    });
  });
}

espalier_status espalier_cuda_two_four_data_grad(espalier_in values, espalier_in places, espalier_in dy,
                                                 espalier_out dx, espalier_cuda_two_four shape) {
  return guarded(__func__, [&] {
    check_shape(shape);
    for_two_four("values", values.dtype, [&]<class T>(T) {
      if (sizeof(T) == 1) fail(ESPALIER_DTYPE_MISMATCH, "values is int8, expected float16 or bfloat16");
      const T* const from = elements<T>("values", values, shape.m * shape.k / 2);
      const uint32_t* const where = places_in(places, shape);
      elements<T>("dy", dy, shape.m * shape.n);
      elements<T>("dx", dx, shape.k * shape.n);
      const Temporary<T> weight(shape.m * shape.k);
      expand(shape, from, where, weight.get());
      const espalier_in dense{weight.get(), shape.m * shape.k, dtype_of<T>()}, none{nullptr, 0, dtype_of<T>()};
      const auto rows = [](int64_t columns) { return std::max<int64_t>(columns, 1); };
      // dX = Wᵀ·dY, or with the batch first dX = dY·W.
      const espalier_status status =
          shape.batch_major == 1
              ? espalier_cuda_gemm(1, dy, dense, 0, none, none, ESPALIER_FINISH_NONE, dx,
                                   {shape.n, shape.k, shape.m, 0, 0, rows(shape.m), rows(shape.k), rows(shape.k)})
              : espalier_cuda_gemm(1, dense, dy, 0, none, none, ESPALIER_FINISH_NONE, dx,
                                   {shape.k, shape.n, shape.m, 1, 0, rows(shape.k), rows(shape.n), rows(shape.n)});
      if (status != ESPALIER_OK) fail(status, "%s", last_error());
    });
  });
}

espalier_status espalier_cuda_two_four_weight_grad(espalier_in x, espalier_in dy, espalier_in places,
                                                   espalier_out dvalues, espalier_cuda_two_four shape) {
  return guarded(__func__, [&] {
    check_shape(shape);
    for_two_four("x", x.dtype, [&]<class T>(T) {
      if (sizeof(T) == 1) fail(ESPALIER_DTYPE_MISMATCH, "x is int8, expected float16 or bfloat16");
      elements<T>("x", x, shape.k * shape.n);
      elements<T>("dy", dy, shape.m * shape.n);
      const uint32_t* const where = places_in(places, shape);
      T* const to = elements<T>("dvalues", dvalues, shape.m * shape.k / 2);
      const Temporary<T> dense(shape.m * shape.k);
      const espalier_in none{nullptr, 0, dtype_of<T>()};
      const auto rows = [](int64_t columns) { return std::max<int64_t>(columns, 1); };
      const int64_t first = shape.batch_major;  // dW = dY·Xᵀ; with the batch first dYᵀ·X
      const espalier_status status = espalier_cuda_gemm(
          1, dy, x, 0, none, none, ESPALIER_FINISH_NONE, {dense.get(), shape.m * shape.k, dtype_of<T>()},
          {shape.m, shape.k, shape.n, first, 1 - first, rows(first ? shape.m : shape.n),
           rows(first ? shape.k : shape.n), rows(shape.k)});
      if (status != ESPALIER_OK) fail(status, "%s", last_error());
      gather(shape, dense.get(), where, to);
    });
  });
}
