// oneDNN's direct convolution, every tensor in the layout it likes best, reordered beforehand: what a
// network run wholly in oneDNN would see.  which n c h w o oh ow k stride padding
// which: 0 forward, 1 data gradient, 2 weight gradient
#include <oneapi/dnnl/dnnl.hpp>

#include "support/rival.h"

using namespace dnnl;

int main(int count, char** arguments) {
  Rival rival(count, arguments);
  const long which = rival.argument(0);
  const auto at = [&](size_t i) -> memory::dim { return rival.argument(i); };
  const memory::dims x_dims{at(1), at(2), at(3), at(4)}, y_dims{at(1), at(5), at(6), at(7)},
      weight_dims{at(5), at(2), at(8), at(8)}, strides{at(9), at(9)}, before{at(10), at(10)};
  memory::dims behind(2);
  for (int i = 0; i < 2; ++i) behind[i] = (y_dims[2 + i] - 1) * at(9) + at(8) - x_dims[2 + i] - at(10);

  engine cpu(engine::kind::cpu, 0);
  stream queue(cpu);
  using Type = memory::data_type;
  using Tag = memory::format_tag;
  const auto any = [](const memory::dims& dims) { return memory::desc(dims, Type::f32, Tag::any); };
  const auto plain = [](const memory::dims& dims) { return memory::desc(dims, Type::f32, Tag::abcd); };
  constexpr auto kDirect = algorithm::convolution_direct;
  const convolution_forward::primitive_desc forward(
      convolution_forward::desc(prop_kind::forward_training, kDirect, any(x_dims), any(weight_dims), any(y_dims),
                                strides, before, behind),
      cpu);

  // A tensor of ours in a layout of its choice; values where there is an input of that name.
  const auto brought = [&](const char* name, const memory::dims& dims, const memory::desc& layout) {
    std::vector<float> values = rival.input<float>(name);
    memory from(plain(dims), cpu, values.data()), to(layout, cpu);
    reorder(from, to).execute(queue, from, to);
    queue.wait();
    return to;
  };
  const auto answer = [&](primitive task, memory result, const memory::dims& dims,
                          const std::unordered_map<int, memory>& operands) {
    size_t size = 1;
    for (const memory::dim dim : dims) size *= static_cast<size_t>(dim);
    std::vector<float> output(size);
    memory target(plain(dims), cpu, output.data());
    return rival.serve(
        output,
        [&] {
          task.execute(queue, operands);
          queue.wait();
        },
        [&] {
          reorder(result, target).execute(queue, result, target);
          queue.wait();
        });
  };

  if (which == 0) {
    const memory x = brought("x", x_dims, forward.src_desc()),
                 weight = brought("weight", weight_dims, forward.weights_desc()), y(forward.dst_desc(), cpu);
    return answer(convolution_forward(forward), y, y_dims,
                  {{DNNL_ARG_SRC, x}, {DNNL_ARG_WEIGHTS, weight}, {DNNL_ARG_DST, y}});
  }
  if (which == 1) {
    const convolution_backward_data::primitive_desc plan(
        convolution_backward_data::desc(kDirect, any(x_dims), any(weight_dims), any(y_dims), strides, before, behind),
        cpu, forward);
    const memory dy = brought("dy", y_dims, plan.diff_dst_desc()),
                 weight = brought("weight", weight_dims, plan.weights_desc()), dx(plan.diff_src_desc(), cpu);
    return answer(convolution_backward_data(plan), dx, x_dims,
                  {{DNNL_ARG_DIFF_DST, dy}, {DNNL_ARG_WEIGHTS, weight}, {DNNL_ARG_DIFF_SRC, dx}});
  }
  const convolution_backward_weights::primitive_desc plan(
      convolution_backward_weights::desc(kDirect, any(x_dims), any(weight_dims), any(y_dims), strides, before, behind),
      cpu, forward);
  const memory x = brought("x", x_dims, plan.src_desc()), dy = brought("dy", y_dims, plan.diff_dst_desc()),
               dweight(plan.diff_weights_desc(), cpu);
  return answer(convolution_backward_weights(plan), dweight, weight_dims,
                {{DNNL_ARG_SRC, x}, {DNNL_ARG_DIFF_DST, dy}, {DNNL_ARG_DIFF_WEIGHTS, dweight}});
}
