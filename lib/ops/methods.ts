import type { Device } from '../native/index.js'
import { type DType, type Shape, Tensor } from '../tensor/index.js'
import { abs } from './abs.js'
import { add } from './add.js'
import type { Operand } from './binary.js'
import { clamp } from './clamp.js'
import { div } from './div.js'
import { elu } from './elu.js'
import { exp } from './exp.js'
import { expand } from './expand.js'
import { flatten } from './flatten.js'
import { gelu } from './gelu.js'
import { indexSelect } from './indexSelect.js'
import { leakyRelu } from './leakyRelu.js'
import { log } from './log.js'
import { matmul } from './matmul.js'
import { argmax, argmin, type ExtremeOptions, max, maxWithIndices, min, minWithIndices, type ValuesAndIndices } from './max.js'
import { maximum } from './maximum.js'
import { mean } from './mean.js'
import { minimum } from './minimum.js'
import { mul } from './mul.js'
import { neg } from './neg.js'
import { type PadOptions, pad } from './pad.js'
import { permute } from './permute.js'
import { pow } from './pow.js'
import type { ReductionOptions } from './reduction.js'
import { relu } from './relu.js'
import { reshape } from './reshape.js'
import { round } from './round.js'
import { sigmoid } from './sigmoid.js'
import { sign } from './sign.js'
import { silu } from './silu.js'
import { type SliceOptions, select, slice } from './slice.js'
import { logSoftmax, softmax } from './softmax.js'
import { sqrt } from './sqrt.js'
import { square } from './square.js'
import { squeeze } from './squeeze.js'
import { sub } from './sub.js'
import { sum } from './sum.js'
import { tanh } from './tanh.js'
import { to } from './toDevice.js'
import { transpose } from './transpose.js'
import { unsqueeze } from './unsqueeze.js'
import { std, type VarianceOptions, variance } from './variance.js'

// Operations as methods: x.add(y) is add(x, y).

declare module '../tensor/tensor.js' {
  interface Tensor {
    add(b: Operand): Tensor
    sub(b: Operand): Tensor
    mul(b: Operand): Tensor
    div(b: Operand): Tensor
    maximum(b: Operand): Tensor
    minimum(b: Operand): Tensor
    matmul(b: Tensor): Tensor
    pow(exponent: number): Tensor
    /** The same values in another dtype, or on another device: 'cpu', 'cuda', 'cuda:1', …; see `ops.cast` and `ops.toDevice`. */
    to(target: DType | Device): Tensor
    softmax(dim?: number): Tensor
    logSoftmax(dim?: number): Tensor

    abs(): Tensor
    clamp(min?: number | null, max?: number | null): Tensor
    elu(alpha?: number): Tensor
    exp(): Tensor
    gelu(): Tensor
    leakyRelu(negativeSlope?: number): Tensor
    log(): Tensor
    neg(): Tensor
    relu(): Tensor
    round(): Tensor
    sigmoid(): Tensor
    sign(): Tensor
    silu(): Tensor
    sqrt(): Tensor
    square(): Tensor
    tanh(): Tensor

    argmax(options?: ExtremeOptions): Tensor
    argmin(options?: ExtremeOptions): Tensor
    max(options?: ExtremeOptions): Tensor
    maxWithIndices(options?: ExtremeOptions): ValuesAndIndices
    mean(options?: ReductionOptions): Tensor
    min(options?: ExtremeOptions): Tensor
    minWithIndices(options?: ExtremeOptions): ValuesAndIndices
    std(options?: VarianceOptions): Tensor
    sum(options?: ReductionOptions): Tensor
    variance(options?: VarianceOptions): Tensor

    expand(shape: Shape): Tensor
    flatten(startDim?: number, endDim?: number): Tensor
    indexSelect(dim: number, indices: Tensor): Tensor
    pad(pads: readonly number[], options?: PadOptions): Tensor
    permute(dims: readonly number[]): Tensor
    reshape(shape: Shape): Tensor
    select(dim: number, index: number): Tensor
    slice(options?: SliceOptions): Tensor
    squeeze(dim?: number | null): Tensor
    transpose(dim0?: number, dim1?: number): Tensor
    unsqueeze(dim: number): Tensor
  }
}

const methods = {
  abs,
  add,
  argmax,
  argmin,
  clamp,
  div,
  elu,
  exp,
  expand,
  flatten,
  gelu,
  indexSelect,
  leakyRelu,
  log,
  logSoftmax,
  matmul,
  max,
  maxWithIndices,
  maximum,
  mean,
  min,
  minWithIndices,
  minimum,
  mul,
  neg,
  pad,
  permute,
  pow,
  relu,
  reshape,
  round,
  select,
  sigmoid,
  sign,
  silu,
  slice,
  softmax,
  sqrt,
  square,
  squeeze,
  std,
  sub,
  sum,
  tanh,
  to,
  transpose,
  unsqueeze,
  variance,
}

for (const [name, operation] of Object.entries(methods))
  Object.defineProperty(Tensor.prototype, name, {
    value(this: Tensor, ...rest: unknown[]) {
      return (operation as (...args: unknown[]) => unknown)(this, ...rest)
    },
    writable: true,
    configurable: true,
  })
