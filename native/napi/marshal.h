// Turns JavaScript arguments into those of a C function, told by the function's own signature:
//
//   espalier_in, espalier_out   an array (see `array` below), or null
//   espalier_in_list, …_out_list   an array of them
//   espalier_dims               an array of integers
//   int64_t, enumerations       a number that is a whole one (never truncated)
//   double                      a number
//   a struct of int64_t         as many consecutive whole numbers
//   int64_t*, double*, const char**   the value the JavaScript function returns
#pragma once

#include <napi.h>

#include <cmath>
#include <exception>
#include <string>
#include <type_traits>
#include <vector>

#include "espalier.h"
#include "napi/module.h"

namespace espalier::napi {

constexpr size_t kMaxArguments = 40;
constexpr size_t kMaxRank = 32;
constexpr uint32_t kMaxArrays = 1 << 16;

// An argument that cannot be marshalled; the text names it by position.
struct BadArgument {
  const char* code;
  std::string message;
};

class Arguments {
 public:
  Arguments(napi_env env, napi_callback_info info) : env(env) {
    count = kMaxArguments;
    napi_get_cb_info(env, info, &count, values, nullptr, nullptr);
  }
  napi_value next() {
    if (position >= count || position >= kMaxArguments) refuse("INVALID_ARGUMENT", "is missing");
    return values[position++];
  }
  [[noreturn]] void refuse(const char* code, const char* what) const {
    throw BadArgument{code, "argument " + std::to_string(position) + " " + what};
  }

