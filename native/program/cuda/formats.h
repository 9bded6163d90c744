// How a GPU can hold the weights of a layer, and what multiplies by them there: one table, a line a format.
#pragma once

#include <memory>

#include "program/cuda/memory.h"
#include "program/format.h"

namespace espalier::program::cuda {

// Every format, dense ones first. None has the name of one of the processor's: a file may hold choices for both.
std::span<const Format* const> formats();

// Each stands behind its parts.
extern const Format kGemm, kGemmDouble, kConv, kConvDouble, kTiles, kElements, kElementsUnrolled, kTwoFour;

// A kernel whose arrays are there when this returns, on whichever stream it is to run.
template <class K>
std::unique_ptr<Kernel> made_ready(const Task& task) {
  const OnFirstStream here;
  std::unique_ptr<Kernel> made = std::make_unique<K>(task);
  require_ok(espalier_cuda_synchronize());
  return made;
}

inline std::vector<float> bias_of(const Task& task) {
  return task.bias == nullptr ? std::vector<float>{} : task.bias->data;
}

// For products that do not finish with it themselves.
inline void relu(float* y, int64_t length) {
  require_ok(espalier_cuda_unary_forward(ESPALIER_UNARY_RELU, 0, 0, {y, length, ESPALIER_FLOAT32},
                                         {y, length, ESPALIER_FLOAT32}));
}

// What the tiles of a linear layer's weight hold, found once.
const Tiles& tiles_of(const Task& task);

}  // namespace espalier::program::cuda
