// Compiled networks on the device against the same on the processor: every kind of step, every format, streams.
#include <cmath>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>

#include "cuda/check/buffer.h"
#include "cuda/check/description.h"

using namespace espalier::check;

namespace {

std::vector<float> values(int64_t count, int64_t seed, double scale = 1) {
  std::vector<float> made;
  for (int64_t i = 0; i < count; ++i)
    made.push_back(static_cast<float>(scale * std::sin(static_cast<double>(i * 7 + seed * 13 + 1))));
  return made;
}

// One description on both sides.
class Pair {
 public:
  explicit Pair(const std::string& description) {
    const int64_t size = static_cast<int64_t>(description.size());
    ok(espalier_program_create({description.data(), size, ESPALIER_UINT8}, &host_), "program_create");
    ok(espalier_cuda_program_create(description.data(), size, &device_), "cuda_program_create");
    ok(espalier_program_input_size(host_, &in_), "input_size");
    ok(espalier_program_output_size(host_, &out_), "output_size");
  }
  ~Pair() {
    espalier_program_free(host_);
    espalier_cuda_program_free(device_);
  }
  Pair(const Pair&) = delete;
  Pair& operator=(const Pair&) = delete;

  int64_t device() const { return device_; }
  int64_t in() const { return in_; }
  int64_t out() const { return out_; }

  std::vector<double> expected(int64_t batch, const std::vector<float>& x) const {
    std::vector<float> y(static_cast<size_t>(batch * out_));
    ok(espalier_program_run(host_, batch, {x.data(), batch * in_, ESPALIER_FLOAT32},
                            {y.data(), batch * out_, ESPALIER_FLOAT32}),
       "program_run");
    return {y.begin(), y.end()};
  }
  // tolerance 0: to the bit.
  void agree(int64_t batch, double tolerance, const std::function<std::vector<float>(int64_t)>& inputs) const {
    const std::vector<float> x = inputs(batch * in_);
    const Buffer from(batch * in_, ESPALIER_FLOAT32), to(batch * out_, ESPALIER_FLOAT32);
    from.upload({x.begin(), x.end()});
    ok(espalier_cuda_program_run(device_, batch, from.in(), to.out()), "cuda_program_run");
    const std::vector<double> y = to.fetch(), reference = expected(batch, x);
    if (tolerance > 0) close(y, reference, tolerance, "result");
    else require(y == reference, "the result has the same bits");
  }

 private:
  int64_t host_ = 0, device_ = 0, in_ = 0, out_ = 0;
};

std::vector<float> waves(int64_t count) { return values(count, 5); }

// Behind n: channels, height, width of x, of y, kernel, stride, padding, dilation, groups.
Fields geometry(int64_t in, int64_t size, int64_t out, int64_t out_size, int64_t kernel, int64_t padding) {
  return {in, size, size, out, out_size, out_size, kernel, kernel, 1, 1, padding, padding, 1, 1, 1};
}

// A network in which every kind of step has its turn.
Description everything() {
  Description made({2, 6, 6});
  const auto constant = [&](int64_t count) { return made.constant(values(count, count)); };
  const int64_t conv = made.value(144);
  made.step(Kind::kConv,
            Fields{0, conv}.append(geometry(2, 6, 4, 6, 3, 1)).whole({constant(72), 1, constant(4), 1, 0}));
  const int64_t pool = made.value(36);
  made.step(Kind::kPool, {0, conv, pool, 6, 6, 3, 3, 2, 2, 2, 2, 0, 0, 1, 1});
  const int64_t chain = made.value(36);
  Fields links{pool, chain, 3};
  links.whole({0, ESPALIER_UNARY_TANH}).real(0).real(0);
  links.whole({2, ESPALIER_BINARY_MUL, constant(4), 9});
  links.whole({1, ESPALIER_BINARY_ADD}).real(0.5);
  made.step(Kind::kChain, links);
  const int64_t transposed = made.value(75);
  made.step(Kind::kConvTranspose,
            Fields{chain, transposed}.append(geometry(3, 5, 4, 3, 3, 0)).whole({constant(108), 1, constant(3)}));
  const int64_t adaptive = made.value(18);
  made.step(Kind::kAdaptivePool, {0, transposed, adaptive, 5, 5, 3, 2});
  const int64_t product = made.value(18);
  made.step(Kind::kBroadcast,
            Fields{product, ESPALIER_BINARY_MUL, 1, adaptive}.list({1, 3, 6}).whole({0, constant(6)}).list({1, 1, 6}));
  const int64_t linear = made.value(24);
  made.step(Kind::kLinear, {product, linear, 24, 18, constant(432), 1, constant(24), 0, 0, 1});
  const int64_t norm = made.value(24);
  made.step(Kind::kLayerNorm, Fields{linear, norm, 24, 1, constant(24), 0}.real(1e-5));
  const int64_t matmul = made.value(20);
  made.step(Kind::kMatmul, Fields{matmul, 4, 5, 6, 1, norm}.list({1}).whole({0, constant(30)}).list({1}).list({1}));
  const int64_t softmax = made.value(20);
  made.step(Kind::kSoftmax, {0, matmul, softmax, 5, 1});
  const int64_t sum = made.value(4);
  made.step(Kind::kSum, Fields{softmax, sum}.list({1, 4, 5}).list({0, 0, 1}).real(5));
  const int64_t extreme = made.value(5);
  made.step(Kind::kExtreme, {1, softmax, extreme, 4, 5});
  const int64_t filled = made.value(12);
  made.step(Kind::kFill, Fields{filled}.real(0.25));
  made.step(Kind::kMove, Fields{sum, filled}.list({4}).list({1}).whole({0}).list({1}).whole({1}));
  made.step(Kind::kMove, Fields{extreme, filled}.list({5}).list({1}).whole({0}).list({1}).whole({6}));
  const int64_t output = made.value(12);
  made.step(Kind::kChain, Fields{filled, output, 1}.whole({3, ESPALIER_BINARY_ADD, filled}));
  return made;
}

// A linear layer of which an element counts where `counts` says so, in a format; on whole numbers where `codes`.
Description layer(int64_t rows, int64_t columns, const std::string& format, bool codes,
                  const std::function<bool(int64_t, int64_t)>& counts) {
  Description made({columns});
  std::vector<float> weight = values(rows * columns, 3, codes ? 100 : 1), bias = values(rows, 4, codes ? 1000 : 1);
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t column = 0; column < columns; ++column)
      if (!counts(row, column)) weight[static_cast<size_t>(row * columns + column)] = 0;
  if (codes)
    for (std::vector<float>* const of : {&weight, &bias})
      for (float& value : *of) value = std::round(value);
  const int64_t y = made.value(rows);
  Fields fields{0, y, rows, columns, made.constant(weight), 1, made.constant(bias), 1, codes ? 1 : 0};
  if (codes) fields.whole({-128, 127});
  made.step(Kind::kLinear, fields.whole({1}));
  made.choose(0, format);
  return made;
}

