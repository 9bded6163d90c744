// A rival: oneDNN's matmul C = A·B with its own choice of layout for B, reordered beforehand. Its arguments: m n k.
#pragma once

#include <oneapi/dnnl/dnnl.hpp>

#include "support/rival.h"

template <class T>
constexpr dnnl::memory::data_type kType = dnnl::memory::data_type::undef;
template <>
inline constexpr auto kType<float> = dnnl::memory::data_type::f32;
template <>
inline constexpr auto kType<uint8_t> = dnnl::memory::data_type::u8;
template <>
inline constexpr auto kType<int8_t> = dnnl::memory::data_type::s8;
template <>
inline constexpr auto kType<int32_t> = dnnl::memory::data_type::s32;

template <class A, class B, class C>
int serve_matmul(int count, char** arguments) {
  using namespace dnnl;
  Rival rival(count, arguments);
  const memory::dim m = rival.argument(0), n = rival.argument(1), k = rival.argument(2);
  std::vector<A> a = rival.input<A>("a");
  std::vector<B> b = rival.input<B>("b");
  std::vector<C> c(static_cast<size_t>(m * n));

  engine cpu(engine::kind::cpu, 0);
  stream queue(cpu);
  using Tag = memory::format_tag;
  const memory::desc left({m, k}, kType<A>, Tag::ab), any({k, n}, kType<B>, Tag::any),
      result({m, n}, kType<C>, Tag::ab);
  const matmul::primitive_desc plan(matmul::desc(left, any, result), cpu);
  memory plain({{k, n}, kType<B>, Tag::ab}, cpu, b.data()), packed(plan.weights_desc(), cpu);
  reorder(plain, packed).execute(queue, plain, packed);
  queue.wait();

  matmul product(plan);
  memory source(left, cpu, a.data()), target(result, cpu, c.data());
  return rival.serve(c, [&] {
    product.execute(queue, {{DNNL_ARG_SRC, source}, {DNNL_ARG_WEIGHTS, packed}, {DNNL_ARG_DST, target}});
    queue.wait();
  });
}
