// quant.json: Brevitas' quantisers, layers and accumulator caps; see QUANT.md for the format and the rules.
import { noGrad } from '../../lib/autograd/index.js'
import * as nn from '../../lib/nn/index.js'
import * as ops from '../../lib/ops/index.js'
import { SGD } from '../../lib/optim/index.js'
import { ActivationQuantiser } from '../../lib/quant/activations.js'
import * as quant from '../../lib/quant/index.js'
import { integerLayers } from '../../lib/quant/integer.js'
import * as qnn from '../../lib/quant/qnn.js'
import type { Tensor } from '../../lib/tensor/index.js'
import { fromGolden, type Golden } from './compare.js'

interface Verdict {
  name: string
  fault?: string
  pending?: boolean
}

// Checks within a case: the first fault counts.

type Values = ArrayLike<number> | number | Tensor | null

const listOf = (values: Values): ArrayLike<number> =>
  values === null ? [] : typeof values === 'number' ? [values] : 'storage' in values ? (values as Tensor).data : values

/** Every value within `tolerance` · max(1, |expected|); a gradient that was not formed is 0. */
function differs(name: string, actual: Values, golden: Golden | readonly number[] | number, tolerance: number): string | undefined {
  const expected = typeof golden === 'number' ? [golden] : 'shape' in golden ? golden.data : golden
  const values = actual === null ? new Array<number>(expected.length).fill(0) : listOf(actual)
  if (values.length !== expected.length) return `${name} has ${values.length} values, expected ${expected.length}`
  for (const [i, value] of expected.entries())
    if (!(Math.abs(values[i] - value) <= tolerance * Math.max(1, Math.abs(value)))) return `${name}[${i}] is ${values[i]}, expected ${value}`
  return undefined
}

const exact = 0
const close = 1e-6
const closeThroughLayer = 1e-5
const gradient = 1e-4

const input = (golden: Golden): Tensor => fromGolden(golden, 'float32', true)
const upstream = (golden: Golden): Tensor => fromGolden(golden, 'float32')

/** The codes that a quantised tensor states: value / scale, which must be whole. */
function codesOf(y: Tensor, scale: Tensor): number[] {
  const codes = ops.div(y.detach(), scale.detach())
  return Array.from(codes.data, (code) => (Math.abs(code - Math.round(code)) < 1e-3 ? Math.round(code) + 0 : code))
}

const scaleOf = (y: Tensor): Tensor => (y.quantisation as NonNullable<Tensor['quantisation']>).scale

/** A property the case must have for the code under test to be what it is about. */
const requires = (name: string, actual: unknown, expected: unknown): string | undefined =>
  actual === expected ? undefined : `${name} is ${JSON.stringify(actual)}: no such configuration here`

// fake_quant

interface IntQuant {
  name: string
  bits: number
  signed: boolean
  narrow: boolean
  int_min: number
  int_max: number
  scale: Golden
  x: Golden
  upstream: Golden
  codes: Golden
  y: Golden
  clamp: { grad_x: Golden; grad_scale: Golden }
  clamp_ste: { grad_x: Golden; grad_scale: Golden }
}

function* intQuant(item: IntQuant): Iterable<string | undefined> {
  const range = quant.integerRange(item)
  yield differs('range', [range.min, range.max], [item.int_min, item.int_max], exact)
  for (const [rule, name] of [
    ['clamped', 'clamp'],
    ['straight-through', 'clamp_ste'],
  ] as const) {
    const [x, scale] = [input(item.x), input(item.scale)]
    const y = ops.fakeQuant(x, scale, { ...range, gradient: rule })
    yield differs('codes', codesOf(y, scale), item.codes, exact)
    yield differs('y', y, item.y, close)
    y.backward(upstream(item.upstream))
    yield differs(`${name}: grad_x`, x.grad, item[name].grad_x, gradient)
    yield differs(`${name}: grad_scale`, scale.grad, item[name].grad_scale, gradient)
  }
}

interface WeightConfiguration {
  bits: number
  granularity: 'tensor' | 'channel'
  power_of_two: boolean
  narrow: boolean
  signed: boolean
}

