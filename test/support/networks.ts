// Networks that compile, one for every operation and way to write it.
import { TinyCNN } from '../../examples/tinyCnn.js'
import { Generator, manualSeed, nn, ops, rand, type Tensor, tensor } from '../../lib/index.js'

/** A module of a forward pass alone, beside some layers. */
class Of<Layers extends Record<string, nn.Module>> extends nn.Module {
  layers: nn.Sequential
  constructor(
    layers: Layers,
    readonly pass: (x: Tensor, layers: Layers) => Tensor,
  ) {
    super()
    this.layers = new nn.Sequential(layers)
  }
  override forward(x: Tensor): Tensor {
    return this.pass(x, Object.fromEntries(this.layers.namedChildren()) as Layers)
  }
}
export const of = (pass: (x: Tensor) => Tensor): nn.Module => new Of({}, pass)

/** Statistics that batch norm would have after some training. */
export function lively<M extends nn.Module>(model: M): M {
  manualSeed(11)
  for (const module of model.modules())
    if (module instanceof nn.BatchNorm2d || module instanceof nn.BatchNorm1d)
      for (const [name, low] of [
        ['running_mean', -1],
        ['running_var', 0.5],
        ['weight', 0.5],
        ['bias', -0.5],
      ] as const)
        (module as unknown as Record<string, Tensor | null>)[name]?.data.set(rand([module.numFeatures]).add(low).data)
  return model
}

export const modules: Record<string, readonly [model: () => nn.Module, input: readonly number[]]> = {
  'linear of rows': [() => new nn.Linear(5, 3), [4, 5]],
  'linear without bias': [() => new nn.Linear(7, 9, { bias: false }), [7]],
  'one feature': [() => new nn.Linear(1, 1), [1]],
  'linear, batch norm, relu': [() => new nn.Sequential(new nn.Linear(9, 17), new nn.BatchNorm1d(17), new nn.ReLU(), new nn.Linear(17, 3)), [9]],
  'batch norm alone': [() => new nn.BatchNorm2d(3), [3, 4, 5]],
  'batch norm without factors': [() => new nn.Sequential(new nn.Conv2d(2, 3, 3), new nn.BatchNorm2d(3, { affine: false }), new nn.GELU()), [2, 5, 5]],
  'conv, batch norm, relu, pool': [
    () => new nn.Sequential(new nn.Conv2d(3, 8, 3, { padding: 1 }), new nn.BatchNorm2d(8), new nn.ReLU(), new nn.MaxPool2d(2)),
    [3, 9, 7],
  ],
  'conv, strided, dilated, grouped': [() => new nn.Conv2d(4, 8, [3, 2], { stride: [2, 1], padding: 1, dilation: 2, groups: 2 }), [4, 11, 9]],
  'conv, same': [() => new nn.Conv2d(2, 3, 4, { padding: 'same' }), [2, 6, 5]],
  'conv, depthwise': [() => new nn.Conv2d(6, 6, 3, { groups: 6, padding: 1 }), [6, 5, 5]],
  'conv over all of a plane': [() => new nn.Sequential(new nn.Conv2d(3, 5, 4), new nn.ReLU(), new nn.Flatten()), [3, 4, 4]],
  'conv on a larger image': [() => new nn.Conv2d(3, 16, 3, { padding: 1 }), [3, 40, 33]],
  conv1d: [() => new nn.Sequential(new nn.Conv1d(4, 6, 3, { stride: 2, padding: 1 }), new nn.ReLU(), new nn.MaxPool1d(2)), [4, 19]],
  'conv transpose': [() => new nn.ConvTranspose2d(4, 6, 3, { stride: 2, outputPadding: 1, groups: 2 }), [4, 5, 6]],
  'layer norm': [() => new nn.Sequential(new nn.LayerNorm([6, 5]), new nn.LayerNorm(5)), [3, 6, 5]],
  'average pools': [
    () => new nn.Sequential(new nn.AvgPool2d([3, 2], { stride: 1, padding: 1, countIncludePad: false }), new nn.AdaptiveAvgPool2d(2)),
    [2, 7, 6],
  ],
  dropout: [() => new nn.Sequential(new nn.Linear(4, 4), new nn.Dropout(0.5)), [4]],
  identity: [() => new nn.Identity(), [3, 2]],
  TinyCNN: [() => new TinyCNN(), [1, 8, 8]],
}

