#include "program/cuda/formats.h"

namespace espalier::program::cuda {
namespace {

constexpr const Format* kFormats[] = {
    &kGemm, &kGemmDouble, &kConv, &kConvDouble, &kTiles, &kElements, &kElementsUnrolled, &kTwoFour,
};

std::shared_ptr<Tiles> found(const Task& task) {
  const auto made = std::make_shared<Tiles>();
  constexpr int64_t kSide = Tiles::kSide;
  const int64_t across = (task.columns + kSide - 1) / kSide;
  made->kept.resize(static_cast<size_t>((task.rows + kSide - 1) / kSide * across));
  made->two_of_four = task.columns % 4 == 0;
  const float* at = task.weight->data.data();
  for (int64_t row = 0; row < task.rows; ++row) {
    uint8_t* const tiles = made->kept.data() + row / kSide * across;
    int in_group = 0;
    for (int64_t column = 0; column < task.columns; ++column, ++at) {
      if (column % 4 == 0) in_group = 0;
      if (*at == 0) continue;
      tiles[column / kSide] = 1;
      if (++in_group > 2) made->two_of_four = false;
    }
  }
  return made;
}

}  // namespace

std::span<const Format* const> formats() { return kFormats; }

const Tiles& tiles_of(const Task& task) {
  return *task.matrices->tiles.get([&] { return found(task); });
}

}  // namespace espalier::program::cuda
