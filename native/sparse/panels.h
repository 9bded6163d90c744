// How products hold dense operands while they work: panels of 16 samples, [panel][component][16], so that the
// 16 values of a component are one cache line and the next component's is the next line.
#pragma once

#include <cstdint>

#include "sparse/product.h"

namespace espalier::sparse {

constexpr int64_t kPanel = 16;

inline int64_t panels_of(int64_t samples) { return (samples + kPanel - 1) / kPanel; }

// Panels first … first + count of x, whose vectors have `components` elements; samples past the last are 0.
void pack_panels(const Samples& samples, int64_t components, const float* x, int64_t first, int64_t count, float* to);
// The same side by side, [component][16·count]: a component's samples stand together.
void pack_side_by_side(const Samples& samples, int64_t components, const float* x, int64_t first, int64_t count,
                       float* to);
// Components of a vector: [first, first + count) of `all`.
struct Part {
  int64_t first, count, all;
};
// The reverse of pack_panels for a part of y's components, which `from` holds alone: [panel][part.count][16].
// Writes only samples that exist.
void unpack_panels(const Samples& samples, const Part& part, const float* from, int64_t first, int64_t count, float* y);

}  // namespace espalier::sparse
