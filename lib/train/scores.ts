import { EspalierError } from '../native/index.js'
import type { Module } from '../nn/index.js'
import type { Tensor } from '../tensor/index.js'
import type { Metric } from './metrics.js'

/** Means over samples: `loss`, and each metric by its name. */
export type Scores = Record<string, number>

/** From the model's output and the target to one number: an operation or a loss module. */
export type Loss = ((output: Tensor, target: Tensor) => Tensor) | Module

export type Metrics = Readonly<Record<string, Metric>>

export const lossOf = (loss: Loss, output: Tensor, target: Tensor): Tensor => (typeof loss === 'function' ? loss(output, target) : loss.forward(output, target))

/** Means under way, each batch weighted by its samples. */
export class RunningScores {
  samples = 0
  readonly #sums = new Map<string, number>()

  constructor(readonly metrics: Metrics) {
    if ('loss' in metrics) throw new EspalierError('INVALID_ARGUMENT', "metrics: 'loss' is the name of the loss")
  }

  add(samples: number, loss: number | undefined, output: Tensor, target: Tensor): void {
    if (loss !== undefined) this.#add('loss', loss * samples)
    for (const [name, metric] of Object.entries(this.metrics)) this.#add(name, metric(output, target) * samples)
    this.samples += samples
  }

  get scores(): Scores {
    return Object.fromEntries(Array.from(this.#sums, ([name, sum]) => [name, sum / this.samples]))
  }

  #add(name: string, value: number): void {
    this.#sums.set(name, (this.#sums.get(name) ?? 0) + value)
  }
}