interface WeightQuant extends WeightConfiguration {
  clamp: string
  w: Golden
  upstream: Golden
  scale: Golden
  codes: Golden
  w_deq: Golden
  grad_w: Golden
}

function weightOptions({ bits, granularity, power_of_two, narrow, signed }: WeightConfiguration): quant.WeightQuantiserOptions {
  if (!signed || !['tensor', 'channel'].includes(granularity)) throw new Error(`no weights with signed ${signed} and granularity ${granularity} here`)
  return { weightBits: bits, weightNarrow: narrow, perChannel: granularity === 'channel', powerOfTwo: power_of_two }
}

function* weightQuant(item: WeightQuant): Iterable<string | undefined> {
  yield requires('clamp', item.clamp, 'clamp_ste')
  const w = input(item.w)
  const quantised = new quant.WeightQuantiser(weightOptions(item)).apply(w)
  yield differs('scale', scaleOf(quantised), item.scale, close)
  yield differs('codes', codesOf(quantised, scaleOf(quantised)), item.codes, exact)
  yield differs('w_deq', quantised, item.w_deq, close)
  quantised.backward(upstream(item.upstream))
  yield differs('grad_w', w.grad, item.grad_w, gradient)
}

interface ActivationConfiguration {
  bits: number
  signed: boolean
  narrow: boolean
  power_of_two: boolean
}

interface ActLearned extends ActivationConfiguration {
  per_channel: boolean
  clamp: string
  param_domain: string
  param: Golden
  x: Golden
  upstream: Golden
  scale: Golden
  codes: Golden
  y: Golden
  grad_x: Golden
  grad_param: Golden
}

const domainOf = (powerOfTwo: boolean): string => (powerOfTwo ? 'log2_threshold' : 'threshold')

function* actLearned(item: ActLearned): Iterable<string | undefined> {
  yield requires('clamp', item.clamp, 'clamp')
  yield requires('param_domain', item.param_domain, domainOf(item.power_of_two))
  const quantiser = new ActivationQuantiser(item.signed, {
    bits: item.bits,
    narrow: item.narrow,
    powerOfTwo: item.power_of_two,
    channels: item.per_channel ? item.x.shape[1] : undefined,
    threshold: 1,
  })
  const { value } = quantiser.threshold
  value.data.set(item.param.data as never)
  const x = input(item.x)
  const y = quantiser.forward(x)
  yield differs('scale', scaleOf(y), item.scale, close)
  yield differs('codes', codesOf(y, scaleOf(y)), item.codes, exact)
  yield differs('y', y, item.y, close)
  y.backward(upstream(item.upstream))
  yield differs('grad_x', x.grad, item.grad_x, gradient)
  yield differs('grad_param', value.grad, item.grad_param, gradient)
}

// activations

interface ActivationStep {
  mode: 'train' | 'eval'
  x: Golden
  upstream: Golden
  scale: Golden
  codes: Golden
  y: Golden
  grad_x: Golden
  grad_param: Golden
  counter: number
  buffer?: Golden
  param: Golden
}

interface Activation extends ActivationConfiguration {
  layer: 'QuantIdentity' | 'QuantReLU'
  per_channel: boolean
  clamp: string
  percentile: number
  momentum: number | null
  collect_stats_steps: number
  param_domain: string
  sgd_lr: number
  steps: ActivationStep[]
}

function activationLayer({
  layer,
  signed,
  bits,
  narrow,
  power_of_two,
  percentile,
  momentum,
  collect_stats_steps,
}: Activation): qnn.QuantIdentity | qnn.QuantReLU {
  const options = { bits, narrow, powerOfTwo: power_of_two, percentile, momentum, collectSteps: collect_stats_steps }
  if (layer === 'QuantIdentity') return new qnn.QuantIdentity({ ...options, signed })
  if (layer === 'QuantReLU' && !signed) return new qnn.QuantReLU(options)
  throw new Error(`no ${signed ? 'signed ' : ''}${layer} here`)
}

