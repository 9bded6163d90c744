import test from 'ava'
import { EspalierError } from '../../lib/native/index.js'
import { conv1d, conv2d, convTranspose2d } from '../../lib/ops/index.js'
import { type Tensor, tensor, zeros } from '../../lib/tensor/index.js'

const refused: [name: string, body: () => Tensor, code: string, message: string][] = [
  ['channels', () => conv2d(zeros([2, 4, 8, 8]), zeros([8, 3, 3, 3]), null), 'SHAPE_MISMATCH', 'conv2d: input has 4 channels, weight [8, 3, 3, 3] expects 3'],
  [
    'channels in groups',
    () => conv2d(zeros([2, 4, 8, 8]), zeros([8, 3, 3, 3]), null, { groups: 2 }),
    'SHAPE_MISMATCH',
    'conv2d: input has 4 channels, weight [8, 3, 3, 3] expects 6 in 2 groups',
  ],
  [
    'output channels in groups',
    () => conv2d(zeros([2, 4, 8, 8]), zeros([7, 2, 3, 3]), null, { groups: 2 }),
    'SHAPE_MISMATCH',
    'conv2d: 7 output channels do not divide into 2 groups',
  ],
  ['bias', () => conv2d(zeros([2, 3, 8, 8]), zeros([8, 3, 3, 3]), zeros([7])), 'SHAPE_MISMATCH', 'conv2d: bias has shape [7], expected [8]'],
  [
    'rank',
    () => conv2d(zeros([3, 8, 8]), zeros([8, 3, 3, 3]), null),
    'SHAPE_MISMATCH',
    'conv2d: input has shape [3, 8, 8], expected [n, channels, height, width]',
  ],
  [
    'kernel larger than the input',
    () => conv2d(zeros([1, 1, 2, 9]), zeros([1, 1, 3, 3]), null),
    'SHAPE_MISMATCH',
    'conv2d: a kernel of 3 spans 3, more than the 2 of the padded input',
  ],
  [
    'stride',
    () => conv2d(zeros([1, 1, 9, 9]), zeros([1, 1, 3, 3]), null, { stride: [1, 0] }),
    'INVALID_ARGUMENT',
    'conv2d: stride[1] is 0, expected a whole number from 1',
  ],
  [
    'padding',
    () => conv2d(zeros([1, 1, 9, 9]), zeros([1, 1, 3, 3]), null, { padding: 'full' as 'same' }),
    'INVALID_ARGUMENT',
    "conv2d: padding is \"full\", expected a size, 'valid' or 'same'",
  ],
  [
    'same padding with a stride',
    () => conv2d(zeros([1, 1, 9, 9]), zeros([1, 1, 3, 3]), null, { padding: 'same', stride: 2 }),
    'INVALID_ARGUMENT',
    "conv2d: padding 'same' keeps the size and goes with stride 1, the stride is 2",
  ],
  [
    'dtype',
    () => conv2d(zeros([1, 1, 9, 9]), zeros([1, 1, 3, 3], { dtype: 'float64' }), null),
    'DTYPE_MISMATCH',
    'conv2d: a float64 tensor meets a float32 one',
  ],
  [
    'integers',
    () => conv2d(zeros([1, 1, 9, 9], { dtype: 'int32' }), zeros([1, 1, 3, 3], { dtype: 'int32' }), null),
    'DTYPE_MISMATCH',
    'conv2d: input is int32, expected float32 or float64',
  ],
  [
    'output padding',
    () => convTranspose2d(zeros([1, 1, 3, 3]), zeros([1, 1, 3, 3]), null, { stride: 2, outputPadding: 2 }),
    'INVALID_ARGUMENT',
    'convTranspose2d: outputPadding is 2 along the height, expected less than the stride 2 or the dilation 1',
  ],
  [
    'padding beyond the output',
    () => convTranspose2d(zeros([1, 1, 1, 1]), zeros([1, 1, 2, 2]), null, { padding: 2 }),
    'SHAPE_MISMATCH',
    'convTranspose2d: padding 2 leaves an output height of -2',
  ],
  ['one dimension', () => conv1d(zeros([1, 2, 9]), zeros([1, 3, 3]), null), 'SHAPE_MISMATCH', 'conv1d: input has 2 channels, weight [1, 3, 3] expects 3'],
]
for (const [name, body, code, message] of refused)
  test(`refuses wrong ${name}`, (t) => {
    const error = t.throws(body, { instanceOf: EspalierError }) as EspalierError
    t.is(error.message, message)
    t.is(error.code as string, code)
  })

test("padding 'same' keeps the size, with the odd zero behind", (t) => {
  const row = tensor([[[[1, 2, 3, 4]]]])
  t.deepEqual(conv2d(row, tensor([[[[1, 10]]]]), null, { padding: 'same' }).toArray(), [[[[21, 32, 43, 4]]]])
  t.deepEqual(conv2d(zeros([2, 1, 5, 6]), zeros([3, 1, 4, 3]), null, { padding: 'same', dilation: 2 }).shape, [2, 3, 5, 6])
})

test('a transposed convolution spreads its input', (t) => {
  const spread = convTranspose2d(tensor([[[[1, 2]]]]), tensor([[[[1, 10]]]]), tensor([100]), { stride: [1, 2], outputPadding: [0, 1] })
  t.deepEqual(spread.toArray(), [[[[101, 110, 102, 120, 100]]]])
})
