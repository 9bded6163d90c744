#include "cuda/check/matrix.h"

#include <cmath>
#include <cstdio>

#include "cuda/core/launch.cuh"

namespace espalier::check {
namespace {

using namespace espalier::cuda;

__device__ float uniform(uint64_t seed, int64_t i) {
  uint64_t z = seed + static_cast<uint64_t>(i) * 0x9e3779b97f4a7c15ull;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return static_cast<float>((z ^ (z >> 31)) >> 40) * 0x1p-24f;
}

// Of 16 or 32 bits: what is larger has no need of this.
template <class Body>
void for_narrow_float(const char* what, espalier_dtype dtype, Body body) {
  for_device_float(what, dtype, [&]<class T>(T) {
    if constexpr (sizeof(T) < 8) body(T{});
  });
}

// (Device code cannot stand in a generic lambda.)
template <class T>
void fill_with(T* data, int64_t count, uint64_t seed) {
  for_each(count, "fill", [=] __device__(int64_t i) { data[i] = narrow<T>(2 * uniform(seed, i) - 1); });
}
template <class T>
void apply(T* data, int64_t count, const uint8_t* kept, int64_t k, int64_t tile_rows, int64_t tile_columns) {
  for_each(count, "mask", [=] __device__(int64_t i) {
    if (!kept[i / k / tile_rows * (k / tile_columns) + i % k / tile_columns]) data[i] = T(0.f);
  });
}

// Squares of the differences and of b added up, and the largest of either without squares: of doubles that are not
// negative the bits stand in the same order.
template <class T>
__global__ void difference_kernel(int64_t n, const float* a, const T* b, double* sums) {
  double off = 0, norm = 0, furthest = 0, largest = 0;
  for (int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x; i < n; i += int64_t{gridDim.x} * blockDim.x) {
    const double x = a[i], y = widen(b[i]);
    off += (x - y) * (x - y), norm += y * y;
    furthest = fmax(furthest, fabs(x - y)), largest = fmax(largest, fabs(y));
  }
  atomicAdd(&sums[0], off);
  atomicAdd(&sums[1], norm);
  atomicMax(reinterpret_cast<unsigned long long*>(&sums[2]), __double_as_longlong(furthest));
  atomicMax(reinterpret_cast<unsigned long long*>(&sums[3]), __double_as_longlong(largest));
}

}  // namespace

Matrix::Matrix(int64_t count, espalier_dtype dtype) : count(count), dtype(dtype) {
  ok(espalier_cuda_allocate(bytes(), &data), "allocate");
}
Matrix::~Matrix() { espalier_cuda_free(data); }

int64_t Matrix::bytes() const {
  switch (dtype) {
    case ESPALIER_FLOAT32:
    case ESPALIER_INT32: return 4 * count;
    case ESPALIER_INT8:
    case ESPALIER_UINT8: return count;
    case ESPALIER_FLOAT64: return 8 * count;
    default: return 2 * count;
  }
}

void fill(const Matrix& to, uint64_t seed) {
  if (to.dtype == ESPALIER_INT8) {
    int8_t* const data = static_cast<int8_t*>(to.data);
    for_each(to.count, "fill",
             [=] __device__(int64_t i) { data[i] = static_cast<int8_t>(floorf(255 * uniform(seed, i)) - 127); });
    return;
  }
  for_narrow_float("fill", to.dtype, [&]<class T>(T) { fill_with(static_cast<T*>(to.data), to.count, seed); });
}

void fill_mask(const Matrix& to, double density, uint64_t seed) {
  uint8_t* const data = static_cast<uint8_t*>(to.data);
  const float keep = static_cast<float>(density);
  for_each(to.count, "fill", [=] __device__(int64_t i) { data[i] = uniform(seed, i) < keep; });
}

void poison(const Matrix& to) { ok(espalier_cuda_fill_bytes(to.data, 255, to.bytes()), "fill"); }

void apply_tiles(const Matrix& w, const Matrix& mask, int64_t k, int64_t tile_rows, int64_t tile_columns) {
  for_narrow_float("mask", w.dtype, [&]<class T>(T) {
    apply(static_cast<T*>(w.data), w.count, static_cast<const uint8_t*>(mask.data), k, tile_rows, tile_columns);
  });
}

bool agree(const Matrix& a, const Matrix& b, double tolerance) {
  const Matrix wide(a.count, ESPALIER_FLOAT32);
  ok(espalier_cuda_cast(a.in(), wide.out()), "cast");
  Temporary<double> sums(4);
  ESPALIER_CUDA(cudaMemsetAsync(sums, 0, 32, stream()));
  for_narrow_float("compare", b.dtype, [&]<class T>(T) {
    difference_kernel<T><<<grid_for(a.count), kBlock, 0, stream()>>>(a.count, static_cast<const float*>(wide.data),
                                                                     static_cast<const T*>(b.data), sums);
  });
  double host[4];
  ok(espalier_cuda_download(sums.get(), host, 32), "download");
  // (NaN in the sums is no agreement: every comparison with it fails.)
  const bool good = host[1] > 0 && std::sqrt(host[0] / host[1]) <= tolerance && host[2] <= 32 * tolerance * host[3];
  if (!good)
    std::printf("  off by %.2e of the norm, the furthest element by %.2e of the largest\n",
                std::sqrt(host[0] / host[1]), host[2] / host[3]);
  return good;
}

}  // namespace espalier::check
