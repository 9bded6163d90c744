// Convolutions of a ResNet's shapes in bfloat16, with their rate of arithmetic.
#include <cmath>
#include <cstdio>

#include "cuda/check/buffer.h"
#include "cuda/conv_engine.h"

using namespace espalier::check;

namespace {

struct Shape {
  const char* name;
  int64_t n, in, side, out, kernel, stride, padding, groups;
};
const Shape kShapes[] = {
    {"3x3 64-64 56x56 N=256", 256, 64, 56, 64, 3, 1, 1, 1},
    {"3x3 128-128 28x28 N=256", 256, 128, 28, 128, 3, 1, 1, 1},
    {"3x3 256-256 14x14 N=256", 256, 256, 14, 256, 3, 1, 1, 1},
    {"3x3 512-512 7x7 N=256", 256, 512, 7, 512, 3, 1, 1, 1},
    {"3x3 stride 2 64-128 56x56 N=256", 256, 64, 56, 128, 3, 2, 1, 1},
    {"1x1 stride 2 64-128 56x56 N=256", 256, 64, 56, 128, 1, 2, 0, 1},
    {"7x7 stride 2 3-64 224x224 N=256", 256, 3, 224, 64, 7, 2, 3, 1},
    {"depth-wise 3x3 256 28x28 N=256", 256, 256, 28, 256, 3, 1, 1, 256},
};

espalier_conv2d geometry(const Shape& s) {
  const int64_t to = (s.side + 2 * s.padding - s.kernel) / s.stride + 1;
  return {s.n,      s.in,     s.side,   s.side,    s.out,     to, to, s.kernel,
          s.kernel, s.stride, s.stride, s.padding, s.padding, 1,  1,  s.groups};
}

void time_one(const Shape& s, const char* direction, bool last, const espalier_conv2d& shape, const Buffer& to,
              const std::function<void()>& body) {
  const double work = 2.0 * static_cast<double>(shape.n * shape.out_channels * shape.out_height * shape.out_width) *
                      static_cast<double>(shape.in_channels / shape.groups * shape.kernel_height * shape.kernel_width);
  const double bytes = 2.0 * static_cast<double>(shape.n) *
                       static_cast<double>(shape.in_channels * shape.in_height * shape.in_width +
                                           shape.out_channels * shape.out_height * shape.out_width);
  Row row;
  row.task = "conv", row.name = std::string(s.name) + " " + direction + (last ? " NHWC bf16" : " NCHW bf16");
  // The last million values by the engine that every device has, then by the one that is timed.
  bool& warpgroups = espalier::cuda::conv::warpgroups_allowed();
  const int64_t some = std::min<int64_t>(to.length(), 1 << 20);
  const auto computed = [&] {
    ok(espalier_cuda_fill_bytes(to.out().data, 255, to.length() * (to.out().dtype == ESPALIER_FLOAT32 ? 4 : 2)),
       "fill");
    body();
    return to.fetch(to.length() - some, some);
  };
  warpgroups = false;
  const std::vector<double> expected = computed();
  const double plain = time_ms(body, 6, 2);
  warpgroups = true;
  close(computed(), expected, 1e-2, row.name.c_str());
  row.verified = true;
  row.ours = time_ms(body, 10, 3);
  std::printf("    %-52s %8.3f ms %7.1f TFLOP/s %7.1f GB/s; by mma.sync %8.3f ms\n", row.name.c_str(), row.ours,
              work / row.ours * 1e-9, bytes / row.ours * 1e-6, plain);
  row.limit = bytes / copy_bandwidth() * 1e3;  // of memory; arithmetic sets it in most
  report(row);
}

}  // namespace

ESPALIER_BENCH(conv) {
  for (const Shape& s : kShapes) {
    const espalier_conv2d shape = geometry(s);
    const int64_t size_x = s.n * s.in * s.side * s.side, size_y = s.n * s.out * shape.out_height * shape.out_width;
    const Buffer x(size_x, ESPALIER_BFLOAT16), y(size_y, ESPALIER_BFLOAT16);
    const int64_t size_weight = s.out * (s.in / s.groups) * s.kernel * s.kernel;
    const Buffer weight(size_weight, ESPALIER_BFLOAT16), dweight(size_weight, ESPALIER_FLOAT32);
    x.randomise(), y.randomise(), weight.randomise();
    time_one(s, "forward", true, shape, y,
             [&] { ok(espalier_cuda_conv2d_forward_nhwc(x.in(), weight.in(), {}, 0, y.out(), {}, shape), "forward"); });
    time_one(s, "data", true, shape, x,
             [&] { ok(espalier_cuda_conv2d_data_grad_nhwc(weight.in(), y.in(), {}, x.out(), shape), "data"); });
    time_one(s, "weight", true, shape, dweight,
             [&] { ok(espalier_cuda_conv2d_weight_grad_nhwc(x.in(), y.in(), dweight.out(), shape), "weight"); });
    time_one(s, "forward", false, shape, y,
             [&] { ok(espalier_cuda_conv2d_forward(x.in(), weight.in(), {}, 0, y.out(), shape), "forward"); });
    time_one(s, "data", false, shape, x,
             [&] { ok(espalier_cuda_conv2d_data_grad(weight.in(), y.in(), {}, x.out(), shape), "data"); });
    time_one(s, "weight", false, shape, dweight,
             [&] { ok(espalier_cuda_conv2d_weight_grad(x.in(), y.in(), dweight.out(), shape), "weight"); });
  }
}
