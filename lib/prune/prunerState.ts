import { describe, EspalierError } from '../native/index.js'
import type { NewMask } from '../nn/index.js'
import { formatShape, type GeneratorState, sameShape, Tensor, tensor } from '../tensor/index.js'
import { masksOf } from './drawLayers.js'
import type { Layer } from './layer.js'
import { onHost } from './onHost.js'
import type { Moment } from './schedules/schedule.js'

/** A pruner's state: tensors by name, to be saved as a model's are. */
export type PrunerState = Readonly<Record<string, Tensor>>

/** What is the pruner's own, beside what its layers hold. */
interface Progress {
  readonly moment: Moment
  readonly started: boolean
  readonly generators: readonly GeneratorState[]
}

/** The state as tensors by name, all of them copies. */
export function savedState(layers: readonly Layer[], { moment: { tick, samples, acts }, started, generators }: Progress): PrunerState {
  const state: Record<string, Tensor> = Object.create(null)
  state.clock = float64([tick, samples, acts, Number(started)])
  state.generators = float64(generators.flatMap(({ seed, counter }) => [seed, counter]))
  // Layers that share an amount have one object for it: its number says which. −1 stands for none.
  const shares = [...new Set(layers.flatMap(({ share }) => share ?? []))]
  state.shares = float64(layers.flatMap(({ share }) => (share === undefined ? [-1, -1, 0] : [shares.indexOf(share), share.asked ?? -1, share.layers])))
  for (const { name, module, observer } of layers) {
    for (const [of, mask] of masksOf(module)) state[joined(name, `${of}_mask`)] = onHost(mask).copy()
    for (const [{ name: statistic }, kept] of observer?.kept ?? []) if (observer?.ready.has(statistic)) state[joined(name, statistic)] = kept.copy()
  }
  return state
}

/** What a saved state says of these layers, or the error for one that is not of them. Nothing is changed. */
export function checkedState(
  layers: readonly Layer[],
  generators: number,
  state: PrunerState,
): Progress & { masks: NewMask[]; shares: Layer['share'][]; statistics: ReadonlyMap<string, Tensor>[] } {
  if (typeof state !== 'object' || state === null) refuse(`the state is ${describe(state)}, expected tensors by name`)
  const known = new Set(['clock', 'generators', 'shares'])
  const fitting = (name: string, like: Tensor): Tensor => {
    known.add(name)
    const value: unknown = state[name]
    if (value instanceof Tensor && sameShape(value.shape, like.shape)) return value
    return refuse(`${name} is ${shown(value)}, expected ${formatShape(like.shape)}`)
  }
  const masks = layers.flatMap(({ name, module, tied, gradient }) =>
    ['weight', 'bias'].flatMap((of) => {
      const key = joined(name, `${of}_mask`)
      if (state[key] === undefined) return []
      return [module, ...tied].map((one) => ({ module: one, name: of, mask: fitting(key, one.latentWeight(of)), gradient: gradient ?? undefined }))
    }),
  )
  const statistics = layers.map(
    ({ name, observer }) =>
      new Map(
        [...(observer?.kept ?? [])].flatMap(([one, kept]): [string, Tensor][] => {
          const key = joined(name, one.name)
          return state[key] === undefined ? [] : [[one.name, fitting(key, kept)]]
        }),
      ),
  )
  const [tick, samples, acts, started] = numbers(state, 'clock', 4)
  const drawn = numbers(state, 'generators', 2 * generators)
  const shares = numbers(state, 'shares', 3 * layers.length)
  const unknown = Object.keys(state).filter((name) => !known.has(name))
  if (unknown.length > 0) refuse(`there is nothing here for ${unknown.join(', ')}`)
  const made = new Map<number, Layer['share']>([[-1, undefined]])
  return {
    moment: { tick, samples, acts },
    started: started !== 0,
    generators: Array.from({ length: generators }, (_, i) => ({ seed: drawn[2 * i], counter: drawn[2 * i + 1] })),
    masks,
    statistics,
    shares: layers.map((_, i) => {
      const [index, asked, together] = shares.slice(3 * i, 3 * i + 3)
      if (!made.has(index)) made.set(index, { asked: asked < 0 ? null : asked, layers: together })
      return made.get(index)
    }),
  }
}

function numbers(state: PrunerState, name: string, length: number): number[] {
  const value: unknown = state[name]
  if (value instanceof Tensor && value.size === length) return Array.from(onHost(value).data)
  return refuse(`${name} is ${shown(value)}, expected ${length} numbers`)
}

function refuse(what: string): never {
  throw new EspalierError('SHAPE_MISMATCH', `Pruner.loadStateDict: ${what}`)
}

const joined = (name: string, field: string): string => (name === '' ? field : `${name}.${field}`)

const float64 = (values: readonly number[]): Tensor => tensor(Float64Array.from(values), [values.length], { dtype: 'float64' })

const shown = (value: unknown): string => (value instanceof Tensor ? formatShape(value.shape) : describe(value))
