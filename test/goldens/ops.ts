// ops.json: each operation's result and gradients, in float32 and in float64.
import * as ops from '../../lib/ops/index.js'
import type { Tensor } from '../../lib/tensor/index.js'
import { deviation, fromGolden, type Golden } from './compare.js'

interface Case {
  op: string
  name: string
  inputs: Record<string, Golden | null>
  params: Record<string, never>
  output: Golden
  grad_output: Golden
  grads: Record<string, Golden>
  extra?: Record<string, Golden>
}

type Inputs = Record<string, Tensor> & Record<string, Tensor | null>
interface Result {
  output: Tensor
  extra?: Record<string, Tensor>
}

const norm = ({ x, weight, bias, running_mean, running_var }: Inputs, { training, momentum, eps }: Case['params']): Result => {
  const runningMean = running_mean?.copy()
  const runningVar = running_var?.copy()
  const output = ops.batchNorm(x, weight, bias, { runningMean, runningVar, training, momentum, eps })
  return { output, extra: runningMean && runningVar ? { running_mean_after: runningMean, running_var_after: runningVar } : {} }
}
const pooled = (p: Case['params']) => ({ kernelSize: p.kernel_size, stride: p.stride, padding: p.padding, dilation: p.dilation, ceilMode: p.ceil_mode })

/** How each golden operation is called here. */
const calls: Record<string, (inputs: Inputs, params: Case['params']) => Tensor | Result> = {
  linear: ({ x, weight, bias }) => ops.linear(x, weight, bias),
  matmul: ({ a, b }) => ops.matmul(a, b),
  conv2d: ({ x, weight, bias }, p) => ops.conv2d(x, weight, bias, { stride: p.stride, padding: p.padding, dilation: p.dilation, groups: p.groups }),
  conv_transpose2d: ({ x, weight, bias }, p) =>
    ops.convTranspose2d(x, weight, bias, { stride: p.stride, padding: p.padding, outputPadding: p.output_padding, dilation: p.dilation, groups: p.groups }),
  max_pool2d: ({ x }, p) => {
    const { values, indices } = ops.maxPool2dWithIndices(x, pooled(p))
    return { output: values, extra: { indices } }
  },
  avg_pool2d: ({ x }, p) => ops.avgPool2d(x, { ...pooled(p), countIncludePad: p.count_include_pad }),
  adaptive_avg_pool2d: ({ x }, p) => ops.adaptiveAvgPool2d(x, p.output_size),
  batch_norm2d: norm,
  batch_norm1d: norm,
  layer_norm: ({ x, weight, bias }, p) => ops.layerNorm(x, weight, bias, { normalizedShape: p.normalized_shape, eps: p.eps }),
  relu: ({ x }) => ops.relu(x),
  sigmoid: ({ x }) => ops.sigmoid(x),
  tanh: ({ x }) => ops.tanh(x),
  gelu: ({ x }) => ops.gelu(x),
  silu: ({ x }) => ops.silu(x),
  abs: ({ x }) => ops.abs(x),
  exp: ({ x }) => ops.exp(x),
  log: ({ x }) => ops.log(x),
  sqrt: ({ x }) => ops.sqrt(x),
  leaky_relu: ({ x }, p) => ops.leakyRelu(x, p.negative_slope),
  pow: ({ x }, p) => ops.pow(x, p.exponent),
  clamp: ({ x }, p) => ops.clamp(x, p.min, p.max),
  softmax: ({ x }, p) => ops.softmax(x, p.dim),
  log_softmax: ({ x }, p) => ops.logSoftmax(x, p.dim),
  cross_entropy: ({ x, target, weight }, p) =>
    ops.crossEntropy(x, target, { weight, reduction: p.reduction, ignoreIndex: p.ignore_index, labelSmoothing: p.label_smoothing }),
  nll_loss: ({ x, target, weight }, p) => ops.nllLoss(x, target, { weight, reduction: p.reduction, ignoreIndex: p.ignore_index }),
  mse_loss: ({ x, target }, p) => ops.mseLoss(x, target, { reduction: p.reduction }),
  l1_loss: ({ x, target }, p) => ops.l1Loss(x, target, { reduction: p.reduction }),
  bce_with_logits: ({ x, target, weight, pos_weight }, p) => ops.bceWithLogits(x, target, { weight, posWeight: pos_weight, reduction: p.reduction }),
  embedding: ({ weight, indices }, p) => ops.embedding(weight, indices, { paddingIdx: p.padding_idx }),
  add: ({ a, b }) => ops.add(a, b),
  sub: ({ a, b }) => ops.sub(a, b),
  mul: ({ a, b }) => ops.mul(a, b),
  div: ({ a, b }) => ops.div(a, b),
  sum: ({ x }, p) => ops.sum(x, { dim: p.dim, keepdim: p.keepdim }),
  mean: ({ x }, p) => ops.mean(x, { dim: p.dim, keepdim: p.keepdim }),
  max_dim: ({ x }, p) => {
    const { values, indices } = ops.maxWithIndices(x, { dim: p.dim, keepdim: p.keepdim })
    return { output: values, extra: { indices } }
  },
  reshape: ({ x }, p) => ops.reshape(x, p.shape),
  transpose: ({ x }, p) => ops.transpose(x, p.dim0, p.dim1),
  permute: ({ x }, p) => ops.permute(x, p.dims),
  concat: (inputs, p) => ops.concat(Object.values(inputs) as Tensor[], p.dim),
  slice: ({ x }, p) => ops.slice(x, { dim: p.dim, start: p.start, end: p.end, step: p.step }),
  pad: ({ x }, p) => ops.pad(x, p.pad, { value: p.value }),
}

