// Convolutions whose output is as large as their input, at a stride of 1: most of those in a network, and the
// gradients for their data.
#pragma once

#include "cuda/conv_gather.cuh"

namespace espalier::cuda::conv {

// Computes a product where it can; else returns false, having done nothing.
template <class T, class Out>
bool near_product(const GatherProduct<T, Out>& product);

}  // namespace espalier::cuda::conv
