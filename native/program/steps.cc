#include "program/step.h"

#include "espalier/runtime.h"

namespace espalier::program {
namespace {

// The numbers of the kinds in a file are the places here: a new kind goes to the end.
constexpr ReadStep kKinds[] = {
    read_linear,  read_conv,          read_conv_transpose, read_chain,      read_broadcast,
    read_pool,    read_adaptive_pool, read_softmax,        read_layer_norm, read_sum,
    read_extreme, read_move,          read_fill,           read_matmul,
};

}  // namespace

std::unique_ptr<Step> read_step(Blueprint& from) {
  const int64_t kind = from.from.whole("a step's kind", 0, std::size(kKinds) - 1);
  std::string name = from.from.text("a step's name", 1024);
  std::string operation = from.from.text("a step's operation", 64);
  std::unique_ptr<Step> made = kKinds[kind](from);
  made->name = std::move(name);
  made->operation = std::move(operation);
  return made;
}

void require_ok(espalier_status status) {
  if (status != ESPALIER_OK) fail(status, "%s", espalier_last_error());
}

void require_same(const char* what, int64_t size, int64_t expected) {
  if (size != expected)
    fail(ESPALIER_SHAPE_MISMATCH, "%s has %lld elements a sample, expected %lld", what, static_cast<long long>(size),
         static_cast<long long>(expected));
}

int64_t multiple(const char* what, int64_t size, int64_t part) {
  if (part <= 0 || size % part != 0)
    fail(ESPALIER_SHAPE_MISMATCH, "%s has %lld elements a sample, expected a multiple of %lld", what,
         static_cast<long long>(size), static_cast<long long>(part));
  return size / part;
}

}  // namespace espalier::program
