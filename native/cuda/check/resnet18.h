// ResNet-18 (He et al. 2016) and a step of its training over the C interface, as a program that embeds the
// library would write it: activations with their channels last, master weights in float32.
#pragma once

#include <memory>

#include "cuda/check/buffer.h"

namespace espalier::check {

class ResNet18 {
 public:
  // Activations, and the weights that products read, are of `dtype`.
  ResNet18(int64_t images, int64_t size, espalier_dtype dtype, int64_t classes = 1000);
  ~ResNet18();

  // Images [images, size, size, 3] and a class for each.
  void load(const std::vector<double>& pixels, const std::vector<double>& classes);
  // Forward and backward; the gradients stay for `update`.
  void differentiate();
  // Stochastic gradient descent with momentum.
  void update(double lr, double momentum, double weight_decay);
  double loss() const;
  // The gradients of the weights, one behind the other.
  std::vector<double> gradient() const;

 private:
  struct Network;
  std::unique_ptr<Network> network_;
};

}  // namespace espalier::check