/** Of inputs [n, 3, 5]. */
export const functions: Record<string, (x: Tensor) => Tensor> = {
  abs: (x) => x.abs(),
  clamp: (x) => x.clamp(-0.5, null),
  elu: (x) => x.elu(0.5),
  exp: (x) => x.exp(),
  gelu: (x) => x.gelu(),
  leakyRelu: (x) => x.leakyRelu(),
  log: (x) => x.abs().add(0.1).log(),
  neg: (x) => x.neg(),
  pow: (x) => x.abs().pow(1.5),
  round: (x) => x.round(),
  sigmoid: (x) => x.sigmoid(),
  sign: (x) => x.sign(),
  silu: (x) => x.silu(),
  sqrt: (x) => x.square().sqrt(),
  tanh: (x) => x.tanh(),
  'numbers on the right': (x) => x.add(1).sub(0.5).mul(3).div(2).maximum(0.25).minimum(1),
  'a constant of the last dimension': (x) => x.mul(tensor([1, 2, 3, 4, 5])),
  'a constant of the channels': (x) => x.sub(tensor([1, -2, 3]).reshape([3, 1])),
  'a constant of a sample': (x) => x.add(new Generator(1).normal([1, 3, 5])),
  'a constant on the left': (x) => ops.sub(tensor([1, 2, 3, 4, 5]), x),
  'operands that stretch': (x) => x.mul(x.mean({ dim: 2, keepdim: true })),
  residual: (x) => x.relu().add(x).mul(x.sub(1)),
  itself: (x) => x.add(1).add(x).mul(2).relu().add(x.neg()),
  softmax: (x) => x.softmax(-1).add(x.logSoftmax(1)),
  sums: (x) => x.sum({ dim: [1, 2], keepdim: true }).add(x.mean({ dim: 1 }).unsqueeze(1)),
  extremes: (x) => x.max({ dim: 1 }).sub(x.min({ dim: -1, keepdim: true }).mean({ dim: 1 })),
  variance: (x) => x.variance({ dim: 2 }),
  reshapes: (x) => x.reshape([-1, 15]).unsqueeze(1).squeeze(1).flatten(1),
  'the batch times rows': (x) => x.reshape([x.shape[0] * 3, 5]).softmax(-1),
  permute: (x) => x.permute([0, 2, 1]).relu(),
  slices: (x) => x.slice({ dim: 2, start: 1, step: 2 }).add(x.select(1, -1).slice({ dim: 1, end: 2 }).unsqueeze(1)),
  pads: (x) => x.pad([1, 2, 0, 1], { value: 0.5 }),
  concat: (x) => ops.concat([x, x.relu(), x.slice({ dim: 1, end: 1 })], 1),
  'concat of the last': (x) => ops.concat([x.neg(), x], 2),
  expand: (x) => x.slice({ dim: 1, end: 1 }).expand([x.shape[0], 4, 5]),
  matmul: (x) =>
    x
      .matmul(x.permute([0, 2, 1]))
      .softmax(-1)
      .matmul(x),
  'matmul by a constant': (x) => x.matmul(new Generator(3).normal([5, 7])),
  'matmul by constants': (x) => x.matmul(new Generator(3).normal([1, 5, 2])),
  'fake quantisers': (x) => ops.fakeQuant(x, tensor([0.1, 0.2, 0.3]).reshape([1, 3, 1]), { min: -4, max: 3, gradient: 'clamped' }),
  'the same twice': (x) => {
    const y = x.exp()
    return y.add(y)
  },
}