void check_format(const Pair& pair, const std::string& format) {
  const char* json = nullptr;
  ok(espalier_cuda_program_explain(pair.device(), 3, 0, &json), "explain");
  require(std::string(json).find("\"format\":\"" + format + "\"") != std::string::npos, (format + " is taken").c_str());
}

bool everywhere(int64_t, int64_t) { return true; }
bool in_tiles(int64_t row, int64_t column) { return (row / 32 + column / 32) % 3 == 0; }
bool scattered(int64_t row, int64_t column) { return (row * 31 + column * 17) % 11 == 0; }
bool fixed_fan_in(int64_t row, int64_t column) { return (column + row) % 16 == 0; }
bool two_of_four(int64_t row, int64_t column) { return (column + row) % 4 < 2; }

}  // namespace

ESPALIER_CHECK(program_of_every_step) {
  const Pair pair(everything().bytes());
  for (const int64_t batch : {1, 2, 17, 256, 1000}) pair.agree(batch, 2e-4, waves);
}

ESPALIER_CHECK(program_in_every_format) {
  struct Case {
    const char* format;
    bool (*counts)(int64_t, int64_t);
  };
  for (const auto& [format, counts] : {Case{"gemm", everywhere}, Case{"tiles", in_tiles}, Case{"elements", scattered},
                                       Case{"elements", fixed_fan_in}}) {
    const Pair pair(layer(96, 160, format, false, counts).bytes());
    check_format(pair, format);
    for (const int64_t batch : {1, 3, 64, 257}) pair.agree(batch, 2e-4, waves);
  }
  for (const char* const format : {"implicit gemm", "unrolled elements"}) {
    Description conv({3, 7, 7});
    std::vector<float> weight = values(5 * 27, 2);
    for (size_t i = 0; i < weight.size(); ++i)
      if (i % 4 != 0) weight[i] = 0;
    const int64_t y = conv.value(5 * 49);
    conv.step(Kind::kConv, Fields{0, y}.append(geometry(3, 7, 5, 7, 3, 1)).whole({conv.constant(weight), 0, 1, 0}));
    conv.choose(0, format);
    const Pair pair(conv.bytes());
    check_format(pair, format);
    for (const int64_t batch : {1, 3, 64}) pair.agree(batch, 2e-4, waves);
  }
}

ESPALIER_CHECK(program_on_codes_is_exact) {
  const auto codes = [](int64_t count) {
    std::vector<float> made = values(count, 9, 127);
    for (float& value : made) value = std::round(value);
    return made;
  };
  for (const char* const format : {"gemm", "gemm float64", "2:4"}) {
    const Pair pair(layer(72, 128, format, true, two_of_four).bytes());
    check_format(pair, format);
    for (const int64_t batch : {1, 5, 64, 200}) pair.agree(batch, 0, codes);
  }
}

