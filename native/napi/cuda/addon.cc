// The Node addon for CUDA: every function of espalier_cuda.h under its JavaScript name, on handles of device
// memory.
#include <mutex>
#include <unordered_set>

#include "espalier_cuda.h"
#include "napi/cuda/async.h"
#include "napi/marshal.h"

namespace espalier::napi {

#define ESPALIER_OPERATION(name, js)
#define ESPALIER_ENUMERATION(name, count) \
  template <>                             \
  inline constexpr int64_t kEnumerators<espalier_##name> = count;
#include "napi/cuda/operations.inc"
#undef ESPALIER_OPERATION
#undef ESPALIER_ENUMERATION

namespace {

// What a handle stands for. Its address is null once it was released.
struct DeviceMemory {
  void* address;
  int64_t length;
  espalier_dtype dtype;
};

// The handles there are: a value of another addon's making is told from them before it is looked into.
std::mutex g_lock;
std::unordered_set<const DeviceMemory*>& handles() {
  static auto* const all = new std::unordered_set<const DeviceMemory*>;
  return *all;
}

constexpr int64_t kSizes[] = {4, 8, 4, 2, 1, 1, 2, 2};  // bytes, by espalier_dtype

// Calls of the C interface made by hand.
void ok(espalier_status status) {
  if (status != ESPALIER_OK) throw BadArgument{code_of(status), espalier_last_error()};
}

// The garbage collector calls it as soon as it finds a handle unreachable, inside a loop that never yields too: that
// is what the experimental version of Node-API is asked for. It may not touch JavaScript.
void finalize(node_api_basic_env, void* data, void*) {
  auto* const memory = static_cast<DeviceMemory*>(data);
  {
    const std::lock_guard<std::mutex> hold(g_lock);
    handles().erase(memory);
  }
  espalier_cuda_free(memory->address);
  delete memory;
}

DeviceMemory& memory_of(Arguments& from, napi_value value) {
  void* data = nullptr;
  if (napi_get_value_external(from.env, value, &data) == napi_ok) {
    const std::lock_guard<std::mutex> hold(g_lock);
    if (handles().count(static_cast<DeviceMemory*>(data)) > 0) return *static_cast<DeviceMemory*>(data);
  }
  from.refuse("INVALID_ARGUMENT", "is not an array on a CUDA device");
}

DeviceMemory& live(Arguments& from, napi_value value) {
  DeviceMemory& memory = memory_of(from, value);
  if (memory.address == nullptr) from.refuse("STATE", "was disposed of");
  return memory;
}

// allocate(dtype, length): a handle
napi_value allocate(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    Arguments from(env, info);
    const auto dtype = Parameter<espalier_dtype>(from).value;
    const int64_t length = whole(from);
    if (length < 0 || length > int64_t{1} << 46) from.refuse("INVALID_ARGUMENT", "is not a length");
    void* address = nullptr;
    ok(espalier_cuda_allocate(length * kSizes[dtype], &address));
    auto* const memory = new DeviceMemory{address, length, dtype};
    {
      const std::lock_guard<std::mutex> hold(g_lock);
      handles().insert(memory);
    }
    napi_value handle;
    if (napi_create_external(env, memory, finalize, nullptr, &handle) == napi_ok) return handle;
    finalize(env, memory, nullptr);
    throw BadArgument{"INTERNAL", "allocate: no handle could be made"};
  });
}

// release(handle): its memory goes back to the cache, which gives it to later work of the same stream.
napi_value release(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    Arguments from(env, info);
    DeviceMemory& memory = memory_of(from, from.next());
    ok(espalier_cuda_free(memory.address));
    memory.address = nullptr;
    return nullptr;
  });
}

struct HostBytes {
  void* data;
  int64_t bytes;
};
HostBytes host_bytes(Arguments& from, napi_value value) {
  napi_typedarray_type type;
  size_t length, size = 4;
  void* data;
  if (napi_get_typedarray_info(from.env, value, &type, &length, &data, nullptr, nullptr) != napi_ok)
    from.refuse("INVALID_ARGUMENT", "is not a typed array");
  switch (type) {
    case napi_float64_array: size = 8; break;
    case napi_int16_array:
    case napi_uint16_array: size = 2; break;
    case napi_int8_array:
    case napi_uint8_array: size = 1; break;
    case napi_float32_array:
    case napi_int32_array: break;
    default: from.refuse("DTYPE_MISMATCH", "is a typed array of an unsupported type");
  }
  return {data, static_cast<int64_t>(length * size)};
}

void same_bytes(Arguments& from, int64_t a, int64_t b) {
  if (a != b) from.refuse("SHAPE_MISMATCH", "has another number of bytes than the one before");
}

