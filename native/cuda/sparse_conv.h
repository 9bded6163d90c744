// Which of the tiles of sparse convolutions are taken; the checks try each.
#pragma once

namespace espalier::cuda::sparse_conv {

enum class Tiles { kChosen, kMany, kFew, kOne, kNone };  // pixels of a lane; kNone: densely

// The choice from now on; kChosen: by size.
Tiles& tiles_wanted();

}  // namespace espalier::cuda::sparse_conv
