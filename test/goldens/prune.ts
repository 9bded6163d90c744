// prune.json: calls of torch.nn.utils.prune, one after another, and the state after each.
import { EspalierError } from '../../lib/native/index.js'
import * as nn from '../../lib/nn/index.js'
import * as prune from '../../lib/prune/index.js'
import type { Tensor } from '../../lib/tensor/index.js'
import { deviation, fromGolden, type Golden } from './compare.js'

type DType = 'float32' | 'float64'
type Amount = { int: number } | { float: number | 'nan' } | { string: string }

interface ModuleCase {
  type: 'linear' | 'conv2d'
  weight: Golden
  bias: Golden | null
}

interface Call {
  fn: string
  module: string
  name: string
  amount: Amount
  n: number | 'inf' | '-inf'
  dim: number
  parameters: [string, string][]
  method: string
  importance_scores?: Golden | { module: string; name: string; scores: Golden }[]
  mask: Golden
  value: Golden
}

interface Setting {
  name: string
  modules: Record<string, ModuleCase>
}

interface Case extends Setting {
  calls: Call[]
  masks: Record<string, Golden>[]
  final: { effective: Record<string, Golden>; state_dict_keys: string[]; parameter_names: string[]; is_pruned: boolean }
  after_remove: { order: [string, string][]; weights: Record<string, Golden>; state_dict_keys: string[]; is_pruned: boolean }
}

interface RandomCase extends Setting {
  calls: Call[]
  expect: Record<string, { zeros: number; zero_channels?: number; dim?: number }>[]
}

interface ErrorCase extends Setting {
  prior: Call[]
  call: Call
  condition: string
}

/** Masking only multiplies by 0 and 1: in float32 all that differs is the rounding of the decimals. */
const tolerance = { float32: 1e-6, float64: 0 } as const

function layerOf({ type, weight: { shape }, bias }: ModuleCase): nn.Module {
  const options = { bias: bias !== null }
  if (type === 'linear') return new nn.Linear(shape[1], shape[0], options)
  if (type === 'conv2d') return new nn.Conv2d(shape[1], shape[0], [shape[2], shape[3]], options)
  throw new Error(`no module ${type} here`)
}

function build(modules: Record<string, ModuleCase>, dtype: DType): nn.Sequential {
  const model = new nn.Sequential(Object.fromEntries(Object.entries(modules).map(([name, module]) => [name, layerOf(module)]))).to(dtype)
  const tensors = Object.entries(modules).flatMap(([path, { weight, bias }]) => [
    [`${path}.weight`, fromGolden(weight, dtype)],
    ...(bias === null ? [] : [[`${path}.bias`, fromGolden(bias, dtype)]]),
  ])
  model.loadStateDict(Object.fromEntries(tensors))
  return model
}

/** JavaScript does not know 1.0 from 1: everything is `fraction(1)`. */
function amountOf(amount: Amount): number | prune.Amount {
  if ('int' in amount) return amount.int
  if ('string' in amount) return amount.string as never
  return amount.float === 'nan' ? Number.NaN : amount.float === 1 ? prune.fraction(1) : amount.float
}

const orders = { inf: Number.POSITIVE_INFINITY, '-inf': Number.NEGATIVE_INFINITY }

function perform(model: nn.Module, call: Call, dtype: DType): unknown {
  const { fn, name, dim } = call
  if (fn === 'global_unstructured') return performGlobally(model, call, dtype)
  const module = model.getModule(call.module)
  const scores = call.importance_scores as Golden | undefined
  const options = { importanceScores: scores && fromGolden(scores, dtype) }
  switch (fn) {
    case 'l1_unstructured':
      return prune.l1Unstructured(module, name, amountOf(call.amount), options)
    case 'ln_structured':
      return prune.lnStructured(module, name, amountOf(call.amount), typeof call.n === 'string' ? orders[call.n] : call.n, dim, options)
    case 'random_unstructured':
      return prune.randomUnstructured(module, name, amountOf(call.amount))
    case 'random_structured':
      return prune.randomStructured(module, name, amountOf(call.amount), dim)
    case 'custom_from_mask':
      return prune.customFromMask(module, name, fromGolden(call.mask, dtype))
    case 'identity':
      return prune.identity(module, name)
    case 'remove':
      return prune.remove(module, name)
    case 'set_orig':
      return module.latentWeight(name).data.set(fromGolden(call.value, dtype).data as never)
    default:
      throw new Error(`no function ${fn} here`)
  }
}

const methods: Record<string, unknown> = {
  L1Unstructured: prune.L1Unstructured,
  RandomUnstructured: prune.RandomUnstructured,
  LnStructured: prune.LnStructured,
}

function performGlobally(model: nn.Module, { parameters, method, amount, importance_scores: listed }: Call, dtype: DType): unknown {
  const pairs = Array.isArray(parameters) ? parameters.map(([path, name]): prune.Pair => [model.getModule(path), name]) : (parameters as never)
  const scores = new Map<nn.Module, Record<string, Tensor>>()
  if (Array.isArray(listed))
    for (const { module, name, scores: golden } of listed) {
      const layer = model.getModule(module)
      scores.set(layer, { ...scores.get(layer), [name]: fromGolden(golden, dtype) })
    }
  if (methods[method] === undefined) throw new Error(`no method ${method} here`)
  return prune.globalUnstructured(pairs, {
    method: methods[method] as prune.GlobalOptions['method'],
    amount: amountOf(amount),
    importanceScores: listed === undefined || Array.isArray(listed) ? scores : (listed as never),
  })
}

