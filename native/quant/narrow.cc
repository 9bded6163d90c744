#include "quant/narrow.h"

#define ESPALIER_KERNEL "quant/narrow.inl"
#include "simd/each_isa.h"

namespace espalier::quant {

void narrow_conv2d(const NarrowConv& conv) {
  // A register of at most 31 bits plus a product of codes stays inside of 32; one that only wraps may have 32.
  const bool wraps = !conv.saturate && !conv.tiled && conv.first == nullptr;
  const bool small = conv.bits <= 31 && (!conv.tiled || conv.tile_bits <= 31);
  if ((small || wraps) && !conv.worst) {
    ESPALIER_ON_ISA(narrow_conv2d<int32_t>(conv));
  } else {
    ESPALIER_ON_ISA(narrow_conv2d<int64_t>(conv));
  }
}

}  // namespace espalier::quant
