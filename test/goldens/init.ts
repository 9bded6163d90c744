// init.json: default and scheme initialisations against their distributions, in float32 and in float64.
import * as nn from '../../lib/nn/index.js'
import { empty, Generator, type Tensor } from '../../lib/tensor/index.js'

interface Distribution {
  shape: number[]
  distribution: 'uniform' | 'normal' | 'constant'
  bound?: number | null
  std?: number
  value?: number
  zero_row?: number
}

interface Scheme extends Distribution {
  name: string
  init: string
  args: { a?: number; mode?: string; nonlinearity?: string; gain?: number }
  fan_in: number
  fan_out: number
}

interface Layer {
  name: string
  type: string
  config: Record<string, never>
  parameters: Record<string, Distribution>
  buffers: Record<string, { shape: number[]; value: number }>
  state_dict_keys: string[]
}

interface Gain {
  nonlinearity: string
  param: number | null
  gain: number
}

type DType = 'float32' | 'float64'

const camel = (name: string): string => name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase())

/** How PyTorch's layers are made here. */
const layers: Record<string, (config: Record<string, never>) => nn.Module> = {
  linear: ({ in_features, out_features, bias }) => new nn.Linear(in_features, out_features, { bias }),
  conv2d: ({ in_channels, out_channels, kernel_size, groups, bias }) => new nn.Conv2d(in_channels, out_channels, kernel_size, { groups, bias }),
  conv_transpose2d: ({ in_channels, out_channels, kernel_size, groups, bias }) =>
    new nn.ConvTranspose2d(in_channels, out_channels, kernel_size, { groups, bias }),
  batch_norm1d: ({ num_features, ...rest }) => new nn.BatchNorm1d(num_features, rest),
  batch_norm2d: ({ num_features, ...rest }) => new nn.BatchNorm2d(num_features, rest),
  layer_norm: ({ normalized_shape }) => new nn.LayerNorm(normalized_shape),
  embedding: ({ num_embeddings, embedding_dim, padding_idx }) => new nn.Embedding(num_embeddings, embedding_dim, { paddingIdx: padding_idx }),
}

/** Enough draws for the statistics to mean something. */
const wanted = 20000

/** What is wrong with values that should follow a distribution. */
function faultOf(name: string, draws: readonly Tensor[], { shape, distribution, bound, std = 0, value, zero_row }: Distribution): string | undefined {
  const wrongShape = draws.find((tensor) => tensor.shape.join() !== shape.join())
  if (wrongShape) return `${name} has shape [${wrongShape.shape}], expected [${shape}]`
  const row = shape.slice(1).reduce((product, dimension) => product * dimension, 1)
  const inZeroRow = (i: number): boolean => zero_row !== undefined && Math.floor(i / row) === zero_row
  if (draws.some(({ data }) => data.some((entry, i) => inZeroRow(i) && entry !== 0))) return `${name}: row ${zero_row} is not zero`
  const values = draws.flatMap(({ data }) => Array.from(data).filter((_, i) => !inZeroRow(i)))
  if (distribution === 'constant') return values.every((entry) => entry === value) ? undefined : `${name} is not ${value} everywhere`

  const n = values.length
  const mean = values.reduce((sum, entry) => sum + entry, 0) / n
  const deviation = Math.sqrt(values.reduce((sum, entry) => sum + (entry - mean) ** 2, 0) / n)
  const largest = values.reduce((most, entry) => Math.max(most, Math.abs(entry)), 0)
  if (bound != null && !(largest <= bound * (1 + 1e-6))) return `${name} reaches ${largest}, expected at most ${bound}`
  if (!(Math.abs(mean) <= (5 * std) / Math.sqrt(n))) return `${name} has mean ${mean}`
  if (!(Math.abs(deviation / std - 1) <= 5 / Math.sqrt(2 * n))) return `${name} has standard deviation ${deviation}, expected ${std}`
  // A uniform distribution fills its interval; a normal one of this deviation reaches beyond √3 of it.
  const reached = bound != null ? largest > bound * 0.99 : largest > 3 * std
  return reached ? undefined : `${name} reaches only ${largest}`
}

const times = (shape: readonly number[]): number =>
  Math.max(
    1,
    Math.ceil(
      wanted /
        Math.max(
          1,
          shape.reduce((product, dimension) => product * dimension, 1),
        ),
    ),
  )

function schemeFault({ init, shape, args, fan_in, fan_out, ...rest }: Scheme, dtype: DType): string | undefined {
  const draw = (nn.init as unknown as Record<string, (weight: Tensor, options: object) => Tensor>)[camel(init)]
  if (draw === undefined) return `no initialiser ${camel(init)} here`
  const { fanIn, fanOut } = nn.init.fans(shape)
  if (fanIn !== fan_in || fanOut !== fan_out) return `fans are ${fanIn} and ${fanOut}, expected ${fan_in} and ${fan_out}`
  const generator = new Generator(11)
  const options = { ...args, mode: args.mode && camel(args.mode), nonlinearity: args.nonlinearity && camel(args.nonlinearity), generator }
  const draws = Array.from({ length: times(shape) }, () => draw(empty(shape, dtype), options))
  return faultOf('the weight', draws, { shape, ...rest })
}

function layerFault({ type, config, parameters, buffers, state_dict_keys }: Layer, dtype: DType): string | undefined {
  const make = layers[type]
  if (make === undefined) return `no layer ${type} here`
  const made = (): nn.Module => make(config)
  const generator = new Generator(12)
  const most = Math.max(1, ...Object.values(parameters).map(({ shape, distribution }) => (distribution === 'constant' ? 1 : times(shape))))
  const draws = Array.from({ length: most }, () => {
    const module = made().to(dtype)
    ;(module as { resetParameters?: (generator: Generator) => void }).resetParameters?.(generator)
    return module.stateDict()
  })
  const keys = Object.keys(draws[0])
  if (keys.join() !== state_dict_keys.join()) return `state has ${keys}, expected ${state_dict_keys}`
  for (const [name, distribution] of Object.entries(parameters)) {
    const fault = faultOf(
      name,
      draws.map((state) => state[name]),
      distribution,
    )
    if (fault) return fault
  }
  for (const [name, { shape, value }] of Object.entries(buffers)) {
    const fault = faultOf(name, [draws[0][name]], { shape, distribution: 'constant', value })
    if (fault) return fault
  }
  return undefined
}

export default function* (golden: { schemes: Scheme[]; layers: Layer[]; gains: Gain[] }): Iterable<{ name: string; fault?: string }> {
  const verdict = (name: string, check: () => string | undefined) => {
    try {
      return { name, fault: check() }
    } catch (error) {
      return { name, fault: String(error) }
    }
  }
  for (const dtype of ['float32', 'float64'] as const) {
    for (const scheme of golden.schemes) yield verdict(`${scheme.name} ${dtype}`, () => schemeFault(scheme, dtype))
    for (const layer of golden.layers) yield verdict(`${layer.name} ${dtype}`, () => layerFault(layer, dtype))
  }
  for (const { nonlinearity, param, gain } of golden.gains)
    yield verdict(`gain/${nonlinearity}${param === null ? '' : `/${param}`}`, () => {
      const ours = nn.init.calculateGain(camel(nonlinearity) as nn.init.Nonlinearity, param ?? undefined)
      return Math.abs(ours - gain) <= 1e-12 * gain ? undefined : `the gain is ${ours}, expected ${gain}`
    })
}
