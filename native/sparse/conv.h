// A pruned convolution's weight, with what its passes prepare of it.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "core/stopwatch.h"
#include "espalier/conv.h"
#include "espalier/sparse_conv.h"
#include "sparse/conv_lines.h"
#include "sparse/conv_shifted.h"
#include "sparse/conv_shifted_grad.h"
#include "sparse/conv_stencil.h"
#include "sparse/conv_tile.h"
#include "sparse/conv_weight_grad.h"

namespace espalier::sparse {

class Convolution {
 public:
  // Of weight [out, in / groups, height, width] the entries at `positions`, ascending.
  Convolution(const espalier_sparse_conv2d& size, std::vector<int32_t> positions, std::vector<float> values,
              espalier_sparse_kernel kernel);

  const espalier_sparse_conv2d& size() const { return size_; }
  const std::vector<int32_t>& positions() const { return positions_; }
  const std::vector<float>& values() const { return values_; }
  void set_values(const float* values);
  int64_t code_size() const;
  // Nanoseconds that were spent so far on making it and what its passes prepare, as Matrix has it.
  double making_time() const;

  // Each prepares itself at the first call with a geometry; the last few are kept.
  void forward(const espalier_conv2d& shape, const float* x, const float* bias, bool relu, float* y);
  void data_grad(const espalier_conv2d& shape, const float* dy, float* dx);
  void weight_grad(const espalier_conv2d& shape, const float* x, const float* dy, float* values);

 private:
  enum class Pass { kForward, kDataGrad, kWeightGrad };

  // What a pass prepares for one geometry. The number of images matters only as far as the tiling does.
  struct Plan {
    Plan(Pass pass, const Axes& axes, const Tiling& tiling, bool whole_rows)
        : pass(pass), axes(axes), packing(axes, tiling, whole_rows) {}

    Pass pass;
    Axes axes;
    Packing packing;
    std::vector<int32_t> channels;  // of the input, those that any weight reads
    struct PhaseKernel {
      Phase phase;
      std::unique_ptr<StencilKernel> kernel;
    };
    // One of these three; for the weight gradient, `tiles` or one of the last two.
    std::unique_ptr<TileKernel> tiles;
    std::unique_ptr<ShiftedKernel> shifted;
    std::vector<PhaseKernel> phases;
    std::unique_ptr<ShiftedGrad> shifted_grad;
    GradOrder order;
    std::vector<int32_t> base;  // of a tile's output lines
  };

  std::shared_ptr<Plan> plan(Pass pass, const espalier_conv2d& shape);
  std::shared_ptr<Plan> made(Pass pass, const Axes& axes, const Tiling& tiling) const;
  std::shared_ptr<Plan> made_shifted(Pass pass, const Axes& axes, const Tiling& tiling) const;
  std::shared_ptr<Plan> made_tiles(Pass pass, const Axes& axes, const Tiling& tiling) const;
  void read_channels(Plan& plan) const;
  Stencil stencil(bool transposed, const Plan& plan, const Phase& phase) const;
  void check_nan(const espalier_conv2d& shape, const float* x, const float* dy, float* values) const;
  static void run_shifted(const Plan& plan, int64_t n, int64_t in, int64_t out, const float* x, const float* bias,
                          bool relu, float* y);
  static void run(const Plan& plan, int64_t n, int64_t in, int64_t out, const float* x, const float* bias, bool relu,
                  float* y);

  espalier_sparse_conv2d size_;
  espalier_sparse_kernel kernel_;
  // A weight's place.
  struct Entry {
    int32_t out, in;  // channels, `in` of all groups
    int32_t row, column;
  };
  std::vector<int32_t> positions_;
  std::vector<Entry> entries_;  // of each position
  std::vector<float> values_;

  struct Known {
    Pass pass;
    espalier_conv2d shape;
    std::shared_ptr<Plan> plan;
  };
  mutable std::mutex lock_;
  std::vector<Known> known_;  // the latest used first
  double making_time_ = 0;
};

}  // namespace espalier::sparse