function* activation(item: Activation): Iterable<string | undefined> {
  yield requires('clamp', item.clamp, 'clamp')
  yield requires('per_channel', item.per_channel, false)
  yield requires('param_domain', item.param_domain, domainOf(item.power_of_two))
  const layer = activationLayer(item)
  const { threshold } = layer.quantiser
  const optimiser = new SGD(layer.parameters(), { lr: item.sgd_lr })
  for (const [i, step] of item.steps.entries()) {
    const at = (what: string): string => `${what} of call ${i} (${step.mode})`
    if (step.mode !== 'train' && step.mode !== 'eval') yield `no mode ${step.mode} here`
    layer.train(step.mode === 'train')
    optimiser.zeroGrad()
    const x = input(step.x)
    const y = layer.forward(x)
    yield differs(at('scale'), scaleOf(y), step.scale, close)
    yield differs(at('codes'), codesOf(y, scaleOf(y)), step.codes, exact)
    yield differs(at('y'), y, step.y, close)
    y.backward(upstream(step.upstream))
    yield differs(at('grad_x'), x.grad, step.grad_x, gradient)
    yield differs(at('grad_param'), threshold.value.grad, step.grad_param, gradient)
    yield differs(at('counter'), threshold.steps, step.counter, exact)
    yield requires(at('learned'), threshold.learned, step.buffer === undefined)
    if (step.buffer !== undefined) yield differs(at('buffer'), threshold.running, step.buffer, close)
    if (step.mode === 'train' && threshold.learned) optimiser.step()
    yield differs(at('param'), threshold.value, step.param, close)
  }
}

// layers

interface InputQuant extends ActivationConfiguration {
  threshold: number
  threshold_learned: boolean
}

interface Layer {
  layer: 'QuantLinear' | 'QuantConv2d'
  conv?: { stride: [number, number]; padding: [number, number]; dilation: [number, number]; groups: number }
  weight: WeightConfiguration
  input_quant: InputQuant | null
  bias_quant: 'none' | 'float' | 'int32'
  x: Golden
  w: Golden
  b?: Golden
  upstream: Golden
  input_scale?: Golden
  input_codes?: Golden
  weight_scale: Golden
  weight_codes: Golden
  bias_scale?: Golden
  bias_codes?: Golden
  y: Golden
  grad_x: Golden
  grad_w: Golden
  grad_b?: Golden
  input_param?: Golden
  grad_input_param?: Golden
  accumulator?: Golden
}

const biasBits = { none: undefined, float: undefined, int32: 32 } as const

function quantLayer({ layer, conv, weight, bias_quant, w, b }: Layer): qnn.QuantLinear | qnn.QuantConv2d {
  if (!(bias_quant in biasBits)) throw new Error(`no bias ${bias_quant} here`)
  const options = { ...weightOptions(weight), bias: bias_quant !== 'none', biasBits: biasBits[bias_quant] }
  const [outputs, inputs, ...kernel] = w.shape
  const made = (): qnn.QuantLinear | qnn.QuantConv2d => {
    if (layer === 'QuantLinear') return new qnn.QuantLinear(inputs, outputs, options)
    if (layer === 'QuantConv2d' && conv !== undefined)
      return new qnn.QuantConv2d(inputs * conv.groups, outputs, kernel as [number, number], { ...options, ...conv })
    throw new Error(`no layer ${layer} here`)
  }
  const model = made()
  model.weight.data.set(w.data as never)
  if (b !== undefined) model.bias?.data.set(b.data as never)
  return model
}

function inputQuantiser({ bits, signed, narrow, power_of_two, threshold }: InputQuant): ActivationQuantiser {
  return new ActivationQuantiser(signed, { bits, narrow, powerOfTwo: power_of_two, threshold })
}

