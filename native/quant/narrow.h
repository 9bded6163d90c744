// Convolutions of codes in narrow registers; what is computed stands in espalier/accumulator.h.
#pragma once

#include <cstdint>

#include "espalier/accumulator.h"

namespace espalier::quant {

struct NarrowConv {
  espalier_conv2d shape;
  const int32_t *x, *weight, *bias, *order;  // bias, order: null where absent
  bool worst, saturate;
  int bits, tile_bits;
  int64_t tile;  // products a tile, at least 1; the fan-in where there are no tiles
  bool tiled;
  int32_t *y, *first;  // first: null where not wanted

  int64_t fan_in() const { return shape.in_channels / shape.groups * shape.kernel_height * shape.kernel_width; }
};

void narrow_conv2d(const NarrowConv& conv);

}  // namespace espalier::quant
