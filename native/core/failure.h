// How a kernel's caller reports a fault: thrown inside the library, turned into a status at its edge.
#pragma once

#include <cstdarg>
#include <exception>
#include <new>

#include "espalier/types.h"

namespace espalier {

class Failure : public std::exception {
 public:
  Failure(espalier_status status, const char* format, va_list arguments);
  const char* what() const noexcept override { return message_; }
  espalier_status status() const { return status_; }

 private:
  espalier_status status_;
  char message_[256];
};

[[noreturn]] [[gnu::format(printf, 2, 3)]] void fail(espalier_status status, const char* format, ...);

void remember_error(const char* function, const char* message);
const char* last_error();

// Runs the body of a function of the C interface; nothing is thrown past it.
template <class Body>
espalier_status guarded(const char* function, Body body) {
  try {
    body();
    return ESPALIER_OK;
  } catch (const Failure& failure) {
    remember_error(function, failure.what());
    return failure.status();
  } catch (const std::bad_alloc&) {
    remember_error(function, "out of memory");
    return ESPALIER_OUT_OF_MEMORY;
  } catch (const std::exception& other) {
    remember_error(function, other.what());
    return ESPALIER_INTERNAL;
  } catch (...) {
    remember_error(function, "an unknown failure");
    return ESPALIER_INTERNAL;
  }
}

}  // namespace espalier