function* layer(item: Layer): Iterable<string | undefined> {
  const main = quantLayer(item)
  const first = item.input_quant === null ? new nn.Identity() : inputQuantiser(item.input_quant)
  const model = new nn.Sequential(first, main)
  const x = input(item.x)
  const weight = main.effective('weight')
  yield differs('weight_scale', scaleOf(weight), item.weight_scale, close)
  yield differs('weight_codes', codesOf(weight, scaleOf(weight)), item.weight_codes, exact)

  const y = model.forward(x)
  yield differs('y', y, item.y, closeThroughLayer)
  y.backward(upstream(item.upstream))
  yield differs('grad_x', x.grad, item.grad_x, gradient)
  yield differs('grad_w', main.weight.grad, item.grad_w, gradient)
  yield requires('bias', main.bias !== null, item.b !== undefined)
  if (item.grad_b !== undefined) yield differs('grad_b', main.bias?.grad ?? null, item.grad_b, gradient)
  if (!(first instanceof ActivationQuantiser)) return

  const codes = noGrad(() => first.forward(x))
  yield differs('input_scale', scaleOf(codes), item.input_scale!, close)
  yield differs('input_codes', codesOf(codes, scaleOf(codes)), item.input_codes!, exact)
  yield requires('threshold_learned', item.input_quant?.threshold_learned, item.input_param !== undefined)
  if (item.input_param !== undefined) {
    yield differs('input_param', first.threshold.value, item.input_param, close)
    yield differs('grad_input_param', first.threshold.value.grad, item.grad_input_param!, gradient)
  }
  const [{ bias }] = integerLayers(model)
  yield requires('integer bias', bias !== null, item.bias_codes !== undefined)
  if (bias !== null) {
    yield differs('bias_codes', bias, item.bias_codes!, exact)
    const units = Array.from(scaleOf(weight).data, (scale) => scale * scaleOf(codes).data[0])
    yield differs('bias_scale', units, item.bias_scale!, close)
  }
  let sums: Float64Array = new Float64Array()
  const integer = noGrad(() =>
    quant.inIntegers(
      () => model.forward(x),
      (_, accumulators) => {
        sums = accumulators
      },
    ),
  )
  const inner = integer.shape.slice(2).reduce((size, dimension) => size * dimension, 1)
  const withoutBias = sums.map((sum, i) => sum - (bias?.[Math.floor(i / inner) % integer.shape[1]] ?? 0))
  yield differs('accumulator', withoutBias, item.accumulator!, exact)
  yield differs('y in integers', integer, item.y, closeThroughLayer)
}

// accumulators

interface Exact {
  w: Golden
  weight_bits: number
  input_bits: number
  input_signed: boolean
  input_narrow: boolean
  input_range: [number, number]
  K: number
  data_type_bound: number
  data_type_bits: number
  brevitas_max_acc_bit_width: number
  channels: {
    min: number
    max: number
    bits: number
    l1: number
    sum_pos: number
    sum_neg: number
    weight_bound: number | null
    weight_bound_bits: number | null
  }[]
  layer_min: number
  layer_max: number
  layer_bits: number
}

const rowsOf = ({ shape, data }: Golden): number[][] => {
  const fanIn = data.length / shape[0]
  return Array.from({ length: shape[0] }, (_, row) => data.slice(row * fanIn, (row + 1) * fanIn))
}

const sumOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0)

