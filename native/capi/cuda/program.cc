// Compiled networks on a GPU, of the C interface.
#include "espalier/cuda/program.h"

#include <algorithm>

#include "core/array.h"
#include "core/handles.h"
#include "program/cuda/gpu.h"
#include "program/file.h"
#include "program/program.h"

using namespace espalier;
using program::Program;
using program::cuda::Gpu;
using program::cuda::OnDevice;

namespace {

constexpr int64_t kMostBatch = (int64_t{1} << 31) - 1;

struct OnGpu {
  OnGpu(const uint8_t* body, size_t size, std::unique_ptr<Gpu> gpu)
      : device(gpu->number()), program(body, size, std::move(gpu)) {}
  const int64_t device;
  Program program;
};

// Never destroyed: threads may run programs when the process ends.
Handles<OnGpu>& programs() {
  static auto* const made = new Handles<OnGpu>("program");
  return *made;
}

int64_t kept(const uint8_t* body, size_t size) {
  return programs().keep(std::make_shared<OnGpu>(body, size, std::make_unique<Gpu>()));
}

const uint8_t* bytes_of(const char* name, const void* from, int64_t bytes) {
  return elements<uint8_t>(name, espalier_in{from, bytes, ESPALIER_UINT8}, bytes);
}

}  // namespace

espalier_status espalier_cuda_program_load(const void* file, int64_t bytes, int64_t* program) {
  return guarded(__func__, [&] {
    const program::Body body = program::unsealed(bytes_of("file", file, bytes), static_cast<size_t>(bytes));
    *program = kept(body.data, body.size);
  });
}

espalier_status espalier_cuda_program_create(const void* description, int64_t bytes, int64_t* program) {
  return guarded(__func__,
                 [&] { *program = kept(bytes_of("description", description, bytes), static_cast<size_t>(bytes)); });
}

espalier_status espalier_cuda_program_free(int64_t program) {
  return guarded(__func__, [&] { programs().forget(program); });
}

espalier_status espalier_cuda_program_input_size(int64_t program, int64_t* elements) {
  return guarded(__func__, [&] { *elements = programs().find(program)->program.input_size(); });
}

espalier_status espalier_cuda_program_output_size(int64_t program, int64_t* elements) {
  return guarded(__func__, [&] { *elements = programs().find(program)->program.output_size(); });
}

espalier_status espalier_cuda_program_run(int64_t program, int64_t batch, espalier_in x, espalier_out y) {
  return guarded(__func__, [&] {
    const auto of = programs().find(program);
    int64_t device = 0;
    program::require_ok(espalier_cuda_device(&device));
    if (device != of->device)
      fail(ESPALIER_INVALID_ARGUMENT, "the program is on device %lld, expected the current one, %lld",
           static_cast<long long>(of->device), static_cast<long long>(device));
    require_range("batch", batch, int64_t{0}, kMostBatch);
    const float* const from = elements<float>("x", x, checked_product("x", {batch, of->program.input_size()}));
    float* const to = elements<float>("y", y, checked_product("y", {batch, of->program.output_size()}));
    of->program.run(batch, from, to);
  });
}

espalier_status espalier_cuda_program_tune(int64_t program, int64_t batch) {
  return guarded(__func__, [&] {
    const auto of = programs().find(program);
    require_range("batch", batch, int64_t{1}, kMostBatch);
    const OnDevice there(of->device);
    of->program.tune(batch);
  });
}

espalier_status espalier_cuda_program_file_size(int64_t program, int64_t* bytes) {
  return guarded(__func__, [&] { *bytes = static_cast<int64_t>(programs().find(program)->program.file().size()); });
}

espalier_status espalier_cuda_program_file(int64_t program, void* file, int64_t bytes) {
  return guarded(__func__, [&] {
    const std::vector<uint8_t> made = programs().find(program)->program.file();
    const espalier_out wanted{file, bytes, ESPALIER_UINT8};
    std::copy(made.begin(), made.end(), elements<uint8_t>("file", wanted, static_cast<int64_t>(made.size())));
  });
}

espalier_status espalier_cuda_program_explain(int64_t program, int64_t batch, int64_t repeats, const char** json) {
  return guarded(__func__, [&] {
    const auto of = programs().find(program);
    require_range("batch", batch, int64_t{0}, kMostBatch);
    require_range("repeats", repeats, int64_t{0}, int64_t{10000});
    const OnDevice there(of->device);
    thread_local std::string text;
    text = of->program.explain(batch, repeats);
    *json = text.c_str();
  });
}
