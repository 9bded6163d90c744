// How products hold dense operands while they work: panels of 16 samples, so that the 16 values of a component
// are one cache line.
#pragma once

#include <cstdint>

#include "sparse/product.h"

namespace espalier::sparse {

constexpr int64_t kPanel = 16;

inline int64_t panels_of(int64_t samples) { return (samples + kPanel - 1) / kPanel; }

// Where component c of panel p starts: p·panel + c·component elements from the first.
struct Layout {
  int64_t panel, component;
};
// As callers hold panels: one after the other.
inline Layout close_together(int64_t components) { return {components * kPanel, kPanel}; }
// A panel's components in consecutive lines, panels an odd number of lines apart: with an even number the lines of
// a component, one in each panel, would compete for the same few places of the cache.
inline Layout stacked(int64_t components) { return {(components | 1) * kPanel, kPanel}; }
// A component's panels side by side: all its samples stand together.
inline Layout side_by_side(int64_t panels) { return {kPanel, panels * kPanel}; }

// Components of a vector: [first, first + count) of `all`.
struct Part {
  int64_t first, count, all;
};
// Panels first … first + count of a part of the components of x, which `to` then holds alone; samples past the last are
// 0.
void pack_panels(const Samples& samples, const Part& part, const float* x, int64_t first, int64_t count,
                 const Layout& layout, float* to);
inline void pack_panels(const Samples& samples, int64_t components, const float* x, int64_t first, int64_t count,
                        const Layout& layout, float* to) {
  pack_panels(samples, {0, components, components}, x, first, count, layout, to);
}

// Where row 0 would stand if row `first` stands at `at`, of rows of so many elements. (By way of integers: pointers
// must not leave their array, as this one may.)
template <class T>
T* row_zero(T* at, int64_t first, int64_t elements) {
  return reinterpret_cast<T*>(reinterpret_cast<uintptr_t>(at) - static_cast<uintptr_t>(first * elements) * sizeof(T));
}

// The reverse, into a part of y's components. Writes only samples that exist.
void unpack_panels(const Samples& samples, const Part& part, const float* from, const Layout& layout, int64_t first,
                   int64_t count, float* y);

}  // namespace espalier::sparse
