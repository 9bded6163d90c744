import test from 'ava'
import { arange, EspalierError, Generator, ops, type Tensor, tensor } from '../../lib/index.js'
import { native } from '../../lib/native/index.js'
import { randomSource } from '../support/gradcheck.js'

/** The element of x at an index. */
const at = (x: Tensor, index: readonly number[]): number => x.data[index.reduce((place, i, d) => place * x.shape[d] + i, 0)]

/** Every index of a shape, in order. */
function* indicesOf(shape: readonly number[]): IterableIterator<number[]> {
  const size = shape.reduce((product, dimension) => product * dimension, 1)
  for (let i = 0; i < size; i++) {
    const index = new Array<number>(shape.length)
    let rest = i
    for (let d = shape.length - 1; d >= 0; d--) {
      index[d] = rest % shape[d]
      rest = Math.floor(rest / shape[d])
    }
    yield index
  }
}

test('permutations of any shape and dtype agree with their definition', (t) => {
  const random = randomSource(11)
  const pick = (n: number): number => Math.floor(random() * n)
  for (let round = 0; round < 150; round++) {
    const shape = Array.from({ length: pick(6) }, () => [1, 2, 3, 5, 34][pick(5)])
    if (shape.reduce((a, b) => a * b, 1) > 50_000) continue
    const dims = shape.map((_, d) => d).sort(() => random() - 0.5)
    const dtype = (['float32', 'float64', 'int32', 'int16', 'int8', 'uint8'] as const)[round % 6]
    const x = tensor(arange(shape.reduce((a, b) => a * b, 1)), shape, { dtype })
    const y = x.permute(dims)
    t.deepEqual(
      y.shape,
      dims.map((d) => shape[d]),
    )
    for (const index of indicesOf(y.shape)) {
      const source = new Array<number>(shape.length)
      dims.forEach((d, i) => {
        source[d] = index[i]
      })
      if (at(y, index) !== at(x, source)) t.fail(`[${shape}] by [${dims}] at [${index}]`)
    }
  }
})

test('a large transposition, and back', (t) => {
  const x = new Generator(1).normal([517, 1030])
  const y = x.transpose()
  t.deepEqual(y.shape, [1030, 517])
  for (let i = 0; i < 517; i += 7) for (let j = 0; j < 1030; j += 3) if (y.data[j * 517 + i] !== x.data[i * 1030 + j]) t.fail(`${i}, ${j}`)
  t.deepEqual(y.transpose(0, 1).data, x.data)
})

test('reshape, flatten, squeeze and unsqueeze share the storage', (t) => {
  const x = arange(12)
  for (const y of [x.reshape([3, -1]), x.reshape([1, 12]).flatten(), x.unsqueeze(0), x.reshape([1, 12, 1]).squeeze()]) t.is(y.data, x.data)
  t.deepEqual(x.reshape([2, -1, 3]).shape, [2, 2, 3])
  t.deepEqual(x.reshape([2, 2, 3]).flatten(1).shape, [2, 6])
  t.deepEqual(x.unsqueeze(-1).shape, [12, 1])
  t.deepEqual(x.reshape([1, 12, 1]).squeeze(0).shape, [12, 1])
  t.deepEqual(x.reshape([1, 12, 1]).squeeze(1).shape, [1, 12, 1])
  t.deepEqual(tensor(5).flatten().shape, [1])
})

test('slices are those of Python', (t) => {
  const x = arange(10)
  const of = (options: object): number[] => [...x.slice(options).data]
  t.deepEqual(of({ start: 2, end: 5 }), [2, 3, 4])
  t.deepEqual(of({ start: -3 }), [7, 8, 9])
  t.deepEqual(of({ end: -8 }), [0, 1])
  t.deepEqual(of({ start: 1, step: 4 }), [1, 5, 9])
  t.deepEqual(of({ start: 5, end: 2 }), [])
  t.deepEqual(of({ start: -99, end: 99, step: 99 }), [0])
  t.deepEqual(of({ start: 20 }), [])
  t.is(x.select(0, -1).item(), 9)
  const m = x.reshape([2, 5])
  t.deepEqual(m.select(1, 2).toArray(), [2, 7])
  t.deepEqual(m.slice({ dim: 1, start: 3 }).toArray(), [
    [3, 4],
    [8, 9],
  ])
})

test('concat, stack, pad, expand, indexSelect, where', (t) => {
  const a = tensor([[1, 2]])
  const b = tensor([[3, 4]])
  t.deepEqual(ops.concat([a, b]).toArray(), [
    [1, 2],
    [3, 4],
  ])
  t.deepEqual(ops.concat([a, b], -1).toArray(), [[1, 2, 3, 4]])
  t.deepEqual(ops.stack([a, b], -1).toArray(), [
    [
      [1, 3],
      [2, 4],
    ],
  ])
  t.deepEqual(ops.pad(a, [1, 0, 0, 1], { value: 9 }).toArray(), [
    [9, 1, 2],
    [9, 9, 9],
  ])
  t.deepEqual(a.expand([2, -1]).toArray(), [
    [1, 2],
    [1, 2],
  ])
  t.deepEqual(a.indexSelect(1, tensor([1, 1, 0], { dtype: 'int32' })).toArray(), [[2, 2, 1]])
  t.deepEqual(ops.where(tensor([1, 0], { dtype: 'uint8' }), a, -1).toArray(), [[1, -1]])
})

