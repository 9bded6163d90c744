#include "espalier/sparse_conv.h"

#include <algorithm>

#include "core/conv_shape.h"
#include "core/handles.h"
#include "program/cost.h"
#include "sparse/conv.h"
#include "sparse/cost.h"

using namespace espalier;

namespace {

// Never destroyed: threads may hold convolutions when the process ends.
Handles<sparse::Convolution>& convolutions() {
  static auto* const made = new Handles<sparse::Convolution>("sparse convolution");
  return *made;
}

template <class Keeps>
int64_t made(const espalier_sparse_conv2d& size, int64_t length, const float* weight, espalier_sparse_kernel kernel,
             Keeps keeps) {
  std::vector<int32_t> positions;
  std::vector<float> values;
  for (int64_t i = 0; i < length; ++i)
    if (keeps(i)) {
      positions.push_back(static_cast<int32_t>(i));
      values.push_back(weight[i]);
    }
  return convolutions().keep(
      std::make_shared<sparse::Convolution>(size, std::move(positions), std::move(values), kernel));
}

// Lengths of a call's arrays; an error where the geometry is not that of the weight.
ConvLengths checked(const sparse::Convolution& of, const espalier_conv2d& shape) {
  const ConvLengths length = checked_conv(shape);
  const espalier_sparse_conv2d& size = of.size();
  const auto require = [](const char* name, int64_t value, int64_t expected) {
    if (value != expected)
      fail(ESPALIER_SHAPE_MISMATCH, "%s is %lld, expected %lld", name, static_cast<long long>(value),
           static_cast<long long>(expected));
  };
  require("in_channels", shape.in_channels, size.in_channels);
  require("out_channels", shape.out_channels, size.out_channels);
  require("kernel_height", shape.kernel_height, size.kernel_height);
  require("kernel_width", shape.kernel_width, size.kernel_width);
  require("groups", shape.groups, size.groups);
  return length;
}

}  // namespace

espalier_status espalier_sparse_conv2d_create(espalier_in weight, espalier_in mask, espalier_sparse_kernel kernel,
                                              int64_t* convolution, espalier_sparse_conv2d size) {
  return guarded(__func__, [&] {
    espalier_conv2d shape{};
    shape.in_channels = size.in_channels;
    shape.out_channels = size.out_channels;
    shape.kernel_height = size.kernel_height;
    shape.kernel_width = size.kernel_width;
    shape.groups = size.groups;
    shape.stride_height = shape.stride_width = shape.dilation_height = shape.dilation_width = 1;
    const int64_t length = checked_conv(shape).weight;
    // Positions are int32, in the interface and in the kernels.
    require_range("size of the weight", length, int64_t{0}, int64_t{INT32_MAX});
    const float* const from = elements<float>("weight", weight, length);
    if (mask.dtype == ESPALIER_UINT8 && mask.data != nullptr) {
      const uint8_t* const kept = elements<uint8_t>("mask", mask, length);
      *convolution = made(size, length, from, kernel, [=](int64_t i) { return kept[i] != 0; });
    } else {
      const float* const kept = mask.data == nullptr && mask.length == 0 ? from : elements<float>("mask", mask, length);
      *convolution = made(size, length, from, kernel, [=](int64_t i) { return kept[i] != 0; });
    }
  });
}

espalier_status espalier_sparse_conv2d_free(int64_t convolution) {
  return guarded(__func__, [&] { convolutions().forget(convolution); });
}

espalier_status espalier_sparse_conv2d_size(int64_t convolution, int64_t* count) {
  return guarded(__func__,
                 [&] { *count = static_cast<int64_t>(convolutions().find(convolution)->positions().size()); });
}

espalier_status espalier_sparse_conv2d_positions(int64_t convolution, espalier_out index) {
  return guarded(__func__, [&] {
    const auto of = convolutions().find(convolution);
    std::copy(of->positions().begin(), of->positions().end(),
              elements<int32_t>("index", index, static_cast<int64_t>(of->positions().size())));
  });
}

espalier_status espalier_sparse_conv2d_values(int64_t convolution, espalier_out values) {
  return guarded(__func__, [&] {
    const auto of = convolutions().find(convolution);
    std::copy(of->values().begin(), of->values().end(),
              elements<float>("values", values, static_cast<int64_t>(of->values().size())));
  });
}

espalier_status espalier_sparse_conv2d_set_values(int64_t convolution, espalier_in values) {
  return guarded(__func__, [&] {
    const auto of = convolutions().find(convolution);
    of->set_values(elements<float>("values", values, static_cast<int64_t>(of->values().size())));
  });
}

espalier_status espalier_sparse_conv2d_code_size(int64_t convolution, int64_t* bytes) {
  return guarded(__func__, [&] { *bytes = convolutions().find(convolution)->code_size(); });
}

espalier_status espalier_sparse_conv2d_making_time(int64_t convolution, double* nanoseconds) {
  return guarded(__func__, [&] { *nanoseconds = convolutions().find(convolution)->making_time(); });
}

espalier_status espalier_sparse_conv2d_forward(int64_t convolution, espalier_in x, espalier_in bias,
                                               espalier_finish finish, espalier_out y, espalier_conv2d shape) {
  return guarded(__func__, [&] {
    const auto of = convolutions().find(convolution);
    const ConvLengths length = checked(*of, shape);
    const float* const from = elements<float>("x", x, length.x);
    const float* const plus = optional_elements<float>("bias", bias, shape.out_channels);
    of->forward(shape, from, plus, finish == ESPALIER_FINISH_RELU, elements<float>("y", y, length.y));
  });
}

espalier_status espalier_sparse_conv2d_data_grad(int64_t convolution, espalier_in dy, espalier_out dx,
                                                 espalier_conv2d shape) {
  return guarded(__func__, [&] {
    const auto of = convolutions().find(convolution);
    const ConvLengths length = checked(*of, shape);
    const float* const from = elements<float>("dy", dy, length.y);
    of->data_grad(shape, from, elements<float>("dx", dx, length.x));
  });
}

espalier_status espalier_sparse_conv2d_weight_grad(int64_t convolution, espalier_in x, espalier_in dy,
                                                   espalier_out values, espalier_conv2d shape) {
  return guarded(__func__, [&] {
    const auto of = convolutions().find(convolution);
    const ConvLengths length = checked(*of, shape);
    const float* const seen = elements<float>("x", x, length.x);
    const float* const from = elements<float>("dy", dy, length.y);
    of->weight_grad(shape, seen, from, elements<float>("values", values, static_cast<int64_t>(of->values().size())));
  });
}

espalier_status espalier_sparse_conv2d_costs(int64_t convolution, espalier_out sparse, espalier_out dense,
                                             espalier_conv2d shape) {
  return guarded(__func__, [&] {
    const auto of = convolutions().find(convolution);
    const ConvLengths length = checked(*of, shape);
    double* const by_kept = elements<double>("sparse", sparse, 3);
    double* const by_all = elements<double>("dense", dense, 3);
    const double moved = static_cast<double>(length.x + length.y), kept = static_cast<double>(of->positions().size());
    const double outputs = static_cast<double>(shape.n * shape.out_height * shape.out_width);
    const double width = static_cast<double>(shape.out_width);
    by_kept[0] = by_kept[1] = sparse::cost_of_stencil(moved, kept, width, outputs, false);
    by_kept[2] = sparse::cost_of_stencil(moved, kept, width, outputs, true);
    std::fill_n(by_all, 3, program::dense_convolution_time(static_cast<double>(length.weight), shape, shape.n));
  });
}
