// Tensors whose samples stand in panels, as sparse products work on them: to whoever looks they are like any other.
import test from 'ava'
import { EspalierError, kernels, nn, ops, prune, type Tensor, tensor } from '../../lib/index.js'
import { native, SparseLayout } from '../../lib/native/index.js'
import { PanelTensor, packed, panelsOf, readOf } from '../../lib/tensor/index.js'
import { startWork } from '../support/work.js'

const values = (size: number, from = 0): Float32Array => Float32Array.from({ length: size }, (_, i) => Math.sin(from + 1.7 * i))
const shapes = [
  [1, 1],
  [15, 3],
  [16, 4],
  [17, 5],
  [2, 3, 7],
  [4, 9, 33],
  [64, 100],
] as const
const made = (shape: readonly number[]): [PanelTensor, Float32Array] => {
  const rows = values(shape.reduce((a, b) => a * b))
  return [new PanelTensor(packed(tensor(rows, shape)), shape), rows]
}

test('shape, size, device and dtype are known without a look', (t) => {
  const [panels] = made([4, 9, 33])
  t.deepEqual([panels.shape, panels.size, panels.rank, panels.dtype, panels.device], [[4, 9, 33], 1188, 3, 'float32', 'cpu'])
  t.not(panelsOf(panels), null)
})

test('every look shows the elements row by row, and what is written to them stays', (t) => {
  for (const shape of shapes)
    for (const look of [
      (x: Tensor) => x.data,
      (x: Tensor) => x.copy().data,
      (x: Tensor) => (ops.mul(x, 1) as Tensor).data,
      (x: Tensor) => x.detach().data,
      (x: Tensor) => readOf(x) as Float32Array,
    ]) {
      const [panels, rows] = made(shape)
      t.deepEqual(look(panels), rows)
    }
  const [panels] = made([17, 5])
  panels.data[3] = 9
  t.is(panelsOf(panels), null)
  t.is(panels.copy().data[3], 9)
})

test('element by element in panels is element by element', (t) => {
  for (const shape of shapes)
    for (const op of [ops.relu, ops.exp, ops.tanh]) {
      const [panels, rows] = made(shape)
      panels.requiresGrad = true
      const plain = tensor(rows, shape, { requiresGrad: true })
      const [y, expected] = [op(panels), op(plain)]
      t.not(panelsOf(y), null)
      const seed = tensor(values(rows.length, 5), shape)
      y.backward(seed)
      expected.backward(seed)
      t.deepEqual(panels.grad?.data, plain.grad?.data)
      t.deepEqual(y.data, expected.data)
    }
})

test('the gradient before a finish: packed, cut and added up, whatever holds it and however many threads', (t) => {
  const before = native.threads()
  for (const shape of [...shapes, [200, 19]] as const) {
    const components: number = shape[shape.length - 1]
    const size = shape.reduce<number>((a, b) => a * b, 1)
    const samples = size / components
    const [dy, y] = [values(size, 1), values(size, 2)]
    const [inPanels, ofY] = [packed(tensor(dy, shape)), packed(tensor(y, shape))]
    // Lanes past the last sample hold what they like.
    if (samples % 16 > 0) inPanels[inPanels.length - 1] = Number.NaN
    for (const rectified of [false, true]) {
      const dz = dy.map((value, i) => (rectified && !(y[i] > 0) ? 0 : value))
      const expected = Array.from({ length: components }, (_, c) => dz.reduce((sum, value, i) => (i % components === c ? sum + value : sum), 0))
      const results = [1, 2, 3].flatMap((threads) => {
        native.setThreads(threads)
        const run = (layout: SparseLayout, from: Float32Array, to = new Float32Array(inPanels.length)): [Float32Array, Float32Array] => {
          const sums = new Float32Array(components)
          native.finishGrad(samples, components, layout, from, rectified ? ofY : null, to, sums)
          return [to, sums]
        }
        const own = inPanels.slice()
        return [run(SparseLayout.rows, dy), run(SparseLayout.panels, inPanels), run(SparseLayout.panels, own, own)]
      })
      for (const [to, sums] of results) {
        t.deepEqual(to, packed(tensor(dz, shape)))
        t.deepEqual(sums, results[0][1])
        for (let c = 0; c < components; c++) t.true(Math.abs(sums[c] - expected[c]) < 1e-5 * samples)
      }
    }
  }
  native.setThreads(before)
})

