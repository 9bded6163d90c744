// Pooling, normalisation, softmax and losses at sizes no golden case has: float32 against float64, and
// the same bits from any number of threads.
import test from 'ava'
import { ops, type Tensor, tensor } from '../../lib/index.js'
import type { Shape } from '../../lib/tensor/index.js'
import { float32Error, type Run, sameBitsOnThreads } from '../support/agree.js'

/** Class numbers or row numbers, spread over all of them. */
const numbers = (count: number, below: number) => tensor(Int32Array.from({ length: count }, (_, i) => (i * 7919 + (i >> 3)) % below))
/** Values in (0, 1), for targets and variances. */
const positive = (shape: Shape, { dtype }: Tensor) =>
  tensor(
    Float64Array.from({ length: shape.reduce((size, dimension) => size * dimension, 1) }, (_, i) => ((i * 7919) % 997) / 1000 + 0.001),
    shape,
    { dtype },
  )

const cases: [name: string, run: Run, shapes: Shape[]][] = [
  ['softmax of rows', (x) => ops.softmax(x, -1), [[67, 1031]]],
  ['softmax of short rows', (x) => ops.softmax(x, -1), [[5003, 10]]],
  ['softmax of columns', (x) => ops.softmax(x, 1), [[3, 37, 331]]],
  ['logSoftmax of rows', (x) => ops.logSoftmax(x, -1), [[67, 1031]]],
  ['logSoftmax of columns', (x) => ops.logSoftmax(x, 0), [[37, 1031]]],
  ['crossEntropy', (x) => ops.crossEntropy(x, numbers(2003, 37), { labelSmoothing: 0.1 }), [[2003, 37]]],
  ['crossEntropy of many classes', (x) => ops.crossEntropy(x, numbers(11, 5003), { reduction: 'none' }), [[11, 5003]]],
  ['crossEntropy with probabilities', (x) => ops.crossEntropy(x, positive([501, 67], x)), [[501, 67]]],
  ['nllLoss', (x) => ops.nllLoss(x, numbers(2003, 37)), [[2003, 37]]],
  ['mseLoss', (x, y) => ops.mseLoss(x, y), [[70001], [70001]]],
  ['smoothL1Loss', (x, y) => ops.smoothL1Loss(x, y, { beta: 0.7 }), [[30001], [30001]]],
  ['huberLoss', (x, y) => ops.huberLoss(x, y, { delta: 0.7, reduction: 'none' }), [[30001], [30001]]],
  ['bceWithLogits', (x) => ops.bceWithLogits(x, positive([501, 67], x), { posWeight: positive([67], x) }), [[501, 67]]],
  ['batchNorm of images', (x, w, b) => ops.batchNorm(x, w, b, { training: true }), [[5, 17, 31, 33], [17], [17]]],
  ['batchNorm of small images', (x, w, b) => ops.batchNorm(x, w, b, { training: true }), [[301, 67, 3, 3], [67], [67]]],
  ['batchNorm of rows', (x, w, b) => ops.batchNorm(x, w, b, { training: true }), [[701, 203], [203], [203]]],
  [
    'batchNorm of images, given statistics',
    (x, w, b) => ops.batchNorm(x, w, b, { runningMean: positive([17], x), runningVar: positive([17], x) }),
    [[5, 17, 31, 33], [17], [17]],
  ],
  [
    'batchNorm of rows, given statistics',
    (x, w, b) => ops.batchNorm(x, w, b, { runningMean: positive([203], x), runningVar: positive([203], x) }),
    [[701, 203], [203], [203]],
  ],
  ['layerNorm', (x, w, b) => ops.layerNorm(x, w, b, { normalizedShape: 67 }), [[1501, 67], [67], [67]]],
  ['layerNorm of long rows', (x, w, b) => ops.layerNorm(x, w, b, { normalizedShape: 10007 }), [[7, 10007], [10007], [10007]]],
  ['maxPool2d 2, 2', (x) => ops.maxPool2d(x, { kernelSize: 2 }), [[3, 37, 65, 67]]],
  ['maxPool2d 3, 2, 1', (x) => ops.maxPool2d(x, { kernelSize: 3, stride: 2, padding: 1 }), [[3, 37, 65, 67]]],
  ['maxPool2d 3, 1, 1', (x) => ops.maxPool2d(x, { kernelSize: 3, stride: 1, padding: 1 }), [[3, 37, 35, 41]]],
  ['maxPool2d 5, 3, dilated, ceil', (x) => ops.maxPool2d(x, { kernelSize: [5, 4], stride: 3, dilation: 2, ceilMode: true }), [[3, 37, 35, 41]]],
  ['avgPool2d 2, 2', (x) => ops.avgPool2d(x, { kernelSize: 2 }), [[3, 37, 65, 67]]],
  ['avgPool2d 3, 2, 1', (x) => ops.avgPool2d(x, { kernelSize: 3, stride: 2, padding: 1, countIncludePad: false }), [[3, 37, 65, 67]]],
  ['avgPool1d 4, 3', (x) => ops.avgPool1d(x, { kernelSize: 4, stride: 3, ceilMode: true }), [[3, 37, 1031]]],
  ['adaptiveAvgPool2d 1', (x) => ops.adaptiveAvgPool2d(x, 1), [[3, 137, 25, 31]]],
  ['adaptiveAvgPool2d 7, 5', (x) => ops.adaptiveAvgPool2d(x, [7, 5]), [[3, 137, 25, 31]]],
  ['adaptiveMaxPool2d 7, 5', (x) => ops.adaptiveMaxPool2d(x, [7, 5]), [[3, 137, 25, 31]]],
  ['embedding', (weight) => ops.embedding(weight, numbers(4001, 997)), [[997, 67]]],
]

for (const [name, run, shapes] of cases) {
  test(`${name}: float32 agrees with float64`, (t) => {
    const error = float32Error(run, shapes)
    t.true(error < 2e-5, `relative error ${error}`)
  })
  test(`${name}: the same bits on any number of threads`, (t) => {
    t.true(sameBitsOnThreads(run, shapes))
  })
}