// upload(typed array, handle) and download(handle, typed array), of as many bytes.
napi_value upload(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    Arguments from(env, info);
    const HostBytes host = host_bytes(from, from.next());
    const DeviceMemory& device = live(from, from.next());
    same_bytes(from, host.bytes, device.length * kSizes[device.dtype]);
    ok(espalier_cuda_upload(host.data, device.address, host.bytes));
    return nullptr;
  });
}
napi_value download(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    Arguments from(env, info);
    const DeviceMemory& device = live(from, from.next());
    const HostBytes host = host_bytes(from, from.next());
    same_bytes(from, device.length * kSizes[device.dtype], host.bytes);
    ok(espalier_cuda_download(device.address, host.data, host.bytes));
    return nullptr;
  });
}

// copy(from, to), of as many bytes.
napi_value copy(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    Arguments from(env, info);
    const DeviceMemory& source = live(from, from.next());
    const DeviceMemory& target = live(from, from.next());
    const int64_t bytes = source.length * kSizes[source.dtype];
    same_bytes(from, bytes, target.length * kSizes[target.dtype]);
    ok(espalier_cuda_copy(source.address, target.address, bytes));
    return nullptr;
  });
}

// clear(handle): zeros.
napi_value clear(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    Arguments from(env, info);
    const DeviceMemory& memory = live(from, from.next());
    ok(espalier_cuda_fill_bytes(memory.address, 0, memory.length * kSizes[memory.dtype]));
    return nullptr;
  });
}

void put(napi_env env, napi_value object, const char* name, int64_t value) {
  napi_value number;
  napi_create_double(env, static_cast<double>(value), &number);
  napi_set_named_property(env, object, name, number);
}

// describe(device): name, memory, memoryFree, capability, multiprocessors, bandwidth
napi_value describe(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    Arguments from(env, info);
    espalier_cuda_properties properties{};
    ok(espalier_cuda_describe(whole(from), &properties));
    napi_value object, name;
    napi_create_object(env, &object);
    napi_create_string_utf8(env, properties.name, NAPI_AUTO_LENGTH, &name);
    napi_set_named_property(env, object, "name", name);
    put(env, object, "memory", properties.memory);
    put(env, object, "memoryFree", properties.memory_free);
    put(env, object, "capability", properties.capability);
    put(env, object, "multiprocessors", properties.multiprocessors);
    put(env, object, "bandwidth", properties.bandwidth);
    return object;
  });
}

// memory(): bytes of the current device used and cached
napi_value memory(napi_env env, napi_callback_info) {
  return guarded(env, [&]() -> napi_value {
    int64_t used = 0, cached = 0;
    ok(espalier_cuda_memory(&used, &cached));
    napi_value object;
    napi_create_object(env, &object);
    put(env, object, "used", used);
    put(env, object, "cached", cached);
    return object;
  });
}

// programLoad(bytes) and programCreate(bytes): a program on the current device. programFile(program, bytes).
template <auto Make>
napi_value make_program(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    Arguments from(env, info);
    const HostBytes host = host_bytes(from, from.next());
    int64_t program = 0;
    ok(Make(host.data, host.bytes, &program));
    napi_value number;
    napi_create_double(env, static_cast<double>(program), &number);
    return number;
  });
}
napi_value program_file(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    Arguments from(env, info);
    const int64_t program = whole(from);
    const HostBytes host = host_bytes(from, from.next());
    ok(espalier_cuda_program_file(program, host.data, host.bytes));
    return nullptr;
  });
}

}  // namespace

espalier_out array(Arguments& from, napi_value value) {
  if (absent(from.env, value)) return {nullptr, 0, ESPALIER_FLOAT32};
  const DeviceMemory& memory = live(from, value);
  return {memory.address, memory.length, memory.dtype};
}

Functions functions() {
  static const napi_property_descriptor operations[] = {
#define ESPALIER_ENUMERATION(name, count)
#define ESPALIER_FUNCTION(js, call) {js, nullptr, call, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
#define ESPALIER_OPERATION(name, js) ESPALIER_FUNCTION(js, entry<&espalier_##name>)
#include "napi/cuda/operations.inc"
      ESPALIER_FUNCTION("allocate", allocate)  //
      ESPALIER_FUNCTION("release", release)    //
      ESPALIER_FUNCTION("upload", upload)      //
      ESPALIER_FUNCTION("download", download)  //
      ESPALIER_FUNCTION("copy", copy)          //
      ESPALIER_FUNCTION("clear", clear)        //
      ESPALIER_FUNCTION("describe", describe)  //
      ESPALIER_FUNCTION("memory", memory)      //
      ESPALIER_FUNCTION("programLoad", make_program<&espalier_cuda_program_load>)
          ESPALIER_FUNCTION("programCreate", make_program<&espalier_cuda_program_create>)
              ESPALIER_FUNCTION("programFile", program_file) ESPALIER_FUNCTION("settled", settled)
#undef ESPALIER_OPERATION
#undef ESPALIER_FUNCTION
#undef ESPALIER_ENUMERATION
  };
  return {operations, sizeof operations / sizeof operations[0]};
}

}  // namespace espalier::napi
