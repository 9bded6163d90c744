import type { FrontierPoint, FrontierRefusal } from './frontier.js'

// What a sweep gave, as a table and as a figure.

const columns: readonly [name: string, value: (point: FrontierPoint) => string | number][] = [
  ['method', ({ method }) => method],
  ['accumulator_bits', ({ accumulatorBits }) => accumulatorBits],
  ['weight_bits', ({ weightBits }) => weightBits],
  ['activation_bits', ({ activationBits }) => activationBits],
  ['seed', ({ seed }) => seed],
  ['accuracy', ({ accuracy }) => accuracy.toFixed(6)],
  ['proved_bits', ({ provedBits }) => provedBits],
  ['active_inputs', ({ activeInputs }) => activeInputs],
  ['mean_active_inputs', ({ meanActiveInputs }) => meanActiveInputs.toFixed(3)],
  ['seconds', ({ seconds }) => seconds.toFixed(1)],
]

export const isPoint = (result: FrontierPoint | FrontierRefusal): result is FrontierPoint => 'accuracy' in result

/** The points of a sweep as comma-separated values, a line each under a line of names; accuracies are shares. */
export const frontierCsv = (results: readonly (FrontierPoint | FrontierRefusal)[]): string =>
  [columns.map(([name]) => name), ...results.filter(isPoint).map((point) => columns.map(([, value]) => value(point)))]
    .map((cells) => `${cells.join(',')}\n`)
    .join('')

/** A point that somebody else has published. */
export interface ReferencePoint {
  /** What is written beside it. */
  label: string
  /** A share. */
  accuracy: number
  accumulatorBits: number
  activeInputs: number
}

/** The points of one setting, over its seeds. */
interface Averaged {
  /** Of the worst and of the best seed. */
  mostErrors: number
  leastErrors: number
  method: string
  codes: string
  provedBits: number
  activeInputs: number
  accuracy: number
}

/** Items with the same key together, in the order of the first of each. */
function grouped<T>(items: readonly T[], keyOf: (item: T) => string): T[][] {
  const groups = new Map<string, T[]>()
  for (const item of items) groups.set(keyOf(item), [...(groups.get(keyOf(item)) ?? []), item])
  return [...groups.values()]
}

/** Percent over the seeds of each setting: proved bits and active inputs are the most of any seed. */
function averaged(results: readonly (FrontierPoint | FrontierRefusal)[]): Averaged[] {
  const settings = grouped(results.filter(isPoint), ({ method, accumulatorBits, weightBits, activationBits }) =>
    [method, accumulatorBits, weightBits, activationBits].join(),
  )
  return settings.map((points) => {
    const [{ method, weightBits, activationBits }] = points
    const accuracies = points.map(({ accuracy }) => 100 * accuracy)
    return {
      method,
      codes: `${weightBits}/${activationBits}`,
      provedBits: Math.max(...points.map((point) => point.provedBits)),
      activeInputs: Math.max(...points.map((point) => point.activeInputs)),
      accuracy: accuracies.reduce((sum, value) => sum + value, 0) / points.length,
      mostErrors: 100 - Math.min(...accuracies),
      leastErrors: 100 - Math.max(...accuracies),
    }
  })
}

const withError = <P extends { accuracy: number }>(point: P): P & { error: number } => ({ ...point, error: 100 - point.accuracy })

/** The best of each method at each value of `along`, up to which no smaller value is as good: the method's frontier. */
function best(points: readonly Averaged[], along: 'provedBits' | 'activeInputs'): Averaged[] {
  return grouped(points, ({ method }) => method).flatMap((own) => {
    let reached = Number.NEGATIVE_INFINITY
    return own
      .toSorted((a, b) => a[along] - b[along] || b.accuracy - a.accuracy)
      .filter(({ accuracy }) => {
        if (accuracy <= reached) return false
        reached = accuracy
        return true
      })
  })
}

export interface FrontierChartOptions {
  title?: string
  /** Drawn in, and named as what they are. */
  references?: readonly ReferencePoint[]
  /** What the references are, for the legend. Default 'reference'. */
  referenceName?: string
  /** Ends of the axis of accuracy, percent below 100. Default 50 to 99.5; what is outside is not drawn. */
  accuracy?: readonly [least: number, most: number]
}

/**
 * A figure of a sweep as a Vega-Lite specification: accuracy against active inputs and against proved
 * accumulator bits, a point a setting (mean over the seeds, a bar from the worst to the best), a line
 * along what each method can do. Any Vega-Lite renderer draws it; `npm run bench -- frontier` does so
 * with vega and vega-lite, to SVG and without a browser.
 */
export function frontierChart(
  results: readonly (FrontierPoint | FrontierRefusal)[],
  { title = '', references = [], referenceName = 'reference', accuracy = [50, 99.5] }: FrontierChartOptions = {},
): Record<string, unknown> {
  const points = averaged(results).map(withError)
  const methods = [...new Set(points.map(({ method }) => method))]
  const inside = points.filter((point) => point.accuracy >= accuracy[0] && point.accuracy <= accuracy[1])
  // By the share of errors, on a logarithmic scale: the last points are what is hard to come by.
  const y = {
    field: 'error',
    type: 'quantitative',
    title: 'test accuracy, %',
    scale: { type: 'log', domain: accuracy.map((percent) => 100 - percent) },
    axis: { values: [90, 70, 50, 30, 20, 10, 5, 3, 2, 1, 0.5, 0.1], labelExpr: '100 - datum.value' },
  }
  const colour = {
    field: 'method',
    type: 'nominal',
    title: null,
    scale: { domain: [...methods, ...(references.length > 0 ? [referenceName] : [])], range: [...palette.slice(0, methods.length), 'black'] },
  }
  const drawn = references.map((reference) =>
    withError({ ...reference, provedBits: reference.accumulatorBits, accuracy: 100 * reference.accuracy, method: referenceName }),
  )

  const panel = (along: 'provedBits' | 'activeInputs', name: string): object => {
    const x = { field: along, type: 'quantitative', title: name, scale: { zero: false, nice: true }, axis: { tickMinStep: 1 } }
    return {
      width: 420,
      height: 340,
      layer: [
        {
          data: { values: best(inside, along) },
          mark: { type: 'line', interpolate: 'step-after', opacity: 0.6 },
          encoding: { x, y, color: colour },
        },
        {
          data: { values: inside },
          mark: { type: 'rule', opacity: 0.35, clip: true },
          encoding: { x, y: { ...y, field: 'mostErrors' }, y2: { field: 'leastErrors' }, color: colour },
        },
        {
          data: { values: inside },
          mark: { type: 'point', filled: true, size: 45 },
          encoding: { x, y, color: colour, shape: { field: 'codes', type: 'nominal', title: 'bits of weights/activations' } },
        },
        {
          data: { values: drawn },
          mark: { type: 'point', shape: 'diamond', size: 70, strokeWidth: 1.5 },
          encoding: { x, y, color: colour },
        },
        {
          data: { values: drawn },
          mark: { type: 'text', align: 'left', dx: 7, fontSize: 10 },
          encoding: { x, y, text: { field: 'label' }, color: { value: 'black' } },
        },
      ],
    }
  }
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    title,
    background: 'white',
    hconcat: [panel('activeInputs', 'most active inputs of any neuron'), panel('provedBits', 'accumulator bits, proved')],
    config: { legend: { labelLimit: 0, titleLimit: 0 } },
    resolve: { legend: { color: 'shared', shape: 'shared' } },
  }
}

/** Told apart by those who see red and green alike: Okabe and Ito 2008. */
const palette = ['#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9']
