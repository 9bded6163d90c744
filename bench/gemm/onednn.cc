// oneDNN: matmul with its own choice of layout for B, reordered beforehand.  m n k
#include <oneapi/dnnl/dnnl.hpp>

#include "support/rival.h"

using namespace dnnl;

int main(int count, char** arguments) {
  Rival rival(count, arguments);
  const memory::dim m = rival.argument(0), n = rival.argument(1), k = rival.argument(2);
  std::vector<float> a = rival.input<float>("a"), b = rival.input<float>("b");
  std::vector<float> c(static_cast<size_t>(m * n));

  engine cpu(engine::kind::cpu, 0);
  stream queue(cpu);
  using Type = memory::data_type;
  using Tag = memory::format_tag;
  const memory::desc left({m, k}, Type::f32, Tag::ab), any({k, n}, Type::f32, Tag::any),
      result({m, n}, Type::f32, Tag::ab);
  const matmul::primitive_desc plan(matmul::desc(left, any, result), cpu);
  memory plain({{k, n}, Type::f32, Tag::ab}, cpu, b.data()), packed(plan.weights_desc(), cpu);
  reorder(plain, packed).execute(queue, plain, packed);
  queue.wait();

  matmul product(plan);
  memory source(left, cpu, a.data()), target(result, cpu, c.data());
  return rival.serve(c, [&] {
    product.execute(queue, {{DNNL_ARG_SRC, source}, {DNNL_ARG_WEIGHTS, packed}, {DNNL_ARG_DST, target}});
    queue.wait();
  });
}
