#include "cuda/check/resnet18.h"

#include "cuda/conv_engine.h"

#include <cmath>
#include <cstdio>
#include <random>

namespace espalier::check {

namespace {
espalier_in read(espalier_out array) { return {array.data, array.length, array.dtype}; }
}  // namespace

// Where the parameters lie in two long arrays, so that one call updates all of a kind.
struct ResNet18::Network {
  // A convolution and the batch norm behind it.
  struct Unit {
    espalier_conv2d shape;
    espalier_nhwc rows;
    int64_t weight, norm;  // begins of the parameters
    bool relu;
    Buffer moments, y, z, signs, mean, scale, running_mean, running_var;
  };
  struct Block {
    Unit first, second;
    std::unique_ptr<Unit> shortcut;  // where the shape changes
  };

  const espalier_dtype dtype;
  const int64_t images, classes;
  int64_t weights = 0, norms = 0;

  Buffer pixels, targets, pooled, taps, mean, scores, loss, kept, one, dscores;
  Unit stem;
  espalier_nhwc_pool2d pool;
  std::vector<Block> blocks;
  espalier_conv2d head;
  int64_t head_weight, head_bias;
  bool first_step = true;

  Buffer master, velocity, copy, gradient;  // of weights
  Buffer norm, norm_velocity, norm_gradient;

  Network(int64_t n, int64_t size, espalier_dtype type, int64_t class_count)
      : dtype(type), images(n), classes(class_count) {
    pixels = Buffer(n * size * size * 3, dtype);
    targets = Buffer(n, ESPALIER_INT32);
    stem = unit(3, size, 64, 7, 2, 3, false);
    stem.z = {};  // goes into the pooling at once
    int64_t side = stem.shape.out_height;
    const int64_t half = (side - 1) / 2 + 1;
    pool = {n, 64, side, side, half, half, 3, 3, 2, 2, 1, 1};
    side = half;
    pooled = Buffer(n * side * side * 64, dtype);
    taps = Buffer(n * side * side * 64, ESPALIER_UINT8);
    int64_t channels = 64;
    for (const int64_t width : {64, 128, 256, 512})
      for (const int64_t stride : {width == 64 ? 1 : 2, 1}) {
        Block block;
        block.first = unit(channels, side, width, 3, stride, 1, true);
        if (channels != width || stride != 1)
          block.shortcut = std::make_unique<Unit>(unit(channels, side, width, 1, stride, 0, false));
        side = block.first.shape.out_height;
        block.second = unit(width, side, width, 3, 1, 1, true);
        channels = width;
        blocks.push_back(std::move(block));
      }
    head = {n, channels, 1, 1, classes, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1};
    head_weight = weights, head_bias = weights + classes * channels;
    weights = head_bias + classes;
    mean = Buffer(n * channels, dtype);
    scores = Buffer(n * classes, dtype), dscores = Buffer(n * classes, dtype);
    loss = Buffer(1, ESPALIER_FLOAT32), kept = Buffer(2 * n + 1, ESPALIER_FLOAT32), one = Buffer(1, ESPALIER_FLOAT32);
    one.upload({1});
    initialise();
  }

  Unit unit(int64_t in, int64_t side, int64_t out, int64_t kernel, int64_t stride, int64_t padding, bool relu) {
    const int64_t to = (side + 2 * padding - kernel) / stride + 1;
    Unit u;
    u.shape = {images, in, side, side, out, to, to, kernel, kernel, stride, stride, padding, padding, 1, 1, 1};
    u.rows = {images * to * to, out};
    u.weight = weights, u.norm = norms, u.relu = relu;
    weights += out * kernel * kernel * in, norms += 2 * out;
    int64_t moments = 0;
    ok(espalier_cuda_moments_length(u.rows, &moments), "moments_length");
    u.moments = Buffer(moments, ESPALIER_FLOAT32);
    u.y = Buffer(u.rows.rows * out, dtype), u.z = Buffer(u.rows.rows * out, dtype);
    if (relu) u.signs = Buffer(u.rows.rows * out / 8, ESPALIER_UINT8);
    for (Buffer* const of : {&u.mean, &u.scale, &u.running_mean, &u.running_var}) *of = Buffer(out, ESPALIER_FLOAT32);
    u.running_mean.upload(std::vector<double>(static_cast<size_t>(out), 0.0));
    u.running_var.upload(std::vector<double>(static_cast<size_t>(out), 1.0));
    return u;
  }