test('a gradient that gathers the same row twice adds up', (t) => {
  const x = tensor(
    [
      [1, 2],
      [3, 4],
    ],
    { requiresGrad: true },
  )
  x.indexSelect(0, tensor([1, 1, 0], { dtype: 'int32' })).backward(
    tensor([
      [1, 10],
      [2, 20],
      [4, 40],
    ]),
  )
  t.deepEqual(x.grad?.toArray(), [
    [4, 40],
    [3, 30],
  ])
})

test('bad shapes are refused', (t) => {
  const x = arange(6).reshape([2, 3])
  const calls: [string, () => unknown][] = [
    ['SHAPE_MISMATCH', () => x.reshape([4])],
    ['SHAPE_MISMATCH', () => x.reshape([4, -1])],
    ['INVALID_ARGUMENT', () => x.reshape([-1, -1])],
    ['INVALID_ARGUMENT', () => x.reshape([-6])],
    ['INVALID_ARGUMENT', () => x.reshape([NaN])],
    ['INVALID_ARGUMENT', () => x.reshape(6 as never)],
    ['INVALID_ARGUMENT', () => x.permute([0])],
    ['INVALID_ARGUMENT', () => x.permute([0, 0])],
    ['INVALID_ARGUMENT', () => x.permute([0, 2])],
    ['INVALID_ARGUMENT', () => x.transpose(0, 2)],
    ['INVALID_ARGUMENT', () => x.flatten(1, 0)],
    ['INVALID_ARGUMENT', () => x.slice({ step: 0 })],
    ['INVALID_ARGUMENT', () => x.slice({ step: -1 })],
    ['INVALID_ARGUMENT', () => x.slice({ start: 0.5 })],
    ['INVALID_ARGUMENT', () => x.slice({ dim: 2 })],
    ['INVALID_ARGUMENT', () => x.select(0, 2)],
    ['INVALID_ARGUMENT', () => x.select(0, -3)],
    ['SHAPE_MISMATCH', () => x.expand([3])],
    ['SHAPE_MISMATCH', () => x.expand([3, 3])],
    ['INVALID_ARGUMENT', () => x.expand([-1, 2, 3])],
    ['INVALID_ARGUMENT', () => x.pad([1])],
    ['INVALID_ARGUMENT', () => x.pad([1, 1, 1, 1, 1, 1])],
    ['INVALID_ARGUMENT', () => x.pad([-1, 0])],
    ['INVALID_ARGUMENT', () => ops.concat([])],
    ['SHAPE_MISMATCH', () => ops.concat([x, arange(3)])],
    ['SHAPE_MISMATCH', () => ops.concat([x, arange(4).reshape([2, 2])])],
    ['DTYPE_MISMATCH', () => ops.concat([arange(3), arange(3, { dtype: 'float64' })])],
    ['SHAPE_MISMATCH', () => ops.concat([tensor(1)])],
    ['INVALID_ARGUMENT', () => x.indexSelect(0, tensor([2], { dtype: 'int32' }))],
    ['INVALID_ARGUMENT', () => x.indexSelect(0, tensor([-1], { dtype: 'int32' }))],
    ['DTYPE_MISMATCH', () => x.indexSelect(0, tensor([1]))],
  ]
  for (const [code, call] of calls) t.throws(call, { instanceOf: EspalierError, code }, String(call))
})

test('copyStrided lets no step leave its arrays or write twice', (t) => {
  const [x, y] = [new Float32Array(6), new Float32Array(6)]
  const calls = [
    () => native.copyStrided([7], [1], 0, [1], 0, x, y),
    () => native.copyStrided([3], [3], 0, [1], 0, x, y),
    () => native.copyStrided([3], [-1], 1, [1], 0, x, y),
    () => native.copyStrided([3], [1], 0, [-1], 1, x, y),
    () => native.copyStrided([3], [1], -1, [1], 0, x, y),
    () => native.copyStrided([1], [1], 6, [1], 0, x, y),
    () => native.copyStrided([2, 2], [1, 1], 0, [1, 1], 0, x, y),
    () => native.copyStrided([2], [1], 0, [0], 0, x, y),
    () => native.copyStrided([2, 3], [1, 1], 0, [2, 1], 0, x, y),
    () => native.copyStrided([2], [2 ** 52], 0, [1], 0, x, y),
    () => native.copyStrided([2 ** 26, 2 ** 26], [2 ** 52, 2 ** 52], 0, [0, 0], 0, x, y),
    () => native.copyStrided([2], [1, 1], 0, [1], 0, x, y),
    () => native.copyStrided([2], [1], 0, [1], 0, x, new Float64Array(6)),
    () => native.copyStrided([2], [1], 0, [1], 0, null, y),
    () => native.take(1, 3, 2, x, Int32Array.of(3), new Float32Array(2)),
    () => native.take(1, 3, 2, x, Int32Array.of(1), new Float32Array(3)),
    () => native.take(2 ** 52, 0, 2 ** 52, new Float32Array(0), new Int32Array(0), new Float32Array(1)),
    () => native.takeBackward(1, 3, 2, new Float32Array(2), Int32Array.of(-1), x),
    () => native.choose(new Uint8Array(3), x, x, new Float32Array(3)),
  ]
  for (const call of calls) t.throws(call, { instanceOf: EspalierError }, String(call))
  native.copyStrided([3], [-2], 5, [2], 0, Float32Array.of(0, 1, 2, 3, 4, 5), y)
  t.deepEqual([...y], [5, 0, 3, 0, 1, 0])
})
