// What stands between a network's convolutions, channels last in bfloat16, beside the time that memory sets.
#include "cuda/check/buffer.h"

using namespace espalier::check;

namespace {

void time_one(const char* name, double bytes, const std::function<void()>& body) {
  Row row;
  row.task = "nhwc", row.name = std::string(name) + " bf16";
  row.ours = time_ms(body, 10, 3);
  row.limit = bytes / copy_bandwidth() * 1e3;
  row.verified = true;  // by the checks
  report(row);
}

}  // namespace

ESPALIER_BENCH(nhwc) {
  const espalier_nhwc shape{256 * 56 * 56, 64};
  const int64_t length = shape.rows * shape.channels;
  const double once = 2.0 * static_cast<double>(length);
  const Buffer x(length, ESPALIER_BFLOAT16), y(length, ESPALIER_BFLOAT16), residual(length, ESPALIER_BFLOAT16),
      dx(length, ESPALIER_BFLOAT16), dresidual(length, ESPALIER_BFLOAT16), signs(length / 8, ESPALIER_UINT8);
  const Buffer weight(64, ESPALIER_FLOAT32), bias(64, ESPALIER_FLOAT32), mean(64, ESPALIER_FLOAT32),
      scale(64, ESPALIER_FLOAT32), dweight(64, ESPALIER_FLOAT32), dbias(64, ESPALIER_FLOAT32);
  x.randomise(), y.randomise(), residual.randomise(), weight.randomise(), bias.randomise();
  int64_t described = 0;
  ok(espalier_cuda_moments_length(shape, &described), "moments_length");
  const Buffer moments(described, ESPALIER_FLOAT32);
  const espalier_conv2d pointwise{256, 64, 56, 56, 64, 56, 56, 1, 1, 1, 1, 0, 0, 1, 1, 1};
  const Buffer kernel(64 * 64, ESPALIER_BFLOAT16);
  kernel.randomise();
  ok(espalier_cuda_conv2d_forward_nhwc(x.in(), kernel.in(), {}, 0, y.out(), moments.out(), pointwise), "moments");

  time_one("batch norm, ReLU 64 56x56 N=256", 2 * once, [&] {
    ok(espalier_cuda_batch_norm_train_nhwc(y.in(), moments.in(), weight.in(), bias.in(), {}, 1, 0.1, 1e-5, {}, {},
                                           mean.out(), scale.out(), x.out(), signs.out(), shape),
       "forward");
  });
  time_one("batch norm, residual, ReLU 64 56x56 N=256", 3 * once, [&] {
    ok(espalier_cuda_batch_norm_train_nhwc(y.in(), moments.in(), weight.in(), bias.in(), residual.in(), 1, 0.1, 1e-5,
                                           {}, {}, mean.out(), scale.out(), x.out(), signs.out(), shape),
       "forward");
  });
  // dy and x are read for the sums, and again for the gradient.
  time_one("batch norm, ReLU backward 64 56x56 N=256", 5 * once, [&] {
    ok(espalier_cuda_batch_norm_train_backward_nhwc(residual.in(), y.in(), signs.in(), weight.in(), mean.in(),
                                                    scale.in(), dx.out(), {}, dweight.out(), dbias.out(), shape),
       "backward");
  });
  time_one("batch norm, residual, ReLU backward 64 56x56 N=256", 6 * once, [&] {
    ok(espalier_cuda_batch_norm_train_backward_nhwc(residual.in(), y.in(), signs.in(), weight.in(), mean.in(),
                                                    scale.in(), dx.out(), dresidual.out(), dweight.out(), dbias.out(),
                                                    shape),
       "backward");
  });
  time_one("1x1 convolution with moments 64-64 56x56 N=256", 2 * once, [&] {
    ok(espalier_cuda_conv2d_forward_nhwc(x.in(), kernel.in(), {}, 0, y.out(), moments.out(), pointwise), "convolution");
  });

  const espalier_nhwc_pool2d pool{64, 64, 112, 112, 56, 56, 3, 3, 2, 2, 1, 1};
  const int64_t pooled = pool.images * 56 * 56 * 64;  // as large an x as above
  const Buffer small(pooled, ESPALIER_BFLOAT16), taps(pooled, ESPALIER_UINT8);
  time_one("batch norm, ReLU, max pool 64 112x112 N=64", once + 3.0 * static_cast<double>(pooled), [&] {
    ok(espalier_cuda_batch_norm_max_pool_train_nhwc(y.in(), moments.in(), weight.in(), bias.in(), 0.1, 1e-5, {}, {},
                                                    mean.out(), scale.out(), small.out(), taps.out(), pool),
       "forward");
  });
  time_one("batch norm, ReLU, max pool backward 64 112x112 N=64", 3 * once + 6.0 * static_cast<double>(pooled), [&] {
    ok(espalier_cuda_batch_norm_max_pool_train_backward_nhwc(small.in(), y.in(), taps.in(), weight.in(), mean.in(),
                                                             scale.in(), dx.out(), dweight.out(), dbias.out(), pool),
       "backward");
  });
}