  // Weights normal with deviation sqrt(2 / fan out), as the paper's; norms 1 and 0.
  void initialise() {
    std::mt19937_64 random(7);
    std::vector<double> values(static_cast<size_t>(weights)), norm_values(static_cast<size_t>(norms));
    const auto draw = [&](int64_t begin, int64_t count, double deviation) {
      std::normal_distribution<double> normal(0, deviation);
      for (int64_t i = begin; i < begin + count; ++i) values[static_cast<size_t>(i)] = normal(random);
    };
    each_unit([&](Unit& u) {
      const espalier_conv2d& s = u.shape;
      const int64_t taps_of = s.kernel_height * s.kernel_width;
      draw(u.weight, s.out_channels * taps_of * s.in_channels,
           std::sqrt(2.0 / static_cast<double>(s.out_channels * taps_of)));
      for (int64_t c = 0; c < s.out_channels; ++c) norm_values[static_cast<size_t>(u.norm + c)] = 1;
    });
    draw(head_weight, head.out_channels * head.in_channels, 0.02);
    master = Buffer(weights, ESPALIER_FLOAT32), velocity = Buffer(weights, ESPALIER_FLOAT32);
    gradient = Buffer(weights, dtype);
    norm = Buffer(norms, ESPALIER_FLOAT32), norm_velocity = Buffer(norms, ESPALIER_FLOAT32);
    norm_gradient = Buffer(norms, ESPALIER_FLOAT32);
    master.upload(values), norm.upload(norm_values);
    if (dtype != ESPALIER_FLOAT32) {
      copy = Buffer(weights, dtype);
      ok(espalier_cuda_cast(master.in(), copy.out()), "cast");
    }
  }

  template <class Body>
  void each_unit(Body body) {
    body(stem);
    for (Block& block : blocks) {
      body(block.first);
      if (block.shortcut) body(*block.shortcut);
      body(block.second);
    }
  }

  // The weights that products read: the rounded copy, or the master weights themselves.
  const Buffer& read_weights() const { return dtype == ESPALIER_FLOAT32 ? master : copy; }
  static int64_t size(const espalier_conv2d& s) {
    return s.out_channels * s.kernel_height * s.kernel_width * s.in_channels;
  }
  espalier_in weight_of(const Unit& u) const { return read(read_weights().part(u.weight, size(u.shape))); }

  void convolve(Unit& u, espalier_in x) {
    ok(espalier_cuda_conv2d_forward_nhwc(x, weight_of(u), {}, 0, u.y.out(), u.moments.out(), u.shape), "conv");
  }
  void forward(Unit& u, espalier_in x, espalier_in residual) {
    const int64_t c = u.rows.channels;
    convolve(u, x);
    ok(espalier_cuda_batch_norm_train_nhwc(u.y.in(), u.moments.in(), read(norm.part(u.norm, c)),
                                           read(norm.part(u.norm + c, c)), residual, u.relu, 0.1, 1e-5,
                                           u.running_mean.out(), u.running_var.out(), u.mean.out(), u.scale.out(),
                                           u.z.out(), u.relu ? u.signs.out() : espalier_out{}, u.rows),
       "batch norm");
  }

  // dz becomes the gradient of the convolution's output, in place.
  void backward(Unit& u, espalier_in x, espalier_out dz, espalier_out dresidual) {
    const int64_t c = u.rows.channels;
    ok(espalier_cuda_batch_norm_train_backward_nhwc(
           read(dz), u.y.in(), u.relu ? u.signs.in() : espalier_in{}, read(norm.part(u.norm, c)), u.mean.in(),
           u.scale.in(), dz, dresidual, norm_gradient.part(u.norm, c), norm_gradient.part(u.norm + c, c), u.rows),
       "batch norm backward");
    weight_grad(u, x, read(dz));
  }
  void weight_grad(const Unit& u, espalier_in x, espalier_in dy) {
    ok(espalier_cuda_conv2d_weight_grad_nhwc(x, dy, gradient.part(u.weight, size(u.shape)), u.shape),
       "weight gradient");
  }
  Buffer data_grad(const Unit& u, espalier_in dy, espalier_in add) const {
    const espalier_conv2d& s = u.shape;
    Buffer dx(s.n * s.in_height * s.in_width * s.in_channels, dtype);
    ok(espalier_cuda_conv2d_data_grad_nhwc(weight_of(u), dy, add, dx.out(), s), "data gradient");
    return dx;
  }

