import { trace } from '../graph/index.js'
import { deviceNamed, ensure, describe as show } from '../native/index.js'
import type { Module } from '../nn/index.js'
import type { Shape } from '../tensor/index.js'
import { describe } from './describe.js'
import type { Explanation } from './explanation.js'
import { fused } from './fuse.js'
import { lower } from './lower.js'
import { functionsOf, Program, type ProgramOptions } from './program.js'

export interface CompileOptions extends ProgramOptions {
  /** The shape of one sample, without the batch: [1, 8, 8] for images of one channel. */
  input: Shape
  /**
   * Measure which format is the fastest for each layer, at batch sizes 1 and 64 or at those given, in place of the cost
   * model's expectation. Default false.
   */
  tune?: boolean | readonly number[]
}

/**
 * A model's forward pass in evaluation mode as a native program: batch norms folded into the layers before them,
 * activations fused, working memory planned once, and each layer's weights in the format that runs fastest.
 * Masks, weight quantisers and all else that depends on parameters alone are computed now.
 *
 * Results agree with the model's own to rounding. Layers that are quantised on both sides sum integers, exactly as
 * their evaluation does: on integer kernels whose sums are as wide as is proved, or in float32 where that is exact
 * and faster.
 *
 * @throws EspalierError STATE where the forward pass cannot be traced (see `graph.trace`) or holds an operation that
 *   there is no native step for; the message names it
 * @example
 * ```ts
 * import { compile, nn, prune, rand } from 'espalier'
 * const model = new nn.Sequential(
 *   new nn.Conv2d(1, 8, 3), new nn.BatchNorm2d(8), new nn.ReLU(), new nn.Flatten(), new nn.Linear(288, 10),
 * )
 * prune.l1Unstructured(model.getModule('4'), 'weight', 0.9)
 * const program = compile(model, { input: [1, 8, 8] })
 * program.run(rand([3, 1, 8, 8])).shape // [3, 10]
 * console.log(String(program.explain())) // conv2d, batch_norm, relu: one step; 4: sparse, 10% of its weights
 * program.dispose()
 * ```
 */
export function compile(model: Module, options: CompileOptions): Program {
  ensure(typeof options === 'object' && options !== null, 'INVALID_ARGUMENT', () => `compile: options is ${show(options)}, expected { input }`)
  const { input, tune = false } = options
  const device = deviceNamed('compile', options.device ?? 'cpu')
  const plan = fused(lower(trace(model, { input })))
  const program = new Program(functionsOf(device).programCreate(describe(plan)), device)
  if (tune !== false) program.tune(...(tune === true ? [1, 64] : tune))
  return program
}

/**
 * Which layer of a model runs on what, and why, once it is compiled: formats, densities and expected times.
 *
 * @example
 * ```ts
 * import { explain, nn } from 'espalier'
 * const model = new nn.Sequential(new nn.Linear(64, 32), new nn.ReLU(), new nn.Linear(32, 10))
 * explain(model, { input: [64] }).steps[0].operation // linear, relu
 * ```
 */
export function explain(model: Module, { batch, repeats, ...options }: CompileOptions & { batch?: number; repeats?: number }): Explanation {
  using program = compile(model, options)
  return program.explain({ batch, repeats })
}
