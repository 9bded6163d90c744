import { ensure, realNumber, wholeNumber } from '../../native/index.js'
import { layerNorm } from '../../ops/index.js'
import { formatShape, ones, type Shape, type Tensor, zeros } from '../../tensor/index.js'
import { Module } from '../module.js'
import { Parameter } from '../parameter.js'
import { show, showOptions } from './weights.js'

export interface LayerNormOptions {
  /** Added to the variance. Default 1e-5. */
  eps?: number
  /** Whether a scale and an offset are learned for each element. Default true. */
  elementwiseAffine?: boolean
  /** Whether the offset is learned as well. Default true. */
  bias?: boolean
}

/** Normalises over the last dimensions, those of `normalizedShape`, then scales and shifts. Ba et al. 2016. */
export class LayerNorm extends Module {
  weight: Parameter | null
  bias: Parameter | null
  readonly normalizedShape: Shape
  readonly eps: number

  constructor(normalizedShape: number | Shape, { eps = 1e-5, elementwiseAffine = true, bias = true }: LayerNormOptions = {}) {
    super()
    this.normalizedShape = typeof normalizedShape === 'number' ? [normalizedShape] : [...normalizedShape]
    ensure(this.normalizedShape.length > 0, 'INVALID_ARGUMENT', () => `LayerNorm: normalizedShape is ${formatShape(this.normalizedShape)}`)
    for (const size of this.normalizedShape) wholeNumber('LayerNorm: normalizedShape', size)
    this.eps = realNumber('LayerNorm: eps', eps, 0)
    this.weight = elementwiseAffine ? new Parameter(ones(this.normalizedShape)) : null
    this.bias = elementwiseAffine && bias ? new Parameter(zeros(this.normalizedShape)) : null
  }

  forward(x: Tensor): Tensor {
    return layerNorm(x, this.effectiveOrNull('weight'), this.effectiveOrNull('bias'), { normalizedShape: this.normalizedShape, eps: this.eps })
  }

  override extraRepr(): string {
    return `${show(this.normalizedShape)}${showOptions({ eps: this.eps, elementwiseAffine: this.weight !== null }, { eps: 1e-5, elementwiseAffine: true })}`
  }
}
