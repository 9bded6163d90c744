// Reads a program's bytes, which may come from anywhere: nothing is taken that is not there, and no number is
// trusted before it was compared with its limits. Numbers are little-endian, whole ones of 64 bits.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>

#include "core/array.h"

namespace espalier::program {

static_assert(std::endian::native == std::endian::little, "bytes are taken as they stand");

class Reader {
 public:
  Reader(const uint8_t* data, size_t size) : begin_(data), at_(data), end_(data + size) {}

  size_t position() const { return static_cast<size_t>(at_ - begin_); }
  size_t left() const { return static_cast<size_t>(end_ - at_); }

  const uint8_t* bytes(const char* what, size_t count) {
    if (count > left())
      fail(ESPALIER_INVALID_ARGUMENT, "the program ends within %s, at byte %zu", what, position() + left());
    const uint8_t* const from = at_;
    at_ += count;
    return from;
  }

  int64_t whole(const char* what, int64_t low, int64_t high) {
    int64_t value;
    std::memcpy(&value, bytes(what, sizeof value), sizeof value);
    require_range(what, value, low, high);
    return value;
  }
  bool flag(const char* what) { return whole(what, 0, 1) == 1; }

  double real(const char* what) {
    double value;
    std::memcpy(&value, bytes(what, sizeof value), sizeof value);
    return value;
  }

  // How many things follow, of at least `bytes_each`: so that a small file cannot ask for much memory.
  int64_t count(const char* what, int64_t most, size_t bytes_each) {
    const int64_t value = whole(what, 0, most);
    if (static_cast<size_t>(value) > left() / bytes_each)
      fail(ESPALIER_INVALID_ARGUMENT, "the program ends within %s, at byte %zu", what, position() + left());
    return value;
  }

  std::string text(const char* what, int64_t most) {
    const size_t length = static_cast<size_t>(whole(what, 0, most));
    const uint8_t* const from = bytes(what, length);
    return {reinterpret_cast<const char*>(from), length};
  }

 private:
  const uint8_t *begin_, *at_, *end_;
};

}  // namespace espalier::program