ESPALIER_CHECK(program_on_streams) {
  const std::string description = everything().bytes();
  constexpr int64_t kBatch = 300;
  auto pair = std::make_unique<Pair>(description);
  const std::vector<float> x = waves(kBatch * pair->in());
  const std::vector<double> expected = pair->expected(kBatch, x);
  const Buffer from(kBatch * pair->in(), ESPALIER_FLOAT32);
  from.upload({x.begin(), x.end()});
  std::vector<Buffer> results;
  int64_t streams[3];
  for (int64_t& stream : streams) {
    results.emplace_back(kBatch * pair->out(), ESPALIER_FLOAT32);
    ok(espalier_cuda_stream_create(&stream), "stream_create");
  }
  for (int i = 0; i < 30; ++i) {
    ok(espalier_cuda_set_stream(streams[i % 3]), "set_stream");
    ok(espalier_cuda_wait_stream(0), "wait_stream");
    ok(espalier_cuda_program_run(pair->device(), kBatch, from.in(), results[static_cast<size_t>(i % 3)].out()), "run");
  }
  ok(espalier_cuda_set_stream(0), "set_stream");
  // Its memory may go to other work at once, which has to come behind the runs.
  pair.reset();
  const Pair other(description);
  other.agree(kBatch, 2e-4, waves);
  for (const int64_t stream : streams) ok(espalier_cuda_stream_destroy(stream), "stream_destroy");
  for (const Buffer& result : results) close(result.fetch(), expected, 2e-4, "a result of a stream");
}

ESPALIER_CHECK(program_files_and_faults) {
  std::string description = everything().bytes();
  int64_t program = 0, size = 0, again = 0;
  ok(espalier_cuda_program_create(description.data(), static_cast<int64_t>(description.size()), &program), "create");
  ok(espalier_cuda_program_file_size(program, &size), "file_size");
  std::vector<unsigned char> file(static_cast<size_t>(size));
  ok(espalier_cuda_program_file(program, file.data(), size), "file");
  ok(espalier_cuda_program_load(file.data(), size, &again), "load");
  ok(espalier_cuda_program_free(again), "free");
  file[file.size() / 2] ^= 1;
  require(espalier_cuda_program_load(file.data(), size, &again) == ESPALIER_INVALID_ARGUMENT,
          "a damaged file is refused");
  const Buffer x(72, ESPALIER_FLOAT32), y(12, ESPALIER_FLOAT32);
  require(espalier_cuda_program_run(program, 2, x.in(), y.out()) == ESPALIER_SHAPE_MISMATCH,
          "another batch is refused");
  int64_t used = 0, later = 0, cached = 0;
  ok(espalier_cuda_memory(&used, &cached), "memory");
  ok(espalier_cuda_program_run(program, 1, x.in(), y.out()), "run");
  ok(espalier_cuda_program_free(program), "free");
  ok(espalier_cuda_memory(&later, &cached), "memory");
  require(later < used, "its memory is free");
  require(espalier_cuda_program_run(program, 1, x.in(), y.out()) == ESPALIER_INVALID_ARGUMENT, "its number is no more");
}

// What each format takes, of a share of the weights: where the cost model's rates of sparse products should lie.
ESPALIER_BENCH(program_formats) {
  constexpr int64_t kSize = 4096;
  const auto time = [](const std::string& what, const std::string& format, const auto& counts) {
    const Pair pair(layer(kSize, kSize, format, false, counts).bytes());
    check_format(pair, format);
    for (const int64_t batch : {int64_t{1}, int64_t{128}, int64_t{2048}}) {
      const Buffer x(batch * kSize, ESPALIER_FLOAT32), y(batch * kSize, ESPALIER_FLOAT32);
      x.randomise();
      if (batch <= 128) pair.agree(batch, 2e-4, waves);
      Row row;
      row.task = "program";
      row.name = what + ", float32 4096x4096, batch " + std::to_string(batch);
      row.ours = time_ms([&] { ok(espalier_cuda_program_run(pair.device(), batch, x.in(), y.out()), "run"); });
      row.verified = true;  // smaller batches just now, larger ones by the checks
      report(row);
    }
  };
  time("dense", "gemm", everywhere);
  for (const int64_t nth : {5, 20}) {
    const std::string share = ", 1 of " + std::to_string(nth);
    time("tiles of 128" + share, "tiles",
         [nth](int64_t row, int64_t column) { return (row / 128 + column / 128) % nth == 0; });
    time("single elements" + share, "elements",
         [nth](int64_t row, int64_t column) { return (row * 31 + column * 17) % nth == 0; });
  }
}