/** Operations that add many terms may differ by more in float32. */
const summing = new Set([
  'linear',
  'matmul',
  'conv2d',
  'conv_transpose2d',
  'sum',
  'mean',
  'batch_norm2d',
  'batch_norm1d',
  'layer_norm',
  'avg_pool2d',
  'adaptive_avg_pool2d',
  'cross_entropy',
  'nll_loss',
  'mse_loss',
  'l1_loss',
  'bce_with_logits',
])

function faultOf(golden: Case, dtype: 'float32' | 'float64'): string | undefined {
  const call = calls[golden.op]
  if (call === undefined) return `no operation ${golden.op} here`
  const inputs = Object.fromEntries(
    Object.entries(golden.inputs).map(([name, value]) => [name, value && fromGolden(value, dtype, name in golden.grads)]),
  ) as Inputs
  const [relative, absolute] = dtype === 'float64' ? [1e-7, 1e-9] : [summing.has(golden.op) ? 1e-4 : 1e-5, 1e-6]
  const result = call(inputs, golden.params)
  const { output, extra = {} } = 'output' in result ? result : { output: result, extra: {} }
  const wrong = deviation('output', output, golden.output, relative, absolute)
  if (wrong) return wrong
  for (const [name, expected] of Object.entries(golden.extra ?? {})) {
    const exact = expected.dtype === 'int64'
    const fault = deviation(name, extra[name], expected, exact ? 0 : relative, exact ? 0 : absolute)
    if (fault) return fault
  }
  if (Object.keys(golden.grads).length === 0) return undefined
  output.backward(fromGolden(golden.grad_output, dtype))
  for (const [name, expected] of Object.entries(golden.grads)) {
    const fault = deviation(`gradient of ${name}`, inputs[name]?.grad, expected, relative, absolute)
    if (fault) return fault
  }
  return undefined
}

export default function* ({ cases }: { cases: Case[] }): Generator<{ name: string; fault?: string }> {
  for (const golden of cases)
    for (const dtype of ['float32', 'float64'] as const) {
      let fault: string | undefined
      try {
        fault = faultOf(golden, dtype)
      } catch (error) {
        fault = String(error)
      }
      yield { name: `${golden.name} ${dtype}`, fault }
    }
}