/** The masks of a model by their tensors' names. */
function masksOf(model: nn.Module): Map<string, Tensor> {
  const masks = new Map<string, Tensor>()
  for (const [path, module] of model.namedModules())
    for (const name of ['weight', 'bias']) {
      const mask = nn.maskOf(module, name)
      if (mask !== null) masks.set(`${path}.${name}`, mask)
    }
  return masks
}

const differs = (what: string, actual: unknown, expected: unknown): string | undefined =>
  JSON.stringify(actual) === JSON.stringify(expected) ? undefined : `${what}: ${JSON.stringify(actual)}, expected ${JSON.stringify(expected)}`

function* faultsOf({ modules, calls, masks, final, after_remove }: Case, dtype: DType): Generator<string | undefined> {
  const model = build(modules, dtype)
  for (const [i, call] of calls.entries()) {
    perform(model, call, dtype)
    const actual = masksOf(model)
    yield differs(`pruned after call ${i}`, [...actual.keys()].sort(), Object.keys(masks[i]).sort())
    for (const [name, golden] of Object.entries(masks[i])) yield deviation(`mask of ${name} after call ${i}`, actual.get(name), golden, 0, 0)
  }
  const at = (path: string): [nn.Module, string] => [model.getModule(path.slice(0, path.lastIndexOf('.'))), path.slice(path.lastIndexOf('.') + 1)]
  const weights = (expected: Record<string, Golden>) =>
    Object.entries(expected).map(([path, golden]) => {
      const [module, name] = at(path)
      return deviation(path, module.effective(name), golden, 0, tolerance[dtype])
    })
  yield* weights(final.effective)
  yield differs('state', Object.keys(model.stateDict()), final.state_dict_keys)
  yield differs(
    'parameters',
    Array.from(model.namedParameters(), ([name]) => name),
    final.parameter_names,
  )
  yield differs('isPruned', prune.isPruned(model), final.is_pruned)
  for (const [path, name] of after_remove.order) prune.remove(model.getModule(path), name)
  yield* weights(after_remove.weights)
  yield differs('state after remove', Object.keys(model.stateDict()), after_remove.state_dict_keys)
  yield differs('isPruned after remove', prune.isPruned(model), after_remove.is_pruned)
}

const zerosIn = ({ data }: Tensor): number => data.filter((entry: number) => entry === 0).length

/** Slices of a mask along `dim` that are 0 everywhere. */
function zeroChannels({ data, shape }: Tensor, dim: number): number {
  const inner = shape.slice(dim + 1).reduce((size, dimension) => size * dimension, 1)
  const alive = new Set<number>()
  for (let i = 0; i < data.length; i++) if (data[i] !== 0) alive.add(Math.floor(i / inner) % shape[dim])
  return shape[dim] - alive.size
}

function* randomFaults({ modules, calls, expect }: RandomCase, dtype: DType): Generator<string | undefined> {
  const model = build(modules, dtype)
  for (const [i, call] of calls.entries()) {
    perform(model, call, dtype)
    const masks = masksOf(model)
    for (const [name, { zeros, zero_channels, dim }] of Object.entries(expect[i])) {
      const counted = name === 'total' ? [...masks.values()] : [masks.get(name)!]
      yield differs(
        `zeros of ${name} after call ${i}`,
        counted.reduce((sum, mask) => sum + zerosIn(mask), 0),
        zeros,
      )
      if (zero_channels !== undefined) yield differs(`zero channels of ${name} after call ${i}`, zeroChannels(counted[0], dim!), zero_channels)
    }
  }
}

/** Names and values of all that a model holds. */
const stateOf = (model: nn.Module): [string, number[]][] => Object.entries(model.stateDict()).map(([name, { data }]) => [name, Array.from(data)])

function errorFault({ modules, prior, call, condition }: ErrorCase, dtype: DType): string | undefined {
  const model = build(modules, dtype)
  for (const earlier of prior) perform(model, earlier, dtype)
  const before = stateOf(model)
  try {
    perform(model, call, dtype)
  } catch (error) {
    if (error instanceof EspalierError) return differs('the model after the error', stateOf(model), before)
    return `threw ${error}, expected an EspalierError`
  }
  return `no error for ${condition}`
}

export default function* ({
  cases,
  random,
  errors,
}: {
  cases: Case[]
  random: RandomCase[]
  errors: ErrorCase[]
}): Generator<{ name: string; fault?: string }> {
  const verdict = (name: string, check: () => string | undefined) => {
    try {
      return { name, fault: check() }
    } catch (error) {
      return { name, fault: String(error) }
    }
  }
  const first = (faults: Iterable<string | undefined>): string | undefined => [...faults].find((fault) => fault !== undefined)
  for (const dtype of ['float32', 'float64'] as const) {
    for (const item of cases) yield verdict(`${item.name}/${dtype}`, () => first(faultsOf(item, dtype)))
    for (const item of random) yield verdict(`${item.name}/${dtype}`, () => first(randomFaults(item, dtype)))
    for (const item of errors) yield verdict(`${item.name}/${dtype}`, () => errorFault(item, dtype))
  }
}