function* exactBounds(item: Exact): Iterable<string | undefined> {
  const range = quant.integerRange({ bits: item.input_bits, signed: item.input_signed, narrow: item.input_narrow })
  yield differs('input_range', [range.min, range.max], item.input_range, exact)
  const types = { fanIn: item.K, inputBits: item.input_bits, weightBits: item.weight_bits, inputSigned: item.input_signed }
  yield differs('data_type_bound', quant.dataTypeBound(types), item.data_type_bound, close)
  yield differs('data_type_bits', Math.ceil(quant.dataTypeBound(types)), item.data_type_bits, exact)
  yield differs('brevitas_max_acc_bit_width', quant.statedWidth(types), item.brevitas_max_acc_bit_width, exact)
  const rows = rowsOf(item.w)
  yield requires('channels', item.channels.length, rows.length)
  for (const [i, row] of rows.entries()) {
    const { min, max, bits, l1, sum_pos, sum_neg, weight_bound, weight_bound_bits } = item.channels[i]
    const bound = quant.accumulatorBound(row, range)
    yield differs(`bounds of channel ${i}`, [bound.min, bound.max, bound.bits], [min, max, bits], exact)
    const norm = sumOf(row.map(Math.abs))
    yield differs(`norm of channel ${i}`, [norm, sumOf(row.filter((w) => w > 0)), sumOf(row.filter((w) => w < 0))], [l1, sum_pos, sum_neg], exact)
    const ofNorm = quant.weightBound(norm, types)
    if (ofNorm === null || weight_bound === null) yield requires(`weight_bound of channel ${i}`, ofNorm, weight_bound)
    else {
      yield differs(`weight_bound of channel ${i}`, ofNorm, weight_bound, close)
      yield differs(`weight_bound_bits of channel ${i}`, Math.ceil(ofNorm), weight_bound_bits!, exact)
    }
  }
  const whole = rows.map((row) => quant.accumulatorBound(row, range))
  const [low, high] = [Math.min(...whole.map(({ min }) => min)), Math.max(...whole.map(({ max }) => max))]
  yield differs('layer', [low, high, quant.bitsFor(low, high)], [item.layer_min, item.layer_max, item.layer_bits], exact)
}

type CapRow = [P: number, N: number, signed: boolean, a2q: number, a2qFloat: number, a2qPlus: number, a2qPlusFloat: number]

function* caps([accumulatorBits, inputBits, inputSigned, a2q, a2qFloat, a2qPlus, a2qPlusFloat]: CapRow): Iterable<string | undefined> {
  const options = { accumulatorBits, inputBits, inputSigned }
  yield differs('a2q', quant.a2qCap(options), a2q, 1e-15)
  yield differs('a2q_plus', quant.a2qPlusCap(options), a2qPlus, 1e-15)
  yield differs('a2q_float32', Math.fround(quant.a2qCap(options)), a2qFloat, close)
  yield differs('a2q_plus_float32', Math.fround(quant.a2qPlusCap(options)), a2qPlusFloat, close)
}

interface A2QConfiguration {
  method: 'a2q' | 'a2q_plus'
  weight_bits: number
  input_bits: number
  input_signed: boolean
  P: number
  v: Golden
  log2_s: Golden
  cap: number
}

interface A2Q extends A2QConfiguration {
  default_init: boolean
  log2_g: Golden
  g: Golden
  s: Golden
  init_log2_g: Golden
  init_log2_s: Golden
  capped: boolean[]
  pre_scale: Golden
  codes: Golden
  w_deq: Golden
  scale: Golden
  l1: Golden
  acc_min: number[]
  acc_max: number[]
  upstream: Golden
  grad: { v: Golden; log2_g: Golden; log2_s_pre: Golden; log2_s_post: Golden }
  regularisation: { linear: number; grad_log2_g: Golden; grad_log2_s: Golden; log2: number }
}

const methods = { a2q: 'a2q', a2q_plus: 'a2q+' } as const

function a2qQuantiser({ method, weight_bits, input_bits, input_signed, P }: A2QConfiguration, v: Tensor): quant.A2QQuantiser {
  if (!(method in methods)) throw new Error(`no method ${method} here`)
  const input = quant.integerRange({ bits: input_bits, signed: input_signed })
  return new quant.A2QQuantiser(v, { accumulatorBits: P, accumulator: methods[method], weightBits: weight_bits, input })
}

