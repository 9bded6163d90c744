// Shapes of launches and kinds of access for kernels that move several arrays at once: which serves best.
#include <string>

#include "cuda/check/check.h"
#include "cuda/packs.cuh"

using namespace espalier;
using namespace espalier::check;
using namespace espalier::cuda;

namespace {

// Four arrays read, two written, as a step with momentum and a mask does. kStream: past the caches.
template <bool kStream>
struct Momentum {
  float *parameter, *velocity;
  const float *gradient, *mask;

  __device__ static float4 get(const float* from) {
    if constexpr (kStream) return __ldcs(reinterpret_cast<const float4*>(from));
    else return *reinterpret_cast<const float4*>(from);
  }
  __device__ static void put(float* to, float4 v) {
    if constexpr (kStream) __stcs(reinterpret_cast<float4*>(to), v);
    else *reinterpret_cast<float4*>(to) = v;
  }
  template <int N>
  __device__ __forceinline__ void at(int64_t i) const {
    if constexpr (N == 4) {
      float4 p = get(parameter + i), v = get(velocity + i);
      const float4 g = get(gradient + i), m = get(mask + i);
      const auto step = [](float& p, float& v, float g, float m) {
        v = fmaf(0.9f, v, g * m);
        p = fmaf(-0.1f, v, p);
      };
      step(p.x, v.x, g.x, m.x);
      step(p.y, v.y, g.y, m.y);
      step(p.z, v.z, g.z, m.z);
      step(p.w, v.w, g.w, m.w);
      put(parameter + i, p);
      put(velocity + i, v);
    }
  }
};

template <class Body>
__global__ void __launch_bounds__(kBlock) once_kernel(int64_t n, Body body) {
  const int64_t i = (blockIdx.x * int64_t{kBlock} + threadIdx.x) * 4;
  if (i < n) body.template at<4>(i);
}

}  // namespace

ESPALIER_BENCH(packs_shapes) {
  const int64_t n = int64_t{1} << 28;
  const Temporary<float> p(n), v(n), g(n), m(n);
  for (float* const array : {p.get(), v.get(), g.get(), m.get()})
    ESPALIER_CUDA(cudaMemsetAsync(array, 0, 4 * static_cast<size_t>(n), stream()));
  const double limit = 24e3 * static_cast<double>(n) / copy_bandwidth();
  const auto row = [&](const std::string& name, const std::function<void()>& body) {
    report({"packs_shapes", name, "", time_ms(body, 10, 3), 0, limit, true});
  };
  const auto all = [&](const std::string& kind, const auto& body) {
    for (const int waves : {4, 8, 16, 32, 128})
      row(kind + ", blocks a multiprocessor: " + std::to_string(waves), [&] {
        packs_kernel<4><<<static_cast<unsigned>(traits().multiprocessors * waves), kBlock, 0, stream()>>>(n, body);
        launched("packs");
      });
    row(kind + ", a pack a thread", [&] {
      once_kernel<<<static_cast<unsigned>(n / 4 / kBlock), kBlock, 0, stream()>>>(n, body);
      launched("once");
    });
  };
  all("plain", Momentum<false>{p, v, g, m});
  all("streaming", Momentum<true>{p, v, g, m});
}
