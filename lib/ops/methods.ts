import { Tensor } from '../tensor/index.js'
import { add } from './add.js'
import type { Operand } from './binary.js'
import { div } from './div.js'
import { maximum } from './maximum.js'
import { mean } from './mean.js'
import { minimum } from './minimum.js'
import { mul } from './mul.js'
import type { ReductionOptions } from './reduction.js'
import { relu } from './relu.js'
import { reshape } from './reshape.js'
import { sub } from './sub.js'
import { sum } from './sum.js'

// Operations as methods: x.add(y) is add(x, y).

declare module '../tensor/tensor.js' {
  interface Tensor {
    add(b: Operand): Tensor
    sub(b: Operand): Tensor
    mul(b: Operand): Tensor
    div(b: Operand): Tensor
    maximum(b: Operand): Tensor
    minimum(b: Operand): Tensor
    relu(): Tensor
    sum(options?: ReductionOptions): Tensor
    mean(options?: ReductionOptions): Tensor
    reshape(shape: readonly number[]): Tensor
  }
}

const methods = { add, sub, mul, div, maximum, minimum, relu, sum, mean, reshape }

for (const [name, operation] of Object.entries(methods))
  Object.defineProperty(Tensor.prototype, name, {
    value(this: Tensor, ...rest: never[]) {
      return (operation as (...args: unknown[]) => Tensor)(this, ...rest)
    },
    writable: true,
    configurable: true,
  })