test('vectors without elements take no time, however many; rows are not cut in their own place', (t) => {
  const soon = startWork()
  const none = new Float32Array(0)
  native.toPanels(2 ** 52, 0, none, none)
  native.fromPanels(2 ** 52, 0, none, none)
  for (const layout of [SparseLayout.rows, SparseLayout.columns, SparseLayout.panels]) {
    native.finishGrad(2 ** 52, 0, layout, none, none, none, none)
    const sums = new Float32Array(3).fill(1)
    native.finishGrad(0, 3, layout, none, none, none, sums)
    t.deepEqual(sums, new Float32Array(3))
  }
  soon()
  const dy = values(16 * 3)
  for (const layout of [SparseLayout.rows, SparseLayout.columns])
    t.throws(() => native.finishGrad(16, 3, layout, dy, null, dy, null), { instanceOf: EspalierError, code: 'INVALID_ARGUMENT' })
  t.deepEqual(dy, values(16 * 3))
})

/** Sparse layers, with a small dense one behind. */
const network = (): nn.Sequential => {
  const model = new nn.Sequential(
    new nn.Linear(40, 96),
    new nn.ReLU(),
    new nn.Linear(96, 64),
    new nn.Tanh(),
    new nn.Linear(64, 48),
    new nn.ReLU(),
    new nn.Linear(48, 10),
  )
  for (const i of [0, 2, 4]) prune.l1Unstructured(model.at(i) as nn.Linear, 'weight', 0.8)
  return model
}
const compact = (model: nn.Sequential): nn.Sequential =>
  new nn.Sequential(
    ...[...model.children()].map((layer) => (layer instanceof nn.Linear && nn.maskOf(layer, 'weight') !== null ? nn.SparseLinear.from(layer) : layer)),
  )
type Look = (x: Tensor) => Tensor
const byHand = (model: nn.Sequential, look: Look): Look => {
  return (x) => {
    for (const layer of model) x = look(layer.forward(x))
    return x
  }
}
function gradients(model: nn.Sequential, forward: Look, samples: number, retainGraph = false): Float32Array[] {
  for (const parameter of model.parameters()) parameter.grad = null
  const x = tensor(values(samples * 40, samples), [samples, 40], { requiresGrad: true })
  const loss = ops.crossEntropy(forward(x), tensor(Int32Array.from({ length: samples }, (_, i) => i % 10)))
  if (retainGraph) loss.backward(undefined, { retainGraph })
  loss.backward()
  return [Float32Array.of(loss.item()), ...[x, ...model.parameters()].map((one) => (one.grad as Tensor).data.slice() as Float32Array)]
}

test('what goes from layer to layer in panels is what is looked at between them', (t) => {
  for (const kind of ['masked', 'compact']) {
    const masked = network().maskedKernels('sparse')
    const model = kind === 'masked' ? (masked as nn.Sequential) : compact(masked as nn.Sequential)
    for (const samples of [5, 16, 17, 48, 100]) {
      const expected = gradients(model, (x) => model.forward(x), samples)
      for (let step = 0; step < 3; step++)
        t.deepEqual(
          gradients(model, (x) => model.forward(x), samples),
          expected,
        )
      const looks: Look[] = [(x) => x, (x) => (x.data.length > 0 ? x : x), (x) => ops.mul(x, 1) as Tensor]
      // (By hand the last layer may be dense: rounding differs.)
      for (const look of looks)
        for (const [i, one] of gradients(model, byHand(model, look), samples).entries())
          for (let j = 0; j < one.length; j++)
            if (Math.abs(one[j] - expected[i][j]) > 1e-5) t.fail(`${kind} ${samples} ${i} ${j}: ${one[j]}, ${expected[i][j]}`)
      const twice = gradients(model, (x) => model.forward(x), samples, true)
      for (const [i, one] of twice.entries())
        if (i > 0) for (let j = 0; j < one.length; j++) if (Math.abs(one[j] - 2 * expected[i][j]) > 1e-5) t.fail(`${kind} ${samples} ${i} ${j}`)
    }
  }
})

