// The activations as modules, for Sequential; each keeps the shape.
import { realNumber } from '../../native/index.js'
import { clamp, gelu, leakyRelu, logSoftmax, relu, sigmoid, silu, softmax, tanh } from '../../ops/index.js'
import type { Tensor } from '../../tensor/index.js'
import { Module } from '../module.js'

/** max(x, 0). */
export class ReLU extends Module {
  forward(x: Tensor): Tensor {
    return relu(x)
  }
}

/** x where it is positive, else negativeSlope·x. */
export class LeakyReLU extends Module {
  constructor(readonly negativeSlope = 0.01) {
    super()
    realNumber('LeakyReLU: negativeSlope', negativeSlope)
  }

  forward(x: Tensor): Tensor {
    return leakyRelu(x, this.negativeSlope)
  }

  override extraRepr(): string {
    return `${this.negativeSlope}`
  }
}

/** x·Φ(x), exactly. Hendrycks & Gimpel 2016. */
export class GELU extends Module {
  forward(x: Tensor): Tensor {
    return gelu(x)
  }
}

/** x·σ(x), also known as swish. */
export class SiLU extends Module {
  forward(x: Tensor): Tensor {
    return silu(x)
  }
}

/** σ(x) = 1 / (1 + e⁻ˣ). */
export class Sigmoid extends Module {
  forward(x: Tensor): Tensor {
    return sigmoid(x)
  }
}

/** The hyperbolic tangent. */
export class Tanh extends Module {
  forward(x: Tensor): Tensor {
    return tanh(x)
  }
}

/** x cut to [min, max]. */
export class Hardtanh extends Module {
  constructor(
    readonly min = -1,
    readonly max = 1,
  ) {
    super()
    realNumber('Hardtanh: min', min)
    realNumber('Hardtanh: max', max, min)
  }

  forward(x: Tensor): Tensor {
    return clamp(x, this.min, this.max)
  }

  override extraRepr(): string {
    return `${this.min}, ${this.max}`
  }
}

/** Exponentials along `dim`, scaled to a sum of 1. */
export class Softmax extends Module {
  constructor(readonly dim = -1) {
    super()
  }

  forward(x: Tensor): Tensor {
    return softmax(x, this.dim)
  }

  override extraRepr(): string {
    return `${this.dim}`
  }
}

/** The logarithm of `Softmax`. */
export class LogSoftmax extends Module {
  constructor(readonly dim = -1) {
    super()
  }

  forward(x: Tensor): Tensor {
    return logSoftmax(x, this.dim)
  }

  override extraRepr(): string {
    return `${this.dim}`
  }
}
