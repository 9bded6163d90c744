// Which of the tiles of sparse convolutions are taken; the checks try each.
#pragma once

#include "espalier/conv.h"

namespace espalier::cuda::sparse_conv {

enum class Tiles { kChosen, kMany, kFew, kOne, kNone };  // pixels of a lane; kNone: densely

// The choice from now on; kChosen: by size.
Tiles& tiles_wanted();

// What a convolution of this type gets by that choice; back: for the gradient of x.
Tiles tiles_for(const espalier_conv2d& shape, espalier_dtype dtype, bool back);

}  // namespace espalier::cuda::sparse_conv