function* a2q(item: A2Q): Iterable<string | undefined> {
  const v = input(item.v)
  const quantiser = a2qQuantiser(item, v)
  const { log2G, log2S, cap } = quantiser
  yield differs('cap', cap, item.cap, close)
  yield differs('init_log2_g', log2G, item.init_log2_g, close)
  yield differs('init_log2_s', log2S, item.init_log2_s, close)
  if (item.default_init) {
    yield differs('log2_g at the start', log2G, item.log2_g, close)
    yield differs('log2_s at the start', log2S, item.log2_s, close)
  }
  log2G.data.set(item.log2_g.data as never)
  log2S.data.set(item.log2_s.data as never)
  const [g, s] = [ops.exp2(log2G), ops.exp2(log2S)]
  yield differs('g', g, item.g, close)
  yield differs('s', s, item.s, close)
  const capped = Array.from(g.data, (norm, i) => norm / s.data[i] > cap)
  yield requires('capped', JSON.stringify(capped), JSON.stringify(item.capped))

  yield differs('pre_scale', quantiser.step(quantiser.direction(v)), item.pre_scale, close)
  const w = quantiser.forward(v)
  yield differs('scale', scaleOf(w), item.scale, close)
  const codes = codesOf(w, scaleOf(w))
  yield differs('codes', codes, item.codes, exact)
  yield differs('w_deq', w, item.w_deq, close)
  const rows = rowsOf({ shape: item.v.shape, data: codes })
  yield differs(
    'l1',
    rows.map((row) => sumOf(row.map(Math.abs))),
    item.l1,
    exact,
  )
  const bounds = rows.map((row) => quant.accumulatorBound(row, quantiser.input!))
  yield differs(
    'acc_min',
    bounds.map(({ min }) => min),
    item.acc_min,
    exact,
  )
  yield differs(
    'acc_max',
    bounds.map(({ max }) => max),
    item.acc_max,
    exact,
  )
  for (const { bits } of bounds) if (bits > item.P) yield `a channel needs ${bits} bits, more than ${item.P}`

  w.backward(upstream(item.upstream))
  yield differs('grad v', v.grad, item.grad.v, gradient)
  yield differs('grad log2_g', log2G.grad, item.grad.log2_g, gradient)
  // One parameter here where Brevitas has two of equal value.
  const shared = item.grad.log2_s_pre.data.map((value, i) => value + item.grad.log2_s_post.data[i])
  yield differs('grad log2_s', log2S.grad, shared, gradient)

  log2G.grad = null
  log2S.grad = null
  const penalty = quantiser.penalty()
  yield differs('linear', penalty, item.regularisation.linear, close)
  penalty.backward()
  yield differs('grad_log2_g', log2G.grad, item.regularisation.grad_log2_g, gradient)
  yield differs('grad_log2_s', log2S.grad, item.regularisation.grad_log2_s, gradient)
  // The stated sums were taken in float32, from logarithms of g: up to 1.2e-6 off their own rule.
  yield differs('log2', quantiser.penalty('log2'), item.regularisation.log2, closeThroughLayer)
}

interface L1Projection {
  v: Golden
  radius: number
  projected: Golden
}

function* l1Projection({ v, radius, projected }: L1Projection): Iterable<string | undefined> {
  yield differs('projected', quant.l1Projection(v.data, radius), projected, close)
}

interface EpInit extends A2QConfiguration {
  log2_g_before: Golden
  v_after: Golden
  log2_g_after: Golden
  codes_after: Golden
  l1_after: Golden
}

function* epInit(item: EpInit): Iterable<string | undefined> {
  const v = input(item.v)
  const quantiser = a2qQuantiser(item, v)
  const { log2G, log2S, cap } = quantiser
  yield differs('cap', cap, item.cap, close)
  log2G.data.set(item.log2_g_before.data as never)
  log2S.data.set(item.log2_s.data as never)
  quantiser.project(v)
  yield differs('v_after', v, item.v_after, close)
  yield differs('log2_g_after', log2G, item.log2_g_after, close)
  const w = noGrad(() => quantiser.forward(v))
  const codes = codesOf(w, scaleOf(w))
  yield differs('codes_after', codes, item.codes_after, exact)
  yield differs(
    'l1_after',
    rowsOf({ shape: item.v.shape, data: codes }).map((row) => sumOf(row.map(Math.abs))),
    item.l1_after,
    exact,
  )
}

// layer_cap

type OmegaRow = [P: number, weightBits: number, inputBits: number, omega: number]

function* omega([accumulatorBits, weightBits, inputBits, cap]: OmegaRow): Iterable<string | undefined> {
  yield differs('omega', quant.layerCap({ accumulatorBits, weightBits, inputBits }), cap, exact)
}

