#include "kernels/slice_norm.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace espalier {

enum class NormKind { count, sum, squares, powers, most, least };

// Entries a thread takes at a time, and how many enter one part of a norm over everything.
constexpr int64_t kSliceGrain = 1 << 14;

}  // namespace espalier

#define ESPALIER_KERNEL "kernels/slice_norm.inl"
#include "simd/each_isa.h"

namespace espalier::kernels {
namespace {

struct Dimension {
  int64_t size;
  bool reduced;
};

// The shape with neighbours of one kind merged and dimensions of 1 left out.
std::vector<Dimension> merged(espalier_dims shape, espalier_dims reduced) {
  std::vector<Dimension> result;
  for (int64_t i = 0; i < shape.rank; ++i) {
    if (shape.data[i] == 1) continue;
    const bool kind = reduced.data[i] == 1;
    if (!result.empty() && result.back().reduced == kind) result.back().size *= shape.data[i];
    else result.push_back({shape.data[i], kind});
  }
  return result;
}

int64_t product(const std::vector<Dimension>& dims, size_t from, bool kept_only) {
  int64_t result = 1;
  for (size_t i = from; i < dims.size(); ++i)
    if (!kept_only || !dims[i].reduced) result *= dims[i].size;
  return result;
}

template <class T, NormKind kKind>
struct Norm {
  double p;

  // Entries of a shape that ends in kept ones, onto the parts of its kept dimensions.
  void onto(const std::vector<Dimension>& dims, size_t at, const T* x, T* parts) const {
    const auto [size, reduced] = dims[at];
    if (at + 1 == dims.size()) {
      ESPALIER_ON_ISA(slice_onto<T, kKind>(p, x, 1, size, parts));
      return;
    }
    if (reduced && at + 2 == dims.size()) {
      ESPALIER_ON_ISA(slice_onto<T, kKind>(p, x, size, dims[at + 1].size, parts));
      return;
    }
    const int64_t step = product(dims, at + 1, false), out = reduced ? 0 : product(dims, at + 1, true);
    if (at > 0 || reduced) {
      for (int64_t i = 0; i < size; ++i) onto(dims, at + 1, x + i * step, parts + i * out);
      return;
    }
    parallel_ranges(size, std::max<int64_t>(1, kSliceGrain / step), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) onto(dims, 1, x + i * step, parts + i * out);
    });
  }

  void rows(const T* x, int64_t count, int64_t n, T* y) const {
    parallel_ranges(count, std::max<int64_t>(1, kSliceGrain / n), [&](int64_t begin, int64_t end) {
      ESPALIER_ON_ISA(slice_rows<T, kKind>(p, x + begin * n, end - begin, n, y + begin));
    });
  }

  void operator()(std::vector<Dimension> dims, const T* x, T* y) const {
    if (dims.empty()) dims.push_back({1, false});
    if (!dims.back().reduced) {
      std::fill_n(y, product(dims, 0, true), start());
      onto(dims, 0, x, y);
    } else if (dims.size() == 2) {
      rows(x, dims[0].size, dims[1].size, y);
    } else if (dims.size() == 1) {
      // Pieces of fixed size, then their parts: the same bits from any number of threads.
      const int64_t n = dims[0].size, pieces = n / kSliceGrain, rest = n - pieces * kSliceGrain;
      std::vector<T> parts(static_cast<size_t>(pieces + 1));
      rows(x, pieces, kSliceGrain, parts.data());
      ESPALIER_ON_ISA(slice_rows<T, kKind>(p, x + pieces * kSliceGrain, 1, rest, &parts[pieces]));
      ESPALIER_ON_ISA(slice_join<T, kKind>(parts.data(), 1, pieces + 1, y));
    } else {
      // Short ends, such as the 3×3 of a kernel: they are kept through the outer dimensions, whose
      // rows are long, and joined at last.
      const int64_t end = dims.back().size;
      dims.pop_back();
      dims.back().size *= end;
      const int64_t outputs = product(dims, 0, true) / end;
      std::vector<T> parts(static_cast<size_t>(outputs * end), start());
      onto(dims, 0, x, parts.data());
      ESPALIER_ON_ISA(slice_join<T, kKind>(parts.data(), outputs, end, y));
    }
  }

  static T start() { return kKind == NormKind::least ? std::numeric_limits<T>::infinity() : T{0}; }
};

}  // namespace

template <class T>
void slice_norm(espalier_dims shape, espalier_dims reduced, double p, const T* x, T* y) {
  int64_t n = 1, outputs = 1;
  for (int64_t i = 0; i < shape.rank; ++i) {
    n *= shape.data[i];
    if (reduced.data[i] == 0) outputs *= shape.data[i];
  }
  if (n == 0) {
    std::fill_n(y, outputs, p < 0 ? std::numeric_limits<T>::infinity() : T{0});
    return;
  }
  const std::vector<Dimension> dims = merged(shape, reduced);
  if (p == 0) return Norm<T, NormKind::count>{p}(dims, x, y);
  if (p == 1) return Norm<T, NormKind::sum>{p}(dims, x, y);
  if (std::isinf(p)) return p > 0 ? Norm<T, NormKind::most>{p}(dims, x, y) : Norm<T, NormKind::least>{p}(dims, x, y);
  if (p == 2) {
    Norm<T, NormKind::squares>{p}(dims, x, y);
    for (int64_t i = 0; i < outputs; ++i) y[i] = std::sqrt(y[i]);
    return;
  }
  Norm<T, NormKind::powers>{p}(dims, x, y);
  for (int64_t i = 0; i < outputs; ++i) y[i] = static_cast<T>(std::pow(y[i], 1 / p));
}
template void slice_norm(espalier_dims, espalier_dims, double, const float*, float*);
template void slice_norm(espalier_dims, espalier_dims, double, const double*, double*);

}  // namespace espalier::kernels