  void differentiate() {
    convolve(stem, pixels.in());
    ok(espalier_cuda_batch_norm_max_pool_train_nhwc(stem.y.in(), stem.moments.in(), read(norm.part(stem.norm, 64)),
                                                    read(norm.part(stem.norm + 64, 64)), 0.1, 1e-5,
                                                    stem.running_mean.out(), stem.running_var.out(), stem.mean.out(),
                                                    stem.scale.out(), pooled.out(), taps.out(), pool),
       "batch norm and max pool");
    espalier_in x = pooled.in();
    for (Block& block : blocks) {
      forward(block.first, x, {});
      if (block.shortcut) forward(*block.shortcut, x, {});
      forward(block.second, block.first.z.in(), block.shortcut ? block.shortcut->z.in() : x);
      x = block.second.z.in();
    }
    const int64_t channels = head.in_channels, positions = x.length / images / channels;
    const espalier_out dweight = gradient.part(head_weight, classes * channels);
    const espalier_in weight = read(read_weights().part(head_weight, classes * channels));
    const espalier_class_rows rows{images, classes};
    ok(espalier_cuda_mean_pool_nhwc(images, positions, channels, x, mean.out()), "mean pool");
    ok(espalier_cuda_conv2d_forward_nhwc(mean.in(), weight, read(read_weights().part(head_bias, classes)), 0,
                                         scores.out(), {}, head),
       "head");
    ok(espalier_cuda_cross_entropy_forward(scores.in(), targets.in(), {}, ESPALIER_REDUCTION_MEAN, -1, 0, loss.out(),
                                           kept.out(), rows),
       "cross entropy");

    ok(espalier_cuda_cross_entropy_backward(one.in(), scores.in(), targets.in(), {}, ESPALIER_REDUCTION_MEAN, -1, 0,
                                            kept.in(), dscores.out(), rows),
       "cross entropy backward");
    ok(espalier_cuda_column_sum(images, classes, dscores.in(), gradient.part(head_bias, classes)), "bias gradient");
    ok(espalier_cuda_conv2d_weight_grad_nhwc(mean.in(), dscores.in(), dweight, head), "head's weight gradient");
    const Buffer dmean(images * channels, dtype);
    ok(espalier_cuda_conv2d_data_grad_nhwc(weight, dscores.in(), {}, dmean.out(), head), "head's data gradient");
    Buffer dz(x.length, dtype);
    ok(espalier_cuda_mean_pool_backward_nhwc(images, positions, channels, dmean.in(), dz.out()), "mean pool backward");
    for (size_t i = blocks.size(); i-- > 0;) {
      Block& block = blocks[i];
      const espalier_in from = i == 0 ? pooled.in() : blocks[i - 1].second.z.in();
      Buffer dresidual(dz.in().length, dtype);
      backward(block.second, block.first.z.in(), dz.out(), dresidual.out());
      const Buffer inner = data_grad(block.second, dz.in(), {});
      backward(block.first, from, inner.out(), {});
      if (block.shortcut) {
        backward(*block.shortcut, from, dresidual.out(), {});
        dresidual = data_grad(*block.shortcut, dresidual.in(), {});
      }
      dz = data_grad(block.first, inner.in(), dresidual.in());
    }
    const Buffer dstem(stem.y.in().length, dtype);
    ok(espalier_cuda_batch_norm_max_pool_train_backward_nhwc(
           dz.in(), stem.y.in(), taps.in(), read(norm.part(stem.norm, 64)), stem.mean.in(), stem.scale.in(),
           dstem.out(), norm_gradient.part(stem.norm, 64), norm_gradient.part(stem.norm + 64, 64), pool),
       "batch norm and max pool backward");
    weight_grad(stem, pixels.in(), dstem.in());
  }

