import { wholeNumber } from '../../native/index.js'
import { adaptiveAvgPool2d, avgPool1d, avgPool2d, maxPool1d, maxPool2d } from '../../ops/index.js'
import type { Tensor } from '../../tensor/index.js'
import { Module } from '../module.js'
import { type Pair, pairOf } from './pair.js'
import { show, showOptions } from './weights.js'

export interface MaxPoolOptions {
  /** Steps between windows. Default: the window's size. */
  stride?: Pair
  /** Rows and columns of −∞ around each plane, at most half the window. Default 0. */
  padding?: Pair
  /** Steps between the elements of a window. Default 1. */
  dilation?: Pair
  /** Whether windows that reach over the edge count. Default false. */
  ceilMode?: boolean
}

export interface AvgPoolOptions {
  /** Steps between windows. Default: the window's size. */
  stride?: Pair
  /** Rows and columns of zeros around each plane, at most half the window. Default 0. */
  padding?: Pair
  /** Whether windows that reach over the edge count. Default false. */
  ceilMode?: boolean
  /** Whether the padding counts in the mean. Default true. */
  countIncludePad?: boolean
}

/** The largest of each window: [n, c, h, w] → [n, c, h', w'], see `ops.maxPool2d`. */
export class MaxPool2d extends Module {
  readonly kernelSize: readonly [number, number]
  readonly geometry: Required<MaxPoolOptions>

  constructor(kernelSize: Pair, { stride, padding = 0, dilation = 1, ceilMode = false }: MaxPoolOptions = {}) {
    super()
    this.kernelSize = pairOf('MaxPool2d: kernelSize', kernelSize, 1)
    this.geometry = { stride: stride ?? this.kernelSize, padding, dilation, ceilMode }
  }

  forward(x: Tensor): Tensor {
    return maxPool2d(x, { kernelSize: this.kernelSize, ...this.geometry })
  }

  override extraRepr(): string {
    return `${show(this.kernelSize)}${showOptions({ ...this.geometry }, { stride: this.kernelSize, padding: 0, dilation: 1, ceilMode: false })}`
  }
}

/** The mean of each window: [n, c, h, w] → [n, c, h', w'], see `ops.avgPool2d`. */
export class AvgPool2d extends Module {
  readonly kernelSize: readonly [number, number]
  readonly geometry: Required<AvgPoolOptions>

  constructor(kernelSize: Pair, { stride, padding = 0, ceilMode = false, countIncludePad = true }: AvgPoolOptions = {}) {
    super()
    this.kernelSize = pairOf('AvgPool2d: kernelSize', kernelSize, 1)
    this.geometry = { stride: stride ?? this.kernelSize, padding, ceilMode, countIncludePad }
  }

  forward(x: Tensor): Tensor {
    return avgPool2d(x, { kernelSize: this.kernelSize, ...this.geometry })
  }

  override extraRepr(): string {
    return `${show(this.kernelSize)}${showOptions({ ...this.geometry }, { stride: this.kernelSize, padding: 0, ceilMode: false, countIncludePad: true })}`
  }
}

/** Means over a grid of `outputSize` windows that covers each plane: [n, c, h, w] → [n, c, ...outputSize]. */
export class AdaptiveAvgPool2d extends Module {
  readonly outputSize: readonly [number, number]

  constructor(outputSize: Pair) {
    super()
    this.outputSize = pairOf('AdaptiveAvgPool2d: outputSize', outputSize, 1)
  }

  forward(x: Tensor): Tensor {
    return adaptiveAvgPool2d(x, this.outputSize)
  }

  override extraRepr(): string {
    return show(this.outputSize)
  }
}

/** As `MaxPool2d`, for sequences: [n, c, length] → [n, c, length']. */
export class MaxPool1d extends Module {
  readonly geometry: Required<Record<'stride' | 'padding' | 'dilation', number>> & { ceilMode: boolean }

  constructor(
    readonly kernelSize: number,
    { stride = kernelSize, padding = 0, dilation = 1, ceilMode = false }: { stride?: number; padding?: number; dilation?: number; ceilMode?: boolean } = {},
  ) {
    super()
    wholeNumber('MaxPool1d: kernelSize', kernelSize, 1)
    this.geometry = { stride, padding, dilation, ceilMode }
  }

  forward(x: Tensor): Tensor {
    return maxPool1d(x, { kernelSize: this.kernelSize, ...this.geometry })
  }

  override extraRepr(): string {
    return `${this.kernelSize}${showOptions({ ...this.geometry }, { stride: this.kernelSize, padding: 0, dilation: 1, ceilMode: false })}`
  }
}

/** As `AvgPool2d`, for sequences: [n, c, length] → [n, c, length']. */
export class AvgPool1d extends Module {
  readonly geometry: Required<Record<'stride' | 'padding', number>> & { ceilMode: boolean; countIncludePad: boolean }

  constructor(
    readonly kernelSize: number,
    {
      stride = kernelSize,
      padding = 0,
      ceilMode = false,
      countIncludePad = true,
    }: { stride?: number; padding?: number; ceilMode?: boolean; countIncludePad?: boolean } = {},
  ) {
    super()
    wholeNumber('AvgPool1d: kernelSize', kernelSize, 1)
    this.geometry = { stride, padding, ceilMode, countIncludePad }
  }

  forward(x: Tensor): Tensor {
    return avgPool1d(x, { kernelSize: this.kernelSize, ...this.geometry })
  }

  override extraRepr(): string {
    return `${this.kernelSize}${showOptions({ ...this.geometry }, { stride: this.kernelSize, padding: 0, ceilMode: false, countIncludePad: true })}`
  }
}
