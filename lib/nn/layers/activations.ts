// The activations as modules, for Sequential. Elementwise unless said otherwise; the shape is kept.
import { relu } from '../../ops/index.js'
import type { Tensor } from '../../tensor/index.js'
import { Module } from '../module.js'

/** max(x, 0). */
export class ReLU extends Module {
  forward(x: Tensor): Tensor {
    return relu(x)
  }
}