  void update(double lr, double momentum, double weight_decay) {
    if (dtype == ESPALIER_FLOAT32)
      ok(espalier_cuda_sgd_step(master.out(), gradient.in(), velocity.out(), {}, ESPALIER_MASK_RULE_GRADIENT, lr,
                                momentum, 0, weight_decay, 0, 0, first_step),
         "step");
    else
      ok(espalier_cuda_mixed_sgd_step(master.out(), copy.out(), gradient.in(), velocity.out(), {},
                                      ESPALIER_MASK_RULE_GRADIENT, lr, momentum, 0, weight_decay, 0, 0, first_step),
         "step");
    ok(espalier_cuda_sgd_step(norm.out(), norm_gradient.in(), norm_velocity.out(), {}, ESPALIER_MASK_RULE_GRADIENT, lr,
                              momentum, 0, weight_decay, 0, 0, first_step),
       "step");
    first_step = false;
  }
};

ResNet18::ResNet18(int64_t images, int64_t size, espalier_dtype dtype, int64_t classes)
    : network_(std::make_unique<Network>(images, size, dtype, classes)) {}
ResNet18::~ResNet18() = default;
void ResNet18::load(const std::vector<double>& pixels, const std::vector<double>& classes) {
  network_->pixels.upload(pixels);
  network_->targets.upload(classes);
}
void ResNet18::differentiate() { network_->differentiate(); }
void ResNet18::update(double lr, double momentum, double weight_decay) { network_->update(lr, momentum, weight_decay); }
double ResNet18::loss() const { return network_->loss.fetch()[0]; }
std::vector<double> ResNet18::gradient() const { return network_->gradient.fetch(); }

namespace {

struct Batch {
  std::vector<double> pixels, classes;
};
Batch batch(int64_t images, int64_t size, int64_t classes) {
  std::mt19937_64 random(3);
  std::normal_distribution<double> normal;
  Batch made{std::vector<double>(static_cast<size_t>(images * size * size * 3)),
             std::vector<double>(static_cast<size_t>(images))};
  for (double& pixel : made.pixels) pixel = normal(random);
  for (double& one : made.classes) one = static_cast<double>(random() % static_cast<uint64_t>(classes));
  return made;
}

}  // namespace

// The same network in float32 on CUDA cores and in 16 bits on tensor cores: two sets of kernels, one gradient.
ESPALIER_CHECK(resnet18_gradients_agree) {
  const Batch data = batch(8, 64, 16);
  std::vector<double> gradients[2];
  double losses[2];
  int which = 0;
  for (const espalier_dtype dtype : {ESPALIER_FLOAT32, ESPALIER_FLOAT16}) {
    ResNet18 network(8, 64, dtype, 16);
    network.load(data.pixels, data.classes);
    network.differentiate();
    losses[which] = network.loss();
    gradients[which++] = network.gradient();
  }
  require(std::fabs(losses[0] - losses[1]) < 0.02 * losses[0], "the losses agree");
  // Signs that flip near zero move the gradient this much: 13% in PyTorch 1.13 on the CPU, rounding the same arrays.
  close(gradients[1], gradients[0], 0.2, "the gradient");
}

ESPALIER_CHECK(resnet18_learns_a_batch) {
  if (!affordable(1e11)) return;
  const Batch data = batch(32, 64, 16);
  ResNet18 network(32, 64, ESPALIER_BFLOAT16, 16);
  network.load(data.pixels, data.classes);
  double before = 0;
  for (int step = 0; step < 30; ++step) {
    network.differentiate();
    if (step == 0) before = network.loss();
    network.update(0.02, 0.9, 1e-4);
  }
  network.differentiate();
  const double after = network.loss();
  if (!(after < 0.3 * before)) mismatch("the loss went from %.4f to %.4f", before, after);
}

ESPALIER_BENCH(train_step_resnet18) {
  const int64_t images = 256, size = 224;
  // Sixteen images over and over: drawing all of them takes longer than the bench.
  Batch data = batch(16, size, 1000);
  for (std::vector<double>* const values : {&data.pixels, &data.classes}) {
    const size_t once = values->size();
    values->resize(once * 16);
    for (size_t i = once; i < values->size(); ++i) (*values)[i] = (*values)[i - once];
  }
  ResNet18 network(images, size, ESPALIER_BFLOAT16);
  network.load(data.pixels, data.classes);
  network.differentiate();
  const double before = network.loss();
  const bool allowed = cuda::conv::warpgroups_allowed();
  cuda::conv::warpgroups_allowed() = false;
  const double plain = time_ms([&] { network.differentiate(); }, 10, 3);
  cuda::conv::warpgroups_allowed() = true;
  const double forward_backward = time_ms([&] { network.differentiate(); }, 10, 3);
  const double whole = time_ms(
      [&] {
        network.differentiate();
        network.update(0.1, 0.9, 1e-4);
      },
      20, 3);
  const double after = network.loss();
  cuda::conv::warpgroups_allowed() = allowed;
  std::printf("    forward and backward %.2f ms (mma.sync %.2f ms), with the update %.2f ms; loss %.4f, then %.4f\n",
              forward_backward, plain, whole, before, after);
  Row row;
  row.task = "train-step", row.name = "resnet18 B=256 224x224 bf16", row.rival = "";
  row.ours = whole;
  // 1.81 G multiplications and additions an image forward, twice that backward but for the first layer's data.
  row.verified = std::isfinite(after) && std::fabs(before - std::log(1000.0)) < 1.5 && after < before;
  report(row);
}

}  // namespace espalier::check