interface LayerPruning {
  P: number
  weight_bits: number
  input_bits: number
  omega: number
  K: number
  pruned: number
  kept: number
  w: Golden
  mask: Golden
  kept_per_channel: Golden
  channels_over_omega: number
}

function* layerPruning(item: LayerPruning): Iterable<string | undefined> {
  const cap = quant.layerCap({ accumulatorBits: item.P, weightBits: item.weight_bits, inputBits: item.input_bits })
  yield differs('omega', cap, item.omega, exact)
  yield requires('K', item.w.data.length / item.w.shape[0], item.K)
  const mask = quant.layerCapMask(upstream(item.w), cap)
  yield differs('mask', mask, item.mask, exact)
  const kept = rowsOf({ shape: item.w.shape, data: Array.from(mask.data) }).map(sumOf)
  yield differs('kept_per_channel', kept, item.kept_per_channel, exact)
  yield differs('kept', sumOf(kept), item.kept, exact)
  yield differs('pruned', mask.size - sumOf(kept), item.pruned, exact)
  yield differs('channels_over_omega', kept.filter((count) => count > cap).length, item.channels_over_omega, exact)
}

// The file

interface QuantGoldens {
  meta: unknown
  fake_quant: { int_quant: IntQuant[]; weight_quant: WeightQuant[]; act_learned: ActLearned[] }
  activations: Activation[]
  layers: Layer[]
  accumulators: { exact: Exact[]; caps: Table<CapRow>; a2q: A2Q[]; l1_projection: L1Projection[]; ep_init: EpInit[] }
  layer_cap: { grid: Table<OmegaRow>; pruning: LayerPruning[] }
  export: Record<string, unknown>
}

interface Table<Row> {
  columns: string[]
  rows: Row[]
}

type Check<Case> = (item: Case) => Iterable<string | undefined>

/** Who checks the cases of which section. */
const sections: Record<string, Check<never>> = {
  'fake_quant/int_quant': intQuant,
  'fake_quant/weight_quant': weightQuant,
  'fake_quant/act_learned': actLearned,
  activations: activation,
  layers: layer,
  'accumulators/exact': exactBounds,
  'accumulators/caps': caps,
  'accumulators/a2q': a2q,
  'accumulators/l1_projection': l1Projection,
  'accumulators/ep_init': epInit,
  'layer_cap/grid': omega,
  'layer_cap/pruning': layerPruning,
}

/** Columns of the sections that are tables: another order would be another configuration. */
const columns: Record<string, string> = {
  'accumulators/caps': 'P,N,input_signed,a2q,a2q_float32,a2q_plus,a2q_plus_float32',
  'layer_cap/grid': 'P,weight_bits,input_bits,omega',
}

/** Every list of cases in the file, by its path. */
function* listsOf(golden: object, path = ''): Generator<[string, unknown[]]> {
  for (const [name, value] of Object.entries(golden)) {
    const here = path === '' ? name : `${path}/${name}`
    if (Array.isArray(value)) yield [here, value]
    else if (here in columns) {
      const table = value as Table<unknown>
      yield [here, table.columns.join() === columns[here] ? table.rows : [`columns ${table.columns}`]]
    } else if (typeof value === 'object' && value !== null) yield* listsOf(value, here)
    else yield [here, [value]]
  }
}

function faultOf(check: Check<never> | undefined, item: unknown): string | undefined {
  if (check === undefined) return 'no section of the runner knows this case'
  try {
    for (const fault of check(item as never)) if (fault !== undefined) return fault
    return undefined
  } catch (error) {
    return String(error)
  }
}

export default function* ({ meta: _, export: exported, ...golden }: QuantGoldens): Generator<Verdict> {
  for (const [path, cases] of listsOf(golden)) for (const [i, item] of cases.entries()) yield { name: `${path}/${i}`, fault: faultOf(sections[path], item) }
  // For a reader of ONNX files, which is not there yet.
  for (const name of Object.keys(exported)) yield { name: `export/${name}`, pending: true }
}
