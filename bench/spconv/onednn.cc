// A training step's share of a convolution in oneDNN: the direct convolution and both gradients, every tensor in the
// layout that each likes best, reordered beforehand.  n c h w o oh ow k padding
// Answers y, dx and dweight, one behind the other.
#include <oneapi/dnnl/dnnl.hpp>

#include "support/rival.h"

using namespace dnnl;

int main(int count, char** arguments) {
  Rival rival(count, arguments);
  const auto at = [&](size_t i) -> memory::dim { return rival.argument(i); };
  const memory::dims x_dims{at(0), at(1), at(2), at(3)}, y_dims{at(0), at(4), at(5), at(6)},
      weight_dims{at(4), at(1), at(7), at(7)}, strides{1, 1}, padding{at(8), at(8)};

  engine cpu(engine::kind::cpu, 0);
  stream queue(cpu);
  using Type = memory::data_type;
  using Tag = memory::format_tag;
  const auto any = [](const memory::dims& dims) { return memory::desc(dims, Type::f32, Tag::any); };
  const auto plain = [](const memory::dims& dims) { return memory::desc(dims, Type::f32, Tag::abcd); };
  constexpr auto kDirect = algorithm::convolution_direct;
  const convolution_forward::primitive_desc forward(
      convolution_forward::desc(prop_kind::forward_training, kDirect, any(x_dims), any(weight_dims), any(y_dims),
                                strides, padding, padding),
      cpu);
  const convolution_backward_data::primitive_desc data(
      convolution_backward_data::desc(kDirect, any(x_dims), any(weight_dims), any(y_dims), strides, padding, padding),
      cpu, forward);
  const convolution_backward_weights::primitive_desc weights(
      convolution_backward_weights::desc(kDirect, any(x_dims), any(weight_dims), any(y_dims), strides, padding,
                                         padding),
      cpu, forward);

  const auto brought = [&](const char* name, const memory::dims& dims, const memory::desc& layout) {
    std::vector<float> values = rival.input<float>(name);
    memory from(plain(dims), cpu, values.data()), to(layout, cpu);
    reorder(from, to).execute(queue, from, to);
    queue.wait();
    return to;
  };
  const memory y(forward.dst_desc(), cpu), dx(data.diff_src_desc(), cpu), dweight(weights.diff_weights_desc(), cpu);
  const std::unordered_map<int, memory> of_forward{
      {DNNL_ARG_SRC, brought("x", x_dims, forward.src_desc())},
      {DNNL_ARG_WEIGHTS, brought("weight", weight_dims, forward.weights_desc())},
      {DNNL_ARG_DST, y}},
      of_data{{DNNL_ARG_DIFF_DST, brought("dy", y_dims, data.diff_dst_desc())},
              {DNNL_ARG_WEIGHTS, brought("weight", weight_dims, data.weights_desc())},
              {DNNL_ARG_DIFF_SRC, dx}},
      of_weights{{DNNL_ARG_SRC, brought("x", x_dims, weights.src_desc())},
                 {DNNL_ARG_DIFF_DST, brought("dy", y_dims, weights.diff_dst_desc())},
                 {DNNL_ARG_DIFF_WEIGHTS, dweight}};
  const convolution_forward run_forward(forward);
  const convolution_backward_data run_data(data);
  const convolution_backward_weights run_weights(weights);

  const auto size = [](const memory::dims& dims) {
    size_t product = 1;
    for (const memory::dim dim : dims) product *= static_cast<size_t>(dim);
    return product;
  };
  std::vector<float> output(size(y_dims) + size(x_dims) + size(weight_dims));
  return rival.serve(
      output,
      [&] {
        run_forward.execute(queue, of_forward);
        run_data.execute(queue, of_data);
        run_weights.execute(queue, of_weights);
        queue.wait();
      },
      [&] {
        float* to = output.data();
        const auto answer = [&](memory result, const memory::dims& dims) {
          memory target(plain(dims), cpu, to);
          reorder(result, target).execute(queue, result, target);
          queue.wait();
          to += size(dims);
        };
        answer(y, y_dims);
        answer(dx, x_dims);
        answer(dweight, weight_dims);
      });
}
