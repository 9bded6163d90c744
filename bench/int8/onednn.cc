// oneDNN: matmul of uint8 by int8 in int32, with its own choice of layout for B, reordered beforehand.  m n k
#include <oneapi/dnnl/dnnl.hpp>

#include "support/rival.h"

using namespace dnnl;

int main(int count, char** arguments) {
  Rival rival(count, arguments);
  const memory::dim m = rival.argument(0), n = rival.argument(1), k = rival.argument(2);
  std::vector<uint8_t> a = rival.input<uint8_t>("a");
  std::vector<int8_t> b = rival.input<int8_t>("b");
  std::vector<int32_t> c(static_cast<size_t>(m * n));

  engine cpu(engine::kind::cpu, 0);
  stream queue(cpu);
  using Type = memory::data_type;
  using Tag = memory::format_tag;
  const memory::desc left({m, k}, Type::u8, Tag::ab), any({k, n}, Type::s8, Tag::any), result({m, n}, Type::s32, Tag::ab);
  const matmul::primitive_desc plan(matmul::desc(left, any, result), cpu);
  memory plain({{k, n}, Type::s8, Tag::ab}, cpu, b.data()), packed(plan.weights_desc(), cpu);
  reorder(plain, packed).execute(queue, plain, packed);
  queue.wait();

  matmul product(plan);
  memory source(left, cpu, a.data()), target(result, cpu, c.data());
  return rival.serve(c, [&] {
    product.execute(queue, {{DNNL_ARG_SRC, source}, {DNNL_ARG_WEIGHTS, packed}, {DNNL_ARG_DST, target}});
    queue.wait();
  });
}
