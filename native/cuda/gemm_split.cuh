// The last step of a product whose K was cut into parts.
#pragma once

#include "cuda/gemm.h"

namespace espalier::cuda {

// C = finish(Σ of the parts), each m×n, for every product of the batch. `sums` holds them part by part.
template <class T, class C>
void add_parts(const Product<T, C>& p, int64_t parts, const wide_t<T>* sums) {
  const int64_t size = p.m * p.n, all = p.kept.count * size;
  for_each(all, "add_parts", [=] __device__(int64_t at) {
    wide_t<T> sum = 0;
    for (int64_t part = 0; part < parts; ++part) sum += sums[part * all + at];
    const int64_t product = at / size, i = at % size / p.n, j = at % p.n;
    C* const to = p.c + p.kept.at(product).c * p.stride_c + i * p.ldc + j;
    *to = p.finish(sum, i, j, to);
  });
}

}  // namespace espalier::cuda
