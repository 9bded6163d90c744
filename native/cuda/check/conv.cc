// Convolutions and both gradients against the CPU: every type, by the engines that every device has.
#include "cuda/check/conv_cases.h"

using namespace espalier::check;
using namespace espalier::check::conv;

ESPALIER_CHECK(conv_forward_float64) {
  const With plain(false);
  forward(ESPALIER_FLOAT64, 1e-13);
}
ESPALIER_CHECK(conv_forward_float32) {
  const With plain(false);
  forward(ESPALIER_FLOAT32, 1.5e-6);
}
ESPALIER_CHECK(conv_forward_bfloat16) {
  const With plain(false);
  forward(ESPALIER_BFLOAT16, 1e-2);
}
ESPALIER_CHECK(conv_forward_float16) {
  const With plain(false);
  forward(ESPALIER_FLOAT16, 2e-3);
}
ESPALIER_CHECK(conv_forward_tf32) {
  const With plain(false);
  const Within tf32(ESPALIER_CUDA_PRECISION_TF32);
  forward(ESPALIER_FLOAT32, 1e-3);
}
ESPALIER_CHECK(conv_forward_as_bfloat16) {
  const With plain(false);
  const Within bfloat16(ESPALIER_CUDA_PRECISION_BFLOAT16);
  forward(ESPALIER_FLOAT32, 1e-2);
}

ESPALIER_CHECK(conv_data_grad_float64) {
  const With plain(false);
  data_grad(ESPALIER_FLOAT64, 1e-13);
}
ESPALIER_CHECK(conv_data_grad_float32) {
  const With plain(false);
  data_grad(ESPALIER_FLOAT32, 1.5e-6);
}
ESPALIER_CHECK(conv_data_grad_bfloat16) {
  const With plain(false);
  data_grad(ESPALIER_BFLOAT16, 1e-2);
}
ESPALIER_CHECK(conv_data_grad_float16) {
  const With plain(false);
  data_grad(ESPALIER_FLOAT16, 2e-3);
}
ESPALIER_CHECK(conv_data_grad_tf32) {
  const With plain(false);
  const Within tf32(ESPALIER_CUDA_PRECISION_TF32);
  data_grad(ESPALIER_FLOAT32, 1e-3);
}

ESPALIER_CHECK(conv_weight_grad_float64) {
  const With plain(false);
  weight_grad(ESPALIER_FLOAT64, ESPALIER_FLOAT64, 1e-13);
}
ESPALIER_CHECK(conv_weight_grad_float32) {
  const With plain(false);
  weight_grad(ESPALIER_FLOAT32, ESPALIER_FLOAT32, 1.5e-6);
}
ESPALIER_CHECK(conv_weight_grad_bfloat16) {
  const With plain(false);
  weight_grad(ESPALIER_BFLOAT16, ESPALIER_BFLOAT16, 1e-2);
}
ESPALIER_CHECK(conv_weight_grad_bfloat16_in_float32) {
  const With plain(false);
  weight_grad(ESPALIER_BFLOAT16, ESPALIER_FLOAT32, 1e-5);
}
ESPALIER_CHECK(conv_weight_grad_float16) {
  const With plain(false);
  weight_grad(ESPALIER_FLOAT16, ESPALIER_FLOAT16, 2e-3);
}
ESPALIER_CHECK(conv_weight_grad_tf32) {
  const With plain(false);
  const Within tf32(ESPALIER_CUDA_PRECISION_TF32);
  weight_grad(ESPALIER_FLOAT32, ESPALIER_FLOAT32, 1e-3);
}

ESPALIER_CHECK(conv_is_deterministic) {
  const Case c = square(4, 64, 28, 28, 128, 3, 1, 1);
  Array x = random(size_x(c), -1, 1, ESPALIER_BFLOAT16), dy = random(size_y(c), -1, 1, ESPALIER_BFLOAT16);
  Array once = result(size_weight(c)), again = result(size_weight(c));
  ok(espalier_cuda_conv2d_weight_grad(x.in(), dy.in(), once.out(), shape_of(c)), "once");
  ok(espalier_cuda_conv2d_weight_grad(x.in(), dy.in(), again.out(), shape_of(c)), "again");
  close(once.fetch(), again.fetch(), 0, "the second run");
}

ESPALIER_CHECK(conv_refuses) {
  Case c = square(1, 8, 8, 8, 8, 3, 1, 1);
  Array x = random(size_x(c)), weight = random(size_weight(c)), y = result(size_y(c));
  espalier_conv2d shape = shape_of(c);
  shape.groups = 3;
  require(espalier_cuda_conv2d_forward(x.in(), weight.in(), {}, 0, y.out(), shape) == ESPALIER_INVALID_ARGUMENT,
          "groups that do not divide the channels");
  shape = shape_of(c);
  shape.stride_width = 0;
  require(espalier_cuda_conv2d_forward(x.in(), weight.in(), {}, 0, y.out(), shape) == ESPALIER_INVALID_ARGUMENT,
          "a stride of 0");
  shape = shape_of(c);
  shape.n = 2;
  require(espalier_cuda_conv2d_forward(x.in(), weight.in(), {}, 0, y.out(), shape) == ESPALIER_SHAPE_MISMATCH,
          "too short an x");
  require(espalier_cuda_conv2d_forward(x.in(), weight.in(), {}, 2, y.out(), shape_of(c)) == ESPALIER_INVALID_ARGUMENT,
          "relu of 2");
  Array narrow = random(size_weight(c), -1, 1, ESPALIER_BFLOAT16);
  require(espalier_cuda_conv2d_forward(x.in(), narrow.in(), {}, 0, y.out(), shape_of(c)) == ESPALIER_DTYPE_MISMATCH,
          "weights of another type");
}