test('what works on panels: products of whole rows and columns too, and a layer that keeps all unless it is to be dense', (t) => {
  const mask = Uint8Array.from({ length: 64 * 48 }, (_, i) => Number(i % 48 < 24))
  for (const format of ['channels', 'rows'] as const) {
    const matrix = new kernels.SparseMatrix(new Float32Array(mask.length), 64, 48, { mask, format })
    const x = tensor(values(17 * 48), [17, 48])
    t.not(panelsOf(ops.sparseLinear(x, tensor(values(matrix.count)), matrix)), null, format)
  }
  const head = new nn.Linear(48, 10)
  const [x] = made([64, 48])
  t.not(panelsOf(head.forward(x)), null)
  t.is(panelsOf(head.maskedKernels('dense').forward(x)), null)
  const few = new PanelTensor(packed(tensor(values(5 * 48), [5, 48])), [5, 48])
  t.is(panelsOf(head.maskedKernels('auto').forward(few)), null)
})

test('hooks see what each layer makes, a rectified one too', (t) => {
  const model = compact(network())
  const seen: Tensor[] = []
  const expected = gradients(model, (x) => model.forward(x), 20)
  for (const i of [0, 1, 5]) model.at(i)?.registerForwardHook((_, __, y) => void seen.push(y))
  t.deepEqual(
    gradients(model, (x) => model.forward(x), 20),
    expected,
  )
  t.is(seen.length, 3)
  t.deepEqual(ops.relu(seen[0]).data, seen[1].data)
  t.true((seen[2].data as Float32Array).every((value) => value >= 0))
})

test('other batches may pass before the gradients of one do', (t) => {
  const model = compact(network())
  const expected = gradients(model, (x) => model.forward(x), 32)
  const other = tensor(values(32 * 40, 7), [32, 40])
  const now = gradients(
    model,
    (x) => {
      const y = model.forward(x)
      for (let i = 0; i < 3; i++) gradientsOfCopy(model, other)
      model.forward(other)
      return y
    },
    32,
  )
  t.deepEqual(now, expected)
})
const gradientsOfCopy = (model: nn.Sequential, x: Tensor): void => ops.sum(model.clone().forward(x)).backward()

test('with and without a ReLU, a bias and each gradient it gives what the dense path does, NaN among it', (t) => {
  const [rows, columns] = [30, 40]
  const mask = Uint8Array.from({ length: rows * columns }, (_, i) => Number(i % 5 === 0))
  const matrix = new kernels.SparseMatrix(new Float32Array(mask.length), rows, columns, { mask })
  const positions = matrix.positions()
  const kept = values(matrix.count, 1)
  const whole = new Float32Array(mask.length)
  for (const [i, position] of positions.entries()) whole[position] = kept[i]
  const alike = (a: ArrayLike<number>, b: ArrayLike<number>): boolean =>
    a.length === b.length && Array.from(a).every((value, i) => Object.is(value, b[i]) || Math.abs(value - b[i]) <= 1e-5)
  for (const samples of [16, 17, 33])
    for (const rectified of [false, true])
      for (const biased of [false, true])
        for (const [ofX, ofValues] of [
          [true, true],
          [true, false],
          [false, true],
        ]) {
          const of = (product: (x: Tensor, bias: Tensor | null) => Tensor, weight: Tensor): (ArrayLike<number> | null)[] => {
            const elements = values(samples * columns, 2)
            // A sample that is no number: its sums are none either, and no ReLU may take them for 0.
            elements[3 * columns] = Number.NaN
            const x = tensor(elements, [samples, columns], { requiresGrad: ofX })
            const bias = biased ? tensor(values(rows, 3), { requiresGrad: ofValues }) : null
            const y = product(x, bias)
            y.backward(tensor(values(samples * rows, 4), [samples, rows]))
            return [y, x.grad, weight.grad, bias?.grad].map((one) => one?.data ?? null)
          }
          const [sparse, dense] = [tensor(kept.slice(), { requiresGrad: ofValues }), tensor(whole.slice(), [rows, columns], { requiresGrad: ofValues })]
          const [y, dx, dw, db] = of((x, bias) => ops.sparseLinear(x, sparse, matrix, bias, rectified), sparse)
          const expected = of((x, bias) => {
            const z = ops.linear(x, dense, bias)
            return rectified ? ops.relu(z) : z
          }, dense)
          const ofKept = expected[2] === null ? null : Array.from(positions, (position) => (expected[2] as ArrayLike<number>)[position])
          for (const [one, other] of [
            [y, expected[0]],
            [dx, expected[1]],
            [dw, ofKept],
            [db, expected[3]],
          ] as const)
            t.true(
              one === null || other === null || one === undefined || other === undefined ? one === other : alike(one, other),
              `${samples} ${rectified} ${biased} ${ofX} ${ofValues}`,
            )
        }
})