  napi_env env;
  napi_value values[kMaxArguments];
  size_t count, position = 0;
};

inline double number(Arguments& from) {
  double value;
  if (napi_get_value_double(from.env, from.next(), &value) != napi_ok)
    from.refuse("INVALID_ARGUMENT", "is not a number");
  return value;
}

inline int64_t whole(Arguments& from) {
  const double value = number(from);
  if (!(value >= -9007199254740992.0 && value <= 9007199254740992.0) || value != std::floor(value))
    from.refuse("INVALID_ARGUMENT", "is not a whole number");
  return static_cast<int64_t>(value);
}

// What an addon takes for an array: typed arrays in the one for the CPU, handles of device memory in the one for CUDA.
// Read after every argument that may run JavaScript (a getter among the dimensions could detach a
// buffer), so that the address is good until the call is over. Absent where the value is null or undefined.
espalier_out array(Arguments& from, napi_value value);

inline bool absent(napi_env env, napi_value value) {
  napi_valuetype kind;
  return napi_typeof(env, value, &kind) == napi_ok && (kind == napi_null || kind == napi_undefined);
}

// How many enumerators an enumeration of the header has; they count from 0. The addon says it of each.
template <class T>
constexpr int64_t kEnumerators = 0;

// What one parameter of type T takes from JavaScript: read from Arguments, then given to C.
template <class T, class = void>
struct Parameter {
  static_assert(std::is_class_v<T> && sizeof(T) % sizeof(int64_t) == 0, "a struct of int64_t");
  explicit Parameter(Arguments& from) {
    int64_t* const fields = reinterpret_cast<int64_t*>(&value);
    for (size_t i = 0; i < sizeof(T) / sizeof(int64_t); ++i) fields[i] = whole(from);
  }
  T value;
};
template <class T>
struct Parameter<T, std::enable_if_t<std::is_same_v<T, espalier_in> || std::is_same_v<T, espalier_out>>> {
  explicit Parameter(Arguments& from) : given(from.next()), position(from.position) {}
  void settle(Arguments& from) {
    from.position = position;
    const espalier_out found = array(from, given);
    value = {found.data, found.length, found.dtype};
  }
  napi_value given;
  size_t position;
  T value;
};
template <class List, class Item>
struct ListParameter {
  explicit ListParameter(Arguments& from) : position(from.position + 1) {
    const napi_value list = from.next();
    uint32_t length;
    if (napi_get_array_length(from.env, list, &length) != napi_ok || length > kMaxArrays)
      from.refuse("INVALID_ARGUMENT", "is not a list of arrays, at most 65536 of them");
    given.resize(length);
    for (uint32_t i = 0; i < length; ++i)
      if (napi_get_element(from.env, list, i, &given[i]) != napi_ok)
        from.refuse("INVALID_ARGUMENT", "is not a list of arrays");
  }
  void settle(Arguments& from) {
    from.position = position;
    for (const napi_value item : given) {
      const espalier_out found = array(from, item);
      items.push_back({found.data, found.length, found.dtype});
    }
    value = {items.data(), static_cast<int64_t>(items.size())};
  }
  std::vector<napi_value> given;
  std::vector<Item> items;
  size_t position;
  List value;
};
template <>
struct Parameter<espalier_in_list> : ListParameter<espalier_in_list, espalier_in> {
  using ListParameter::ListParameter;
};
template <>
struct Parameter<espalier_out_list> : ListParameter<espalier_out_list, espalier_out> {
  using ListParameter::ListParameter;
};
template <>
struct Parameter<int64_t> {
  explicit Parameter(Arguments& from) : value(whole(from)) {}
  int64_t value;
};
template <>
struct Parameter<double> {
  explicit Parameter(Arguments& from) : value(number(from)) {}
  double value;
};
template <class T>
struct Parameter<T, std::enable_if_t<std::is_enum_v<T>>> {
  explicit Parameter(Arguments& from) {
    const int64_t code = whole(from);
    if (code < 0 || code >= kEnumerators<T>) from.refuse("INVALID_ARGUMENT", "is not one of the enumeration");
    value = static_cast<T>(code);
  }
  T value;
};
template <>
struct Parameter<espalier_dims> {
  explicit Parameter(Arguments& from) : value{dims, 0} {
    const napi_value list = from.next();
    uint32_t length;
    if (napi_get_array_length(from.env, list, &length) != napi_ok)
      from.refuse("INVALID_ARGUMENT", "is not an array of whole numbers");
    if (length > kMaxRank) from.refuse("INVALID_ARGUMENT", "has more than 32 dimensions");
    for (uint32_t i = 0; i < length; ++i) {
      napi_value item;
      double dimension;
      if (napi_get_element(from.env, list, i, &item) != napi_ok ||
          napi_get_value_double(from.env, item, &dimension) != napi_ok || dimension != std::floor(dimension) ||
          std::fabs(dimension) > 9007199254740992.0)
        from.refuse("INVALID_ARGUMENT", "is not an array of whole numbers");
      dims[i] = static_cast<int64_t>(dimension);
    }
    value.rank = length;
  }
  Parameter(const Parameter&) = delete;
  int64_t dims[kMaxRank];
  espalier_dims value;
};

// Results: written by C, returned to JavaScript.
template <class T>
struct Parameter<T*> {
  explicit Parameter(Arguments&) : value(&result) {}
  Parameter(const Parameter&) = delete;
  napi_value returned(napi_env env) const {
    napi_value made;
    if constexpr (std::is_same_v<T, const char*>) napi_create_string_utf8(env, result, NAPI_AUTO_LENGTH, &made);
    else napi_create_double(env, static_cast<double>(result), &made);
    return made;
  }
  T result{};
  T* value;
};

// The parameters of one call, read in their order.
template <class... T>
struct Pack {
  explicit Pack(Arguments&) {}
  void settle(Arguments&) {}
  template <class Function, class... Read>
  espalier_status call(Function function, Read... read) {
    return function(read...);
  }
  napi_value returned(napi_env) const { return nullptr; }
};
template <class First, class... Rest>
struct Pack<First, Rest...> {
  explicit Pack(Arguments& from) : first(from), rest(from) {}
  void settle(Arguments& from) {
    if constexpr (requires { first.settle(from); }) first.settle(from);
    rest.settle(from);
  }
  template <class Function, class... Read>
  espalier_status call(Function function, Read... read) {
    return rest.call(function, read..., first.value);
  }
  napi_value returned(napi_env env) const {
    if constexpr (requires { first.returned(env); }) return first.returned(env);
    else return rest.returned(env);
  }
  Parameter<First> first;
  Pack<Rest...> rest;
};

// Runs the body of a function of the addon; what it throws becomes an error of JavaScript's.
template <class Body>
napi_value guarded(napi_env env, Body body) {
  try {
    return body();
  } catch (const BadArgument& bad) {
    throw_error(env, bad.code, bad.message.c_str());
  } catch (const std::exception& other) {
    throw_error(env, "INTERNAL", other.what());
  }
  return nullptr;
}

template <class... T>
napi_value invoke(espalier_status (*function)(T...), napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    Arguments arguments(env, info);
    Pack<T...> pack(arguments);
    pack.settle(arguments);
    const espalier_status status = pack.call(function);
    if (status == ESPALIER_OK) return pack.returned(env);
    throw_error(env, code_of(status), espalier_last_error());
    return nullptr;
  });
}

// The JavaScript function for a C function.
template <auto Function>
napi_value entry(napi_env env, napi_callback_info info) {
  return invoke(Function, env, info);
}

}  // namespace espalier::napi
