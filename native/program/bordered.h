// Input planes with their border, for convolutions of stride 1 that read a plane as one run of elements: an output and
// the inputs it is made of lie as far apart all over the plane.
#pragma once

#include "espalier/conv.h"

namespace espalier::program {

// As many rows and columns as the outputs read.
struct Bordered {
  explicit Bordered(const espalier_conv2d& s)
      : height(s.out_height + (s.kernel_height - 1) * s.dilation_height),
        width(s.out_width + (s.kernel_width - 1) * s.dilation_width) {}
  int64_t height, width;
  int64_t plane() const { return height * width; }
  // From the first output to the last, row ends among them.
  int64_t outputs(const espalier_conv2d& s) const { return (s.out_height - 1) * width + s.out_width; }
};

// Its elements of all planes. (In double: hostile sizes do not overflow here.)
inline double bordered_elements(const espalier_conv2d& s) {
  const double width = static_cast<double>(s.out_width) +
                       static_cast<double>(s.kernel_width - 1) * static_cast<double>(s.dilation_width);
  const double height = static_cast<double>(s.out_height) +
                        static_cast<double>(s.kernel_height - 1) * static_cast<double>(s.dilation_height);
  return static_cast<double>(s.in_channels) * width * height;
}

}  // namespace espalier::program
